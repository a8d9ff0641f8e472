from __future__ import annotations

import stat
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from cmscert.errors import LabError
from cmscert.lab import folders
from cmscert.lab.minting import Life, make_authority, make_identity, new_key
from cmscert.lab.pki import World, make_material, write_material
from cmscert.lab.sketch import AuthoritySketch, BundleSketch, CertificateSketch, Sketch

NOW = datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=UTC)
CORP = BundleSketch(name="corp", paths=("pki/issuing-ca.crt", "pki/root-ca.crt"))
JOIN = CertificateSketch(
    name="join",
    common_name="join.example.com",
    sans=("join.example.com", "edge1.example.com"),
    bundle="corp",
    certificate_path="pki/join.crt",
    key_path="pki/join.key",
)
POSTGRES = CertificateSketch(
    name="dbclient",
    common_name="postgres",
    bundle="dbca",
    certificate_path="pki/dbclient.crt",
    key_path="pki/dbclient.key",
    usage="database-client",
)
SKETCH = Sketch(bundles=(CORP, BundleSketch(name="dbca", paths=("pki/dbca.crt",))), certificates=(JOIN, POSTGRES))


def only(certificate: CertificateSketch, **changes: object) -> Sketch:
    """A sketch with one certificate."""
    return replace(SKETCH, certificates=(replace(certificate, **changes),))  # type: ignore[arg-type] # test data


def fill(folder: Path, sketch: Sketch = SKETCH, *, now: datetime = NOW, fresh: bool = False) -> list[str]:
    """Write a sketch's material with quick keys; the relative paths written."""
    return [
        path.relative_to(folder).as_posix()
        for path in make_material(sketch, folder, now=now, fresh=fresh, key_type="ec")
    ]


def load(path: Path) -> x509.Certificate:
    """The only certificate of a file."""
    (certificate,) = x509.load_pem_x509_certificates(path.read_bytes())
    return certificate


def names(certificate: x509.Certificate) -> list[str]:
    """The SAN's entries as text."""
    return [
        str(name.value) for name in certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    ]


@pytest.mark.judge("openssl")
@pytest.mark.parametrize("purpose", ["sslserver", "sslclient"])
def test_openssl_accepts_what_is_written(tmp_path: Path, purpose: str) -> None:
    """Every leaf verifies to the root of its bundle, for servers and for clients, strictly."""
    make_material(SKETCH, tmp_path, now=NOW)

    folder = tmp_path / "pki"
    strict = ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-attime", str(int(NOW.timestamp()))]
    chains = [("join.crt", "root-ca.crt", "issuing-ca.crt"), ("dbclient.crt", "dbca.crt", "dbca.crt")]
    for leaf, root, between in chains:
        answer = subprocess.run(
            [*strict, "-CAfile", folder / root, "-untrusted", folder / between, folder / leaf],
            capture_output=True,
            check=False,
            text=True,
        )
        assert answer.returncode == 0, answer.stderr


def test_leaves_are_as_cms_users_make_them(tmp_path: Path) -> None:
    """A leaf has an RSA 2048 key, 90 days of which one is over, both EKUs, key identifiers and the declared names."""
    make_material(SKETCH, tmp_path, now=NOW)

    leaf = load(tmp_path / "pki/join.crt")
    key = leaf.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    assert key.key_size == 2048
    assert leaf.not_valid_before_utc == datetime(2026, 2, 28, 12, tzinfo=UTC)
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == timedelta(days=90)
    find = leaf.extensions.get_extension_for_class
    assert set(find(x509.ExtendedKeyUsage).value) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert find(x509.KeyUsage).value.key_encipherment
    issuer = load(tmp_path / "pki/issuing-ca.crt").extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert find(x509.AuthorityKeyIdentifier).value.key_identifier == issuer.digest
    assert find(x509.SubjectKeyIdentifier).value.digest
    assert names(leaf) == ["join.example.com", "edge1.example.com"]


def test_no_names_no_san(tmp_path: Path) -> None:
    """A certificate without declared names (``postgres``) has no SAN at all."""
    fill(tmp_path)

    with pytest.raises(x509.ExtensionNotFound):
        names(load(tmp_path / "pki/dbclient.crt"))


