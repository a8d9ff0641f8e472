"""What a CA says about when to renew (ARI, RFC 9773), as it is kept between runs: pure, without the ACME library."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509

from cmscert.pki.certificate import Certificate

AGAIN: Final = timedelta(hours=6)
"""Until a CA is asked again that does not say when (RFC 9773, section 4.3.3)."""

SOONEST: Final = timedelta(minutes=1)
LATEST: Final = timedelta(days=1)
_KEY: Final = "renewal:"
_NONE: Final = "-"
_PARTS: Final = 3
_SCALE: Final = 1 << 64
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """When a CA suggests to renew (aware UTC); ``start`` and ``end`` are None where it says nothing.

    ``again``: not to be asked again before that.
    """

    start: datetime | None = None
    end: datetime | None = None
    again: datetime

    def moment(self, sha256: str) -> datetime | None:
        """Return the moment in the window that is a certificate's own: always the same, spread evenly (law 13)."""
        if self.start is None or self.end is None:
            return None
        width = (self.end - self.start) // _MICROSECOND
        return self.start + width * (int(sha256[:16], 16)) // _SCALE * _MICROSECOND


def certificate_id(leaf: Certificate) -> str | None:
    """Return what a certificate is called in questions about it (RFC 9773, section 4.1); None where it has no AKI."""
    extensions = x509.load_der_x509_certificate(leaf.der).extensions
    try:
        issuer = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except x509.ExtensionNotFound:
        return None
    if issuer is None:
        return None
    serial = leaf.serial.to_bytes(leaf.serial.bit_length() // 8 + 1, "big", signed=True)
    return f"{_encoded(issuer)}.{_encoded(serial)}"


def again_after(wait: timedelta | None, at: datetime) -> datetime:
    """Return when to ask again; what the CA wishes is held within reason."""
    return at + (AGAIN if wait is None else min(max(wait, SOONEST), LATEST))


def read_windows(facts: Mapping[str, str]) -> dict[str, Window]:
    """Read the windows by the certificates' SHA-256, out of what is kept for an issuer; damaged ones are left out."""
    found = {}
    for key, text in facts.items():
        parts = text.split()
        if key.startswith(_KEY) and len(parts) == _PARTS:
            try:
                start, end, again = (None if part == _NONE else datetime.fromisoformat(part) for part in parts)
            except ValueError:
                continue
            if again is not None:
                found[key.removeprefix(_KEY)] = Window(start=start, end=end, again=again)
    return found


def write_windows(facts: Mapping[str, str], windows: Mapping[str, Window]) -> dict[str, str]:
    """Return what is to be kept for an issuer: these windows in place of all that were there."""
    others = {key: text for key, text in facts.items() if not key.startswith(_KEY)}
    return others | {
        f"{_KEY}{sha256}": " ".join(
            _NONE if moment is None else moment.isoformat() for moment in (one.start, one.end, one.again)
        )
        for sha256, one in windows.items()
    }


def suggested(facts: Mapping[str, str]) -> dict[str, datetime]:
    """Return when each certificate is due as its CA says, by SHA-256."""
    moments = ((sha256, window.moment(sha256)) for sha256, window in read_windows(facts).items())
    return {sha256: moment for sha256, moment in moments if moment is not None}


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
