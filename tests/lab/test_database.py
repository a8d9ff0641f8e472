"""The databases of the lab: who may do what, when it is done, and what it does to the rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from cmscert.errors import LabError
from cmscert.lab.backups import rows_in
from cmscert.lab.database import DatabaseNetwork, LiveCluster
from cmscert.lab.database_commands import say
from cmscert.lab.database_node import DatabaseNode
from cmscert.lab.spec import DatabaseSpec, NodeSpec, Switches
from cmscert.testing.databases import (
    FIVE,
    NOW,
    ROWS,
    THREE,
    MovedClock,
    database_files,
    database_node,
    standing_cluster,
)

CERTS = "database cluster certs " + " ".join(FIVE)
CLIENT_CERTS = "database cluster certs " + " ".join(THREE)
INITIALIZE = "database cluster initialize"
JOIN = "database cluster join 10.0.0.11"
CONNECT = "database cluster connect 10.0.0.11"
REMOVE = "database cluster remove"
STATUS = "database cluster status"


class Bench:
    """A network with its clock."""

    def __init__(self, specs: list[NodeSpec]) -> None:
        self.clock = MovedClock()
        self.network = DatabaseNetwork(map(DatabaseNode, specs), clock=self.clock)

    def node(self, number: int) -> DatabaseNode:
        """Return core<number>."""
        return self.network.node(f"core{number}")

    def say(self, number: int, *lines: str, reply: str | None = "Y") -> str:
        """Type lines on core<number>; return the last answer."""
        return [say(self.network, f"core{number}", line, reply=reply) for line in lines][-1]

    def do(self, number: int, *lines: str) -> None:
        """Type lines on core<number>, giving each the time that it takes."""
        for line in lines:
            self.say(number, line)
            self.wait()

    def wait(self, seconds: float = 5) -> None:
        """Let time pass."""
        self.clock.pass_by(seconds)
        self.network.tick()

    def last(self, number: int) -> str:
        """Return the row ``Last command``."""
        rows = [row for row in self.say(number, STATUS).splitlines() if row.startswith("Last command")]
        return rows[0].partition(": ")[2] if rows else ""

    @property
    def live(self) -> LiveCluster:
        """The only live cluster."""
        (cluster,) = self.network.clusters()
        return cluster


def bare(number: int, **fields: object) -> NodeSpec:
    """A node that has files, and rows of its own."""
    return database_node(number, **({"database": DatabaseSpec(rows=(f"own{number}",))} | fields))


def ready(number: int, *, files: tuple[str, ...] = FIVE, **fields: object) -> NodeSpec:
    """A node that has only to be asked to initialize, join or connect."""
    database = DatabaseSpec(rows=(f"own{number}",), files=files, interface="a")
    return database_node(number, database=database, **fields)


def test_a_first_build() -> None:
    """Interface, files and initialize make the first node's rows the truth; the others join, clients connect."""
    bench = Bench([bare(1), bare(2), bare(3), bare(4)])
    assert bench.network.clusters() == ()
    bench.do(1, "database cluster localnode a", CERTS, INITIALIZE)
    assert bench.last(1) == f"'{INITIALIZE}' (Success)"
    for number in (2, 3):
        bench.do(number, CERTS, "database cluster localnode a", JOIN)
    bench.do(4, CLIENT_CERTS, "database cluster localnode a", CONNECT)
    assert bench.live == LiveCluster(
        primary="core1", replicas=("core2", "core3"), in_sync=("core2", "core3"), clients=("core4",)
    )
    assert bench.network.rows_of_truth() == {"own1"}
    assert bench.node(2).rows == ["own1"]
    assert bench.node(4).rows == ["own4"]


def test_the_whole_rebuild_loses_nothing() -> None:
    """Clients, replicas and the primary leave, the primary initializes, the others come back: every row is there."""
    bench = Bench(standing_cluster())
    bench.network.write("r5")
    since = bench.network.rows_of_truth()
    for number in (4, 3, 2, 1):
        bench.do(number, REMOVE)
        assert bench.last(number) == f"'{REMOVE}' (Success)"
        assert bench.network.lost(since) == frozenset()
    assert bench.network.clusters() == ()
    bench.do(1, CERTS, INITIALIZE)
    bench.do(2, CERTS, JOIN)
    bench.do(3, CERTS, JOIN)
    bench.do(4, CLIENT_CERTS, CONNECT)
    assert bench.live.in_sync == ("core2", "core3")
    assert bench.live.clients == ("core4",)
    assert bench.network.rows_of_truth() == since


