"""Drift and status in Prometheus' text format, for the node exporter's textfile collector.

Every series has the label ``fleet``, so that files of several fleets go into one directory. No series has a time stamp:
the collector refuses them. Labels come from the inventory, from the list of reasons, and from the names on
certificates, which are cut; there are never more series than slots, files of databases, and reasons by server.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Final, get_args, get_type_hints

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from cmscert import __version__
from cmscert.model.desired import WantedIdentity
from cmscert.model.events import RunEnded
from cmscert.model.readings import Known, Reading
from cmscert.model.results import DatabaseStatus, DriftReport, FleetStatus, LastRun, ServerStatus, SlotStatus
from cmscert.pki.certificate import Certificate
from cmscert.reports.plain import safe
from cmscert.reports.reasons import origin_word

LONGEST: Final = 120
RESULTS: Final[tuple[str, ...]] = get_args(get_type_hints(RunEnded)["result"])
CERTIFICATE: Final = ("server", "slot", "certificate", "common_name", "where")


def metrics(status: FleetStatus, *, drift: DriftReport | None = None, last_run: LastRun | None = None) -> str:
    """Write what can be watched and alarmed on; moments are seconds since 1970.

    ``drift``: leave it out where nothing was compared. ``last_run``: None where none has ended yet.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Sheet(status, drift, last_run))
    return generate_latest(registry).decode("utf-8")


class _Sheet(Collector):
    """Hands its families to prometheus-client's writer."""

    def __init__(self, status: FleetStatus, drift: DriftReport | None, last_run: LastRun | None) -> None:
        self.status = status
        self.drift = drift
        self.last_run = last_run

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield every family that has something to say."""
        families = [*self._about(), *self._servers(), *self._certificates(), *self._drift(), *self._runs()]
        yield from (family for family in families if family.samples)

    def _family(self, name: str, meaning: str, *labels: str) -> _Family:
        return _Family(f"cmscert_{name}", meaning, self.status.fleet, labels)

    def _about(self) -> Iterator[GaugeMetricFamily]:
        build = self._family("build_info", "The version of cmscert that wrote this; always 1.", "version")
        build.add(1, __version__)
        read = self._family("read_at_seconds", "When the servers were read.")
        read.add(self.status.made_at.timestamp())
        yield from (build.family, read.family)

    def _servers(self) -> Iterator[GaugeMetricFamily]:
        count = self._family("servers", "Servers of the fleet, by whether they could be read.", "state")
        up = self._family("server_read", "1 when everything that was needed of the server could be read.", "server")
        skew = self._family("server_clock_skew_seconds", "How far the clock of the server is ahead.", "server")
        password = self._family("password_expires_seconds", "When the password of the user expires.", "server")
        unread = {server for server, _ in self.status.unread}
        if self.drift is not None:
            unread |= {server for server, _ in self.drift.unread}
        names = [server.server for server in self.status.servers]
        count.add(sum(name not in unread for name in names), "read")
        count.add(sum(name in unread for name in names), "unread")
        for server in self.status.servers:
            up.add(int(server.server not in unread), server.server)
            if isinstance(server.clock_skew, Known):
                skew.add(round(server.clock_skew.value, 1), server.server)
            if isinstance(server.password_expires, Known):
                end = datetime.combine(server.password_expires.value, time(), UTC)
                password.add(end.timestamp(), server.server)
        yield from (count.family, up.family, skew.family, password.family)

    def _certificates(self) -> Iterator[GaugeMetricFamily]:
        leaf = self._family("certificate_not_after_seconds", "When the certificate itself ends.", *CERTIFICATE)
        chain = self._family(
            "chain_not_after_seconds", "When the first of the certificate and its issuers ends.", *CERTIFICATE
        )
        due = self._family("renewal_due_seconds", "From when on the certificate is to be renewed.", *CERTIFICATE)
        trust = self._family(
            "trust_not_after_seconds", "When the first certificate of a trust list ends.", "server", "slot"
        )
        for server in self.status.servers:
            for slot in server.slots:
                _slot(server, slot, leaf, chain, due, trust)
            if server.database is not None:
                _database(server.server, server.database, leaf, due, trust)
        yield from (leaf.family, chain.family, due.family, trust.family)

    def _drift(self) -> Iterator[GaugeMetricFamily]:
        if self.drift is None:
            return
        total = self._family("drift", "Findings that nobody asked to leave alone.")
        total.add(len(self.drift.alarming))
        by_reason = self._family(
            "drift_findings", "Findings by server and reason.", "server", "reason", "severity", "ignored", "origin"
        )
        found = Counter(
            (
                drift.server,
                drift.reason,
                drift.severity,
                "no" if drift.ignored is None else "yes",
                origin_word(drift),
            )
            for drift in self.drift.findings
        )
        for labels, number in sorted(found.items()):
            by_reason.add(number, *labels)
        until = self._family(
            "ignored_until_seconds", "When the day begins on which ignored findings count again.", "server", "reason"
        )
        for (server, reason), end in sorted(_ends_of_ignores(self.drift).items()):
            until.add(end.timestamp(), server, reason)
        yield from (total.family, by_reason.family, until.family)

    def _runs(self) -> Iterator[GaugeMetricFamily]:
        if self.last_run is None:
            return
        ended = self._family("last_run_ended_seconds", "When the newest run that came to its end did so.")
        ended.add(self.last_run.ended.timestamp())
        result = self._family("last_run_result", "1 for the result of that run, 0 for the others.", "result")
        for each in RESULTS:
            result.add(int(each == self.last_run.result), each)
        yield from (ended.family, result.family)


def _ends_of_ignores(report: DriftReport) -> dict[tuple[str, str], datetime]:
    """Return, by server and reason, when the first finding that is ignored for a time counts again."""
    ends: dict[tuple[str, str], datetime] = {}
    for drift in report.findings:
        if drift.ignored is not None and drift.ignored_until is not None:
            place = (drift.server, drift.reason)
            end = datetime.fromisoformat(drift.ignored_until).replace(tzinfo=UTC) + timedelta(days=1)
            ends[place] = min(end, ends.get(place, end))
    return ends


class _Family:
    """A gauge whose samples all have the fleet as their first label."""

    def __init__(self, name: str, meaning: str, fleet: str, labels: tuple[str, ...]) -> None:
        self.fleet = _cut(fleet)
        self.family = GaugeMetricFamily(name, meaning, labels=("fleet", *labels))

    def add(self, value: float, *labels: str) -> None:
        """Add a sample; labels in the order of the family's."""
        self.family.add_metric([self.fleet, *map(_cut, labels)], value)


