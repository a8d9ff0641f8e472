"""Drift, status and validation in words."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from rich.text import Text

from cmscert.model.database import DatabaseState
from cmscert.model.observed import Binding
from cmscert.model.plan import Drift
from cmscert.model.readings import Absent, Known, Reading, Unread
from cmscert.model.results import DatabaseStatus, DriftReport, FleetStatus, ServerStatus, SlotStatus
from cmscert.pki.certificate import Certificate
from cmscert.reports.paper import draw, indented, labelled, phrase, words
from cmscert.reports.plain import counted, day, left, listed, moment, reading_word
from cmscert.reports.plan_text import difference, drift_part, notices_part, unread_part
from cmscert.reports.reasons import untold

if TYPE_CHECKING:
    from rich.console import RenderableType

BULLET = "  -  "
MOST_NAMES = 6
SOON_DAYS = 30


def drift_text(report: DriftReport, *, width: int = 80, colour: bool = False) -> str:
    """Draw a drift report."""
    parts: list[RenderableType] = [
        phrase(("Drift of ", "plain"), (report.fleet, "title"), (f" · {moment(report.made_at)}", "plain"))
    ]
    if report.select:
        parts.append(words(f"Only {', '.join(report.select)}", "warning"))
    looked = f"{counted(report.slots, 'slot')} on {counted(report.servers, 'server')}"
    if report.alarming:
        where = len({drift.server for drift in report.alarming})
        parts.append(
            words(f"{counted(len(report.alarming), 'finding')} on {counted(where, 'server')}, of {looked}", "warning")
        )
    elif report.complete:
        parts.append(words(f"No drift: {looked}, all as wanted.", "good"))
    else:
        parts.append(words(f"No drift in what could be read of {looked}.", "good"))
    parts.extend(unread_part(report.unread))
    parts.extend(drift_part(report.findings))
    parts.extend(words(line, "warning") for line in untold(report.findings))
    parts.extend(notices_part(report.notices))
    return draw(*parts, width=width, colour=colour)


def status_text(status: FleetStatus, *, width: int = 80, colour: bool = False) -> str:
    """Draw every certificate: bound, on disk, served."""
    parts: list[RenderableType] = [
        phrase(("Status of ", "plain"), (status.fleet, "title"), (f" · {moment(status.made_at)}", "plain"))
    ]
    if status.select:
        parts.append(words(f"Only {', '.join(status.select)}", "warning"))
    if status.journal is not None:
        parts.append(words(f"The journal could not be read, so this is without it: {status.journal}", "warning"))
    parts.extend(unread_part(status.unread))
    for server in status.servers:
        if server.unread is None:
            found = tuple(drift for drift in status.findings if drift.server == server.server)
            parts.extend(_server(server, found, status.made_at))
    parts.extend(words(line, "warning") for line in untold(status.findings))
    parts.extend(notices_part(status.notices))
    return draw(*parts, width=width, colour=colour)


def _server(server: ServerStatus, found: tuple[Drift, ...], now: datetime) -> list[RenderableType]:
    facts = []
    if isinstance(server.release, Known):
        facts.append(f"release {server.release.value}")
    if isinstance(server.clock_skew, Known):
        facts.append(f"clock {round(server.clock_skew.value):+d} s")
    if isinstance(server.password_expires, Known):
        facts.append(f"password expires {server.password_expires.value.isoformat()}")
    parts: list[RenderableType] = [
        Text("\n").append_text(phrase((server.server, "server"), ("".join(f" · {fact}" for fact in facts), "quiet")))
    ]
    places: dict[str | None, list[tuple[Text, Text]]] = {None: []}
    places |= {slot.slot: _slot(slot, now) for slot in server.slots}
    if server.database is not None:
        places[f"database/{server.database.database}"] = _database(server.database, now)
    for drift in found:
        places.setdefault(drift.slot, []).append((words("differs", "quiet"), difference(drift)))
    for place, rows in places.items():
        if place is not None:
            parts.append(indented(words(place, "slot"), 2))
        if rows:
            parts.append(labelled(rows, indent=2 if place is None else 4, label=8))
    return parts


def _database(database: DatabaseStatus, now: datetime) -> list[tuple[Text, Text]]:
    if not isinstance(database.state, Known):
        why = "the server does not know database clusters"
        if isinstance(database.state, Unread):
            why = f"not read: {database.state.why}"
        return [(words("role", "quiet"), words(why, "warning"))]
    state = database.state.value
    rows = [(words("role", "quiet"), _database_role(database, state))]
    if state.error is not None:
        rows.append((words("error", "quiet"), words(state.error, "error")))
    if state.last_command is not None:
        rows.append((words("last", "quiet"), words(f"{state.last_command} ({state.last_state})")))
    for file in database.files:
        bound = words(", ".join(name for name in (file.key, file.certificate) if name is not None))
        chain = _chain(file.on_disk, now, trust=file.use == "ca")
        rows.append((words(file.use, "quiet"), Text("\n").join((bound, chain))))
    return rows


def _database_role(database: DatabaseStatus, state: DatabaseState) -> Text:
    shown = {"none": "in no cluster", "unclear": "unclear"}.get(database.role, database.role)
    right = database.role == "client" if database.wanted == "client" else database.role in {"primary", "replica"}
    said = [f"wanted as a {database.wanted}"] if not right else []
    me = state.me
    if database.role == "replica" and me is not None:
        said.append("in sync" if me.in_sync is True else "not in sync")
        right = right and me.in_sync is True
    if me is not None and not me.connected and database.role != "client":
        said.append("not connected")
        right = False
    said += ["a command is at work"] * state.busy + ["a certificate is expired"] * state.expired
    if state.node_in_use is not None:
        said.append(f"uses {state.node_in_use}")
    style = "plain" if right and not state.busy and not state.expired else "warning"
    return phrase((shown, style), ("".join(f" · {each}" for each in said), "plain" if style == "plain" else "warning"))


def _slot(slot: SlotStatus, now: datetime) -> list[tuple[Text, Text]]:
    rows = [(words("bound", "quiet"), _bound(slot.bound))]
    trust = slot.slot.partition("/")[2].startswith("trust")
    if not isinstance(slot.on_disk, Absent):
        rows.append((words("on disk", "quiet"), _chain(slot.on_disk, now, trust=trust)))
    if isinstance(slot.served, Known) and isinstance(slot.on_disk, Known) and _same_leaf(slot.served, slot.on_disk):
        rows.append((words("served", "quiet"), words("the same", "good")))
    elif not isinstance(slot.served, Absent) and not trust:
        rows.append((words("served", "quiet"), _chain(slot.served, now, trust=False)))
    if slot.due_at is not None:
        due = "now" if slot.due_at <= now else day(slot.due_at)
        rows.append((words("renewal", "quiet"), words(due, "warning" if slot.due_at <= now else "plain")))
    rows.extend((words("ahead", "quiet"), words(rule, "warning")) for rule in slot.ahead)
    return rows


def _same_leaf(one: Known[tuple[Certificate, ...]], other: Known[tuple[Certificate, ...]]) -> bool:
    return bool(one.value) and one.value[:1] == other.value[:1]


def _bound(reading: Reading[Binding]) -> Text:
    if isinstance(reading, Known):
        binding = reading.value
        return words(", ".join((*binding.files, *((f"tag {binding.tag}",) if binding.tag else ()))) or "nothing")
    return words(reading_word(reading) or "", "warning")


def _chain(reading: Reading[tuple[Certificate, ...]], now: datetime, *, trust: bool) -> Text:
    if not isinstance(reading, Known):
        return words(reading_word(reading) or "", "warning")
    if not reading.value:
        return words("no certificate in it", "warning")
    if trust:
        return Text("\n").join(_dated(each, now) for each in reading.value)
    leaf, *rest = reading.value
    lines = [_dated(leaf, now), words(f"names {listed(leaf.names, most=MOST_NAMES) or 'none'}")]
    lines.append(words(f"issuer {leaf.issuer_common_name or leaf.issuer} · {_eku(leaf)}", "quiet"))
    if rest:
        lines.append(words(f"then {listed(each.common_name or each.subject for each in rest)}", "quiet"))
    return Text("\n").join(lines)


def _eku(leaf: Certificate) -> str:
    return f"EKU {', '.join(leaf.ekus)}" if leaf.ekus else "no EKU"


def _dated(each: Certificate, now: datetime) -> Text:
    return phrase((f"{each.common_name or each.subject} · ", "plain"), _until(each, now))


def _until(certificate: Certificate, now: datetime) -> tuple[str, str]:
    rest = (certificate.not_after - now).days
    style = "error" if rest < 0 else "warning" if rest < SOON_DAYS else "plain"
    return (f"until {day(certificate.not_after)} ({left(certificate.not_after, now)})", style)
