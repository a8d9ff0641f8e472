"""One writer per fleet: a lock file on this machine, and a marker that the nodes carry for all others."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from cmscert.app.fleet import Reached, Sighted
from cmscert.app.ports import Ports
from cmscert.apply.keeping import FleetLock
from cmscert.apply.lock import (
    Record,
    dead_runs,
    live_run,
    locked,
    read_record,
    record_path,
    remove_record,
    take_over,
    write_record,
)
from cmscert.apply.markers import TERMS, Board, Sleep, Terms
from cmscert.apply.stop import Stop
from cmscert.errors import JournalError
from cmscert.model.marker import Marker, is_marker, marker_name, run_of
from cmscert.model.observed import ObservedServer
from cmscert.model.readings import Known
from cmscert.transport.session import WriteSession

__all__ = ["ALLOW", "Writer", "dead_runs", "live_run", "on_the_nodes", "on_this_machine"]

ALLOW = "foreign-lock"
"""The name of the guard: with it, lock files that the plan showed do not count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Who wants to change a fleet. ``command``: ``apply`` or ``rollback``."""

    fleet: str
    run: str
    owner: str
    machine: str
    command: str
    allow: tuple[str, ...] = ()


@contextmanager
def on_this_machine(state_dir: Path, writer: Writer, ports: Ports) -> Iterator[None]:
    """Hold the fleet's lock file. Raises LockHeld when another process of this machine has it, and JournalError."""
    with locked(state_dir, writer.fleet):
        record = Record(
            fleet=writer.fleet,
            owner=writer.owner,
            machine=writer.machine,
            pid=os.getpid(),
            run=writer.run,
            since=ports.clock(),
            command=writer.command,
        )
        found = read_record(state_dir, writer.fleet)
        _tell_of_the_last(found, record, record_path(state_dir, writer.fleet), ports)
        write_record(state_dir, take_over(found, record))
        ended = True
        try:
            yield
        except (Exception, asyncio.CancelledError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # a test's stand-in for kill -9: the record stays as that leaves it
            ended = False
            raise
        finally:
            if ended:
                with suppress(JournalError):  # the next run tells that this one did not end, which harms nobody
                    _settle(state_dir, writer)


@asynccontextmanager
async def on_the_nodes(  # noqa: PLR0913 - the last two are for tests, which cannot wait for minutes
    writer: Writer,
    reached: Reached[WriteSession],
    sighted: Sighted,
    ports: Ports,
    stop: Stop,
    *,
    state_dir: Path,
    must: frozenset[str],
    held: frozenset[str] | None = None,
    terms: Terms = TERMS,
    sleep: Sleep = asyncio.sleep,
) -> AsyncIterator[None]:
    """Let nodes carry the marker of this run, and renew it until the block ends.

    ``held``: the servers that the run keeps to itself; None stands for all that were reached. ``must``: servers that
    the plan changes; one of these that cannot carry a marker ends it. A marker that is lost stops the run softly.
    Raises LockHeld when a node carries another's, StalePlan when the files of one are not as the plan was made from,
    and NodeError; no marker of this run is left then.
    """
    dead = dead_runs(state_dir, writer.fleet, writer.machine)
    boards = _boards(writer, reached, sighted, ports, terms, dead)
    rest = frozenset() if held is None else boards.keys() - held
    lock = FleetLock(
        {name: board for name, board in boards.items() if name not in rest},
        listed={name: seen.files.value for name, seen in sighted.observed.items() if isinstance(seen.files, Known)},
        must=must,
        clock=ports.clock,
        terms=terms,
        sleep=sleep,
    )
    cleared = False
    try:
        await lock.take()
        _tell_of_others(lock.over, sighted, dead, ports)
        cleared = (
            await lock.clear() and not reached.failures and not any(_carries(sighted, name, dead) for name in rest)
        )
        stop.soft_when(lock.lapsed)
        keeper = asyncio.ensure_future(lock.keep(stop, ports.say))
        try:
            yield
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
        if not keeper.cancelled():
            keeper.result()
    finally:
        stuck = await lock.leave()
        if stuck:
            ports.say(f"{', '.join(stuck)}: the lock file of this run may be left there; it counts for 10 minutes")
        with suppress(JournalError):
            _note_left(state_dir, writer, cleared=cleared, stuck=bool(stuck))


def _boards(
    writer: Writer,
    reached: Reached[WriteSession],
    sighted: Sighted,
    ports: Ports,
    terms: Terms,
    dead: frozenset[str],
) -> dict[str, Board]:
    now = ports.clock()
    mine = Marker(
        file=marker_name(writer.run),
        fleet=writer.fleet,
        owner=writer.owner,
        machine=writer.machine,
        run=writer.run,
        since=now,
        until=now,
        command=writer.command,
    )
    boards = {}
    for name, session in reached.sessions.items():
        seen = sighted.observed.get(name)
        if seen is not None and isinstance(seen.reached, Known):
            skew = seen.clock_skew.value if isinstance(seen.clock_skew, Known) else 0.0
            passed = {marker_name(run) for run in dead}
            if ALLOW in writer.allow:
                passed |= set(_lock_files(seen))
            boards[name] = Board(
                session=session,
                mine=mine,
                skew=timedelta(seconds=skew),
                clock=ports.clock,
                terms=terms,
                passed=frozenset(passed),
            )
    return boards


def _carries(sighted: Sighted, server: str, dead: frozenset[str]) -> bool:
    """Tell whether a server that is not held may carry the lock file of a run that died here."""
    seen = sighted.observed[server]
    return not isinstance(seen.files, Known) or not dead.isdisjoint(map(run_of, _lock_files(seen)))


def _lock_files(seen: ObservedServer) -> tuple[str, ...]:
    return tuple(filter(is_marker, seen.files.value)) if isinstance(seen.files, Known) else ()


def _tell_of_the_last(found: Record | None, record: Record, path: Path, ports: Ports) -> None:
    if found is None:
        if os.path.lexists(path):
            ports.say(f"{path} cannot be read: whose lock it tells of is not known, and nobody holds it now")
        return
    if found.machine != record.machine:
        ports.say(
            f"{path} was written on {found.machine}: a state directory that machines share cannot keep one writer "
            "per fleet; give each its own with --state-dir"
        )
    if not found.ended:
        ports.say(f"the lock of {found.told} is taken over: it has died")


def _tell_of_others(over: Mapping[str, tuple[str, ...]], sighted: Sighted, dead: frozenset[str], ports: Ports) -> None:
    """Say whose lock files on the nodes count no more."""
    known = {
        marker.value.run: marker.value
        for seen in sighted.observed.values()
        for marker in seen.markers
        if isinstance(marker, Known)
    }
    for run in sorted({run_of(file) or file for files in over.values() for file in files}):
        servers = sorted(name for name, files in over.items() if marker_name(run) in files)
        marker = known.get(run)
        whose = f" of {marker.owner} on {marker.machine}" if marker is not None else ""
        why = "it died on this machine" if run in dead else "it has expired, or was to be passed over"
        ports.say(f"{', '.join(servers)}: the lock of run {run}{whose} is taken over: {why}")


def _note_left(state_dir: Path, writer: Writer, *, cleared: bool, stuck: bool) -> None:
    """Remember runs whose lock files may still be on servers, so that the next run knows them for dead."""
    record = read_record(state_dir, writer.fleet)
    if record is None or record.run != writer.run:
        return
    left = () if cleared else record.left
    write_record(state_dir, replace(record, left=(*left, writer.run) if stuck else left))


def _settle(state_dir: Path, writer: Writer) -> None:
    record = read_record(state_dir, writer.fleet)
    if record is not None and record.left:
        write_record(state_dir, replace(record, ended=True))
    else:
        remove_record(state_dir, writer.fleet)
