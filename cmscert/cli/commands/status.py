"""``cmscert status``."""

from __future__ import annotations

from pathlib import Path

import click

from cmscert.cli.exit_codes import DONE, NODE
from cmscert.cli.options import INVENTORY, PARALLEL, READING, talks
from cmscert.cli.output import Output


@click.command("status", short_help="Show every certificate: bound, on disk, served.")
@INVENTORY
@click.option("--store", is_flag=True, help="Show the material store instead; asks no server.")
@PARALLEL
@talks(*READING)
def command(output: Output, inventory: Path, parallel: int, *, store: bool) -> int:
    """Show every certificate: bound, on disk, served; names, issuer, expiry, EKU; reads only."""
    if store:
        return _store(output, inventory)
    import asyncio

    from cmscert.app.ports import live_ports, utc_now
    from cmscert.app.status import status

    ports = live_ports(output.note())
    made = asyncio.run(status(inventory, ports, now=utc_now(), select=output.select, parallel=parallel))
    if output.form == "json":
        from cmscert.reports.documents import status_document

        output.document(status_document(made.status))
    else:
        from cmscert.reports.fleet_text import status_text

        output.result(status_text(made.status, width=output.result_width, colour=output.result_colour))
    output.failures(made.failures)
    return NODE if made.status.unread else DONE


def _store(output: Output, inventory: Path) -> int:
    """Show what the material store holds."""
    if output.select:
        raise click.UsageError("--select does not go with --store")
    from cmscert.app.ports import utc_now
    from cmscert.app.store_status import store_status
    from cmscert.reports.store_text import store_document, store_text

    held = store_status(inventory, now=utc_now())
    if output.form == "json":
        output.document(store_document(held))
    else:
        output.result(store_text(held, width=output.result_width, colour=output.result_colour))
    return DONE
