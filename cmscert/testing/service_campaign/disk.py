"""The operator's disk: full or not there any more at a chosen write, and frozen when the process dies."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Final

from cmscert.apply import journal

Write = Callable[[int, bytes], int]
FULL: Final = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class _System:
    """``os`` as the journal sees it, with another ``write``."""

    def __init__(self, write: Write) -> None:
        self.write = write

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)


@contextmanager
def written_by(write: Write) -> Iterator[None]:
    """Let the journal write through ``write`` while the block runs."""
    with swapped(journal, "os", _System(write)):
        yield


@contextmanager
def swapped(owner: ModuleType, name: str, stand_in: object) -> Iterator[None]:
    """Let something stand in for what a module calls by a name."""
    real = getattr(owner, name)
    setattr(owner, name, stand_in)
    try:
        yield
    finally:
        setattr(owner, name, real)


def freeze(folder: Path) -> dict[Path, bytes]:
    """Return all files of a folder, as they are."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} if folder.is_dir() else {}


def thaw(folder: Path, frozen: dict[Path, bytes]) -> None:
    """Let a folder be as it was: what a dead process did since did not happen."""
    for path, content in freeze(folder).items():
        if path not in frozen:
            path.unlink()
        elif frozen[path] != content:
            path.write_bytes(content := frozen[path])
    for path, content in frozen.items():
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(0o600)
