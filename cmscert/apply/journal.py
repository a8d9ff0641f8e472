"""The journal of a run: a directory with the plan and an append-only file, on disk before anything happens (law 6).

``<state dir>/runs/<run id>/plan.json`` and ``journal.jsonl``. A line is ``{"n": 1, "sum": "…", "event": {…}}``; the
first has ``header`` instead of ``event``. ``sum`` is the start of a SHA-256 over number and content, so a line that was
cut or changed is noticed. Only its owner can read it (0700, 0600).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from cmscert.apply.disk import sync_folder
from cmscert.apply.events import from_json, to_json
from cmscert.errors import Fault, InputError, JournalError
from cmscert.model.events import Event

PLAN_FILE = "plan.json"
JOURNAL_FILE = "journal.jsonl"
_SUM = 16
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
_Part = Literal["header", "event"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalView:
    """A journal, read. ``torn``: the last line was cut while it was written, and is left out."""

    header: Mapping[str, object]
    events: tuple[Event, ...]
    torn: bool

    @property
    def whole(self) -> bool:
        """Whether the run came to its end, however it ended."""
        return bool(self.events) and self.events[-1].kind == "run-ended"


class Journal:
    """Appends events; each is on disk when ``append`` returns. After one error nothing more can be appended."""

    def __init__(self, folder: Path, descriptor: int) -> None:
        self.folder = folder
        self._descriptor = descriptor
        self._written = 0
        self._broken: str | None = None

    @classmethod
    def create(
        cls, state_dir: Path, run_id: str, plan_document: Mapping[str, object], header: Mapping[str, object]
    ) -> Self:
        """Make the directory of a run with its plan and the first line of its journal.

        ``header``: who, when, where from. Both mappings hold JSON values.
        Raises JournalError when it cannot be written, or when there is a run of that id; ValueError for a bad run id.
        """
        if not _RUN_ID.fullmatch(run_id):
            raise ValueError("a run id has letters, digits, dots, hyphens and underscores, at most 80")
        folder = state_dir / "runs" / run_id
        try:
            for part in (state_dir, folder.parent):
                part.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(mode=0o700)
            _write_new(folder / PLAN_FILE, _dump(plan_document) + b"\n")
            journal = cls(folder, os.open(folder / JOURNAL_FILE, _NEW, 0o600))
            for part in (folder, folder.parent, state_dir):
                sync_folder(part)
        except OSError as error:
            raise _refused(folder, error) from error
        journal._write("header", header)
        return journal

    @property
    def path(self) -> Path:
        """The file that is appended to."""
        return self.folder / JOURNAL_FILE

    def append(self, event: Event) -> None:
        """Write one event; it is on disk on return. Raises JournalError."""
        self._write("event", to_json(event))

    def close(self) -> None:
        """Close the file; nothing can be appended afterwards."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._broken = self._broken or "it is closed"

    def _write(self, part: _Part, values: Mapping[str, object]) -> None:
        if self._broken is not None:
            raise JournalError(f"{self.path}: the journal cannot be written: {self._broken}")
        line = _line(self._written, part, values)
        try:
            _append(self._descriptor, line)
        except OSError as error:
            self._broken = error.strerror or str(error)
            raise _refused(self.path, error) from error
        self._written += 1


def read_journal(path: Path) -> JournalView:
    """Read a journal file.

    A last line without its end, or with a wrong sum, is read over and told as ``torn``: that is what a crash leaves.
    Raises InputError when it cannot be read, or when a line before the last is damaged.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise InputError((_fault(path, None, f"the journal cannot be read: {error.strerror or error}"),)) from error
    tail = lines.pop()
    torn = bool(tail)
    header: Mapping[str, object] = {}
    events: list[Event] = []
    for number, line in enumerate(lines):
        try:
            part, values = _parse(number, line)
            if part == "header":
                header = values
            else:
                events.append(from_json(values))
        except (ValueError, RecursionError) as error:
            if number == len(lines) - 1 and not tail:
                torn = True
                break
            hint = "the lines before it are good; keep the file and look at the servers with: cmscert status"
            raise InputError((_fault(path, number + 1, f"the line is damaged: {error}"),), hint=hint) from error
    return JournalView(header=header, events=tuple(events), torn=torn)


def _line(number: int, part: _Part, values: Mapping[str, object]) -> bytes:
    content = _dump(values)
    return b'{"n":%d,"sum":"%s","%s":%s}\n' % (number, _sum(number, content), part.encode(), content)


def _parse(number: int, line: bytes) -> tuple[_Part, dict[str, object]]:
    part: _Part = "header" if number == 0 else "event"
    whole = json.loads(line)
    if not isinstance(whole, dict) or set(whole) != {"n", "sum", part} or whole["n"] != number:
        raise ValueError("it is not the line that belongs here")
    values = whole[part]
    if not isinstance(values, dict) or str(whole["sum"]).encode() != _sum(number, _dump(values)):
        raise ValueError("its sum is wrong")
    return part, values


def _append(descriptor: int, line: bytes) -> None:
    """Write a line in one piece and wait until it is on disk; a full disk may take a part of it first."""
    written = os.write(descriptor, line)
    if written != len(line):
        raise OSError("the disk took only a part of the line")
    os.fdatasync(descriptor)


def _dump(values: Mapping[str, object]) -> bytes:
    """Write JSON that is the same after reading it back: sorted keys, ASCII, no blanks, one line."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def _sum(number: int, content: bytes) -> bytes:
    return hashlib.sha256(b"%d:%s" % (number, content)).hexdigest()[:_SUM].encode()


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
