from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from cryptography import x509

from cmscert.cli.sketching import rewrite_inventory, sketch_of
from cmscert.errors import LabError
from cmscert.inventory.load import read_outline
from cmscert.lab.pki import World, make_material
from cmscert.lab.scenario import SCENARIOS, build
from cmscert.lab.sketch import AuthoritySketch, BundleSketch, CertificateSketch, DatabaseSketch, Sketch, SlotSketch

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
INVENTORIES = Path(__file__).parents[2] / "inventories"
FLEETS = ("cluster", "issued", "legacy-2.9", "single")


def sketch(fleet: str) -> Sketch:
    """An inventory of the repository in the lab's words."""
    return sketch_of(read_outline(INVENTORIES / f"{fleet}.yaml"))


def write(folder: Path, text: str) -> Path:
    """An inventory of a test."""
    path = folder / "inventory.yaml"
    path.write_text(text)
    return path


def slot(fleet: Sketch, server: str, name: str) -> SlotSketch:
    """One slot of a sketch."""
    return next(one for one in fleet.slots if (one.server, one.slot) == (server, name))


SMALL = """\
version: 1
fleet: small
ssh: {user: ops, password: {env: CMS_PASSWORD}, known_hosts: known_hosts, timeout: {answer: 3.10}}
bundles: {corp: [pki/issuing.crt, pki/root.crt]}
certificates:
  all: {common_name: a.example.com, chain: corp, key: {type: ec, bits: 384}, files: {certificate: a.crt, key: a.key}}
roles:
  core: {webadmin: {certificate: all, address: 192.0.2.7, port: 445}}
servers:
  a: &a
    address: 192.0.2.1
    fqdn: a.example.com
    release: 3.10
    roles: [core]
    ssh: {legacy: yes}
  b:
    <<: *a
    address: 192.0.2.2
    fqdn: b.example.com
    database_address: 192.0.2.99
    services: {callbridge: all, webbridge3: {https: {certificate: all, port: 443}}}
  c: {address: 192.0.2.3, fqdn: c.example.com, roles: [core]}
policy:
  ignore: [{reason: known, until: 2026-12-31}]
"""
IN_THE_LAB = {"a": ("127.0.0.1", 2201), "b": ("127.0.0.1", 2202), "c": ("127.0.0.1", 2203)}


def test_cluster_in_the_labs_words() -> None:
    """Six servers, one certificate per server where {name} stands, slots as the contract says which file they get."""
    fleet = sketch("cluster")

    assert [server.name for server in fleet.servers] == ["core1", "core2", "core3", "core4", "edge1", "edge2"]
    assert fleet.servers[4].address == "10.0.0.21"
    assert fleet.servers[4].release == "3.9"
    assert fleet.bundles[0] == BundleSketch(name="corp", paths=("pki/issuing-ca.crt", "pki/root-ca.crt"))
    assert fleet.certificate(("node", "edge1")) == CertificateSketch(
        name="node",
        server="edge1",
        common_name="edge1.example.com",
        sans=("edge1.example.com",),
        bundle="corp",
        certificate_path="pki/edge1.crt",
        key_path="pki/edge1.key",
    )
    assert fleet.certificate(("cluster", None)).sans[0] == "cms.example.com"
    assert fleet.certificate(("dbclient", None)).usage == "database-client"
    assert fleet.certificate(("dbserver", None)).usage == "database-server"
    assert fleet.databases == (
        DatabaseSketch(
            name="main",
            nodes=("core1", "core2", "core3"),
            clients=("core4",),
            primary="core1",
            server="dbserver",
            client="dbclient",
            ca="dbca",
        ),
    )
    assert slot(fleet, "core1", "callbridge") == SlotSketch(
        server="core1", slot="callbridge", certificate=("cluster", None), bundle="corp"
    )
    assert slot(fleet, "core1", "callbridge/trust-c2w").trust == ("corp",)
    assert slot(fleet, "edge1", "webbridge3/c2w") == SlotSketch(
        server="edge1", slot="webbridge3/c2w", certificate=("node", "edge1"), full_chain=True
    )
    assert fleet.known_hosts == ("known_hosts",)


def test_legacy_in_the_labs_words() -> None:
    """Pinned leaves, tags and slots without a bundle keep their meaning."""
    fleet = sketch("legacy-2.9")

    assert slot(fleet, "core1", "callbridge/trust-cluster").leaves_of == "callbridge"
    recorder = slot(fleet, "core1", "recorder")
    assert (recorder.full_chain, recorder.bundle) == (True, None)
    balancer = slot(fleet, "edge1", "loadbalancer")
    assert (balancer.tag, balancer.leaves_of, balancer.certificate) == ("edge", "callbridge", ("web", "edge1"))
    assert {server.release for server in fleet.servers} == {"2.9"}


