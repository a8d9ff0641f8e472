"""When a certificate is due for renewal: one function, so that plan, status, drift and renew agree."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from fractions import Fraction
from functools import lru_cache
from typing import Final

from cmscert.model.desired import Due
from cmscert.pki.certificate import Certificate
from cmscert.pki.chain import build_chain

_SHARE: Final = Fraction(1, 3)
_MICROSECOND: Final = timedelta(microseconds=1)


def chain_of(leaf: Certificate, pile: Iterable[Certificate]) -> tuple[Certificate, ...]:
    """Return a leaf and its issuers, out of whatever is known: what else lies there does not end with it."""
    return _chain_of(leaf, tuple(pile))


@lru_cache(maxsize=1024)  # the same files lie on many servers
def _chain_of(leaf: Certificate, pile: tuple[Certificate, ...]) -> tuple[Certificate, ...]:
    return (leaf, *build_chain(leaf, pile))


def end_of(certificates: tuple[Certificate, ...]) -> datetime:
    """Return the moment from which a chain is no longer valid: the earliest end in it."""
    return min(certificate.not_after for certificate in certificates)


def due_at(certificates: tuple[Certificate, ...], due: Due) -> datetime:
    """Return the moment from which a certificate (leaf first, then its chain) is due.

    A share of life counts from the leaf's ``not_before`` to the end of the chain. Days that are as long as that life
    or longer count as a third of it: otherwise it would be due the moment it is issued, and asked for in every run.
    What the CA itself suggests (ARI, RFC 9773) wins, but for the end.
    """
    end = end_of(certificates)
    suggested = due.suggested.get(certificates[0].sha256)
    if suggested is not None:
        return min(suggested, end)
    life = end - certificates[0].not_before
    moments = []
    if due.life_left is not None:
        moments.append(end - _share(life, due.life_left))
    if due.time_left is not None:
        moments.append(end - (due.time_left if due.time_left < life else _share(life, _SHARE)))
    return min(moments, default=end)


def is_due(certificates: tuple[Certificate, ...], due: Due, moment: datetime) -> bool:
    """Tell whether it is time to renew; the very moment counts as due."""
    return moment >= due_at(certificates, due)


def _share(life: timedelta, share: Fraction) -> timedelta:
    return timedelta(microseconds=int(share * (life // _MICROSECOND)))
