"""Finds what runs left that never came to a good end: the next command starts from there, and says so.

Journals only add what servers cannot tell (law 6). A run counts until a later one has put right what it left, and says
so in its directory; so nobody hears of it for ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from cmscert.app.holding import live_run
from cmscert.app.leftovers import Leftovers, Told
from cmscert.apply.before import ServerBefore, read_observed
from cmscert.apply.journal import JOURNAL_FILE, PLAN_FILE, RUNS, peek_journal
from cmscert.apply.runs import LEAVES, RunRecord, read_run, run_folders
from cmscert.apply.settled import is_settled, settle
from cmscert.errors import InputError
from cmscert.model.desired import Desired, LookedAt, WantedIdentity, WantedServer, WantedSlot
from cmscert.model.events import RunEnded
from cmscert.model.unfinished import NOTHING_UNFINISHED, OpenRun, Touched, Unfinished

_FIRST = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Read:
    record: RunRecord
    told: Told | None
    fault: str | None


def find_unfinished(state_dir: Path, fleet: str, *, own: str | None = None) -> Unfinished:
    """Read the journals of a fleet from the oldest on that may have left something, but for runs that go on now.

    ``own``: the run that asks. A journal or a plan that cannot be read is told as such, and adds nothing.
    Raises InputError when the directory of the runs cannot be read.
    """
    folders = run_folders(state_dir)
    first = next((at for at, folder in enumerate(folders) if not is_settled(folder) and not _ended_well(folder)), None)
    if first is None:
        return NOTHING_UNFINISHED
    aside = {own, live_run(state_dir, fleet)}
    records = [read_run(folder) for folder in folders[first:] if folder.name not in aside]
    mine = sorted((each for each in records if each.fleet == fleet), key=lambda each: (each.started or _FIRST, each.id))
    left = Leftovers()
    read = [_read(left, record, settled=record.settled is not None) for record in mine]
    return Unfinished(
        runs=tuple(_open(each, left) for each in read if not _is_over(each.record)),
        touched=left.touched,
        saved=left.saved,
        torn=frozenset(left.torn),
    )


def _ended_well(folder: Path) -> bool:
    """Tell from the end of a journal alone whether its run left nothing; False also when that is unclear."""
    ends = (event for event in peek_journal(folder / JOURNAL_FILE).events if isinstance(event, RunEnded))
    return any(end.result not in LEAVES for end in ends)


def _is_over(record: RunRecord) -> bool:
    """A rollback says itself of what it took back that it is settled: it may have had to leave a server out."""
    return record.result not in LEAVES or record.settled is not None


def _read(left: Leftovers, record: RunRecord, *, settled: bool) -> _Read:
    from cmscert.app.plan_file import load_plan  # late: its forms cost a tenth of a start, and few starts need them

    try:
        plan = load_plan(record.folder / PLAN_FILE)
    except InputError as error:
        return _Read(record, None, error.faults[0].message)
    told = left.read(record, plan, _before(record))
    if settled:
        left.settle(told)
    return _Read(record, told, record.fault.message if record.fault is not None else None)


def _before(record: RunRecord) -> Mapping[str, ServerBefore]:
    """Without it, nothing tells what was served before: services load once more than they would have to."""
    try:
        return read_observed(record.folder)
    except InputError:
        return {}


def _open(read: _Read, left: Leftovers) -> OpenRun:
    record, told = read.record, read.told
    return OpenRun(
        id=record.id,
        started=record.started,
        user=record.text("user"),
        machine=record.text("machine"),
        command=record.text("command"),
        result=record.result,
        at_steps=told.at_steps if told is not None else (),
        touched=tuple(place for place in left.touched if told is not None and place in told.places),
        fault=read.fault,
    )


def looking_at(desired: Desired, unfinished: Unfinished, named: Desired) -> Desired:
    """Let the slots that unfinished runs touched be read as well, and the files that were bound before.

    ``named``: everything that the inventory names, selected or not; it tells where to look.
    """
    if not unfinished.touched:
        return desired
    places = {server.name: server for server in named.servers}
    return replace(
        desired, servers=tuple(_looking_at(server, places[server.name], unfinished) for server in desired.servers)
    )


def _looking_at(server: WantedServer, named: WantedServer, unfinished: Unfinished) -> WantedServer:
    seen = [
        _looked_at(named.slot(slot), slot, touched)
        for touched in unfinished.touched.values()
        if touched.server == server.name
        for slot in touched.slots
    ]
    slots = {each.slot for each in seen}
    others = (each for each in server.looked_at if each.slot not in slots)
    return replace(server, looked_at=(*others, *seen))


def _looked_at(wanted: WantedSlot | None, slot: str, touched: Touched) -> LookedAt:
    before = touched.before.get(slot)
    made = LookedAt(
        slot=slot,
        tag=next(iter(touched.tags), None),
        bindings=(before,) if before is not None and before.files else (),
        answered=slot in touched.served,
    )
    if not isinstance(wanted, WantedIdentity):
        return made
    return replace(made, tag=wanted.tag or made.tag, address=wanted.address, port=wanted.port)


def settle_runs(state_dir: Path, runs: tuple[str, ...], *, by: str, at: datetime) -> None:
    """Note of runs that nothing of them is left to do. Raises JournalError."""
    for run in runs:
        settle(state_dir / RUNS / run, by=by, at=at)
