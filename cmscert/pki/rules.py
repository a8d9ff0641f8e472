"""What can be wrong with a certificate for the place it is meant for.

One rule, one function, one named reason; a rule never relies on another one. All run, so that a person sees every fault
at once. A finding is an error where a source backs it ([Sx] of the fact sheet, or the declaration itself), a warning
where it is only inferred; ``strict`` makes warnings errors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache, wraps

from cmscert.errors import Severity
from cmscert.pki.certificate import Certificate
from cmscert.pki.chain import build_chain, in_chain_order, is_root
from cmscert.pki.judgement import Judgement
from cmscert.pki.names import in_san, missing_names

RSA_BITS = 2048
EC_BITS = 256
WEAK_HASHES = frozenset({"md2", "md4", "md5", "sha1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One fault: a stable name in kebab-case, how bad, and a sentence for a person."""

    reason: str
    severity: Severity
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is checked.

    ``chain``: issuers of the leaf, in order. ``spki``: hash of the key's public half, None when the key is elsewhere.
    ``bundle``: the CA certificates that it must verify to; without one the chain must lead to its own root.
    ``declared``: names that it must stand for. ``common_name``: the declared one; ``common_name_must_be``: the one that
    the place demands. ``eku``: usages that the place needs; ``eku_sourced``: whether a source says so.
    """

    at: datetime
    leaf: Certificate | None = None
    chain: tuple[Certificate, ...] = ()
    spki: str | None = None
    bundle: tuple[Certificate, ...] = ()
    declared: tuple[str, ...] = ()
    common_name: str | None = None
    common_name_must_be: str | None = None
    eku: tuple[str, ...] = ()
    eku_sourced: bool = False
    strict: bool = False


Rule = Callable[[Subject], Finding | None]
Chain = tuple[Certificate, ...]
LeafRule = Callable[[Certificate, Subject], Finding | None]


def _of_leaf(rule: LeafRule) -> Rule:
    @wraps(rule)
    def applied(subject: Subject) -> Finding | None:
        return None if subject.leaf is None else rule(subject.leaf, subject)

    return applied


@_of_leaf
def key_mismatch(leaf: Certificate, subject: Subject) -> Finding | None:
    """``key-mismatch``: the key belongs to another certificate; every service checks that at enable (T-20 [S20])."""
    if subject.spki is None or subject.spki == leaf.spki_sha256:
        return None
    return _error("key-mismatch", f"the private key does not belong to the certificate {_called(leaf)}")


@_of_leaf
def chain_broken(leaf: Certificate, subject: Subject) -> Finding | None:
    """``chain-broken``: it does not verify to the bundle, which services check at enable (T-20 [S20]).

    Judged at a moment when the leaf is valid: its own dates are rules of their own.
    """
    reason = _judged(leaf, subject).broken
    return _error("chain-broken", f"the chain does not verify: {reason}") if reason else None


@_of_leaf
def chain_unusual(leaf: Certificate, subject: Subject) -> Finding | None:
    """``chain-unusual``: OpenSSL takes the chain, a stricter client would not."""
    reason = _judged(leaf, subject).unusual
    return _warning("chain-unusual", f"clients stricter than OpenSSL refuse the chain: {reason}") if reason else None


@_of_leaf
def names_missing(leaf: Certificate, subject: Subject) -> Finding | None:
    """``names-missing``: it does not say what the inventory declares, or what the place needs."""
    own = _folded(leaf.common_name)
    names = tuple(name for name in missing_names(leaf, subject.declared) if _folded(name) != own)
    parts = [f"it does not cover {', '.join(names)}"] if names else []
    if subject.common_name is not None and _folded(subject.common_name) != own:
        parts.append(f"its common name is {leaf.common_name or 'missing'}, declared is {subject.common_name}")
    return _error("names-missing", f"the certificate {_called(leaf)}: {'; '.join(parts)}") if parts else None


@_of_leaf
def san_lacks_cn(leaf: Certificate, subject: Subject) -> Finding | None:
    """``san-lacks-cn``: a SAN that is given must list the CN too; XMPP clients refuse it otherwise ([S17])."""
    name = leaf.common_name
    if name is None or not leaf.names or name == subject.common_name_must_be or in_san(leaf, name):
        return None
    return _error("san-lacks-cn", f"the subject alternative names do not list the common name {name}")


@_of_leaf
def eku_missing(leaf: Certificate, subject: Subject) -> Finding | None:
    """``eku-missing``: it lacks a usage that the place needs.

    Without the extension every usage is allowed, so that is a warning: Cisco's pages ask for client and server
    authentication everywhere ([S9], [S18], [S19]). anyExtendedKeyUsage does not count, as with OpenSSL.
    """
    if not subject.eku:
        return None
    if leaf.ekus is None:
        return _warning("eku-missing", f"{_called(leaf)} has no extended key usage, wanted is {', '.join(subject.eku)}")
    lacking = [usage for usage in subject.eku if usage not in leaf.ekus]
    if not lacking:
        return None
    message = f"{_called(leaf)} lacks the extended key usage {', '.join(lacking)}"
    return (_error if subject.eku_sourced else _warning)("eku-missing", message)


@_of_leaf
def expired(leaf: Certificate, subject: Subject) -> Finding | None:
    """``expired``: peers refuse it from then on ([S13b])."""
    if subject.at <= leaf.not_after:
        return None
    return _error("expired", f"{_called(leaf)} expired on {leaf.not_after:%Y-%m-%d %H:%M} UTC")


@_of_leaf
def not_yet_valid(leaf: Certificate, subject: Subject) -> Finding | None:
    """``not-yet-valid``: peers refuse it until then."""
    if subject.at >= leaf.not_before:
        return None
    return _error("not-yet-valid", f"{_called(leaf)} is not valid before {leaf.not_before:%Y-%m-%d %H:%M} UTC")


@_of_leaf
def outlives_issuer(leaf: Certificate, subject: Subject) -> Finding | None:
    """``outlives-issuer``: a certificate above it ends earlier, and it ends with that one."""
    first = next((one for one in subject.chain if one.not_after < leaf.not_after), None)
    if first is None:
        return None
    ends = f"{_called(first)} ends on {first.not_after:%Y-%m-%d}"
    return _warning("outlives-issuer", f"{ends}, before {_called(leaf)} does ({leaf.not_after:%Y-%m-%d})")


@_of_leaf
def key_too_small(leaf: Certificate, subject: Subject) -> Finding | None:
    """``key-too-small``: below RSA 2048 or EC P-256, in the leaf or its chain; no source tells what CMS refuses."""
    small = [f"{_called(one)} ({one.key_type} {one.key_bits})" for one in (leaf, *subject.chain) if _small(one)]
    if not small:
        return None
    return _warning("key-too-small", f"keys below RSA {RSA_BITS} or EC P-{EC_BITS}: {', '.join(small)}")


@_of_leaf
def weak_signature(leaf: Certificate, subject: Subject) -> Finding | None:
    """``weak-signature``: MD5 or SHA-1, in the leaf or its chain; nobody checks the signature of a root."""
    signed = [leaf, *(one for one in subject.chain if not one.self_issued)]
    weak = [f"{_called(one)} ({one.signature_hash})" for one in signed if one.signature_hash in WEAK_HASHES]
    return _warning("weak-signature", f"signed with a broken hash: {', '.join(weak)}") if weak else None


@_of_leaf
def database_client_cn(leaf: Certificate, subject: Subject) -> Finding | None:
    """``database-client-cn``: the place demands one common name: ``postgres`` for database clients ([S2], [S20])."""
    wanted = subject.common_name_must_be
    if wanted is None or leaf.common_name == wanted:
        return None
    return _error("database-client-cn", f"the common name must be {wanted}, it is {leaf.common_name or 'missing'}")


def bundle_order(subject: Subject) -> Finding | None:
    """``bundle-order``: issuing CA first, the root last ([S11])."""
    if in_chain_order(subject.bundle):
        return None
    return _error("bundle-order", "the bundle is out of order: issuing CAs come first, the root last")


def bundle_duplicate(subject: Subject) -> Finding | None:
    """``bundle-duplicate``: a certificate stands in it more than once."""
    twice = [one for one, count in Counter(subject.bundle).items() if count > 1]
    return _warning("bundle-duplicate", f"more than once in the bundle: {_listed(twice)}") if twice else None


def bundle_leaf(subject: Subject) -> Finding | None:
    """``bundle-leaf``: a CA bundle has no server certificates in it; a trust list may ([S34], [S3])."""
    leaves = [one for one in subject.bundle if not one.is_ca and not one.self_issued]
    return _warning("bundle-leaf", f"not CA certificates, but in the bundle: {_listed(leaves)}") if leaves else None


def bundle_expired(subject: Subject) -> Finding | None:
    """``bundle-expired``: a member has ended; it breaks nothing unless a chain leads over it."""
    ended = [one for one in subject.bundle if one.not_after < subject.at]
    return _warning("bundle-expired", f"expired, but in the bundle: {_listed(ended)}") if ended else None


def bundle_no_root(subject: Subject) -> Finding | None:
    """``bundle-no-root``: the chain of a bundle ends with the root ([S11], [S20])."""
    rootless = [
        one
        for one in subject.bundle
        if one.is_ca and not is_root(one) and not is_root((one, *build_chain(one, subject.bundle))[-1])
    ]
    if not rootless:
        return None
    top = build_chain(rootless[0], subject.bundle)[-1:] or (rootless[0],)
    return _error("bundle-no-root", f"the bundle lacks the root: {top[0].issuer}, which issued {_called(top[0])}")


LEAF_RULES: tuple[Rule, ...] = (
    key_mismatch,
    chain_broken,
    chain_unusual,
    names_missing,
    san_lacks_cn,
    eku_missing,
    expired,
    not_yet_valid,
    outlives_issuer,
    key_too_small,
    weak_signature,
    database_client_cn,
)
BUNDLE_RULES: tuple[Rule, ...] = (bundle_order, bundle_duplicate, bundle_leaf, bundle_expired, bundle_no_root)
RULES: tuple[Rule, ...] = (*LEAF_RULES, *BUNDLE_RULES)


def check(subject: Subject, rules: tuple[Rule, ...] = RULES) -> tuple[Finding, ...]:
    """Run rules and return every finding, in the order of the rules."""
    found = tuple(finding for rule in rules if (finding := rule(subject)) is not None)
    return tuple(replace(finding, severity="error") for finding in found) if subject.strict else found


def check_bundle(certificates: Iterable[Certificate], *, at: datetime, strict: bool = False) -> tuple[Finding, ...]:
    """Run the bundle rules alone, once for a bundle that many certificates share."""
    return check(Subject(bundle=tuple(certificates), at=at, strict=strict), BUNDLE_RULES)


def _judged(leaf: Certificate, subject: Subject) -> Judgement:
    if not subject.chain and not subject.bundle and leaf.self_issued:
        return Judgement()  # self-signed, and nothing said whom it should verify to
    return _judgement(leaf, subject.chain, subject.bundle, min(max(subject.at, leaf.not_before), leaf.not_after))


@lru_cache(maxsize=1024)  # two rules ask, and servers share certificates
def _judgement(leaf: Certificate, chain: Chain, bundle: Chain, at: datetime) -> Judgement:
    from cmscert.pki.judge import judge

    return judge(leaf, (*chain, *bundle), tuple(filter(is_root, bundle or chain)), at=at)


def _small(certificate: Certificate) -> bool:
    least = {"rsa": RSA_BITS, "ec": EC_BITS, "dsa": RSA_BITS}.get(certificate.key_type, 0)
    return 0 < certificate.key_bits < least


def _folded(name: str | None) -> str | None:
    return None if name is None else name.strip().rstrip(".").casefold()


def _called(certificate: Certificate) -> str:
    return certificate.common_name or certificate.subject or f"serial {certificate.serial:x}"


def _listed(certificates: Iterable[Certificate]) -> str:
    return ", ".join(map(_called, certificates))


def _error(reason: str, message: str) -> Finding:
    return Finding(reason=reason, severity="error", message=message)


def _warning(reason: str, message: str) -> Finding:
    return Finding(reason=reason, severity="warning", message=message)
