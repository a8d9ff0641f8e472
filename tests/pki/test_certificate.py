from __future__ import annotations

import hashlib
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import example, given
from hypothesis import strategies as st

from cmscert.pki import facts
from cmscert.pki.certificate import parse_certificate
from cmscert.pki.der import Element, Shape, children, element, public_key_bytes, shape
from cmscert.testing.ca import AT, CA_USAGE, Issued, ThrowAwayCa, self_signed

PRIME256V1 = bytes.fromhex("06082a8648ce3d030107")
EC_KEY = bytes.fromhex("06072a8648ce3d0201")


def test_facts_of_a_leaf(issuing: ThrowAwayCa) -> None:
    """Every fact that the tool shows is read from the certificate."""
    made = issuing.issue(
        "a.example.com",
        ("a.example.com", "*.b.example.com", "10.0.0.1", "2001:db8::1", "admin@example.com", "sip://a.example.com"),
        ("serverAuth", "1.3.6.1.5.5.7.3.99"),
        not_after=datetime(2030, 1, 1, tzinfo=UTC),
        extra=[(CA_USAGE, True)],
    ).certificate

    assert made.subject == "CN=a.example.com"
    assert (made.common_name, made.issuer_common_name) == ("a.example.com", "Example Issuing CA")
    assert made.dns_names == ("a.example.com", "*.b.example.com")
    assert made.ip_addresses == ("10.0.0.1", "2001:db8::1")
    assert made.names == (*made.dns_names, *made.ip_addresses)
    assert (made.emails, made.uris) == (("admin@example.com",), ("sip://a.example.com",))
    assert (made.not_before, made.not_after) == (AT, datetime(2030, 1, 1, tzinfo=UTC))
    assert (made.key_type, made.key_bits, made.signature_hash) == ("ec", 256, "sha256")
    assert made.ekus == ("serverAuth", "1.3.6.1.5.5.7.3.99")
    assert made.key_usage == ("digitalSignature", "keyCertSign", "cRLSign")
    assert (made.is_ca, made.self_issued, made.path_length) == (False, False, None)
    assert made.sha256 == hashlib.sha256(made.der).hexdigest()


def test_missing_extensions_are_none(issuing: ThrowAwayCa) -> None:
    """A usage extension that is not there is None, which is not the same as empty."""
    made = issuing.issue("a", (), None).certificate

    assert (made.ekus, made.key_usage, made.names) == (None, None, ())


def test_facts_of_a_ca(root: ThrowAwayCa) -> None:
    """A CA is known by its flag, a root by its equal names, the path length is read."""
    limited = root.intermediate("Limited", path_length=1).certificate

    assert (root.certificate.is_ca, root.certificate.self_issued) == (True, True)
    assert (limited.is_ca, limited.self_issued, limited.path_length) == (True, False, 1)


def test_a_certificate_without_names(issuing: ThrowAwayCa) -> None:
    """No common name is None, as in certificates that have a SAN only."""
    assert issuing.issue(None, ("a.example.com",)).certificate.common_name is None


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (ed25519.Ed25519PrivateKey.generate(), ("ed25519", 256)),
        (ed448.Ed448PrivateKey.generate(), ("ed448", 456)),
        (ec.generate_private_key(ec.SECP384R1()), ("ec", 384)),
        (dsa.generate_private_key(1024), ("dsa", 1024)),  # noqa: S505 - weak on purpose
    ],
    ids=["ed25519", "ed448", "p-384", "dsa"],
)
def test_key_types(key: object, expected: tuple[str, int], issuing: ThrowAwayCa) -> None:
    """Type and size are told for every kind of key that can stand in a certificate."""
    made = issuing.issue("a", key=key).certificate  # type: ignore[arg-type]  # the kit promises fewer kinds

    assert (made.key_type, made.key_bits) == expected


def test_the_key_hash_is_that_of_the_spki(node: Issued, rsa_node: Issued) -> None:
    """The hash of a key is SHA-256 over its SubjectPublicKeyInfo, also when cut out of the certificate as it stands."""
    for made in (node, rsa_node):
        spki = made.key_pair.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        loaded = x509.load_der_x509_certificate(made.certificate.der)
        assert made.certificate.spki_sha256 == hashlib.sha256(spki).hexdigest() == made.key.spki_sha256
        assert public_key_bytes(loaded.tbs_certificate_bytes) == spki


def test_keys_that_cannot_be_loaded_are_no_error(node: Issued) -> None:
    """An unknown curve or algorithm still gives a certificate with facts, and a key that matches nothing else."""
    curve = parse_certificate(node.certificate.der.replace(PRIME256V1, PRIME256V1[:-1] + b"\x63"))
    algorithm = parse_certificate(node.certificate.der.replace(EC_KEY, EC_KEY[:-1] + b"\x63"))

    assert (curve.key_type, curve.key_bits) == ("ec", 0)
    assert (algorithm.key_type, algorithm.key_bits) == ("1.2.840.10045.2.99", 0)
    assert len({curve.spki_sha256, algorithm.spki_sha256, node.certificate.spki_sha256}) == 3


