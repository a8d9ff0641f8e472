"""Reports of drift and status that hold one of everything, as examples for the tests of every format."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256

from cmscert.model.database import DatabaseState
from cmscert.model.desired import Bundle, Material, WantedIdentity, WantedTrust
from cmscert.model.names import Release
from cmscert.model.observed import Binding
from cmscert.model.origin import Origin
from cmscert.model.places import Asked, Place
from cmscert.model.plan import Drift, Notice
from cmscert.model.readings import ABSENT, Known, Unread
from cmscert.model.results import (
    DatabaseFile,
    DatabaseStatus,
    DriftReport,
    FleetStatus,
    LastRun,
    ServerStatus,
    SlotStatus,
)
from cmscert.pki.certificate import Certificate

MOMENT = datetime(2026, 11, 23, 20, 30, tzinfo=UTC)
SHA = "0123456789abcdef" * 4
ROLE_LINE, OWN_LINE, SERVER_LINE = 12, 31, 30
HOSTILE = "\x1b[31m|`</td><script>alert(1)</script>`| @team #1 http://a.example\u202e\n& {0} \\"
"""What a device can answer, against every format that could take a part of it for its own."""


def toy_certificate(name: str, *, days: int = 200, ca: bool = False, issuer: str = "Issuing CA") -> Certificate:
    """Make facts of a certificate out of nothing but its name; it ends so many days and an hour after ``MOMENT``."""
    digest = sha256(f"{name} {days}".encode()).hexdigest()
    return Certificate(
        der=digest.encode(),
        sha256=digest,
        spki_sha256=digest,
        subject=f"CN={name},O=Example",
        issuer=f"CN={issuer},O=Example",
        common_name=name,
        issuer_common_name=issuer,
        serial=4711,
        not_before=MOMENT - timedelta(days=30),
        not_after=MOMENT + timedelta(days=days, hours=1),
        dns_names=() if ca else (name,),
        ip_addresses=(),
        key_bits=2048,
        signature_hash="sha256",
        ekus=None if ca else ("serverAuth", "clientAuth"),
        is_ca=ca,
    )


def sample_drift() -> DriftReport:
    """Return a report: findings of a slot of a role and of a server, of a database, ignored ones, an unread server."""
    return DriftReport(
        made_at=MOMENT,
        fleet="example",
        inventory_sha256=SHA,
        servers=3,
        slots=5,
        select=("server=*",),
        unread=(("edge2", "no TCP connection to 10.0.0.22 port 22 within 10 s"),),
        findings=_findings(),
        notices=(Notice(message="the password of admin expires on 2026-12-01", server="core1", reason="password"),),
        asked=_asked(),
        file="fleets/the example.yaml",
    )


def _findings() -> tuple[Drift, ...]:
    since = MOMENT - timedelta(days=2)
    hand = Origin(kind="server", at=since, run="20261121T203000Z-7f3a11")
    first = Drift(server="core1", slot="webadmin", reason="leaf-differs", wanted="the new one", found="the old one")
    leaf = replace(first, origin=hand)
    time = replace(hand, kind="time")
    due = replace(
        leaf, reason="expires-soon", found="expires in 8 days", severity="warning", plannable=False, origin=time
    )
    database = replace(due, slot="database/main")
    return (
        leaf,
        replace(due, wanted="renewed from 2026-11-02"),
        Drift(
            server="core1",
            slot=None,
            reason="release-differs",
            wanted="3.9",
            found="3.8",
            severity="warning",
            origin=replace(hand, kind="inventory"),
        ),
        replace(database, wanted="the client certificate renewed"),
        replace(database, wanted="the server certificate renewed"),
        replace(
            first, server="edge1", slot="turn", ignored="moved with CHG-1204", ignored_until="2026-12-31", found=HOSTILE
        ),
        replace(
            leaf,
            origin=Origin(kind="unknown", why="no apply on this server is in the journal here"),
            server="edge9",
            slot="recorder",
            reason="stopped-by-run",
            severity="notice",
            ignore_ended="CHG-9 (until 2026-11-01)",
        ),
    )


def _asked() -> tuple[Asked, ...]:
    def place(line: int) -> Place:
        return Place(line=line, column=5, path="roles.core.webadmin")

    core1 = place(SERVER_LINE)
    return (
        Asked(server="core1", slot=None, place=core1),
        Asked(server="core1", slot="webadmin", place=place(ROLE_LINE), by=core1),
        Asked(server="core1", slot="callbridge", place=place(13), by=core1),
        Asked(server="core1", slot="database/main", place=place(50), by=core1),
        Asked(server="edge1", slot=None, place=place(OWN_LINE)),
        Asked(server="edge1", slot="turn", place=place(OWN_LINE)),
        Asked(server="edge2", slot=None, place=place(32)),
        Asked(server="edge2", slot="turn", place=place(32)),
    )


def many_findings(number: int) -> DriftReport:
    """Return a report of so many findings, as many of them ignored again, and servers that could not be read."""
    report = sample_drift()
    long = replace(report.findings[0], wanted="w" * 2000, found=HOSTILE * 9)
    return replace(
        report,
        unread=tuple((f"gone{each}", "no answer " * 40) for each in range(number)),
        findings=tuple(replace(long, server=f"core{each}") for each in range(number))
        + tuple(replace(long, server=f"core{each}", ignored="later " * 50) for each in range(number)),
        notices=report.notices * number,
    )


def sample_status() -> FleetStatus:
    """Return a status: identities that are served and not, trust, a database, a server that could not be read."""
    blank = Unread("not asked")
    bare = ServerStatus(server="edge3", unread=None, release=blank, clock_skew=blank, password_expires=blank)
    gone = replace(bare, server="edge2", unread="no TCP connection to 10.0.0.22 port 22 within 10 s")
    return FleetStatus(
        made_at=MOMENT, fleet="example", inventory_sha256=SHA, select=("role=edge",), servers=(_edge1(), gone, bare)
    )


def _edge1() -> ServerStatus:
    return ServerStatus(
        server="edge1",
        unread=None,
        release=Known(Release(3, 9)),
        clock_skew=Known(-2.41),
        password_expires=Known(date(2027, 3, 31)),
        slots=_slots(),
        database=_database(),
    )


def _slots() -> tuple[SlotStatus, ...]:
    issuing = toy_certificate("Issuing CA", days=90, ca=True, issuer="Root CA")
    root = toy_certificate("Root CA", days=4000, ca=True, issuer="Root CA")
    leaf, old = toy_certificate("join.example.com"), toy_certificate("join.example.com", days=8)
    material = Material(certificate="join", leaf=leaf, chain=(issuing, root), spki=SHA)
    https = WantedIdentity(slot="webbridge3/https", material=material, file_certificates=material.full_chain)
    bundle = Bundle(name="corp", certificates=(issuing, root))
    trust = WantedTrust(slot="webbridge3/trust-c2w", bundle=bundle)
    odd, expired = toy_certificate(HOSTILE * 3, days=40), toy_certificate("gone.example.com", days=-3)
    blank = Unread("not asked")
    plain = SlotStatus(slot="webadmin", wanted=None, bound=ABSENT, on_disk=ABSENT, served=ABSENT)
    return (
        replace(
            plain,
            slot="webbridge3/https",
            wanted=https,
            bound=Known(Binding(slot="webbridge3/https", key="join.key", certificate="join.crt")),
            on_disk=Known((leaf, issuing, root)),
            served=Known((old, issuing)),
            due_at=MOMENT + timedelta(days=40),
            ends=issuing.not_after,
        ),
        replace(plain, slot="webbridge3/trust-c2w", wanted=trust, on_disk=Known((root, issuing))),
        replace(plain, slot="turn", on_disk=Known((expired,)), served=Known((expired,)), due_at=MOMENT),
        replace(plain, slot="webadmin", on_disk=Known((odd,)), served=Unread("no answer")),
        replace(plain, slot="callbridge/trust-c2w", on_disk=Known(())),
        replace(plain, slot="recorder", bound=blank, on_disk=blank, served=blank),
    )


def _database() -> DatabaseStatus:
    server, authority = toy_certificate("core1.example.com", days=70), toy_certificate("dbca", days=900, ca=True)
    return DatabaseStatus(
        database="main",
        wanted="node",
        state=Known(DatabaseState(status="Enabled")),
        files=(
            DatabaseFile(
                use="server", certificate="s.crt", key="s.key", on_disk=Known((server,)), due_at=MOMENT, named="db"
            ),
            DatabaseFile(use="client", certificate="old.crt", key="old.key", on_disk=Known((server,))),
            DatabaseFile(use="client", certificate="c.crt", key="c.key", on_disk=Unread("no answer")),
            DatabaseFile(use="ca", certificate="ca.crt", key=None, on_disk=Known((authority,))),
        ),
    )


def sample_last_run() -> LastRun:
    """Return how a run ended."""
    return LastRun(run="20261123T203000Z-7f3a11", result="rolled-back", ended=MOMENT - timedelta(hours=3))
