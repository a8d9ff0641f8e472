"""The runs of a state directory: read for people and for the next run, and removed when they are old."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf
from pathlib import Path

from cmscert.apply.disk import sync_folder
from cmscert.apply.journal import JOURNAL_FILE, RUN_ID, RUNS, peek_journal, scan_journal
from cmscert.apply.settled import settled_by
from cmscert.errors import Fault, InputError, JournalError
from cmscert.model.events import Event, RunEnded, RunStarted

KEEP_DAYS = 730
KEEP_COUNT = 200
DRAFT_SECONDS = 86_400.0
"""A draft of a run's directory, or the rest of one that was being removed, is left over when it is older."""

LAST = "last"
"""Stands for the newest run."""

LEAVES = frozenset({None, "neither", "interrupted"})
"""Ends of a run that may leave something; None is no end at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run as its journal tells it.

    ``header``: who, when, where from; empty when its line was cut. ``torn``: the last line was cut while it was
    written, and is left out. ``fault``: the journal is damaged, and ``events`` are those before the damage.
    ``settled``: the later run after which nothing was left of it, or an empty text; None while something may be.
    """

    id: str
    folder: Path
    header: Mapping[str, object]
    events: tuple[Event, ...]
    torn: bool = False
    fault: Fault | None = None
    settled: str | None = None

    @property
    def end(self) -> RunEnded | None:
        """The event that ended it; None when there is none, or the journal is damaged before it."""
        return next((event for event in reversed(self.events) if isinstance(event, RunEnded)), None)

    @property
    def unfinished(self) -> bool:
        """Whether it never came to its end, or that cannot be told; a run that goes on now is unfinished too."""
        return self.end is None

    @property
    def result(self) -> str | None:
        """How it ended; None when it did not."""
        return None if self.end is None else self.end.result

    @property
    def started(self) -> datetime | None:
        """When it began, aware; None when its first event is missing."""
        return self.events[0].at if self.events else None

    @property
    def ended(self) -> datetime | None:
        """When it ended, aware; None when it did not."""
        return None if self.end is None else self.end.at

    @property
    def fleet(self) -> str | None:
        """The fleet that it changed."""
        told = (event.fleet for event in self.events if isinstance(event, RunStarted))
        return self.text("fleet") or next(told, None)

    @property
    def select(self) -> tuple[str, ...]:
        """What was selected; nothing stands for everything."""
        return self.texts("select")

    def text(self, key: str) -> str | None:
        """Return a text of the header; None when there is none."""
        value = self.header.get(key)
        return value if isinstance(value, str) and value else None

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts of the header; empty when there is none."""
        value = self.header.get(key)
        return tuple(str(each) for each in value) if isinstance(value, list) else ()


def list_runs(
    state_dir: Path,
    *,
    fleet: str | None = None,
    newest: int | None = None,
    fits: Callable[[RunRecord], bool] = lambda _: True,
) -> tuple[RunRecord, ...]:
    """Read the runs of a state directory, oldest first; one that is damaged is a record with ``fault``.

    ``fleet``: only its runs. ``fits``: only these. ``newest``: at most so many of the newest. Raises InputError when
    the directory cannot be read; one that is not there has no runs.
    """
    kept: list[RunRecord] = []
    for folder in reversed(run_folders(state_dir)):
        if newest is not None and len(kept) >= newest and _second(folder.name) != _second(kept[-1].id):
            break
        record = read_run(folder)
        if (fleet is None or record.fleet == fleet) and fits(record):
            kept.append(record)
    return tuple(sorted(kept, key=_age)[-newest if newest else 0 :])


def read_run(folder: Path) -> RunRecord:
    """Read one run; never raises."""
    view = scan_journal(folder / JOURNAL_FILE)
    return RunRecord(
        id=folder.name,
        folder=folder,
        header=view.header,
        events=view.events,
        torn=view.torn,
        fault=view.fault,
        settled=settled_by(folder),
    )


def find_run(state_dir: Path, name: str, *, inventory: str | None = None) -> RunRecord:
    """Read the run of that id, the only one whose id begins so, or the newest (``last``). Raises InputError.

    ``inventory``: the newest is one that went by a file of this name, as fleets may share a directory.
    """
    folders = {folder.name: folder for folder in run_folders(state_dir)}
    if name == LAST and name not in folders:
        last = list_runs(state_dir, newest=1, fits=lambda each: inventory in (None, each.text("inventory")))
        if last:
            return last[0]
    if name in folders:
        return read_run(folders[name])
    like = [each for each in folders if name and each.startswith(name)]
    if len(like) == 1:
        return read_run(folders[like[0]])
    if like:
        more = f" and {len(like) - 3} more" if len(like) > 3 else ""  # noqa: PLR2004 - as many as are named
        message = f"{len(like)} runs begin with {name!r}: {', '.join(like[:3])}{more}"
        raise InputError([Fault(file=str(state_dir), message=message, reason="run")], hint="type more of the id")
    message = f"there is no run {name!r} here"
    raise InputError([Fault(file=str(state_dir), message=message, reason="run")], hint="cmscert runs lists them")


def prune(
    state_dir: Path,
    keep_days: int = KEEP_DAYS,
    keep_count: int = KEEP_COUNT,
    *,
    now: datetime,
    live: Collection[str] = (),
    fleet: str | None = None,
) -> tuple[str, ...]:
    """Remove runs that are older than ``keep_days``, and those beyond the newest ``keep_count``; return their ids.

    Never removed: a damaged run, one of ``live``, and one that may have left something (it has no end, or ended
    ``neither`` or ``interrupted``) unless it was settled. ``fleet``: look at its runs only. ``now``:
    aware UTC. Raises JournalError when a directory cannot be removed, InputError when they cannot be read.
    """
    _sweep(state_dir / RUNS, now)
    runs = _glanced(state_dir, fleet)
    since = now - timedelta(days=keep_days)
    gone: list[str] = []
    for number, run in enumerate(runs):
        beyond = len(runs) - number > keep_count
        if run.id in live or not (beyond or run.ended is None or run.ended < since):
            continue
        record = read_run(run.folder)
        last = record.ended or record.started
        over = record.result not in LEAVES or record.settled is not None
        if over and record.fault is None and last is not None and (beyond or last < since):
            _remove(record.folder)
            gone.append(record.id)
    return tuple(gone)


def last_ended(state_dir: Path, fleet: str) -> RunRecord | None:
    """Return the newest run of a fleet that came to its end, with its header and its end alone.

    Raises InputError when the runs cannot be read.
    """
    ended = (run for run in _glanced(state_dir, fleet) if run.end is not None)
    return max(ended, key=lambda run: (run.ended, run.id), default=None)


def count_runs(state_dir: Path, *, fleet: str | None = None) -> int:
    """Count the runs of a state directory, or those of a fleet. Raises InputError when it cannot be read."""
    return len(_glanced(state_dir, fleet)) if fleet is not None else len(run_folders(state_dir))


def _glanced(state_dir: Path, fleet: str | None) -> list[RunRecord]:
    """Return every run with its header and its end alone, oldest first: journals of years are not read for that."""
    found = ((folder, peek_journal(folder / JOURNAL_FILE)) for folder in run_folders(state_dir))
    runs = (RunRecord(id=folder.name, folder=folder, header=view.header, events=view.events) for folder, view in found)
    return sorted((run for run in runs if fleet is None or run.fleet == fleet), key=_end)


def run_folders(state_dir: Path) -> tuple[Path, ...]:
    """Return the directories of runs by id, which begins with their moment; no link is followed. Raises InputError."""
    try:
        with os.scandir(state_dir / RUNS) as found:
            names = [each.name for each in found if RUN_ID.fullmatch(each.name) and each.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return ()
    except OSError as error:
        message = f"the runs cannot be read: {(error.strerror or str(error)).lower()}"
        raise InputError([Fault(file=str(state_dir / RUNS), message=message, reason="unreadable")]) from error
    return tuple(state_dir / RUNS / name for name in sorted(names))


def _second(run: str) -> str:
    return run.partition("-")[0]


def _age(record: RunRecord) -> tuple[str, float, str]:
    """Sort by the moment in the id, and within its second by the first event."""
    return _second(record.id), record.started.timestamp() if record.started else 0.0, record.id


def _end(record: RunRecord) -> tuple[str, float, str]:
    """Sort by the moment in the id, and within its second by the end: a run without one is the newest."""
    return _second(record.id), record.ended.timestamp() if record.ended else inf, record.id


def _remove(folder: Path) -> None:
    """Remove a run's directory; what is half removed has no run's name any more."""
    gone = folder.with_name(f".{folder.name}.gone")
    try:
        folder.rename(gone)
        shutil.rmtree(gone)
        sync_folder(folder.parent)
    except OSError as error:
        raise JournalError(
            f"{folder}: the old run cannot be removed: {error.strerror or error}", hint="remove it by hand"
        ) from error


def _sweep(runs: Path, now: datetime) -> None:
    """Remove what a crash left of directories that were being made or removed."""
    for part in _leftovers(runs):
        if now.timestamp() - part.lstat().st_mtime > DRAFT_SECONDS:
            shutil.rmtree(part, ignore_errors=True)


def _leftovers(runs: Path) -> Iterator[Path]:
    if runs.is_dir():
        for each in sorted(runs.iterdir()):
            own = each.name.startswith(".") and each.suffix in {".new", ".gone"}
            if own and RUN_ID.fullmatch(each.stem[1:]) and each.is_dir() and not each.is_symlink():
                yield each
