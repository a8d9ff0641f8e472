"""``runs``: what the journals of a state directory tell. Nothing is connected to, and no inventory is needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cmscert.app.plan import STATE, own_state_dir
from cmscert.app.plan_file import load_plan
from cmscert.apply.before import ServerBefore, read_observed
from cmscert.apply.journal import PLAN_FILE
from cmscert.apply.lock import all_locks
from cmscert.apply.runs import RunRecord, count_runs, find_run, list_runs
from cmscert.errors import Fault, InputError
from cmscert.model.plan import Plan

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


def runs(state_dir: Path, *, fleet: str | None = None, limit: int) -> RunsResult:
    """Read the newest runs, at most ``limit``. Raises InputError when the directory cannot be read."""
    shown = list_runs(state_dir, fleet=fleet, newest=limit)[::-1]
    more = count_runs(state_dir, fleet=fleet) - len(shown) if len(shown) == limit else 0
    return RunsResult(runs=shown, more=more, live=_live(state_dir, shown))


def run_detail(state_dir: Path, name: str) -> RunDetail:
    """Read one run by its id or the beginning of it. Raises InputError when there is none, or more than one."""
    record = find_run(state_dir, name)
    plan: Plan | None
    try:
        plan = load_plan(record.folder / PLAN_FILE)
    except InputError:  # of another release, or damaged: the journal is told without it
        plan = None
    live = record.id in _live(state_dir, (record,))
    return RunDetail(record=record, plan=plan, files=_kept(record.folder), live=live)


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
