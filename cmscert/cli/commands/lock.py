"""``cmscert lock``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cmscert.cli.exit_codes import DONE, NODE
from cmscert.cli.options import FORMAT, NO_COLOR, OUTPUT, PARALLEL, SELECT, talks
from cmscert.cli.output import Output
from cmscert.errors import NotConfirmed

if TYPE_CHECKING:
    from cmscert.app.locks import LocksResult
    from cmscert.model.marker import NodeLock

STATE_DIR = click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where the locks of this machine are (.cmscert beside the inventory, or here).",
)
INVENTORY = click.argument("inventory", type=click.Path(path_type=Path), required=False)
PLACED = (SELECT, STATE_DIR, FORMAT, OUTPUT, NO_COLOR)


@click.group("lock", short_help="Who holds a fleet; give back the lock of a run that died.")
def command() -> None:
    """Tell who holds a fleet, since when, on which machine."""


@command.command("list", short_help="Show who holds a fleet.")
@INVENTORY
@click.option("--nodes", is_flag=True, help="Read the lock files on the servers of INVENTORY too.")
@PARALLEL
@talks(*PLACED)
def show(output: Output, inventory: Path | None, parallel: int, *, nodes: bool) -> int:
    """Show who holds a fleet, since when, on which machine.

    Looks at this machine only, and connects to nothing, unless --nodes is given.
    """
    from cmscert.app.locks import list_locks, list_node_locks

    _local(output, nodes=nodes)
    if not nodes:
        return _told(output, list_locks(inventory, output.state_dir, working=Path()))
    import asyncio

    from cmscert.app.clock import utc_now
    from cmscert.app.ports import live_ports

    work = list_node_locks(
        _needed(inventory),
        live_ports(),
        now=utc_now(),
        select=output.select,
        state_dir=output.state_dir,
        parallel=parallel,
    )
    return _told(output, asyncio.run(work))


@command.command("release", short_help="Forget a run that died; with --nodes, remove its lock files.")
@INVENTORY
@click.option("--nodes", is_flag=True, help="Remove the lock files on the servers of INVENTORY instead.")
@click.option("--fleet", metavar="NAME", help="Only the lock of this fleet (all that are there).")
@click.option("--yes", is_flag=True, help="Do not ask.")
@PARALLEL
@talks(*PLACED)
def release(output: Output, inventory: Path | None, fleet: str | None, parallel: int, *, nodes: bool, yes: bool) -> int:
    """Give back the lock of a run that died. A lock that a living process holds is never given back.

    On this machine a run does that by itself, and says so. With --nodes the lock files on the servers are shown, and
    removed when that is confirmed: a run on another machine that is still alive then stops before its next step.
    """
    from cmscert.app.locks import release, release_node_locks

    _local(output, nodes=nodes)
    if not nodes:
        return _told(output, release(fleet, inventory, output.state_dir, working=Path()))
    import asyncio

    from cmscert.app.clock import utc_now
    from cmscert.app.ports import live_ports

    async def confirm(found: tuple[NodeLock, ...]) -> bool:
        return await _agreed(output, found, yes=yes)

    work = release_node_locks(
        _needed(inventory),
        live_ports(say=output.say),
        confirm,
        now=utc_now(),
        select=output.select,
        state_dir=output.state_dir,
        parallel=parallel,
    )
    return _told(output, asyncio.run(work))


async def _agreed(output: Output, found: tuple[NodeLock, ...], *, yes: bool) -> bool:
    from cmscert.cli.asking import agrees
    from cmscert.reports.locks import locks_text
    from cmscert.reports.plain import counted

    output.err.write(locks_text((), found, width=output.width(output.err), colour=output.colour(output.err)))
    if yes:
        return True
    if not sys.stdin.isatty():
        raise NotConfirmed("nothing was changed: there is no terminal to ask on", hint="say so with --yes")
    return await agrees(f"\nRemove {counted(len(found), 'lock file')}? Type yes: ", err=output.err)


def _local(output: Output, *, nodes: bool) -> None:
    if output.select and not nodes:
        raise click.UsageError("--select says which servers to ask: it goes with --nodes")


def _needed(inventory: Path | None) -> Path:
    if inventory is None:
        raise click.UsageError("--nodes needs an INVENTORY: it says which servers to ask")
    return inventory


def _told(output: Output, made: LocksResult) -> int:
    if output.form == "json":
        from cmscert.reports.locks import locks_document

        output.document(
            locks_document(made.locks, made.servers, made.failures, released=made.released, removed=made.removed)
        )
    else:
        from cmscert.reports.locks import locks_text

        output.result(
            locks_text(
                made.locks,
                made.servers,
                released=made.released,
                removed=made.removed,
                width=output.result_width,
                colour=output.result_colour,
            )
        )
    output.failures(made.failures)
    return NODE if made.failures else DONE
