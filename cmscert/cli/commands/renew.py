"""``cmscert renew``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cmscert.cli.exit_codes import NODE, OUTSTANDING, first_of
from cmscert.cli.options import INVENTORY, PARALLEL, READING, talks
from cmscert.cli.output import Output

if TYPE_CHECKING:
    from cmscert.model.results import RenewReport


@click.command("renew", short_help="Obtain certificates that are missing or due; disturbs no service.")
@INVENTORY
@click.option("--again", is_flag=True, help="Ask even for what is fresh, and at once for what was put off.")
@click.option("--dry-run", is_flag=True, help="Say what would be asked for, and ask nobody.")
@PARALLEL
@talks(*READING)
def command(output: Output, inventory: Path, parallel: int, *, again: bool, dry_run: bool) -> int:
    """Obtain certificates that are missing or due, from the issuers of the inventory.

    Keys and requests are made, and kept until they are answered. No service is touched: plan and apply deploy what was
    obtained.
    """
    import asyncio

    from cmscert.app.clock import utc_now
    from cmscert.app.ports import live_ports
    from cmscert.app.renew import RenewOptions, renew

    options = RenewOptions(
        select=output.select, again=again, rehearse=dry_run, parallel=parallel, state_dir=output.state_dir
    )
    ports = live_ports(output.note(), output.say)
    report = asyncio.run(renew(inventory, ports, now=utc_now(), options=options))
    if output.form == "json":
        from cmscert.reports.renewal import renew_document

        output.document(renew_document(report))
    else:
        from cmscert.reports.renewal import renew_text

        text = renew_text(report, width=output.result_width, colour=output.result_colour, verbose=output.verbose)
        output.result(text)
    return code_of(report)


def code_of(report: RenewReport) -> int:
    """Return the exit code: an issuer that fails is heard of when validity is at risk, before that it is a line."""
    failing = any(row.state in {"failed", "put-off"} and row.at_risk for row in report.rows)
    waiting = any(row.state == "waiting" for row in report.rows)
    return first_of([NODE * failing, OUTSTANDING * waiting])
