"""``lock``: who holds a fleet. Local locks are looked at; servers only when somebody asks for that."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cmscert.app.fleet import PARALLEL, Reached, S, entries, reach
from cmscert.app.holding import on_this_machine
from cmscert.app.inventory import Chosen, choose
from cmscert.app.plan import own_state_dir, state_dir_of
from cmscert.app.ports import Ports
from cmscert.app.running import writer_for
from cmscert.apply.lock import LocalLock, all_locks, held_by_a_process, locked, look_at, record_path, remove_record
from cmscert.errors import NodeError, NotConfirmed
from cmscert.model.desired import WantedServer
from cmscert.model.marker import GRACE, NodeLock
from cmscert.model.readings import Known, Unread
from cmscert.observe.asking import together
from cmscert.observe.markers import Marks, look_for_markers


@dataclass(frozen=True, slots=True, kw_only=True)
class LocksResult:
    """Locks of a state directory, and of servers where these were asked (else None).

    ``released``: fleets whose record was removed, and lock files that were removed. ``failures``: servers that could
    not be asked, or did not do it.
    """

    locks: tuple[LocalLock, ...]
    servers: tuple[NodeLock, ...] | None
    failures: Mapping[str, NodeError]
    released: tuple[str, ...] = ()
    removed: tuple[NodeLock, ...] = ()


def list_locks(inventory: Path | None, state_dir: Path | None, *, working: Path) -> LocksResult:
    """Look at the local locks: of the named state directory, or of ``.cmscert`` beside the inventory, or here."""
    return LocksResult(locks=all_locks(place_of(inventory, state_dir, working=working)), servers=None, failures={})


async def list_node_locks(
    inventory: Path,
    ports: Ports,
    *,
    now: datetime,
    select: tuple[str, ...] = (),
    state_dir: Path | None = None,
    parallel: int = PARALLEL,
) -> LocksResult:
    """Look at the local lock of a fleet, and read the lock files of its servers, through sessions that cannot write.

    ``select``: only these servers. Raises InputError and SecretError.
    """
    chosen = choose(inventory, now=now, select=select)
    entry = entries(chosen.loaded.logins, _servers(chosen), chosen.folder)
    async with reach(entry, ports.reader, parallel=parallel) as reached:
        marks, failures = await _marks(reached, ports)
    return LocksResult(locks=_own(chosen, state_dir), servers=_rows(marks), failures=failures)


def release(fleet: str | None, inventory: Path | None, state_dir: Path | None, *, working: Path) -> LocksResult:
    """Forget who held the fleets of a state directory, or one of them, and died. Raises LockHeld for one that lives."""
    place = place_of(inventory, state_dir, working=working)
    found = [lock for lock in all_locks(place) if fleet in (None, lock.fleet)]
    for lock in found:
        if lock.held:
            raise held_by_a_process(lock.fleet, lock.record)
    gone = [lock.fleet for lock in found if _forget(place, lock.fleet)]
    return LocksResult(locks=all_locks(place), servers=None, failures={}, released=tuple(gone))


async def release_node_locks(
    inventory: Path,
    ports: Ports,
    confirm: Callable[[tuple[NodeLock, ...]], Awaitable[bool]],
    *,
    now: datetime,
    select: tuple[str, ...] = (),
    state_dir: Path | None = None,
    parallel: int = PARALLEL,
) -> LocksResult:
    """Remove the lock files of other runs from the servers of a fleet, once ``confirm`` has seen them and agreed.

    ``select``: only from these servers. Nothing else is written. Raises LockHeld when a process of this machine holds
    the fleet, NotConfirmed, InputError and SecretError.
    """
    chosen = choose(inventory, now=now, select=select)
    place = state_dir_of(chosen, state_dir)
    writer = writer_for(chosen.loaded.desired.fleet, ports.clock(), command="lock release", allow=())
    entry = entries(chosen.loaded.logins, _servers(chosen), chosen.folder)
    with on_this_machine(place, writer, ports):
        async with reach(entry, ports.writer, parallel=parallel) as reached:
            marks, failures = await _marks(reached, ports)
            found = _rows(marks)
            if found and not await confirm(found):
                raise NotConfirmed("nothing was changed: the removal was not confirmed")

            async def one(lock: NodeLock) -> bool:
                try:
                    await reached.sessions[lock.server].remove_file(lock.file)
                except NodeError as error:
                    failures[lock.server] = error
                    return False
                return True

            done = await together(*(one(lock) for lock in found))
    gone = tuple(lock for lock, removed in zip(found, done, strict=True) if removed)
    left = tuple(lock for lock in found if lock not in gone)
    return LocksResult(locks=_own(chosen, state_dir), servers=left, failures=failures, removed=gone)


def place_of(inventory: Path | None, state_dir: Path | None, *, working: Path) -> Path:
    """Say where local locks are: the named directory, ``.cmscert`` beside the inventory, or in the working folder."""
    return state_dir or own_state_dir(working if inventory is None else inventory.parent)


def _servers(chosen: Chosen) -> tuple[WantedServer, ...]:
    return chosen.desired.servers if chosen.select else chosen.fleet.servers


def _forget(place: Path, fleet: str) -> bool:
    with locked(place, fleet):
        there = os.path.lexists(record_path(place, fleet))
        remove_record(place, fleet)
    return there


def _own(chosen: Chosen, state_dir: Path | None) -> tuple[LocalLock, ...]:
    lock = look_at(state_dir_of(chosen, state_dir), chosen.loaded.desired.fleet)
    return (lock,) if lock.held or lock.record is not None else ()


async def _marks(reached: Reached[S], ports: Ports) -> tuple[list[Marks], dict[str, NodeError]]:
    failures = dict(reached.failures)
    marks: list[Marks] = []

    async def one(session: S) -> None:
        try:
            marks.append(await look_for_markers(session, ports.clock))
        except NodeError as error:
            failures[session.server] = error

    await together(*(one(session) for session in reached.sessions.values()))
    return sorted(marks, key=lambda each: each.server), failures


def _rows(marks: list[Marks]) -> tuple[NodeLock, ...]:
    rows = []
    for each in marks:
        for file, reading in each.files.items():
            marker = reading.value if isinstance(reading, Known) else None
            rows.append(
                NodeLock(
                    server=each.server,
                    file=file,
                    marker=marker,
                    why=reading.why if isinstance(reading, Unread) else None,
                    expired=marker is not None and each.now > marker.until + GRACE,
                )
            )
    return tuple(rows)
