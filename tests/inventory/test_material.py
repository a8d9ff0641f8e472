from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from cmscert.errors import InputError
from cmscert.inventory.load import load
from cmscert.testing.ca import AT, YEAR, ThrowAwayCa, self_signed
from cmscert.testing.inventories import NOW, SMALL, Folder

Shipped = Callable[[str], Folder]
TWO_SLOTS = SMALL.replace(
    "    webadmin:", "    webbridge3: {https: node, c2w: {certificate: node, trust: corp}}\n    webadmin:"
)


def test_a_key_of_another_certificate(small: Folder) -> None:
    """A key that does not fit is an error at the certificate's entry, naming the file and where it is used."""
    (small.path / "pki/core1.key").write_bytes((small.path / "pki/core2.key").read_bytes())
    fault = small.fault(material=True)

    assert (fault.reason, fault.line, fault.column, fault.path) == ("key-mismatch", 7, 3, "certificates.node")
    assert fault.message == (
        f"{small.path}/pki/core1.crt: the private key does not belong to the certificate core1.example.com, "
        "for webadmin on core1"
    )


@pytest.mark.parametrize(
    ("wishes", "reason"),
    [
        ({"not_before": AT - YEAR, "not_after": NOW - timedelta(days=1)}, "expired"),
        ({"not_before": NOW + timedelta(days=1)}, "not-yet-valid"),
        ({"sans": ("other.example.com",)}, "san-lacks-cn"),
    ],
)
def test_certificates_that_are_wrong_in_themselves(small: Folder, wishes: dict[str, object], reason: str) -> None:
    """Dates and names are checked against the moment and the inventory."""
    small.reissue(**wishes)

    assert reason in {fault.reason for fault in small.faults(material=True)}


def test_names_that_are_declared_and_not_there(small: Folder) -> None:
    """A name that the inventory declares must be in the certificate."""
    small.write(SMALL.replace('sans: ["{fqdn}"]', 'sans: ["{fqdn}", join.example.com]'))
    faults = small.faults(material=True)

    assert {"names-missing"} == {fault.reason for fault in faults}
    assert "does not cover join.example.com" in faults[0].message


def test_a_certificate_of_another_ca(small: Folder) -> None:
    """A certificate that its bundle does not verify is an error."""
    name = "core1.example.com"
    small.replace(ThrowAwayCa.root("Stranger").issue(name, (name,)))

    assert {"chain-broken"} == {fault.reason for fault in small.faults(material=True)}


def test_half_a_chain(folder: Folder) -> None:
    """A slot that needs the full chain refuses a certificate whose chain does not reach a root."""
    folder.write(TWO_SLOTS).mint()
    folder.write(TWO_SLOTS.replace("    chain: corp\n", ""))
    faults = [fault for fault in folder.faults(material=True) if fault.reason == "full-chain-missing"]

    assert {"certificates.node"} == {fault.path for fault in faults}
    assert "webbridge3/https needs the full chain, root last, and it ends before CN=Issuing Ca" in faults[0].message
    assert faults[0].message.endswith("name its bundle as chain, for webbridge3/https on core1")


def test_a_self_signed_certificate_is_its_own_chain(folder: Folder) -> None:
    """A self-signed certificate needs no bundle, not even for a full chain; that it lacks an EKU is a warning."""
    text = TWO_SLOTS.replace("    chain: corp\n", "").replace(", bundle: corp", "")
    folder.write(TWO_SLOTS).mint()
    for name in ("core1", "core2"):
        folder.replace(self_signed(f"{name}.example.com", (f"{name}.example.com",)), name)

    assert {"eku-missing"} == {fault.reason for fault in folder.write(text).load().warnings}


def test_what_is_only_inferred_is_a_warning(folder: Folder) -> None:
    """A missing client usage is a warning at the certificate; the strict profile makes it an error."""
    folder.write(TWO_SLOTS).mint()
    folder.reissue(eku=("serverAuth",))
    warnings = folder.load().warnings

    assert [(one.reason, one.severity, one.path) for one in warnings] == [
        ("eku-missing", "warning", "certificates.node")
    ]
    assert "lacks the extended key usage clientAuth, for webbridge3/c2w on core1" in warnings[0].message

    folder.write(TWO_SLOTS + "policy: {profile: strict}\n")
    assert {("eku-missing", "error")} == {(one.reason, one.severity) for one in folder.faults(material=True)}


def test_one_finding_for_many_servers(folder: Folder) -> None:
    """A finding of a shared certificate is said once, with the number of places."""
    text = SMALL.replace('"{fqdn}"', "shared.example.com").replace("{name}", "shared")
    folder.write(text).mint()
    with pytest.raises(InputError) as caught:
        load(folder.inventory, now=NOW + 40 * YEAR)
    expired = [fault for fault in caught.value.faults if fault.reason == "expired"]

    assert len(expired) == 1
    assert expired[0].message.endswith("for webadmin on core1 and 1 more")


