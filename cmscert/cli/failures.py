"""From an exception to words and an exit code: the only place where that happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmscert.cli.exit_codes import BUG, INTERRUPTED, USAGE, code_of
from cmscert.errors import CmscertError

if TYPE_CHECKING:
    import click

    from cmscert.cli.output import Output


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
    from cmscert.cli.bug_report import write_report

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
