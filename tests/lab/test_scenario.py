from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from cmscert.errors import LabError
from cmscert.lab.fleet import LabFleet
from cmscert.lab.pki import World
from cmscert.lab.scenario import SCENARIOS, Scene, build
from cmscert.lab.sketch import BundleSketch, CertificateSketch, ServerSketch, Sketch, SlotSketch
from cmscert.lab.spec import NodeSpec

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CORP = BundleSketch(name="corp", paths=("pki/issuing-ca.crt", "pki/root-ca.crt"))
OWN_NAME = re.compile(r"-\d{8}-[0-9a-f]{8}\.(crt|key)$|-[0-9a-f]{8}\.crt$")

Held = tuple[bytes | None, bytes | None, bytes | None]


def certificate(name: str, server: str | None, common_name: str, *sans: str) -> CertificateSketch:
    """A certificate under corp with files of its own."""
    path = f"pki/{server or name}"
    return CertificateSketch(
        name=name,
        server=server,
        common_name=common_name,
        sans=(common_name, *sans),
        bundle="corp",
        certificate_path=f"{path}.crt",
        key_path=f"{path}.key",
    )


def cluster(cores: int = 4, edges: int = 2) -> Sketch:
    """Cores with call bridges, edges with web bridges and TURN; one certificate for all call bridges."""
    core_names, edge_names = ([f"{kind}{at + 1}" for at in range(n)] for kind, n in (("core", cores), ("edge", edges)))
    slots: list[SlotSketch] = []
    for name in core_names:
        slots += [
            SlotSketch(server=name, slot="webadmin", certificate=("node", name), bundle="corp"),
            SlotSketch(server=name, slot="callbridge", certificate=("cluster", None), bundle="corp"),
            SlotSketch(server=name, slot="callbridge/trust-c2w", trust=("corp",)),
            SlotSketch(server=name, slot="callbridge/trust-cluster", trust=("corp",)),
        ]
    for name in edge_names:
        slots += [
            SlotSketch(server=name, slot="webadmin", certificate=("node", name), bundle="corp"),
            SlotSketch(server=name, slot="webbridge3/https", certificate=("join", None), full_chain=True),
            SlotSketch(server=name, slot="webbridge3/c2w", certificate=("node", name), full_chain=True),
            SlotSketch(server=name, slot="webbridge3/trust-c2w", trust=("corp",)),
            SlotSketch(server=name, slot="turn", certificate=("join", None), bundle="corp"),
        ]
    return Sketch(
        bundles=(CORP,),
        certificates=(
            *(certificate("node", name, f"{name}.example.com") for name in (*core_names, *edge_names)),
            certificate("cluster", None, "cms.example.com", *(f"{name}.example.com" for name in core_names)),
            certificate("join", None, "join.example.com", *(f"{name}.example.com" for name in edge_names)),
        ),
        servers=tuple(
            ServerSketch(name=name, address=f"10.0.0.{at + 11}", fqdn=f"{name}.example.com")
            for at, name in enumerate((*core_names, *edge_names))
        ),
        slots=tuple(slots),
    )


def legacy() -> Sketch:
    """A 2.9 fleet: trust pins leaves, and a load balancer takes its trust as the third file."""
    return Sketch(
        bundles=(CORP,),
        certificates=(
            certificate("core", None, "cluster.example.com", "core1.example.com"),
            certificate("web", "edge1", "edge1.example.com", "join.example.com"),
        ),
        servers=(
            ServerSketch(name="core1", address="10.0.1.11", fqdn="core1.example.com", release="2.9", user="ops"),
            ServerSketch(name="edge1", address="10.0.1.21", fqdn="edge1.example.com", release="2.9"),
        ),
        slots=(
            SlotSketch(server="core1", slot="webadmin", certificate=("core", None), bundle="corp"),
            SlotSketch(server="core1", slot="callbridge", certificate=("core", None), bundle="corp"),
            SlotSketch(server="core1", slot="recorder", certificate=("core", None), full_chain=True),
            SlotSketch(server="core1", slot="recorder/trust", leaves_of="callbridge"),
            SlotSketch(server="edge1", slot="webbridge", certificate=("web", "edge1"), bundle="corp"),
            SlotSketch(
                server="edge1",
                slot="loadbalancer",
                certificate=("web", "edge1"),
                full_chain=True,
                leaves_of="callbridge",
                tag="edge",
            ),
        ),
    )


