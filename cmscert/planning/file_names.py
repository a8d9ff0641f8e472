"""Names on the node (contract, "Names on the node"): same content, same name, so that putting is idempotent."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from functools import lru_cache
from typing import Literal

from cmscert.pki.certificate import Certificate
from cmscert.pki.pem import to_pem

_LONGEST = 64
_SHORT = 8
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")
_PAIR = re.compile(r"(?P<stem>[A-Za-z0-9_-]+)-(?P<date>\d{8})-(?P<hash>[0-9a-f]{8})\.(?P<ending>crt|key)")
_BUNDLE = re.compile(r"(?P<stem>[A-Za-z0-9_-]+)-(?P<hash>[0-9a-f]{8})\.crt")


def certificate_name(certificate: str, leaf: Certificate, content: bytes) -> str:
    """Name a certificate file: name in the inventory, day of issue, hash of the file's bytes."""
    return _join(certificate, f"-{leaf.not_before:%Y%m%d}-{hashlib.sha256(content).hexdigest()[:_SHORT]}.crt")


def key_name(certificate: str, leaf: Certificate, spki: str) -> str:
    """Name a key file after the public half, never after the key's own bytes."""
    return _join(certificate, f"-{leaf.not_before:%Y%m%d}-{spki[:_SHORT]}.key")


def device_basename(certificate: str, moment: datetime, mark: str) -> str:
    """Name what a server makes (``pki csr``), without ending: of this tool's pattern, so that it is removed in time.

    ``mark``: eight hex digits that nothing else has.
    """
    return _join(certificate, f"-{moment:%Y%m%d}-{mark}.key").removesuffix(".key")


def bundle_name(bundle: str, content: bytes) -> str:
    """Name a bundle file."""
    return _join(bundle, f"-{hashlib.sha256(content).hexdigest()[:_SHORT]}.crt")


def saved_name(file: str, date: str, mark: str) -> str:
    """Name the copy of a file that is about to be overwritten: of this tool's pattern, so that it is removed in time.

    ``date`` (YYYYMMDD) and ``mark`` (hex) tell two saved revisions apart.
    """
    stem, _, ending = file.rpartition(".")
    tail = f"-saved-{date}-{mark[:_SHORT]}.{'key' if ending == 'key' else 'crt'}"
    return _join(stem, tail)


def content_id(content: bytes) -> str:
    """Name public bytes in a plan."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@lru_cache(maxsize=1024)  # the same certificates go to many servers
def file_bytes(certificates: tuple[Certificate, ...]) -> bytes:
    """Return the bytes of a file that holds these certificates."""
    return to_pem(certificates)


def own_kind(name: str) -> tuple[Literal["crt", "key", "bundle"], str, str] | None:
    """Tell whether this tool named a file: (kind, stem, day of issue or ""); None for all others."""
    if found := _PAIR.fullmatch(name):
        return ("key" if found["ending"] == "key" else "crt"), found["stem"], found["date"]
    if found := _BUNDLE.fullmatch(name):
        return "bundle", found["stem"], ""
    return None


def stem_of(name: str) -> str:
    """Return a name of the inventory as it appears in file names (letters, digits, hyphen, underscore)."""
    return _UNSAFE.sub("_", name)


def _join(name: str, tail: str) -> str:
    return stem_of(name)[: _LONGEST - len(tail)] + tail