def test_a_slot_reached_by_the_servers_name(folder: Folder) -> None:
    """A webadmin certificate that does not cover the server's own name is a warning for each server."""
    text = SMALL.replace('"{fqdn}"', "shared.example.com").replace("{name}", "shared")
    warnings = folder.write(text).mint().load().warnings

    assert {"fqdn-missing"} == {one.reason for one in warnings}
    assert len(warnings) == 2


def test_an_unused_certificate_is_a_warning(small: Folder) -> None:
    """A certificate that nothing uses is said, and its files need not be there."""
    text = SMALL.replace("roles:", "  spare: {common_name: a, files: {certificate: a.crt, key: a.key}}\nroles:", 1)
    (warning,) = small.write(text).load().warnings

    assert str(warning) == f"{small.inventory}:12:3: certificates.spare: is used by no slot and no database"


@pytest.mark.parametrize(
    ("spec", "said"), [("type: rsa", "ec 256, declared is rsa 256"), ("bits: 384", "ec 256, declared is ec 384")]
)
def test_a_key_that_is_not_as_declared(small: Folder, spec: str, said: str) -> None:
    """Kind and size of a key must agree with what the inventory declares."""
    faults = small.write(SMALL.replace("    chain: corp", f"    chain: corp\n    key: {{{spec}}}")).faults(
        material=True
    )

    assert {"key-differs"} == {fault.reason for fault in faults}
    assert said in faults[0].message


def test_bundles_are_checked(small: Folder) -> None:
    """Order, duplicates, missing roots and expired members of a bundle are faults of its entry."""

    def reasons(text: str) -> set[tuple[str, str | None]]:
        return {(fault.reason, fault.path) for fault in small.write(text).faults(material=True)}

    swapped = SMALL.replace("[pki/issuing-ca.crt, pki/root-ca.crt]", "[pki/root-ca.crt, pki/issuing-ca.crt]")
    rootless = SMALL.replace("[pki/issuing-ca.crt, pki/root-ca.crt]", "[pki/issuing-ca.crt]")
    twice = SMALL.replace("pki/root-ca.crt]", "pki/root-ca.crt, pki/root-ca.crt]")

    assert ("bundle-order", "bundles.corp") in reasons(swapped)
    assert ("bundle-no-root", "bundles.corp") in reasons(rootless)
    assert {("bundle-duplicate", "bundles.corp")} == {
        (one.reason, one.path) for one in small.write(twice).load().warnings
    }


def test_leaves_are_fine_in_trust_and_odd_in_a_ca_bundle(small: Folder) -> None:
    """A bundle that only trust uses may hold leaf certificates; one that services verify to should not."""
    text = SMALL.replace("  corp: [", "  peers: [pki/core2.crt]\n  corp: [")
    peers = text.replace("    webadmin:", "    callbridge: {trust: {c2w: peers}}\n    webadmin:")
    both = text.replace("corp: [", "corp: [pki/core2.crt, ")

    assert small.write(peers).load().warnings == ()
    assert {"bundle-leaf"} == {one.reason for one in small.write(both).load().warnings if one.path == "bundles.corp"}


