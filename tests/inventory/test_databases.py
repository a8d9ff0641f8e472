from __future__ import annotations

import re
import shutil
from collections.abc import Callable

import pytest

from cmscert.model.desired import Minting, WantedDatabase
from cmscert.testing.ca import ThrowAwayCa
from cmscert.testing.inventories import SMALL, Folder

Shipped = Callable[[str], Folder]
CLUSTER = SMALL.replace(
    "roles:\n",
    """\
  dbserver: {common_name: "{fqdn}", chain: dbca, files: {certificate: "pki/s-{name}.crt", key: "pki/s-{name}.key"}}
  dbclient: {common_name: postgres, chain: dbca, files: {certificate: "pki/c-{name}.crt", key: "pki/c-{name}.key"}}
roles:
""",
    1,
).replace("  corp: [", "  dbca: [pki/db-issuing.crt, pki/db-root.crt]\n  corp: [")
CLUSTER += "databases: {main: {nodes: [core1], clients: [core2], primary: core1, interface: b, "
CLUSTER += "server: dbserver, client: dbclient, ca: dbca}}\n"


def database(folder: Folder) -> WantedDatabase:
    """Return the only database."""
    (found,) = folder.load().desired.databases
    return found


def replace(folder: Folder, name: str, ca: ThrowAwayCa, common_name: str, eku: tuple[str, ...] | None = None) -> None:
    """Put another certificate and key in a pair of files."""
    issued = ca.issue(common_name, eku=eku or ("serverAuth", "clientAuth"))
    (folder.path / f"pki/{name}.crt").write_bytes(issued.certificate_pem)
    (folder.path / f"pki/{name}.key").write_bytes(issued.key_pem)


def test_a_shared_pair_for_every_member(shipped: Shipped) -> None:
    """One server certificate for all nodes, one client certificate for every member, and the bundle of their CA."""
    folder = shipped("cluster")
    found, desired = database(folder), folder.load().desired

    assert (found.name, found.nodes, found.clients, found.primary, found.interface) == (
        "main",
        ("core1", "core2", "core3"),
        ("core4",),
        "core1",
        "a",
    )
    assert set(found.server) == {"core1", "core2", "core3"}
    assert set(found.client) == {"core1", "core2", "core3", "core4"}
    assert {one.certificate for one in found.server.values()} == {"dbserver"}
    assert {one.leaf.common_name for one in found.client.values()} == {"postgres"}
    assert (found.ca.name, found.ca.certificates) == ("dbca", folder.cas["dbca"].bundle)
    assert desired.unhandled == ()


def test_a_pair_of_its_own_for_every_member(folder: Folder) -> None:
    """Templates make one certificate per member: server certificates on nodes only, client certificates everywhere."""
    found = database(folder.write(CLUSTER).mint())

    assert found.interface == "b"
    assert {name: one.leaf.common_name for name, one in found.server.items()} == {"core1": "core1.example.com"}
    assert list(found.client) == ["core1", "core2"]
    assert found.client["core1"].leaf != found.client["core2"].leaf
    assert not (folder.path / "pki/s-core2.crt").exists()
    assert [one.common_name for one in found.ca.certificates] == ["Db Issuing", "Db Root"]


def test_keys_of_a_database_are_handed_on(folder: Folder) -> None:
    """The keys of a cluster are found by the public half that its material names."""
    loaded = folder.write(CLUSTER).mint().load()
    (found,) = loaded.desired.databases

    assert {one.spki for one in (*found.server.values(), *found.client.values())} <= set(loaded.keys)


