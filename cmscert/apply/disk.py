"""Files that are on disk when a call returns, readable by their owner only (0700, 0600)."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


def make_folders(*folders: Path) -> None:
    """Make folders, outermost first, and put their entries on disk. Raises OSError."""
    for folder in folders:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in (*reversed(folders), *(folder.parent for folder in folders[:1])):
        sync_folder(folder)


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading; what is a link, or no file at all, is refused. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file")
    return os.fdopen(descriptor, "rb")


def sync_folder(path: Path) -> None:
    """Put a directory's entries on disk too; file systems that cannot do that do it by themselves."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write that takes its place, whole and on disk, when the block ends; an error leaves the old one.

    Raises OSError.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with suppress(FileNotFoundError):
        part.unlink()
    try:
        descriptor = os.open(part, _NEW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    sync_folder(path.parent)
