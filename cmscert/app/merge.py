"""``drift --merge``: the reports of shards put together, as if one process had read all of them.

The newest report that holds a slot speaks for it, so a job that was repeated replaces what it said before. What no
report holds counts as unread: a shard that was lost must not look like a fleet without drift.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cmscert import __version__
from cmscert.app.drift_file import load_drift
from cmscert.errors import Fault, InputError, NodeError
from cmscert.model.names import service_of
from cmscert.model.overview import Overview
from cmscert.model.places import Asked
from cmscert.model.plan import Drift, Notice, Plan
from cmscert.model.readings import Unread
from cmscert.model.results import DriftReport, FleetStatus, ServerStatus

MOST_REPORTS = 1_000
MOST_ROWS = 2_000_000
LEFT_OUT = "no report holds it"
NOT_ISSUED = "not-issued"
BY_SLOT = ("service=", "certificate=")
"""Selectors that leave slots out: what all shards have in common was meant so."""

Key = tuple[str, str | None]
"""(server, slot); the slot is None for the server as a whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """One report of many. ``failures``: what could not be read, by server."""

    report: DriftReport
    failures: Mapping[str, NodeError]

    @property
    def status(self) -> FleetStatus:
        """Which servers were read; drift reports tell nothing of certificates that are as wanted."""
        why, blank = dict(reversed(self.report.unread)), Unread("not in a drift report")
        servers = dict.fromkeys((*(each.server for each in self.report.asked), *why))
        return FleetStatus(
            made_at=self.report.made_at,
            fleet=self.report.fleet,
            inventory_sha256=self.report.inventory_sha256,
            select=self.report.select,
            servers=tuple(
                ServerStatus(server=name, unread=why.get(name), release=blank, clock_skew=blank, password_expires=blank)
                for name in servers
            ),
        )

    @property
    def overview(self) -> Overview:
        """What a page needs; nobody has planned anything."""
        report = self.report
        plan = Plan(
            made_at=report.made_at,
            tool_version=__version__,
            fleet=report.fleet,
            inventory_sha256=report.inventory_sha256,
            basis={},
            select=report.select,
        )
        return Overview(status=self.status, drift=report, plan=plan)


def merge(files: Sequence[Path]) -> Merged:
    """Read reports, and put them together. Raises InputError with every fault of every file."""
    if len(files) > MOST_REPORTS:
        raise InputError([Fault(message=f"{len(files)} reports, at most {MOST_REPORTS} are read", reason="too-many")])
    reports: list[DriftReport] = []
    faults: list[Fault] = []
    hint: str | None = "merge reports of one fleet and one inventory only"
    rows = 0
    for file in files:
        try:
            report = load_drift(file)
        except InputError as error:
            faults.extend(error.faults)
            hint = error.hint
            continue
        rows += len(report.asked) + len(report.findings) + len(report.outside) + len(report.notices)
        if rows > MOST_ROWS:
            raise InputError(
                [Fault(file=str(file), message="with it, more rows than any fleet has", reason="too-many")]
            )
        faults.extend(_strange(report, file, reports[0] if reports else report))
        reports.append(report)
    if faults:
        raise InputError(faults, hint=hint)
    merged = merge_reports(reports)
    return Merged(report=merged, failures={server: NodeError(server, why) for server, why in reversed(merged.unread)})


def _strange(report: DriftReport, file: Path, first: DriftReport) -> Iterator[Fault]:
    """Find what keeps a report from the first one's company."""
    for key, here, there in (
        ("fleet", report.fleet, first.fleet),
        ("inventory_sha256", report.inventory_sha256[:12], first.inventory_sha256[:12]),
    ):
        if here != there:
            yield Fault(file=str(file), path=key, message=f"{here}, where another report says {there}", reason="other")


