"""What an issuer delivers is checked like any material before it is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cmscert.errors import Fault, InputError
from cmscert.issue.issuers import Asked, Demand, Issued, Issuer, Outstanding
from cmscert.pki.certificate import Certificate
from cmscert.pki.chain import full_chain
from cmscert.pki.public_cas import CLIENT_AUTH_HINT
from cmscert.pki.request import WantedRequest, request_faults
from cmscert.pki.rules import LEAF_RULES, Finding, Subject, chain_broken, chain_unusual, check, outlives_issuer

CLOCKS_DIFFER: Final = timedelta(minutes=5)
"""A certificate may begin this far in the future: the CA's clock is not ours, and nothing is bound today."""

_OTHER_HINTS: Final = {
    "chain-broken": "the bundle that the inventory names as its chain must hold the CA that signed it, and the root",
    "names-missing": "let the issuer sign the names of the request as they are",
}
_WITHOUT_CHAIN: Final = tuple(rule for rule in LEAF_RULES if rule not in (chain_broken, chain_unusual, outlives_issuer))


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A certificate that passed: the full chain (leaf, intermediates, root), and what is unusual about it."""

    chain: tuple[Certificate, ...]
    warnings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()


async def obtain(issuer: Issuer, asked: Asked, *, clock: Callable[[], datetime]) -> Accepted | Outstanding:
    """Ask an issuer for a certificate and check what it delivers.

    Raises IssuerError; InputError when the request itself is not what is asked for (it may come from a node).
    """
    check_request(asked)
    answer = await issuer.obtain(asked)
    if isinstance(answer, Outstanding):
        return answer
    return check_issued(asked, answer, issuer=issuer.name, at=clock())


def check_request(asked: Asked) -> None:
    """Hold a request against what is asked for. Raises InputError."""
    request = asked.request
    wanted = WantedRequest(common_name=asked.common_name, sans=asked.sans)
    found = request_faults(request, wanted)
    if found:
        file = f"{asked.stem}.csr"
        faults = [Fault(file=file, reason=one.reason, message=f"the request: {one.message}") for one in found]
        raise InputError(faults, hint="the request is asked for anew when it is taken out of the store")


def check_issued(asked: Asked, issued: Issued, *, issuer: str, at: datetime) -> Accepted:
    """Check key, names, chain, usages and dates of what an issuer delivered; raises IssuerError that names them all."""
    leaf = find_leaf(issued.chain, asked.request.spki_sha256, at)
    if leaf is None:
        message = f"none of the {len(issued.chain)} certificates delivered belongs to the key of the request"
        hint = "the issuer answered another request, or made a key of its own"
        raise asked.fault(issuer, message, hint=hint, delivered=True)
    chain = full_chain(leaf, issued.chain, asked.bundle)
    findings = findings_of(chain, asked, at)
    errors = [one for one in findings if one.severity == "error"]
    if errors:
        message = f"the certificate delivered cannot be used: {'; '.join(one.message for one in errors)}"
        raise asked.fault(issuer, message, hint=_hint(errors, leaf, asked), delivered=True)
    return Accepted(chain=chain, warnings=findings, notes=issued.notes)


def findings_of(chain: tuple[Certificate, ...], demand: Demand, at: datetime) -> tuple[Finding, ...]:
    """Hold a full chain against what its places demand: when it is delivered, and as long as it is in store."""
    leaf, profile = chain[0], demand.profile
    subject = Subject(
        at=max(at, min(leaf.not_before, at + CLOCKS_DIFFER)),
        leaf=leaf,
        chain=chain[1:],
        bundle=demand.bundle,
        declared=demand.names,
        common_name=demand.common_name,
        common_name_must_be=profile.common_name_must_be,
        eku=profile.ekus if profile.needed is None else profile.needed,
        eku_sourced=True,
        strict=profile.strict,
    )
    return check(subject, LEAF_RULES if demand.bundle else _WITHOUT_CHAIN)


def find_leaf(sent: Iterable[Certificate], spki: str, at: datetime) -> Certificate | None:
    """Return the certificate of a key: of several the newest that is valid, else the newest."""

    def rank(one: Certificate) -> tuple[bool, datetime, datetime, str]:
        valid = one.not_before <= at + CLOCKS_DIFFER and at < one.not_after
        return valid, one.not_before, one.not_after, one.sha256

    return max((one for one in sent if one.spki_sha256 == spki), key=rank, default=None)


def _hint(errors: list[Finding], leaf: Certificate, asked: Asked) -> str | None:
    reasons = [one.reason for one in errors]
    if "eku-missing" in reasons and "clientAuth" in asked.profile.ekus and "clientAuth" not in (leaf.ekus or ()):
        return CLIENT_AUTH_HINT
    return next((_OTHER_HINTS[reason] for reason in reasons if reason in _OTHER_HINTS), None)
