"""A renewal in words and as ``cmscert.renew/1``."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, get_args

from rich.text import Text

from cmscert.model.results import RenewReport, RenewRow, RenewState
from cmscert.reports.documents import made
from cmscert.reports.paper import draw, heading, labelled, phrase, words
from cmscert.reports.plain import day, left, moment, stamp
from cmscert.reports.plan_document import Document

if TYPE_CHECKING:
    from rich.console import RenderableType

RENEW_FORMAT = "cmscert.renew/1"
_HEADINGS: dict[RenewState, tuple[str, str]] = {
    "issued": ("Obtained", "good"),
    "due": ("Would be asked for", "warning"),
    "waiting": ("Waiting for a signature", "warning"),
    "failed": ("Failed", "error"),
    "put-off": ("Failed before, tried again later", "warning"),
    "fresh": ("Nothing to do", "quiet"),
}
_COUNTED: dict[RenewState, str] = {
    "issued": "obtained",
    "due": "due",
    "waiting": "waiting",
    "failed": "failed",
    "put-off": "put off",
    "fresh": "fresh",
}


def renew_text(report: RenewReport, *, width: int = 80, colour: bool = False, verbose: bool = False) -> str:
    """Draw a renewal; what is fresh is counted, and listed when ``verbose``."""
    count = Counter(row.state for row in report.rows)
    head = phrase(("Renewal of ", "plain"), (report.fleet, "title"), (f" · {moment(report.made_at)}", "plain"))
    parts: list[RenderableType] = [head]
    if report.select:
        parts.append(words(f"Only {', '.join(report.select)}", "warning"))
    of = "selection" if report.select else "inventory"
    parts.append(words(_counts(count) or f"No certificate of this {of} comes from an issuer"))
    for state, (title, style) in _HEADINGS.items():
        rows = [row for row in report.rows if row.state == state]
        if not rows or (state == "fresh" and not verbose):
            continue
        parts.append(heading(title))
        parts.append(labelled([line for row in rows for line in _lines(row, style, report)], indent=2))
    if count["issued"]:
        parts.append(Text())
        parts.append(words("Nothing has changed on the servers yet: cmscert plan shows what deploys these."))
    return draw(*parts, width=width, colour=colour)


def _counts(count: Counter[RenewState]) -> str:
    return ", ".join(f"{count[state]} {word}" for state, word in _COUNTED.items() if count[state])


def _lines(row: RenewRow, style: str, report: RenewReport) -> list[tuple[Text, Text]]:
    name = row.certificate if row.server is None else f"{row.certificate} for {row.server}"
    said: list[str] = []
    if row.not_after is not None and row.state in {"issued", "fresh"}:
        said.append(f"valid until {day(row.not_after)} ({left(row.not_after, report.made_at)})")
    if row.due_at is not None and row.state in {"issued", "fresh"}:
        said.append(f"due on {day(row.due_at)}")
    if row.state not in {"fresh", "issued"} and row.why is not None:
        said.append(row.why)
    if row.at_risk:
        said.append("validity is at risk" if row.not_after is not None else "there is nothing to use instead")
    lines = [(words(name, style), words("; ".join((*said, f"issuer {row.issuer}"))))]
    lines += [(words(""), words(note, "quiet")) for note in row.notes]
    return lines


def renew_document(report: RenewReport) -> Document:
    """Write down a renewal."""
    count = Counter(row.state for row in report.rows)
    return made(
        {
            "format": RENEW_FORMAT,
            "made_at": stamp(report.made_at),
            "fleet": report.fleet,
            "select": list(report.select),
            "rehearsed": report.rehearsed,
            "certificates": [
                {
                    "certificate": row.certificate,
                    "server": row.server,
                    "issuer": row.issuer,
                    "state": row.state,
                    "why": row.why,
                    "due_at": None if row.due_at is None else stamp(row.due_at),
                    "not_after": None if row.not_after is None else stamp(row.not_after),
                    "at_risk": row.at_risk,
                    "notes": list(row.notes),
                }
                for row in report.rows
            ],
            "summary": {state: count[state] for state in get_args(RenewState)},
        }
    )
