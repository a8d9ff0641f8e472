"""A toy fleet in memory: desired and observed values for tests of the planner, without YAML, SSH or files.

``ToyFleet`` starts with every slot holding what is wanted; a test then changes what it is about.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256

from cmscert.mmp.services import SERVICES
from cmscert.model.desired import (
    Bundle,
    Desired,
    Material,
    Naming,
    Policy,
    WantedIdentity,
    WantedServer,
    WantedSlot,
    WantedTrust,
)
from cmscert.model.names import Release, service_of
from cmscert.model.observed import Binding, Listen, ObservedServer, ServiceState, StoredFile
from cmscert.model.readings import ABSENT, Known, Reading, Unread
from cmscert.model.services import rows_for
from cmscert.pki.certificate import Certificate
from cmscert.pki.pem import to_pem

MOMENT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@dataclass(kw_only=True)
class ToyServer:
    """One server: what is wanted, what is bound, what is in the store, what is served."""

    name: str
    release: str = "3.9"
    wanted: dict[str, WantedSlot] = field(default_factory=dict)
    bound: dict[str, Binding] = field(default_factory=dict)
    files: dict[str, tuple[Certificate, ...]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    served: dict[str, Reading[tuple[Certificate, ...]]] = field(default_factory=dict)
    enabled: dict[str, bool | None] = field(default_factory=dict)
    unreachable: str | None = None
    overrides: dict[str, object] = field(default_factory=dict)

    def hold(
        self,
        slot: str,
        certificates: tuple[Certificate, ...],
        spki: str | None = None,
        bundle: Iterable[Certificate] = (),
    ) -> None:
        """Bind and serve other files in an identity slot, under hand-made names."""
        mark = certificates[0].sha256[:6]
        stem = f"{slot.replace('/', '-')}-{mark}"
        self.files[f"{stem}.crt"] = certificates
        self.keys[f"{stem}.key"] = spki or certificates[0].spki_sha256
        third = tuple(bundle)
        if third:
            self.files[f"{stem}-ca.crt"] = third
        self.bound[slot] = Binding(
            slot=slot, key=f"{stem}.key", certificate=f"{stem}.crt", bundle=f"{stem}-ca.crt" if third else None
        )
        self.served[slot] = Known(certificates)

    def trust(self, slot: str, certificates: Iterable[Certificate]) -> None:
        """Bind another file in a trust slot."""
        held = tuple(certificates)
        name = f"{slot.replace('/', '-')}-{sha256(to_pem(held)).hexdigest()[:6]}.crt"
        self.files[name] = held
        self.bound[slot] = Binding(slot=slot, bundle=name)

    def observe(self) -> ObservedServer:
        """Return the server as a reading."""
        if self.unreachable is not None:
            return ObservedServer(name=self.name, reached=Unread(self.unreachable))
        release = Release.parse(self.release)
        assert release is not None  # noqa: S101 - a test's own literal
        rows = rows_for(SERVICES, release)
        screens: dict[str, Reading[ServiceState]] = {}
        for name in rows:
            bindings = {slot: binding for slot, binding in self.bound.items() if service_of(slot) == name}
            listens = {slot: (Listen(interface="a", port=443),) for slot in bindings if slot in self.served}
            screens[name] = Known(
                ServiceState(service=name, enabled=self.enabled.get(name, True), bindings=bindings, listens=listens)
            )
        observed = ObservedServer(
            name=self.name,
            reached=Known(value=True),
            release=Known(release),
            clock_skew=Known(0.0),
            password_expires=ABSENT,
            files=Known(tuple(sorted({*self.files, *self.keys}))),
            contents={name: Known(_stored(name, held)) for name, held in self.files.items()},
            screens=screens,
            matches=self._matches(),
            served=dict(self.served),
        )
        return replace(observed, **self.overrides)  # type: ignore[arg-type]  # a test names fields of ObservedServer

    def _matches(self) -> dict[tuple[str, str], Reading[bool]]:
        matches: dict[tuple[str, str], Reading[bool]] = {}
        for binding in self.bound.values():
            key, certificate = binding.key, binding.certificate
            if key in self.keys and certificate in self.files and self.files[certificate]:
                matches[key, certificate] = Known(self.keys[key] == self.files[certificate][0].spki_sha256)
        return matches


def _stored(name: str, held: tuple[Certificate, ...]) -> StoredFile:
    return StoredFile(name=name, sha256=sha256(to_pem(held)).hexdigest(), certificates=held)


@dataclass(kw_only=True)
class ToyFleet:
    """Servers by name, and a policy."""

    servers: dict[str, ToyServer] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)

    def server(self, name: str, release: str = "3.9") -> ToyServer:
        """Return a server, made at the first call."""
        return self.servers.setdefault(name, ToyServer(name=name, release=release))

    def desired(self) -> Desired:
        """Return what is wanted of all servers."""
        servers = tuple(
            WantedServer(
                name=server.name,
                address=f"10.0.0.{number}",
                fqdn=f"{server.name}.example.com",
                release=Release.parse(server.release),
                slots=tuple(server.wanted.values()),
            )
            for number, server in enumerate(self.servers.values(), start=11)
        )
        return Desired(fleet="toy", servers=servers, policy=self.policy, inventory_sha256="0" * 64)

    def observed(self) -> Mapping[str, ObservedServer]:
        """Return all servers as readings."""
        return {name: server.observe() for name, server in self.servers.items()}


def material(
    name: str,
    leaf: Certificate,
    chain: tuple[Certificate, ...],
    *,
    naming: Naming = "new",
    declared: tuple[str, ...] = (),
) -> Material:
    """Return a certificate of the inventory."""
    return Material(
        certificate=name, leaf=leaf, chain=chain, spki=leaf.spki_sha256, naming=naming, declared=declared or leaf.names
    )


def identity(slot: str, wanted: Material, bundle: Bundle | None = None, tag: str | None = None) -> WantedIdentity:
    """Want a certificate in a slot: the leaf beside a bundle, or the full chain."""
    held = (wanted.leaf,) if bundle is not None else wanted.full_chain
    return WantedIdentity(slot=slot, material=wanted, file_certificates=held, bundle=bundle, tag=tag)


def trusting(slot: str, bundle: Bundle, leaves_of: str | None = None) -> WantedTrust:
    """Want certificates in a trust slot."""
    return WantedTrust(slot=slot, bundle=bundle, leaves_of=leaves_of)
