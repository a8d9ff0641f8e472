"""Just enough DER to tell what a file is, without decoding it."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

SEQUENCE = 0x30
INTEGER = 0x02
OCTET_STRING = 0x04
OBJECT_IDENTIFIER = 0x06
CONTEXT_0 = 0xA0
LONG_FORM = 0x80
MAX_LENGTH_BYTES = 4


class Shape(StrEnum):
    """What DER bytes look like from outside."""

    CERTIFICATE = "certificate"
    REQUEST = "certificate request"
    PKCS7 = "PKCS#7 container"
    PKCS12 = "PKCS#12 container"
    KEY = "private key"
    ENCRYPTED_KEY = "encrypted private key"
    PUBLIC_KEY = "public key"
    UNKNOWN = "unknown"


class Element(NamedTuple):
    """One element: its tag, where its contents begin and where they end."""

    tag: int
    start: int
    end: int


def element(der: bytes, at: int) -> Element | None:
    """Return the element that begins at an offset, or None where there is none or it is cut short."""
    if at + 2 > len(der):
        return None
    tag, length, start = der[at], der[at + 1], at + 2
    if length >= LONG_FORM:
        count = length - LONG_FORM
        if not 0 < count <= MAX_LENGTH_BYTES:
            return None
        length = int.from_bytes(der[start : start + count], "big")
        start += count
    end = start + length
    return Element(tag, start, end) if end <= len(der) else None


def children(der: bytes, parent: Element, count: int) -> tuple[Element, ...]:
    """Return the first elements inside another one, at most ``count``."""
    found: list[Element] = []
    at = parent.start
    while len(found) < count and at < parent.end:
        child = element(der, at)
        if child is None:
            break
        found.append(child)
        at = child.end
    return tuple(found)


def shape(der: bytes) -> Shape:  # noqa: PLR0911 - one line for each shape reads best
    """Tell what DER bytes are by their outermost tags: RFC 5280, 2986, 5652, 7292, 5958, 8017, 5915."""
    outer = element(der, 0)
    if outer is None or outer.tag != SEQUENCE:
        return Shape.UNKNOWN
    parts = children(der, outer, 3)
    match [part.tag for part in parts]:
        case [0x06, 0xA0, *_]:
            return Shape.PKCS7
        case [0x02, 0x30, 0x30] | [0x02, 0x30] if der[parts[0].start : parts[0].end] == b"\x03":
            return Shape.PKCS12
        case [0x02, 0x30 | 0x02 | 0x04, *_]:
            return Shape.KEY
        case [0x30, 0x04]:
            return Shape.ENCRYPTED_KEY
        case [0x30, 0x03]:
            return Shape.PUBLIC_KEY
        case [0x30, 0x30, 0x03]:
            return _signed(der, parts[0])
        case _:
            return Shape.UNKNOWN


def _signed(der: bytes, signed: Element) -> Shape:
    """Tell a certificate from a request: a request is INTEGER, name, key, [0]; a v1 certificate has no [0] in front."""
    match [part.tag for part in children(der, signed, 5)]:
        case [0xA0, 0x02, *_] | [0x02, 0x30, 0x30, 0x30, 0x30]:
            return Shape.CERTIFICATE
        case [0x02, 0x30, 0x30, *_]:
            return Shape.REQUEST
        case _:
            return Shape.UNKNOWN


def public_key_bytes(tbs: bytes) -> bytes:
    """Return the SubjectPublicKeyInfo as it stands in the signed part of a certificate, b"" where there is none."""
    outer = element(tbs, 0)
    parts = children(tbs, outer, 7) if outer is not None else ()
    versioned = bool(parts) and parts[0].tag == CONTEXT_0
    at = 5 + versioned
    if len(parts) <= at:
        return b""
    return tbs[parts[at - 1].end : parts[at].end]
