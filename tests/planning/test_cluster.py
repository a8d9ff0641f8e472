"""Database clusters: what differs, in which order they are rebuilt, what stops that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from cmscert.mmp.services import SERVICES
from cmscert.model.database import DatabaseFiles, DatabaseMember, DatabaseState, FormerPrimary
from cmscert.model.desired import Bundle, Ignore, Policy, WantedDatabase, WantedServer
from cmscert.model.plan import InitializeCluster, Plan, ProveCluster, PutFile
from cmscert.model.readings import ABSENT, Known, Reading, Unread
from cmscert.planning.cluster import known_as
from cmscert.planning.make import Planned, make_plan
from cmscert.testing.ca import Issued, ThrowAwayCa
from cmscert.testing.fleets import MOMENT, ToyFleet, identity, material

from .conftest import Generation, after

NODES = ("core1", "core2", "core3")
CLIENT = "core4"
ADDRESS = {name: f"10.0.0.{number}" for number, name in enumerate((*NODES, CLIENT), start=11)}


@dataclass(kw_only=True)
class Cluster:
    """A toy cluster: what is wanted, and who stands in it on which certificates."""

    ca: ThrowAwayCa
    wanted: dict[str, Issued]
    held: dict[str, Issued]
    fleet: ToyFleet
    primary: str = "core1"
    standing: list[str] = field(default_factory=lambda: [*NODES, CLIENT])
    noted: FormerPrimary | None = None
    changes: dict[str, Callable[[DatabaseState], Reading[DatabaseState]]] = field(default_factory=dict)

    def database(self) -> WantedDatabase:
        """Return what is wanted."""
        server = material("dbserver", self.wanted["server"].certificate, self.ca.bundle)
        client = material("dbclient", self.wanted["client"].certificate, self.ca.bundle)
        return WantedDatabase(
            name="main",
            nodes=NODES,
            clients=(CLIENT,),
            primary="core1",
            server=dict.fromkeys(NODES, server),
            client=dict.fromkeys((*NODES, CLIENT), client),
            ca=Bundle(name="dbca", certificates=self.ca.bundle),
        )

    def rows(self, me: str) -> tuple[DatabaseMember, ...]:
        """Return the node rows of a member's screen."""
        return tuple(
            DatabaseMember(
                address=ADDRESS[name],
                me=name == me,
                connected=True,
                role="primary" if name == self.primary else "replica",
                in_sync=None if name == self.primary else True,
            )
            for name in NODES
            if name in self.standing
        )

    def state(self, name: str) -> Reading[DatabaseState]:
        """Return a member's screen."""
        server = self.fleet.server(name)
        files = DatabaseFiles(client_key="db-c.key", client_certificate="db-c.crt", ca="db-ca.crt")
        server.files.update({"db-c.crt": (self.held["client"].certificate,), "db-ca.crt": self.ca.bundle})
        server.keys["db-c.key"] = self.held["client"].certificate.spki_sha256
        if name in NODES:
            files = replace(files, server_key="db-s.key", server_certificate="db-s.crt")
            server.files["db-s.crt"] = (self.held["server"].certificate,)
            server.keys["db-s.key"] = self.held["server"].certificate.spki_sha256
        state = DatabaseState(status="Enabled", standing=True, members=self.rows(name), files=files, interface="a")
        if name not in self.standing:
            state = DatabaseState(status="Disabled")
        return self.changes.get(name, Known)(state)

    def plan(self) -> Planned:
        """Plan the fleet."""
        for name in (*NODES, CLIENT):
            self.fleet.server(name).overrides["database"] = self.state(name)
        desired = replace(self.fleet.desired(), databases=(self.database(),))
        noted = {} if self.noted is None else {"main": self.noted}
        return make_plan(desired, self.fleet.observed(), table=SERVICES, moment=MOMENT, tool_version="0", noted=noted)


@pytest.fixture(scope="session")
def dbca() -> ThrowAwayCa:
    """The CA of the database."""
    return ThrowAwayCa.root("DB CA")


