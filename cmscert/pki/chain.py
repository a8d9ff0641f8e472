"""Who issued whom: chains from an unordered pile, the order of a bundle, and whom a trust file lets pass.

Names are compared as OpenSSL does (case and runs of blanks do not count, nor does the string type), signatures are
checked, key identifiers are not looked at: they are hints, and private CAs often lack them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from itertools import islice
from typing import Literal

from cmscert.pki.certificate import Certificate

Pile = Iterable[Certificate]
_NAMESAKES = 16
"""Keys of one name that are tried: a thousand CA certificates of one name would mean a million signatures, minutes."""

Issuers = Mapping[Certificate, tuple[Certificate, ...]]


@lru_cache(maxsize=16384)
def issued_by(child: Certificate, issuer: Certificate) -> bool:
    """Tell whether the issuer's name and key fit the child's issuer name and signature. Dates do not count."""
    if canonical_name(child.issuer) != canonical_name(issuer.subject):
        return False
    from cmscert.pki.signatures import signature_holds

    return signature_holds(child.der, issuer.der)


def is_root(certificate: Certificate) -> bool:
    """Tell whether a certificate is signed with its own key."""
    return certificate.self_issued and issued_by(certificate, certificate)


@lru_cache(maxsize=16384)
def canonical_name(name: str) -> str:
    """Return a distinguished name (RFC 4514 text) for comparison, after RFC 5280 section 7.1 as OpenSSL does it."""
    blanks = " ".join(name.casefold().replace("\\ ", " ").split())
    return blanks.replace("= ", "=").replace(" ,", ",").replace(" +", "+")


def build_chain(leaf: Certificate, pile: Pile) -> tuple[Certificate, ...]:
    """Return the issuers of a leaf in order, from an unordered pile that may hold anything; never the leaf itself.

    The shortest way to a self-signed certificate, root included; where the pile holds none, as far up as it goes.
    Among issuers that fit equally (a CA renewed with the same key), the one that is valid longest is taken.
    """
    issuers = _issuers({leaf, *pile})
    came_from: dict[Certificate, Certificate | None] = {leaf: None}
    waiting = deque([leaf])
    top = leaf
    while waiting:
        top = waiting.popleft()
        if is_root(top):
            break
        for issuer in issuers[top]:
            if issuer not in came_from:
                came_from[issuer] = top
                waiting.append(issuer)
    else:
        top = _farthest(came_from)
    return tuple(reversed(_way(came_from, top)))[1:]


def full_chain(leaf: Certificate, sent: Pile, bundle: tuple[Certificate, ...]) -> tuple[Certificate, ...]:
    """Return leaf, intermediates and root, from what came with it and the declared bundle; nothing is ever fetched.

    Where CAs are cross-signed: the shortest way to a root of the bundle. Other roots count only where the bundle has
    none.
    """
    declared = any(map(is_root, bundle))
    pile = [one for one in sent if not (declared and is_root(one) and one not in bundle)]
    return (leaf, *build_chain(leaf, (*pile, *bundle)))


def _way(came_from: Mapping[Certificate, Certificate | None], top: Certificate) -> list[Certificate]:
    way = [top]
    while (below := came_from[way[-1]]) is not None:
        way.append(below)
    return way


def _farthest(came_from: Mapping[Certificate, Certificate | None]) -> Certificate:
    longest = max(len(_way(came_from, end)) for end in came_from)
    return next(end for end in came_from if len(_way(came_from, end)) == longest)


def ordered(pile: Pile) -> tuple[Certificate, ...]:
    """Put a pile in the order of a bundle: issuing CAs first, roots last ([S11]), each once; any order in, one out."""
    members = sorted(set(pile), key=preference, reverse=True)
    issuers = _issuers(members)
    done: dict[Certificate, None] = {}
    for start in (*filter(is_root, members), *members):
        _visit(start, issuers, done)
    return tuple(reversed(done))


def _visit(start: Certificate, issuers: Issuers, done: dict[Certificate, None]) -> None:
    """Append to ``done`` what is above a certificate, then itself (depth first, without recursion)."""
    stack = [(start, iter(issuers[start]))]
    entered = {start}
    while stack:
        member, above = stack[-1]
        issuer = next((one for one in above if one not in entered and one not in done), None)
        if issuer is None:
            stack.pop()
            done.setdefault(member)
        else:
            entered.add(issuer)
            stack.append((issuer, iter(issuers[issuer])))


def in_chain_order(certificates: Iterable[Certificate]) -> bool:
    """Tell whether every certificate stands before one that issued it, and a root (where there is one) stands last."""
    return _in_chain_order(tuple(certificates))


@lru_cache(maxsize=1024)  # the same file lies on many servers
def _in_chain_order(members: tuple[Certificate, ...]) -> bool:
    issuers = _issuers(members)
    roots = [member for member in members if is_root(member)]
    if roots and members[-1] not in roots:
        return False
    return members == ordered(members) or all(
        not issuers[member] or any(issuer in members[at + 1 :] for issuer in issuers[member])
        for at, member in enumerate(members)
    )


def accepted_by(trust: Pile, leaf: Certificate, presented: Pile, *, pin: Literal["leaf", "any"]) -> bool:
    """Tell whether a peer that shows ``leaf`` and ``presented`` passes a trust file; dates do not count.

    ``leaf``: only the peer's own certificate counts (2.x white lists: web bridge [S34], recorder [S10],
    streamer [S13]).
    ``any``: the leaf itself, or any certificate above it, is in the trust file (full chains [S3], the root
    alone [S20]); what the peer presents may fill the gap between.
    """
    trusted = frozenset(trust)
    if leaf in trusted:
        return True
    return pin == "any" and not trusted.isdisjoint(_above(leaf, {leaf, *presented, *trusted}))


def _above(leaf: Certificate, pile: Pile) -> set[Certificate]:
    issuers = _issuers(pile)
    found: set[Certificate] = set()
    waiting = [leaf]
    while waiting:
        fresh = [issuer for issuer in issuers[waiting.pop()] if issuer not in found]
        found.update(fresh)
        waiting.extend(fresh)
    return found


def preference(certificate: Certificate) -> tuple[float, str]:
    """Sort key for certificates that fit equally: valid longest first, then by hash so that it is always the same."""
    return (-certificate.not_after.timestamp(), certificate.sha256)


def _issuers(pile: Pile) -> dict[Certificate, tuple[Certificate, ...]]:
    """Return for each certificate who in the pile issued it, preferred first; a self-signed one has no issuer."""
    members = sorted(set(pile), key=preference)
    by_subject: dict[str, list[Certificate]] = {}
    for member in members:
        by_subject.setdefault(canonical_name(member.subject), []).append(member)
    return {member: () if is_root(member) else _issuers_of(member, by_subject) for member in members}


def _issuers_of(member: Certificate, by_subject: Mapping[str, list[Certificate]]) -> tuple[Certificate, ...]:
    namesakes = (each for each in by_subject.get(canonical_name(member.issuer), ()) if each != member)
    return tuple(each for each in islice(namesakes, _NAMESAKES) if issued_by(member, each))


def verify(
    leaf: Certificate,
    intermediates: Iterable[Certificate],
    roots: Iterable[Certificate],
    *,
    at: datetime,
    purpose: Literal["client", "server"] | None = None,
) -> str | None:
    """Return None when a chain verifies at a moment as OpenSSL would judge it, otherwise why not.

    Every certificate of ``roots`` is trusted. What only a client stricter than OpenSSL would refuse is no reason here;
    ``cmscert.pki.judge`` tells it apart, and says what that is.
    """
    from cmscert.pki.judge import judge  # late: see certificate.parse_certificate

    return judge(leaf, tuple(intermediates), tuple(roots), at=at, purpose=purpose).broken