def test_initialize_on_an_old_copy_is_a_loss() -> None:
    """A replica's rows are those of the day it left."""
    bench = Bench(standing_cluster(nodes=2, clients=0))
    bench.do(2, REMOVE)
    bench.network.write("r5", "r6")
    since = bench.network.rows_of_truth()
    bench.do(1, REMOVE)
    assert bench.network.lost(since) == frozenset()
    bench.do(2, INITIALIZE)
    assert bench.network.lost(since) == {"r5", "r6"}


def test_a_second_cluster_can_be_provoked() -> None:
    """Nobody stops a node that has left from starting a cluster of its own."""
    bench = Bench(standing_cluster(nodes=2, clients=0))
    bench.do(2, REMOVE, INITIALIZE)
    assert [cluster.primary for cluster in bench.network.clusters()] == ["core1", "core2"]
    with pytest.raises(LabError, match="not one live primary"):
        bench.network.write("r5")
    bench.network.write("r5", on="core2")
    assert bench.node(2).rows[-1] == "r5"


def test_join_destroys_then_copies() -> None:
    """The joining node's rows are gone at once; the primary's come in two parts."""
    bench = Bench([*standing_cluster(nodes=1, clients=0), ready(2)])
    bench.say(2, JOIN)
    assert bench.node(2).rows == []
    assert bench.last(2) == f"'{JOIN}' (In progress)"
    bench.wait(1)
    assert bench.node(2).rows == ["r1", "r2"]
    assert "core2" not in bench.live.in_sync
    assert "(me)       : Connected Replica ( Sync'ing )" in bench.say(2, STATUS)
    bench.wait(1)
    assert bench.node(2).rows == list(ROWS)
    assert bench.live.in_sync == ("core2",)


@pytest.mark.parametrize("reply", ["y", "yes", "n", "", " Y", "Y ", None])
@pytest.mark.parametrize(("number", "line"), [(1, REMOVE), (2, INITIALIZE), (2, JOIN)])
def test_only_a_capital_y_goes_on(number: int, line: str, reply: str | None) -> None:
    """Everything else leaves all as it was ([S13b])."""
    bench = Bench([*standing_cluster(nodes=1, clients=0), ready(2)])
    before = (bench.live, bench.node(2).rows)
    assert bench.say(number, line, reply=reply).endswith("Aborted\n")
    bench.wait()
    assert (bench.live, bench.node(2).rows) == before
    assert bench.node(number).pending is None


@pytest.mark.parametrize(
    "line",
    [
        "database",
        "database cluster",
        "database cluster dbserver.key dbserver.crt dbclient.key dbclient.crt dbca.crt",
        "database cluster certs a b",
        "database cluster certs",
        "database cluster localnode",
        "database cluster join",
        "database cluster connect",
        "database cluster initialize now",
        "database cluster remove all",
        "database cluster status long",
        "database cluster clear error",
        "database cluster clear_error now",
        "database cluster upgrade schema",
        "database cluster upgrade_schema now",
        "backup",
        "backup snapshot",
        "backup snapshot ../x",
    ],
)
def test_wrong_words(line: str) -> None:
    """Arguments that make no sense get the usage, and nothing is done."""
    bench = Bench(standing_cluster(nodes=1, clients=0))
    assert bench.say(1, line).startswith("Usage:")


def test_another_word() -> None:
    """What does not begin with a database word is unknown here."""
    assert Bench([bare(1)]).say(1, "version") == "Unknown command\n"