@pytest.fixture(scope="session")
def generations(dbca: ThrowAwayCa) -> tuple[dict[str, Issued], dict[str, Issued]]:
    """New and due certificates of the database."""

    def issue(days_left: int, ago: int) -> dict[str, Issued]:
        period = {"not_before": MOMENT - timedelta(days=ago), "not_after": MOMENT + timedelta(days=days_left)}
        return {
            "server": dbca.issue("core1.example.com", sans=("core1.example.com",), **period),
            "client": dbca.issue("postgres", **period),
        }

    return issue(199, 1), issue(8, 190)


@pytest.fixture
def cluster(dbca: ThrowAwayCa, generations: tuple[dict[str, Issued], dict[str, Issued]]) -> Cluster:
    """A live cluster whose certificates are due."""
    fleet = ToyFleet()
    for name in (*NODES, CLIENT):
        fleet.server(name)
    return Cluster(ca=dbca, wanted=generations[0], held=generations[1], fleet=fleet)


def kinds(plan: Plan, *, of: str | None = None) -> list[tuple[str, str]]:
    """Return (kind, server) of the cluster's own steps."""
    return [
        (step.action.kind, step.server)
        for step in plan.steps
        if step.action.kind.startswith("db-") and of in (None, step.server)
    ]


REBUILD = [
    *(("db-backup", name) for name in NODES),
    ("db-primary", "core1"),
    ("db-remove", "core4"),
    ("db-remove", "core2"),
    ("db-remove", "core3"),
    ("db-remove", "core1"),
    *(("db-certs", name) for name in (*NODES, CLIENT)),
    ("db-initialize", "core1"),
    ("db-join", "core2"),
    ("db-join", "core3"),
    ("db-connect", "core4"),
    *(("db-prove", name) for name in (*NODES, CLIENT)),
]


def guards(plan: Plan) -> list[tuple[str, str | None]]:
    """Return guard and server of each refusal."""
    return [(refusal.guard, refusal.server) for refusal in plan.refusals]


def test_as_wanted(cluster: Cluster) -> None:
    """A healthy cluster on the wanted certificates gives no step and no drift."""
    cluster.held = cluster.wanted

    plan = cluster.plan().plan

    assert (plan.steps, plan.drift, plan.refusals) == ((), (), ())


def test_rebuild(cluster: Cluster) -> None:
    """Material first, backups, a last look; primary out last and in first, replicas one by one, clients at the end."""
    plan = cluster.plan().plan

    assert kinds(plan) == REBUILD
    assert guards(plan) == [("database-rebuild", None)]
    assert {drift.reason for drift in plan.drift} == {
        "database-server-differs",
        "database-client-differs",
        "expires-soon",
    }


def test_nothing_leaves_before_everything_is_checked(cluster: Cluster) -> None:
    """Every upload, check and backup comes before the first remove, by links and not by luck."""
    plan = cluster.plan().plan
    before: dict[str, set[str]] = {}
    for step in plan.steps:
        before[step.id] = set(step.after).union(*(before[other] for other in step.after))
    early = {step.id for step in plan.steps if step.action.kind in ("put", "check", "db-backup", "db-primary")}

    for step in plan.steps:
        if step.action.kind == "db-remove":
            assert early <= before[step.id]
        if step.action.kind == "db-initialize":
            assert {other.id for other in plan.steps if other.action.kind in ("db-remove", "db-certs")} <= before[
                step.id
            ]


def test_five_files_on_nodes_three_on_clients(cluster: Cluster) -> None:
    """A client gets no server pair."""
    plan = cluster.plan().plan
    puts = [(step.server, step.action.file) for step in plan.steps if isinstance(step.action, PutFile)]

    assert [sum(server == name for server, _ in puts) for name in (*NODES, CLIENT)] == [5, 5, 5, 3]


def test_one_certificate_for_both_uses(cluster: Cluster) -> None:
    """A file that serves two uses is put once."""
    cluster.wanted = {"server": cluster.wanted["client"], "client": cluster.wanted["client"]}
    database = replace(cluster.database(), server=cluster.database().client)
    cluster.plan()
    plan = make_plan(
        replace(cluster.fleet.desired(), databases=(database,)),
        cluster.fleet.observed(),
        table=SERVICES,
        moment=MOMENT,
        tool_version="0",
    ).plan

    assert sum(isinstance(step.action, PutFile) for step in plan.steps if step.server == "core1") == 3


