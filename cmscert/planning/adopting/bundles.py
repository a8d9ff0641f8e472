"""CA certificates and trust lists of a fleet: every set once, every certificate in one file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from cmscert.pki.certificate import Certificate
from cmscert.pki.chain import build_chain, issued_by, ordered
from cmscert.pki.rules import check_bundle
from cmscert.planning.adopting.names import BUNDLE, CERTIFICATE, Names, slug

CAS = "pki/ca"
PEERS = "pki/peers"


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedBundle:
    """``found``: it has faults that an inventory refuses unless they were found on the servers."""

    name: str
    files: tuple[str, ...]
    certificates: tuple[Certificate, ...]
    found: bool = False


@dataclass(slots=True)
class Bundles:
    """Names sets of certificates, and the files of their members. ``moment`` is aware UTC."""

    moment: datetime
    made: dict[frozenset[Certificate], NamedBundle] = field(default_factory=dict)
    files: dict[str, Certificate] = field(default_factory=dict)
    _paths: dict[Certificate, str] = field(default_factory=dict)
    _names: Names = field(default_factory=Names)
    _file_names: Names = field(default_factory=Names)

    def named(self, certificates: Iterable[Certificate], *, hint: str = "ca") -> str:
        """Return the name of a set; ``hint``: what it is called where it holds no CA."""
        found = frozenset(certificates)
        if found not in self.made:
            inside = ordered(found)
            authorities = [one for one in inside if one.is_ca]
            called = authorities[0].common_name or authorities[0].subject if authorities else hint
            self.made[found] = NamedBundle(
                name=self._names.free(slug(called or "", longest=BUNDLE, otherwise="ca"), longest=BUNDLE),
                files=tuple(map(self._path, inside)),
                certificates=inside,
                found=any(one.severity == "error" for one in check_bundle(inside, at=self.moment)),
            )
        return self.made[found].name

    def trusted(self, certificates: Iterable[Certificate], *, hint: str) -> tuple[str, ...]:
        """Return the names of the bundles that a trust list is made of, as few as there are CAs at the top."""
        held = frozenset(certificates)
        if held in self.made:
            return (self.made[held].name,)
        return tuple(self.named(part, hint=hint) for part in parts_of(held))

    def _path(self, certificate: Certificate) -> str:
        if certificate not in self._paths:
            wish = slug(certificate.common_name or certificate.subject, longest=CERTIFICATE, otherwise="certificate")
            folder = CAS if certificate.is_ca else PEERS
            path = f"{folder}/{self._file_names.free(wish, longest=CERTIFICATE)}.crt"
            self._paths[certificate] = path
            self.files[path] = certificate
        return self._paths[certificate]


def parts_of(held: frozenset[Certificate]) -> tuple[frozenset[Certificate], ...]:
    """Split a trust list by the CA at the top of each member; what no CA in it issued is one part, the last."""
    by_top: dict[Certificate, set[Certificate]] = {}
    pinned: set[Certificate] = set()
    pile = ordered(held)
    for one in pile:
        chain = build_chain(one, pile)
        if one.is_ca or chain:
            by_top.setdefault(chain[-1] if chain else one, set()).add(one)
        else:
            pinned.add(one)
    _join_cross_signed(by_top)
    whole = [frozenset(part) for part in by_top.values()]
    return (*whole, frozenset(pinned)) if pinned else tuple(whole)


def _join_cross_signed(by_top: dict[Certificate, set[Certificate]]) -> None:
    """Put parts together of which one holds an issuer of another's member: in two bundles their order would be lost."""
    for top in tuple(by_top):
        for other in tuple(by_top):
            if (
                other != top
                and top in by_top
                and any(issued_by(child, one) for child in by_top[other] for one in by_top[top] if child != one)
            ):
                by_top[other] |= by_top.pop(top)
