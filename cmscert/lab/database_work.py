"""How the work of a database command ends (facts 5.4 and 5.7)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from cmscert.lab.database_files import flaw
from cmscert.lab.database_node import SYNC, Cluster, DatabaseNode, Pending, Work

if TYPE_CHECKING:
    from cmscert.lab.database import DatabaseNetwork

# Only the last one is sourced (T-51).
ERRORS: Final[dict[Work, str]] = {
    "initialize": "Couldn't initialize the database cluster",
    "join": "Couldn't attach to the database cluster",
    "connect": "Couldn't connect to the database cluster",
    "remove": "Couldn't detach from the database cluster",
    "upgrade_schema": "Couldn't upgrade the schema",
}


def finish(network: DatabaseNetwork, node: DatabaseNode) -> None:
    """End the work of a node: as its faults, its files and the others let it."""
    pending = node.pending
    assert pending is not None
    node.pending = None
    good = not node.fails(pending.line) and _WAYS[pending.work](network, node, pending)
    node.last = (pending.line, "Success" if good else "Failed")
    node.error = None if good else ERRORS[pending.work]
    node.note("dbcluster_watcher:  Operation Complete")  # T-53


def _initialize(network: DatabaseNetwork, node: DatabaseNode, _: Pending) -> bool:
    """The node's own rows become the truth, whatever they are."""
    if node.copies is None or flaw(node.copies, network.clock()):
        return False
    node.role, node.synced = "primary", True
    node.cluster = Cluster(members=[node.name], clients=[], primary=node.name)
    return True


def _primary_at(network: DatabaseNetwork, node: DatabaseNode, address: str) -> Cluster | None:
    primary = network.at(address)
    if primary is None or primary is node or primary.role != "primary" or not network.talk(node, primary):
        return None
    return primary.cluster


def _join(network: DatabaseNetwork, node: DatabaseNode, pending: Pending) -> bool:
    """First a part of the rows arrives, the rest when it is in sync."""
    cluster = _primary_at(network, node, pending.address)
    if cluster is None or cluster.primary is None:
        return False
    held = network.nodes[cluster.primary].rows
    node.role, node.cluster = "replica", cluster
    node.rows, node.synced = held[: len(held) // 2], False
    node.sync_due = None if node.spec.faults.db_behind else pending.due + node.seconds(SYNC)
    if node.name not in cluster.members:
        cluster.members.append(node.name)
    return True


def _connect(network: DatabaseNetwork, node: DatabaseNode, pending: Pending) -> bool:
    cluster = _primary_at(network, node, pending.address)
    if cluster is None:
        return False
    node.role, node.cluster = "client", cluster
    if node.name not in cluster.clients:
        cluster.clients.append(node.name)
    return True


def _remove(network: DatabaseNetwork, node: DatabaseNode, _: Pending) -> bool:
    cluster = node.cluster
    if cluster is not None:
        others = [network.nodes[name] for name in cluster.members if name != node.name]
        names = cluster.clients if node.role == "client" else cluster.members
        if cluster.primary == node.name:
            cluster.primary = None
        if not others or any(network.talk(node, other) for other in others):  # otherwise nobody tells them
            names.remove(node.name)
    if node.spec.switches.remove_destroys and node.role in {"primary", "replica"}:
        node.rows = []
    if node.spec.switches.remove_unbinds:
        node.names, node.copies = (), None
    node.leave()
    return True


def _upgrade_schema(network: DatabaseNetwork, node: DatabaseNode, _: Pending) -> bool:
    """It fails while an error stands ([S2] clears it first), and where no primary is there."""
    return node.error is None and network.primary_for(node) is not None


_WAYS: Final[dict[Work, Callable[[DatabaseNetwork, DatabaseNode, Pending], bool]]] = {
    "initialize": _initialize,
    "join": _join,
    "connect": _connect,
    "remove": _remove,
    "upgrade_schema": _upgrade_schema,
}
