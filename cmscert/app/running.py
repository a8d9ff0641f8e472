"""Carries out a plan that was shown and agreed to: marker, journal, run. Apply and rollback both end here."""

from __future__ import annotations

import asyncio
import getpass
import os
import platform
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cmscert import __version__
from cmscert.app.fleet import Reached, Sighted
from cmscert.app.holding import Writer, on_the_nodes
from cmscert.app.inventory import Chosen
from cmscert.app.plan import memory_of, missed
from cmscert.app.ports import Ports
from cmscert.app.proofs import keep_proofs
from cmscert.app.revision import git_revision
from cmscert.apply.backups import backup_folder
from cmscert.apply.before import observed_document
from cmscert.apply.database import Records
from cmscert.apply.journal import Journal
from cmscert.apply.run import run_plan
from cmscert.apply.runs import prune
from cmscert.apply.saved import saved_folder
from cmscert.apply.stop import Stop
from cmscert.errors import InputError, JournalError, NodeError
from cmscert.mmp.services import SERVICES
from cmscert.model.desired import Desired
from cmscert.model.events import Event, RunResult
from cmscert.model.plan import Gate, Plan
from cmscert.planning.make import Planned
from cmscert.planning.proving import Ran
from cmscert.transport.session import WriteSession


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """How the use case talks to whoever started it.

    ``show`` is given the plan before anything else happens. ``confirm`` is asked once, and may take its time.
    ``started`` is told that the run begins; from then on ``stop`` ends it. ``emit`` gets every event after it is on
    disk. ``document`` writes a plan down for the journal.
    """

    show: Callable[[Plan], None]
    confirm: Callable[[Plan], Awaitable[bool]]
    started: Callable[[Plan], None]
    emit: Callable[[Event], None]
    document: Callable[[Plan], Mapping[str, object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyResult:
    """``result`` is None when there was nothing to do. ``journal``: the folder of the run."""

    plan: Plan
    result: RunResult | None
    failures: Mapping[str, NodeError]
    journal: Path | None = None


@dataclass(frozen=True, slots=True)
class World:
    """The open sessions, and what they told."""

    reached: Reached[WriteSession]
    sighted: Sighted


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """How to run. ``rolls_back``: the id of the run that this one takes back; ``rollback``: take back what fails."""

    ports: Ports
    talk: Talk
    stop: Stop
    writer: Writer
    inventory: Path
    state_dir: Path
    rollback: bool = True
    rolls_back: str | None = None


def new_run_id(moment: datetime) -> str:
    """Make an id that sorts by time and that no other run has."""
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def writer_for(fleet: str, moment: datetime, *, command: str, allow: tuple[str, ...]) -> Writer:
    """Name this process as the one who wants to change a fleet."""
    return Writer(
        fleet=fleet, run=new_run_id(moment), owner=_user(), machine=platform.node(), command=command, allow=allow
    )


async def carry_out(chosen: Chosen, planned: Planned, world: World, run: Running) -> ApplyResult:
    """Run a plan under the fleet's marker, with a journal.

    Raises LockHeld, StalePlan and NodeError before any change, and JournalError when the journal cannot be opened.
    """
    changes = frozenset(step.server for step in planned.plan.steps if not isinstance(step.action, Gate))
    async with on_the_nodes(
        run.writer,
        world.reached,
        world.sighted,
        run.ports,
        run.stop,
        state_dir=run.state_dir,
        must=changes,
        held=planned.held,
    ):
        return await _journalled(chosen, planned, world, run)


async def _journalled(chosen: Chosen, planned: Planned, world: World, run: Running) -> ApplyResult:
    memory = memory_of(chosen, run.state_dir)
    journal = Journal.create(
        run.state_dir,
        run.writer.run,
        run.talk.document(planned.plan),
        _header(run, planned.plan, await asyncio.to_thread(git_revision, run.inventory)),
        observed=observed_document(planned.plan.fleet, world.sighted.observed),
    )

    def emit(event: Event) -> None:
        journal.write(event)
        run.talk.emit(event)

    run.talk.started(planned.plan)
    try:
        result = await run_plan(
            planned.plan,
            run=run.writer.run,
            sessions=world.reached.sessions,
            observed=world.sighted.observed,
            contents=planned.contents,
            keys=chosen.loaded.keys,
            desired=chosen.fleet,
            table=SERVICES,
            probe=run.ports.probe,
            emit=emit,
            on_disk=journal.on_disk,
            clock=run.ports.clock,
            stop=run.stop,
            rollback=run.rollback,
            records=Records(
                keep=backup_folder(journal.folder),
                remember=memory.remember,
                forget=memory.forget,
                save=saved_folder(journal.folder),
            ),
        )
    finally:
        journal.close()
    keep_proofs(run.state_dir, ran(chosen, planned, world, run, result), run.ports.note, own=run.writer.run)
    _prune(chosen.loaded.desired, run)
    return ApplyResult(plan=planned.plan, result=result, failures=missed(chosen, world.sighted), journal=journal.folder)


def ran(chosen: Chosen, planned: Planned, world: World, run: Running, result: RunResult | None) -> Ran:
    """Put together what a run left; ``result`` is None where it had nothing to do."""
    return Ran(
        plan=planned.plan,
        outcomes={} if result is None else {each.step: each.outcome for each in result.steps},
        desired=chosen.fleet,
        observed=world.sighted.observed,
        contents=planned.contents,
        run=None if result is None else result.run,
        at=run.ports.clock(),
    )


def _prune(desired: Desired, run: Running) -> None:
    """Remove old runs of the fleet; that they cannot be removed is no fault of this run."""
    keep = desired.policy.keep_runs
    now, live = run.ports.clock(), {run.writer.run}
    try:
        gone = prune(run.state_dir, keep.days, keep.count, now=now, live=live, fleet=desired.fleet)
    except (JournalError, InputError) as error:
        run.ports.note("old runs stay", why=error.message)
    else:
        if gone:
            run.ports.note("old runs removed", runs=list(gone))


def _header(run: Running, plan: Plan, revision: dict[str, object] | None) -> dict[str, object]:
    """Say who runs what, from where; no absolute path."""
    return {
        "user": run.writer.owner,
        "machine": run.writer.machine,
        "pid": os.getpid(),
        "tool_version": __version__,
        "fleet": plan.fleet,
        "command": run.writer.command,
        "rolls_back": run.rolls_back,
        "select": list(plan.select),
        "allow": list(run.writer.allow),
        "inventory": run.inventory.name,
        "inventory_path": os.path.relpath(run.inventory.resolve(), run.state_dir.resolve()),
        "revision": revision,
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container may have no entry for its user
        return "unknown"