def test_the_digest_covers_a_database(folder: Folder, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A changed certificate or CA of a database changes the inventory's digest."""
    folder.write(CLUSTER).mint()
    before = folder.load().desired.inventory_sha256
    replace(folder, "c-core2", folder.cas["dbca"], "postgres")
    after = folder.load().desired.inventory_sha256
    elsewhere = Folder(tmp_path_factory.mktemp("elsewhere") / "deep")
    shutil.copytree(folder.path, elsewhere.path)

    assert before != after == elsewhere.load().desired.inventory_sha256


@pytest.mark.parametrize(
    ("nodes", "said"), [(1, False), (2, True), (3, False), (4, True), (5, False), (6, True), (7, True)]
)
def test_how_many_nodes(folder: Folder, nodes: int, said: bool) -> None:  # noqa: FBT001 - a column
    """An even number of nodes, or more than five, is a warning at the nodes."""
    names = [f"n{number}" for number in range(nodes)]
    text = re.sub(r"  core2: .*\n", "", CLUSTER.replace("clients: [core2], ", ""))
    text = text.replace("nodes: [core1], primary: core1", f"nodes: [{', '.join(names)}], primary: n0")
    servers = "".join(f"  {name}: {{address: {name}, fqdn: {name}.example.com}}\n" for name in names)
    warnings = folder.write(text.replace("servers:\n", f"servers:\n{servers}")).mint().load().warnings

    assert [(one.reason, one.path, one.severity) for one in warnings] == (
        [("database-size", "databases.main.nodes", "warning")] if said else []
    )
    assert all(one.message == f"{nodes} nodes: an odd number, three or five, is recommended" for one in warnings)


def test_a_typo_seen_in_the_wild(folder: Folder) -> None:
    """A client certificate for ``postgrest`` is refused: for what it says, and for what the inventory declares."""
    folder.write(CLUSTER).mint()
    replace(folder, "c-core1", folder.cas["dbca"], "postgrest")
    faults = folder.faults(material=True)

    assert {fault.reason for fault in faults} == {"database-client-cn", "names-missing"}
    assert any("must be postgres, it is postgrest, for databases.main client on core1" in str(one) for one in faults)

    folder.write(CLUSTER.replace("common_name: postgres,", "common_name: postgrest,"))
    assert "certificates.dbclient.common_name" in {fault.path for fault in folder.faults(material=True)}


def test_everything_above_must_stand_in_the_ca(folder: Folder) -> None:
    """A server gets the leaf alone, so a chain that only ``chain`` or its file completes is broken."""
    folder.write(CLUSTER).mint()
    text = CLUSTER.replace("  dbca: [", "  top: [pki/db-root.crt]\n  dbca: [").replace("ca: dbca", "ca: top")

    assert {(fault.reason, fault.path) for fault in folder.write(text).faults(material=True)} == {
        ("chain-broken", "certificates.dbserver"),
        ("chain-broken", "certificates.dbclient"),
    }


def test_one_ca_above_both(folder: Folder) -> None:
    """A bundle of two CAs verifies both certificates, and is refused all the same."""
    folder.write(CLUSTER).mint()
    other = ThrowAwayCa.root("Other")
    (folder.path / "pki/other.crt").write_bytes(other.certificate_pem)
    for name in ("core1", "core2"):
        replace(folder, f"c-{name}", other, "postgres")
    text = CLUSTER.replace("db-root.crt]", "db-root.crt, pki/other.crt]")
    (fault,) = folder.write(text).faults(material=True)

    assert (fault.reason, fault.path) == ("database-two-cas", "databases.main.ca")
    assert fault.message == (
        "one CA must be above every certificate of a database cluster: "
        "dbserver is under CN=Db Root, dbclient is under CN=Other"
    )


def test_usages_are_graded_as_inferred(folder: Folder) -> None:
    """A client certificate without clientAuth, or a server certificate without serverAuth, is a warning."""
    folder.write(CLUSTER).mint()
    replace(folder, "c-core1", folder.cas["dbca"], "postgres", ("serverAuth",))
    replace(folder, "s-core1", folder.cas["dbca"], "core1.example.com", ("clientAuth",))

    assert [(one.reason, one.severity, one.path) for one in folder.load().warnings] == [
        ("eku-missing", "warning", "certificates.dbserver"),
        ("eku-missing", "warning", "certificates.dbclient"),
    ]


def test_a_key_of_another_database_certificate(folder: Folder) -> None:
    """Keys of databases must fit like any other."""
    folder.write(CLUSTER).mint()
    (folder.path / "pki/s-core1.key").write_bytes((folder.path / "pki/c-core1.key").read_bytes())

    assert {"key-mismatch"} == {fault.reason for fault in folder.faults(material=True)}


def test_a_ca_that_cannot_be_read_makes_no_followers(folder: Folder) -> None:
    """When the bundle of a database is missing, its chains are not called broken."""
    folder.write(CLUSTER).mint()
    (folder.path / "pki/db-root.crt").unlink()

    assert [fault.reason for fault in folder.faults(material=True)] == ["unreadable-file"]


def test_the_ca_built_into_cms(shipped: Shipped) -> None:
    """A cluster whose material the CA built into CMS makes is wanted without files; what it makes is said."""
    (found,) = shipped("issued").load().desired.databases

    assert (found.ca, found.server, found.client) == (None, {}, {})
    assert found.minting == Minting(
        server="core1",
        ca="dbca",
        ca_common_name="example.com",
        server_certificate="dbserver",
        server_common_name="core1.example.com",
        server_sans=("core1.example.com", "core2.example.com", "core3.example.com"),
        client_certificate="dbclient",
    )


def test_the_ca_built_into_cms_on_a_stranger(shipped: Shipped) -> None:
    """The server that makes the material is a node of the cluster."""
    folder = shipped("issued")
    text = folder.inventory.read_text().replace("type: cms_ca, server: core1", "type: cms_ca, server: edge1")

    assert "database-maker" in [fault.reason for fault in folder.write(text).faults()]


def test_the_ca_built_into_cms_makes_one_pair(shipped: Shipped) -> None:
    """Material that is made once cannot differ by server."""
    folder = shipped("issued")
    text = folder.inventory.read_text().replace(
        "dbserver: {common_name: core1.example.com, sans: [{fqdns_of: core}]", 'dbserver: {common_name: "{fqdn}"'
    )

    assert "database-shared" in [fault.reason for fault in folder.write(text).faults()]


def test_material_that_is_partly_issued(folder: Folder) -> None:
    """One certificate that an issuer owes holds the whole cluster up."""
    text = CLUSTER.replace(
        'chain: dbca, files: {certificate: "pki/s-{name}.crt", key: "pki/s-{name}.key"}', "chain: dbca, issuer: lab"
    )
    text += "issuers: {lab: {type: local_ca, certificate: pki/ca.crt, key: {file: ca.key}}}\n"
    desired = folder.write(text).mint().load().desired

    assert desired.databases == ()
    assert [(one.slot, one.certificate) for one in desired.awaited] == [("database/main", "dbserver")]


def test_material_that_the_built_in_ca_makes_in_part(folder: Folder) -> None:
    """A cluster of which the CA built into CMS makes one certificate only is left alone, and that is said."""
    text = CLUSTER.replace(
        'chain: dbca, files: {certificate: "pki/s-{name}.crt", key: "pki/s-{name}.key"}', "chain: dbca, issuer: own"
    ).replace("{fqdn}", "db.example.com")
    text += "issuers: {own: {type: cms_ca, server: core1, basename: dbca, common_name: example.com}}\n"
    desired = folder.write(text).mint().load().desired

    assert desired.databases == ()
    assert [one.path for one in desired.unhandled] == ["databases.main"]
    assert "certificate dbserver: made by the CA built into CMS" in desired.unhandled[0].message