def test_live_primary_wins(cluster: Cluster) -> None:
    """The data stays where it is, whatever the inventory calls the primary."""
    cluster.primary = "core3"

    steps = [step for step in cluster.plan().plan.steps if isinstance(step.action, InitializeCluster)]

    assert [step.server for step in steps] == ["core3"]


def test_first_build(cluster: Cluster) -> None:
    """Without any cluster the inventory's primary is initialised, and no guard asks."""
    cluster.standing = []
    cluster.fleet.server("core1").hold("webadmin", (cluster.wanted["server"].certificate,))
    plan = cluster.plan().plan

    assert [kind for kind, _ in kinds(plan)] == [
        *["db-backup"] * 3,
        *["db-certs"] * 4,
        "db-initialize",
        *["db-join"] * 2,
        "db-connect",
        *["db-prove"] * 4,
    ]
    assert guards(plan) == []


def test_one_node_joins(cluster: Cluster) -> None:
    """Adding a node to a healthy cluster touches that node only."""
    cluster.held = cluster.wanted
    cluster.standing.remove("core3")

    plan = cluster.plan().plan

    assert kinds(plan)[:3] == [("db-backup", "core3"), ("db-certs", "core3"), ("db-join", "core3")]
    assert {kind for kind, _ in kinds(plan)[3:]} == {"db-prove"}
    assert guards(plan) == []


def test_a_client_on_old_certificates(cluster: Cluster) -> None:
    """A client that stands on other certificates leaves and connects again; the nodes stay."""
    client = cluster.held["client"]
    cluster.held = cluster.wanted
    plain = cluster.state(CLIENT)
    cluster.changes[CLIENT] = lambda state: Known(
        replace(state, files=replace(state.files, client_certificate="o.crt"))
    )
    cluster.fleet.server(CLIENT).files["o.crt"] = (client.certificate,)

    assert isinstance(plain, Known)
    assert kinds(cluster.plan().plan)[:3] == [("db-remove", CLIENT), ("db-certs", CLIENT), ("db-connect", CLIENT)]


def note(server: str) -> FormerPrimary:
    """Return what an earlier run noted."""
    return FormerPrimary(database="main", server=server, at=MOMENT, status="Connected Primary")


def test_continued_after_everybody_left(cluster: Cluster) -> None:
    """A run that died after the last remove goes on with the primary it noted, not with the inventory's."""
    cluster.standing = []
    cluster.noted = note("core2")

    plan = cluster.plan().plan

    assert ("db-initialize", "core2") in kinds(plan)
    assert guards(plan) == []
    assert [notice.reason for notice in plan.notices] == ["database-continued"]


def test_continued_while_others_still_stand(cluster: Cluster) -> None:
    """Replicas that still stand leave before the noted primary is initialised."""
    cluster.standing = ["core3"]
    cluster.noted = note("core1")
    cluster.changes["core3"] = lambda state: Known(replace(state, members=cluster_row("core3")))

    plan = cluster.plan().plan

    assert kinds(plan)[3:5] == [("db-remove", "core3"), ("db-certs", "core1")]
    assert ("primary-unclear", None) in guards(plan)


def cluster_row(name: str) -> tuple[DatabaseMember, ...]:
    """Return the row of a replica that sees no primary."""
    return (DatabaseMember(address=ADDRESS[name], me=True, connected=True, role="replica", in_sync=False),)


def test_continued_after_the_new_cluster_came_up(cluster: Cluster) -> None:
    """Once the noted primary stands on the wanted certificates, only the rest joins."""
    cluster.held = cluster.wanted
    cluster.standing = ["core1"]
    cluster.noted = note("core1")

    plan = cluster.plan().plan

    assert ("db-initialize", "core1") not in kinds(plan)
    assert [kind for kind, _ in kinds(plan) if kind in ("db-join", "db-connect")] == [
        "db-join",
        "db-join",
        "db-connect",
    ]


