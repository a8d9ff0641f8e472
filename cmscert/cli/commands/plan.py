"""``cmscert plan``."""

from __future__ import annotations

from pathlib import Path

import click

from cmscert.cli.exit_codes import CHANGES, NODE, first_of
from cmscert.cli.options import INVENTORY, PARALLEL, READING, talks
from cmscert.cli.output import Output, write_file
from cmscert.cli.program import program


@click.command("plan")
@INVENTORY
@click.option("--save", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Save for apply --plan.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 5 when changes are pending.")
@PARALLEL
@talks(*READING)
def command(output: Output, inventory: Path, save: Path | None, parallel: int, *, detailed_exitcode: bool) -> int:
    """Say what differs, why, and the ordered steps; reads only."""
    import asyncio

    from cmscert.app.plan import plan
    from cmscert.app.ports import live_ports, utc_now
    from cmscert.mmp.services import SERVICES
    from cmscert.reports.plan_document import dump, plan_document

    ports = live_ports(output.note())
    made = asyncio.run(
        plan(
            inventory,
            ports,
            now=utc_now(),
            select=output.select,
            parallel=parallel,
            state_dir=output.state_dir,
        )
    )
    if save is not None:
        write_file(save, dump(plan_document(made.plan, SERVICES)))
    if output.form == "json":
        output.document(plan_document(made.plan, SERVICES))
    else:
        from cmscert.reports.plan_text import plan_text

        output.result(
            plan_text(
                made.plan,
                SERVICES,
                width=output.result_width,
                colour=output.result_colour,
                verbose=output.verbose,
            )
        )
    output.failures(made.failures)
    if save is not None:
        output.say(f"saved; to apply exactly this: {program()} apply {inventory} --plan {save}")
    codes = [NODE] if made.plan.unread else []
    return first_of([*codes, CHANGES] if detailed_exitcode and made.plan.steps else codes)