@pytest.mark.parametrize(
    ("specs", "number", "line", "text"),
    [
        (standing_cluster, 1, CERTS, "certificates cannot be changed"),
        (standing_cluster, 4, CLIENT_CERTS, "certificates cannot be changed"),
        (standing_cluster, 2, "database cluster certs none", "certificates cannot be changed"),
        (standing_cluster, 2, "database cluster localnode b", "interface cannot be changed"),
        (standing_cluster, 2, INITIALIZE, "is part of a database cluster"),
        (standing_cluster, 3, JOIN, "is part of a database cluster"),
        (lambda: [bare(1)], 1, REMOVE, "is not part of a database cluster"),
        (lambda: [bare(1)], 1, INITIALIZE, "certificates are not configured"),
        (lambda: [ready(1, files=THREE)], 1, INITIALIZE, "certificates are not configured"),
        (lambda: [bare(1)], 1, "database cluster certs a.key b.crt c.crt", "file a.key does not exist"),
        (lambda: [bare(1)], 1, "database cluster upgrade_schema", "not part"),
    ],
)
def test_refusals(specs: Callable[[], list[NodeSpec]], number: int, line: str, text: str) -> None:
    """What cannot be done now is refused before any question, worded as the switch says."""
    for wording, start in (("plain", ""), ("failure", "FAILURE: ")):
        bench = Bench(specs())
        bench.node(number).spec.switches.refusal_wording = wording
        answer = bench.say(number, line)
        assert answer.startswith(start)
        assert text in answer
        assert bench.node(number).pending is None
    bench = Bench(specs())
    bench.node(number).spec.switches.refusal_wording = "silent"
    assert bench.say(number, line) == ""
    assert bench.node(number).pending is None


def test_no_interface() -> None:
    """A cluster needs an interface; ``none`` takes it away."""
    bench = Bench([ready(1)])
    bench.say(1, "database cluster localnode none")
    assert "local interface" in bench.say(1, INITIALIZE)


def test_one_thing_at_a_time() -> None:
    """While a node works, nothing but remove is taken; and no second remove."""
    bench = Bench([ready(1)])
    bench.say(1, INITIALIZE)
    for line in (INITIALIZE, CERTS, "database cluster localnode b", JOIN, CONNECT):
        assert "is part of a database cluster" in bench.say(1, line) or "while this node" in bench.say(1, line)
    bench.say(1, REMOVE)
    assert "is not part" in bench.say(1, REMOVE)
    bench.wait()
    assert bench.network.clusters() == ()


def test_remove_twice_is_busy() -> None:
    """A node that is leaving is busy."""
    bench = Bench(standing_cluster(nodes=1, clients=0))
    bench.say(1, REMOVE)
    assert "in progress" in bench.say(1, REMOVE)
    assert "or is busy" in bench.say(1, "database cluster upgrade_schema")
    assert "Removing" in bench.say(1, STATUS)


@pytest.mark.parametrize(
    "address",
    ["10.0.0.11", "core1.example.com", "CORE1.Example.com"],
)
def test_join_by_name(address: str) -> None:
    """The primary answers by address and by FQDN."""
    bench = Bench([*standing_cluster(nodes=1, clients=0), ready(2)])
    bench.do(2, f"database cluster join {address}")
    assert bench.live.replicas == ("core2",)


def test_join_by_ipv6() -> None:
    """An IPv6 address is the same however it is written; a database address of its own replaces the other."""
    primary = replace(standing_cluster(nodes=1, clients=0)[0], database_address="2001:db8::11")
    bench = Bench([primary, ready(2)])
    bench.do(2, JOIN)
    assert bench.network.clusters()[0].replicas == ()
    bench.do(2, "database cluster join 2001:DB8:0::11")
    assert bench.live.replicas == ("core2",)
    assert "    2001:db8::11         : Connected Primary" in bench.say(2, STATUS)


@pytest.mark.parametrize("line", [JOIN, CONNECT])
@pytest.mark.parametrize(
    ("files", "why"),
    [
        (database_files(ca="other"), "another CA"),
        (database_files(client_name="postgrest"), "the typo of [S32]"),
        (database_files(days_left=-1), "expired"),
        (database_files(days_left=60) | {"dbclient.key": database_files(days_left=61)["dbclient.key"]}, "another key"),
        (database_files() | {"dbca.crt": b"nothing"}, "no certificate"),
        (database_files() | {"dbca.crt": database_files(ca="other")["dbca.crt"]}, "CA does not fit"),
    ],
)
def test_files_that_cannot_work(files: dict[str, bytes], why: str, line: str) -> None:
    """Join and connect end as failed where TLS would not work."""
    bench = Bench([*standing_cluster(nodes=1, clients=0), ready(2, files=FIVE if line == JOIN else THREE)])
    bench.node(2).files.update(files)
    bench.do(2, CERTS if line == JOIN else CLIENT_CERTS, line)
    assert bench.last(2) == f"'{line}' (Failed)", why
    assert bench.live.replicas + bench.live.clients == ()
    assert bench.say(2, STATUS).startswith("ERROR ")


