"""Database material that the CA built into CMS makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from cmscert.model.database import DatabaseState
from cmscert.model.desired import Minting, Policy, WantedDatabase
from cmscert.model.plan import ConfigureDatabase, CopyFile, MintDatabase
from cmscert.model.readings import Known, Reading, Unread
from cmscert.testing.ca import Issued, ThrowAwayCa
from cmscert.testing.fleets import MOMENT, ToyFleet, identity

from .conftest import Generation
from .test_cluster import CLIENT, NODES, REBUILD, Cluster, kinds

MINTING = Minting(
    server="core1",
    ca="dbca",
    ca_common_name="example.com",
    server_certificate="dbserver",
    server_common_name="core1.example.com",
    server_sans=("core1.example.com",),
)


class Minted(Cluster):
    """A toy cluster whose material nobody has in files."""

    def database(self) -> WantedDatabase:
        """Return what is wanted."""
        return replace(super().database(), server={}, client={}, ca=None, minting=MINTING)


def issue(ca: ThrowAwayCa, days_left: int) -> dict[str, Issued]:
    """Issue material with that much of its life left."""
    period = {"not_before": MOMENT - timedelta(days=190), "not_after": MOMENT + timedelta(days=days_left)}
    return {
        "server": ca.issue("core1.example.com", sans=("core1.example.com",), **period),
        "client": ca.issue("postgres", **period),
    }


@pytest.fixture
def cluster() -> Minted:
    """A healthy live cluster on material of the CA built into CMS."""
    fleet = ToyFleet()
    for name in (*NODES, CLIENT):
        fleet.server(name)
    ca = ThrowAwayCa.root("example.com")
    held = issue(ca, 199)
    return Minted(ca=ca, wanted=held, held=held, fleet=fleet)


def test_healthy(cluster: Minted) -> None:
    """Any healthy material of one CA is as wanted."""
    plan = cluster.plan().plan

    assert (plan.steps, plan.drift, plan.refusals) == ((), (), ())


def test_due(cluster: Minted) -> None:
    """Due material is made anew on one node, copied to the others, checked everywhere, and the cluster is rebuilt."""
    cluster.held = issue(cluster.ca, 8)
    plan = cluster.plan().plan
    (made,) = [step for step in plan.steps if isinstance(step.action, MintDatabase)]
    copies = [(step.server, step.action.file) for step in plan.steps if isinstance(step.action, CopyFile)]

    assert {drift.reason for drift in plan.drift} == {"database-due"}
    assert made.server == "core1"
    assert copies[:5] == [
        ("core2", f"{name}-20261123.{ending}")
        for name, ending in (
            ("dbserver", "key"),
            ("dbserver", "crt"),
            ("dbclient", "key"),
            ("dbclient", "crt"),
            ("dbca", "crt"),
        )
    ]
    assert sum(server == CLIENT for server, _ in copies) == 3
    assert all(made.id in step.after for step in plan.steps if isinstance(step.action, CopyFile))
    assert kinds(plan)[1:] == REBUILD


def test_names_in_use_are_never_taken(cluster: Minted) -> None:
    """A basename that any member has in any form is passed over, for all three alike."""
    cluster.held = issue(cluster.ca, 8)
    cluster.fleet.server("core3").keys["dbclient-20261123.csr"] = ""
    cluster.fleet.server(CLIENT).keys["dbca-20261123-1.key"] = ""

    (made,) = [step.action for step in cluster.plan().plan.steps if isinstance(step.action, MintDatabase)]

    assert (made.ca, made.server, made.client) == ("dbca-20261123-2", "dbserver-20261123-2", "dbclient-20261123-2")


def test_first_build(cluster: Minted) -> None:
    """Without a cluster the material is made first."""
    cluster.standing = []

    plan = cluster.plan().plan

    assert kinds(plan)[0] == ("db-mint", "core1")
    assert ("db-initialize", "core1") in kinds(plan)


def test_one_node_joins(cluster: Minted) -> None:
    """A node that joins gets copies of what the primary stands on; nothing is made."""
    cluster.standing.remove("core3")
    plan = cluster.plan().plan
    copied = [(s.server, s.action.source, s.action.file) for s in plan.steps if isinstance(s.action, CopyFile)]
    (bound,) = [step.action for step in plan.steps if isinstance(step.action, ConfigureDatabase)]

    assert {(server, source) for server, source, _ in copied} == {("core3", "core1")}
    assert tuple(file for _, _, file in copied) == bound.files.names
    assert not any(isinstance(step.action, MintDatabase) for step in plan.steps)


def test_the_maker_is_unreadable(cluster: Minted) -> None:
    """Nothing is planned while the node that makes the material cannot be read."""
    cluster.primary = "core2"
    cluster.held = issue(cluster.ca, 8)
    cluster.changes["core1"] = lambda _: Unread("no answer")

    assert kinds(cluster.plan().plan) == []


def test_no_list_of_files(cluster: Minted) -> None:
    """A member whose store cannot be listed does not decide about names."""
    cluster.standing = []
    cluster.fleet.server("core2").overrides["files"] = Unread("no SFTP")

    assert kinds(cluster.plan().plan)[0] == ("db-mint", "core1")


Change = Callable[[Minted, DatabaseState], Reading[DatabaseState]]


def held_under(cluster: Minted, name: str, issued: Issued) -> None:
    """Put another certificate into the store of the second node."""
    cluster.fleet.server("core2").files[name] = (issued.certificate,)
    cluster.fleet.server("core2").keys[f"{name}.key"] = issued.certificate.spki_sha256


def other_ca(cluster: Minted, state: DatabaseState) -> Reading[DatabaseState]:
    """Stand on another CA."""
    held_under(cluster, "o.crt", ThrowAwayCa.root("other"))
    return Known(replace(state, files=replace(state.files, ca="o.crt")))


def other_client(cluster: Minted, state: DatabaseState) -> Reading[DatabaseState]:
    """Stand on the typo seen in the wild ([S32])."""
    held_under(cluster, "o.crt", cluster.ca.issue("postgrest", not_before=MOMENT))
    return Known(replace(state, files=replace(state.files, client_certificate="o.crt")))


def fewer_names(cluster: Minted, state: DatabaseState) -> Reading[DatabaseState]:
    """Stand on a server certificate without the declared name."""
    held_under(cluster, "o.crt", cluster.ca.issue("core2.example.com", sans=("core2.example.com",), not_before=MOMENT))
    return Known(replace(state, files=replace(state.files, server_certificate="o.crt")))


def nothing(_: Minted, state: DatabaseState) -> Reading[DatabaseState]:
    """Stand on no client certificate."""
    return Known(replace(state, files=replace(state.files, client_certificate=None)))


FAULTS: dict[str, tuple[Change, list[str]]] = {
    "another CA": (other_ca, ["database-ca-differs", "database-client-differs", "database-server-differs"]),
    "another common name": (other_client, ["database-client-differs"]),
    "a name less": (fewer_names, ["database-server-differs"]),
    "no certificate": (nothing, ["database-client-differs"]),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults(cluster: Minted, name: str) -> None:
    """A member on other material leaves and joins again with that of the primary."""
    change, reasons = FAULTS[name]
    cluster.changes["core2"] = lambda state: change(cluster, state)
    plan = cluster.plan().plan

    assert [(drift.server, drift.reason) for drift in plan.drift] == [("core2", reason) for reason in reasons]
    assert kinds(plan, of="core2")[:2] == [("db-backup", "core2"), ("db-remove", "core2")]


def test_files_of_the_built_in_ca_are_never_removed(cluster: Minted, new: Generation) -> None:
    """Only files that this tool put and named can go; what the node made itself stays."""
    core = cluster.fleet.server("core1")
    core.wanted["webadmin"] = identity("webadmin", new.material("node:core1"), new.corp)
    core.hold("webadmin", (new.nodes["core1"].certificate,), bundle=new.ca.bundle)
    core.files["dbclient-20250101.crt"] = ()
    cluster.fleet.policy = Policy(keep_revisions=0)

    assert cluster.plan().plan.steps == ()