def single() -> Sketch:
    """One server, one certificate, one root."""
    return Sketch(
        bundles=(BundleSketch(name="corp", paths=("pki/root-ca.crt",)),),
        certificates=(certificate("all", None, "cms.example.com", "join.example.com"),),
        servers=(ServerSketch(name="cms", address="10.0.0.10", fqdn="cms.example.com", release="3.12"),),
        slots=(
            SlotSketch(server="cms", slot="webadmin", certificate=("all", None), bundle="corp"),
            SlotSketch(server="cms", slot="callbridge", certificate=("all", None), bundle="corp"),
            SlotSketch(server="cms", slot="callbridge/trust-c2w", trust=("corp",)),
            SlotSketch(server="cms", slot="webbridge3/https", certificate=("all", None), full_chain=True),
            SlotSketch(server="cms", slot="webbridge3/c2w", certificate=("all", None), full_chain=True),
            SlotSketch(server="cms", slot="webbridge3/trust-c2w", trust=("corp",)),
            SlotSketch(server="cms", slot="turn", certificate=("all", None), bundle="corp"),
        ),
    )


SKETCHES = {"cluster": cluster(), "legacy": legacy(), "single": single()}
WORLDS = {name: World.make(sketch, now=NOW, key_type="ec") for name, sketch in SKETCHES.items()}


def scene(fleet: str, scenario: str) -> Scene:
    """A scene of one of the fleets above."""
    return build(SKETCHES[fleet], scenario=scenario, now=NOW, world=WORLDS[fleet])


def place(sketch: Sketch, scenario: str) -> Scene:
    """A scene of another fleet."""
    return build(sketch, scenario=scenario, now=NOW, world=World.make(sketch, now=NOW, key_type="ec"))


def node(scene: Scene, server: str) -> NodeSpec:
    """One node of a scene."""
    return next(spec for spec in scene.specs if spec.name == server)


def held(scene: Scene, server: str, slot: str) -> Held:
    """Contents of what is bound to a slot: key, certificate file, bundle."""
    spec = node(scene, server)
    bound = spec.services[slot.partition("/")[0]].slots[slot]
    key, crt, bundle = (
        None if name is None else spec.files[name] for name in (bound.key, bound.certificate, bound.bundle)
    )
    return key, crt, bundle


def bound(scene: Scene) -> dict[tuple[str, str], Held]:
    """Everything that is bound in a scene, by server and slot."""
    return {
        (spec.name, slot): held(scene, spec.name, slot)
        for spec in scene.specs
        for service in spec.services.values()
        for slot in service.slots
    }


def loaded(scene: Scene) -> dict[tuple[str, str], tuple[bytes, bytes]]:
    """Every slot that has something else loaded than bound."""
    return {
        (spec.name, slot): pair
        for spec in scene.specs
        for service in spec.services.values()
        for slot, pair in service.loaded.items()
    }


def file(*certificates: x509.Certificate) -> bytes:
    """PEM blocks one after the other."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def leaf(content: bytes | None) -> x509.Certificate:
    """The first certificate of a file."""
    assert content is not None
    return x509.load_pem_x509_certificates(content)[0]


def fits(key: bytes | None, content: bytes | None) -> bool:
    """Whether a key belongs to the first certificate of a file."""
    assert key is not None
    return load_pem_private_key(key, None).public_key() == leaf(content).public_key()


def names(certificate: x509.Certificate) -> list[str]:
    """The SAN's entries as text."""
    return [
        str(name.value) for name in certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    ]


