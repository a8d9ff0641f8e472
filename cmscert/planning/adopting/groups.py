"""Which certificates are one entry of the inventory: shared by servers, or one for each of them of the same shape."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cmscert.pki.certificate import Certificate
from cmscert.planning.adopting.names import (
    CERTIFICATE,
    Names,
    declared_name,
    declared_sans,
    first_label,
    slug,
    template_of,
)

Certificates = tuple[Certificate, ...]
Place = tuple[str, str]
"""(server, slot); the slots of a database are ``database-server`` and ``database-client``."""

DATABASE = ("database-server", "database-client")


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A certificate in a place. ``tail``: what stands behind the leaf in its file; None where that is a bundle's job.

    ``beside``: the bundle there.
    """

    place: Place
    leaf: Certificate
    tail: frozenset[Certificate] | None = None
    beside: frozenset[Certificate] = frozenset()


@dataclass(slots=True, kw_only=True)
class Unit:
    """A leaf with one way to complete its chain, and everywhere that it is used."""

    leaf: Certificate
    tail: frozenset[Certificate] | None
    uses: list[Use] = field(default_factory=list)

    @property
    def servers(self) -> tuple[str, ...]:
        """The servers that hold it, each once."""
        return tuple(dict.fromkeys(use.place[0] for use in self.uses))

    @property
    def only_for_databases(self) -> bool:
        """Whether no service uses it."""
        return all(use.place[1] in DATABASE for use in self.uses)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One certificate entry. ``leaves``: by server; the key is None where all servers share one.

    ``chain``: what completes it, empty where nothing does. ``exact``: whether the common name is the certificate's own.
    """

    name: str
    common_name: str
    sans: tuple[str, ...]
    chain: frozenset[Certificate]
    leaves: Mapping[str | None, Certificate]
    places: tuple[Place, ...]
    exact: bool = True


def group(uses: Iterable[Use], fqdns: Mapping[str, str]) -> tuple[Group, ...]:
    """Group certificates. ``fqdns``: by server name. Every place is in exactly one group, with its own leaf."""
    alike: dict[tuple[object, ...], list[Unit]] = {}
    units = _units(tuple(uses))
    for unit in units:
        alike.setdefault(_shape(unit, fqdns), []).append(unit)
    names = Names()
    found: list[Group] = []
    for members in alike.values():
        found += [_group(part, fqdns, names) for part in _parts(members)]
    order = {place: number for number, place in enumerate(use.place for unit in units for use in unit.uses)}
    return tuple(sorted(found, key=lambda one: min(order[place] for place in one.places)))


def _units(uses: Sequence[Use]) -> tuple[Unit, ...]:
    """Put the uses of a leaf together; one that is used with several chains is several certificates."""
    found: dict[tuple[Certificate, frozenset[Certificate] | None], Unit] = {}
    tails: dict[Certificate, list[frozenset[Certificate]]] = {}
    for use in uses:
        if use.tail is not None and use.tail not in tails.setdefault(use.leaf, []):
            tails[use.leaf].append(use.tail)
    for use in uses:
        known = tails.get(use.leaf)
        tail = use.tail if use.tail is not None or not known else max(known, key=len)
        found.setdefault((use.leaf, tail), Unit(leaf=use.leaf, tail=tail)).uses.append(use)
    return tuple(found.values())


def _shape(unit: Unit, fqdns: Mapping[str, str]) -> tuple[object, ...]:
    """Return what certificates of one entry have in common; a shared one is like no other."""
    if len(unit.servers) > 1:
        return (unit.leaf.sha256, unit.tail)
    server = unit.servers[0]
    return (*_templates(unit.leaf, server, fqdns[server]), unit.only_for_databases)


def _templates(leaf: Certificate, server: str, fqdn: str) -> tuple[str, tuple[str, ...]]:
    def fill(text: str) -> str:
        return template_of(text, name=server, fqdn=fqdn)

    return fill(declared_name(leaf)[0]), tuple(map(fill, declared_sans(leaf)))


def _parts(members: list[Unit]) -> list[list[Unit]]:
    """Split what is alike until each server has one of it, and all of them the same chain.

    A slot holds one certificate, so that no server has two that it uses first in the same place.
    """
    each = [unit.servers[0] for unit in members]
    by_use: dict[object, list[Unit]] = {}
    for unit in members:
        by_use.setdefault(unit.uses[0].place[1] if len(set(each)) < len(each) else None, []).append(unit)
    found: list[list[Unit]] = []
    for some in by_use.values():
        by_tail: dict[frozenset[Certificate] | None, list[Unit]] = {}
        for unit in some:
            by_tail.setdefault(unit.tail, []).append(unit)
        loose = by_tail.pop(None, [])
        parts = list(by_tail.values()) or [[]]
        parts[0] = sorted([*parts[0], *loose], key=some.index)
        found += parts
    return found


def _group(units: list[Unit], fqdns: Mapping[str, str], names: Names) -> Group:
    first = units[0]
    common_name, exact = declared_name(first.leaf)
    sans = declared_sans(first.leaf)
    leaves: dict[str | None, Certificate] = {None: first.leaf}
    if len(units) > 1:
        common_name, sans = _templates(first.leaf, first.servers[0], fqdns[first.servers[0]])
        leaves = {unit.servers[0]: unit.leaf for unit in units}
    tail = next((unit.tail for unit in units if unit.tail is not None), None)
    beside = {use.beside for unit in units for use in unit.uses if use.beside}
    return Group(
        name=names.free(_wish(first, common_name), longest=CERTIFICATE),
        common_name=common_name,
        sans=sans,
        chain=tail if tail is not None else (next(iter(beside)) if len(beside) == 1 else frozenset()),
        leaves=leaves,
        places=tuple(use.place for unit in units for use in unit.uses),
        exact=exact,
    )


def _wish(unit: Unit, common_name: str) -> str:
    """Name a certificate after what it is for, or after the name it stands for."""
    if unit.only_for_databases:
        return "dbserver" if any(use.place[1] == DATABASE[0] for use in unit.uses) else "dbclient"
    if "{" in common_name:
        return "node"
    label = first_label(common_name)
    return "wildcard" if label == "*" else slug(label, longest=CERTIFICATE, otherwise="certificate")
