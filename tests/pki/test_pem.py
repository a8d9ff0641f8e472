from __future__ import annotations

import base64
import codecs
import subprocess
from collections.abc import Callable, Iterable
from contextlib import suppress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs7,
    pkcs12,
)
from hypothesis import example, given
from hypothesis import strategies as st

from cmscert.errors import Fault, InputError
from cmscert.pki.armour import MAX_BYTES
from cmscert.pki.certificate import Certificate
from cmscert.pki.keys import read_key
from cmscert.pki.pem import read_certificates, to_pem
from cmscert.testing.ca import ThrowAwayCa

SECRET = b"correct horse"
ROOT = ThrowAwayCa.root("Root")
NODE = ROOT.intermediate("Issuing").issue("node", ("node",))
PEM = NODE.full_chain_pem


def loaded(certificates: Iterable[Certificate]) -> list[x509.Certificate]:
    """Return the certificates as ``cryptography`` has them."""
    return [x509.load_der_x509_certificate(one.der) for one in certificates]


def pfx(encryption: KeySerializationEncryption) -> bytes:
    """Return key, certificate and chain as PKCS#12."""
    own, *others = loaded(NODE.full_chain)
    return pkcs12.serialize_key_and_certificates(b"a", NODE.key_pair, own, others, encryption)


def fault_of(content: bytes, *, passphrase: bytes | None = None) -> Fault:
    """Return the one fault that a file has."""
    with pytest.raises(InputError) as caught:
        read_certificates(content, file="node.crt", passphrase=passphrase)
    (fault,) = caught.value.faults
    assert fault.file == "node.crt"
    assert SECRET.decode() not in f"{caught.value} {caught.value.hint} {caught.value!r}"
    return fault


WAYS = {
    "as written": PEM,
    "CRLF": PEM.replace(b"\n", b"\r\n"),
    "lone CR": PEM.replace(b"\n", b"\r"),
    "byte order mark": codecs.BOM_UTF8 + PEM,
    "UTF-16 little": PEM.decode().encode("utf-16"),
    "UTF-16 big": codecs.BOM_UTF16_BE + PEM.decode().encode("utf-16-be"),
    "no line end between": PEM.replace(b"-----\n-----BEGIN", b"----------BEGIN"),
    "no line end at the end": PEM.rstrip(),
    "many line ends": b"\n\n" + PEM.replace(b"-----END", b"\n-----END") + b"\n\n\n",
    "indented": b"".join(b"    " + line for line in PEM.splitlines(keepends=True)),
    "text around": b"subject=CN=node\n0 s:CN=x\n"
    + PEM.replace(b"-----BEGIN", b"Bag Attributes\n-----BEGIN")
    + b"-- \nbye",
    "text in Latin-1": "für uns\n".encode("latin-1") + PEM,
    "one long line": PEM.replace(b"\n", b"").replace(b"CERTIFICATE-----MII", b"CERTIFICATE-----\nMII"),
    "headers in the block": PEM.replace(b"CERTIFICATE-----\nMII", b"CERTIFICATE-----\nX-Tag: a\n  b\n\nMII"),
    "old label": PEM.replace(b" CERTIFICATE", b" X509 CERTIFICATE"),
    "trust settings": PEM.replace(b" CERTIFICATE", b" TRUSTED CERTIFICATE"),
    "a key in front": NODE.key_pem + PEM,
    "curve parameters in front": b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    + PEM,
    "PKCS#12 without passphrase": pfx(NoEncryption()),
}


@pytest.mark.parametrize("content", WAYS.values(), ids=WAYS)
def test_every_way_to_save_a_chain_is_read(content: bytes) -> None:
    """Whatever editors, mail programs and Windows do to PEM, the certificates come out, in order."""
    assert read_certificates(content, file="a") == NODE.full_chain


def test_der_is_read() -> None:
    """One certificate in DER is read."""
    assert read_certificates(NODE.certificate.der, file="a") == (NODE.certificate,)


def test_duplicates_are_kept() -> None:
    """A certificate that stands twice is told twice: a rule speaks about it."""
    assert read_certificates(PEM * 2, file="a") == NODE.full_chain * 2


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_pkcs7_is_read(encoding: Encoding) -> None:
    """PKCS#7, as Windows exports chains (``.p7b``), gives all certificates."""
    content = pkcs7.serialize_certificates(loaded(NODE.full_chain), encoding)

    assert set(read_certificates(content, file="a")) == set(NODE.full_chain)


def test_pkcs12_needs_its_passphrase() -> None:
    """The right passphrase opens it; a missing and a wrong one are told apart, and never shown."""
    content = pfx(BestAvailableEncryption(SECRET))

    assert read_certificates(content, file="a", passphrase=SECRET) == NODE.full_chain
    assert fault_of(content).reason == "passphrase-missing"
    assert fault_of(content, passphrase=SECRET + b"!").reason == "passphrase-wrong"