def test_only_the_server_certificate_is_from_elsewhere() -> None:
    """Both directions have to work between nodes with a database."""
    bench = Bench([*standing_cluster(nodes=1, clients=0), ready(2)])
    mixed = database_files(ca="other")
    bench.node(2).files.update({"dbserver.key": mixed["dbserver.key"], "dbserver.crt": mixed["dbserver.crt"]})
    bench.do(2, CERTS, JOIN)
    assert bench.last(2).endswith("(Failed)")


def test_files_not_valid_yet() -> None:
    """A certificate whose time has not come serves nobody; the screen does not call it expired."""
    bench = Bench([ready(1)])
    bench.clock.now = NOW - timedelta(days=91)
    bench.do(1, INITIALIZE)
    assert bench.last(1) == f"'{INITIALIZE}' (Failed)"
    assert "expired" not in bench.say(1, STATUS)


@pytest.mark.parametrize("address", ["10.0.0.99", "10.0.0.12", "10.0.0.13", "10.0.0.14"])
@pytest.mark.parametrize("verb", ["join", "connect"])
def test_not_a_primary(verb: str, address: str) -> None:
    """Nobody, the node itself, a replica or a client cannot be joined; the rows are gone all the same."""
    specs = standing_cluster(nodes=3)
    specs[1] = ready(2, files=FIVE if verb == "join" else THREE)
    bench = Bench(specs)
    line = f"database cluster {verb} {address}"
    bench.do(2, line)
    assert bench.last(2) == f"'{line}' (Failed)"
    assert bench.node(2).rows == ([] if verb == "join" else ["own2"])
    bench.say(2, "database cluster clear_error")
    assert bench.say(2, STATUS).startswith("Status                   : Disabled\n")


@pytest.mark.parametrize("way", ["port", "fault"])
def test_a_primary_that_is_down(way: str) -> None:
    """Neither a closed port nor a node off the network can be joined, or written on."""
    bench = Bench([*standing_cluster(nodes=1, clients=0), ready(2)])
    if way == "port":
        bench.network.down.add("core1")
    else:
        bench.node(1).spec.faults.down = True
    bench.do(2, JOIN)
    assert bench.last(2).endswith("(Failed)")
    with pytest.raises(LabError, match="not one live primary"):
        bench.network.write("r5")
    assert bench.live.primary == "core1"


def test_rows_reach_replicas_that_keep_up() -> None:
    """In-sync replicas get new rows at once; one that was away catches up later."""
    bench = Bench(standing_cluster())
    bench.network.down.add("core3")
    bench.wait()
    bench.network.write("r5")
    assert bench.node(2).rows == [*ROWS, "r5"]
    assert bench.node(3).rows == list(ROWS)
    assert bench.live.in_sync == ("core2",)
    bench.network.down.clear()
    bench.network.tick()
    assert bench.live.in_sync == ("core2",)
    bench.wait()
    assert bench.live.in_sync == ("core2", "core3")
    assert bench.node(3).rows == [*ROWS, "r5"]


def test_a_replica_that_stays_behind() -> None:
    """``db_behind`` keeps a replica from coming in sync until it is taken away, after a join too."""
    bench = Bench([*standing_cluster(clients=0)[:2], ready(3)])
    for number in (2, 3):
        bench.node(number).spec.faults.db_behind = True
    bench.network.write("r5")
    bench.do(3, JOIN)
    assert bench.live.in_sync == ()
    assert set(bench.node(2).rows) < bench.network.rows_of_truth()
    for number in (2, 3):
        bench.node(number).spec.faults.db_behind = False
    bench.wait(0)
    bench.wait()
    assert bench.live.in_sync == ("core2", "core3")