def found_in(scene: Scene) -> list[tuple[str, str, str]]:
    """The planted faults, short."""
    return [(fault.server, fault.slot, fault.kind) for fault in scene.faults]


@pytest.mark.parametrize("fleet", SKETCHES)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_bound_file_is_there(fleet: str, scenario: str) -> None:
    """Nodes have the files that are bound and no others, under names that the MMP takes and the tool never gives."""
    for spec in scene(fleet, scenario).specs:
        slots = [slot for service in spec.services.values() for slot in service.slots.values()]
        names_bound = {name for slot in slots for name in (slot.key, slot.certificate, slot.bundle) if name}
        assert names_bound == set(spec.files)
        for name in names_bound:
            assert re.fullmatch(r"[A-Za-z0-9_-]+\.(crt|key)", name)
            assert not OWN_NAME.search(name)


@pytest.mark.parametrize("fleet", SKETCHES)
def test_wanted_is_what_the_contract_says(fleet: str) -> None:
    """Slots with a bundle hold the leaf alone, the others leaf to root, and every key belongs to its certificate."""
    sketch, world = SKETCHES[fleet], WORLDS[fleet]
    corp = world.bundle("corp")
    for slot in sketch.slots:
        key, crt, bundle = held(scene(fleet, "wanted"), slot.server, slot.slot)
        if slot.certificate is None:
            assert (key, crt) == (None, None)
            assert bundle is not None
            continue
        identity = world.leaves[slot.certificate]
        assert fits(key, crt)
        assert crt == (file(identity.certificate, *corp) if slot.full_chain else file(identity.certificate))
        if slot.bundle:
            assert bundle == file(*corp)


def test_wanted_trust_holds_bundles_or_leaves() -> None:
    """A trust file holds its bundle, or the leaf certificates of a service, each once; a load balancer's too."""
    world = WORLDS["legacy"]
    callbridge = file(world.leaves["core", None].certificate)

    assert held(scene("cluster", "wanted"), "edge1", "webbridge3/trust-c2w")[2] == file(
        *WORLDS["cluster"].bundle("corp")
    )
    assert held(scene("legacy", "wanted"), "core1", "recorder/trust")[2] == callbridge
    assert held(scene("legacy", "wanted"), "edge1", "loadbalancer")[2] == callbridge
    assert node(scene("legacy", "wanted"), "edge1").services["loadbalancer"].slots["loadbalancer"].tag == "edge"


def test_leaves_of_may_name_a_slot() -> None:
    """``leaves_of: webbridge3/c2w`` takes the c2w certificates, not those that browsers see."""
    sketch = cluster(cores=1, edges=2)
    sketch = replace(
        sketch,
        slots=(*sketch.slots, SlotSketch(server="core1", slot="scheduler/trust-c2w", leaves_of="webbridge3/c2w")),
    )
    world = World.make(sketch, now=NOW, key_type="ec")

    made = build(sketch, scenario="wanted", now=NOW, world=world)

    leaves = [world.leaves["node", name].certificate for name in ("edge1", "edge2")]
    assert held(made, "core1", "scheduler/trust-c2w")[2] == file(*leaves)


def test_nodes_are_as_the_sketch_says() -> None:
    """Name, address, FQDN, release and user come from the sketch; services run and the system chooses ports."""
    spec = node(scene("legacy", "wanted"), "core1")

    assert (spec.name, spec.hostname, spec.address, spec.fqdn) == ("core1", "core1", "10.0.1.11", "core1.example.com")
    assert (spec.release, spec.user, spec.ssh_port) == ("2.9", "ops", 0)
    assert list(spec.services) == ["webadmin", "callbridge", "recorder"]
    assert all(service.enabled and not service.ports and not service.loaded for service in spec.services.values())


