"""Every certificate of a fleet once, with its chain and the places where it is bound, on disk or served."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cmscert.model.desired import WantedIdentity
from cmscert.model.readings import Known
from cmscert.model.results import FleetStatus, ServerStatus, SlotStatus
from cmscert.pki.certificate import Certificate
from cmscert.pki.chain import build_chain

DAY = timedelta(days=1)
SOON_DAYS = 30
MOST_NAMES = 100


def is_trust(slot: str) -> bool:
    """Tell whether a slot holds certificates that peers are checked against."""
    return slot.partition("/")[2].startswith("trust")


@dataclass(slots=True, kw_only=True)
class Detail:
    """A certificate. ``chain``: its issuers as far as they are known. ``places``: (server, slot, what it is there)."""

    number: int
    certificate: Certificate
    chain: tuple[Certificate, ...] = ()
    places: list[tuple[str, str, str]] = field(default_factory=list)
    due_at: datetime | None = None
    ahead: tuple[str, ...] = ()

    @property
    def anchor(self) -> str:
        """The id of its place in the page."""
        return f"c{self.number}"

    @property
    def name(self) -> str:
        """Its common name, or the subject where it has none."""
        return self.certificate.common_name or self.certificate.subject or "(no subject)"

    @property
    def names(self) -> tuple[str, ...]:
        """The names for TLS clients that are shown."""
        return self.certificate.names[:MOST_NAMES]

    @property
    def more_names(self) -> int:
        """How many names are not shown."""
        return len(self.certificate.names) - len(self.names)

    @property
    def ends(self) -> datetime:
        """When it is no longer of use: its own end, or the first in its chain."""
        return min(each.not_after for each in (self.certificate, *self.chain))

    @property
    def is_ca(self) -> bool:
        """Whether it signs others."""
        return self.certificate.is_ca

    @property
    def life(self) -> int:
        """Its whole life in days."""
        return (self.certificate.not_after - self.certificate.not_before) // DAY

    def days(self, now: datetime) -> int:
        """Whole days that it still has; negative when it is over."""
        return (self.certificate.not_after - now) // DAY

    def gone(self, now: datetime) -> bool:
        """Whether it has expired; the very moment counts."""
        return self.certificate.not_after <= now

    def tone(self, now: datetime) -> str:
        """Colour of its end, which is also told in words."""
        return "bad" if self.gone(now) else "warn" if self.days(now) < SOON_DAYS else "plain"


@dataclass(slots=True, kw_only=True)
class Album:
    """All certificates that were seen, by SHA-256."""

    details: dict[str, Detail] = field(default_factory=dict)

    def of(self, certificate: Certificate) -> Detail:
        """Return the entry of a certificate; made at the first call."""
        found = self.details.get(certificate.sha256)
        if found is None:
            found = Detail(number=len(self.details) + 1, certificate=certificate)
            self.details[certificate.sha256] = found
        return found

    @property
    def leaves(self) -> list[Detail]:
        """Certificates of services and databases, by their ends."""
        return sorted((each for each in self.details.values() if not each.is_ca), key=_age)

    @property
    def authorities(self) -> list[Detail]:
        """Certificates that sign others, by their ends."""
        return sorted((each for each in self.details.values() if each.is_ca), key=_age)


def _age(detail: Detail) -> tuple[datetime, str, str]:
    return detail.ends, detail.name, detail.certificate.sha256


def album_of(status: FleetStatus) -> Album:
    """Collect what status has seen; issuers come from everything that was read or is wanted."""
    album = Album()
    for server in status.servers:
        for slot in server.slots:
            _take_slot(album, server.server, slot)
        if server.database is not None:
            _take_database(album, server)
    pile = {each.sha256: each for each in (*_wanted(status), *_seen(status)) if each.is_ca}
    for detail in list(album.details.values()):
        detail.chain = build_chain(detail.certificate, pile.values())
        for above in detail.chain:
            album.of(above)
    return album


def _take_slot(album: Album, server: str, slot: SlotStatus) -> None:
    served = slot.served.value if isinstance(slot.served, Known) else ()
    held = slot.on_disk.value if isinstance(slot.on_disk, Known) else ()
    if is_trust(slot.slot):
        for each in held:
            album.of(each).places.append((server, slot.slot, "trusted"))
        return
    if held:
        same = served[:1] == held[:1]
        detail = album.of(held[0])
        detail.places.append((server, slot.slot, "bound and served" if same else "bound"))
        detail.due_at = detail.due_at or slot.due_at
        detail.ahead = detail.ahead or slot.ahead
    if served and served[:1] != held[:1]:
        album.of(served[0]).places.append((server, slot.slot, "served"))


def _take_database(album: Album, server: ServerStatus) -> None:
    assert server.database is not None  # noqa: S101 - asked by the only caller
    for file in server.database.files:
        held = file.on_disk.value if isinstance(file.on_disk, Known) else ()
        for each in held if file.use == "ca" else held[:1]:
            detail = album.of(each)
            detail.places.append((server.server, f"database/{server.database.database}", file.use))
            detail.due_at = detail.due_at or file.due_at


def _seen(status: FleetStatus) -> Iterator[Certificate]:
    for server in status.servers:
        for slot in server.slots:
            yield from _known(slot.on_disk)
            yield from _known(slot.served)
        for file in server.database.files if server.database is not None else ():
            yield from _known(file.on_disk)


def _wanted(status: FleetStatus) -> Iterator[Certificate]:
    for slot in (slot for server in status.servers for slot in server.slots):
        if isinstance(slot.wanted, WantedIdentity):
            yield from slot.wanted.material.chain
        if slot.wanted is not None and slot.wanted.bundle is not None:
            yield from slot.wanted.bundle.certificates


def _known(reading: object) -> Iterable[Certificate]:
    return reading.value if isinstance(reading, Known) else ()
