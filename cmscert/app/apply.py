"""``apply``: plan, or take a saved plan; show it, then refuse or ask; run it.

A saved plan is applied only when everything it was made from is still so (law 5): tool, inventory, what every server
shows, and the steps that follow from these.
"""

from __future__ import annotations

import getpass
import platform
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from cmscert import __version__
from cmscert.app.fleet import PARALLEL, Reached, Sighted, entries, observe, reach
from cmscert.app.inventory import Chosen, choose
from cmscert.app.plan import STATE, compare, members_of, memory_of, missed, recall
from cmscert.app.plan_file import load_plan
from cmscert.app.ports import Ports
from cmscert.apply.backups import backup_folder
from cmscert.apply.database import Records
from cmscert.apply.journal import Journal
from cmscert.apply.run import run_plan
from cmscert.apply.stop import Stop
from cmscert.errors import GuardRefused, NodeError, NotConfirmed, StalePlan
from cmscert.mmp.services import SERVICES
from cmscert.model.events import Event, RunResult
from cmscert.model.plan import Gate, Plan, Refusal, Step
from cmscert.planning.make import Planned
from cmscert.transport.session import WriteSession

STALE_HINT = "make a new plan with cmscert plan --save, and have it reviewed again"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyOptions:
    """What a person may choose.

    ``allow``: guards to lift. ``saved``: a plan file. ``state_dir``: None stands for ``.cmscert`` beside the inventory.
    """

    select: tuple[str, ...] = ()
    saved: Path | None = None
    allow: tuple[str, ...] = ()
    parallel: int = PARALLEL
    rollback: bool = True
    state_dir: Path | None = None


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


async def apply(
    inventory: Path, ports: Ports, talk: Talk, *, now: datetime, stop: Stop, options: ApplyOptions
) -> ApplyResult:
    """Plan, show, ask, run.

    Raises InputError and SecretError before any connection; StalePlan, GuardRefused and NotConfirmed before any
    change; JournalError when the journal cannot be opened.
    """
    saved = None if options.saved is None else load_plan(options.saved)
    chosen = choose(inventory, now=now, select=options.select if saved is None else saved.select)
    if saved is not None:
        check_basis(saved, chosen)
    noted = recall(chosen, memory_of(chosen, options.state_dir))
    entry = entries(chosen.loaded.logins, chosen.fleet.servers, chosen.folder)
    async with reach(entry, ports.writer, parallel=options.parallel) as reached:
        sighted = await observe(reached, chosen.fleet, entry, ports, members=members_of(chosen))
        planned = compare(chosen, sighted, now, noted)
        if saved is not None:
            planned = check_saved(saved, planned, compare(chosen, sighted, saved.made_at, noted))
        talk.show(planned.plan)
        refuse(planned.plan.refusals, options.allow, missed(chosen, sighted))
        if not any(not isinstance(step.action, Gate) for step in planned.plan.steps):
            return ApplyResult(plan=planned.plan, result=None, failures=missed(chosen, sighted))
        if not await talk.confirm(planned.plan):
            raise NotConfirmed("nothing was changed: the plan was not confirmed")
        run = _Run(ports, talk, stop, options, inventory)
        return await _run(chosen, planned, _Reading(reached, sighted), run)


@dataclass(frozen=True, slots=True)
class _Reading:
    reached: Reached[WriteSession]
    sighted: Sighted


@dataclass(frozen=True, slots=True)
class _Run:
    ports: Ports
    talk: Talk
    stop: Stop
    options: ApplyOptions
    inventory: Path