def test_material_is_what_the_inventory_names() -> None:
    """The material are all files of the world, with keys."""
    material = scene("single", "faults").material

    assert set(material) == {"pki/root-ca.crt", "pki/root-ca.key", "pki/all.crt", "pki/all.key"}
    assert fits(material["pki/all.key"], material["pki/all.crt"])


def test_aged_is_an_older_generation_of_the_same_ca() -> None:
    """Every leaf is another one with another key and 20 days left, from the same CA, under names with its year."""
    aged, world = scene("cluster", "aged"), WORLDS["cluster"]

    for (server, slot), (key, crt, bundle) in bound(aged).items():
        if crt is None:
            assert bundle == file(*world.bundle("corp"))
            continue
        old = leaf(crt)
        old.verify_directly_issued_by(world.bundle("corp")[0])
        assert old.not_valid_after_utc == NOW + timedelta(days=20)
        assert old.not_valid_after_utc - old.not_valid_before_utc == timedelta(days=90)
        assert fits(key, crt)
        assert not fits(key, held(scene("cluster", "wanted"), server, slot)[1])
    assert {"node-2025.crt", "cluster-2025.key"} <= set(node(aged, "core1").files)
    assert "node-2025-fullchain.crt" in node(aged, "edge1").files
    assert held(aged, "core1", "callbridge") == held(aged, "core4", "callbridge")


def test_aged_keeps_one_file_one_certificate() -> None:
    """Two certificates of the inventory with one file were one certificate before, too."""
    twin = replace(certificate("twin", None, "cms.example.com"), certificate_path="pki/all.crt", key_path="pki/all.key")
    sketch = single()
    slot = SlotSketch(server="cms", slot="recorder", certificate=("twin", None), full_chain=True)
    sketch = replace(sketch, certificates=(*sketch.certificates, twin), slots=(*sketch.slots, slot))

    aged = place(sketch, "aged")

    assert leaf(held(aged, "cms", "recorder")[1]) == leaf(held(aged, "cms", "webadmin")[1])


def test_new_ca_changes_trust_too() -> None:
    """Nothing on the nodes comes from the wanted CA: leaves, chains, bundles and trust are those of another one."""
    old, world = scene("cluster", "new-ca"), WORLDS["cluster"]
    wanted_cas = set(world.bundle("corp"))

    for _, crt, bundle in bound(old).values():
        for content in (crt, bundle):
            if content is not None:
                assert not wanted_cas & set(x509.load_pem_x509_certificates(content))
        if crt is not None and bundle is not None:
            issuing, root = x509.load_pem_x509_certificates(bundle)
            leaf(crt).verify_directly_issued_by(issuing)
            issuing.verify_directly_issued_by(root)
            assert leaf(crt).not_valid_after_utc == NOW + timedelta(days=20)
    trust = held(old, "edge1", "webbridge3/trust-c2w")[2]
    assert trust == held(old, "core1", "callbridge")[2]
    assert old.material == dict(world.material)


def test_new_ca_moves_pinned_leaves_too() -> None:
    """Trust that pins leaves holds the old leaves."""
    old = scene("legacy", "new-ca")

    assert held(old, "core1", "recorder/trust")[2] == held(old, "core1", "callbridge")[1]


def test_fresh_has_services_without_certificates() -> None:
    """Services are configured and stopped, nothing is bound, tags are set."""
    made = scene("legacy", "fresh")

    assert all(content == (None, None, None) for content in bound(made).values())
    assert not any(service.enabled for spec in made.specs for service in spec.services.values())
    assert node(made, "edge1").services["loadbalancer"].slots["loadbalancer"].tag == "edge"
    assert made.material
    assert made.faults == []