def test_a_replica_may_start_behind() -> None:
    """A scene can begin with a replica that is out of sync."""
    specs = standing_cluster(nodes=2, clients=0)
    specs[1].database.in_sync, specs[1].database.rows = False, ROWS[:1]
    bench = Bench(specs)
    assert bench.live.in_sync == ()
    bench.wait()
    assert bench.live.in_sync == ("core2",)


@pytest.mark.parametrize(
    ("line", "number"),
    [(INITIALIZE, 2), (JOIN, 2), (CONNECT, 2), (REMOVE, 1), ("database cluster upgrade_schema", 1)],
)
def test_failing_work(line: str, number: int) -> None:
    """``db_fail`` ends work as failed, with an error to clear; nothing stands that did not stand before."""
    bench = Bench([*standing_cluster(nodes=1, clients=0), ready(2)])
    bench.node(number).spec.faults.db_fail = (line,)
    bench.do(number, line)
    assert bench.last(number) == f"'{line}' (Failed)"
    assert "Status                   : Error" in bench.say(number, STATUS)
    assert bench.live == LiveCluster(primary="core1", replicas=(), in_sync=(), clients=())
    bench.node(number).spec.faults.db_fail = ()
    bench.do(number, "database cluster clear_error", line)
    assert bench.last(number) == f"'{line}' (Success)"


def test_an_error_has_to_be_cleared_before_the_schema() -> None:
    """T-51: clear_error, then upgrade_schema."""
    specs = standing_cluster(nodes=1, clients=0)
    specs[0].database.error = "Couldn't upgrade the schema"
    bench = Bench(specs)
    bench.do(1, "database cluster upgrade_schema")
    assert bench.last(1).endswith("(Failed)")
    bench.do(1, "database cluster clear_error", "database cluster upgrade_schema")
    assert bench.last(1).endswith("(Success)")


def test_hanging_work() -> None:
    """``db_hang`` keeps work in progress; remove gets out of it, a reboot gives it up, and it ends once let."""
    bench = Bench([*standing_cluster(nodes=1, clients=0), ready(2)])
    bench.node(2).spec.faults.db_hang = ("database cluster join",)
    bench.say(2, JOIN)
    bench.wait(86400)
    assert bench.last(2) == f"'{JOIN}' (In progress)"
    bench.do(2, REMOVE)
    assert bench.last(2) == f"'{REMOVE}' (Success)"
    bench.do(2, JOIN)
    bench.node(2).abandon()
    bench.node(2).abandon()
    assert bench.last(2) == f"'{JOIN}' (Failed)"
    bench.do(2, JOIN)
    bench.node(2).spec.faults.db_hang = ()
    bench.wait()
    assert bench.live.in_sync == ("core2",)


def test_delays() -> None:
    """``db_delay`` counts seconds by command, and for the copying."""
    bench = Bench([*standing_cluster(nodes=1, clients=0), ready(2)])
    bench.node(2).spec.faults.db_delay = {"database cluster join": 60.0, "sync": 30.0}
    bench.say(2, JOIN)
    bench.wait(59)
    assert bench.live.replicas == ()
    bench.wait(1)
    assert bench.live.replicas == ("core2",)
    bench.wait(29)
    assert bench.live.in_sync == ()
    bench.wait(1)
    assert bench.live.in_sync == ("core2",)


def test_work_is_done_in_the_order_of_its_moments() -> None:
    """However long nobody looks, a join that is due after the initialize finds the primary."""
    bench = Bench([ready(1), ready(2)])
    bench.node(2).spec.faults.db_delay = {"database cluster join": 10.0}
    bench.say(2, JOIN)
    bench.say(1, INITIALIZE)
    bench.wait(3600)
    assert bench.live.in_sync == ("core2",)


