"""From nodes that were read to an inventory as plain values, the public files beside it, and remarks for its reader."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cmscert.model.names import Release, service_of
from cmscert.model.services import IdentitySlot, ServiceTable
from cmscert.pki.certificate import Certificate
from cmscert.planning.adopting.bundles import Bundles
from cmscert.planning.adopting.clusters import FoundCluster, find_clusters
from cmscert.planning.adopting.found import Found, Identity, Node, Trust, database_material, find
from cmscert.planning.adopting.groups import DATABASE, Group, Place, Use, group
from cmscert.planning.adopting.names import Names, slug
from cmscert.planning.adopting.servers import Called, name_servers

LEAVES = "pki"
Path = tuple[str, ...]

_TAGGED = frozenset({"loadbalancer", "trunk"})
_BY_PURPOSE = frozenset({"webbridge3", "scheduler", "tls"})
"""Services whose slots have a name of their own, with the trust below it."""

_ROLES = (
    ("core", "callbridge"),
    ("edge", "webbridge3"),
    ("edge", "webbridge"),
    ("edge", "loadbalancer"),
    ("edge", "turn"),
    ("recorder", "recorder"),
    ("streamer", "streamer"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """``document``: the inventory without how to log in. ``remarks``: by path of keys, in front of what they stand.

    ``files``: public certificates by relative path. ``names``: of the servers, in the order of the nodes. ``slots``:
    how many the inventory asks for, by server.
    """

    document: dict[str, Any]
    remarks: Mapping[Path, tuple[str, ...]]
    files: Mapping[str, Certificate]
    names: tuple[str, ...]
    slots: Mapping[str, int]


def draft(nodes: tuple[Node, ...], *, fleet: str, table: ServiceTable, moment: datetime) -> Draft:
    """Make the inventory that asks for what the nodes hold. ``moment``: aware UTC. The same nodes give the same one."""
    found = tuple(find(node, table) for node in nodes)
    called = name_servers(found)
    clusters, remarks = find_clusters(found, called)
    making = _Making(found, called, clusters, table, moment)
    sound = tuple(cluster for cluster in clusters if making.has_material(cluster))
    for cluster in clusters:
        if cluster not in sound:
            names = ", ".join((*cluster.nodes, *cluster.clients))
            remarks.append(
                f"the database cluster of {names} is left out: its members have certificates of different shapes"
            )
    if sound != clusters:
        making = _Making(found, called, sound, table, moment)
    return making.draft(fleet, remarks)


@dataclass(slots=True)
class _Making:
    found: tuple[Found, ...]
    called: tuple[Called, ...]
    clusters: tuple[FoundCluster, ...]
    table: ServiceTable
    moment: datetime
    groups: tuple[Group, ...] = ()
    by_place: dict[Place, Group] = field(default_factory=dict)
    bundles: Bundles = field(init=False)

    def __post_init__(self) -> None:
        self.bundles = Bundles(self.moment)
        self.groups = group(self._uses(), {one.name: one.fqdn for one in self.called})
        self.by_place = {place: one for one in self.groups for place in one.places}

    def has_material(self, cluster: FoundCluster) -> bool:
        """Tell whether one entry each is what the nodes and the members of a cluster use."""
        return all(
            len({self.by_place[name, use].name for name in members}) == 1
            for use, members in zip(DATABASE, (cluster.nodes, (*cluster.nodes, *cluster.clients)), strict=True)
        )

    def draft(self, fleet: str, remarks: list[str]) -> Draft:
        """Put the document together."""
        certificates = {one.name: self._certificate(one) for one in self.groups}
        services = {
            name.name: self._services(one, name.name) for one, name in zip(self.found, self.called, strict=True)
        }
        databases = self._databases()
        roles = _roles(services)
        document: dict[str, Any] = {
            "version": 1,
            "fleet": fleet,
            "bundles": {one.name: self._bundle(one.files, found=one.found) for one in self.bundles.made.values()},
            "certificates": certificates,
            "roles": {role: services[members[0]] for role, members in roles.items()},
            "servers": {
                name.name: self._server(one, name, services[name.name], roles)
                for one, name in zip(self.found, self.called, strict=True)
            },
            "databases": databases,
        }
        return Draft(
            document={key: value for key, value in document.items() if value},
            remarks={path: tuple(dict.fromkeys(each)) for path, each in self._remarks(remarks) if each},
            files={**self.bundles.files, **self._leaf_files()},
            names=tuple(name.name for name in self.called),
            slots={
                name.name: len({*one.identities, *one.trusts})
                for one, name in zip(self.found, self.called, strict=True)
            },
        )

    def _uses(self) -> Iterator[Use]:
        """Yield every certificate in every place, servers in order."""
        members = {name: each for each in self.clusters for name in (*each.nodes, *each.clients)}
        for one, name in zip(self.found, self.called, strict=True):
            for identity in one.identities.values():
                yield Use(
                    place=(name.name, identity.slot),
                    leaf=identity.leaf,
                    tail=None if identity.tail is None else frozenset(identity.tail),
                    beside=frozenset(identity.bundle),
                )
        for one, name in zip(self.found, self.called, strict=True):
            cluster = members.get(name.name)
            for use, leaf in database_material(one.node):
                if cluster is not None and (use == DATABASE[1] or name.name in cluster.nodes):
                    yield Use(place=(name.name, use), leaf=leaf, beside=cluster.ca)

    def _certificate(self, one: Group) -> dict[str, Any]:
        form: dict[str, Any] = {"common_name": one.common_name}
        if one.sans:
            form["sans"] = list(one.sans)
        if one.chain:
            form["chain"] = self.bundles.named(one.chain)
        form["files"] = {"certificate": _leaf_path(one, "{name}")}
        return form

    def _leaf_files(self) -> dict[str, Certificate]:
        return {_leaf_path(one, server or ""): leaf for one in self.groups for server, leaf in one.leaves.items()}

    def _bundle(self, files: tuple[str, ...], *, found: bool) -> Any:  # noqa: ANN401 - one of the forms of a bundle
        return {"found": list(files)} if found else list(files)

    def _services(self, one: Found, server: str) -> dict[str, Any]:
        services: dict[str, Any] = {}
        for row in self.table:
            for slot in row.slots:
                identity = one.identities.get(slot.name)
                if identity is not None and isinstance(slot, IdentitySlot):
                    place = _within(services, _place(slot.name))
                    place.update(self._identity(identity, server))
                trust = one.trusts.get(slot.name)
                if trust is not None:
                    *above, last = _trust_place(slot.name)
                    _within(services, tuple(above))[last] = self._trust(trust)
        return {name: _short(name, form) for name, form in services.items()}

    def _identity(self, identity: Identity, server: str) -> dict[str, Any]:
        form: dict[str, Any] = {"certificate": self.by_place[server, identity.slot].name}
        if identity.bundle:
            form["bundle"] = self.bundles.named(identity.bundle)
        if identity.tag is not None:
            form = {"tag": identity.tag, **form}
        return form

    def _trust(self, trust: Trust) -> Any:  # noqa: ANN401 - one of the forms of trust
        service = self._leaves_of(trust)
        if service is not None:
            return {"leaves_of": service}
        names = self.bundles.trusted(trust.held, hint=f"{slug(trust.slot, longest=30, otherwise='slot')}-certs")
        return names[0] if len(names) == 1 else list(names)

    def _leaves_of(self, trust: Trust) -> str | None:
        """Return the service, or slot, of which a trust list holds exactly the leaves; those it is meant for first."""
        slots = dict.fromkeys(slot for one in self.found for slot in one.identities)
        for name in dict.fromkeys((*trust.accepts, *map(service_of, slots), *slots)):
            leaves = {
                identity.leaf
                for one in self.found
                for slot, identity in one.identities.items()
                if name in (slot, service_of(slot))
            }
            if leaves and leaves == set(trust.held):
                return name
        return None

    def _server(
        self, one: Found, name: Called, services: dict[str, Any], roles: Mapping[str, tuple[str, ...]]
    ) -> dict[str, Any]:
        node = one.node
        form: dict[str, Any] = {"address": node.address, "fqdn": name.fqdn}
        if isinstance(node.release, Release):
            form["release"] = str(node.release)
        address = next((each.addresses[name.name] for each in self.clusters if name.name in each.addresses), None)
        if address is not None:
            form["database_address"] = address
        role = next((role for role, members in roles.items() if name.name in members), None)
        if role is not None:
            form["roles"] = [role]
        elif services:
            form["services"] = services
        return form

    def _databases(self) -> dict[str, Any]:
        names = Names()
        return {
            names.free("main", longest=10): {
                "nodes": list(one.nodes),
                **({"clients": list(one.clients)} if one.clients else {}),
                "primary": one.primary,
                "interface": one.interface,
                "server": self.by_place[one.nodes[0], DATABASE[0]].name,
                "client": self.by_place[one.nodes[0], DATABASE[1]].name,
                "ca": self.bundles.named(one.ca),
            }
            for one in self.clusters
        }

    def _remarks(self, remarks: list[str]) -> Iterator[tuple[Path, list[str]]]:
        yield ("servers",), remarks
        for one, name in zip(self.found, self.called, strict=True):
            own = [name.remark] if name.remark is not None else []
            yield ("servers", name.name), [*own, *one.remarks]
        for made in self.bundles.made.values():
            yield (
                ("bundles", made.name),
                ["found like this: out of order, or without its root"] if made.found else [],
            )
        for each in self.groups:
            yield (
                ("certificates", each.name),
                [] if each.exact else ["could not be known: a common name that can be written here"],
            )


def _roles(services: Mapping[str, dict[str, Any]]) -> dict[str, tuple[str, ...]]:
    """Return the roles: what several servers have exactly alike."""
    alike: dict[str, list[str]] = {}
    for server, form in services.items():
        if form:
            alike.setdefault(json.dumps(form, sort_keys=True), []).append(server)
    names = Names()
    return {
        names.free(_role(services[members[0]]), longest=20): tuple(members)
        for members in alike.values()
        if len(members) > 1
    }


def _role(form: Mapping[str, Any]) -> str:
    return next((role for role, service in _ROLES if service in form), next(iter(form)))


def _leaf_path(one: Group, server: str) -> str:
    return f"{LEAVES}/{one.name}.crt" if None in one.leaves else f"{LEAVES}/{one.name}/{server}.crt"


def _place(slot: str) -> Path:
    return tuple(slot.split("/"))


def _trust_place(slot: str) -> Path:
    """Return where the trust of a slot stands: ``callbridge/trust-c2w`` is ``callbridge: {trust: {c2w: …}}``."""
    service, _, rest = slot.partition("/")
    word, _, purpose = rest.partition("-")
    if word != "trust" or not purpose:
        return (service, "trust")  # one of its own, or the third file of its certificate
    return (service, purpose, "trust") if service in _BY_PURPOSE else (service, "trust", purpose)


def _within(services: dict[str, Any], path: Path) -> dict[str, Any]:
    place = services
    for key in path:
        place = place.setdefault(key, {})
    return place


def _short(name: str, form: Any) -> Any:  # noqa: ANN401 - any form of a service
    """Write a bare certificate as its name."""
    return form["certificate"] if set(form) == {"certificate"} and name not in _TAGGED else form