def test_database_material_is_checked(shipped: Shipped) -> None:
    """A database client certificate is for postgres and nothing else; the chain must lead to the database's CA."""
    folder = shipped("cluster")
    wrong = folder.cas["corp"].issue("postgrest")
    (folder.path / "pki/dbclient.crt").write_bytes(wrong.certificate_pem)
    (folder.path / "pki/dbclient.key").write_bytes(wrong.key_pem)
    faults = folder.faults(material=True)

    assert {"database-client-cn", "chain-broken", "names-missing"} == {fault.reason for fault in faults}
    assert {"certificates.dbclient"} == {fault.path for fault in faults}
    assert "for databases.main client on core1 and 3 more" in faults[0].message


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("missing", "pki/core1.crt: no such file"),
        ("directory", "pki/core1.crt: is a directory, not a file"),
        ("huge", "pki/core1.crt: is 2 MB large, more than the 1 MB that are read"),
        ("empty", "pki/core1.crt: the file is empty"),
        (
            "key",
            "pki/core1.crt:1: the file holds a private key, not a certificate (name the file with the certificate)",
        ),
        ("half", "pki/core1.crt:1: "),
    ],
)
def test_a_certificate_file_that_is_none(small: Folder, kind: str, said: str) -> None:
    """Each way to be no certificate is one fault of the inventory's entry, with the file's name and what to do."""
    path = small.path / "pki/core1.crt"
    content = path.read_bytes()
    path.unlink()
    if kind == "directory":
        path.mkdir()
    elif kind == "huge":
        with path.open("wb") as stream:
            stream.truncate(2_000_000)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "key":
        path.write_bytes((small.path / "pki/core1.key").read_bytes())
    elif kind == "half":
        path.write_bytes(content[: len(content) // 2])
    fault = small.fault(material=True)

    assert (fault.line, fault.column, fault.path) == (11, 26, "certificates.node.files.certificate")
    assert fault.message.startswith(f"{small.path}/{said}")


def test_a_key_file_that_is_none(small: Folder) -> None:
    """A certificate in place of a key is a fault of the key's entry; a missing one, too."""
    (small.path / "pki/core1.key").write_bytes((small.path / "pki/core1.crt").read_bytes())
    (small.path / "pki/core2.key").unlink()
    faults = small.faults(material=True)

    assert {"certificate-not-key", "unreadable-file"} == {fault.reason for fault in faults}
    assert {"certificates.node.files.key"} == {fault.path for fault in faults}


def test_a_missing_bundle_makes_no_followers(small: Folder) -> None:
    """When a bundle cannot be read, chains that lead to it are not called broken; other findings still come."""
    (small.path / "pki/issuing-ca.crt").unlink()
    (small.path / "pki/core1.key").write_bytes((small.path / "pki/core2.key").read_bytes())

    assert [fault.reason for fault in small.faults(material=True)] == ["unreadable-file", "key-mismatch"]


def test_a_symbolic_link_out_of_the_folder(small: Folder, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A file or folder that is a link to outside is refused, and not read; a link inside is fine."""
    outside = tmp_path_factory.mktemp("outside")
    shutil.move(small.path / "pki/core1.key", outside / "core1.key")
    (small.path / "pki/core1.key").symlink_to(outside / "core1.key")
    shutil.move(small.path / "pki/core2.key", small.path / "inside.key")
    (small.path / "pki/core2.key").symlink_to("../inside.key")
    fault = small.fault(material=True)

    assert (fault.reason, fault.path) == ("symlink-outside", "certificates.node.files.key")
    assert "a symbolic link leads pki/core1.key out of the inventory's folder: write the absolute" in fault.message

    shutil.move(small.path / "pki", outside / "pki")
    (small.path / "pki").symlink_to(outside / "pki")
    assert {"symlink-outside"} == {fault.reason for fault in small.faults(material=True)}


def test_a_loop_of_links_is_no_crash(small: Folder) -> None:
    """A symbolic link to itself is a file that cannot be read."""
    (small.path / "pki/core1.key").unlink()
    (small.path / "pki/core1.key").symlink_to("core1.key")

    assert "cannot be read" in small.fault(material=True).message


def test_an_encrypted_key(small: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key's passphrase is looked up by reference; without it, or with a wrong one, it is a fault."""
    issued = small.reissue()
    sealed = issued.key_pair.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"open sesame"))
    (small.path / "pki/core1.key").write_bytes(sealed)
    text = SMALL.replace('key: "pki/{name}.key"}', 'key: "pki/{name}.key", passphrase: {env: CMSCERT_TEST_PASS}}')

    assert {"passphrase-missing"} == {fault.reason for fault in small.faults(material=True)}
    small.write(text)
    assert {"secret", "passphrase-missing"} == {fault.reason for fault in small.faults(material=True)}
    monkeypatch.setenv("CMSCERT_TEST_PASS", "open barley")
    faults = small.faults(material=True)
    assert {"passphrase-wrong"} == {fault.reason for fault in faults}
    assert not any("barley" in str(fault) for fault in faults)
    monkeypatch.setenv("CMSCERT_TEST_PASS", "open sesame")
    assert small.load().warnings == ()


@pytest.fixture
def nobody() -> Iterator[Path]:
    """Give a folder that everybody can enter, as a user who may not read everything."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    if os.geteuid() != os.getuid():
        os.seteuid(os.getuid())
    shutil.rmtree(folder)


def test_files_without_permission(nobody: Path) -> None:
    """An inventory or a key that may not be read says so."""
    folder = Folder(nobody).write(SMALL).mint()
    (nobody / "pki").chmod(0o755)
    (nobody / "pki/core1.key").chmod(0)
    if os.geteuid() == 0:
        os.seteuid(65534)
    fault = folder.fault(material=True)

    assert fault.message == f"{nobody}/pki/core1.key: may not be read: permission denied"

    if os.getuid() == 0:
        os.seteuid(0)
    folder.inventory.chmod(0)
    if os.geteuid() == 0:
        os.seteuid(65534)
    assert str(folder.fault()) == f"{folder.inventory}: may not be read: permission denied"


def test_the_moment_is_an_argument(small: Folder) -> None:
    """The same material is fine at one moment and expired at another."""
    assert small.load(datetime(2026, 1, 1, tzinfo=UTC)).warnings == ()
    with pytest.raises(InputError, match="expired on"):
        small.load(NOW + 30 * YEAR)