def test_expiry_parts_the_nodes() -> None:
    """[S13b]: "Once the certificate expires, database nodes in cluster stops talking to each other"."""
    bench = Bench(standing_cluster())
    bench.clock.pass_by(61 * 86400)
    assert bench.live.in_sync == ()
    bench.network.write("r5")
    assert bench.node(2).rows == list(ROWS)
    rows = bench.say(2, STATUS).splitlines()
    assert "    10.0.0.11            : Not Connected" in rows
    assert "    10.0.0.12 (me)       : Connected Replica ( Sync'ing )" in rows
    assert "  Server Certificate     : dbserver.crt (expired)" in rows
    assert "  Server Key             : dbserver.key" in rows
    assert "  CA Certificate         : dbca.crt" in rows
    for number in (4, 3, 2, 1):
        bench.do(number, REMOVE)
        assert bench.last(number).endswith("(Success)")


def test_copies_outlive_their_files() -> None:
    """T-53: what is uploaded under the same names changes nothing until certs is typed again."""
    bench = Bench(standing_cluster(nodes=2, clients=0))
    for number in (1, 2):
        bench.node(number).files.update(database_files(ca="other"))
    bench.do(2, REMOVE, JOIN)
    assert bench.live.in_sync == ("core2",)
    bench.do(2, REMOVE, CERTS, JOIN)
    assert bench.last(2).endswith("(Failed)")


def test_copies_at_the_start() -> None:
    """The other reading of T-53: copies are made by initialize, join and connect."""
    bench = Bench([ready(1, switches=Switches(certs_copied_at="start"))])
    bench.do(1, CERTS)
    assert bench.node(1).copies is None
    bench.do(1, INITIALIZE)
    assert bench.live.primary == "core1"
    bench.do(1, REMOVE)
    del bench.node(1).files["dbca.crt"]
    bench.do(1, INITIALIZE)
    assert bench.live.primary == "core1"


def test_no_certificates_no_cluster() -> None:
    """``certs none`` forgets the names and the copies."""
    bench = Bench([ready(1)])
    bench.do(1, "database cluster certs none")
    assert (bench.node(1).names, bench.node(1).copies) == ((), None)
    assert "not configured" in bench.say(1, INITIALIZE)


def test_what_remove_leaves() -> None:
    """By default rows and names stay; two switches take them."""
    bench = Bench(standing_cluster())
    bench.do(3, REMOVE)
    assert (bench.node(3).rows, bench.node(3).names) == (list(ROWS), FIVE)
    for number in (2, 4):
        bench.node(number).spec.switches = Switches(remove_destroys=True, remove_unbinds=True)
        bench.do(number, REMOVE)
        assert (bench.node(number).rows, bench.node(number).names) == ([], ())
    assert bench.live == LiveCluster(primary="core1", replicas=(), in_sync=(), clients=())


def test_a_member_that_left_without_a_word() -> None:
    """A node that leaves while nobody reaches it stays in the others' screens, until it comes back."""
    bench = Bench(standing_cluster())
    bench.network.down |= {"core3", "core4"}
    bench.do(3, REMOVE)
    bench.do(4, REMOVE)
    bench.network.down.clear()
    bench.wait()
    assert "    10.0.0.13            : Not Connected" in bench.say(1, STATUS)
    assert bench.live.replicas == ("core2",)
    bench.do(3, JOIN)
    bench.do(4, CONNECT)
    assert bench.live.in_sync == ("core2", "core3")
    assert bench.live.clients == ("core4",)


def test_a_primary_that_leaves_first() -> None:
    """Its replicas stay replicas, of nobody; a client has nothing in use."""
    bench = Bench(standing_cluster())
    bench.do(1, REMOVE)
    bench.wait(3600)
    assert bench.network.clusters() == ()
    status = bench.say(4, STATUS)
    assert "Connected Primary" not in status
    assert "Node in use              : none" in status
    with pytest.raises(LabError, match="not one live primary"):
        bench.network.write("r5")


@pytest.mark.parametrize("way", ["remove", "down"])
def test_promotion(way: str) -> None:
    """Where the switch lets it, a replica in sync takes over after a while, and the old primary follows it."""
    specs = standing_cluster()
    for spec in specs:
        spec.switches.promotes = True
    bench = Bench(specs)
    bench.node(2).spec.faults.db_behind = True
    bench.network.write("r5")
    if way == "remove":
        bench.do(1, REMOVE)
    else:
        bench.network.down.add("core1")
    bench.wait(0)
    bench.wait(29)
    assert [cluster.primary for cluster in bench.network.clusters()] == ([] if way == "remove" else ["core1"])
    bench.wait(5)
    assert bench.live.primary == "core3"
    bench.network.down.clear()
    bench.node(2).spec.faults.db_behind = False
    bench.wait()
    bench.wait()
    assert bench.live.in_sync == (("core2",) if way == "remove" else ("core1", "core2"))
    assert bench.network.rows_of_truth() == {*ROWS, "r5"}


