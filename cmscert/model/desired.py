"""What every service must hold, resolved from the inventory: no references are left, no key bytes are in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Literal

from cmscert.model.names import Release
from cmscert.model.observed import Binding
from cmscert.pki.certificate import Certificate

Naming = Literal["new", "fixed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """A certificate of the inventory as it was loaded; the key is known by the hash of its public half only.

    ``chain``: issuer first, root last (the root included when the bundle has it), never the leaf.
    ``declared``: the names that the inventory asks for (CN first). ``device_key``: the key file on the server that made
    it (``key: {made: device}``); it never leaves that server, so there is nothing to upload. ``key_here``: False when
    only the servers have the key, under whatever name, so that no server can be given it.
    """

    certificate: str
    leaf: Certificate
    chain: tuple[Certificate, ...]
    spki: str
    naming: Naming = "new"
    declared: tuple[str, ...] = ()
    device_key: str | None = None
    key_here: bool = True

    @property
    def full_chain(self) -> tuple[Certificate, ...]:
        """Leaf, intermediates, root."""
        return (self.leaf, *self.chain)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A named, ordered set of certificates; for CA bundles the issuing CA first and the root last."""

    name: str
    certificates: tuple[Certificate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedIdentity:
    """What an identity slot must hold.

    ``file_certificates``: what the certificate file holds (the leaf alone, or the full chain).
    ``bundle``: the third file, or None when the slot gets none.
    ``address``/``port``: where to probe it, when that is said in the inventory.
    """

    slot: str
    material: Material
    file_certificates: tuple[Certificate, ...]
    bundle: Bundle | None = None
    tag: str | None = None
    address: str | None = None
    port: int | None = None
    kind: Literal["identity"] = "identity"


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedTrust:
    """What a trust slot must hold. ``leaves_of``: the service whose leaf certificates these are, if they are."""

    slot: str
    bundle: Bundle
    leaves_of: str | None = None
    kind: Literal["trust"] = "trust"


WantedSlot = WantedIdentity | WantedTrust


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedAt:
    """A slot that is read, and probed, although nothing need be wanted of it: a rollback looks at what a run touched.

    ``tag``, ``address`` and ``port``: as in ``WantedIdentity``. ``bindings``: what was bound and may be bound again:
    these files are read, and the server is asked whether their keys and certificates belong together. ``answered``: its
    port did before the run that touched it, so it must again once its service is started.
    """

    slot: str
    tag: str | None = None
    address: str | None = None
    port: int | None = None
    bindings: tuple[Binding, ...] = ()
    answered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedServer:
    """One CMS node of the inventory.

    ``release``: what the inventory says, None when it leaves it open. ``pending``: files of requests that await a
    signature (keys made on the server): never removed. ``looked_at``: what is read besides what is wanted.
    ``others``: services that the inventory names here and a selection left out.
    """

    name: str
    address: str
    fqdn: str
    release: Release | None = None
    roles: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    database_address: str | None = None
    slots: tuple[WantedSlot, ...] = ()
    pending: tuple[str, ...] = ()
    looked_at: tuple[LookedAt, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def slots_seen(self) -> tuple[str, ...]:
        """The names of all slots that are read, wanted ones first."""
        return tuple(dict.fromkeys(slot.slot for slot in (*self.slots, *self.looked_at)))

    def slot(self, name: str) -> WantedSlot | None:
        """Return what is wanted in a slot, or None when the inventory leaves it alone."""
        return next((wanted for wanted in self.slots if wanted.slot == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Minting:
    """Database material that the CA built into CMS makes (procedure section 2, steps 2 to 9).

    ``server``: the CMS node that makes it. The three names are what new basenames on the node start with.
    """

    server: str
    ca: str
    ca_common_name: str
    server_certificate: str
    server_common_name: str
    server_sans: tuple[str, ...] = ()
    client_certificate: str = "dbclient"
    client_common_name: str = "postgres"


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedDatabase:
    """A database cluster of the inventory.

    ``nodes``: servers with a database; ``clients``: servers that only connect. ``primary``: only where none is live.
    ``server`` and ``client``: certificates by server (often the same one for all). ``ca``: the one CA of all of them.
    With ``minting`` these three are empty: any healthy material of the CA built into CMS will do.
    """

    name: str
    nodes: tuple[str, ...]
    clients: tuple[str, ...] = ()
    primary: str
    interface: str = "a"
    server: Mapping[str, Material] = field(default_factory=dict)
    client: Mapping[str, Material] = field(default_factory=dict)
    ca: Bundle | None = None
    minting: Minting | None = None

    @property
    def members(self) -> tuple[str, ...]:
        """Nodes and clients, in the inventory's order."""
        return (*self.nodes, *self.clients)


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """When a certificate is due for renewal: below this share of its life, or below this time left.

    ``suggested``: what CAs say themselves (ARI, RFC 9773), by the SHA-256 of the certificate; that wins.
    """

    life_left: Fraction | None = Fraction(1, 3)
    time_left: timedelta | None = None
    suggested: Mapping[str, datetime] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignore:
    """Drift to leave alone, with a reason and optionally an end (ISO date)."""

    reason: str
    server: str = "*"
    slot: str = "*"
    drift: str = "*"
    until: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepRuns:
    """How many runs of the fleet stay in the state directory, and for how many days; the narrower of both holds."""

    count: int = 200
    days: int = 730


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The inventory's ``policy``. ``seconds``: overrides of the impact table, by service."""

    renew_when: Due = field(default_factory=Due)
    one_at_a_time: tuple[str, ...] = ("callbridge", "webbridge", "webbridge3", "turn")
    keep_revisions: int = 2
    keep_runs: KeepRuns = field(default_factory=KeepRuns)
    max_servers_changed: int | None = None
    ignore: tuple[Ignore, ...] = ()
    profile: Literal["default", "strict"] = "default"
    seconds: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unhandled:
    """Something that the inventory asks for and this release of cmscert does not do yet: named in every plan."""

    path: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaited:
    """A slot whose certificate an issuer has not delivered yet. ``why``: what it waits for, and what to do."""

    server: str
    slot: str
    certificate: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """A certificate that is there, and whose successor is asked for or could not be had. ``server``: None if shared."""

    certificate: str
    server: str | None
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """The whole inventory, resolved.

    ``inventory_sha256``: over the inventory's bytes and all public material that it names.
    """

    fleet: str
    servers: tuple[WantedServer, ...]
    policy: Policy
    inventory_sha256: str
    unhandled: tuple[Unhandled, ...] = ()
    databases: tuple[WantedDatabase, ...] = ()
    awaited: tuple[Awaited, ...] = ()
    renewals: tuple[Renewal, ...] = ()

    def server(self, name: str) -> WantedServer:
        """Return a server by name; raises KeyError."""
        for server in self.servers:
            if server.name == name:
                return server
        raise KeyError(name)
