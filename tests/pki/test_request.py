from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from cmscert.errors import InputError
from cmscert.pki import request as request_module
from cmscert.pki.generate import make_key
from cmscert.pki.keys import PrivateKey
from cmscert.pki.names import canonical
from cmscert.pki.request import (
    Request,
    WantedRequest,
    alternative_names,
    make_request,
    read_request,
    request_faults,
)
from cmscert.pki.signatures import digest_for

SUBJECT = {"O": "Example Ltd", "OU": "Collaboration", "L": "London", "ST": "London", "C": "GB"}
NAMES = ("core1.example.com", "10.0.0.11", "fd00::1", "ops@Example.com", "*.example.com")
LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
HOST = st.lists(LABEL, min_size=1, max_size=3).map(lambda labels: ".".join([*labels, "example"]))
ANY_NAME = st.one_of(HOST, HOST.map("*.{}".format), HOST.map("ops@{}".format), st.ip_addresses().map(str))


@pytest.fixture(scope="module")
def key() -> PrivateKey:
    """A key."""
    return make_key("ec")


@pytest.fixture(scope="module")
def pem(key: PrivateKey) -> bytes:
    """A request with everything in it."""
    return make_request(key, common_name="core1.example.com", sans=NAMES[1:], attributes=SUBJECT)


@pytest.fixture(scope="module")
def wanted(key: PrivateKey) -> WantedRequest:
    """What ``pem`` was asked to be."""
    return WantedRequest(
        common_name="core1.example.com",
        sans=NAMES,
        attributes=SUBJECT,
        key_type="ec",
        key_bits=256,
        spki=key.spki_sha256,
    )


def test_reads_back(pem: bytes, key: PrivateKey, wanted: WantedRequest) -> None:
    """What is made is what is read: names typed, subject whole, key and signature right."""
    request = read_request(pem, file="core1.csr")

    assert (request.dns_names, request.ip_addresses) == (
        ("core1.example.com", "*.example.com"),
        ("10.0.0.11", "fd00::1"),
    )
    assert request.emails == ("ops@example.com",)
    assert dict(request.attributes) == {**SUBJECT, "CN": "core1.example.com"}
    assert (request.common_name, request.spki_sha256, request.signature_holds) == (
        "core1.example.com",
        key.spki_sha256,
        True,
    )
    assert read_request(request.der, file="core1.csr") == request
    assert request_faults(request, wanted) == ()


@pytest.mark.judge("openssl")
@pytest.mark.parametrize(("kind", "bits"), [("rsa", 2048), ("ec", 256), ("ec", 384)])
def test_openssl_verifies_it(kind: str, bits: int, tmp_path: Path) -> None:
    """OpenSSL takes the request's signature, and reads the names that were asked for."""
    path = tmp_path / "core1.csr"
    key = make_key("rsa" if kind == "rsa" else "ec", bits)
    path.write_bytes(make_request(key, common_name="core1.example.com", sans=NAMES, attributes=SUBJECT))

    told = subprocess.run(
        ["openssl", "req", "-verify", "-noout", "-text", "-in", path], check=True, capture_output=True, text=True
    )

    assert "verify OK" in told.stdout + told.stderr
    assert "DNS:core1.example.com, IP Address:10.0.0.11" in told.stdout
    assert "email:ops@example.com" in told.stdout
    assert "C = GB, ST = London, L = London, O = Example Ltd, OU = Collaboration, CN = core1.example.com" in told.stdout


@pytest.mark.judge("openssl")
def test_what_openssl_makes_is_read(tmp_path: Path) -> None:
    """A request that OpenSSL made, text around it, reads as what it was asked for."""
    subprocess.run(
        ["openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "k", "-out", tmp_path / "r",
         "-text", "-subj", "/C=GB/O=Example Ltd/CN=a.example.com", "-addext", "subjectAltName=DNS:a.example.com"],
        check=True, capture_output=True,
    )  # fmt: skip

    request = read_request((tmp_path / "r").read_bytes(), file="r")

    wanted = WantedRequest(common_name="a.example.com", sans=("A.example.com",), key_type="rsa", key_bits=2048)
    assert request_faults(request, wanted) == ()


@given(common_name=HOST, sans=st.lists(ANY_NAME, max_size=6))
def test_any_names(common_name: str, sans: list[str]) -> None:
    """Whatever is asked for stands in the SAN once, the common name first, and nothing else does."""
    request = read_request(make_request(KEY, common_name=common_name, sans=sans), file="x")

    assert request.dns_names[0] == common_name
    assert sorted(request.sans) == sorted({canonical(name) for name in (common_name, *sans)})
    assert request_faults(request, WantedRequest(common_name=common_name, sans=tuple(sans))) == ()


KEY = make_key("ec")


def test_database_client(key: PrivateKey) -> None:
    """The name of the database client is no host name, and stands without a SAN ([S2])."""
    request = read_request(make_request(key, common_name="postgres"), file="x")

    assert (request.common_name, request.sans) == ("postgres", ())
    assert request_faults(request, WantedRequest(common_name="postgres")) == ()
    assert alternative_names("postgres", ("core1.example.com",)) == ("postgres", "core1.example.com")
    assert alternative_names("10.0.0.1", ()) == ("10.0.0.1",)


