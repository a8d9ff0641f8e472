"""How facts are put for people: decoded, short, never PEM."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from cmscert.pki.certificate import Certificate

_SHORT = 8


def day(moment: datetime) -> str:
    """Draw a moment as an ISO date."""
    return moment.strftime("%Y-%m-%d")


def name_of(certificate: Certificate) -> str:
    """Return the common name, or the whole subject where there is none."""
    return certificate.common_name or certificate.subject or "(no subject)"


def summary(certificate: Certificate) -> str:
    """Draw one certificate in a line: name, issuer, end, and enough of the fingerprint to tell two apart."""
    issuer = "itself" if certificate.self_issued else (certificate.issuer_common_name or certificate.issuer)
    return (
        f"{name_of(certificate)}, issued by {issuer}, until {day(certificate.not_after)} "
        f"({certificate.sha256[:_SHORT]})"
    )


def names(certificates: Iterable[Certificate]) -> str:
    """Draw a set of certificates by name, in the order given."""
    shown = ", ".join(f"{name_of(crt)} ({crt.sha256[:_SHORT]})" for crt in certificates)
    return shown or "nothing"


def order(certificates: Iterable[Certificate]) -> str:
    """Draw the order of a file."""
    return " > ".join(name_of(crt) for crt in certificates)


def time_left(end: datetime, moment: datetime) -> str:
    """Draw how long until ``end``, or for how long it has been over."""
    left = end - moment
    days = abs(left) // timedelta(days=1)
    amount = f"{days} day{'' if days == 1 else 's'}" if days else f"{abs(left) // timedelta(hours=1)} h"
    return f"expires in {amount}" if left > timedelta() else f"expired {amount} ago"