def merge_reports(reports: Sequence[DriftReport]) -> DriftReport:
    """Put reports of one fleet and one inventory together; of equally old ones the last counts."""
    ranked = sorted(reports, key=lambda each: each.made_at)
    voices = _voices(ranked)
    order = {name: number for number, name in enumerate(_servers(voices.asked.values()))}
    findings = [
        drift
        for number, report in enumerate(ranked)
        for drift in report.findings
        if voices.of(drift.server, drift.slot) == number
    ]
    unread = [
        row
        for number, report in enumerate(ranked)
        for row in report.unread
        if voices.heard(row[0], number) and not row[1].endswith(LEFT_OUT)
    ]
    common = tuple(each for each in ranked[-1].select if all(each in report.select for report in ranked))
    outside = _outside(ranked, slots=not any(each.startswith(BY_SLOT) for each in common))
    unread += _left_out(outside)
    awaited = {(drift.server, drift.slot) for drift in findings if drift.reason == NOT_ISSUED}
    last = len(order)  # of what no report holds, the inventory's order is known only as far as it was left out
    return replace(
        ranked[-1],
        made_at=min(each.made_at for number, each in enumerate(ranked) if voices.speaks(number)),
        servers=len(order),
        slots=sum(key[1] is not None and key not in awaited for key in voices.asked),
        select=common,
        unread=tuple(sorted(unread, key=lambda row: order.get(row[0], last))),
        findings=tuple(sorted(findings, key=lambda drift: (_part(drift), order.get(drift.server, last)))),
        notices=tuple(dict.fromkeys(_notices(ranked, voices))),
        asked=tuple(sorted(voices.asked.values(), key=lambda each: (order[each.server], each.slot is not None))),
        outside=outside,
        file=next((each.file for each in reversed(ranked) if each.file is not None), None),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Voices:
    """Which report speaks for what, by its number from the oldest on. ``asked``: in the words of that report."""

    asked: dict[Key, Asked] = field(default_factory=dict)
    number: dict[Key, int] = field(default_factory=dict)
    services: dict[Key, int] = field(default_factory=dict)
    servers: dict[str, set[int]] = field(default_factory=dict)

    def of(self, server: str, slot: str | None) -> int | None:
        """Return who speaks for a slot; for one that nobody asked about, whoever speaks for its service, or server."""
        found = self.number.get((server, slot))
        if found is None and slot is not None:
            found = self.services.get((server, service_of(slot)))
        return self.number.get((server, None)) if found is None else found

    def heard(self, server: str, number: int) -> bool:
        """Tell whether a report speaks for anything of a server."""
        return number in self.servers.get(server, ())

    def speaks(self, number: int) -> bool:
        """Tell whether a report speaks for anything."""
        return number in self.number.values()


def _voices(ranked: Sequence[DriftReport]) -> _Voices:
    voices = _Voices()
    for number, report in enumerate(ranked):
        for each in report.asked:
            voices.asked[each.server, each.slot] = each
            voices.number[each.server, each.slot] = number
            if each.slot is not None:
                voices.services[each.server, service_of(each.slot)] = number
    for (server, _), number in voices.number.items():
        voices.servers.setdefault(server, set()).add(number)
    return voices


def _servers(asked: Iterable[Asked]) -> list[str]:
    """Return the servers in the order of the inventory."""
    first = {each.server: each for each in asked if each.slot is None}
    return sorted(first, key=lambda name: (first[name].place.line, first[name].place.column, name))


def _part(drift: Drift) -> int:
    """Findings stand as one process has them: what is not issued, services, databases."""
    if drift.reason == NOT_ISSUED:
        return 0
    return 2 if drift.slot is not None and service_of(drift.slot) == "database" else 1


def _notices(ranked: Sequence[DriftReport], voices: _Voices) -> Iterator[Notice]:
    for number, report in enumerate(ranked):
        for notice in report.notices:
            if notice.server is None or voices.of(notice.server, notice.slot) in (None, number):
                yield notice


def _outside(ranked: Sequence[DriftReport], *, slots: bool) -> tuple[Key, ...]:
    """Return what every report left out; ``slots``: of servers of which one holds a part, too."""
    sets = [set(each.outside) for each in ranked]
    keys = dict.fromkeys(key for each in reversed(ranked) for key in each.outside if slots or key[1] is None)
    left = [key for key in keys if all(key in each or (key[0], None) in each for each in sets)]
    whole = {server for server, slot in left if slot is None}
    return tuple(key for key in left if key[1] is None or key[0] not in whole)


def _left_out(outside: tuple[Key, ...]) -> Iterator[tuple[str, str]]:
    slots: dict[str, list[str]] = {}
    for server, slot in outside:
        slots.setdefault(server, []).extend([slot] if slot is not None else [])
    for server, names in slots.items():
        yield server, f"{', '.join(names)}: {LEFT_OUT}" if names else LEFT_OUT
