"""Scenarios start with their database clusters standing, on certificates of the scenario's kind."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from cmscert.lab.fleet import LabFleet
from cmscert.lab.pki import World
from cmscert.lab.scenario import Scene, build
from cmscert.lab.sketch import BundleSketch, CertificateSketch, DatabaseSketch, ServerSketch, Sketch
from cmscert.lab.spec import DatabaseSpec, NodeSpec
from cmscert.lab.standing import ROWS

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def _certificate(name: str, common_name: str, server: str | None = None) -> CertificateSketch:
    return CertificateSketch(name=name, server=server, common_name=common_name, bundle="dbca")


SERVERS = ("core1", "core2", "core3", "core4")
SKETCH = Sketch(
    bundles=(BundleSketch(name="dbca", paths=("pki/dbca.crt",)),),
    certificates=(
        *(_certificate("dbserver", f"{name}.example.com", name) for name in SERVERS[:3]),
        _certificate("dbclient", "postgres"),
    ),
    servers=tuple(
        ServerSketch(
            name=name,
            address=f"10.0.0.1{number}",
            fqdn=f"{name}.example.com",
            database_address="10.9.0.12" if number == 2 else None,
        )
        for number, name in enumerate(SERVERS, 1)
    ),
    databases=(
        DatabaseSketch(
            name="main",
            nodes=SERVERS[:3],
            clients=SERVERS[3:],
            primary="core2",
            interface="b",
            server="dbserver",
            client="dbclient",
            ca="dbca",
        ),
    ),
)
WORLD = World.make(SKETCH, now=NOW, key_type="ec")


def scene(name: str) -> Scene:
    """A scene of the fleet above."""
    return build(SKETCH, scenario=name, now=NOW, world=WORLD)


def database(scene: Scene, server: str) -> tuple[NodeSpec, DatabaseSpec]:
    """A node of a scene, and its database."""
    spec = next(spec for spec in scene.specs if spec.name == server)
    return spec, spec.database


def certificates(scene: Scene, server: str) -> list[x509.Certificate]:
    """The certificates that a node's database has, without the CA's."""
    spec, held = database(scene, server)
    return [x509.load_pem_x509_certificate(spec.files[name]) for name in held.files[:-1] if name.endswith(".crt")]


@pytest.mark.parametrize("name", ["wanted", "aged", "new-ca", "faults"])
def test_the_cluster_stands(name: str) -> None:
    """The inventory's primary has its replicas in sync and its client connected, on files that work."""
    fleet = LabFleet(scene(name).specs, clock=lambda: NOW)
    (cluster,) = fleet.database.clusters()
    assert (cluster.primary, cluster.in_sync, cluster.clients) == ("core2", ("core1", "core3"), ("core4",))
    assert fleet.database.rows_of_truth() == set(ROWS)
    for server in SERVERS:
        _, held = database(scene(name), server)
        assert held.interface == "b"
        assert len(held.files) == (3 if server == "core4" else 5)
    assert database(scene(name), "core1")[1].last == ("database cluster join 10.9.0.12", "Success")
    assert database(scene(name), "core2")[1].last == ("database cluster initialize", "Success")
    assert database(scene(name), "core4")[1].last == ("database cluster connect 10.9.0.12", "Success")


def test_wanted_is_what_the_inventory_names() -> None:
    """The leaves are those of the material; a certificate per server goes to its server."""
    for server in SERVERS[:3]:
        own, client = certificates(scene("wanted"), server)
        assert own == WORLD.leaves["dbserver", server].certificate
        assert client == WORLD.leaves["dbclient", None].certificate


@pytest.mark.parametrize(("name", "left"), [("aged", timedelta(days=20)), ("faults", timedelta(days=8, hours=1))])
def test_old_certificates_of_the_same_ca(name: str, left: timedelta) -> None:
    """They expire soon; the CA file is the wanted one."""
    made = scene(name)
    for server in SERVERS:
        spec, held = database(made, server)
        assert x509.load_pem_x509_certificate(spec.files[held.files[-1]]) == WORLD.bundle("dbca")[0]
        for certificate in certificates(made, server):
            certificate.verify_directly_issued_by(WORLD.bundle("dbca")[0])
            assert certificate.not_valid_after_utc == NOW + left


def test_faults_of_databases_stand_apart() -> None:
    """Every member has one, told in a list of its own; no other scenario has any."""
    made = scene("faults")
    assert made.faults == []
    assert [(fault.server, fault.slot, fault.kind) for fault in made.database_faults] == [
        (server, "database", "expires-soon") for server in ("core2", "core1", "core3", "core4")
    ]
    assert "8 days" in made.database_faults[0].sentence
    assert all(scene(name).database_faults == [] for name in ("wanted", "aged", "new-ca", "fresh"))


def test_new_ca() -> None:
    """The CA of the databases is another one too."""
    spec, held = database(scene("new-ca"), "core1")
    assert x509.load_pem_x509_certificate(spec.files[held.files[-1]]) != WORLD.bundle("dbca")[0]


def test_fresh_has_rows_but_no_cluster() -> None:
    """The primary to be has the rows that count, the others have some of their own; nothing is configured."""
    made = scene("fresh")
    assert LabFleet(made.specs).database.clusters() == ()
    assert database(made, "core2")[1] == DatabaseSpec(rows=ROWS)
    assert database(made, "core1")[1] == DatabaseSpec(rows=("core1-001",))


def test_files_are_those_that_are_bound() -> None:
    """Of the files that were put, only those of the cluster as it stands are left."""
    for name in ("wanted", "faults"):
        for spec in scene(name).specs:
            assert set(spec.files) == set(spec.database.files)


def test_a_shared_certificate() -> None:
    """A server certificate that all nodes share is one file on each of them."""
    shared = replace(
        SKETCH, certificates=(_certificate("dbserver", "core1.example.com"), _certificate("dbclient", "postgres"))
    )
    made = build(shared, scenario="wanted", now=NOW, world=World.make(shared, now=NOW, key_type="ec"))
    assert certificates(made, "core1") == certificates(made, "core3")