async def _run(chosen: Chosen, planned: Planned, reading: _Reading, run: _Run) -> ApplyResult:
    state_dir = run.options.state_dir or chosen.folder / STATE
    header = {
        "user": _user(),
        "machine": platform.node(),
        "inventory": run.inventory.name,
        "tool_version": __version__,
        "allow": list(run.options.allow),
    }
    memory = memory_of(chosen, run.options.state_dir)
    started = run.ports.clock()
    run_id = f"{started.astimezone(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    journal = Journal.create(state_dir, run_id, run.talk.document(planned.plan), header)

    def emit(event: Event) -> None:
        journal.append(event)
        run.talk.emit(event)

    run.talk.started(planned.plan)
    try:
        result = await run_plan(
            planned.plan,
            run=run_id,
            sessions=reading.reached.sessions,
            observed=reading.sighted.observed,
            contents=planned.contents,
            keys=chosen.loaded.keys,
            desired=chosen.fleet,
            table=SERVICES,
            probe=run.ports.probe,
            emit=emit,
            clock=run.ports.clock,
            stop=run.stop,
            rollback=run.options.rollback,
            records=Records(keep=backup_folder(journal.folder), remember=memory.remember, forget=memory.forget),
        )
    finally:
        journal.close()
    return ApplyResult(
        plan=planned.plan, result=result, failures=missed(chosen, reading.sighted), journal=journal.folder
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container may have no entry for its user
        return "unknown"


def refuse(
    refusals: tuple[Refusal, ...], allow: tuple[str, ...], failures: Mapping[str, NodeError] | None = None
) -> None:
    """Raise GuardRefused when a guard holds that nobody lifted.

    ``failures``: why servers could not be read; what mends that comes before what goes on without them.
    """
    held = [refusal for refusal in refusals if not refusal.liftable or refusal.guard not in allow]
    if not held:
        return
    told = "; ".join(f"{each.server + ': ' if each.server else ''}{each.message} ({each.guard})" for each in held)
    lifts = list(dict.fromkeys(f"--allow {each.guard}" for each in held if each.liftable))
    fixed = list(dict.fromkeys(each.guard for each in held if not each.liftable))
    hint = f"if that is meant: {' '.join(lifts)}" if lifts and not fixed else f"nothing lifts {', '.join(fixed)}"
    mends = dict.fromkeys(error.hint for error in (failures or {}).values() if error.hint)
    raise GuardRefused(f"nothing was changed: {told}", hint="; ".join([*mends, hint]))


def check_basis(saved: Plan, chosen: Chosen) -> None:
    """Raise StalePlan unless tool and inventory are those that the plan was made with."""
    desired = chosen.loaded.desired
    if saved.fleet != desired.fleet:
        raise StalePlan(
            f"the plan is for fleet {saved.fleet}, the inventory for {desired.fleet}", hint="take the right inventory"
        )
    if saved.tool_version != __version__:
        raise StalePlan(
            f"the plan was made by cmscert {saved.tool_version}, this is {__version__}: their steps may differ",
            hint=STALE_HINT,
        )
    if saved.inventory_sha256 != desired.inventory_sha256:
        raise StalePlan(
            "the inventory, or a certificate that it names, has changed since the plan was made", hint=STALE_HINT
        )


def check_saved(saved: Plan, fresh: Planned, then: Planned) -> Planned:
    """Hold a saved plan against what the servers show. Raises StalePlan, naming the servers that differ.

    ``fresh`` is the plan of this moment, whose guards and notices count; ``then`` the one at the saved plan's moment,
    whose steps must be the saved ones.
    """
    basis = then.plan.basis
    moved = sorted(name for name in saved.basis.keys() | basis.keys() if saved.basis.get(name) != basis.get(name))
    if moved:
        raise StalePlan(f"{', '.join(moved)}: no longer as the plan was made from", hint=STALE_HINT)
    if saved.steps != then.plan.steps:
        both = (*saved.steps, *then.plan.steps)
        differ = sorted({each.server for each in both if not _in_both(each, saved, then.plan)})
        raise StalePlan(f"{', '.join(differ) or 'the fleet'}: other steps follow than the plan's", hint=STALE_HINT)
    shown = replace(saved, refusals=fresh.plan.refusals, notices=fresh.plan.notices, unread=fresh.plan.unread)
    return replace(then, plan=shown)


def _in_both(step: Step, one: Plan, other: Plan) -> bool:
    return step in one.steps and step in other.steps
