"""``cmscert rollback``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cmscert.cli.commands.apply import Conversation, conclude
from cmscert.cli.exit_codes import DONE, NODE
from cmscert.cli.options import LOG_FORMAT, NO_COLOR, OUTPUT, PARALLEL, VERBOSE, formats, talks
from cmscert.cli.output import Output

if TYPE_CHECKING:
    from cmscert.app.rollback import RollbackOptions

STATE_DIR = click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where the journals are (.cmscert beside the inventory, or here).",
)


@click.command("rollback", short_help="Take a run back: names and services as they were before it.")
@click.argument("run", metavar="RUN")
@click.option(
    "--inventory",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Addresses, logins and policies (those of the inventory that the run went by).",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--allow", multiple=True, metavar="GUARD", help="Lift a guard by its name; repeatable.")
@click.option("--no-rollback", is_flag=True, help="Leave a service that failed as it is.")
@PARALLEL
@talks(formats("markdown", "runbook"), OUTPUT, VERBOSE, LOG_FORMAT, NO_COLOR, STATE_DIR)
def command(
    output: Output,
    run: str,
    inventory: Path | None,
    allow: tuple[str, ...],
    parallel: int,
    *,
    yes: bool,
    no_rollback: bool,
) -> int:
    """Plan the way back of a run, show it, ask, take the run back, verify.

    RUN is its id, as `cmscert runs` lists it, the beginning of it, or last. What the run bound is bound as before it.
    What was changed since is refused by name.

    With --format markdown, or runbook, the plan is written down and that is all: nothing is asked, nothing is changed.
    """
    from cmscert.app.rollback import RollbackOptions
    from cmscert.apply.stop import Stop

    options = RollbackOptions(
        inventory=inventory,
        state_dir=output.state_dir,
        allow=allow,
        parallel=parallel,
        rollback=not no_rollback,
    )
    if output.form in {"markdown", "runbook"}:
        if yes or allow or no_rollback:
            raise click.UsageError(
                f"--format {output.form} changes nothing: leave --yes, --allow and --no-rollback out"
            )
        return _written(output, run, options)
    conversation = Conversation(output, Stop(), yes=yes)
    return conclude(conversation, lambda: conversation.rollback(run, options))


def _written(output: Output, run: str, options: RollbackOptions) -> int:
    """Write the plan down for a review, or for somebody who types it."""
    import asyncio

    from cmscert.app.clock import utc_now
    from cmscert.app.ports import live_ports
    from cmscert.app.rollback import way_back
    from cmscert.mmp.services import SERVICES

    made = asyncio.run(way_back(run, live_ports(output.note()), now=utc_now(), options=options))
    if output.form == "runbook":
        from cmscert.reports.runbook import runbook

        output.result(runbook(made.plan, SERVICES, material=made.kept))
    else:
        from cmscert.reports.plan_markdown import plan_markdown

        output.result(plan_markdown(made.plan, SERVICES))
    output.failures(made.failures)
    return NODE if made.plan.unread else DONE
