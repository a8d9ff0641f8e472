"""Validation in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from cmscert.reports.plain import counted, listed, safe

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cmscert.errors import Fault
    from cmscert.model.desired import Awaited
    from cmscert.model.validation import Validation
    from cmscert.reports.paper import Whole

BULLET = "  -  "
MOST_NAMES = 6


def validate_text(validation: Validation, *, width: int = 80, colour: bool = False) -> str:
    """Draw what a valid inventory holds, and its warnings.

    Mostly that is one line, for which nothing that lays out pages is loaded: editors and hooks validate all the time.
    """
    holds = (
        f"{counted(validation.servers, 'server')}, {counted(validation.slots, 'slot')}, "
        f"{counted(validation.certificates, 'certificate')}"
    )
    if validation.databases:
        holds += f", {counted(validation.databases, 'database')}"
    line = safe(f"Inventory of {validation.fleet} is valid: {holds}")
    more = validation.warnings or validation.unhandled or validation.awaited
    if not more and not colour and line.isascii() and len(line) <= width:
        return f"{line}\n"
    return _drawn(validation, holds, width=width, colour=colour)


def _drawn(validation: Validation, holds: str, *, width: int, colour: bool) -> str:
    from cmscert.reports.paper import draw, heading, labelled, phrase, words

    parts: list[RenderableType | Whole] = [
        phrase(("Inventory of ", "plain"), (validation.fleet, "title"), (" is valid", "good"), (f": {holds}", "plain"))
    ]
    if validation.warnings:
        parts.append(heading(counted(len(validation.warnings), "warning")))
        parts.extend(part for fault in validation.warnings for part in _warning(fault, width))
    if validation.unhandled:
        rows = [(words(each.path, "slot"), words(each.message)) for each in validation.unhandled]
        parts.extend((heading("Not handled by this release"), labelled(rows, indent=2)))
    if validation.awaited:
        rows = [
            (words(certificate, "slot"), words(f"{why}; for {listed(places, most=MOST_NAMES)}"))
            for (certificate, why), places in _by_certificate(validation.awaited).items()
        ]
        parts.extend((heading("Not issued yet"), labelled(rows, indent=2)))
    return draw(*parts, width=width, colour=colour)


def _by_certificate(awaited: Iterable[Awaited]) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for each in awaited:
        found.setdefault((each.certificate, each.why), []).append(f"{each.slot} on {each.server}")
    return found


def _warning(fault: Fault, width: int) -> Iterator[RenderableType | Whole]:
    """Draw a warning below its bullet; a place that would be broken over lines gets one of its own."""
    from cmscert.reports.paper import Whole, indented, labelled, phrase, words

    room = width - len(BULLET)
    if len(str(fault)) <= room or (" " not in fault.place and len(fault.place) < room):
        yield labelled([(words("-", "quiet"), words(str(fault), "warning"))], indent=2)
        return
    yield Whole(phrase((BULLET, "quiet"), (f"{fault.place}:", "warning")))
    yield indented(words(str(replace(fault, file=None, line=None, column=None)), "warning"), len(BULLET))
