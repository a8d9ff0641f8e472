"""The certificates that a database works on, and whether two databases would talk (facts 5.5 and 5.6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Final

from cryptography.x509.oid import NameOID

from cmscert.lab import material

FIVE: Final = 5
THREE: Final = 3
LABELS: Final = ("Server Key", "Server Certificate", "Client Key", "Client Certificate", "CA Certificate")  # T-51
_CLIENT_NAME: Final = "postgres"  # [S2], [S20]
_CACHED: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """Contents under /srv/pgsql (T-53). The server's are None on a node that only connects."""

    server_key: bytes | None = field(default=None, repr=False)
    server_certificate: bytes | None = None
    client_key: bytes = field(repr=False)
    client_certificate: bytes
    ca: bytes

    @classmethod
    def of(cls, contents: Sequence[bytes]) -> Copies:
        """Take three or five contents in the order of ``database cluster certs``."""
        client_key, client_certificate, ca = contents[-THREE:]
        server = contents[:-THREE] or (None, None)
        return cls(
            server_key=server[0],
            server_certificate=server[1],
            client_key=client_key,
            client_certificate=client_certificate,
            ca=ca,
        )


def flaw(copies: Copies, at: datetime) -> str | None:
    """Say why nobody can be talked to with these files; None when they are good."""
    reason = _flaw(copies)
    if reason is None and any(_expired(part, at) or _early(part, at) for part in _parts(copies)):
        return "a certificate has expired or is not valid yet"
    return reason


def expired_rows(copies: Copies, at: datetime) -> set[str]:
    """Return the labels of the certificates that are expired."""
    contents = (copies.server_certificate, copies.client_certificate, copies.ca)
    labels = (LABELS[1], LABELS[3], LABELS[4])
    return {label for label, content in zip(labels, contents, strict=True) if content and _expired(content, at)}


def accepts(server: Copies, client: Copies) -> bool:
    """Tell whether a client and a server with good files of their own accept each other (verify-ca both ways)."""
    assert server.server_certificate is not None
    return _issued(server.server_certificate, client.ca) and _issued(client.client_certificate, server.ca)


def _parts(copies: Copies) -> list[bytes]:
    return [part for part in (copies.server_certificate, copies.client_certificate, copies.ca) if part is not None]


@lru_cache(_CACHED)
def _flaw(copies: Copies) -> str | None:
    pairs = [(copies.client_key, copies.client_certificate)]
    if copies.server_key is not None and copies.server_certificate is not None:
        pairs.append((copies.server_key, copies.server_certificate))
    try:
        for key, certificate in pairs:
            if not material.fits(key, certificate):
                return "a key does not belong to its certificate"
            if not _issued(certificate, copies.ca):
                return "a certificate is not from the CA"
    except material.UnreadableError:
        return "a file cannot be read"
    names = material.certificates(copies.client_certificate)[0].subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if [name.value for name in names] != [_CLIENT_NAME]:
        return f"the client is not called {_CLIENT_NAME}"
    return None


@lru_cache(_CACHED)
def _issued(certificate: bytes, ca: bytes) -> bool:
    leaf, *presented = material.certificates(certificate)
    return material.chains_to(leaf, presented, material.certificates(ca))


def _expired(content: bytes, at: datetime) -> bool:
    try:
        return any(certificate.not_valid_after_utc < at for certificate in material.certificates(content))
    except material.UnreadableError:
        return False


def _early(content: bytes, at: datetime) -> bool:
    return any(certificate.not_valid_before_utc > at for certificate in material.certificates(content))
