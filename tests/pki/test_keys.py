from __future__ import annotations

import copy
import pickle
import subprocess
import time
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    pkcs12,
)

from cmscert.errors import Fault, InputError
from cmscert.pki.keys import PrivateKey, read_key
from cmscert.testing.ca import Issued, ThrowAwayCa

SECRET = b"correct horse"
NODE = ThrowAwayCa.root("Root").issue("node", key="rsa")
RSA = NODE.key_pair
EC = ec.generate_private_key(ec.SECP256R1())
PLAIN, LOCKED = NoEncryption(), BestAvailableEncryption(SECRET)
PKCS8, OLD = PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL


def stored(key: Any, encoding: Encoding, form: PrivateFormat, how: KeySerializationEncryption) -> bytes:  # noqa: ANN401 - any key
    """Return a key as a file."""
    return bytes(key.private_bytes(encoding, form, how))


def fault_of(content: bytes, passphrase: bytes | None = None) -> Fault:
    """Return the one fault of a key file; the passphrase is nowhere in what is shown."""
    with pytest.raises(InputError) as caught:
        read_key(content, file="node.key", passphrase=passphrase)
    shown = "".join(traceback.format_exception(caught.value)) + str(caught.value.hint) + repr(caught.value)
    assert SECRET.decode() not in shown
    (fault,) = caught.value.faults
    assert fault.file == "node.key"
    return fault


