from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from cmscert.model.desired import WantedIdentity, WantedTrust
from cmscert.pki.chain import ordered
from cmscert.pki.pem import to_pem
from cmscert.testing.inventories import SMALL, Folder

Shipped = Callable[[str], Folder]


def identity(folder: Folder, server: str, slot: str) -> WantedIdentity:
    """Return what is wanted in an identity slot."""
    wanted = folder.load().desired.server(server).slot(slot)
    assert isinstance(wanted, WantedIdentity)
    return wanted


def trust(folder: Folder, server: str, slot: str) -> WantedTrust:
    """Return what is wanted in a trust slot."""
    wanted = folder.load().desired.server(server).slot(slot)
    assert isinstance(wanted, WantedTrust)
    return wanted


@pytest.mark.parametrize(("name", "awaited"), [("cluster", 0), ("issued", 9), ("legacy-2.9", 0), ("single", 0)])
def test_the_shipped_inventories_load_offline(shipped: Shipped, name: str, awaited: int) -> None:
    """With fitting material none of the four has a fault or a warning; what issuers owe is awaited."""
    loaded = shipped(name).load()

    assert loaded.warnings == ()
    assert loaded.desired.unhandled == ()
    assert awaited == len(loaded.desired.awaited)
    assert set(loaded.logins) == {server.name for server in loaded.desired.servers}


def test_which_file_a_slot_gets(shipped: Shipped) -> None:
    """With a bundle the leaf alone and the bundle; where a full chain is needed, leaf, intermediates and root."""
    folder = shipped("cluster")
    corp = folder.cas["corp"].bundle
    webadmin, https = identity(folder, "edge1", "webadmin"), identity(folder, "edge1", "webbridge3/https")

    assert webadmin.file_certificates == (webadmin.material.leaf,)
    assert webadmin.bundle is not None
    assert (webadmin.bundle.name, webadmin.bundle.certificates) == ("corp", corp)
    assert https.file_certificates == (https.material.leaf, *corp)
    assert https.bundle is None
    assert https.material.declared == ("join.example.com", "edge1.example.com", "edge2.example.com")
    assert trust(folder, "core1", "callbridge/trust-c2w").bundle.certificates == corp


def test_a_slot_without_a_bundle_gets_the_full_chain(folder: Folder) -> None:
    """A webadmin without a bundle holds its chain in the certificate file."""
    folder.write(SMALL.replace("{certificate: node, bundle: corp}", "{certificate: node, address: a, port: 4}")).mint()
    wanted = identity(folder, "core1", "webadmin")

    assert wanted.file_certificates == (wanted.material.leaf, *folder.cas["corp"].bundle)
    assert (wanted.bundle, wanted.address, wanted.port) == (None, "a", 4)


def test_leaves_of_a_service(shipped: Shipped) -> None:
    """Pinned trust holds the leaf certificates of a service across the fleet; so does a load balancer's third file."""
    folder = shipped("legacy-2.9")
    leaf = identity(folder, "core1", "callbridge").material.leaf
    pinned = trust(folder, "edge1", "webbridge/trust")
    balancer = identity(folder, "edge1", "loadbalancer")

    assert (pinned.bundle.name, pinned.bundle.certificates, pinned.leaves_of) == (
        "callbridge-leaves",
        (leaf,),
        "callbridge",
    )
    assert balancer.bundle is not None
    assert balancer.bundle.certificates == (leaf,)
    assert (balancer.tag, len(balancer.file_certificates)) == ("edge", 3)
    assert balancer.material.naming == "new"
    assert identity(folder, "core1", "recorder").material.naming == "fixed"


def test_trust_in_several_bundles(folder: Folder) -> None:
    """A list of bundles becomes one bundle: each certificate once, in order, its name made of theirs."""
    text = SMALL.replace("  corp: [", "  other: [pki/other.crt, pki/root-ca.crt]\n  corp: [")
    text = text.replace("    webadmin:", "    callbridge: {trust: {c2w: [corp, other]}}\n    webadmin:")
    folder.write(text).mint()
    bundle = trust(folder, "core1", "callbridge/trust-c2w").bundle

    assert bundle.name == "corp-other"
    assert bundle.certificates == ordered({*folder.cas["corp"].bundle, *folder.cas["other"].bundle})
    assert len(bundle.certificates) == 3


def test_keys_are_known_by_their_public_half(small: Folder) -> None:
    """Keys are handed on beside the desired state, and neither shows them."""
    loaded = small.load()
    spki = identity(small, "core1", "webadmin").material.spki

    assert set(loaded.keys) == {wanted.material.spki for server in loaded.desired.servers for wanted in server.slots}  # type: ignore[union-attr]  # identity slots only
    assert loaded.keys[spki].spki_sha256 == spki
    assert "PRIVATE" not in repr(loaded)


def test_the_chain_may_come_with_the_certificate(folder: Folder) -> None:
    """Without ``chain`` the certificate's own file may hold the full chain, in any order."""
    folder.write(SMALL).mint()
    root = folder.cas["corp"].bundle[-1]
    for name in ("core1", "core2"):
        path = folder.path / f"pki/{name}.crt"
        path.write_bytes(to_pem([root]) + path.read_bytes() + folder.cas["corp"].certificate_pem)
    folder.write(SMALL.replace("    chain: corp\n", ""))
    wanted = identity(folder, "core1", "webadmin")

    assert wanted.material.leaf.common_name == "core1.example.com"
    assert wanted.material.chain == folder.cas["corp"].bundle


def test_the_digest_covers_inventory_and_public_material(
    small: Folder, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The same text and material give the same digest wherever they lie; a changed certificate, key or text another."""
    digest = small.load().desired.inventory_sha256
    elsewhere = Folder(tmp_path_factory.mktemp("elsewhere") / "deep")
    shutil.copytree(small.path, elsewhere.path)

    assert elsewhere.load().desired.inventory_sha256 == digest

    (elsewhere.path / "pki/core1.key").write_bytes((small.path / "pki/core1.key").read_bytes() + b"\n\n")
    assert elsewhere.load().desired.inventory_sha256 == digest

    small.reissue()
    changed = small.load().desired.inventory_sha256
    elsewhere.write(SMALL + "# a comment\n")
    assert len({digest, changed, elsewhere.load().desired.inventory_sha256}) == 3