def test_an_ec_key_can_be_asked_for(tmp_path: Path) -> None:
    """A certificate with an EC key gets P-256 and no key encipherment."""
    make_material(only(JOIN, key_type="ec"), tmp_path, now=NOW)

    leaf = load(tmp_path / "pki/join.crt")
    assert isinstance(leaf.public_key(), ec.EllipticCurvePublicKey)
    assert not leaf.extensions.get_extension_for_class(x509.KeyUsage).value.key_encipherment


def test_cas_are_written_with_their_keys(tmp_path: Path) -> None:
    """The last CA of a bundle signs itself, the one before is signed by it, and keys lie beside."""
    fill(tmp_path)

    root, issuing = load(tmp_path / "pki/root-ca.crt"), load(tmp_path / "pki/issuing-ca.crt")
    root.verify_directly_issued_by(root)
    issuing.verify_directly_issued_by(root)
    key = load_pem_private_key((tmp_path / "pki/issuing-ca.key").read_bytes(), None)
    assert key.public_key() == issuing.public_key()
    assert issuing.not_valid_before_utc < NOW - timedelta(days=365)


def test_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    """Private keys have mode 0600, everything else can be read, and nothing half-written stays behind."""
    written = fill(tmp_path)

    modes = {path: stat.S_IMODE((tmp_path / path).stat().st_mode) for path in written}
    assert modes == {path: 0o600 if path.endswith(".key") else 0o644 for path in written}
    assert sorted(written) == sorted(
        path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()
    )


def test_known_hosts_is_begun_once(tmp_path: Path) -> None:
    """A missing known_hosts is begun with a comment, one that is there stays."""
    assert "known_hosts" in fill(tmp_path)
    assert (tmp_path / "known_hosts").read_text().startswith("# ")

    (tmp_path / "known_hosts").write_text("mine")
    assert fill(tmp_path) == []
    assert (tmp_path / "known_hosts").read_text() == "mine"


def test_a_second_run_writes_nothing(tmp_path: Path) -> None:
    """What is there and still fits is kept, addresses in any spelling too."""
    sketch = only(JOIN, sans=("2001:DB8::0001", "join.example.com"))

    assert fill(tmp_path, sketch)
    assert fill(tmp_path, sketch, now=NOW + timedelta(days=30)) == []


def test_another_inventory_adds_its_names(tmp_path: Path) -> None:
    """A leaf that two inventories own gets the names of both, on the same key, and then stays."""
    other = only(JOIN, sans=("join.example.com", "example.com"))
    fill(tmp_path)
    key = (tmp_path / "pki/join.key").read_bytes()

    assert fill(tmp_path, other) == ["pki/join.crt"]

    leaf = load(tmp_path / "pki/join.crt")
    assert set(names(leaf)) == {"join.example.com", "edge1.example.com", "example.com"}
    assert (tmp_path / "pki/join.key").read_bytes() == key
    assert fill(tmp_path) == []
    assert fill(tmp_path, other) == []


def test_a_shared_file_of_one_inventory_gets_all_names() -> None:
    """Two certificates of an inventory in one file are one certificate with the names of both."""
    twin = replace(JOIN, name="twin", common_name="twin.example.com", sans=("twin2.example.com",))
    sketch = replace(SKETCH, certificates=(JOIN, twin))

    world = World.make(sketch, now=NOW, key_type="ec")

    assert world.leaves["join", None] == world.leaves["twin", None]
    assert names(world.leaves["twin", None].certificate) == [*JOIN.sans, "twin2.example.com", "twin.example.com"]


def test_fresh_makes_everything_anew(tmp_path: Path) -> None:
    """``fresh`` replaces keys, CAs and leaves, but not known_hosts."""
    written = fill(tmp_path)
    before = {path: (tmp_path / path).read_bytes() for path in written}

    again = fill(tmp_path, fresh=True)

    assert set(again) == set(written) - {"known_hosts"}
    assert all((tmp_path / path).read_bytes() != before[path] for path in again)


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("path", ["pki/join.crt", "pki/issuing-ca.crt", "pki/join.key", "pki/root-ca.key"])
def test_files_of_others_are_left_alone(tmp_path: Path, path: str, *, fresh: bool) -> None:
    """Something that the lab did not make is never overwritten, and nothing else is written then."""
    (tmp_path / "pki").mkdir()
    (tmp_path / path).write_bytes(b"mine")

    with pytest.raises(LabError, match=f"{path} exists and was not made by the lab"):
        fill(tmp_path, fresh=fresh)

    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [tmp_path / path]
    assert (tmp_path / path).read_bytes() == b"mine"


