"""Whatever is typed in whatever order, the lab's databases keep to their own rules."""

from __future__ import annotations

from itertools import count

from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.strategies import booleans, integers, sampled_from

from cmscert.lab.database import DatabaseNetwork
from cmscert.lab.database_commands import say
from cmscert.lab.database_node import DatabaseNode
from cmscert.lab.spec import DatabaseSpec
from cmscert.testing.databases import FIVE, THREE, MovedClock, database_files, database_node, standing_cluster

NODES = 4
numbers = integers(1, NODES)
PREFIXES = tuple(f"database cluster {verb}" for verb in ("initialize", "join", "connect", "remove", "upgrade_schema"))


class Databases(RuleBasedStateMachine):
    """Four nodes; rules type lines, let time pass, break things. Rows are numbered and never written twice."""

    @initialize(standing=booleans())
    def start(self, *, standing: bool) -> None:
        """Start with three nodes and a client, or with nothing."""
        self.clock = MovedClock()
        free = [
            database_node(number, database=DatabaseSpec(rows=(f"own{number}",), files=FIVE, interface="a"))
            for number in range(1, NODES + 1)
        ]
        specs = standing_cluster() if standing else free
        self.network = DatabaseNetwork(map(DatabaseNode, specs), clock=self.clock)
        self.fresh = map(str, count())
        self.written = {row for node in self.network.nodes.values() for row in node.rows}

    def node(self, number: int) -> DatabaseNode:
        """Return core<number>."""
        return self.network.node(f"core{number}")

    @rule(number=numbers, line=sampled_from(("initialize", "remove", "upgrade_schema", "clear_error", "status")))
    def command(self, number: int, line: str) -> None:
        """Type a command without arguments, and a capital Y."""
        say(self.network, f"core{number}", f"database cluster {line}", reply="Y")

    @rule(number=numbers, verb=sampled_from(("join", "connect")), primary=numbers)
    def attach(self, number: int, verb: str, primary: int) -> None:
        """Join or connect to anyone."""
        say(self.network, f"core{number}", f"database cluster {verb} 10.0.0.{10 + primary}", reply="Y")

    @rule(number=numbers, names=sampled_from((FIVE, THREE)), ca=sampled_from(("dbca", "other")))
    def configure(self, number: int, names: tuple[str, ...], ca: str) -> None:
        """Upload other contents and bind them."""
        self.node(number).files.update(database_files(ca=ca))
        say(self.network, f"core{number}", f"database cluster certs {' '.join(names)}")

    @rule(seconds=sampled_from((0, 1, 2, 40, 86400)))
    def wait(self, seconds: int) -> None:
        """Let time pass."""
        self.clock.pass_by(seconds)

    @rule(number=numbers)
    def toggle_down(self, number: int) -> None:
        """Take a node off the network, or put it back."""
        self.network.tick()
        self.network.down ^= {f"core{number}"}

    @rule(number=numbers, prefix=sampled_from(PREFIXES), fail=booleans(), hang=booleans())
    def break_something(self, number: int, prefix: str, *, fail: bool, hang: bool) -> None:
        """Let work fail or hang from now on."""
        faults = self.node(number).spec.faults
        faults.db_fail, faults.db_hang = (prefix,) if fail else (), (prefix,) if hang else ()

    @rule(number=numbers, promotes=booleans(), behind=booleans())
    def switch(self, number: int, *, promotes: bool, behind: bool) -> None:
        """Let a replica take over, or fall behind."""
        self.node(number).spec.switches.promotes = promotes
        self.node(number).spec.faults.db_behind = behind

    @precondition(lambda self: self.writable())
    @rule()
    def write(self) -> None:
        """Write a row on the only live primary."""
        row = next(self.fresh)
        self.network.write(row)
        self.written.add(row)

    def writable(self) -> bool:
        """Tell whether there is one live primary that is reached."""
        live = self.network.clusters()
        return len(live) == 1 and self.network.reachable(live[0].primary)

    @invariant()
    def rows_come_from_somewhere(self) -> None:
        """No node holds a row that nobody wrote, and none holds it twice."""
        for node in self.network.nodes.values():
            assert set(node.rows) <= self.written
            assert len(node.rows) == len(set(node.rows))

    @invariant()
    def in_sync_means_the_same_rows(self) -> None:
        """A replica that says so holds exactly what its primary holds, and its name stands in one cluster only."""
        live = self.network.clusters()
        names = [name for cluster in live for name in (cluster.primary, *cluster.replicas)]
        assert len(names) == len(set(names))
        for cluster in live:
            for name in cluster.in_sync:
                assert self.network.node(name).rows == self.network.node(cluster.primary).rows

    @invariant()
    def roles_fit_the_clusters(self) -> None:
        """Who has a role has a cluster that knows it, and a cluster's primary has that role."""
        for node in self.network.nodes.values():
            assert (node.role == "none") == (node.cluster is None)
            if node.cluster is not None:
                assert node.name in (node.cluster.clients if node.role == "client" else node.cluster.members)
                assert (node.cluster.primary == node.name) == (node.role == "primary")

    @invariant()
    def screens_agree(self) -> None:
        """Every node can draw its screen; it shows one primary at most, and the one in use is that."""
        for number in range(1, NODES + 1):
            shown = say(self.network, f"core{number}", "database cluster status")
            assert shown.count("Connected Primary") <= 1
            assert ("Connected Primary" in shown) == ("Node in use              : 10" in shown)


TestDatabases = Databases.TestCase
TestDatabases.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
