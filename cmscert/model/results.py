"""What the reading use cases hand to a report: the result of ``drift`` and ``status``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from cmscert.model.database import DatabaseState
from cmscert.model.desired import WantedSlot
from cmscert.model.names import Release
from cmscert.model.observed import Binding
from cmscert.model.places import Asked
from cmscert.model.plan import Drift, Notice
from cmscert.model.readings import Known, Reading
from cmscert.pki.certificate import Certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftReport:
    """What on the nodes is not as wanted. ``unread``: (server, why).

    ``asked``: everything that was compared, in the inventory's order. ``outside``: (server, slot) of what the selection
    left out: whole servers (slot is None), and slots and databases of those that it kept a part of. ``file``: the
    inventory, relative to the root of its checkout where it is in one, else to the working directory.
    """

    made_at: datetime
    fleet: str
    inventory_sha256: str
    servers: int
    slots: int
    select: tuple[str, ...] = ()
    unread: tuple[tuple[str, str], ...] = ()
    findings: tuple[Drift, ...] = ()
    notices: tuple[Notice, ...] = ()
    asked: tuple[Asked, ...] = ()
    outside: tuple[tuple[str, str | None], ...] = ()
    file: str | None = None

    @property
    def complete(self) -> bool:
        """Whether everything that was needed could be read."""
        return not self.unread

    @property
    def alarming(self) -> tuple[Drift, ...]:
        """The findings that nobody asked to leave alone."""
        return tuple(drift for drift in self.findings if drift.ignored is None)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotStatus:
    """One slot of one server.

    ``bound``: the file names of the screen. ``on_disk``: the certificates of the bound certificate (or trust) file.
    ``served``: the chain as a TLS port showed it, leaf first. ``wanted`` is None where the inventory is silent.
    ``due_at``: when the bound certificate is to be renewed. ``ends``: when the first of its chain ends, in the file or
    in the bundle beside it. ``ahead``: the rules for public CAs that its successors will meet.
    """

    slot: str
    wanted: WantedSlot | None
    bound: Reading[Binding]
    on_disk: Reading[tuple[Certificate, ...]]
    served: Reading[tuple[Certificate, ...]]
    due_at: datetime | None = None
    ahead: tuple[str, ...] = ()
    ends: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseFile:
    """A certificate that a database works on, by the name on its screen, with the key bound beside it.

    ``due_at``: when it is to be renewed; None for the CA, and where it was not read. ``named``: the certificate of the
    inventory that belongs there; None for the CA.
    """

    use: Literal["server", "client", "ca"]
    certificate: str
    key: str | None
    on_disk: Reading[tuple[Certificate, ...]]
    due_at: datetime | None = None
    named: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseStatus:
    """A member of a database cluster of the inventory. ``wanted``: with a database, or only connected to one."""

    database: str
    wanted: Literal["node", "client"]
    state: Reading[DatabaseState]
    files: tuple[DatabaseFile, ...] = ()

    @property
    def role(self) -> Literal["primary", "replica", "client", "none", "unclear"]:
        """What the member is now, as its own screen says; ``unclear`` where that cannot be told."""
        if not isinstance(self.state, Known):
            return "unclear"
        state = self.state.value
        if not state.standing:
            return "none"
        if state.me is None or (state.me.role == "other" and self.wanted == "client"):
            return "client"
        return "unclear" if state.me.role == "other" else state.me.role


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    """One server. ``unread`` is why it could not be reached, else None; ``clock_skew`` in seconds.

    ``database``: None where the server is no member of one.
    """

    server: str
    unread: str | None
    release: Reading[Release]
    clock_skew: Reading[float]
    password_expires: Reading[date]
    slots: tuple[SlotStatus, ...] = ()
    database: DatabaseStatus | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetStatus:
    """Every certificate of the fleet at one moment.

    ``findings``: what is not as wanted. ``notices``: who else is at work, and what runs left. ``journal``: why the
    journal of this machine could not be read; None where it could.
    """

    made_at: datetime
    fleet: str
    inventory_sha256: str
    select: tuple[str, ...] = ()
    servers: tuple[ServerStatus, ...] = ()
    findings: tuple[Drift, ...] = ()
    notices: tuple[Notice, ...] = ()
    journal: str | None = None

    @property
    def unread(self) -> tuple[tuple[str, str], ...]:
        """(server, why) of everything that could not be read."""
        return tuple((server.server, server.unread) for server in self.servers if server.unread is not None)


RenewState = Literal["fresh", "due", "issued", "waiting", "failed", "put-off"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewRow:
    """How one certificate came out of a renewal.

    ``fresh``: nothing to do. ``due``: would be asked for (a rehearsal). ``issued``: obtained now. ``waiting``: asked
    for, not signed. ``failed``, ``put-off``: failed now, or failed before and is tried again later. ``why``: what made
    it due, what it waits for, or what failed. ``at_risk``: what fails must be heard of.
    """

    certificate: str
    server: str | None
    issuer: str
    state: RenewState
    why: str | None = None
    due_at: datetime | None = None
    not_after: datetime | None = None
    at_risk: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewReport:
    """A renewal of a fleet's certificates. ``rehearsed``: nothing was asked for."""

    made_at: datetime
    fleet: str
    rows: tuple[RenewRow, ...]
    select: tuple[str, ...] = ()
    rehearsed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRevision:
    """A certificate in the material store, leaf first. ``device_key``: its key's file where a server keeps it."""

    chain: tuple[Certificate, ...]
    issuer: str
    at: datetime
    device_key: str | None
    due_at: datetime
    ends: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCertificate:
    """What is in store of one certificate. ``asked_at``: since when a request is under way; ``failures``: in a row."""

    certificate: str
    server: str | None
    issuer: str
    revisions: tuple[StoredRevision, ...]
    asked_at: datetime | None = None
    failures: int = 0
    failed: str | None = None
    next_try: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStatus:
    """The material store of an inventory. ``folder``: relative to the inventory's where it lies in there."""

    made_at: datetime
    fleet: str
    folder: str
    rows: tuple[StoredCertificate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LastRun:
    """The newest run of a fleet that came to its end; ``result`` as in ``RunEnded``."""

    run: str
    result: str
    ended: datetime
