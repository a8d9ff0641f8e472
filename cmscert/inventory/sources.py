"""Bytes from disk: size limits, and the border of the inventory's folder."""

from __future__ import annotations

import os
import stat
from pathlib import Path

INVENTORY_LIMIT = 20_000_000
MATERIAL_LIMIT = 1_000_000


class Unreadable(Exception):
    """A file could not be read; the text says why and fits after the file's name. Never leaves this package."""


def read_bytes(path: Path, *, limit: int) -> bytes:
    """Return a regular file's bytes.

    ``limit`` is in bytes. Raises Unreadable with a sentence for a person.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise Unreadable("is a directory, not a file")
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable("is not a regular file")
        if status.st_size > limit:
            raise Unreadable(f"is {_megabytes(status.st_size)} large, more than the {_megabytes(limit)} that are read")
        with path.open("rb") as stream:
            content = stream.read(limit + 1)
    except FileNotFoundError:
        raise Unreadable("no such file") from None
    except PermissionError:
        raise Unreadable("may not be read: permission denied") from None
    except OSError as error:
        raise Unreadable(f"cannot be read: {(error.strerror or 'unknown reason').lower()}") from None
    except ValueError:  # a zero byte in the name
        raise Unreadable("is not a file name") from None
    if len(content) > limit:  # it grew after it was looked at
        raise Unreadable(f"is larger than the {_megabytes(limit)} that are read")
    return content


class Border:
    """The inventory's folder, which paths of material must not leave."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._root = os.path.realpath(folder)
        self._inside: dict[str, bool] = {}

    def leaves(self, written: str) -> bool:
        """Tell whether a path of the inventory leads out of its folder, through ``..`` or a symbolic link."""
        name = written.rpartition("/")[2]
        folder = written.removesuffix(name)
        try:
            # The folder part once: a thousand files mostly lie in one folder.
            if folder not in self._inside:
                self._inside[folder] = self._within(folder)
            if not self._inside[folder]:
                return True
            return (name == ".." or (self.folder / written).is_symlink()) and not self._within(written)
        except (OSError, ValueError):  # a name too long, a zero byte: reading it says so
            return False

    def _within(self, written: str) -> bool:
        return Path(os.path.realpath(self.folder / written)).is_relative_to(self._root)


def _megabytes(size: int) -> str:
    return f"{size / 1_000_000:.3g} MB"
