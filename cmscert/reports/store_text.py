"""The material store in words and as ``cmscert.store/1``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmscert.model.results import StoredCertificate, StoreStatus
from cmscert.reports.documents import certificate_row, made
from cmscert.reports.paper import draw, heading, labelled, phrase, words
from cmscert.reports.plain import counted, day, left, moment, stamp
from cmscert.reports.plan_document import Document

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

STORE_FORMAT = "cmscert.store/1"


def store_text(status: StoreStatus, *, width: int = 80, colour: bool = False) -> str:
    """Draw what is in store."""
    head = phrase(
        ("Material store of ", "plain"),
        (status.fleet, "title"),
        (f" · {status.folder} · {moment(status.made_at)}", "plain"),
    )
    parts: list[RenderableType] = [head]
    if not status.rows:
        parts.append(words("No certificate of this inventory comes from an issuer"))
    for row in status.rows:
        name = row.certificate if row.server is None else f"{row.certificate} for {row.server}"
        parts.extend((heading(name), labelled(_lines(row, status), indent=2)))
    return draw(*parts, width=width, colour=colour)


def _lines(row: StoredCertificate, status: StoreStatus) -> list[tuple[Text, Text]]:
    lines = []
    if row.asked_at is not None:
        lines.append((words("asked", "warning"), words(f"on {day(row.asked_at)}, not signed yet; issuer {row.issuer}")))
    if row.failed is not None and row.next_try is not None:
        text = f"{counted(row.failures, 'time')} in a row: {row.failed}; next try {moment(row.next_try)}"
        lines.append((words("failed", "error"), words(text)))
    for each in row.revisions:
        ends = "expired" if each.ends <= status.made_at else left(each.ends, status.made_at)
        key = "key in store" if each.device_key is None else f"key {each.device_key} on the server"
        text = f"until {day(each.ends)} ({ends}), due {day(each.due_at)}; issuer {each.issuer}; {key}"
        style = "quiet" if each is not row.revisions[0] else "good"
        lines.append((words(day(each.at), style), words(text, "quiet" if style == "quiet" else "plain")))
    return lines or [(words("nothing", "warning"), words(f"run cmscert renew; issuer {row.issuer}"))]


def store_document(status: StoreStatus) -> Document:
    """Write down what is in store."""
    return made(
        {
            "format": STORE_FORMAT,
            "made_at": stamp(status.made_at),
            "fleet": status.fleet,
            "folder": status.folder,
            "certificates": [
                {
                    "certificate": row.certificate,
                    "server": row.server,
                    "issuer": row.issuer,
                    "asked_at": None if row.asked_at is None else stamp(row.asked_at),
                    "failures": row.failures,
                    "failed": row.failed,
                    "next_try": None if row.next_try is None else stamp(row.next_try),
                    "revisions": [
                        {
                            "at": stamp(each.at),
                            "issuer": each.issuer,
                            "device_key": each.device_key,
                            "due_at": stamp(each.due_at),
                            "ends": stamp(each.ends),
                            "chain": [certificate_row(one, status.made_at) for one in each.chain],
                        }
                        for each in row.revisions
                    ],
                }
                for row in status.rows
            ],
        }
    )
