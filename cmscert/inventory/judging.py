"""Certificates and bundles against the places they are meant for, by the rules of ``pki``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from cmscert.errors import Severity
from cmscert.inventory.checking import Checking
from cmscert.inventory.databases import CLIENT_NAME
from cmscert.inventory.outline import CertificateOutline, DatabaseOutline, Keys, Outline
from cmscert.inventory.slots import slots_of
from cmscert.inventory.wanted import Wanted
from cmscert.model.desired import Material
from cmscert.model.services import IdentitySlot
from cmscert.pki.certificate import Certificate
from cmscert.pki.chain import build_chain, is_root
from cmscert.pki.names import missing_names
from cmscert.pki.rules import (
    LEAF_RULES,
    Finding,
    Subject,
    chain_broken,
    chain_unusual,
    check,
    check_bundle,
    outlives_issuer,
)

# Facts 5.2: one source says three, one says five; more than five is backed by none.
MOST_NODES = 5
# Peers and people reach these by the server's own name: [S25] for c2w, [S31] for xmpp.
_BY_FQDN = frozenset({"webadmin", "webbridge3/c2w", "xmpp"})
_OF_PLACE = frozenset({"full-chain-missing", "fqdn-missing"})
# What can be said when the bundle could not be loaded, which is a fault of its own.
_WITHOUT_CHAIN = tuple(rule for rule in LEAF_RULES if rule not in (chain_broken, chain_unusual, outlives_issuer))


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a certificate is used: what it verifies to there, and what it must be able to do.

    ``alone``: its file holds the leaf alone, so that everything above it must stand in ``bundle``. ``database``: the
    cluster that uses it; None for a slot.
    """

    name: str
    bundle: str | None = None
    eku: tuple[str, ...] = ()
    eku_sourced: bool = False
    full_chain: bool = False
    alone: bool = False
    common_name: str | None = None
    fqdn: str | None = None
    database: str | None = None


@dataclass(slots=True, kw_only=True)
class Judging:
    """Runs the rules once for every certificate and kind of place, and notes findings at the certificate's entry.

    What is wrong with material that was found on the servers is a warning: it is there already, nothing of it is
    deployed, and it must not keep the rest from being read. ``strict`` makes an error of it as of any warning.
    """

    outline: Outline
    checking: Checking
    wanted: Wanted
    at: datetime
    _findings: dict[tuple[object, ...], tuple[Finding, ...]] = field(default_factory=dict)
    _places: dict[tuple[Keys, str, str, Severity], list[str]] = field(default_factory=dict)

    @property
    def _strict(self) -> bool:
        return self.outline.policy.profile == "strict"

    def judge(self) -> None:
        """Check every bundle, and every certificate in every place that it is used in."""
        self._bundles()
        for name, server, place in uses(self.outline):
            outline = self.outline.certificates.get((name, server)) or self.outline.certificates.get((name, None))
            if outline is None:
                continue
            material = self.wanted.shelf.materials.get((name, outline.server))
            if material is not None:
                self._judge(outline, material, place, server)
        for database in self.outline.databases:
            self._cluster(database)
        for name in self.outline.unused:
            self._note(("certificates", name), "unused", "is used by no slot and no database", "warning", "")
        for (keys, reason, message, severity), places in self._places.items():
            where = [place for place in places if place]
            suffix = f", for {where[0]}" if where else ""
            suffix += f" and {len(where) - 1} more" if len(where) > 1 else ""
            self.checking.add(keys, message + suffix, reason=reason, key=True, severity=severity)

    def _judge(self, outline: CertificateOutline, material: Material, place: Place, server: str) -> None:
        for finding in self._check(outline, material, place):
            if outline.issuer is None:
                message = f"{outline.certificate_path}: {finding.message}"
            elif finding.severity == "error" or self._strict:
                # Not an error: until it is mended, by whomever, there is nothing to deploy.
                why = f"issuer {outline.issuer}: {finding.message}{_mended_by(finding, outline, place)}"
                self.wanted.shelf.refuse((outline.name, outline.server), why)
                return
            else:
                message = f"from issuer {outline.issuer}: {finding.message}"
            severity = "warning" if outline.adopted else finding.severity
            self._note(outline.keys, finding.reason, message, severity, f"{place.name} on {server}")

    def _note(self, keys: Keys, reason: str, message: str, severity: Severity, place: str) -> None:
        worse: Severity = "error" if self._strict else severity
        places = self._places.setdefault((keys, reason, message, worse), [])
        if place not in places[-1:]:
            places.append(place)

    def _check(self, outline: CertificateOutline, material: Material, place: Place) -> tuple[Finding, ...]:
        key = (outline.name, outline.server, place.bundle, place.eku, place.eku_sourced, place.alone, place.common_name)
        if key not in self._findings:
            whole = (place.alone or self._loaded(outline.chain)) and self._loaded(place.bundle)
            bundle = self._certificates(place.bundle)
            self._findings[key] = check(
                Subject(
                    at=self.at,
                    leaf=material.leaf,
                    chain=build_chain(material.leaf, bundle) if place.alone else material.chain,
                    spki=material.spki,
                    bundle=bundle,
                    declared=material.declared,
                    common_name=outline.common_name,
                    common_name_must_be=place.common_name,
                    eku=place.eku,
                    eku_sourced=place.eku_sourced,
                    strict=self._strict,
                ),
                LEAF_RULES if whole else _WITHOUT_CHAIN,
            )
        return (*self._findings[key], *(_of_place(material, place) if self._loaded(outline.chain) else ()))

    def _cluster(self, database: DatabaseOutline) -> None:
        """Judge a cluster as a whole: its size, and that one CA stands above everything ([S2], [S20])."""
        keys: Keys = ("databases", database.name)
        nodes = len(database.nodes)
        if nodes % 2 == 0 or nodes > MOST_NODES:
            message = f"{nodes} nodes: an odd number, three or five, is recommended"
            self._note((*keys, "nodes"), "database-size", message, "warning", "")
        bundle = self._certificates(database.ca)
        tops: dict[Certificate, str] = {}
        for name, server, _ in _database_uses(database):
            material = self.wanted.material(name, server)
            top = None if material is None else (material.leaf, *build_chain(material.leaf, bundle))[-1]
            if top is not None and top in bundle:  # otherwise the chain is broken, a finding of its own
                tops.setdefault(top, name)
        if len(tops) > 1:
            signed = ", ".join(f"{name} is under {top.subject}" for top, name in tops.items())
            message = f"one CA must be above every certificate of a database cluster: {signed}"
            certificates = [self.outline.certificate(name, server) for name, server, _ in _database_uses(database)]
            severity: Severity = "warning" if all(one.adopted for one in certificates) else "error"
            self._note((*keys, "ca"), "database-two-cas", message, severity, "")

    def _loaded(self, bundle: str | None) -> bool:
        return bundle is None or bundle in self.wanted.shelf.bundles

    def _certificates(self, bundle: str | None) -> tuple[Certificate, ...]:
        return self.wanted.shelf.bundles.get(bundle or "", ())

    def _bundles(self) -> None:
        as_ca = {slot.bundle for server in self.outline.servers for slot in server.slots}
        as_ca |= {one.chain for one in self.outline.certificates.values()} | {one.ca for one in self.outline.databases}
        for name, certificates in self.wanted.shelf.bundles.items():
            for finding in check_bundle(certificates, at=self.at, strict=self._strict):
                if finding.reason != "bundle-leaf" or name in as_ca:  # a trust list may hold leaves ([S34], [S3])
                    severity = "warning" if self.outline.bundles[name].found else finding.severity
                    self._note(("bundles", name), finding.reason, finding.message, severity, "")


