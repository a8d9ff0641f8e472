"""``cmscert plan``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cmscert.cli.exit_codes import CHANGES, NODE, first_of
from cmscert.cli.options import INVENTORY, PARALLEL, reading, talks
from cmscert.cli.output import Output, write_file
from cmscert.cli.program import program

if TYPE_CHECKING:
    from cmscert.app.plan import PlanResult
    from cmscert.errors import NodeError
    from cmscert.model.plan import Plan

    Made = tuple[Plan, Mapping[str, NodeError], Callable[[], str]]


@click.command("plan")
@INVENTORY
@click.option("--save", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Save for apply --plan.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 5 when changes are pending.")
@PARALLEL
@talks(*reading("markdown", "runbook", "html"))
def command(output: Output, inventory: Path, save: Path | None, parallel: int, *, detailed_exitcode: bool) -> int:
    """Say what differs, why, and the ordered steps; reads only."""
    made, failures, draw = (_overview if output.form == "html" else _plan)(output, inventory, parallel)
    if save is not None:
        write_file(save, _saved(made, save))
    output.result(draw())
    output.failures(failures)
    if save is not None:
        output.say(f"saved; to apply exactly this: {program()} apply {inventory} --plan {save}")
    codes = [NODE] if made.unread else []
    return first_of([*codes, CHANGES] if detailed_exitcode and made.steps else codes)


def _saved(made: Plan, save: Path) -> str:
    """Write a plan down. Raises InputError where it is larger than what is read back."""
    from cmscert.errors import Fault, InputError
    from cmscert.files import count_values
    from cmscert.mmp.services import SERVICES
    from cmscert.model.plan import MOST_BYTES, MOST_VALUES
    from cmscert.reports.plan_document import dump, plan_document

    text = dump(plan_document(made, SERVICES))
    if len(text) > MOST_BYTES or count_values(text.encode()) > MOST_VALUES:
        message = f"a plan of {len(made.steps):,} steps is larger than what can be read back: it is not saved"
        raise InputError([Fault(file=str(save), message=message, reason="too-large")], hint="plan in parts: --select")
    return text


def _plan(output: Output, inventory: Path, parallel: int) -> Made:
    import asyncio

    from cmscert.app.clock import utc_now
    from cmscert.app.plan import plan
    from cmscert.app.ports import live_ports

    made = asyncio.run(
        plan(
            inventory,
            live_ports(output.note()),
            now=utc_now(),
            select=output.select,
            parallel=parallel,
            state_dir=output.state_dir,
        )
    )
    return made.plan, made.failures, lambda: _drawn(output, made)


def _drawn(output: Output, made: PlanResult) -> str:
    from cmscert.mmp.services import SERVICES

    plan = made.plan
    match output.form:
        case "json":
            from cmscert.reports.plan_document import dump, plan_document

            return dump(plan_document(plan, SERVICES))
        case "markdown":
            from cmscert.reports.plan_markdown import plan_markdown

            return plan_markdown(plan, SERVICES)
        case "runbook":
            from cmscert.app.at_hand import material_at_hand
            from cmscert.reports.runbook import runbook

            return runbook(plan, SERVICES, material=material_at_hand(made.chosen, made.contents))
    from cmscert.reports.plan_text import plan_text

    return plan_text(plan, SERVICES, width=output.result_width, colour=output.result_colour, verbose=output.verbose)


def _overview(output: Output, inventory: Path, parallel: int) -> Made:
    from cmscert.cli.overview import look, page

    made = look(output, inventory, parallel)
    return made.overview.plan, made.failures, lambda: page(made.overview, "plan")
