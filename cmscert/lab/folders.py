"""Reads and writes the lab's files in one folder, never outside it and never by halves."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path, PurePosixPath

from cmscert.errors import LabError

_MOST = 1 << 20


def inside(folder: Path, relative: str) -> Path:
    """Return where a relative path lies. Raises LabError when that is outside of the folder, links followed."""
    path = PurePosixPath(relative)
    place = folder / path
    try:
        within = place.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):  # a loop of links, or a name that no file can have
        within = False
    if path.is_absolute() or ".." in path.parts or not within:
        raise LabError(
            f"{relative} lies outside of the inventory's folder",
            hint="the lab writes below the inventory only: use relative paths without ..",
        )
    return place


def read(folder: Path, relative: str) -> bytes | None:
    """Return a file's bytes, None when there is none. Raises LabError when it cannot be read."""
    place = inside(folder, relative)
    try:
        if place.is_file() and place.stat().st_size > _MOST:
            raise LabError(f"{relative} is too large for a certificate or key", hint="look at what it is")
        return place.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LabError(
            f"{relative} cannot be read: {error.strerror}", hint="check what it is and who owns it"
        ) from error


def write(place: Path, content: bytes, *, mode: int) -> None:
    """Write a file whole: beside it first, then renamed over it. Raises LabError."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        # mkstemp opens with 0600, so a key is at no time readable by others.
        handle, name = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(mode)
            Path(name).replace(place)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise LabError(
            f"{place.name} cannot be written: {error.strerror}", hint=f"check {place.parent.name}/ and its permissions"
        ) from error