def test_issued_in_the_labs_words() -> None:
    """What issuers provide has no files, and the local CA has its own."""
    fleet = sketch("issued")

    assert BundleSketch(name="dbca") in fleet.bundles
    assert all(certificate.certificate_path is None for certificate in fleet.certificates)
    assert fleet.authorities == (AuthoritySketch(certificate_path="pki/issuing-ca.crt", key_path="pki/issuing-ca.key"),)


@pytest.mark.judge("openssl")
def test_all_inventories_can_live_in_one_folder(tmp_path: Path) -> None:
    """Material for the four inventories is made in one folder, all of it stays valid, and a second round is idle."""
    for fleet in FLEETS:
        make_material(sketch(fleet), tmp_path, now=NOW, key_type="ec")
    for fleet in FLEETS:
        assert make_material(sketch(fleet), tmp_path, now=NOW, key_type="ec") == []

    verify = ["openssl", "verify", "-attime", str(int(NOW.timestamp()))]
    for fleet in FLEETS:
        outline = sketch(fleet)
        bundles = {bundle.name: bundle.paths for bundle in outline.bundles}
        for leaf in outline.certificates:
            if leaf.certificate_path is None or leaf.bundle is None:
                continue
            issuing, root = bundles[leaf.bundle][0], bundles[leaf.bundle][-1]
            answer = subprocess.run(
                [*verify, "-CAfile", root, "-untrusted", issuing, leaf.certificate_path],
                cwd=tmp_path,
                capture_output=True,
                check=False,
                text=True,
            )
            assert answer.returncode == 0, answer.stderr
            made = x509.load_pem_x509_certificate((tmp_path / leaf.certificate_path).read_bytes())
            if leaf.sans:
                san = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
                assert set(leaf.sans) <= {str(name.value) for name in san}


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("fleet", FLEETS)
def test_every_inventory_can_start_in_every_scenario(fleet: str, scenario: str) -> None:
    """Each server becomes a node with all services that the inventory names."""
    outline = sketch(fleet)

    made = build(outline, scenario=scenario, now=NOW, world=World.make(outline, now=NOW, key_type="ec"))

    for spec in made.specs:
        slots = {name for service in spec.services.values() for name in service.slots}
        assert slots == {one.slot for one in outline.slots if one.server == spec.name}
    assert bool(made.faults) == (scenario == "faults")


def test_the_demos_faults_are_one_a_node() -> None:
    """In the cluster every one of the six nodes has one of the six faults."""
    outline = sketch("cluster")

    faults = build(outline, scenario="faults", now=NOW, world=World.make(outline, now=NOW, key_type="ec")).faults

    assert {fault.server for fault in faults} == {server.name for server in outline.servers}
    assert {fault.kind for fault in faults} == {
        "trust-lacks-ca",
        "expires-soon",
        "not-loaded",
        "names-missing",
        "key-mismatch",
        "bundle-order",
    }


def test_what_is_left_open_gets_the_labs_choice(tmp_path: Path) -> None:
    """A release that is not said is the lab's, a declared key is made so, and the login's user is the node's."""
    fleet = sketch_of(read_outline(write(tmp_path, SMALL)))

    assert [server.release for server in fleet.servers] == ["3.10", "3.10", "3.9"]
    assert fleet.servers[0].user == "ops"
    assert (fleet.certificates[0].key_type, fleet.certificates[0].key_bits) == ("ec", 384)


@pytest.mark.parametrize("known_hosts", ["/etc/ssh/known_hosts", "../known_hosts"])
def test_paths_outside_of_the_folder_are_left_to_the_lab_to_refuse(tmp_path: Path, known_hosts: str) -> None:
    """Files elsewhere keep their absolute path, known_hosts elsewhere is nothing of the lab's."""
    (tmp_path / "in").mkdir()
    text = SMALL.replace("known_hosts: known_hosts", f"known_hosts: {known_hosts}")
    text += "issuers:\n  lab: {type: local_ca, certificate: lab.crt, key: {file: /elsewhere/lab.key}}\n"
    text += "  env: {type: local_ca, certificate: env.crt, key: {env: LAB_KEY}}\n"

    fleet = sketch_of(read_outline(write(tmp_path / "in", text)))

    assert fleet.known_hosts == ()
    assert fleet.authorities == (
        AuthoritySketch(certificate_path="lab.crt", key_path="/elsewhere/lab.key"),
        AuthoritySketch(certificate_path="env.crt", key_path="env.key"),
    )
    with pytest.raises(LabError, match="lies outside"):
        make_material(fleet, tmp_path / "in", now=NOW)


