"""Database clusters of a fleet that was read: who belongs together, who holds the data, with what material."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cmscert.model.database import DatabaseState
from cmscert.pki.certificate import Certificate
from cmscert.planning.adopting.found import Found, Node
from cmscert.planning.adopting.names import is_address, is_host, said
from cmscert.planning.adopting.servers import Called

_INTERFACES = ("a", "b", "c", "d", "e")
CLIENT_NAME = "postgres"
"""Common name of every client certificate ([S2], [S20])."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundCluster:
    """A cluster of which every node was read. ``nodes`` and ``clients``: names of servers, as they were read.

    ``addresses``: by server, the address of its database interface where that is another one.
    """

    nodes: tuple[str, ...]
    clients: tuple[str, ...]
    primary: str
    interface: str
    ca: frozenset[Certificate]
    addresses: Mapping[str, str]


def find_clusters(found: tuple[Found, ...], called: tuple[Called, ...]) -> tuple[tuple[FoundCluster, ...], list[str]]:
    """Return the clusters that an inventory can ask for, and in sentences why others are left out."""
    clusters: list[FoundCluster] = []
    remarks: list[str] = []
    for members in _together(found, called):
        cluster = _cluster(members)
        if isinstance(cluster, str):
            names = ", ".join(name.name for _, name, _ in members)
            remarks.append(f"the database cluster of {names} is left out: {cluster}")
        else:
            clusters.append(cluster)
    return tuple(clusters), remarks


Member = tuple[Node, Called, DatabaseState]


def _together(found: tuple[Found, ...], called: tuple[Called, ...]) -> Iterator[list[Member]]:
    """Yield the members of each cluster: those whose screens show an address in common."""
    groups: list[tuple[set[str], list[Member]]] = []
    for one, name in zip(found, called, strict=True):
        state = one.node.database
        if state is None:
            continue
        addresses, members = {row.address.casefold() for row in state.members}, [(one.node, name, state)]
        for group in [group for group in groups if group[0] & addresses]:
            groups.remove(group)
            addresses, members = addresses | group[0], [*group[1], *members]
        groups.append((addresses, members))
    yield from (members for _, members in groups)


def _cluster(members: list[Member]) -> FoundCluster | str:
    nodes = [member for member in members if _is_node(member[2])]
    clients = [name.name for _, name, state in members if not _is_node(state)]
    own = {
        _plain(each)
        for node, name, state in nodes
        for each in (state.me.address if state.me else "", node.address, name.fqdn, name.name)
    }
    shown = {row.address for _, _, state in members for row in state.members if _is_node(state) or not row.me}
    others = sorted(address for address in shown if _plain(address) not in own)
    if others:
        return f"{', '.join(map(said, others))} belongs to it too and was not read: adopt it together with the others"
    primaries = {row.address for _, _, state in members for row in state.primaries}
    holders = [name.name for _, name, state in nodes if state.me is not None and state.me.role == "primary"]
    if len(primaries) != 1 or len(holders) != 1:
        return "its members do not name one and the same primary"
    missing = next((fault for member in members if (fault := _material_fault(member)) is not None), None)
    bundles = {frozenset(node.certificates(state.files.ca)) for node, _, state in members}
    if missing is not None:
        return missing
    if len(bundles) != 1:
        return "its members do not hold the same CA"
    interface = next((state.interface for _, _, state in nodes if state.interface in _INTERFACES), "a")
    return FoundCluster(
        nodes=tuple(name.name for _, name, _ in nodes),
        clients=tuple(clients),
        primary=holders[0],
        interface=interface or "a",
        ca=next(iter(bundles)),
        addresses=dict(_addresses(nodes)),
    )


def _is_node(state: DatabaseState) -> bool:
    """Tell a node from a client: whether a client has a row of its own is unknown ([UNK] 5.5), it has no role there."""
    return state.me is not None and (state.me.role != "other" or state.files.server_certificate is not None)


def _material_fault(member: Member) -> str | None:
    node, name, state = member
    files = [(state.files.client_certificate, state.files.client_key), (state.files.ca, "no key")]
    if _is_node(state):
        files.append((state.files.server_certificate, state.files.server_key))
    for certificate, key in files:
        if not node.certificates(certificate) or key is None:
            return f"not all of its certificates could be read on {name.name}"
    client = node.certificates(state.files.client_certificate)[0].common_name
    return None if client == CLIENT_NAME else f"its client certificate on {name.name} is not for {CLIENT_NAME}"


def _addresses(nodes: list[Member]) -> Iterator[tuple[str, str]]:
    for node, name, state in nodes:
        if state.me is None or not (is_address(state.me.address) or is_host(state.me.address)):
            continue
        if _plain(state.me.address) not in map(_plain, (node.address, name.fqdn, name.name)):
            yield name.name, state.me.address


def _plain(text: str) -> str:
    return text.casefold().rstrip(".")