def test_continued_after_everything_but_the_proof(cluster: Cluster) -> None:
    """A cluster that came up whole and was not proven is proven, so that the note about it does not stay."""
    cluster.held = cluster.wanted
    cluster.noted = note("core1")

    plan = cluster.plan().plan

    assert kinds(plan) == [("db-prove", name) for name in (*NODES, CLIENT)]
    assert guards(plan) == []


def test_an_unreadable_member_is_not_proven(cluster: Cluster) -> None:
    """The proof is about the members that the run could reach; the guard about the others was lifted before."""
    cluster.changes["core3"] = lambda _: Unread("no answer")

    proofs = [step.action for step in cluster.plan().plan.steps if isinstance(step.action, ProveCluster)]

    assert {proof.members for proof in proofs} == {(ADDRESS["core1"], ADDRESS["core2"])}


def test_an_unreached_member_without_slots_makes_a_plan_incomplete(cluster: Cluster) -> None:
    """A server that is wanted for its database alone is missed when it cannot be reached."""
    cluster.fleet.server("core2").unreachable = "no answer"

    assert ("core2", "no answer") in cluster.plan().plan.unread


def test_addresses_are_compared_as_addresses(cluster: Cluster) -> None:
    """An IPv6 address is the same however it is written."""
    server = WantedServer(name="core1", address="2001:DB8:0::1", fqdn="Core1.Example.com.")

    assert known_as(server) == {"2001:db8::1", "core1.example.com", "core1"}
    assert cluster.plan().plan.steps


UNCLEAR: dict[str, tuple[Callable[[Cluster], object], list[tuple[str, str | None]]]] = {
    "members disagree": (
        lambda c: c.changes.update(
            core3=lambda state: Known(
                replace(state, members=tuple(replace(r, role="primary") if r.me else r for r in state.members))
            )
        ),
        [("database-rebuild", None), ("primary-unclear", None)],
    ),
    "an unknown primary": (
        lambda c: c.changes.update(
            {
                name: lambda state: Known(
                    replace(state, members=(DatabaseMember(address="10.9.9.9", connected=True, role="primary"),))
                )
                for name in NODES
            }
        ),
        [("database-rebuild", None), ("primary-unclear", None)],
    ),
    "another primary than noted": (
        lambda c: setattr(c, "noted", note("core2")),
        [("database-rebuild", None), ("primary-unclear", "core1")],
    ),
    "the primary is in no cluster": (
        lambda c: c.changes.update(core1=lambda _: Known(DatabaseState(status="Disabled"))),
        [("database-rebuild", None), ("primary-unclear", "core1")],
    ),
    "everybody left and nobody noted": (
        lambda c: (
            c.standing.clear(),
            c.changes.update(
                {
                    name: lambda state: Known(replace(state, last_command="database cluster remove"))
                    for name in (*NODES, CLIENT)
                }
            ),
        ),
        [("primary-unclear", None)],
    ),
    "a member is unreadable": (
        lambda c: c.changes.update(core2=lambda _: Unread("no answer")),
        [
            ("unread-server", "core2"),
            ("database-rebuild", None),
            ("database-member-down", "core2"),
            ("database-no-backup", "core2"),
        ],
    ),
    "the primary is unreadable": (
        lambda c: (c.standing.remove("core2"), c.changes.update(core1=lambda _: Unread("no answer"))),
        [
            ("unread-server", "core1"),
            ("database-rebuild", None),
            ("database-member-down", "core1"),
            ("database-no-backup", "core1"),
        ],
    ),
    "a replica behind": (
        lambda c: c.changes.update(
            core1=lambda state: Known(
                replace(
                    state,
                    members=tuple(replace(r, in_sync=False) if r.role == "replica" else r for r in state.members),
                )
            )
        ),
        [("database-rebuild", None), ("database-replica-behind", "core2"), ("database-replica-behind", "core3")],
    ),
    "a command at work": (
        lambda c: c.changes.update(core2=lambda state: Known(replace(state, busy=True))),
        [("database-rebuild", None), ("database-busy", "core2")],
    ),
}


