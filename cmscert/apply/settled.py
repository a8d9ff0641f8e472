"""A run that came to no good end, and of which nobody has to hear again: ``settled.json`` in its directory."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

from cmscert.apply.disk import open_regular, replacing
from cmscert.errors import JournalError

SETTLED_FILE = "settled.json"
FORMAT = "cmscert.settled/1"
LARGEST = 8192
"""Bytes; a note has about 150."""


def settle(run: Path, *, by: str, at: datetime) -> None:
    """Note that the run ``by`` put right what was left, or found that nothing was. Raises JournalError.

    A run that is not kept any more needs no note.
    """
    if not run.is_dir():
        return
    document = {"format": FORMAT, "run": run.name, "by": by, "at": at.isoformat()}
    try:
        with replacing(run / SETTLED_FILE) as file:
            file.write(json.dumps(document, sort_keys=True).encode() + b"\n")
    except OSError as error:
        raise JournalError(
            f"{run / SETTLED_FILE}: cannot be written: {error.strerror or error}",
            hint="all is done, but the next run will speak of that run again: make room, and apply once more",
        ) from error


def is_settled(run: Path) -> bool:
    """Tell whether a run was settled."""
    path = run / SETTLED_FILE
    return path.is_file() and not path.is_symlink()


def settled_by(run: Path) -> str | None:
    """Return the run that settled a run, an empty text when its note does not say; None when it is not settled."""
    if not is_settled(run):
        return None
    try:
        with open_regular(run / SETTLED_FILE) as file:
            by = json.loads(file.read(LARGEST))["by"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return ""
    return by if isinstance(by, str) else ""