def test_pkcs12_without_a_certificate() -> None:
    """A container with a key alone has no certificate."""
    content = pkcs12.serialize_key_and_certificates(b"a", NODE.key_pair, None, None, NoEncryption())

    assert fault_of(content).reason == "no-certificate"


def test_pkcs12_with_a_damaged_certificate() -> None:
    """A container whose certificate cannot be read says so."""
    good = ROOT.issue("umlaut", ("umlaut.example.com",)).certificate.der
    damaged = x509.load_der_x509_certificate(good.replace(b"umlaut.example", b"uml\xe4ut.example"))
    content = pkcs12.serialize_key_and_certificates(b"a", None, damaged, None, NoEncryption())

    assert fault_of(content).reason == "damaged-certificate"


FIRST_END = PEM.index(b"-----END")
REQUEST = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(NODE.key_pair, SHA256())  # type: ignore[arg-type]  # an EC key
PUBLIC = NODE.key_pair.public_key()
WRONG = {
    "empty": (b"", "empty-file", "empty"),
    "blank": (b" \r\n\t\n\0", "empty-file", "empty"),
    "too large": (b"a" * (MAX_BYTES + 1), "too-large", "10000001 bytes"),
    "text": (b"hello", "no-certificate", "neither PEM nor DER"),
    "garbage": (bytes(range(256)), "no-certificate", "neither PEM nor DER"),
    "only a name": (b"-----BEGIN CERTIFICATE", "damaged-block", "five hyphens"),
    "four hyphens": (PEM.replace(b"-----", b"----"), "damaged-block", "five hyphens"),
    "no END": (PEM[:FIRST_END], "damaged-block", "the CERTIFICATE block is cut short: the file ends"),
    "no BEGIN": (PEM[100 : FIRST_END + 40], "damaged-block", "no BEGIN line before it"),
    "another BEGIN": (PEM[:300] + b"\n" + PEM, "damaged-block", "another block begins at line 7"),
    "other END": (PEM[:FIRST_END] + b"-----END PKCS7-----", "damaged-block", "ends with the END line of PKCS7"),
    "cut base64": (PEM[: FIRST_END - 2] + PEM[FIRST_END:], "damaged-block", "damaged or cut short"),
    "strange letters": (PEM.replace(b"MII", b"M!I", 1), "damaged-block", "damaged or cut short"),
    "nothing inside": (b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", "damaged-block", "is empty"),
    "cut at four letters": (PEM[:101] + PEM[FIRST_END:], "damaged-certificate", "the certificate is cut short"),
    "base64 of text": (
        b"-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----",
        "damaged-certificate",
        "not an X.509",
    ),
    "trust settings of nothing": (
        b"-----BEGIN TRUSTED CERTIFICATE-----\naGVsbG8=\n-----END TRUSTED CERTIFICATE-----",
        "damaged-certificate",
        "not an X.509",
    ),
    "a key": (NODE.key_pem, "key-not-certificate", "holds a private key, not a certificate"),
    "a request": (REQUEST.public_bytes(Encoding.PEM), "request-not-certificate", "a certificate request (CSR)"),
    "a public key": (
        PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "no-certificate",
        "holds PUBLIC KEY, not a certificate",
    ),
    "DER key": (
        NODE.key_pair.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        "key-not-certificate",
        "holds a private key",
    ),
    "DER key, encrypted": (
        NODE.key_pair.private_bytes(Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(SECRET)),
        "key-not-certificate",
        "holds a private key",
    ),
    "DER key, SEC 1": (
        NODE.key_pair.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
        "key-not-certificate",
        "holds a private key",
    ),
    "DER request": (REQUEST.public_bytes(Encoding.DER), "request-not-certificate", "a certificate request (CSR)"),
    "DER public key": (
        PUBLIC.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "key-not-certificate",
        "a bare public key",
    ),
    "DER with more behind": (NODE.certificate.der + b"more", "damaged-certificate", "not an X.509 certificate"),
    "PKCS#7 of nothing": (bytes.fromhex("300f06092a864886f70d010702a0020500"), "damaged-certificate", "PKCS#7"),
}


@pytest.mark.parametrize(("content", "reason", "words"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said(content: bytes, reason: str, words: str) -> None:
    """Each kind of wrong file has its reason, and a message that says what the file is instead."""
    fault = fault_of(content)

    assert fault.reason == reason
    assert words in fault.message


def test_all_wrong_blocks_are_told_with_their_lines() -> None:
    """Every damaged block is named at once, each with its line."""
    lines = PEM.split(b"\n")
    begins = [number for number, line in enumerate(lines) if b"BEGIN" in line]
    for number in begins[:2]:
        lines[number + 1] = b"!" + lines[number + 1]
    with pytest.raises(InputError) as caught:
        read_certificates(b"\r\n".join(lines), file="a")

    assert [fault.line for fault in caught.value.faults] == [number + 1 for number in begins[:2]]
    assert str(caught.value).startswith("a:1: the base64 text")


def test_an_empty_pkcs7_has_no_certificates() -> None:
    """A well-formed PKCS#7 container without certificates is refused."""
    missing = bytes.fromhex("302306092a864886f70d010702a01630140201013100300b06092a864886f70d0107013100")
    empty = bytes.fromhex("302506092a864886f70d010702a01830160201013100300b06092a864886f70d010701a0003100")

    for content in (missing, empty):
        assert fault_of(content).reason == "damaged-certificate"


def test_pem_out_is_exact() -> None:
    """LF, lines of 64, nothing between blocks, one line end after the last ([S7])."""
    lines = PEM.split(b"\n")

    assert b"\r" not in PEM
    assert PEM.endswith(b"-----END CERTIFICATE-----\n")
    assert b"" not in lines[:-1]
    assert max(map(len, lines)) == 64
    assert to_pem(()) == b""


@given(st.lists(st.sampled_from(NODE.full_chain), min_size=1))
def test_pem_round_trip(certificates: list[Certificate]) -> None:
    """What is written is read back, equal and in order."""
    assert read_certificates(to_pem(certificates), file="a") == tuple(certificates)


def survives(content: bytes) -> None:
    """Read bytes in both ways: a result or InputError, nothing else."""
    for read in (read_certificates, read_key):
        with suppress(InputError):
            read(content, file="a")


@given(st.binary(max_size=300))
@example(b"0")
@example(b"-----BEGIN A-----")
@example(b"-----BEGIN  -----\n\n-----END  -----")
@example(b"\xff\xfe0")
def test_random_bytes_never_crash(content: bytes) -> None:
    """Random bytes give InputError and nothing else."""
    survives(content)


FILES = (PEM, NODE.certificate.der, NODE.key_pem, NODE.key_pem + PEM, REQUEST.public_bytes(Encoding.DER))


@given(st.sampled_from(FILES), st.data())
def test_damaged_files_never_crash(content: bytes, draw: st.DataObject) -> None:
    """Any cut and any changed bytes in a good file give a result or InputError."""
    start = draw.draw(st.integers(0, len(content)))
    end = draw.draw(st.integers(start, min(len(content), start + 20)))
    survives(content[:start] + draw.draw(st.binary(max_size=20)) + content[end:])


@given(
    st.lists(st.sampled_from([b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----", b"\n", b"MII=", b"a: b\n"]))
)
def test_markers_in_any_order_never_crash(parts: list[bytes]) -> None:
    """Markers and bits of blocks in any order give InputError."""
    survives(b"".join(parts))


def test_a_file_full_of_begin_lines_ends_soon() -> None:
    """Reading takes time in proportion to the file, also where no block is ever closed."""
    content = b"-----BEGIN CERTIFICATE-----\n" * 20_000
    with pytest.raises(InputError) as caught:
        read_certificates(content, file="a")

    assert len(caught.value.faults) == 20_000


@pytest.mark.judge("openssl")
def test_openssl_reads_what_is_written(openssl: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """OpenSSL finds the same certificates in our PEM, and verifies the chain from it."""
    leaf, issuing, root = NODE.full_chain
    stored = openssl("storeutl", "-noout", "-certs", "full.pem", **{"full.pem": PEM})
    fingerprint = openssl("x509", "-in", "full.pem", "-noout", "-fingerprint", "-sha256").stdout
    files = {"leaf": to_pem((leaf,)), "issuing": to_pem((issuing,)), "root": to_pem((root,))}
    verified = openssl("verify", "-CAfile", "root", "-untrusted", "issuing", "leaf", **files)

    assert "Total found: 3" in stored.stdout
    assert leaf.sha256 in fingerprint.replace(":", "").lower()
    assert verified.stdout == "leaf: OK\n"


@pytest.mark.judge("openssl")
@pytest.mark.parametrize("options", [(), ("-legacy",)], ids=["modern", "legacy ciphers"])
def test_containers_made_by_openssl_are_read(
    options: tuple[str, ...], openssl: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """PKCS#12 and PKCS#7 files that OpenSSL writes are read, with old ciphers as well."""
    files = {"chain.pem": PEM, "key.pem": NODE.key_pem}
    done = openssl(
        *(
            "pkcs12",
            "-export",
            "-in",
            "chain.pem",
            "-inkey",
            "key.pem",
            "-out",
            "a.p12",
            "-passout",
            "pass:x",
            *options,
        ),
        **files,
    )
    assert done.returncode == 0, done.stderr
    told = openssl("base64", "-in", "a.p12").stdout
    content = base64.b64decode(told)
    openssl("crl2pkcs7", "-nocrl", "-certfile", "chain.pem", "-outform", "DER", "-out", "a.p7b")
    container = base64.b64decode(openssl("base64", "-in", "a.p7b").stdout)

    assert read_certificates(content, file="a", passphrase=b"x") == NODE.full_chain
    assert read_key(content, file="a", passphrase=b"x") == NODE.key
    assert read_certificates(container, file="a") == NODE.full_chain
