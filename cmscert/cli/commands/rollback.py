"""``cmscert rollback``."""

from __future__ import annotations

from pathlib import Path

import click

from cmscert.cli.commands.apply import Conversation, conclude
from cmscert.cli.options import FORMAT, LOG_FORMAT, NO_COLOR, OUTPUT, PARALLEL, VERBOSE, talks
from cmscert.cli.output import Output

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
@talks(FORMAT, OUTPUT, VERBOSE, LOG_FORMAT, NO_COLOR, STATE_DIR)
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
    conversation = Conversation(output, Stop(), yes=yes)
    return conclude(conversation, lambda: conversation.rollback(run, options))
