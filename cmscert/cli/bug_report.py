"""The file that is left when something happens that nobody foresaw: versions and places, no values."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import traceback
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from cmscert import __version__

PARTS = ("asyncssh", "click", "cryptography", "pydantic", "pyyaml", "rich", "structlog")


def write_report(error: BaseException, folder: Path | None) -> Path:
    """Write versions and places (file, line, function), no values: neither locals nor messages, which may hold any."""
    lines = [
        f"cmscert {__version__}, Python {platform.python_version()}, {platform.system()} {platform.release()}",
        f"at {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        *(f"{part} {_version(part)}" for part in PARTS),
        "",
    ]
    seen: BaseException | None = error
    while seen is not None:
        lines.append(f"{type(seen).__module__}.{type(seen).__qualname__}")
        frames = traceback.extract_tb(seen.__traceback__)
        lines.extend(f"  {_place(frame.filename)}:{frame.lineno} in {frame.name}" for frame in frames)
        seen = seen.__cause__ or seen.__context__
    text = "\n".join(lines) + "\n"
    for chosen in (folder, Path(tempfile.gettempdir())):
        if chosen is not None:
            try:
                return _written(chosen, text)
            except OSError:
                continue
    sys.stderr.write(text)
    return Path("the lines above")


def _written(folder: Path, text: str) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix="cmscert-bug-", suffix=".txt", dir=folder)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
    return Path(name)


def _version(part: str) -> str:
    try:
        return metadata.version(part)
    except metadata.PackageNotFoundError:
        return "not installed"


def _place(file: str) -> str:
    """Name a source file without the folders of this machine."""
    path = Path(file)
    parts = path.parts
    for root in ("site-packages", "cmscert"):
        if root in parts:
            return "/".join(parts[len(parts) - 1 - parts[::-1].index(root) :])
    return path.name