def _cut(text: str) -> str:
    shown = safe(text)
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…"


def _slot(server: ServerStatus, slot: SlotStatus, leaf: _Family, chain: _Family, due: _Family, trust: _Family) -> None:
    held = _known(slot.on_disk)
    if slot.slot.partition("/")[2].startswith("trust"):
        if held:
            trust.add(_end(held), server.server, slot.slot)
        return
    name = slot.wanted.material.certificate if isinstance(slot.wanted, WantedIdentity) else ""
    if held:
        labels = _names(server.server, slot.slot, name, held, "disk")
        leaf.add(held[0].not_after.timestamp(), *labels)
        if slot.ends is not None:
            chain.add(slot.ends.timestamp(), *labels)
        if slot.due_at is not None:
            due.add(slot.due_at.timestamp(), *labels)
    served = _known(slot.served)
    if served:
        labels = _names(server.server, slot.slot, name, served, "served")
        leaf.add(served[0].not_after.timestamp(), *labels)
        chain.add(_end(served), *labels)


def _database(server: str, database: DatabaseStatus, leaf: _Family, due: _Family, trust: _Family) -> None:
    """Count the files of a database as slots: ``database/main/server``."""
    for file in database.files:
        held = _known(file.on_disk)
        slot = f"database/{database.database}/{file.use}"
        if held and file.use == "ca":
            trust.add(_end(held), server, slot)
        elif held:
            labels = _names(server, slot, file.named or "", held, "disk")
            leaf.add(held[0].not_after.timestamp(), *labels)
            if file.due_at is not None:
                due.add(file.due_at.timestamp(), *labels)


def _known(reading: Reading[tuple[Certificate, ...]]) -> tuple[Certificate, ...]:
    return reading.value if isinstance(reading, Known) else ()


def _names(server: str, slot: str, certificate: str, held: tuple[Certificate, ...], where: str) -> tuple[str, ...]:
    return server, slot, certificate, held[0].common_name or held[0].subject, where


def _end(certificates: tuple[Certificate, ...]) -> float:
    return min(each.not_after for each in certificates).timestamp()
