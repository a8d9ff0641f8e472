"""``runs``: what the journals of a state directory tell. Nothing is connected to, and no inventory is needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cmscert.app.plan import STATE, own_state_dir
from cmscert.app.plan_file import load_plan
from cmscert.apply.before import ServerBefore, read_observed
from cmscert.apply.journal import PLAN_FILE
from cmscert.apply.lock import all_locks
from cmscert.apply.runs import RunRecord, count_runs, find_run, list_runs
from cmscert.errors import Fault, InputError
from cmscert.model.events import Asked, Event, RunEnded, RunStarted, StepStarted
from cmscert.model.names import service_of
from cmscert.model.plan import FLEET, Plan, Rebind, Restart, Step
from cmscert.planning.select import Selector, fits, parse_selector

MOST_FILES = 1_000
"""Kept files that are named; a run keeps a handful for each server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsResult:
    """Runs, newest first. ``more``: older ones beyond the limit. ``live``: ids of those that go on now."""

    runs: tuple[RunRecord, ...]
    more: int
    live: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDetail:
    """One run. ``plan``: None where its file cannot be read. ``files``: what it kept, relative to its folder.

    ``live``: it goes on now.
    """

    record: RunRecord
    plan: Plan | None
    files: tuple[str, ...] = ()
    live: bool = False


def state_dir_for(state_dir: Path | None, inventory: Path | None, *, working: Path) -> Path | None:
    """Say where runs are: the named directory, ``.cmscert`` beside the inventory, or in the working folder.

    None when nothing was named and the working folder has none. Raises InputError when what was named is not there.
    """
    if state_dir is not None:
        if not state_dir.is_dir():
            raise _missing(state_dir, "there is no such directory", "name the one that apply had as --state-dir")
        return state_dir
    if inventory is not None:
        if not inventory.is_file():
            raise _missing(inventory, "there is no such inventory", "name the file that apply was given")
        return own_state_dir(inventory.parent)
    return own_state_dir(working) if (working / STATE).exists() else None


def runs(state_dir: Path, *, fleet: str | None = None, limit: int, select: tuple[str, ...] = ()) -> RunsResult:
    """Read the newest runs, at most ``limit``. Raises InputError when the directory cannot be read.

    ``select``: only runs that began a step on a server, or a service, that fits.
    """
    if select:
        selectors = tuple(map(parse_selector, select))
        every = list_runs(state_dir, fleet=fleet, fits=lambda record: bool(_chosen(record, None, selectors)))[::-1]
        return RunsResult(runs=every[:limit], more=len(every[limit:]), live=_live(state_dir, every[:limit]))
    shown = list_runs(state_dir, fleet=fleet, newest=limit)[::-1]
    more = count_runs(state_dir, fleet=fleet) - len(shown) if len(shown) == limit else 0
    return RunsResult(runs=shown, more=more, live=_live(state_dir, shown))


def run_detail(state_dir: Path, name: str, *, inventory: Path | None = None, select: tuple[str, ...] = ()) -> RunDetail:
    """Read one run by its id or the beginning of it. Raises InputError when there is none, or more than one.

    ``inventory``: whose newest run ``last`` is, where several share a directory. ``select``: only its steps on servers
    and services that fit; InputError when there are none.
    """
    record = find_run(state_dir, name, inventory=None if inventory is None else inventory.name)
    plan = _plan_of(record)
    live = record.id in _live(state_dir, (record,))
    detail = RunDetail(record=record, plan=plan, files=_kept(record.folder), live=live)
    return _narrowed(detail, select) if select else detail


def _plan_of(record: RunRecord) -> Plan | None:
    try:
        return load_plan(record.folder / PLAN_FILE)
    except InputError:  # of another release, or damaged: the journal is told without it
        return None


def _narrowed(detail: RunDetail, select: tuple[str, ...]) -> RunDetail:
    """Leave only the steps that fit, with what was typed and asked for them."""
    record, plan = detail.record, detail.plan
    chosen = _chosen(record, plan, tuple(map(parse_selector, select)), begun=False)
    if not chosen:
        message = f"--select {' --select '.join(select)} matches no step of run {record.id}"
        raise InputError([Fault(message=message, reason="selector")], hint="without --select all of it is shown")
    servers = frozenset(chosen.values())
    return replace(
        detail,
        record=replace(record, events=tuple(_narrow(record.events, chosen, servers))),
        plan=None if plan is None else replace(plan, steps=tuple(each for each in plan.steps if each.id in chosen)),
        files=tuple(name for name in detail.files if name.split("/")[1] in servers),
    )


def _narrow(events: tuple[Event, ...], chosen: Mapping[str, str], servers: frozenset[str]) -> Iterator[Event]:
    for event in events:
        match event:
            case RunStarted():
                yield replace(event, steps=len(chosen))
            case RunEnded():
                yield replace(event, by_hand=tuple(row for row in event.by_hand if row[0] in servers))
            case Asked():
                if event.server in servers:
                    yield event
            case _:
                if event.step in chosen:
                    yield event


def _chosen(
    record: RunRecord, plan: Plan | None, selectors: tuple[Selector, ...], *, begun: bool = True
) -> dict[str, str]:
    """Return the steps on servers and services that fit, with their servers; ``begun``: only those that were begun.

    What service a step is about stands in the plan; where that cannot be read, no step fits a service.
    """
    started = {event.step: event.server for event in record.events if isinstance(event, StepStarted)}
    services: Mapping[str, frozenset[str]] = {}
    places = started
    if not begun or any(selector.key == "service" for selector in selectors):
        plan = plan or _plan_of(record)
        steps = () if plan is None else plan.steps
        services = {step.id: _services(step) for step in steps}
        places = started if begun else started | {step.id: step.server for step in steps}
    return {
        step: server
        for step, server in places.items()
        if server != FLEET and fits(selectors, {"server": (server,), "service": tuple(services.get(step, ()))}, {})
    }


def _services(step: Step) -> frozenset[str]:
    """Return the services and slots that a step is about; an upload is about the slot that it is for."""
    slots = {step.slot} if step.slot is not None else set()
    if isinstance(step.action, Rebind):
        slots |= {binding.slot for binding in step.action.bindings} | {step.action.service}
    if isinstance(step.action, Restart):
        slots.add(step.action.service)
    return frozenset(slots | {service_of(slot) for slot in slots})


def seen_before(record: RunRecord) -> Mapping[str, ServerBefore] | None:
    """Return what was read before a run, by server; None where it cannot be read: of another release, or damaged."""
    try:
        return read_observed(record.folder)
    except InputError:
        return None


def _live(state_dir: Path, records: tuple[RunRecord, ...]) -> frozenset[str]:
    """Return which runs have the lock of their fleet now; nobody is asked when all have ended."""
    if not any(record.unfinished for record in records):
        return frozenset()
    holders = (lock.record for lock in all_locks(state_dir) if lock.held)
    return frozenset(holder.run for holder in holders if holder is not None and not holder.ended)


def _kept(folder: Path) -> tuple[str, ...]:
    """Name the files that a run saved: ``saved/<server>/<file>`` and ``backups/<server>/<file>``."""
    found = (path for kind in ("backups", "saved") for path in sorted((folder / kind).glob("*/*")))
    names = (str(path.relative_to(folder)) for path in found if path.is_file() and not path.name.startswith("."))
    return tuple(name for name, _ in zip(names, range(MOST_FILES), strict=False))


def _missing(path: Path, message: str, hint: str) -> InputError:
    return InputError([Fault(file=str(path), message=message, reason="unreadable")], hint=hint)
