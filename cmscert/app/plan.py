"""``plan`` and ``drift``: read the fleet through read-only sessions, and compare (law 1)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cmscert import __version__
from cmscert.app.checkout import checkout_path
from cmscert.app.fleet import PARALLEL, Sighted, entries, sight
from cmscert.app.inventory import Chosen, choose
from cmscert.app.ports import Ports
from cmscert.errors import Fault, InputError, NodeError
from cmscert.files import planted
from cmscert.mmp.services import SERVICES
from cmscert.model.database import FormerPrimary
from cmscert.model.desired import Desired
from cmscert.model.observed import ObservedServer
from cmscert.model.places import Asked
from cmscert.model.plan import Plan
from cmscert.model.unfinished import NOTHING_UNFINISHED, Unfinished
from cmscert.planning.make import Planned, make_plan

if TYPE_CHECKING:
    from cmscert.apply.memory import Memory
    from cmscert.model.results import DriftReport

STATE = ".cmscert"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanResult:
    """A plan, and the errors of the servers that could not be read.

    ``chosen`` and ``observed``: what it was made from. ``contents``: the public bytes of its uploads by content id.
    """

    plan: Plan
    failures: Mapping[str, NodeError]
    chosen: Chosen = field(repr=False)
    observed: Mapping[str, ObservedServer] = field(repr=False)
    contents: Mapping[str, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftResult:
    """A drift report, and the errors of the servers that could not be read."""

    report: DriftReport
    failures: Mapping[str, NodeError]


async def look(chosen: Chosen, desired: Desired, ports: Ports, *, parallel: int = PARALLEL) -> Sighted:
    """Read the servers of ``desired``, a part of what was chosen, through sessions that cannot write."""
    entry = entries(chosen.loaded.logins, desired.servers, chosen.folder)
    return await sight(entry, ports.reader, desired, ports, parallel=parallel, members=members_of(chosen))


def members_of(chosen: Chosen) -> frozenset[str]:
    """Return the servers of every database of the inventory, selected or not: what they use must not be removed."""
    return frozenset(name for database in chosen.loaded.desired.databases for name in database.members)


def state_dir_of(chosen: Chosen, state_dir: Path | None) -> Path:
    """Return where runs of a fleet write: ``.cmscert`` beside the inventory unless said otherwise.

    Raises InputError as ``own_state_dir`` does.
    """
    return state_dir or own_state_dir(chosen.folder)


def own_state_dir(beside: Path) -> Path:
    """Return the state directory that nobody named, beside an inventory.

    Raises InputError where it is a link, holds one, or is open to others: a checkout may have brought it.
    """
    folder = beside / STATE
    try:
        fault = planted(folder)
    except OSError as error:
        fault = f"cannot be read: {(error.strerror or 'unknown reason').lower()}"
    if fault is not None:
        raise InputError(
            [Fault(file=str(folder), message=f"{fault}: runs are not kept there", reason="state-dir")],
            hint="remove it when it is not yours, or name another place with --state-dir",
        )
    return folder


def memory_of(chosen: Chosen, state_dir: Path) -> Memory:
    """Return the notes of a fleet about its databases."""
    from cmscert.apply.memory import Memory

    return Memory(state_dir, chosen.loaded.desired.fleet)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """What earlier runs left that servers cannot tell.

    ``primaries``: by database, who held the data when a rebuild began that is not finished yet. ``dead``: runs of this
    machine that are over, whose lock files may still be on servers.
    """

    primaries: Mapping[str, FormerPrimary]
    unfinished: Unfinished
    dead: frozenset[str] = frozenset()


NOTHING_RECALLED = Recalled(primaries={}, unfinished=NOTHING_UNFINISHED)


def recall(chosen: Chosen, state_dir: Path, *, own: str | None = None) -> Recalled:
    """Read what earlier runs left; ``own``: the run that asks. Raises InputError for what cannot be trusted."""
    if not os.path.lexists(state_dir):
        return NOTHING_RECALLED
    import platform  # late, as all that follows: a fleet without runs has no journals to read

    from cmscert.app.unfinished import find_unfinished
    from cmscert.apply.lock import dead_runs

    databases = (database.name for database in chosen.fleet.databases)
    return Recalled(
        primaries=memory_of(chosen, state_dir).noted(databases),
        unfinished=find_unfinished(state_dir, chosen.loaded.desired.fleet, own=own),
        dead=dead_runs(state_dir, chosen.loaded.desired.fleet, platform.node()),
    )


def recall_if_readable(chosen: Chosen, state_dir: Path | None) -> tuple[Recalled, str | None]:
    """Read what earlier runs left; where it cannot be trusted, return nothing of it and why.

    Enough to look at a fleet by; nothing may be changed on the strength of it.
    """
    try:
        return recall(chosen, state_dir_of(chosen, state_dir)), None
    except InputError as error:
        fault = error.faults[0]
        return NOTHING_RECALLED, f"{Path(fault.file or STATE).name}: {fault.message}"


def missed(chosen: Chosen, sighted: Sighted) -> dict[str, NodeError]:
    """Return why selected servers could not be read."""
    selected = {server.name for server in chosen.desired.servers}
    return {name: error for name, error in sighted.failures.items() if name in selected}


def compare(chosen: Chosen, sighted: Sighted, moment: datetime, recalled: Recalled) -> Planned:
    """Make the plan of what was read."""
    return make_plan(
        chosen.fleet,
        sighted.observed,
        table=SERVICES,
        moment=moment,
        tool_version=__version__,
        select=chosen.select,
        noted=recalled.primaries,
        unfinished=recalled.unfinished,
        dead=recalled.dead,
    )


async def plan(
    inventory: Path,
    ports: Ports,
    *,
    now: datetime,
    select: tuple[str, ...] = (),
    parallel: int = PARALLEL,
    state_dir: Path | None = None,
) -> PlanResult:
    """Say what differs and in which order it can be put right.

    ``now`` is aware UTC. ``state_dir``: where runs write, ``.cmscert`` beside the inventory by default.
    Raises InputError and SecretError; a server that cannot be read makes the plan incomplete.
    """
    chosen = choose(inventory, now=now, select=select)
    recalled = recall(chosen, state_dir_of(chosen, state_dir))
    return await planned(chosen, ports, recalled, now=now, parallel=parallel)


async def planned(chosen: Chosen, ports: Ports, recalled: Recalled, *, now: datetime, parallel: int) -> PlanResult:
    """Read the fleet and compare, by what was recalled of earlier runs."""
    sighted = await look(chosen, _looking_at(chosen, recalled), ports, parallel=parallel)
    made = compare(chosen, sighted, now, recalled)
    return PlanResult(
        plan=made.plan,
        failures=missed(chosen, sighted),
        chosen=chosen,
        observed=sighted.observed,
        contents=made.contents,
    )


def _looking_at(chosen: Chosen, recalled: Recalled) -> Desired:
    """Return what is looked at: also what unfinished runs touched, where there are any."""
    if not recalled.unfinished.touched:
        return chosen.fleet
    from cmscert.app.unfinished import looking_at

    return looking_at(chosen.fleet, recalled.unfinished, chosen.loaded.desired)


async def drift(
    inventory: Path,
    ports: Ports,
    *,
    now: datetime,
    select: tuple[str, ...] = (),
    parallel: int = PARALLEL,
    state_dir: Path | None = None,
) -> DriftResult:
    """Say what on the servers is not as wanted. Same arguments and errors as ``plan``, and the same comparison.

    Nothing is put in order, so servers outside of a selection are not read.
    """
    from cmscert.app.proofs import proofs_of, traced

    chosen = choose(inventory, now=now, select=select)
    alone = replace(chosen, fleet=chosen.desired)
    place = state_dir_of(chosen, state_dir)
    found = await planned(alone, ports, recall(alone, place), now=now, parallel=parallel)
    report = drift_report(found.chosen, found.plan)
    proofs = proofs_of(place, report.fleet)
    return DriftResult(report=traced(report, chosen.desired, found.observed, proofs), failures=found.failures)


def drift_report(chosen: Chosen, made: Plan) -> DriftReport:
    """Take what differs out of a plan for what was selected."""
    from cmscert.model.results import DriftReport

    return DriftReport(
        made_at=made.made_at,
        fleet=made.fleet,
        inventory_sha256=made.inventory_sha256,
        servers=len(chosen.desired.servers),
        slots=sum(len(server.slots) for server in chosen.desired.servers)
        + sum(len(database.members) for database in chosen.desired.databases),
        select=made.select,
        unread=made.unread,
        findings=made.drift,
        notices=made.notices,
        asked=_asked(chosen),
        outside=_outside(chosen),
        file=checkout_path(Path(chosen.loaded.outline.file)),
    )


def _asked(chosen: Chosen) -> tuple[Asked, ...]:
    """Return what is compared of a selection, with its places; what is not issued yet is asked for too."""
    if chosen.loaded.places is None:
        return ()
    slots = {server.name: {slot.slot for slot in server.slots} for server in chosen.desired.servers}
    for each in chosen.desired.awaited:
        slots.setdefault(each.server, set()).add(each.slot)
    return chosen.loaded.places.asked(slots, {database.name for database in chosen.desired.databases})


def _outside(chosen: Chosen) -> tuple[tuple[str, str | None], ...]:
    """Return what a selection left out: whole servers, and slots and databases of those that it kept a part of."""
    every, kept = _compared(chosen.loaded.desired), _compared(chosen.desired)
    return tuple(
        key
        for server, slots in every.items()
        for key in (
            [(server, slot) for slot in slots if slot not in kept[server]] if server in kept else [(server, None)]
        )
    )


def _compared(desired: Desired) -> dict[str, dict[str, None]]:
    """Return what is wanted of each server, slots and parts of databases, in order."""
    found = {server.name: {slot.slot: None for slot in server.slots} for server in desired.servers}
    for each in desired.awaited:
        found.setdefault(each.server, {})[each.slot] = None
    for database in desired.databases:
        for member in database.members:
            found[member][f"database/{database.name}"] = None
    return found
