"""Reads a drift report (``cmscert.drift/1``) that another process wrote. ``cmscert.reports.documents`` writes it.

Whoever looked at a shard may have been anywhere, so the file is a border: every key is known, every name has the form
that inventories allow, and no text holds what a terminal would obey.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, Field, ValidationError
from pydantic_core import PydanticCustomError

from cmscert.app.plan_actions import Many, Strict
from cmscert.errors import Fault, InputError
from cmscert.files import Unreadable, parse_json, read_regular
from cmscert.model import places
from cmscert.model.origin import UNTOLD, Origin, OriginKind
from cmscert.model.plan import Drift, Notice, Severity
from cmscert.model.results import DriftReport

FORMAT = "cmscert.drift/1"
LARGEST = 64 * 1024 * 1024
TOLD = 20
YEARS = range(2000, 2100)
HINT = "let cmscert drift --format json write it again, with this release"


def _plain(text: str) -> str:
    if not all(char == " " or char.isprintable() for char in text):
        raise PydanticCustomError("control", "holds a control character")
    return text


def _day(text: str) -> str:
    date.fromisoformat(text)
    return text


def _moment(at: datetime) -> datetime:
    if at.year not in YEARS:
        raise PydanticCustomError("moment", "no moment of this century")
    return datetime.fromisoformat(at.isoformat()).astimezone(UTC)


Text = Annotated[str, AfterValidator(_plain)]
Moment = Annotated[AwareDatetime, AfterValidator(_moment)]
Server = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Fleet = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
Slot = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_/-]{0,127}$")]
Word = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Day = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$"), AfterValidator(_day)]
Count = Annotated[int, Field(ge=0, le=10**9)]


class _Place(Strict):
    line: Count
    column: Count
    path: Text

    def value(self) -> places.Place:
        return places.Place(line=self.line, column=self.column, path=self.path)


class _Asked(Strict):
    server: Server
    slot: Slot | None
    place: _Place
    by: _Place | None

    def value(self) -> places.Asked:
        by = None if self.by is None else self.by.value()
        return places.Asked(server=self.server, slot=self.slot, place=self.place.value(), by=by)


class _Outside(Strict):
    server: Server
    slot: Slot | None


class _Unread(Strict):
    server: Server
    why: Text


class _Finding(Strict):
    server: Server
    slot: Slot | None
    reason: Word
    wanted: Text
    found: Text
    severity: Severity
    plannable: bool
    ignored: Text | None
    ignored_until: Day | None = None
    ignore_ended: Text | None = None
    origin: OriginKind = "unknown"
    origin_since: Moment | None = None
    origin_run: Text | None = None
    origin_why: Text | None = None

    def value(self) -> Drift:
        plain = {name: value for name, value in self.model_dump().items() if not name.startswith("origin")}
        origin = Origin(kind=self.origin, at=self.origin_since, run=self.origin_run, why=self.origin_why)
        return Drift(**plain, origin=None if origin == UNTOLD else origin)


class _Notice(Strict):
    message: Text
    server: Server | None
    slot: Slot | None
    reason: Word


class _Summary(Strict):
    servers: Count
    slots: Count
    findings: Count
    ignored: Count


class _DriftFile(Strict):
    format: Literal["cmscert.drift/1"]
    made_at: Moment
    fleet: Fleet
    inventory_sha256: Digest
    select: Many[Text]
    complete: bool
    unread: Many[_Unread]
    findings: Many[_Finding]
    notices: Many[_Notice]
    inventory: Text | None
    asked: Many[_Asked]
    outside: Many[_Outside]
    summary: _Summary

    def value(self) -> DriftReport:
        return DriftReport(
            made_at=self.made_at,
            fleet=self.fleet,
            inventory_sha256=self.inventory_sha256,
            servers=self.summary.servers,
            slots=self.summary.slots,
            select=self.select,
            unread=tuple((each.server, each.why) for each in self.unread),
            findings=tuple(each.value() for each in self.findings),
            notices=tuple(Notice(**each.model_dump()) for each in self.notices),
            asked=tuple(each.value() for each in self.asked),
            outside=tuple((each.server, each.slot) for each in self.outside),
            file=self.inventory,
        )


def load_drift(path: Path) -> DriftReport:
    """Read a report. Raises InputError with every fault."""
    try:
        content = read_regular(path, limit=LARGEST)
    except Unreadable as error:
        raise InputError([Fault(file=str(path), message=str(error), reason="unreadable")]) from None
    return read_drift(content, file=str(path))


def read_drift(content: bytes, *, file: str = "report") -> DriftReport:
    """Rebuild the report that a document holds. Raises InputError with every fault."""
    try:
        parsed = parse_json(content)
    except (ValueError, RecursionError):
        raise InputError([Fault(file=file, message="not JSON, or not whole", reason="syntax")], hint=HINT) from None
    wrong = _wrong_format(parsed)
    if wrong is not None:
        raise InputError([Fault(file=file, path="format", message=wrong, reason="format")], hint=HINT)
    try:
        document = _DriftFile.model_validate_json(content)
    except ValidationError as error:
        told = error.errors(include_url=False, include_input=False, include_context=False)[:TOLD]
        faults = [
            Fault(file=file, path=_drawn(each["loc"]), message=each["msg"].lower(), reason=each["type"])
            for each in told
        ]
        raise InputError(faults, hint=HINT) from error
    loose = [Fault(file=file, path=path, message=message) for path, message in _loose_ends(document)]
    if loose:
        raise InputError(loose, hint=HINT)
    return document.value()


def _wrong_format(document: object) -> str | None:
    found = document.get("format") if isinstance(document, dict) else None
    if found == FORMAT:
        return None
    if isinstance(found, str) and found.startswith("cmscert.drift/"):
        return f"{found[:40]!r} is a drift report that this release does not know: it reads {FORMAT}"
    return f"not a drift report: no key format that says {FORMAT}"


def _drawn(location: tuple[int | str, ...]) -> str:
    """Name a place; a key that should not be there may be of any length."""
    return ".".join(str(part)[:80] for part in location)


def _loose_ends(document: _DriftFile) -> Iterator[tuple[str, str]]:
    """Find what one process would never say in one report."""
    if document.complete == bool(document.unread):
        yield "complete", "says something else than unread"
    if not document.asked:
        yield "asked", "names nothing that was compared"
    asked = {(each.server, each.slot) for each in document.asked}
    for name in ("asked", "findings", "unread"):
        lost = next((row.server for row in getattr(document, name) if (row.server, None) not in asked), None)
        if lost is not None and not (name == "unread" and lost in {each.server for each in document.outside}):
            yield name, f"names {lost}, and asked has no row of its own for it"
    if any((each.server, each.slot) in asked for each in document.outside):
        yield "outside", "names what was compared"
