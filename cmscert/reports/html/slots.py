"""Rows of the table of slots, and the servers with what is bound, on disk and served."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from cmscert.model.observed import Binding
from cmscert.model.overview import Overview
from cmscert.model.plan import Drift
from cmscert.model.readings import Absent, Known, Reading, Unread
from cmscert.model.results import DatabaseFile, DatabaseStatus, ServerStatus, SlotStatus
from cmscert.pki.certificate import Certificate
from cmscert.reports.html.certificates import Album, Detail, is_trust
from cmscert.reports.html.tone import Mark
from cmscert.reports.plain import reading_word

WANTED = Mark(word="as wanted", tone="good")
DIFFERS = Mark(word="differs", tone="bad")
LEFT_ALONE = Mark(word="left alone", tone="quiet")
DUE = Mark(word="due", tone="warn")
EXPIRED = Mark(word="expired", tone="bad")
NOT_READ = Mark(word="not read", tone="bad")
UNNAMED = Mark(word="not in the inventory", tone="quiet")
BOUND_TO_NOTHING = Mark(word="empty", tone="quiet")

Chain = tuple[Certificate, ...]
Found = dict[tuple[str, str | None], list[Drift]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One slot of one server.

    ``files``: what is bound. ``on_disk``, ``served``: certificates, or in ``disk_word`` and ``served_word`` why there
    are none. ``detail``: the certificate that the row is about.
    """

    server: str
    anchor: str
    slot: str
    mark: Mark
    files: tuple[str, ...] = ()
    tag: str | None = None
    on_disk: tuple[Detail, ...] = ()
    disk_word: str | None = None
    served: tuple[Detail, ...] = ()
    served_word: str | None = None
    due_at: datetime | None = None
    ahead: tuple[str, ...] = ()
    trust: bool = False

    @property
    def detail(self) -> Detail | None:
        """The certificate with the nearest end among those of the row's file, or of what is served."""
        shown = self.on_disk or self.served
        return min(shown, key=lambda each: each.certificate.not_after) if shown else None

    @property
    def calm(self) -> bool:
        """Whether nobody has to look at it."""
        return self.mark in {WANTED, UNNAMED, LEFT_ALONE, BOUND_TO_NOTHING}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerView:
    """One server. ``facts``: (label, text)."""

    name: str
    anchor: str
    unread: str | None
    facts: tuple[tuple[str, str], ...]
    rows: tuple[Row, ...]

    @property
    def mark(self) -> Mark:
        """How the server stands: as the worst of its rows."""
        if self.unread is not None:
            return NOT_READ
        marks = {row.mark for row in self.rows}
        return next((each for each in (EXPIRED, NOT_READ, DIFFERS, DUE) if each in marks), WANTED)


def servers_of(overview: Overview, album: Album) -> tuple[ServerView, ...]:
    """Put every server together."""
    found: Found = {}
    for drift in overview.drift.findings:
        found.setdefault((drift.server, drift.slot), []).append(drift)
    now = overview.status.made_at
    return tuple(
        ServerView(
            name=server.server,
            anchor=f"s{number}",
            unread=server.unread,
            facts=tuple(_facts(server)),
            rows=tuple(_rows(server, f"s{number}", album, found, now)),
        )
        for number, server in enumerate(overview.status.servers, start=1)
    )


def _rows(server: ServerStatus, anchor: str, album: Album, found: Found, now: datetime) -> Iterator[Row]:
    if server.unread is not None:
        return
    for slot in server.slots:
        yield _row(server.server, anchor, slot, album, found.get((server.server, slot.slot), []), now)
    if server.database is not None:
        name = f"database/{server.database.database}"
        for file in server.database.files:
            yield _database_row(server.server, anchor, name, file, album, found.get((server.server, name), []), now)