def test_faults_are_spread_over_the_cluster() -> None:
    """Six nodes have one fault each, and two calls choose the same places."""
    assert found_in(scene("cluster", "faults")) == [
        ("core4", "callbridge/trust-c2w", "trust-lacks-ca"),
        ("edge1", "webbridge3/c2w", "expires-soon"),
        ("edge2", "webbridge3/c2w", "not-loaded"),
        ("core1", "callbridge", "names-missing"),
        ("core2", "webadmin", "key-mismatch"),
        ("core3", "webadmin", "bundle-order"),
    ]
    assert scene("cluster", "faults").faults == scene("cluster", "faults").faults


@pytest.mark.parametrize("fleet", SKETCHES)
def test_faults_are_all_that_differs(fleet: str) -> None:
    """Every slot without a planted fault is as in ``wanted``, and every slot with one is not."""
    faulty, wanted = scene(fleet, "faults"), bound(scene(fleet, "wanted"))

    different = {place for place, content in bound(faulty).items() if content != wanted[place]} | set(loaded(faulty))

    assert different == {(fault.server, fault.slot) for fault in faulty.faults}
    assert len(different) == len(faulty.faults)


def test_each_fault_is_what_it_says() -> None:
    """The faults of the cluster, each looked at in the files."""
    faulty, world = scene("cluster", "faults"), WORLDS["cluster"]

    key, crt, _ = held(faulty, "edge1", "webbridge3/c2w")
    assert (leaf(crt).not_valid_after_utc - NOW).days == 8
    assert names(leaf(crt)) == ["edge1.example.com"]
    assert fits(key, crt)

    key, crt, _ = held(faulty, "core1", "callbridge")
    kept = ["cms.example.com", "core1.example.com", "core2.example.com", "core3.example.com"]
    assert names(leaf(crt)) == kept
    assert leaf(crt).not_valid_after_utc > NOW + timedelta(days=45)
    assert fits(key, crt)

    key, crt, _ = held(faulty, "core2", "webadmin")
    assert leaf(crt) == world.leaves["node", "core2"].certificate
    assert not fits(key, crt)
    assert fits(*loaded(faulty)["core2", "webadmin"])
    assert loaded(faulty)["core2", "webadmin"][1] == crt

    assert held(faulty, "core3", "webadmin")[2] == file(*reversed(world.bundle("corp")))

    served_key, served = loaded(faulty)["edge2", "webbridge3/c2w"]
    assert fits(served_key, served)
    assert leaf(served) != leaf(held(faulty, "edge2", "webbridge3/c2w")[1])
    assert names(leaf(served)) == ["edge2.example.com"]

    sentences = {fault.kind: fault.sentence for fault in faulty.faults}
    assert sentences["expires-soon"] == "the certificate expires in 8 days"
    assert sentences["names-missing"] == "the certificate lacks the name core4.example.com"


def test_other_services_of_a_server_keep_their_own_files() -> None:
    """A fault in one slot touches no other slot that holds the same certificate."""
    faulty, wanted = scene("cluster", "faults"), scene("cluster", "wanted")

    assert held(faulty, "edge1", "webadmin") == held(wanted, "edge1", "webadmin")
    assert held(faulty, "core2", "callbridge") == held(wanted, "core2", "callbridge")


def shown(scene: Scene, server: str) -> bytes:
    """The chain that a web bridge shows on C2W now."""
    pair = loaded(scene).get((server, "webbridge3/c2w"))
    content = pair[1] if pair else held(scene, server, "webbridge3/c2w")[1]
    assert content is not None
    return content


def openssl_accepts(folder: Path, trust: bytes | None, chain: bytes, purpose: str = "sslserver") -> bool:
    """What OpenSSL says to a peer that shows a chain, with a trust file."""
    assert trust is not None
    blocks = x509.load_pem_x509_certificates(chain)
    files = {"trust.pem": trust, "leaf.pem": file(blocks[0]), "chain.pem": chain}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    command: Sequence[str] = (
        *("openssl", "verify", "-no-CApath", "-no-CAstore", "-purpose", purpose, "-attime", str(int(NOW.timestamp()))),
        *("-CAfile", "trust.pem", "-untrusted", "chain.pem", "leaf.pem"),
    )
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0


