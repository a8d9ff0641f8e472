"""What the store does to a disk, in steps so small that a test can end the world after each of them."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

LARGEST: Final = 4_000_000
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_OLD: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_PART: Final = ".part"


class Disk:
    """Files 0600 in folders 0700, on disk when a call returns. Links are never followed. Everything raises OSError."""

    def make_folder(self, path: Path) -> None:
        """Make a folder, unless it is there; one that others can look into is closed to them."""
        with suppress(FileExistsError):
            path.mkdir(mode=0o700, parents=True)
            self.sync(path.parent)
        if self.is_open(path):
            path.chmod(0o700)

    def is_open(self, path: Path) -> bool:
        """Tell whether others may use a folder; raises NotADirectoryError for anything else, and for links."""
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "it is a link, or no folder at all", str(path))
        if status.st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "it belongs to another user", str(path))
        return bool(status.st_mode & 0o077)

    def create(self, path: Path, content: bytes) -> None:
        """Write a new file and put it on disk."""
        with os.fdopen(os.open(path, _NEW, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def move(self, old: Path, new: Path) -> None:
        """Give a file another name, in place of what has it now."""
        old.replace(new)

    def remove(self, path: Path) -> None:
        """Remove a file; one that is gone is no error."""
        path.unlink(missing_ok=True)

    def sync(self, folder: Path) -> None:
        """Put a folder's entries on disk; file systems that cannot do that do it by themselves."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with suppress(OSError):
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def read(self, path: Path) -> bytes:
        """Return what is in a regular file."""
        with os.fdopen(os.open(path, _OLD), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError(errno.EINVAL, "it is no regular file", str(path))
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise OSError(errno.EFBIG, "it is larger than anything that belongs here", str(path))
        return content

    def names(self, folder: Path) -> list[str]:
        """Return what a folder holds; nothing where there is none."""
        try:
            return sorted(path.name for path in folder.iterdir())
        except FileNotFoundError:
            return []


def put(disk: Disk, path: Path, content: bytes) -> None:
    """Write a file that takes its place whole, or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}{_PART}")
    disk.remove(part)
    disk.create(part, content)
    disk.move(part, path)
    disk.sync(path.parent)


def is_part(name: str) -> bool:
    """Tell whether a file was left by a write that did not end."""
    return name.startswith(".") and name.endswith(_PART)
