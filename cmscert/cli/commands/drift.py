"""``cmscert drift``."""

from __future__ import annotations

from pathlib import Path

import click

from cmscert.cli.exit_codes import DRIFT, NODE, first_of
from cmscert.cli.options import INVENTORY, PARALLEL, READING, talks
from cmscert.cli.output import Output


@click.command("drift", short_help="Report what is not as wanted, for CI; reads only.")
@INVENTORY
@PARALLEL
@talks(*READING)
def command(output: Output, inventory: Path, parallel: int) -> int:
    """Say what on the servers is not as wanted; for CI and monitoring; reads only."""
    import asyncio

    from cmscert.app.plan import drift
    from cmscert.app.ports import live_ports, utc_now

    ports = live_ports(output.note())
    made = asyncio.run(
        drift(
            inventory,
            ports,
            now=utc_now(),
            select=output.select,
            parallel=parallel,
            state_dir=output.state_dir,
        )
    )
    if output.form == "json":
        from cmscert.reports.documents import drift_document

        output.document(drift_document(made.report))
    else:
        from cmscert.reports.fleet_text import drift_text

        output.result(drift_text(made.report, width=output.result_width, colour=output.result_colour))
    output.failures(made.failures)
    return first_of([NODE] * (not made.report.complete) + [DRIFT] * bool(made.report.alarming))
