"""Facts of a certificate."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """One X.509 certificate as facts. Two are equal when their DER bytes are.

    Times are aware UTC. ``sha256`` and ``spki_sha256`` are lower-case hex. ``ekus`` and ``key_usage`` are None when the
    extension is missing, otherwise short names (``serverAuth``) or dotted OIDs.
    """

    der: bytes = field(repr=False)
    sha256: str
    spki_sha256: str = field(compare=False)
    subject: str = field(compare=False)
    issuer: str = field(compare=False)
    common_name: str | None = field(compare=False)
    issuer_common_name: str | None = field(compare=False)
    serial: int = field(compare=False)
    not_before: datetime = field(compare=False)
    not_after: datetime = field(compare=False)
    dns_names: tuple[str, ...] = field(compare=False, default=())
    ip_addresses: tuple[str, ...] = field(compare=False, default=())
    emails: tuple[str, ...] = field(compare=False, default=())
    uris: tuple[str, ...] = field(compare=False, default=())
    key_type: str = field(compare=False, default="rsa")
    key_bits: int = field(compare=False, default=0)
    signature_hash: str | None = field(compare=False, default=None)
    ekus: tuple[str, ...] | None = field(compare=False, default=None)
    key_usage: tuple[str, ...] | None = field(compare=False, default=None)
    is_ca: bool = field(compare=False, default=False)
    self_issued: bool = field(compare=False, default=False)
    path_length: int | None = field(compare=False, default=None)

    @property
    def names(self) -> tuple[str, ...]:
        """Names a TLS client would accept: DNS names and addresses of the SAN."""
        return (*self.dns_names, *self.ip_addresses)


@lru_cache(maxsize=8192)
def parse_certificate(der: bytes) -> Certificate:
    """Read one DER certificate; the same bytes give the same object.

    Raises ValueError with one sentence for a person. Keys of an algorithm that cannot be loaded are no error: then
    ``key_type`` is the dotted OID, ``key_bits`` 0 and ``spki_sha256`` is over the bytes as they stand.
    """
    from cmscert.pki import facts  # late: cryptography costs 90 ms of start-up, and the values need none of it

    return facts.certificate_facts(bytes(der))