def uses(outline: Outline) -> Iterator[tuple[str, str, Place]]:
    """Yield every place that a certificate is meant for: (certificate, server, place)."""
    for server in outline.servers:
        rows = slots_of(server.release)
        for slot in server.slots:
            row = rows[slot.slot][1] if slot.slot in rows else None
            if slot.certificate is not None and isinstance(row, IdentitySlot):
                yield (
                    slot.certificate,
                    server.name,
                    Place(
                        name=slot.slot,
                        bundle=slot.bundle,
                        eku=row.eku,
                        eku_sourced=row.eku_grade == "sourced",
                        full_chain=row.full_chain,
                        fqdn=server.fqdn if slot.slot in _BY_FQDN else None,
                    ),
                )
    for database in outline.databases:
        yield from _database_uses(database)


def _mended_by(finding: Finding, outline: CertificateOutline, place: Place) -> str:
    """Say what to do about something that an issuer delivered: ``renew`` looks at the certificate and its chain."""
    if finding.reason in _OF_PLACE:
        return ""
    if finding.reason == "chain-broken" and place.bundle not in (None, outline.chain):
        return f": bundle {place.bundle} has to hold the CA that signed it"
    if finding.reason == "chain-broken" and outline.chain is None:
        return f": certificate {outline.name} needs a chain, the bundle of that CA"
    return ": run cmscert renew"


def _of_place(material: Material, place: Place) -> Iterator[Finding]:
    if place.full_chain and not is_root(material.full_chain[-1]):
        ends = material.full_chain[-1].issuer
        message = f"{place.name} needs the full chain, root last, and it ends before {ends}: name its bundle as chain"
        yield Finding(reason="full-chain-missing", severity="error", message=message)
    if place.fqdn is not None and missing_names(material.leaf, (place.fqdn,)):
        message = f"it does not cover {place.fqdn}, the name by which {place.name} is reached"
        yield Finding(reason="fqdn-missing", severity="warning", message=message)


def _database_uses(database: DatabaseOutline) -> Iterator[tuple[str, str, Place]]:
    """Facts 5.6: the client's common name is sourced ([S2], [S20]), what each end needs of an EKU is [MEM]."""
    common = Place(name=f"databases.{database.name}", bundle=database.ca, alone=True, database=database.name)
    as_server = replace(common, name=f"{common.name} server", eku=("serverAuth",))
    as_client = replace(common, name=f"{common.name} client", eku=("clientAuth",), common_name=CLIENT_NAME)
    for server in database.nodes:
        yield database.server, server, as_server
    for server in (*database.nodes, *database.clients):
        yield database.client, server, as_client
