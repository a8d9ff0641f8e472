"""Drift and status as Markdown: the summary of a pipeline's job, or a comment on a merge request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from cmscert.model.plan import Drift, Notice
from cmscert.model.readings import Known
from cmscert.model.results import DriftReport, FleetStatus, ServerStatus, SlotStatus
from cmscert.pki.certificate import Certificate
from cmscert.reports.markdown_page import OPEN_ROWS, Page, code, ignore_ended
from cmscert.reports.plain import counted, day, left, moment
from cmscert.reports.reasons import origin_told, untold

MOST_OF_UNREAD = 8_000
MOST_OF_IGNORED = 8_000
MOST_OF_NOTICES = 6_000
MOST_OF_UNTOLD = 2_000
MOST_OF_DIFFERENT = 12_000
MOST_OF_SERVERS = 10_000
SOON_DAYS = 30


def drift_markdown(report: DriftReport) -> str:
    """Write a drift report as a page of at most 60,000 bytes."""
    page = Page()
    page.add(f"## Drift of {code(report.fleet)}: {_drift_verdict(report)}")
    looked = f"{counted(report.slots, 'slot')} on {counted(report.servers, 'server')}"
    _about(page, report.made_at, looked, report.select)
    _unread(page, report.unread)
    ignored = [drift for drift in report.findings if drift.ignored is not None]
    kept = MOST_OF_IGNORED * bool(ignored) + MOST_OF_NOTICES * bool(report.notices)
    if report.alarming:
        columns = ("Server", "Slot", "Reason", "Origin", "Wanted", "Found")
        rows = [
            (*_where(drift), _origin(drift), code(drift.wanted), code(drift.found) + ignore_ended(drift))
            for drift in report.alarming
        ]
        page.table(columns, rows, noun="finding", room=page.room - kept - MOST_OF_UNTOLD)
    for line in untold(report.findings):
        page.add(code(line))
    if ignored:
        page.add(f"### Ignored by the inventory: {len(ignored)}")
        alone = [
            (*_where(drift), _origin(drift), code(drift.found), code(drift.ignored or ""), drift.ignored_until or "")
            for drift in ignored
        ]
        more = ("Server", "Slot", "Reason", "Origin", "Found", "Why it is ignored", "Until")
        page.table(more, alone, noun="finding", room=MOST_OF_IGNORED, shown=0)
    _notices(page, report.notices)
    return str(page)


def _origin(drift: Drift) -> str:
    return origin_told(drift) or ""


def _drift_verdict(report: DriftReport) -> str:
    if report.alarming:
        where = len({drift.server for drift in report.alarming})
        return f"{counted(len(report.alarming), 'finding')} on {counted(where, 'server')}"
    return "none" if report.complete else "none in what could be read"


def _where(drift: Drift) -> tuple[str, str, str]:
    slot = "" if drift.slot is None else code(drift.slot)
    return code(drift.server), slot, f"{code(drift.reason)} ({drift.severity})"


def _about(page: Page, made_at: datetime, looked: str, select: tuple[str, ...]) -> None:
    only = f" · only {', '.join(map(code, select[:OPEN_ROWS]))}" if select else ""
    page.add(f"{moment(made_at)} · {looked}{only}")


def _unread(page: Page, unread: tuple[tuple[str, str], ...]) -> None:
    if unread:
        page.add(f"### Not read: {len(unread)}")
        rows = [(code(server), code(why)) for server, why in unread]
        page.table(("Server", "Why"), rows, noun="line", room=MOST_OF_UNREAD)


def _notices(page: Page, notices: tuple[Notice, ...]) -> None:
    if notices:
        page.add(f"### Notices: {len(notices)}")
        rows = [(code(each.server or ""), code(each.reason), code(each.message)) for each in notices]
        page.table(("Server", "Notice", "What"), rows, noun="notice", room=MOST_OF_NOTICES, shown=0)


def status_markdown(status: FleetStatus) -> str:
    """Write every certificate of the fleet as a page of at most 60,000 bytes.

    The next to end comes first, be it the one in the file or the one that is still served.
    """
    page = Page()
    held = sorted(_held(status), key=lambda each: each[0])
    page.add(f"## Status of {code(status.fleet)}: {_status_verdict(status, [end for end, _ in held])}")
    looked = f"{counted(len(held), 'certificate')} and trust lists on {counted(len(status.servers), 'server')}"
    _about(page, status.made_at, looked, status.select)
    if status.journal is not None:
        page.add(f"The journal could not be read, so this is without it: {code(status.journal)}")
    _unread(page, status.unread)
    columns = ("Until", "Left", "Server", "Slot", "Certificate", "Issuer", "Served", "Renew from")
    page.table(columns, [row for _, row in held], noun="certificate", room=page.room - MOST_OF_SERVERS - _kept(status))
    _differing(page, status)
    servers = [_server(server) for server in status.servers if server.unread is None]
    if servers:
        page.add("### Servers")
        facts = ("Server", "Release", "Clock", "Password expires", "Database")
        page.table(facts, servers, noun="server", room=MOST_OF_SERVERS, shown=0)
    _notices(page, status.notices)
    return str(page)


def _kept(status: FleetStatus) -> int:
    found = (MOST_OF_DIFFERENT + MOST_OF_UNTOLD) * bool(status.findings)
    return found + MOST_OF_NOTICES * bool(status.notices)


def _differing(page: Page, status: FleetStatus) -> None:
    if not status.findings:
        return
    page.add(f"### What differs: {len(status.findings)}")
    columns = ("Server", "Slot", "Reason", "Origin", "Left alone", "Until")
    rows = [
        (
            *_where(drift),
            _origin(drift),
            "" if drift.ignored is None else code(drift.ignored),
            drift.ignored_until or "",
        )
        for drift in status.findings
    ]
    page.table(columns, rows, noun="difference", room=MOST_OF_DIFFERENT, shown=0)
    for line in untold(status.findings):
        page.add(code(line))


def _status_verdict(status: FleetStatus, ends: list[datetime]) -> str:
    days = [(end - status.made_at).days for end in ends]
    over, soon = sum(each < 0 for each in days), sum(0 <= each < SOON_DAYS for each in days)
    said = [f"{over} expired"] * bool(over)
    said += [f"{soon} {'ends' if soon == 1 else 'end'} within {SOON_DAYS} days"] * bool(soon)
    said += [f"{counted(len(status.unread), 'server')} not read"] * bool(status.unread)
    return ", ".join(said) or f"nothing ends within {SOON_DAYS} days"


def _held(status: FleetStatus) -> Iterator[tuple[datetime, Sequence[str]]]:
    """Yield (first end, row) of every certificate and trust list that was read."""
    for server in status.servers:
        for slot in server.slots:
            if isinstance(slot.on_disk, Known) and slot.on_disk.value:
                yield _row(server, slot, slot.on_disk.value, status.made_at)
        if server.database is not None:
            for file in server.database.files:
                if isinstance(file.on_disk, Known) and file.on_disk.value:
                    first = min(file.on_disk.value, key=lambda each: each.not_after)
                    name = f"database/{server.database.database}/{file.use}"
                    cells = _cells(first, first.not_after, server, name, status.made_at)
                    yield first.not_after, (*cells[:7], _due(file.due_at, status.made_at))


def _row(
    server: ServerStatus, slot: SlotStatus, held: tuple[Certificate, ...], now: datetime
) -> tuple[datetime, Sequence[str]]:
    if slot.slot.partition("/")[2].startswith("trust"):
        first = min(held, key=lambda each: each.not_after)
        return first.not_after, _cells(first, first.not_after, server, slot.slot, now)
    end = slot.ends or held[0].not_after
    served, first_end = "", end
    if isinstance(slot.served, Known) and slot.served.value:
        leaf = slot.served.value[0]
        served = "the same" if leaf == held[0] else f"**other**, until {day(leaf.not_after)}: {_name(leaf)}"
        first_end = min(end, leaf.not_after)
    return first_end, (*_cells(held[0], end, server, slot.slot, now)[:6], served, _due(slot.due_at, now))


def _due(at: datetime | None, now: datetime) -> str:
    return "" if at is None else "**now**" if at <= now else day(at)


def _cells(certificate: Certificate, end: datetime, server: ServerStatus, slot: str, now: datetime) -> Sequence[str]:
    """Draw a certificate; ``end``: its own, or an earlier one of its chain."""
    rest = left(end, now)
    issuer = certificate.issuer_common_name or certificate.issuer
    shown = f"**{rest}**" if (end - now).days < SOON_DAYS else rest
    return day(end), shown, code(server.server), code(slot), _name(certificate), code(issuer), "", ""


def _name(certificate: Certificate) -> str:
    return code(certificate.common_name or certificate.subject)


def _server(server: ServerStatus) -> Sequence[str]:
    release = code(str(server.release.value)) if isinstance(server.release, Known) else ""
    clock = f"{round(server.clock_skew.value):+d} s" if isinstance(server.clock_skew, Known) else ""
    password = server.password_expires.value.isoformat() if isinstance(server.password_expires, Known) else ""
    database = "" if server.database is None else f"{code(server.database.database)} {server.database.role}"
    return code(server.server), release, clock, password, database
