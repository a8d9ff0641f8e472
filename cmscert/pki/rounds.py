"""How much work an encrypted file asks for before its passphrase can be tried: a crafted one asks for hours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cmscert.pki.armour import refuse
from cmscert.pki.der import INTEGER, LONG_FORM, OCTET_STRING, SEQUENCE

MOST_ROUNDS = 5_000_000
"""Of key derivation in one file, about two seconds; tools write 2,000 to 600,000."""

MOST_SCRYPT = 1 << 20
"""N times r times p, which is 128 MB when p is 1; tools write 1 << 17."""

MOST_PARTS = 20_000
"""A container of a hundred certificates has 3,000."""

_CONSTRUCTED = 0x20
_LONG_TAG = 0x1F
_DEEPEST = 24
_LONGEST_NUMBER = 16
_SCRYPT_NUMBERS = 3
_OPEN = LONG_FORM


class _Part(NamedTuple):
    tag: int
    content: bytes | memoryview
    inner: tuple[_Part, ...]


def check_rounds(content: bytes, file: str, *, line: int | None = None) -> None:
    """Raise InputError when a PKCS#8 key or PKCS#12 container in DER asks for more work than any tool makes it ask."""
    walk = _Walk()
    rounds = sum(_rounds(walk.parts(memoryview(content), 0)[0]))
    if rounds > MOST_ROUNDS or walk.left <= 0:
        raise refuse(
            file,
            "too-many-rounds",
            "to try a passphrase on it would take longer than with a file of any tool",
            line=line,
            hint="export it again with the usual number of rounds",
        )


def _rounds(parts: tuple[_Part, ...]) -> Iterator[int]:
    """Find salt and count side by side: PBKDF2 (RFC 8018), PKCS#12 (RFC 7292), scrypt (RFC 7914)."""
    for at, part in enumerate(parts):
        yield from _rounds(part.inner)
        numbers = [_number(each) for each in parts[at + 1 : at + 1 + _SCRYPT_NUMBERS] if each.tag == INTEGER]
        if part.tag & ~_CONSTRUCTED != OCTET_STRING or not numbers or parts[at + 1].tag != INTEGER:
            continue
        if len(numbers) == _SCRYPT_NUMBERS:
            cost = numbers[0] * numbers[1] * numbers[2]
            yield MOST_ROUNDS + cost if cost > MOST_SCRYPT else 0
        else:
            yield numbers[0]


def _number(part: _Part) -> int:
    return int.from_bytes(part.content[:_LONGEST_NUMBER], "big")


class _Walk:
    """Takes DER apart as far as it goes, BER's open lengths and divided strings too."""

    def __init__(self) -> None:
        self.left = MOST_PARTS

    def parts(self, der: memoryview, depth: int) -> tuple[tuple[_Part, ...], int]:
        """Return what stands side by side, and where it ended."""
        found: list[_Part] = []
        at = 0
        while at + 2 <= len(der) and der[at] & _LONG_TAG != _LONG_TAG and self.left > 0 and depth < _DEEPEST:
            self.left -= 1
            tag, length, start = der[at], der[at + 1], at + 2
            if tag == 0 and length == 0:  # ends what has an open length
                return tuple(found), start
            if length == _OPEN:
                inner, used = self.parts(der[start:], depth + 1)
                found.append(self._part(tag, der[:0], inner, depth))
                at = start + used
                continue
            if length > LONG_FORM:
                start += length - LONG_FORM
                length = int.from_bytes(der[at + 2 : start], "big")
            at = start + length
            if at > len(der):
                break
            content = der[start:at]
            inner = self.parts(content, depth + 1)[0] if tag & _CONSTRUCTED else ()
            found.append(self._part(tag, content, inner, depth))
        return tuple(found), at

    def _part(self, tag: int, content: memoryview, inner: tuple[_Part, ...], depth: int) -> _Part:
        """Look into octet strings: PKCS#12 keeps its parts in them, and BER may divide one into several."""
        if tag & ~_CONSTRUCTED != OCTET_STRING:
            return _Part(tag, content, inner)
        whole = memoryview(b"".join(each.content for each in inner)) if inner else content
        return _Part(tag, whole, self.parts(whole, depth + 1)[0] if whole[:1] == bytes([SEQUENCE]) else ())
