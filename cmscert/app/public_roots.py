"""The roots that browsers trust, as Mozilla's list has them: what is below one of these follows the public rules."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from cmscert.pki.pem import read_certificates


@cache
def public_roots() -> frozenset[str]:
    """Return the subjects (RFC 4514) of the public roots."""
    import certifi

    path = Path(certifi.where())
    return frozenset(one.subject for one in read_certificates(path.read_bytes(), file=path.name))