def test_a_primary_that_comes_back_in_time() -> None:
    """Promotion counts from the last time that the primary was lost."""
    specs = standing_cluster(nodes=2, clients=0)
    specs[1].switches.promotes = True
    bench = Bench(specs)
    bench.network.down.add("core1")
    bench.wait(20)
    bench.network.down.clear()
    bench.wait(20)
    bench.network.down.add("core1")
    bench.wait(20)
    assert bench.live.primary == "core1"


def test_promote_by_hand() -> None:
    """A test may move the primary at any time; only a replica can take over."""
    bench = Bench(standing_cluster())
    bench.network.promote("core2")
    assert bench.live.primary == "core2"
    assert bench.say(1, STATUS).count("Connected Replica") == 2
    with pytest.raises(LabError, match="core4 is no replica"):
        bench.network.promote("core4")


def test_backup() -> None:
    """``backup snapshot`` leaves two files; the first holds the rows, the answer says ready for download ([S1])."""
    bench = Bench(standing_cluster())
    assert "ready for download" in bench.say(2, "backup snapshot before-2026_03")
    files = bench.node(2).files
    assert rows_in(files["before-2026_03.bak"]) == frozenset(ROWS)
    assert files["before-2026_03.json"].startswith(b"{")
    assert rows_in(files["dbca.crt"]) == frozenset()
    bench.node(1).spec.faults.store_full = True
    assert bench.say(1, "backup snapshot x") == "FAILURE: no space left\n"
    assert "x.bak" not in bench.node(1).files


def test_restarts_of_the_call_bridge() -> None:
    """Initialize, join and remove restart it ([MEM]); connect does not, nor anything where the switch is off."""
    bench = Bench([ready(1), ready(2), ready(3, files=THREE)])
    restarted: list[str] = []
    for number in (1, 2, 3):
        bench.node(number).restart = lambda number=number: restarted.append(f"core{number}")
    bench.do(1, INITIALIZE)
    bench.do(2, JOIN)
    bench.do(3, CONNECT)
    bench.do(3, REMOVE)
    bench.node(2).spec.switches.database_restarts = False
    bench.do(2, REMOVE)
    assert restarted == ["core1", "core2", "core3"]
    assert [bench.node(number).restarts for number in (1, 2, 3)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (DatabaseSpec(role="primary"), "needs files"),
        (DatabaseSpec(role="primary", files=THREE), "needs files"),
        (DatabaseSpec(role="replica", files=FIVE), "no primary"),
        (DatabaseSpec(role="client", files=THREE, primary="core1"), "no primary"),
        (DatabaseSpec(files=("a",)), "five files"),
        (DatabaseSpec(files=THREE, loaded=(b"",)), "five files"),
        (DatabaseSpec(files=("a", "b", "c")), "no file a"),
    ],
)
def test_specs_that_make_no_sense(spec: DatabaseSpec, message: str) -> None:
    """A wrong description is refused at once, by the node's name."""
    with pytest.raises(LabError, match=f"core1: .*{message}"):
        Bench([database_node(1, database=spec)])


def test_loaded_contents_may_differ() -> None:
    """A cluster can stand on contents that the files no longer hold."""
    specs = standing_cluster(nodes=2, clients=0)
    for spec in specs:
        spec.database.loaded = tuple(database_files(days_left=1).values())
    bench = Bench(specs)
    assert bench.live.in_sync == ("core2",)
    bench.clock.pass_by(2 * 86400)
    assert bench.live.in_sync == ()


def test_unknown_nodes() -> None:
    """A name that the fleet does not have is an error of the test."""
    with pytest.raises(LabError, match="no node core9"):
        Bench([bare(1)]).node(9)