@pytest.mark.judge("openssl")
@pytest.mark.parametrize(
    "sketch", [cluster(), cluster(cores=2, edges=4), single()], ids=["cluster", "many edges", "single"]
)
def test_c2w_works_until_certificates_change(tmp_path: Path, sketch: Sketch) -> None:
    """Every call bridge accepts every web bridge as it is loaded now; the one with the old trust refuses the wanted."""
    world = World.make(sketch, now=NOW, key_type="ec")
    faulty = build(sketch, scenario="faults", now=NOW, world=world)
    bridges = [slot.server for slot in sketch.slots if slot.slot == "callbridge/trust-c2w"]
    edges = [slot for slot in sketch.slots if slot.slot == "webbridge3/c2w"]

    for edge in edges:
        assert edge.certificate is not None
        wanted = world.leaves[edge.certificate].full_chain_pem
        for bridge in bridges:
            trust = held(faulty, bridge, "callbridge/trust-c2w")[2]
            assert openssl_accepts(tmp_path, trust, shown(faulty, edge.server))
            assert openssl_accepts(tmp_path, trust, wanted) == (bridge != bridges[-1])
        back = held(faulty, edge.server, "webbridge3/trust-c2w")[2]
        for bridge in bridges:
            crt = held(faulty, bridge, "callbridge")[1]
            assert crt is not None
            assert openssl_accepts(tmp_path, back, crt, purpose="sslclient")


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("fleet", SKETCHES)
async def test_nodes_work_as_they_start(fleet: str, scenario: str) -> None:
    """Started for real, every enabled service runs and every C2W link works, whatever faults are planted."""
    now = datetime.now(UTC)
    world = World.make(SKETCHES[fleet], now=now, key_type="ec")
    specs = build(SKETCHES[fleet], scenario=scenario, now=now, world=world).specs

    async with LabFleet(specs) as lab:
        await lab.settled()
        links = await lab.c2w_links()
        services = [(node, name, spec) for node in lab.nodes.values() for name, spec in node.spec.services.items()]
        assert {(node.name, name): node.up(name) for node, name, _ in services} == {
            (node.name, name): spec.enabled for node, name, spec in services
        }

    assert set(links.values()) <= {None}
    assert bool(links) == (fleet != "legacy" and scenario != "fresh")


def test_many_edges_all_keep_the_older_ca() -> None:
    """With more than two web bridges the others hold the old certificate too, and that is planted and said."""
    faulty = place(cluster(cores=2, edges=4), "faults")

    older = [fault for fault in faulty.faults if fault.kind == "older-ca"]
    assert [(fault.server, fault.slot) for fault in older] == [
        ("edge3", "webbridge3/c2w"),
        ("edge4", "webbridge3/c2w"),
    ]


def test_a_single_server_has_what_it_can_have() -> None:
    """One server gets one fault a slot; a bundle of one CA has no order."""
    assert found_in(scene("single", "faults")) == [
        ("cms", "callbridge/trust-c2w", "trust-lacks-ca"),
        ("cms", "webbridge3/c2w", "expires-soon"),
        ("cms", "webadmin", "names-missing"),
        ("cms", "callbridge", "key-mismatch"),
        ("cms", "webbridge3/https", "not-loaded"),
    ]


def test_pinned_leaves_stay() -> None:
    """Where peers pin a service's leaves, that service gets no other leaf: it would not work today."""
    assert found_in(scene("legacy", "faults")) == [
        ("core1", "webadmin", "names-missing"),
        ("edge1", "webbridge", "key-mismatch"),
        ("core1", "callbridge", "bundle-order"),
        ("core1", "recorder", "expires-soon"),
    ]


