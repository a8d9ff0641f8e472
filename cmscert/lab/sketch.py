"""A fleet as whoever starts the lab describes it: names and relative paths, no material and no product types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Usage = Literal["service", "database-server", "database-client"]
KeyType = Literal["rsa", "ec"]
LeafId = tuple[str, str | None]
"""A certificate's name and the server it belongs to; None for one that servers share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleSketch:
    """CA certificates, one file each: issuing CA first, root last. ``paths`` is empty when an issuer provides them."""

    name: str
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthoritySketch:
    """A CA whose certificate and key the inventory names itself (``type: local_ca``)."""

    certificate_path: str
    key_path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateSketch:
    """A certificate and its key. The paths are None when an issuer provides them, the bits where they are open."""

    name: str
    server: str | None = None
    common_name: str
    sans: tuple[str, ...] = ()
    bundle: str | None = None
    certificate_path: str | None = None
    key_path: str | None = None
    usage: Usage = "service"
    key_type: KeyType = "rsa"
    key_bits: int | None = None

    @property
    def leaf_id(self) -> LeafId:
        """What slots call it by."""
        return (self.name, self.server)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSketch:
    """One simulated server; ``address`` is what it calls itself, ``user`` the admin who logs in.

    ``database_address``: where peers reach its database, if that is another address.
    """

    name: str
    address: str
    fqdn: str
    release: str = "3.9"
    user: str = "admin"
    database_address: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSketch:
    """A database cluster by names of servers, certificates and the CA bundle; ``clients`` only connect."""

    name: str
    nodes: tuple[str, ...]
    clients: tuple[str, ...] = ()
    primary: str
    interface: str = "a"
    server: str
    client: str
    ca: str

    @property
    def members(self) -> tuple[str, ...]:
        """The primary, the other nodes, the clients."""
        return tuple(dict.fromkeys((self.primary, *self.nodes, *self.clients)))


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotSketch:
    """What a slot wants.

    ``certificate``: for identity slots; ``full_chain``: its file holds leaf, intermediates and root.
    ``bundle``: the CA bundle bound beside it. ``trust`` (bundle names) and ``leaves_of`` (a service, or a slot): for
    trust slots, and for identity slots whose third file is a trust list (``loadbalancer``, ``h323_gateway``).
    """

    server: str
    slot: str
    certificate: LeafId | None = None
    full_chain: bool = False
    bundle: str | None = None
    trust: tuple[str, ...] = ()
    leaves_of: str | None = None
    tag: str | None = None

    @property
    def service(self) -> str:
        """``webbridge3`` for ``webbridge3/https``."""
        return self.slot.partition("/")[0]

    def belongs_to(self, name: str) -> bool:
        """Tell whether a service or slot name, as in ``leaves_of``, means this slot."""
        return name in (self.service, self.slot)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """The whole fleet. ``known_hosts``: relative paths, as all others."""

    bundles: tuple[BundleSketch, ...] = ()
    authorities: tuple[AuthoritySketch, ...] = ()
    certificates: tuple[CertificateSketch, ...] = ()
    servers: tuple[ServerSketch, ...] = ()
    slots: tuple[SlotSketch, ...] = ()
    databases: tuple[DatabaseSketch, ...] = ()
    known_hosts: tuple[str, ...] = ("known_hosts",)

    def certificate(self, leaf_id: LeafId) -> CertificateSketch:
        """Return a certificate by its name and server; raises KeyError."""
        for certificate in self.certificates:
            if certificate.leaf_id == leaf_id:
                return certificate
        raise KeyError(leaf_id)

    def leaf_of(self, name: str, server: str) -> LeafId:
        """Return which certificate of a name a server has: its own, or the one that is shared."""
        own = (name, server)
        return own if any(certificate.leaf_id == own for certificate in self.certificates) else (name, None)