@pytest.mark.parametrize("name", UNCLEAR)
def test_guards(cluster: Cluster, name: str) -> None:
    """Each state that could cost data is refused by its own name."""
    change, wanted = UNCLEAR[name]
    change(cluster)

    assert guards(cluster.plan().plan) == wanted


def lonely(state: DatabaseState) -> Reading[DatabaseState]:
    """Show a member that is connected to nobody but itself, as expired certificates make it ([S13b])."""
    rows = tuple(row if row.me else replace(row, connected=False, role="other", in_sync=None) for row in state.members)
    return Known(replace(state, members=rows, expired=True))


def test_a_cluster_whose_members_do_not_talk(cluster: Cluster) -> None:
    """Where only the primary itself says that it is, a person has to make sure of it; its rows are taken then."""
    cluster.primary = "core3"
    cluster.changes = dict.fromkeys((*NODES, CLIENT), lonely)
    plan = cluster.plan().plan

    assert {guard for guard, _ in guards(plan)} == {"database-rebuild", "primary-unclear", "database-replica-behind"}
    message = next(each.message for each in plan.refusals if each.guard == "primary-unclear")
    assert "core1, core2, core4 see no primary; core3 says that it is" in message
    assert [step.server for step in plan.steps if isinstance(step.action, InitializeCluster)] == ["core3"]


def test_a_primary_by_hearsay(cluster: Cluster) -> None:
    """A server that others call primary and that does not say so itself is none."""
    cluster.primary = "core3"
    cluster.changes["core2"] = lonely
    cluster.changes["core3"] = lambda state: Known(replace(state, members=state.members[:2]))

    assert "do not name one and the same" in next(
        each.message for each in cluster.plan().plan.refusals if each.guard == "primary-unclear"
    )


def test_an_unreadable_primary_stops_everything(cluster: Cluster) -> None:
    """Nothing is planned for a cluster whose primary cannot be read, whatever is lifted."""
    cluster.changes["core1"] = lambda _: Unread("no answer")

    assert kinds(cluster.plan().plan) == []


@pytest.mark.parametrize("status", ["Enabled", "Error"])
def test_a_doubtful_screen_counts_as_unread(cluster: Cluster, status: str) -> None:
    """A cluster that is enabled and shows no node is in doubt, never a first build."""
    cluster.standing = []
    for name in NODES:
        cluster.changes[name] = lambda state: Known(replace(state, status=status))

    plan = cluster.plan().plan

    assert kinds(plan) == []
    assert plan.unread[0] == ("core1", "database/main: its status shows no cluster, and not that there is none")


def test_a_node_without_database_commands(cluster: Cluster) -> None:
    """A member that does not know the command is named."""
    cluster.changes["core2"] = lambda _: ABSENT

    assert cluster.plan().plan.unread == (("core2", "database/main: this release does not know the command"),)


LAST = [("initialize", "failed"), ("join 10.0.0.11", "failed"), ("connect 10.0.0.11", "failed"), ("remove", "success")]


@pytest.mark.parametrize(("last", "how"), LAST)
def test_the_last_command_is_where_a_member_goes_on(cluster: Cluster, last: str, how: str) -> None:
    """A member in error that did not get into a cluster, or got out of it, is in none, and the next run goes on."""
    cluster.standing = []
    cluster.noted = FormerPrimary(database="main", server="core1", at=MOMENT, status="10.0.0.11: Connected Primary")
    told = {"last_command": f"database cluster {last}", "last_state": how}
    cluster.changes["core1"] = lambda _: Known(DatabaseState(status="Error", error="no", interface="a", **told))

    plan = cluster.plan().plan

    assert (plan.unread, plan.refusals) == ((), ())
    assert [step.server for step in plan.steps if isinstance(step.action, InitializeCluster)] == ["core1"]


def test_unread_content_counts_as_unread(cluster: Cluster) -> None:
    """A member whose bound certificate cannot be read is neither right nor old."""
    core = cluster.fleet.server("core2")
    cluster.plan()
    core.overrides["contents"] = {**core.observe().contents, "db-ca.crt": Unread("cut off")}

    plan = cluster.plan().plan

    assert ("core2", "database/main: a bound certificate could not be read") in plan.unread


