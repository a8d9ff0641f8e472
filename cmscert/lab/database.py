"""The databases of a fleet: who reaches whom, what moves on when its time has come, and which rows are where.

Nothing here waits or looks at a clock of its own: ``clock`` is asked, and work is done once its moment has passed.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from cmscert.errors import LabError
from cmscert.lab import database_work
from cmscert.lab.database_files import accepts, flaw
from cmscert.lab.database_node import SYNC, Cluster, DatabaseNode

Clock = Callable[[], datetime]
_PROMOTED_AFTER: Final = timedelta(seconds=30)

Move = tuple[datetime, Callable[[], None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveCluster:
    """A cluster that has a primary, by the names of its nodes. ``in_sync``: replicas that hold all of its rows."""

    primary: str
    replicas: tuple[str, ...]
    in_sync: tuple[str, ...]
    clients: tuple[str, ...]


class DatabaseNetwork:
    """All databases of a fleet, by the names of their nodes.

    ``down``: nodes whose database port nobody reaches, to be changed at any time (``Faults.down`` takes away SSH too).
    ``promote_after``: how long a primary is gone before a replica takes over, where ``Switches.promotes`` lets it.
    Raises LabError for nodes whose ``DatabaseSpec`` makes no sense together.
    """

    def __init__(self, nodes: Iterable[DatabaseNode], *, clock: Clock) -> None:
        self.nodes = {node.name: node for node in nodes}
        self.clock = clock
        self.down: set[str] = set()
        self.promote_after = _PROMOTED_AFTER
        self._stand()

    def node(self, name: str) -> DatabaseNode:
        """Return a node's database by the node's name. Raises LabError."""
        if name not in self.nodes:
            raise LabError(f"no node {name} in the lab", hint=f"the lab has {', '.join(self.nodes)}")
        return self.nodes[name]

    def at(self, address: str) -> DatabaseNode | None:
        """Return the node that answers at an address or FQDN."""
        wanted = _plain(address)
        found = (node for node in self.nodes.values() if wanted in {_plain(node.address), _plain(node.spec.fqdn)})
        return next(found, None)

    def reachable(self, name: str) -> bool:
        """Tell whether peers reach a node."""
        return name not in self.down and not self.nodes[name].spec.faults.down

    def talk(self, one: DatabaseNode, other: DatabaseNode) -> bool:
        """Tell whether two nodes have a connection, each being the client of the other where both have a database."""
        now = self.clock()
        if not (self.reachable(one.name) and self.reachable(other.name)):
            return False
        if one.copies is None or other.copies is None or flaw(one.copies, now) or flaw(other.copies, now):
            return False
        servers = [
            (server.copies, client.copies)
            for server, client in ((one, other), (other, one))
            if server.copies and client.copies and server.copies.server_certificate and server.role != "client"
        ]
        return bool(servers) and all(accepts(server, client) for server, client in servers)

    def primary_for(self, node: DatabaseNode) -> DatabaseNode | None:
        """Return the primary that a member of a cluster is connected to; itself where it is that."""
        if node.cluster is None or node.cluster.primary is None:
            return None
        primary = self.nodes[node.cluster.primary]
        return primary if primary is node or self.talk(node, primary) else None

    def in_sync(self, node: DatabaseNode) -> bool:
        """Tell whether a replica is connected and holds all rows of its primary."""
        return node.synced and not node.spec.faults.db_behind and self.primary_for(node) is not None

    def tick(self) -> None:
        """Do everything whose moment has come, in that order. Every reading and every command does this first."""
        now = self.clock()
        while True:
            self._notice(now)
            due = [move for move in self._moves() if move[0] <= now]
            if not due:
                return
            min(due, key=lambda move: move[0])[1]()

    def clusters(self) -> tuple[LiveCluster, ...]:
        """Return the clusters that have a primary, whether it can be reached or not."""
        self.tick()
        return tuple(
            LiveCluster(
                primary=node.name,
                replicas=tuple(other.name for other in self._replicas(node.cluster)),
                in_sync=tuple(other.name for other in self._replicas(node.cluster) if self.in_sync(other)),
                clients=tuple(node.cluster.clients),
            )
            for node in self.nodes.values()
            if node.role == "primary" and node.cluster is not None
        )

    def rows_of_truth(self) -> frozenset[str]:
        """Return the rows that a live primary holds; the rows that any node still holds where there is none."""
        self.tick()
        primaries = [node for node in self.nodes.values() if node.role == "primary"]
        return frozenset(row for node in primaries or self.nodes.values() for row in node.rows)

    def lost(self, since: Iterable[str]) -> frozenset[str]:
        """Return which of these rows are no longer part of the truth."""
        return frozenset(since) - self.rows_of_truth()

    def write(self, *rows: str, on: str | None = None) -> None:
        """Add rows on the primary (``on``: which, where there are two), and on the replicas that keep up with it.

        Raises LabError where there is no such primary, or nobody reaches it.
        """
        self.tick()
        primaries = [node for node in self.nodes.values() if node.role == "primary" and on in (None, node.name)]
        if len(primaries) != 1 or not self.reachable(primaries[0].name):
            raise LabError("there is not one live primary to write on", hint="say which, or wait until it is up")
        primary = primaries[0]
        primary.rows.extend(rows)
        for replica in self._replicas(primary.cluster):
            if self.in_sync(replica):
                replica.rows.extend(rows)
            else:
                replica.synced = False

    def promote(self, name: str) -> None:
        """Make a replica the primary of its cluster at once; the old one follows it. Raises LabError."""
        self.tick()
        node = self.node(name)
        if node.role != "replica":
            raise LabError(f"{name} is no replica", hint="let it join a cluster first")
        self._promote(node)

    def _promote(self, node: DatabaseNode) -> None:
        assert node.cluster is not None
        old = node.cluster.primary
        if old is not None:
            self.nodes[old].role, self.nodes[old].synced = "replica", False
        node.role, node.cluster.primary, node.cluster.headless_since = "primary", node.name, None
        for replica in self._replicas(node.cluster):
            replica.synced = replica.synced and replica.rows == node.rows

    def _replicas(self, cluster: Cluster | None) -> list[DatabaseNode]:
        members = [self.nodes[name] for name in cluster.members] if cluster else []
        return [node for node in members if node.role == "replica" and node.cluster is cluster]

    def _moves(self) -> Iterable[Move]:
        for node in self.nodes.values():
            if node.pending is not None and not node.hangs():
                yield node.pending.due, partial(database_work.finish, self, node)
            if node.sync_due is not None:
                yield node.sync_due, partial(self._sync, node)
            cluster = node.cluster
            if node.role == "replica" and node.spec.switches.promotes and node.synced and self.reachable(node.name):
                assert cluster is not None
                if cluster.headless_since is not None:
                    yield cluster.headless_since + self.promote_after, partial(self._promote, node)

    def _notice(self, now: datetime) -> None:
        """See who has lost or found its primary, and who has rows to fetch."""
        for node in self.nodes.values():
            cluster = node.cluster
            if node.role != "replica" or cluster is None:
                continue
            there = cluster.primary is not None and self.reachable(cluster.primary)
            cluster.headless_since = None if there else (cluster.headless_since or now)
            behind = node.spec.faults.db_behind
            node.synced = node.synced and not behind
            if node.synced or behind or self.primary_for(node) is None:
                node.sync_due = None
            elif node.sync_due is None:
                node.sync_due = now + node.seconds(SYNC)

    def _sync(self, node: DatabaseNode) -> None:
        primary = self.primary_for(node)
        assert primary is not None
        node.rows, node.synced, node.sync_due = list(primary.rows), True, None

    def _stand(self) -> None:
        """Put the nodes into the clusters that they stand in at the start."""
        standing = [node for node in self.nodes.values() if node.spec.database.role != "none"]
        for node in standing:
            if node.copies is None or (node.copies.server_key is None and node.spec.database.role != "client"):
                raise LabError(f"{node.name}: a database in a cluster needs files", hint="five; three for a client")
            if node.spec.database.role == "primary":
                node.role, node.cluster = "primary", Cluster(members=[node.name], clients=[], primary=node.name)
        for node in standing:
            if node.role == "none":
                primary = self.nodes.get(node.spec.database.primary or "")
                if primary is None or primary.role != "primary" or primary.cluster is None:
                    raise LabError(f"{node.name}: its primary is no primary", hint="name a node with that role")
                node.role, node.cluster = node.spec.database.role, primary.cluster
                (node.cluster.clients if node.role == "client" else node.cluster.members).append(node.name)
                node.synced = node.spec.database.in_sync


def _plain(address: str) -> str:
    """Write an address in one way only: ``2001:DB8:0::1`` is ``2001:db8::1``."""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address.lower()