def test_an_x25519_certificate_has_no_usable_key(issuing: ThrowAwayCa) -> None:
    """A key that cannot sign is named by its OID."""
    from cryptography.hazmat.primitives.asymmetric import x25519

    made = issuing.issue("a", key=x25519.X25519PrivateKey.generate()).certificate  # type: ignore[arg-type]  # on purpose

    assert (made.key_type, made.key_bits) == ("1.3.101.110", 0)


@pytest.mark.parametrize("serial", [b"\x00", b"\xff"], ids=["zero", "negative"])
def test_odd_serial_numbers_are_facts(serial: bytes, root: ThrowAwayCa) -> None:
    """Serial numbers that the standard forbids are read without a warning on stderr."""
    der = root.certificate.der.replace(b"\xa0\x03\x02\x01\x02\x02\x01\x01", b"\xa0\x03\x02\x01\x02\x02\x01" + serial, 1)

    assert parse_certificate(der).serial == int.from_bytes(serial, "big", signed=True)


def test_an_unknown_signature_algorithm_is_a_fact(node: Issued) -> None:
    """A signature algorithm that nobody knows gives no hash, and no error."""
    known = bytes.fromhex("06082a8648ce3d040302")
    assert parse_certificate(node.certificate.der.replace(known, known[:-1] + b"\x63")).signature_hash is None


def test_edwards_signatures_have_no_hash() -> None:
    """Ed25519 signs without a separate hash."""
    made = ThrowAwayCa.root("Edwards", key=ed25519.Ed25519PrivateKey.generate())
    assert made.certificate.signature_hash is None


@pytest.mark.parametrize("der", [b"", b"\x30", b"0\x03\x02\x01\x01", b"certificate"])
def test_other_bytes_are_refused(der: bytes) -> None:
    """Bytes that are no certificate raise ValueError with a sentence."""
    with pytest.raises(ValueError, match=r"not an X\.509 certificate"):
        parse_certificate(der)


def test_a_damaged_extension_is_named(issuing: ThrowAwayCa) -> None:
    """A certificate whose extension cannot be read says so, in one line."""
    der = issuing.issue("a", ("umlaut.example.com",)).certificate.der

    with pytest.raises(ValueError, match=r"damaged or not conforming to X.509: \S"):
        parse_certificate(der.replace(b"umlaut.example", b"uml\xe4ut.example"))


def test_the_same_bytes_give_the_same_object(node: Issued) -> None:
    """Parsing is remembered, and equality is that of the bytes."""
    again = parse_certificate(bytes(bytearray(node.certificate.der)))

    assert again is node.certificate
    assert again != self_signed("core1.example.com").certificate


def test_parsing_is_cheap(rsa_node: Issued) -> None:
    """One certificate costs far less than a millisecond without the memory."""
    rounds = 200
    started = time.perf_counter()
    for _ in range(rounds):
        facts.load.cache_clear()
        facts.public_key.cache_clear()
        facts.certificate_facts(rsa_node.certificate.der)

    assert (time.perf_counter() - started) / rounds < 0.005


@given(der=st.binary(max_size=200))
@example(b"0\x82")
@example(b"0\x80")
@example(b"0\x85\0\0\0\0\1")
@example(b"0\x03\x02\x01")
def test_no_bytes_break_the_shape(der: bytes) -> None:
    """Telling what bytes are never fails."""
    assert shape(der) in Shape
    assert public_key_bytes(der) is not None


def test_elements_stop_at_the_end_of_their_parent() -> None:
    """A child that is longer than what holds it is not read."""
    assert children(b"\x30\x03\x02\x05\x01", Element(0x30, 2, 5), 3) == ()
    assert element(b"\x30\x05\x01", 0) is None


@pytest.mark.parametrize(
    ("der", "expected"),
    [
        (b"\x04\x01a", Shape.UNKNOWN),
        (b"\x30\x03\x01\x01\xff", Shape.UNKNOWN),
        (b"\x30\x0a\x30\x03\x01\x01\xff\x30\x00\x03\x01\x00", Shape.UNKNOWN),
        (b"\x30\x05\x30\x00\x03\x01\x00", Shape.PUBLIC_KEY),
    ],
)
def test_shapes_without_an_example_elsewhere(der: bytes, expected: Shape) -> None:
    """Outermost tags tell what bytes are, or that they are nothing that is known."""
    assert shape(der) is expected


@pytest.mark.judge("openssl")
def test_openssl_reads_the_same_facts(
    issuing: ThrowAwayCa, openssl: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """``openssl x509`` prints the fingerprint, names, serial and dates that are read here."""
    made = issuing.issue("a.example.com", ("a.example.com", "10.0.0.1"), key="rsa")
    told = openssl(
        *("x509", "-in", "made.pem", "-noout", "-fingerprint", "-sha256", "-serial", "-dates", "-subject", "-issuer"),
        *("-ext", "subjectAltName,extendedKeyUsage"),
        **{"made.pem": made.certificate_pem},
    ).stdout
    facts_read = made.certificate

    assert facts_read.sha256 in told.replace(":", "").lower()
    assert f"serial={facts_read.serial:02X}\n" in told
    assert f"notAfter={facts_read.not_after:%b %e %H:%M:%S %Y} GMT\n" in told
    assert "subject=CN = a.example.com\n" in told
    assert "DNS:a.example.com, IP Address:10.0.0.1" in told
    assert "TLS Web Server Authentication, TLS Web Client Authentication" in told