def _row(server: str, anchor: str, slot: SlotStatus, album: Album, found: list[Drift], now: datetime) -> Row:
    trust = is_trust(slot.slot)
    bound = slot.bound.value if isinstance(slot.bound, Known) else None
    on_disk, disk_word = _shown(slot.on_disk, album, whole=trust)
    served, served_word = _shown(slot.served, album, whole=False)
    if served and served == on_disk[:1]:
        served_word = "the same"
    return Row(
        server=server,
        anchor=anchor,
        slot=slot.slot,
        mark=_mark(slot, bound, on_disk or served, found, now),
        files=bound.files if bound is not None else (),
        tag=bound.tag if bound is not None else None,
        on_disk=on_disk,
        disk_word=disk_word if bound is not None else reading_word(slot.bound),
        served=() if served_word else served,
        served_word=None if trust and served_word == "none" else served_word,
        due_at=slot.due_at,
        ahead=slot.ahead,
        trust=trust,
    )


def _database_row(
    server: str, anchor: str, slot: str, file: DatabaseFile, album: Album, found: list[Drift], now: datetime
) -> Row:
    on_disk, word = _shown(file.on_disk, album, whole=file.use == "ca")
    about = [each for each in found if file.use in {*each.reason.split("-"), *each.wanted.split()}]
    return Row(
        server=server,
        anchor=anchor,
        slot=f"{slot} {file.use}",
        mark=_judged(on_disk, about, now) or (NOT_READ if isinstance(file.on_disk, Unread) else WANTED),
        files=tuple(name for name in (file.key, file.certificate) if name is not None),
        on_disk=on_disk,
        disk_word=word,
        due_at=file.due_at,
        trust=file.use == "ca",
    )


def _shown(reading: Reading[Chain], album: Album, *, whole: bool) -> tuple[tuple[Detail, ...], str | None]:
    if not isinstance(reading, Known):
        return (), reading_word(reading)
    if not reading.value:
        return (), "no certificate in it"
    return tuple(album.of(each) for each in (reading.value if whole else reading.value[:1])), None


def _mark(
    slot: SlotStatus, bound: Binding | None, shown: tuple[Detail, ...], found: list[Drift], now: datetime
) -> Mark:
    judged = _judged(shown, found, now)
    if judged is not None and judged != LEFT_ALONE:
        return judged
    if isinstance(slot.bound, Unread) or (bound is not None and isinstance(slot.on_disk, Unread)):
        return NOT_READ
    if judged is not None:
        return judged
    if slot.due_at is not None and slot.due_at <= now:
        return DUE
    if slot.wanted is None:
        return UNNAMED if bound is not None and bound.files else BOUND_TO_NOTHING
    return WANTED


def _judged(shown: tuple[Detail, ...], found: list[Drift], now: datetime) -> Mark | None:
    """Say what findings and dates make of a slot; None where they say nothing."""
    if any(each.gone(now) for each in shown):
        return EXPIRED
    loud = [drift for drift in found if drift.ignored is None]
    if any(drift.reason != "expires-soon" for drift in loud):
        return DIFFERS
    if loud:
        return DUE
    return LEFT_ALONE if found else None


def _facts(server: ServerStatus) -> Iterator[tuple[str, str]]:
    if isinstance(server.release, Known):
        yield "release", str(server.release.value)
    if isinstance(server.clock_skew, Known):
        yield "clock", f"{round(server.clock_skew.value):+d} s"
    if isinstance(server.password_expires, Known):
        yield "password expires", server.password_expires.value.isoformat()
    if server.database is not None:
        yield f"database {server.database.database}", _database_words(server.database)


def _database_words(database: DatabaseStatus) -> str:
    if isinstance(database.state, Absent):
        return "the server does not know database clusters"
    if isinstance(database.state, Unread):
        return f"not read: {database.state.why}"
    state = database.state.value
    said = [database.role if database.role != "none" else "in no cluster", f"wanted as a {database.wanted}"]
    if state.me is not None and database.role == "replica":
        said.append("in sync" if state.me.in_sync else "not in sync")
    if state.error is not None:
        said.append(f"error: {state.error}")
    return ", ".join(said)
