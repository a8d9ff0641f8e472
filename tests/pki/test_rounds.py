"""Crafted files that would keep the machine busy: key derivation without end, and piles of namesakes."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import serialization as forms
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509 import load_pem_x509_certificate

from cmscert.errors import InputError
from cmscert.pki.chain import build_chain
from cmscert.pki.keys import read_key
from cmscert.pki.pem import read_certificates
from cmscert.pki.rounds import MOST_PARTS, MOST_ROUNDS, check_rounds
from cmscert.testing.ca import ThrowAwayCa

LEAF = ThrowAwayCa.root("Rounds CA").issue("cms.example.com")
LAB = forms.BestAvailableEncryption(b"lab")
CONTAINER = pkcs12.serialize_key_and_certificates(
    b"cms", LEAF.key._loaded, load_pem_x509_certificate(LEAF.certificate_pem), None, LAB
)
KEY = LEAF.key._loaded.private_bytes(forms.Encoding.DER, forms.PrivateFormat.PKCS8, LAB)
ENDLESS = bytes.fromhex("7fffffff")


def tlv(tag: int, content: bytes) -> bytes:
    """Write one element of DER."""
    size = len(content)
    long = bytes([0x81, size]) if size < 256 else bytes([0x82, size >> 8, size & 255])
    length = bytes([size]) if size < 128 else long
    return bytes([tag]) + length + content


def opened(tag: int, content: bytes) -> bytes:
    """Write one element of BER with an open length."""
    return bytes([tag, 0x80]) + content + b"\0\0"


def with_rounds(der: bytes, count: bytes, seq: Callable[[int, bytes], bytes] = tlv, *, inner: bool = False) -> bytes:
    """Write DER anew with another count behind every salt, and with other lengths inside octet strings."""
    out, at, before = b"", 0, 0
    while at < len(der):
        tag, size, start = der[at], der[at + 1], at + 2
        if size & 0x80:
            start += size & 0x7F
            size = int.from_bytes(der[at + 2 : start], "big")
        content = der[start : start + size]
        inside = tag == 4 and content[:1] == b"\x30" and len(content) > 40
        if tag & 0x20 or inside:
            content = with_rounds(content, count, seq, inner=inner or inside)
        out += (
            seq(tag, content)
            if tag & 0x20 and inner
            else tlv(tag, content)
            if tag & 0x20
            else tlv(tag, count if (before, tag) == (4, 2) else content)
        )
        before, at = tag, start + size
    return out


def params(*parts: bytes) -> bytes:
    """Write a salt and what follows it."""
    return tlv(0x30, tlv(4, b"saltsalt") + b"".join(parts))


def test_what_tools_write_opens() -> None:
    """Containers and keys with the usual number of rounds are read; written anew by these tests, too."""
    assert with_rounds(KEY, bytes.fromhex("0800")) == KEY
    assert read_certificates(CONTAINER, file="f", passphrase=b"lab") == (LEAF.certificate,)
    assert read_key(KEY, file="f", passphrase=b"lab") == LEAF.key


@pytest.mark.parametrize("seq", [tlv, opened])
@pytest.mark.parametrize("passphrase", [None, b"lab"])
def test_a_container_that_asks_for_hours(passphrase: bytes | None, seq: Callable[[int, bytes], bytes]) -> None:
    """Two thousand million rounds are refused at once, with a passphrase or without, in DER and in BER."""
    crafted = tlv(0x30, with_rounds(CONTAINER[4:], ENDLESS, seq))
    for read in (read_certificates, read_key):
        began = time.monotonic()
        with pytest.raises(InputError) as caught:
            read(crafted, file="f", passphrase=passphrase)
        assert [fault.reason for fault in caught.value.faults] == ["too-many-rounds"]
        assert time.monotonic() - began < 1


@pytest.mark.parametrize("header", [b"", b"Remark: none\n\n"])
def test_a_key_that_asks_for_hours(header: bytes) -> None:
    """So is a key, in DER, in PEM, and in PEM with a header, which takes another way."""
    import base64

    crafted = with_rounds(KEY, ENDLESS)
    marks = (b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n", b"-----END ENCRYPTED PRIVATE KEY-----\n")
    for content in (crafted, marks[0] + header + base64.encodebytes(crafted) + marks[1]):
        with pytest.raises(InputError) as caught:
            read_key(content, file="f", passphrase=b"lab")
        assert [fault.reason for fault in caught.value.faults] == ["too-many-rounds"]


@pytest.mark.parametrize(
    ("crafted", "fits"),
    [
        (params(tlv(2, (600_000).to_bytes(3, "big"))), True),
        (params(tlv(2, (600_000).to_bytes(3, "big"))) * 10, False),  # each is usual, all together are not
        (params(tlv(2, b"\x08\x00"), tlv(2, b"\x20")), True),  # PBKDF2 with the length of the key
        (params(tlv(2, b"\x40\x00"), tlv(2, b"\x08"), tlv(2, b"\x01")), True),  # scrypt, as RFC 7914 has it
        (params(tlv(2, b"\x40\x00"), tlv(2, b"\x08"), tlv(2, b"\x7f\xff\xff")), False),
        (params(tlv(4, b"x")), True),
        (params(), True),
        (params(tlv(2, b"")), True),
        (params(tlv(4, b"x"), tlv(2, ENDLESS)), False),
        (params(tlv(0x30, b""), tlv(2, ENDLESS)), True),  # a number that follows no salt
        (tlv(0x24, tlv(4, b"\x30\x80") + tlv(4, params(tlv(2, ENDLESS)))), False),  # a string in pieces
        (tlv(0x24, tlv(4, b"ab")), True),
        (tlv(0x30, b"") * (MOST_PARTS + 1), False),
        (b"\x30\x80" * 100 + params(tlv(2, ENDLESS)), True),  # deeper than any container: nothing reads it
        (b"\x30\x85\0\0\0\0\x01x", True),
        (b"\x30\x05x", True),
        (b"\x1f\x81\x01x", True),
        (b"", True),
    ],
)
def test_what_is_too_much(crafted: bytes, *, fits: bool) -> None:
    """Rounds are added up over the whole file; what is no DER is left to whoever reads it."""
    try:
        check_rounds(crafted, "f")
    except InputError:
        assert not fits
    else:
        assert fits


def test_the_limit_is_far_from_what_tools_write() -> None:
    """The most that a tool is known to write is 600,000 rounds, and a container has three or four places for them."""
    assert MOST_ROUNDS > 4 * 600_000


def test_a_pile_of_namesakes() -> None:
    """Hundreds of CA certificates of one name do not mean every signature of each; other chains are still found."""
    ca = ThrowAwayCa.root("Same")
    pile = [ca.intermediate("Same").certificate for _ in range(400)]
    top = ThrowAwayCa.root("Top")
    right = top.intermediate("Issuing")
    leaf = right.issue("cms.example.com")
    began = time.process_time()

    assert build_chain(leaf.certificate, [*pile, right.certificate, top.certificate]) == (
        right.certificate,
        top.certificate,
    )
    assert time.process_time() - began < 5
