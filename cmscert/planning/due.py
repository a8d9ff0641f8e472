"""When a certificate is due for renewal: one function, so that plan, status, drift and renew agree."""

from __future__ import annotations

from datetime import datetime

from cmscert.model.desired import Due
from cmscert.pki.certificate import Certificate


def end_of(certificates: tuple[Certificate, ...]) -> datetime:
    """Return the moment from which a chain is no longer valid: the earliest end in it."""
    return min(certificate.not_after for certificate in certificates)


def due_at(certificates: tuple[Certificate, ...], due: Due) -> datetime:
    """Return the moment from which a certificate (leaf first, then its chain) is due.

    A share of life counts from the leaf's ``not_before`` to the end of the chain.
    """
    end = end_of(certificates)
    moments = []
    if due.life_left is not None:
        life = end - certificates[0].not_before
        moments.append(end - life * due.life_left.numerator / due.life_left.denominator)
    if due.time_left is not None:
        moments.append(end - due.time_left)
    return min(moments, default=end)


def is_due(certificates: tuple[Certificate, ...], due: Due, moment: datetime) -> bool:
    """Tell whether it is time to renew; the very moment counts as due."""
    return moment >= due_at(certificates, due)