@pytest.mark.parametrize(
    ("common_name", "sans", "attributes", "words"),
    [
        ("", (), {}, "CN is empty"),
        ("a" * 65, (), {}, "CN is longer than 64"),
        ("a.example.com", (), {"C": "GBR"}, "two letters"),
        ("a.example.com", (), {"C": ""}, "C is empty; C is a country code"),
        ("a.example.com", (), {"O": "x" * 65}, "O is longer than 64"),
        ("a.example.com", (), {"DC": "x"}, "DC is not an attribute"),
        ("a.example.com", ("two words.example.com",), {}, "neither a DNS name"),
        ("a.example.com", ("http://a.example.com/",), {}, "neither a DNS name"),
        ("a.example.com", ("a..example.com",), {}, "neither a DNS name"),
        ("a.example.com", ("",), {}, "neither a DNS name"),
        ("a.example.com", ("möp@example.com",), {}, "neither a DNS name"),
        ("My Server", ("a.example.com",), {}, "'My Server' is neither"),
    ],
)
def test_unfit_requests(
    key: PrivateKey, common_name: str, sans: tuple[str, ...], attributes: dict[str, str], words: str
) -> None:
    """What no request can say is refused, each fault in words."""
    with pytest.raises(ValueError, match=words):
        make_request(key, common_name=common_name, sans=sans, attributes=attributes)


def test_international_names(key: PrivateKey) -> None:
    """International host names stand in a request as they do in DNS."""
    request = read_request(make_request(key, common_name="bücher.example.com"), file="x")

    assert request.dns_names == ("xn--bcher-kva.example.com",)


@pytest.mark.parametrize(
    ("change", "reason", "words"),
    [
        ({"signature_holds": False}, "request-signature", "does not hold"),
        ({"key_type": "rsa", "key_bits": 2048}, "request-key", "rsa 2048, wanted is ec 256"),
        ({"spki_sha256": "00"}, "request-spki", "another private key"),
        ({"attributes": (("CN", "b.example.com"), *SUBJECT.items())}, "request-subject", "CN is b.example.com"),
        ({"attributes": (("CN", "core1.example.com"),)}, "request-subject", "O is missing"),
        ({"dns_names": ("core1.example.com",)}, "request-names", "it lacks *.example.com"),
        ({"other_names": ("evil.example.org",)}, "request-names", "also asks for evil.example.org"),
        ({"common_name": "postgres"}, "request-san-lacks-cn", "common name postgres"),
    ],
)
def test_faults(pem: bytes, wanted: WantedRequest, change: dict[str, object], reason: str, words: str) -> None:
    """A request that is not what was asked for is told apart by one reason."""
    request = replace(read_request(pem, file="x"), **change)  # type: ignore[arg-type]  # one field at a time

    (finding,) = request_faults(request, wanted)

    assert (finding.reason, finding.severity) == (reason, "error")
    assert words in finding.message


def test_country_of_others() -> None:
    """A country that somebody else's program wrote out is named."""
    finding = request_module.request_country(bare(attributes=(("C", "England"),)), WantedRequest(common_name="x"))

    assert finding is not None
    assert "England" in finding.message


def test_names_in_the_common_name_only() -> None:
    """A request without SANs is as wanted where none were wanted, and lacks them where some were."""
    request = bare(attributes=(("CN", "a.example.com"),), common_name="a.example.com")

    assert request_faults(request, WantedRequest(common_name="a.example.com")) == ()
    (finding,) = request_faults(request, WantedRequest(common_name="a.example.com", sans=("a.example.com",)))
    assert finding.reason == "request-names"


def bare(*, attributes: tuple[tuple[str, str], ...], common_name: str | None = None) -> Request:
    """Return a request without SANs."""
    return Request(
        der=b"",
        subject="",
        attributes=attributes,
        common_name=common_name,
        spki_sha256="",
        key_type="rsa",
        key_bits=2048,
        signature_holds=True,
    )


def foreign(*, san: bool = True) -> bytes:
    """Make a request with a URI in it and an attribute that has no short name here."""
    name = x509.Name([x509.NameAttribute(NameOID.SERIAL_NUMBER, "7")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    if san:
        uri = x509.UniformResourceIdentifier("urn:x")
        builder = builder.add_extension(x509.SubjectAlternativeName([uri]), critical=False)
    return builder.sign(KEY.signer(), SHA256()).public_bytes(Encoding.DER)


def test_foreign_requests() -> None:
    """Requests of other programs are read whatever they hold."""
    request = read_request(foreign(), file="x")

    assert (request.common_name, request.attributes, request.sans) == (None, (("2.5.4.5", "7"),), ("urn:x",))
    assert read_request(foreign(san=False), file="x").sans == ()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty-file"),
        (b"hello", "no-request"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no-request"),
        (b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n", "damaged-request"),
        (b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n", "damaged-block"),
    ],
)
def test_unreadable(content: bytes, reason: str) -> None:
    """What is no request says what it is instead."""
    with pytest.raises(InputError) as caught:
        read_request(content, file="x.csr")

    assert [fault.reason for fault in caught.value.faults] == [reason]


def test_key_that_cannot_sign() -> None:
    """A key that stands in no certificate makes a request that is of no use."""
    ed25519_oid, x25519_oid = bytes.fromhex("06032b6570"), bytes.fromhex("06032b656e")
    der = make_edwards().replace(ed25519_oid, x25519_oid, 1)

    with pytest.raises(InputError, match="not supported"):
        read_request(der, file="x.csr")


def make_edwards() -> bytes:
    """Make a request with an Ed25519 key."""
    key = PrivateKey(ed25519.Ed25519PrivateKey.generate())
    request = read_request(make_request(key, common_name="a.example.com"), file="x")
    assert (request.key_type, request.signature_holds) == ("ed25519", True)
    return request.der


@pytest.mark.parametrize(
    ("kind", "bits", "digest"),
    [("rsa", 4096, SHA256), ("ec", 256, SHA256), ("ec", 384, SHA384), ("ec", 521, SHA512), ("ed25519", 256, None)],
)
def test_digests(kind: str, bits: int, digest: type | None) -> None:
    """A signature's hash is as strong as the key that makes it."""
    assert type(digest_for(kind, bits)) is (digest or type(None))
