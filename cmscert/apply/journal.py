"""The journal of a run: a directory that appears whole, and an append-only file in it (law 6).

``<state dir>/runs/<run id>/``: ``plan.json``; ``observed.json``, what was read before; ``journal.jsonl``. A line of
the journal is ``{"n": 1, "sum": "…", "event": {…}}``; the first has ``header`` instead of ``event``. ``sum`` is the
start of a SHA-256 over number and content, so a line that was cut or changed is noticed. Lines are written one by one
and in order, so a process that dies can only cut the last; what must outlast the machine is waited for (``on_disk``),
by all who wait at that moment at once. Only its owner can read it (0700, 0600).
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from cmscert.apply.disk import make_folders, open_regular, sync_folder
from cmscert.apply.events import from_json, to_json
from cmscert.errors import Fault, InputError, JournalError
from cmscert.files import parse_json
from cmscert.model.events import Event

PLAN_FILE = "plan.json"
OBSERVED_FILE = "observed.json"
JOURNAL_FILE = "journal.jsonl"
RUNS = "runs"
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
LONGEST_LINE = 16 << 20
"""Bytes; an answer is cut at a fraction of that before it gets here."""

_SUM = 16
_TAIL = 64 << 10
"""Bytes in which an end is looked for; only one that names more commands to type than anybody would is longer."""

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
_Part = Literal["header", "event"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalView:
    """A journal, read. ``torn``: the last line was cut while it was written, and is left out.

    ``fault``: why it was read no further than to ``events``.
    """

    header: Mapping[str, object]
    events: tuple[Event, ...]
    torn: bool
    fault: Fault | None = None

    @property
    def whole(self) -> bool:
        """Whether the run came to its end, however it ended."""
        return bool(self.events) and self.events[-1].kind == "run-ended"


class Journal:
    """Takes events, each behind the last. After one error nothing more is taken."""

    def __init__(self, folder: Path, descriptor: int) -> None:
        self.folder = folder
        self._descriptor = descriptor
        self._written = 0
        self._synced = 0
        self._syncing: asyncio.Task[None] | None = None
        self._broken: str | None = None

    @classmethod
    def create(
        cls,
        state_dir: Path,
        run_id: str,
        plan_document: Mapping[str, object],
        header: Mapping[str, object],
        *,
        observed: Mapping[str, object] | None = None,
    ) -> Self:
        """Make the directory of a run with its plan, what was observed, and the first line of its journal.

        ``header``: who, when, where from. All mappings hold JSON values. The directory has its name only when all of
        that is on disk, so a run without a header is damaged, never half made.
        Raises JournalError when it cannot be written, or when there is a run of that id; ValueError for a bad run id.
        """
        if not RUN_ID.fullmatch(run_id):
            raise ValueError("a run id has letters, digits, dots, hyphens and underscores, at most 80")
        folder = state_dir / RUNS / run_id
        draft = folder.with_name(f".{run_id}.new")
        try:
            _make(state_dir, folder, draft)
        except OSError as error:
            raise _refused(folder, error) from error
        try:
            return cls._drafted(draft, folder, plan_document, header, observed)
        except OSError as error:
            shutil.rmtree(draft, ignore_errors=True)
            raise _refused(folder, error) from error
        except JournalError:
            shutil.rmtree(draft, ignore_errors=True)
            raise

    @classmethod
    def _drafted(
        cls,
        draft: Path,
        folder: Path,
        plan_document: Mapping[str, object],
        header: Mapping[str, object],
        observed: Mapping[str, object] | None,
    ) -> Self:
        _write_new(draft / PLAN_FILE, _dump(plan_document) + b"\n")
        if observed is not None:
            _write_new(draft / OBSERVED_FILE, _dump(observed) + b"\n")
        journal = cls(folder, os.open(draft / JOURNAL_FILE, _NEW, 0o600))
        try:
            journal._write("header", header)
            journal._sync()
            sync_folder(draft)
            draft.rename(folder)
            sync_folder(folder.parent)
        except BaseException:
            journal.close()
            raise
        return journal

    @property
    def path(self) -> Path:
        """The file that is appended to."""
        return self.folder / JOURNAL_FILE

    def append(self, event: Event) -> None:
        """Write one event; it is on disk on return. Raises JournalError."""
        self.write(event)
        self._sync()

    def write(self, event: Event) -> None:
        """Write one event: it outlasts the process now, and the machine after ``on_disk``. Raises JournalError."""
        self._write("event", to_json(event))

    async def on_disk(self) -> None:
        """Return when everything that was written so far is on disk. Raises JournalError.

        A disk takes milliseconds, which nobody else has to wait for: it is waited for in a thread, and once for all
        who wait.
        """
        wanted = self._written
        while self._synced < wanted:
            self._hold_whole()
            if self._syncing is None:
                self._syncing = asyncio.ensure_future(self._sync_beside())
            await asyncio.shield(self._syncing)

    def close(self) -> None:
        """Close the file; nothing can be taken afterwards."""
        if self._descriptor >= 0:
            with suppress(JournalError):
                self._sync()
            os.close(self._descriptor)
            self._descriptor = -1
        self._broken = self._broken or "it is closed"

    def _hold_whole(self) -> None:
        if self._broken is not None:
            raise JournalError(f"{self.path}: the journal cannot be written: {self._broken}")

    def _write(self, part: _Part, values: Mapping[str, object]) -> None:
        self._hold_whole()
        line = _line(self._written, part, values)
        try:
            _append(self._descriptor, line)
        except OSError as error:
            raise self._break(error) from error
        self._written += 1

    def _sync(self) -> None:
        if self._synced == self._written:
            return
        self._hold_whole()
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise self._break(error) from error
        self._synced = self._written

    async def _sync_beside(self) -> None:
        """Sync in a thread, on a descriptor of its own: the journal may be closed meanwhile."""
        written = self._written
        try:
            await asyncio.to_thread(_sync_and_close, os.dup(self._descriptor))
        except OSError as error:
            self._break(error)  # whoever waits sees it
        else:
            self._synced = max(self._synced, written)
        finally:
            self._syncing = None

    def _break(self, error: OSError) -> JournalError:
        self._broken = error.strerror or str(error)
        return _refused(self.path, error)


def read_journal(path: Path) -> JournalView:
    """Read a journal file.

    A last line without its end, or with a wrong sum, is read over and told as ``torn``: that is what a crash leaves.
    Raises InputError when it cannot be read, or when a line before the last is damaged.
    """
    view = scan_journal(path)
    if view.fault is not None:
        hint = "the lines before it are good; keep the file and look at the servers with: cmscert status"
        raise InputError((view.fault,), hint=hint if view.fault.line else None)
    return view


def scan_journal(path: Path) -> JournalView:
    """Read a journal file as ``read_journal`` does, and as far as it is good; ``fault`` says why no further."""
    header: Mapping[str, object] = {}
    events: list[Event] = []
    torn, fault = False, None
    try:
        for number, line, last in _lines(path):
            try:
                part, values = _parse(number, line)
                if part == "header":
                    header = values
                else:
                    events.append(from_json(values))
            except (ValueError, RecursionError) as error:
                torn = last
                fault = None if last else _fault(path, number + 1, f"the line is damaged: {error}")
                break
    except OSError as error:
        fault = _fault(path, None, f"the journal cannot be read: {error.strerror or error}")
    return JournalView(header=header, events=tuple(events), torn=torn, fault=fault)


def peek_journal(path: Path) -> JournalView:
    """Read the header, and the last event where that ends the run: enough to tell which of many journals matter.

    Nothing in between is looked at, so a damaged journal can pass. ``torn`` and ``fault`` are never set.
    """
    header: Mapping[str, object] = {}
    ends: tuple[Event, ...] = ()
    with suppress(OSError, ValueError, LookupError, TypeError, RecursionError), open_regular(path) as file:
        header = _parse(0, file.readline(LONGEST_LINE))[1]
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
        last = file.read(_TAIL).rstrip(b"\n").rpartition(b"\n")[2] + b"\n"
        event = from_json(_parse(int(json.loads(last)["n"]), last)[1])
        ends = (event,) if event.kind == "run-ended" else ()
    return JournalView(header=header, events=ends, torn=False)


def _lines(path: Path) -> Iterator[tuple[int, bytes, bool]]:
    """Yield number, content and whether it is the last, of every line. Raises OSError."""
    with open_regular(path) as file:
        line = file.readline(LONGEST_LINE)
        number = 0
        while line:
            behind = file.readline(LONGEST_LINE)
            yield number, line, not behind
            line, number = behind, number + 1


def _line(number: int, part: _Part, values: Mapping[str, object]) -> bytes:
    content = _dump(values)
    return b'{"n":%d,"sum":"%s","%s":%s}\n' % (number, _sum(number, content), part.encode(), content)


def _parse(number: int, line: bytes) -> tuple[_Part, dict[str, object]]:
    part: _Part = "header" if number == 0 else "event"
    if not line.endswith(b"\n"):
        raise ValueError("it has no end")
    whole = parse_json(line)
    if not isinstance(whole, dict) or set(whole) != {"n", "sum", part} or whole["n"] != number:
        raise ValueError("it is not the line that belongs here")
    values = whole[part]
    if not isinstance(values, dict) or str(whole["sum"]).encode() != _sum(number, _dump(values)):
        raise ValueError("its sum is wrong")
    if line != _line(number, part, values):
        raise ValueError("it was written by somebody else")
    return part, values


def _append(descriptor: int, line: bytes) -> None:
    """Write a line in one piece; a full disk may take a part of it first."""
    if os.write(descriptor, line) != len(line):
        raise OSError("the disk took only a part of the line")


def _sync_and_close(descriptor: int) -> None:
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def _dump(values: Mapping[str, object]) -> bytes:
    """Write JSON that is the same after reading it back: sorted keys, ASCII, no blanks, one line."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def _sum(number: int, content: bytes) -> bytes:
    return hashlib.sha256(b"%d:%s" % (number, content)).hexdigest()[:_SUM].encode()


def _make(state_dir: Path, folder: Path, draft: Path) -> None:
    """Make the folder of a draft, unless the run is there already or the place leads elsewhere. Raises OSError."""
    make_folders(state_dir, folder.parent)
    if folder.parent.is_symlink():
        raise OSError(errno.ELOOP, f"{RUNS} is a link")
    if os.path.lexists(folder):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    draft.mkdir(mode=0o700)


def _write_new(path: Path, content: bytes) -> None:
    descriptor = os.open(path, _NEW, 0o600)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refused(path: Path, error: OSError) -> JournalError:
    return JournalError(
        f"{path}: the journal cannot be written: {error.strerror or error}",
        hint="make room, or name another place with --state-dir",
    )


def _fault(path: Path, line: int | None, message: str) -> Fault:
    return Fault(file=str(path), line=line, message=message, reason="journal")
