"""The checked inventory with everything expanded, before any certificate or key is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cmscert.model.desired import Naming, Policy
from cmscert.model.login import Login, SecretRef
from cmscert.model.names import Release

Keys = tuple[str | int, ...]
"""A path of keys: ``("servers", "core1", "address")``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateOutline:
    """A certificate that something uses; one per server (``server``) where {fqdn} or {name} is in it.

    Paths are joined to the inventory's folder as it was given. ``key_type`` and ``key_bits`` are None when the
    inventory leaves them open. ``certificate_path`` and ``key_path`` are None when it is obtained from ``issuer``;
    ``key_path`` alone is None when the key is on the servers already and nowhere else.
    """

    name: str
    server: str | None
    common_name: str
    sans: tuple[str, ...] = ()
    chain: str | None = None
    certificate_path: Path | None = None
    key_path: Path | None = None
    passphrase: SecretRef | None = None
    issuer: str | None = None
    naming: Naming = "new"
    key_made: Literal["local", "device"] = "local"
    key_type: Literal["rsa", "ec"] | None = None
    key_bits: int | None = None

    @property
    def declared(self) -> tuple[str, ...]:
        """Common name first, then the SANs, each once."""
        return tuple(dict.fromkeys((self.common_name, *self.sans)))

    @property
    def keys(self) -> Keys:
        """Where it stands in the inventory."""
        return ("certificates", self.name)

    @property
    def adopted(self) -> bool:
        """Whether only the servers have its key, so that it is there already and nothing of it is deployed."""
        return self.issuer is None and self.key_path is None


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleOutline:
    """A bundle: files, or the CA certificates of an issuer. ``found``: as the servers hold it, sound or not."""

    name: str
    paths: tuple[Path, ...] = ()
    issuer: str | None = None
    found: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotOutline:
    """What the inventory says about one slot.

    Identity slots have ``certificate``; ``bundle`` is their CA bundle. Trust slots, and identity slots whose third
    file is a trust list, have ``trust`` (bundle names) or ``leaves_of`` (a service or slot).
    """

    slot: str
    certificate: str | None = None
    bundle: str | None = None
    trust: tuple[str, ...] = ()
    leaves_of: str | None = None
    tag: str | None = None
    address: str | None = None
    port: int | None = None
    keys: Keys = field(default=(), compare=False)

    @property
    def trusts(self) -> bool:
        """Whether it says whom the slot accepts."""
        return bool(self.trust) or self.leaves_of is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOutline:
    """One CMS node."""

    name: str
    address: str
    fqdn: str
    login: Login
    release: Release | None = None
    roles: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    database_address: str | None = None
    slots: tuple[SlotOutline, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseOutline:
    """A database cluster: server names, certificate names, a bundle name."""

    name: str
    nodes: tuple[str, ...]
    clients: tuple[str, ...]
    primary: str
    interface: str
    server: str
    client: str
    ca: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HookOutline:
    """A program that publishes TXT records. ``timeout``: seconds. ``environment``: as for ``CommandIssuer``."""

    command: tuple[str, ...]
    timeout: int = 120
    environment: Mapping[str, SecretRef] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdatesOutline:
    """A name server that takes updates signed with TSIG. ``zone``: None to find it out."""

    server: str
    key_name: str
    key: SecretRef
    algorithm: str = "hmac-sha256"
    port: int = 53
    zone: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AcmeIssuer:
    """A CA that speaks ACME. ``dns_01``: how TXT records are published.

    ``propagation``: seconds to wait for them. ``resolvers``: address and port of the name servers that must show them.
    ``external_id`` and ``external_key``: external account binding, both or neither.
    """

    name: str
    directory: str
    contact: str | None
    dns_01: HookOutline | UpdatesOutline
    propagation: int = 120
    resolvers: tuple[tuple[str, int], ...] = ()
    agree_terms: bool = True
    external_id: str | None = None
    external_key: SecretRef | None = None
    preferred_chain: str | None = None
    ca_bundle: Path | None = None
    type: Literal["acme"] = "acme"


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryIssuer:
    """People or another system sign what lies in a folder."""

    name: str
    requests: Path
    certificates: Path
    type: Literal["directory"] = "directory"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandIssuer:
    """A program signs. ``timeout``: seconds. ``environment``: variables that it gets besides the usual ones."""

    name: str
    run: tuple[str, ...]
    timeout: int = 120
    environment: Mapping[str, SecretRef] = field(default_factory=dict)
    type: Literal["command"] = "command"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalCaIssuer:
    """A private CA whose key is at hand. ``days``: life of what it issues."""

    name: str
    certificate: Path
    key: SecretRef
    passphrase: SecretRef | None = None
    days: int = 397
    type: Literal["local_ca"] = "local_ca"


@dataclass(frozen=True, slots=True, kw_only=True)
class CmsCaIssuer:
    """The CA built into CMS, on one of the servers."""

    name: str
    server: str
    basename: str
    common_name: str
    type: Literal["cms_ca"] = "cms_ca"


IssuerOutline = AcmeIssuer | DirectoryIssuer | CommandIssuer | LocalCaIssuer | CmsCaIssuer


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOutline:
    """Where obtained material is kept."""

    path: Path
    passphrase: SecretRef | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """The whole inventory.

    ``file``: as the user gave it. ``folder``: its folder, likewise. ``sha256``: of its bytes. ``certificates``: those
    that a slot or a database uses, by (name, server); server is None for shared ones. ``unused``: certificates that
    nothing uses.
    """

    file: str
    folder: Path
    sha256: str
    fleet: str
    servers: tuple[ServerOutline, ...] = ()
    certificates: Mapping[tuple[str, str | None], CertificateOutline] = field(default_factory=dict)
    bundles: Mapping[str, BundleOutline] = field(default_factory=dict)
    databases: tuple[DatabaseOutline, ...] = ()
    issuers: Mapping[str, IssuerOutline] = field(default_factory=dict)
    store: StoreOutline | None = None
    subject: Mapping[str, str] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)
    unused: tuple[str, ...] = ()

    def certificate(self, name: str, server: str) -> CertificateOutline:
        """Return the certificate of that name that a server uses; raises KeyError."""
        return self.certificates.get((name, server)) or self.certificates[name, None]

    def server(self, name: str) -> ServerOutline:
        """Return a server by name; raises KeyError."""
        for server in self.servers:
            if server.name == name:
                return server
        raise KeyError(name)