FORMS = {
    "PKCS#8": (RSA, Encoding.PEM, PKCS8, PLAIN),
    "PKCS#1": (RSA, Encoding.PEM, OLD, PLAIN),
    "SEC 1": (EC, Encoding.PEM, OLD, PLAIN),
    "DER PKCS#8": (EC, Encoding.DER, PKCS8, PLAIN),
    "DER PKCS#1": (RSA, Encoding.DER, OLD, PLAIN),
    "DER SEC 1": (EC, Encoding.DER, OLD, PLAIN),
    "encrypted PKCS#8": (RSA, Encoding.PEM, PKCS8, LOCKED),
    "encrypted PKCS#1": (RSA, Encoding.PEM, OLD, LOCKED),
    "encrypted SEC 1": (EC, Encoding.PEM, OLD, LOCKED),
    "encrypted DER": (EC, Encoding.DER, PKCS8, LOCKED),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_of_a_key_is_read(form: tuple[Any, Encoding, PrivateFormat, KeySerializationEncryption]) -> None:
    """PEM and DER, old and new, locked or not: the same key comes out; a passphrase too much is ignored."""
    key = read_key(stored(*form), file="a", passphrase=SECRET)
    again = load_pem_private_key(key.pem(), None)

    assert again.private_numbers() == form[0].private_numbers()  # type: ignore[union-attr]  # RSA and EC only
    assert key.pem().startswith(b"-----BEGIN PRIVATE KEY-----\n")


@pytest.mark.parametrize("form", [form for form in FORMS.values() if form[3] is LOCKED])
def test_locked_keys_need_their_passphrase(
    form: tuple[Any, Encoding, PrivateFormat, KeySerializationEncryption],
) -> None:
    """A missing and a wrong passphrase are told apart, with what to do, and never shown."""
    content = stored(*form)

    assert fault_of(content).reason == "passphrase-missing"
    assert fault_of(content, b"").reason == "passphrase-missing"
    assert fault_of(content, SECRET + b"!").reason == "passphrase-wrong"


@pytest.mark.parametrize(
    ("key", "kind", "bits"),
    [
        (RSA, "rsa", 2048),
        (EC, "ec", 256),
        (ed25519.Ed25519PrivateKey.generate(), "ed25519", 256),
        (ed448.Ed448PrivateKey.generate(), "ed448", 456),
        (dsa.generate_private_key(2048), "dsa", 2048),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_kinds_and_sizes(key: Any, kind: str, bits: int) -> None:  # noqa: ANN401 - any key
    """Kind and size of a key are told."""
    read = read_key(stored(key, Encoding.PEM, PKCS8, PLAIN), file="a")

    assert (read.key_type, read.key_bits) == (kind, bits)


def test_a_key_is_matched_by_its_public_half(node: Issued) -> None:
    """The hash of the public half is equal in key and certificate, and differs from any other."""
    assert NODE.key.spki_sha256 == NODE.certificate.spki_sha256
    assert node.key.spki_sha256 != NODE.certificate.spki_sha256


def test_a_key_from_a_combined_file() -> None:
    """A file with certificates and one key gives the key, with CRLF and a byte order mark as well."""
    content = b"\xef\xbb\xbf" + (NODE.full_chain_pem + NODE.key_pem).replace(b"\n", b"\r\n")

    assert read_key(content, file="a") == NODE.key


@pytest.mark.parametrize("how", [PLAIN, LOCKED], ids=["plain", "locked"])
def test_a_key_from_pkcs12(how: KeySerializationEncryption) -> None:
    """PKCS#12 gives its key; one without a key says so."""
    content = pkcs12.serialize_key_and_certificates(b"a", RSA, None, None, how)  # type: ignore[arg-type]  # an RSA key

    assert read_key(content, file="a", passphrase=SECRET if how is LOCKED else None) == NODE.key


def test_pkcs12_without_a_key() -> None:
    """A container of certificates alone has no key."""
    from cryptography import x509

    certificate = x509.load_der_x509_certificate(NODE.certificate.der)
    content = pkcs12.serialize_key_and_certificates(b"a", None, None, [certificate], PLAIN)

    assert fault_of(content).reason == "no-key"


X25519 = stored(x25519.X25519PrivateKey.generate(), Encoding.PEM, PKCS8, PLAIN)
WRONG = {
    "empty": (b"\n", "empty-file", "empty"),
    "text": (b"hello", "no-key", "neither PEM nor DER"),
    "damaged marker": (NODE.key_pem.replace(b"-----", b"---"), "damaged-block", "five hyphens"),
    "certificate": (NODE.certificate_pem, "certificate-not-key", "holds CERTIFICATE, not a private key"),
    "damaged certificate": (NODE.certificate_pem[:200], "damaged-block", "cut short"),
    "DER certificate": (NODE.certificate.der, "certificate-not-key", "a certificate, not a private key"),
    "DER public key": (
        EC.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "certificate-not-key",
        "the public half only",
    ),
    "two keys": (NODE.key_pem * 2, "several-keys", "2 private keys"),
    "cut short": (NODE.key_pem[:500], "damaged-block", "the PRIVATE KEY block is cut short"),
    "cut base64": (NODE.key_pem.replace(b"\n-----END", b"A\n-----END"), "damaged-block", "damaged or cut short"),
    "no key inside": (b"-----BEGIN PRIVATE KEY-----\naGVsbG8=\n-----END PRIVATE KEY-----", "damaged-key", "damaged"),
    "cannot sign": (X25519, "damaged-key", "cannot stand in a certificate"),
    "OpenSSH": (stored(EC, Encoding.PEM, PrivateFormat.OpenSSH, PLAIN), "openssh-key", "OpenSSH's own format"),
}


@pytest.mark.parametrize(("content", "reason", "words"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said(content: bytes, reason: str, words: str) -> None:
    """Each kind of wrong file has its reason, and a message that says what the file is instead."""
    fault = fault_of(content)

    assert fault.reason == reason
    assert words in fault.message


def test_a_wrong_file_has_its_line() -> None:
    """The line of the block at fault is told."""
    assert fault_of(b"\n\n" + X25519).line == 3
    assert fault_of(NODE.key_pem + NODE.key_pem).line == NODE.key_pem.count(b"\n") + 1


def test_a_key_never_shows_itself() -> None:
    """No way of printing, copying or storing a key shows it; ``pem()`` alone does."""
    key = NODE.key
    numbers = RSA.private_numbers()
    assert isinstance(numbers, rsa.RSAPrivateNumbers)

    assert repr(key) == str(key) == f"{key}" == "PrivateKey(rsa 2048, ********)"
    assert not hasattr(key, "__dict__")
    for store in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not serialised"):
            store(key)


def test_equal_public_halves_are_equal_keys() -> None:
    """Keys compare, and hash, by their public half."""
    again = read_key(stored(RSA, Encoding.DER, OLD, PLAIN), file="b")

    assert {again, NODE.key} == {NODE.key}
    assert NODE.key != read_key(stored(EC, Encoding.PEM, PKCS8, PLAIN), file="a")
    assert NODE.key != NODE.key.spki_sha256


def test_rsa_keys_are_not_checked_at_length() -> None:
    """Reading an RSA key takes far less than the 37 ms of the full check."""
    content, rounds = NODE.key_pem, 50
    started = time.perf_counter()
    keys: list[PrivateKey] = [read_key(content, file="a") for _ in range(rounds)]

    assert (time.perf_counter() - started) / rounds < 0.01
    assert len(keys) == rounds


@pytest.mark.judge("openssl")
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_openssl_reads_the_key_that_is_uploaded(
    form: tuple[Any, Encoding, PrivateFormat, KeySerializationEncryption],
    openssl: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """What ``pem()`` writes has the public half that OpenSSL computes."""
    key = read_key(stored(*form), file="a", passphrase=SECRET)
    public = form[0].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    assert openssl("pkey", "-in", "key", "-pubout", key=key.pem()).stdout == public


def test_signs_without_showing_itself(rsa_node: Issued) -> None:
    """The signer makes signatures of the very key, and the key is not shown by it."""
    key = rsa_node.key

    assert key.signer().public_key() == rsa_node.key_pair.public_key()
    assert "BEGIN" not in repr(key)