FAULTS: dict[str, tuple[Callable[[DatabaseState], DatabaseState], str]] = {
    "expired": (lambda state: replace(state, expired=True), "database-expired"),
    "a client instead of a node": (
        lambda state: replace(state, members=tuple(replace(row, me=False) for row in state.members)),
        "database-role",
    ),
    "no ca": (lambda state: replace(state, files=replace(state.files, ca=None)), "database-ca-differs"),
    "no certificate": (
        lambda state: replace(state, files=replace(state.files, client_certificate=None)),
        "database-client-differs",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults(cluster: Cluster, name: str) -> None:
    """Each fault of a member has its own reason."""
    cluster.held = cluster.wanted
    change, reason = FAULTS[name]
    cluster.changes["core2"] = lambda state: Known(change(state))

    plan = cluster.plan().plan

    assert [(drift.server, drift.reason) for drift in plan.drift] == [("core2", reason)]
    assert kinds(plan, of="core2")[:2] == [("db-backup", "core2"), ("db-remove", "core2")]


def test_key_mismatch(cluster: Cluster) -> None:
    """A key that does not belong to the bound certificate is drift of its own."""
    cluster.held = cluster.wanted
    cluster.plan()
    core = cluster.fleet.server("core2")
    core.overrides["matches"] = {("db-s.key", "db-s.crt"): Known(value=False)}

    assert [drift.reason for drift in cluster.plan().plan.drift] == ["database-key-mismatch"]


def test_schema_error(cluster: Cluster) -> None:
    """An error about the schema is cleared and the schema upgraded on the primary; other errors are only told."""
    cluster.held = cluster.wanted
    cluster.changes["core2"] = lambda state: Known(replace(state, status="Error", error="Couldn't upgrade the schema"))
    plan = cluster.plan().plan
    cluster.changes["core2"] = lambda state: Known(replace(state, status="Error", error="disk full"))
    other = cluster.plan().plan

    assert kinds(plan)[:2] == [("db-clear-error", "core2"), ("db-upgrade-schema", "core1")]
    assert {kind for kind, _ in kinds(plan)[2:]} == {"db-prove"}
    assert (kinds(other), [drift.reason for drift in other.drift]) == ([], ["database-error"])


def test_due_without_newer(cluster: Cluster) -> None:
    """Due certificates without newer ones are drift without a step; expired ones are errors."""
    cluster.wanted = cluster.held
    plan = cluster.plan().plan
    late = make_plan(
        replace(cluster.fleet.desired(), databases=(cluster.database(),)),
        cluster.fleet.observed(),
        table=SERVICES,
        moment=MOMENT + timedelta(days=9),
        tool_version="0",
    ).plan

    assert {(drift.reason, drift.plannable) for drift in plan.drift} == {("expires-soon", False)}
    assert {(drift.reason, drift.severity) for drift in late.drift} == {("expired", "error")}
    assert plan.steps == late.steps == ()


def test_ignored_faults_take_no_cluster_down(cluster: Cluster) -> None:
    """What policy ignores of a cluster is shown with its reason, and no rebuild follows; other faults still count."""
    cluster.fleet.policy = Policy(ignore=(Ignore(reason="CHG-7", slot="database/*", until="2027-01-31"),))
    calm = cluster.plan().plan
    cluster.fleet.policy = Policy(ignore=(Ignore(reason="CHG-7", drift="database-client-differs"),))
    part = cluster.plan().plan

    assert (calm.steps, calm.refusals) == ((), ())
    assert {(drift.ignored, drift.ignored_until) for drift in calm.drift} == {("CHG-7", "2027-01-31")}
    assert kinds(part) == REBUILD
    assert {drift.reason for drift in part.drift if drift.ignored} == {"database-client-differs"}


def test_a_member_in_no_cluster_is_never_ignored(cluster: Cluster) -> None:
    """Others may wait for a member that has left, so it joins whatever policy ignores."""
    cluster.held = cluster.wanted
    cluster.standing.remove("core3")
    cluster.fleet.policy = Policy(ignore=(Ignore(reason="CHG-7"),))

    plan = cluster.plan().plan

    assert ("db-join", "core3") in kinds(plan)
    assert [(drift.reason, drift.ignored) for drift in plan.drift] == [("database-not-joined", None)]


def test_even_number(cluster: Cluster) -> None:
    """An even number of nodes is said."""
    cluster.held = cluster.wanted
    database = replace(cluster.database(), nodes=NODES[:2], clients=("core3", CLIENT))
    cluster.plan()
    plan = make_plan(
        replace(cluster.fleet.desired(), databases=(database,)),
        cluster.fleet.observed(),
        table=SERVICES,
        moment=MOMENT,
        tool_version="0",
    ).plan

    assert "database-size" in [notice.reason for notice in plan.notices]


def test_services_first(cluster: Cluster, new: Generation, aged: Generation) -> None:
    """A cluster is rebuilt after the services have changed, and old files go last; those in use stay."""
    core = cluster.fleet.server("core1")
    core.wanted["webadmin"] = identity("webadmin", new.material("node:core1"), new.corp)
    core.hold("webadmin", (aged.nodes["core1"].certificate,), bundle=aged.ca.bundle)
    core.files["dbclient-20250101-0000000a.crt"] = ()
    cluster.fleet.policy = Policy(keep_revisions=0, seconds={"database": 7})
    planned = cluster.plan()
    order = [step.action.kind for step in planned.plan.steps if step.disturbs or step.action.kind == "remove"]

    assert order[0] == "bind"
    assert order[-1] == "remove"
    assert {step.impact.seconds for step in planned.plan.steps if step.impact} == {7, 10}
    assert after(dict(cluster.fleet.observed()), planned)["core1"].database.kind == "known"


def test_nothing_is_removed_where_a_database_is_unread(cluster: Cluster, new: Generation) -> None:
    """Files of a member stay while its database cannot be looked at."""
    cluster.held = cluster.wanted
    core = cluster.fleet.server("core1")
    core.wanted["webadmin"] = identity("webadmin", new.material("node:core1"), new.corp)
    core.hold("webadmin", (new.nodes["core1"].certificate,), bundle=new.ca.bundle)
    core.files["node-20250101-0000000a.crt"] = ()
    cluster.fleet.policy = Policy(keep_revisions=0)
    cluster.changes["core1"] = lambda _: Unread("no answer")

    assert cluster.plan().plan.steps == ()
    desired, observed = cluster.fleet.desired(), cluster.fleet.observed()  # as with a selection without the database
    assert make_plan(desired, observed, table=SERVICES, moment=MOMENT, tool_version="0").plan.steps == ()


@pytest.mark.parametrize("shown", ["CORE1.example.com.", "2001:db8::1", "core1"])
def test_members_go_by_any_of_their_names(cluster: Cluster, shown: str) -> None:
    """Rows name members by address, IPv6 address or host name, in any spelling."""
    cluster.held = cluster.wanted
    shown_address = {ADDRESS["core1"]: shown}
    for name in (*NODES, CLIENT):
        cluster.changes[name] = lambda state: Known(
            replace(
                state,
                members=tuple(replace(r, address=shown_address.get(r.address, r.address)) for r in state.members),
            )
        )
    database = replace(cluster.fleet.desired().servers[0], database_address="2001:DB8:0::1")
    cluster.plan()
    desired = replace(cluster.fleet.desired(), databases=(cluster.database(),))
    desired = replace(desired, servers=(database, *desired.servers[1:]))

    plan = make_plan(desired, cluster.fleet.observed(), table=SERVICES, moment=MOMENT, tool_version="0").plan

    assert (plan.steps, plan.refusals) == ((), ())


def test_a_client_with_a_row_of_its_own(cluster: Cluster) -> None:
    """A client that shows itself without a role is neither a node nor out of sync."""
    cluster.held = cluster.wanted
    row = DatabaseMember(address=ADDRESS[CLIENT], me=True, connected=True)
    cluster.changes[CLIENT] = lambda state: Known(replace(state, members=(*state.members, row)))

    plan = cluster.plan().plan

    assert (plan.steps, plan.drift) == ((), ())