def test_a_real_certificate_is_left_alone(tmp_path: Path) -> None:
    """A certificate of another CA is not overwritten, nor is a file with two certificates, nor an Ed25519 key."""
    life = Life(not_before=NOW, not_after=NOW + timedelta(days=9))
    own = make_identity("join.example.com", [], key=new_key("ec"), authority=None, life=life)
    (tmp_path / "pki").mkdir()
    (tmp_path / "pki/join.crt").write_bytes(own.leaf_pem + own.leaf_pem)
    with pytest.raises(LabError, match=r"pki/join\.crt"):
        fill(tmp_path)
    (tmp_path / "pki/join.crt").unlink()

    key = ed25519.Ed25519PrivateKey.generate()
    (tmp_path / "pki/join.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(LabError, match=r"pki/join\.key"):
        fill(tmp_path)


def test_a_broken_run_is_finished(tmp_path: Path) -> None:
    """A key whose certificate is missing is what an interrupted run leaves: it is used, fresh or not."""
    fill(tmp_path)
    key = (tmp_path / "pki/join.key").read_bytes()
    (tmp_path / "pki/join.crt").unlink()

    assert fill(tmp_path) == ["pki/join.crt"]
    (tmp_path / "pki/join.crt").unlink()
    fill(tmp_path, fresh=True)

    assert (tmp_path / "pki/join.key").read_bytes() == key
    assert load(tmp_path / "pki/join.crt").public_key() == load_pem_private_key(key, None).public_key()


def test_a_lost_key_makes_a_new_pair(tmp_path: Path) -> None:
    """A leaf without its key is made anew; a CA without its key is made anew with its leaves."""
    fill(tmp_path)

    (tmp_path / "pki/join.key").unlink()
    assert fill(tmp_path) == ["pki/join.key", "pki/join.crt"]

    (tmp_path / "pki/dbca.key").unlink()
    assert set(fill(tmp_path)) == {"pki/dbca.key", "pki/dbca.crt", "pki/dbclient.crt"}


def test_old_material_is_renewed_on_its_key(tmp_path: Path) -> None:
    """A leaf is renewed in the second half of its life, a CA in its last months; the keys stay."""
    fill(tmp_path)

    assert set(fill(tmp_path, now=NOW + timedelta(days=50))) == {"pki/join.crt", "pki/dbclient.crt"}
    later = fill(tmp_path, now=NOW + timedelta(days=3600))
    assert {path for path in later if path.endswith(".crt")} == set(later)
    assert "pki/root-ca.crt" in later


def test_another_common_name_makes_another_certificate(tmp_path: Path) -> None:
    """A leaf with the wrong CN does not fit."""
    fill(tmp_path)

    assert fill(tmp_path, only(JOIN, common_name="new.example.com")) == ["pki/join.crt"]


def test_paths_stay_inside(tmp_path: Path) -> None:
    """Absolute paths, ``..``, links out of the folder, loops of links and impossible names are refused."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/out").symlink_to(tmp_path)
    (tmp_path / "in/loop").symlink_to("loop")
    for path in (str(tmp_path / "x.crt"), "../x.crt", "out/x.crt", "a/../../x.crt", "nul\0.crt"):
        with pytest.raises(LabError, match="lies outside"):
            fill(tmp_path / "in", only(JOIN, certificate_path=path))
    with pytest.raises(LabError):
        fill(tmp_path / "in", only(JOIN, certificate_path="loop"))
    assert {file.name for file in tmp_path.rglob("*")} == {"in", "out", "loop"}


def test_odd_files_are_named(tmp_path: Path) -> None:
    """A folder in place of a file and a file that is far too large are refused by name."""
    (tmp_path / "pki/join.crt").mkdir(parents=True)
    with pytest.raises(LabError, match=r"pki/join\.crt cannot be read"):
        fill(tmp_path)

    (tmp_path / "pki/join.crt").rmdir()
    (tmp_path / "pki/join.crt").write_bytes(b" " * (1 << 21))
    with pytest.raises(LabError, match="too large"):
        fill(tmp_path)


def test_a_failed_write_leaves_nothing_half_done(tmp_path: Path) -> None:
    """When a file cannot be put in place, what was written for it is removed and the file is named."""
    (tmp_path / "a.key").mkdir()
    with pytest.raises(LabError, match=r"a\.key cannot be written"):
        write_material(tmp_path, {"a.key": b"-----BEGIN PRIVATE KEY-----"})
    assert [path.name for path in tmp_path.iterdir()] == ["a.key"]

    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(LabError, match=r"b\.crt cannot be written"):
        folders.write(tmp_path / "file/b.crt", b"", mode=0o644)


def test_one_file_has_one_purpose(tmp_path: Path) -> None:
    """A certificate file that is a CA too, is its own key, or goes with two keys is refused."""
    twin = replace(JOIN, name="twin", key_path="pki/twin.key")
    for sketch in (
        only(JOIN, certificate_path="pki/root-ca.crt"),
        only(JOIN, key_path="pki/join.crt"),
        replace(SKETCH, certificates=(JOIN, twin)),
    ):
        with pytest.raises(LabError, match="asked to be"):
            fill(tmp_path, sketch)


def test_certificates_may_share_a_key(tmp_path: Path) -> None:
    """Two certificate files with one key file hold the same public key."""
    second = replace(JOIN, name="second", certificate_path="pki/second.crt")

    fill(tmp_path, replace(SKETCH, certificates=(JOIN, second)))

    assert load(tmp_path / "pki/join.crt").public_key() == load(tmp_path / "pki/second.crt").public_key()
    assert fill(tmp_path, replace(SKETCH, certificates=(JOIN, second))) == []


def test_a_ca_belongs_to_its_shortest_bundle() -> None:
    """The same path is the same CA in every bundle, and the last of any bundle is a root."""
    bundles = (
        BundleSketch(name="all", paths=("a.crt", "b.crt", "root.crt", "other.crt")),
        BundleSketch(name="web", paths=("a.crt", "root.crt")),
    )
    world = World.make(Sketch(bundles=bundles), now=NOW, key_type="ec")

    issuing, second, root, other = world.bundle("all")
    issuing.verify_directly_issued_by(root)
    second.verify_directly_issued_by(root)
    root.verify_directly_issued_by(root)
    other.verify_directly_issued_by(other)
    assert world.bundle("web") == (issuing, root)


@given(st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=4), max_size=4))
@settings(max_examples=50, deadline=None)
def test_any_bundles_make_a_world(bundles: list[list[str]]) -> None:
    """Whatever order bundles list their CAs in, every CA leads to a root and none to itself."""
    sketch = Sketch(bundles=tuple(BundleSketch(name=str(at), paths=tuple(paths)) for at, paths in enumerate(bundles)))

    world = World.make(sketch, now=NOW, key_type="ec")

    for authority in world.authorities.values():
        for child, issuer in pairwise((*authority.chain, authority.chain[-1])):
            child.verify_directly_issued_by(issuer)


def test_cas_of_one_stem_have_names_of_their_own() -> None:
    """A root and an intermediate with the same file name in two folders are not taken for one."""
    world = World.make(
        Sketch(bundles=(BundleSketch(name="x", paths=("sub/ca.crt", "root/ca.crt")),)), now=NOW, key_type="ec"
    )

    issuing, root = world.bundle("x")
    assert issuing.subject != root.subject
    issuing.verify_directly_issued_by(root)


def test_issuers_certificates_have_no_files(tmp_path: Path) -> None:
    """Bundles and certificates that an issuer provides are in the world only; a local CA is written where it says."""
    sketch = Sketch(
        bundles=(BundleSketch(name="dbca"), CORP),
        authorities=(
            AuthoritySketch(certificate_path="pki/issuing-ca.crt", key_path="secret/issuing.key"),
            AuthoritySketch(certificate_path="pki/alone.crt", key_path="pki/alone.key"),
        ),
        certificates=(replace(POSTGRES, certificate_path=None, key_path=None),),
    )

    written = fill(tmp_path, sketch)
    world = World.make(sketch, now=NOW, key_type="ec")

    assert sorted(written) == [
        "known_hosts",
        "pki/alone.crt",
        "pki/alone.key",
        "pki/issuing-ca.crt",
        "pki/root-ca.crt",
        "pki/root-ca.key",
        "secret/issuing.key",
    ]
    leaf = world.leaves["dbclient", None]
    leaf.certificate.verify_directly_issued_by(world.bundle("dbca")[0])


def test_every_kind_of_name_goes_into_the_san() -> None:
    """Addresses, e-mail addresses, URIs and DNS names become what they are; twice said is once written."""
    sans = ("10.0.0.1", "10.0.0.1", "ops@example.com", "https://example.com/", "*.example.com")
    world = World.make(only(JOIN, sans=sans), now=NOW, key_type="ec")

    san = world.leaves["join", None].certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert [type(name) for name in san.value] == [
        x509.IPAddress,
        x509.RFC822Name,
        x509.UniformResourceIdentifier,
        x509.DNSName,
    ]


def test_another_kind_of_key_makes_another_pair(tmp_path: Path) -> None:
    """A key of the declared kind and size replaces one that the lab made otherwise."""
    fill(tmp_path)

    make_material(only(JOIN, key_type="ec", key_bits=384), tmp_path, now=NOW)

    key = load(tmp_path / "pki/join.crt").public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.key_size == 384
    assert make_material(only(JOIN, key_type="ec", key_bits=384), tmp_path, now=NOW) == []


@pytest.mark.parametrize(("kind", "bits"), [("ec", 2048), ("rsa", 7)])
def test_impossible_keys_are_refused(kind: str, bits: int) -> None:
    """A size that no key of the kind has gets a message."""
    with pytest.raises(LabError, match=f"cannot make {kind} keys of {bits} bits"):
        World.make(only(JOIN, key_type=kind, key_bits=bits), now=NOW)


def test_a_sketch_finds_its_certificates() -> None:
    """Certificates are found by name and server, and an unknown one is a KeyError."""
    assert SKETCH.certificate(("join", None)) is JOIN
    with pytest.raises(KeyError):
        SKETCH.certificate(("join", "edge1"))


def test_impossible_names_are_refused() -> None:
    """A common name over 64 characters and a name that is not ASCII get a message, not a stack trace."""
    for changes in ({"common_name": "x" * 65}, {"sans": ("jöin.example.com",)}):
        with pytest.raises(LabError, match="cannot stand in a certificate"):
            World.make(only(JOIN, **changes), now=NOW, key_type="ec")


def test_without_a_bundle_a_leaf_signs_itself(tmp_path: Path) -> None:
    """A certificate without a chain is self-signed, and is kept on the next run."""
    sketch = only(JOIN, bundle=None)

    fill(tmp_path, sketch)

    leaf = load(tmp_path / "pki/join.crt")
    leaf.verify_directly_issued_by(leaf)
    assert fill(tmp_path, sketch) == []


def test_issue_takes_other_dates_names_keys_and_cas() -> None:
    """Scenarios issue certificates that differ in exactly what they say."""
    world = World.make(SKETCH, now=NOW, key_type="ec")
    key = new_key("ec")
    life = Life(not_before=NOW, not_after=NOW + timedelta(days=9))
    other = make_authority("other", key=new_key("ec"), signer=None, life=life)

    usual = world.issue(JOIN)
    odd = world.issue(
        JOIN, not_before=NOW - timedelta(days=80), not_after=NOW, sans=["a.example.com"], key=key, authority=other
    )

    usual.certificate.verify_directly_issued_by(world.bundle("corp")[0])
    assert names(usual.certificate) == list(JOIN.sans)
    assert x509.load_pem_x509_certificates(usual.full_chain_pem) == [usual.certificate, *world.bundle("corp")]
    odd.certificate.verify_directly_issued_by(other.certificate)
    assert names(odd.certificate) == ["a.example.com"]
    assert odd.certificate.public_key() == key.public_key()
    assert odd.certificate.not_valid_after_utc == NOW.replace(microsecond=0)


def test_no_key_shows_in_a_repr() -> None:
    """Neither a world nor what is in it draws a private key."""
    world = World.make(SKETCH, now=NOW, key_type="ec")

    assert "PRIVATE" not in repr(world)
    assert "EllipticCurvePrivateKey" not in repr(world)
