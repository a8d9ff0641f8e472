"""Local files, read and written so that nobody gains by planting links, pipes or endless files where we look."""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress
from pathlib import Path

# Without O_NONBLOCK a named pipe that nobody writes to is waited for, without end; regular files do not care.
_READING = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_DRAFT = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_BLOCK = 1 << 20
MOST_VALUES = 2_000_000
"""About 130 MB of empty lists; commas in a text count too, and a mebibyte of an answer may consist of them."""


class Unreadable(Exception):
    """A file could not be read; the text says why and fits after the name of the file."""


def read_regular(path: Path, *, limit: int) -> bytes:
    """Return a regular file's bytes; links are followed, pipes and devices are not waited for.

    ``limit`` is in bytes. Raises Unreadable with a sentence for a person.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise Unreadable("is a directory, not a file")
        if not stat.S_ISREG(status.st_mode):  # opening a device may do something by itself
            raise Unreadable("is not a regular file")
        descriptor = os.open(path, _READING)
        try:
            return _content(descriptor, limit)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise Unreadable("no such file") from None
    except PermissionError:
        raise Unreadable("may not be read: permission denied") from None
    except OSError as error:
        raise Unreadable(f"cannot be read: {(error.strerror or 'unknown reason').lower()}") from None
    except ValueError:  # a zero byte in the name
        raise Unreadable("is not a file name") from None


def _content(descriptor: int, limit: int) -> bytes:
    """Look at what was opened, not at its name: that may lead elsewhere by now."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise Unreadable("is not a regular file")
    if status.st_size > limit:
        raise Unreadable(f"is {_megabytes(status.st_size)} large, more than the {_megabytes(limit)} that are read")
    parts: list[bytes] = []
    left = limit + 1
    while left and (part := os.read(descriptor, min(left, _BLOCK))):
        parts.append(part)
        left -= len(part)
    if not left:  # it grew after it was looked at
        raise Unreadable(f"is larger than the {_megabytes(limit)} that are read")
    return b"".join(parts)


def count_values(content: bytes) -> int:
    """Return how many values JSON has at most, without making them; a comma in a text counts too."""
    return sum(map(content.count, (b",", b"[", b"{")))


def parse_json(content: bytes) -> object:
    """Parse JSON of limited cost: 20 MB of empty lists would take gigabytes. Raises ValueError, RecursionError."""
    if count_values(content) > MOST_VALUES:
        raise ValueError("it holds more values than any of its kind")
    parsed: object = json.loads(content)
    return parsed


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that takes the place of what stands there, whole or not at all; a link itself is replaced.

    The permissions are those of any new file (0666 without the umask). Raises OSError; a pipe or a device is none.
    """
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(path.stat().st_mode):
            raise OSError(0, "it is not a regular file")
    draft = path.with_name(f".{path.name[:100]}.{os.urandom(8).hex()}")
    try:
        with os.fdopen(os.open(draft, _DRAFT, 0o666), "wb") as stream:
            stream.write(content)
        draft.replace(path)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise


def planted(folder: Path) -> str | None:
    """Say why a folder that we keep private files in may be somebody else's doing; None when it is ours or missing.

    A checkout can bring links: where they stand in our folder, we would write to where they lead. Raises OSError.
    """
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(status.st_mode):
        return "is a symbolic link"
    if not stat.S_ISDIR(status.st_mode):
        return "is not a folder"
    if status.st_uid != os.geteuid():
        return "belongs to another user"
    if status.st_mode & stat.S_IWOTH:
        return "can be written by every user"
    found = next((path for inner in (folder, *folder.iterdir()) for path in _links(inner)), None)
    return None if found is None else f"holds a symbolic link, {found.relative_to(folder)}"


def _links(folder: Path) -> list[Path]:
    if not folder.is_dir() or folder.is_symlink():
        return []
    with os.scandir(folder) as entries:
        return [Path(entry.path) for entry in entries if entry.is_symlink()]


def _megabytes(size: int) -> str:
    return f"{size / 1_000_000:.3g} MB"
