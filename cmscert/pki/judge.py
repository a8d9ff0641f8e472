"""Whether a chain verifies, with a reason that a person can act on.

Two judges. The walk here asks what OpenSSL asks when a CMS or a peer verifies a chain (signature, dates, CA flag, path
length, key usage, extended key usage), and knows which certificate is wrong. ``cryptography.x509.verification`` judges
what the walk cannot (name constraints, critical extensions), and says where a stricter client would refuse.

What ``cryptography`` refuses and OpenSSL takes, so that it is ``unusual`` here and never ``broken``: CA certificates
without key usage, with basicConstraints that are not critical, without key identifiers, version 1 roots; RSA CA keys
below 2048 bits; SHA-1; Ed25519. Its leaf rules (SAN, AKI and EKU must be there) are switched off: a database client
certificate has the name ``postgres`` and no SAN ([S2]). It also takes what OpenSSL refuses, because its client verifier
with those rules off looks at no EKU: the walk does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from typing import Literal

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509 import verification
from cryptography.x509.oid import ExtensionOID

from cmscert.pki.certificate import Certificate
from cmscert.pki.chain import canonical_name, issued_by, preference
from cmscert.pki.facts import load
from cmscert.pki.foreign import foreign
from cmscert.pki.judgement import Judgement

Purpose = Literal["client", "server"]
USAGE: dict[Purpose, str] = {"client": "clientAuth", "server": "serverAuth"}
MAX_DEPTH = 10
MAX_WAYS = 1000  # cross-signed CAs multiply ways; a person's pile has a handful
# What the walk reads, or what changes nothing for it; anything else that is critical it cannot judge.
UNDERSTOOD = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.CRL_DISTRIBUTION_POINTS,
        ExtensionOID.CERTIFICATE_POLICIES,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    pile: tuple[Certificate, ...]
    roots: frozenset[Certificate]
    at: datetime
    usage: str | None


def judge(
    leaf: Certificate,
    intermediates: Sequence[Certificate],
    roots: Sequence[Certificate],
    *,
    at: datetime,
    purpose: Purpose | None = None,
) -> Judgement:
    """Judge a chain at a moment (aware). Every certificate of ``roots`` is trusted, self-signed or not."""
    usage = None if purpose is None else USAGE[purpose]
    pile = tuple(sorted({*intermediates, *roots} - {leaf}, key=preference))
    case = _Case(pile=pile, roots=frozenset(roots), at=at.astimezone(UTC), usage=usage)
    failed: list[tuple[int, str]] = []
    for way, reason in _ways(case, leaf):
        if reason is None:
            return _second_opinion(way, case)
        failed.append((-len(way), reason))
    # The way that led farthest tells most: an old copy of an issuer beside the new one is not what is wrong.
    return Judgement(broken=min(failed, key=itemgetter(0))[1])


def _ways(case: _Case, leaf: Certificate) -> Iterator[tuple[tuple[Certificate, ...], str | None]]:
    """Yield the ways up from a leaf, shortest first, with what is wrong with each, or None for a good one."""
    waiting: deque[tuple[Certificate, ...]] = deque([(leaf,)])
    for _ in range(MAX_WAYS):
        way = waiting.popleft()
        wrong = _unfit(case, way)
        if wrong is not None or way[-1] in case.roots:
            yield way, wrong
        else:
            issuers = [one for one in case.pile if one not in way and issued_by(way[-1], one)]
            waiting.extend((*way, issuer) for issuer in issuers)
            if not issuers:
                yield way, _no_issuer(case, way[-1])
        if not waiting:
            return
    yield way, f"the CA certificates above {leaf.subject} are cross-signed beyond what can be followed"


def _no_issuer(case: _Case, top: Certificate) -> str:
    namesakes = [one for one in case.pile if canonical_name(one.subject) == canonical_name(top.issuer)]
    if top.self_issued and issued_by(top, top):
        return f"{top.subject} is self-signed and not among the trusted certificates"
    if namesakes:
        return (
            f"{top.subject} is not signed with the key of {top.issuer} that is there: it needs another one of that name"
        )
    return f"{top.subject} was issued by {top.issuer}, which is missing"


def _unfit(case: _Case, way: tuple[Certificate, ...]) -> str | None:
    """Say why the last certificate of a way cannot stand at its place."""
    top = way[-1]
    if len(way) > MAX_DEPTH:
        return f"the chain of {way[0].subject} has more than {MAX_DEPTH} certificates"
    if case.at > top.not_after:
        return f"{top.subject} expired on {top.not_after:%Y-%m-%d}"
    if case.at < top.not_before:
        return f"{top.subject} is not valid before {top.not_before:%Y-%m-%d}"
    if case.usage is not None and top.ekus is not None and case.usage not in top.ekus:
        # anyExtendedKeyUsage does not help: openssl verify -purpose refuses it.
        return f"{top.subject} is not for {case.usage}"
    return _unfit_issuer(way) if len(way) > 1 else None


def _unfit_issuer(way: tuple[Certificate, ...]) -> str | None:
    top = way[-1]
    if not _may_issue(top):
        return f"{top.subject} is not a CA certificate"
    between = sum(not one.self_issued for one in way[1:-1])
    if top.path_length is not None and between > top.path_length:
        return f"{top.subject} allows {top.path_length} CA certificates below it, here are {between}"
    return None


def _may_issue(certificate: Certificate) -> bool:
    """Tell whether OpenSSL takes it for a CA (``check_ca``): by CA flag, else key usage or version 1."""
    signs = certificate.key_usage is None or "keyCertSign" in certificate.key_usage
    if certificate.is_ca or not signs:
        return signs
    loaded = load(certificate.der)
    if loaded.version is x509.Version.v1:
        return certificate.self_issued
    limited = any(isinstance(extension.value, x509.BasicConstraints) for extension in loaded.extensions)
    return certificate.key_usage is not None and not limited


def _second_opinion(way: tuple[Certificate, ...], case: _Case) -> Judgement:
    strict = _cryptography(way, case, verification.ExtensionPolicy.webpki_defaults_ca())
    if strict is None:
        return Judgement()
    if any(map(_beyond_the_walk, way)):
        lenient = verification.ExtensionPolicy.permit_all().require_present(
            x509.BasicConstraints, verification.Criticality.AGNOSTIC, None
        )
        refusal = _cryptography(way, case, lenient)
        if refusal is not None:
            return Judgement(broken=refusal)
    return Judgement(unusual=strict)


def _beyond_the_walk(certificate: Certificate) -> bool:
    return any(
        isinstance(extension.value, x509.NameConstraints) or (extension.critical and extension.oid not in UNDERSTOOD)
        for extension in load(certificate.der).extensions
    )


def _cryptography(way: tuple[Certificate, ...], case: _Case, authorities: verification.ExtensionPolicy) -> str | None:
    leaf, *others = [load(one.der) for one in way]
    policy = verification.PolicyBuilder().store(verification.Store([load(way[-1].der)])).time(case.at)
    policy = policy.max_chain_depth(MAX_DEPTH).extension_policies(
        ca_policy=authorities, ee_policy=verification.ExtensionPolicy.permit_all()
    )
    try:
        with foreign():
            policy.build_client_verifier().verify(leaf, others)
    except (verification.VerificationError, UnsupportedAlgorithm, ValueError, TypeError) as error:
        text = str(error).removeprefix("validation failed: ").removeprefix("candidates exhausted: ")
        return text.partition(" (encountered processing")[0][:160] or "the chain cannot be judged"
    return None
