"""The rules for public CAs that will bite a certificate when it is renewed: 200, 100 and 47 days, clientAuth.

Certificates of private CAs are free of all of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from cmscert.pki.certificate import Certificate
from cmscert.pki.public_cas import CLIENT_AUTH_ENDED, LONGEST_LIVES, longest_life
from cmscert.planning.words import day


def is_public(chain: Iterable[Certificate], roots: Collection[str]) -> bool:
    """Tell whether a certificate leads to a public CA.

    ``chain``: what is known of it, in any order. ``roots``: subjects of the roots that browsers trust (RFC 4514).
    """
    return any(one.issuer in roots or one.subject in roots for one in chain)


def rules_ahead(leaf: Certificate, renewed_at: datetime) -> tuple[str, ...]:
    """Say which rules the successors of a public certificate will meet; ``renewed_at``: when it is due (aware UTC)."""
    said: list[str] = []
    life = leaf.not_after - leaf.not_before
    limit = longest_life(renewed_at)
    if limit is not None and life > limit + timedelta(days=1):
        said.append(f"renewed on {day(renewed_at)} it lives {limit.days} days at most, now {life.days}")
    coming = next(((since, short) for since, short in LONGEST_LIVES if since > renewed_at and short < life), None)
    if coming is not None:
        said.append(f"{coming[1].days} days at most from {day(coming[0])} on")
    if leaf.ekus is not None and "clientAuth" in leaf.ekus:
        said.append(f"the next one has no clientAuth: public CAs stopped issuing it by {day(CLIENT_AUTH_ENDED)}")
    return tuple(said)