def test_no_c2w_fault_where_it_would_break_something() -> None:
    """C2W is left alone when trust pins leaves, when web bridges sign themselves, and when there is none."""
    pins = cluster(cores=1, edges=1)
    pins = replace(
        pins,
        slots=tuple(
            replace(slot, trust=(), leaves_of="webbridge3") if slot.slot == "callbridge/trust-c2w" else slot
            for slot in pins.slots
        ),
    )
    alone = cluster(cores=1, edges=1)
    alone = replace(
        alone,
        certificates=tuple(
            replace(leaf, bundle=None) if leaf.server == "edge1" else leaf for leaf in alone.certificates
        ),
    )
    for sketch in (pins, alone, Sketch()):
        assert all("c2w" not in fault.slot for fault in place(sketch, "faults").faults)


def test_no_spare_names_no_missing_name() -> None:
    """A fleet whose certificates have one name has none to lose."""
    sketch = single()
    sketch = replace(sketch, certificates=(certificate("all", None, "cms.example.com"),))

    assert "names-missing" not in {fault.kind for fault in place(sketch, "faults").faults}


def test_an_empty_fleet_has_no_faults() -> None:
    """Nothing to plant on is no error."""
    assert place(Sketch(), "faults") == ([], {}, [], [])


def test_ports_follow_the_first() -> None:
    """Node i listens from the first port + 100 i: SSH at 22 from there, a place for each slot, connecting ones none."""
    made = build(SKETCHES["cluster"], scenario="fresh", now=NOW, world=WORLDS["cluster"], base_port=20000)

    edge = node(made, "edge1")
    assert [spec.ssh_port for spec in made.specs] == [20022, 20122, 20222, 20322, 20422, 20522]
    assert edge.services["webbridge3"].ports == {"webbridge3/https": 20444, "webbridge3/c2w": 20460}
    every = [port for spec in made.specs for service in spec.services.values() for port in service.ports.values()]
    assert len(every) == len(set(every))


def test_ports_end_at_65535() -> None:
    """A fleet that does not fit below 65536 is refused."""
    with pytest.raises(LabError, match="need ports beyond 65535"):
        build(SKETCHES["cluster"], scenario="fresh", now=NOW, world=WORLDS["cluster"], base_port=65000)


def test_an_unknown_scenario_is_refused() -> None:
    """The message lists those that there are."""
    with pytest.raises(LabError, match="no scenario 'odd'") as caught:
        scene("single", "odd")
    assert caught.value.hint == "choose one of wanted, aged, new-ca, fresh, faults"


def test_names_that_clash_or_are_odd_become_others() -> None:
    """Two files of one name get two names, odd characters become hyphens, and 64 characters are enough."""
    long = "long." + "x" * 80
    sketch = replace(
        single(),
        certificates=(certificate("all", None, "cms.example.com"), certificate(long, None, "a.example.com")),
        bundles=(CORP, BundleSketch(name="corp ca", paths=("pki/c.crt",)), BundleSketch(name="corp-ca")),
        slots=(
            SlotSketch(server="cms", slot="webadmin", certificate=(long, None), full_chain=True),
            SlotSketch(server="cms", slot="callbridge", certificate=("all", None), bundle="corp ca"),
            SlotSketch(server="cms", slot="turn", certificate=("all", None), bundle="corp-ca"),
        ),
    )

    spec = node(place(sketch, "wanted"), "cms")

    assert {"corp-ca-ca.crt", "corp-ca-ca-2.crt"} <= set(spec.files)
    assert {len(name) for name in spec.files if name.startswith("long-x")} == {64}


def test_certificates_of_issuers_are_placed_too() -> None:
    """A certificate that an issuer will provide is on the nodes, but not among the files."""
    sketch = single()
    sketch = replace(
        sketch,
        certificates=(replace(sketch.certificates[0], certificate_path=None, key_path=None),),
        bundles=(BundleSketch(name="corp"),),
    )

    made = place(sketch, "aged")

    assert made.material == {}
    assert leaf(held(made, "cms", "webadmin")[1]).not_valid_after_utc == NOW + timedelta(days=20)