def test_a_rewritten_inventory_points_at_the_lab(tmp_path: Path) -> None:
    """Addresses and SSH ports are the lab's, the real address is that of the database, and logins stay."""
    path = write(tmp_path, rewrite_inventory(SMALL, IN_THE_LAB))

    outline = read_outline(path)

    assert [(one.address, one.login.port) for one in outline.servers] == list(IN_THE_LAB.values())
    assert [one.database_address for one in outline.servers] == ["192.0.2.1", "192.0.2.99", "192.0.2.3"]
    assert [one.login.legacy for one in outline.servers] == [True, True, False]
    assert {str(one.login.password) for one in outline.servers} == {"env: CMS_PASSWORD"}
    assert outline.servers[0].login.known_hosts == str(tmp_path / "known_hosts")
    assert all(one.address is None and one.port is None for server in outline.servers for one in server.slots)


def test_a_rewritten_inventory_stays_as_it_was_written() -> None:
    """Releases keep their zero, numbers and dates stay plain, order stays, and nothing is written by reference."""
    text = rewrite_inventory(SMALL, IN_THE_LAB)

    assert text.startswith("# Written by `cmscert lab up`")
    for line in ("version: 1\n", "release: 3.10\n", "until: 2026-12-31\n", "legacy: yes\n", "answer: 3.10\n"):
        assert line in text
    assert list(yaml.safe_load(text)) == list(yaml.safe_load(SMALL))
    assert "&" not in text
    assert "*" not in text


@pytest.mark.parametrize("fleet", FLEETS)
def test_all_inventories_can_be_rewritten(tmp_path: Path, fleet: str) -> None:
    """The four inventories, rewritten, are the same fleet but for addresses and ports."""
    text = (INVENTORIES / f"{fleet}.yaml").read_text()
    before = read_outline(INVENTORIES / f"{fleet}.yaml")
    servers = {server.name: ("127.0.0.1", 2200 + at) for at, server in enumerate(before.servers)}

    after = read_outline(write(tmp_path, rewrite_inventory(text, servers)))

    assert [(one.name, one.slots, one.release, one.fqdn) for one in after.servers] == [
        (one.name, one.slots, one.release, one.fqdn) for one in before.servers
    ]
    assert after.databases == before.databases
    assert after.policy == before.policy
    assert [one.database_address for one in after.servers] == [one.address for one in before.servers]


@pytest.mark.parametrize("path", ["/etc/ssh/known_hosts", "~/.ssh/known_hosts", "../known_hosts"])
def test_no_host_key_of_the_lab_gets_among_real_ones(path: str) -> None:
    """A known_hosts outside of the folder is replaced by one inside, for the fleet and for a single server."""
    text = SMALL.replace("known_hosts: known_hosts", f"known_hosts: {path}")
    text = text.replace("{legacy: yes}", f"{{known_hosts: {path}}}")

    rewritten = yaml.safe_load(rewrite_inventory(text, IN_THE_LAB))

    assert rewritten["ssh"]["known_hosts"] == "known_hosts"
    assert rewritten["servers"]["a"]["ssh"] == {"known_hosts": "known_hosts", "port": 2201}


def test_every_server_has_to_be_in_the_lab() -> None:
    """A server that is not simulated is named, and a text that is no inventory is refused."""
    with pytest.raises(LabError, match="b is not simulated"):
        rewrite_inventory(SMALL, {"a": ("127.0.0.1", 1)})
    with pytest.raises(LabError, match="not a mapping"):
        rewrite_inventory("[]", {})


def test_an_inventory_without_servers_stays_so() -> None:
    """Nothing to point at the lab is no error."""
    assert yaml.safe_load(rewrite_inventory("version: 1\n", {})) == {"version": 1, "roles": {}, "servers": {}}


def test_the_port_of_a_call_bridge_is_written_down() -> None:
    """The lab's call bridge ports are said in each server's own entry, whatever form the role has."""
    text = """
roles: {core: {callbridge: all}, edge: {turn: all}}
servers:
  a: {address: x, roles: [edge, core]}
  b: {address: y, services: {callbridge: {certificate: all, bundle: corp}}}
  c: {address: z, roles: [edge]}
"""
    places = dict.fromkeys("abc", ("127.0.0.1", 2200))

    servers = yaml.safe_load(rewrite_inventory(text, places, {"a": 1, "b": 2, "c": 3}))["servers"]

    assert servers["a"]["services"] == {"callbridge": {"certificate": "all", "port": 1}}
    assert servers["b"]["services"] == {"callbridge": {"certificate": "all", "bundle": "corp", "port": 2}}
    assert servers["c"]["services"] == {}
