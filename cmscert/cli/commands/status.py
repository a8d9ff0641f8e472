"""``cmscert status``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cmscert.cli.exit_codes import DONE, NODE
from cmscert.cli.options import INVENTORY, PARALLEL, reading, talks
from cmscert.cli.output import Output
from cmscert.cli.watching import EVERY, LEAST, MOST, watching

if TYPE_CHECKING:
    from cmscert.model.results import FleetStatus


@click.command("status", short_help="Show every certificate: bound, on disk, served.")
@INVENTORY
@click.option("--store", is_flag=True, help="Show the material store instead; asks no server.")
@click.option(
    "--watch",
    type=click.FloatRange(LEAST, MOST),
    is_flag=False,
    flag_value=str(EVERY),
    metavar="[SECONDS]",
    help=f"Look again every so many seconds ({EVERY:g}) until Ctrl-C; on a terminal only.",
)
@PARALLEL
@talks(*reading("markdown", "html", "prometheus"))
def command(output: Output, inventory: Path, parallel: int, *, store: bool, watch: float | None) -> int:
    """Show every certificate: bound, on disk, served; names, issuer, expiry, EKU; reads only."""
    if store and watch is not None:
        raise click.UsageError("--watch does not go with --store")
    if store:
        return _store(output, inventory)
    if watch is not None:
        return watching(output, inventory, parallel, watch)
    if output.form == "html":
        return _page(output, inventory, parallel)
    import asyncio

    from cmscert.app.clock import utc_now
    from cmscert.app.ports import live_ports
    from cmscert.app.status import status

    ports = live_ports(output.note())
    made = asyncio.run(
        status(inventory, ports, now=utc_now(), select=output.select, parallel=parallel, state_dir=output.state_dir)
    )
    _write(output, inventory, made.status)
    output.failures(made.failures)
    return NODE if made.status.unread else DONE


def _page(output: Output, inventory: Path, parallel: int) -> int:
    from cmscert.cli.overview import look, page

    made = look(output, inventory, parallel, lenient=True)
    output.result(page(made.overview, "status"))
    output.failures(made.failures)
    return NODE if made.overview.status.unread else DONE


def _write(output: Output, inventory: Path, status: FleetStatus) -> None:
    match output.form:
        case "json":
            from cmscert.reports.documents import status_document

            output.document(status_document(status))
        case "markdown":
            from cmscert.reports.markdown import status_markdown

            output.result(status_markdown(status))
        case "prometheus":
            output.result(_metrics(output, inventory, status))
        case _:
            from cmscert.reports.fleet_text import status_text

            output.result(status_text(status, width=output.result_width, colour=output.result_colour))


def _metrics(output: Output, inventory: Path, status: FleetStatus) -> str:
    from cmscert.app.last_run import last_run
    from cmscert.reports.prometheus import metrics

    if status.journal is not None:
        output.say(f"the last run is left out, as the journal could not be read: {status.journal}")
        return metrics(status)
    return metrics(status, last_run=last_run(inventory, status.fleet, state_dir=output.state_dir))


def _store(output: Output, inventory: Path) -> int:
    """Show what the material store holds."""
    if output.select:
        raise click.UsageError("--select does not go with --store")
    if output.form not in {"text", "json"}:
        raise click.UsageError(f"--format {output.form} does not go with --store")
    from cmscert.app.clock import utc_now
    from cmscert.app.store_status import store_status
    from cmscert.reports.store_text import store_document, store_text

    held = store_status(inventory, now=utc_now())
    if output.form == "json":
        output.document(store_document(held))
    else:
        output.result(store_text(held, width=output.result_width, colour=output.result_colour))
    return DONE
