"""From an exception to words and an exit code: the only place where that happens."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import traceback
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import click

from cmscert import __version__
from cmscert.cli.exit_codes import BUG, INTERRUPTED, USAGE, code_of
from cmscert.cli.output import Output
from cmscert.errors import CmscertError

PARTS = ("asyncssh", "click", "cryptography", "pydantic", "pyyaml", "rich", "structlog")


def handled(error: CmscertError, output: Output, *, code: int | None = None) -> int:
    """Tell of an error that was foreseen. ``code``: when something that came before outweighs it."""
    code = code_of(error) if code is None else code
    output.error(error)
    if output.form == "json":
        from cmscert.reports.documents import error_document

        _try_document(output, error_document(error, code))
    return code


def usage(error: click.ClickException, output: Output) -> int:
    """Tell of wrong usage as click does."""
    error.show(file=output.err)
    _plain(output, USAGE, "usage", error.format_message())
    return USAGE


def interrupted(output: Output, *, begun: bool = False) -> int:
    """Tell of an interrupt. ``begun``: a run was under way, and its journal says how far it came."""
    message = "interrupted: " + ("the journal says what was done" if begun else "nothing was changed")
    output.say(message)
    _plain(output, INTERRUPTED, "interrupted", message)
    return INTERRUPTED


def bug(error: Exception, output: Output) -> int:
    """Write a report about what nobody foresaw, and say where it is."""
    place = write_report(error, output.state_dir)
    message = f"this is a bug in cmscert ({type(error).__name__}); a report is in {place}"
    output.say(f"error: {message}\nhint: please send the report to the maintainers; it holds no values, only places")
    _plain(output, BUG, "bug", message)
    return BUG


def _plain(output: Output, code: int, reason: str, message: str) -> None:
    if output.form == "json":
        from cmscert.reports.documents import plain_error_document

        _try_document(output, plain_error_document(code=code, reason=reason, message=message))


def _try_document(output: Output, document: dict[str, object]) -> None:
    """Write an error document; when that fails too, stderr has been told already."""
    try:
        output.document(document)
    except CmscertError as error:
        output.error(error)
    except Exception as error:  # noqa: BLE001 - whatever it is, Python would show its values
        output.say(f"error: the result could not be written either ({type(error).__name__})")


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
