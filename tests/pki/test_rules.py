from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from cmscert.pki import rules
from cmscert.pki.rules import BUNDLE_RULES, LEAF_RULES, RULES, Finding, Subject, check, check_bundle
from cmscert.testing.ca import ThrowAwayCa, self_signed

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ROOT = ThrowAwayCa.root("Root")
ISSUING = ROOT.intermediate("Issuing")
NODE = ISSUING.issue("node.example.com", ("node.example.com", "10.0.0.1"))
OTHER = ThrowAwayCa.root("Other Root")
BARE = ThrowAwayCa.root("Bare", extensions=[(x509.BasicConstraints(ca=True, path_length=None), True)])
SHORT = ROOT.intermediate("Short", not_after=datetime(2030, 1, 1, tzinfo=UTC))
WEAK_CA = ThrowAwayCa.root("Weak", key=rsa.generate_private_key(65537, 1024))  # noqa: S505 - weak on purpose
GOOD = Subject(
    leaf=NODE.certificate,
    chain=NODE.chain,
    bundle=NODE.chain,
    spki=NODE.key.spki_sha256,
    declared=("node.example.com", "10.0.0.1"),
    common_name="node.example.com",
    eku=("serverAuth", "clientAuth"),
    eku_sourced=True,
    at=NOW,
)


def but(**changes: Any) -> Subject:  # noqa: ANN401 - the fields of Subject
    """Return the sound case with changes."""
    return dataclasses.replace(GOOD, **changes)


def of(issued: Any, **changes: Any) -> Subject:  # noqa: ANN401 - the fields of Subject
    """Return a case about another certificate, with nothing declared."""
    sound: dict[str, Any] = {
        "leaf": issued.certificate,
        "chain": issued.chain,
        "bundle": issued.chain,
        "spki": None,
        "declared": (),
        "common_name": None,
        "eku": (),
    }
    return but(**(sound | changes))


def leaf(common_name: str | None = "node.example.com", *args: Any, **options: Any) -> Any:  # noqa: ANN401 - as the kit
    """Issue another leaf."""
    return ISSUING.issue(common_name, *args, **options)


def day(year: int) -> datetime:
    """Return the first day of a year."""
    return datetime(year, 1, 1, tzinfo=UTC)


CASES: dict[str, tuple[Subject, tuple[tuple[str, str, str], ...]]] = {
    "sound": (GOOD, ()),
    "nothing to check": (Subject(at=NOW), ()),
    "key of another": (
        but(spki=OTHER.key.spki_sha256),
        (("key-mismatch", "error", "the private key does not belong to the certificate node.example.com"),),
    ),
    "bundle of another CA": (
        but(bundle=OTHER.bundle),
        (("chain-broken", "error", "CN=Root is self-signed and not among the trusted certificates"),),
    ),
    "half a chain": (
        of(NODE, chain=NODE.chain[1:], bundle=NODE.chain[1:]),
        (("chain-broken", "error", "was issued by CN=Issuing, which is missing"),),
    ),
    "chain without a root, no bundle": (
        of(NODE, chain=NODE.chain[:1], bundle=()),
        (("chain-broken", "error", "was issued by CN=Root, which is missing"),),
    ),
    "bundle without a root": (
        of(NODE, bundle=NODE.chain[:1], chain=NODE.chain[:1]),
        (
            ("chain-broken", "error", "was issued by CN=Root, which is missing"),
            ("bundle-no-root", "error", "the bundle lacks the root: CN=Root, which issued Issuing"),
        ),
    ),
    "chain in itself, no bundle": (of(NODE, bundle=()), ()),
    "self-signed, nothing said": (of(self_signed("a")), ()),
    "self-signed, with a bundle": (
        of(self_signed("a"), bundle=OTHER.bundle),
        (("chain-broken", "error", "CN=a is self-signed"),),
    ),
    "sloppy root": (
        of(BARE.issue("a", ("a",))),
        (("chain-unusual", "warning", "clients stricter than OpenSSL refuse the chain: invalid extension"),),
    ),
    "names missing": (
        but(declared=("node.example.com", "b.example.com", "10.0.0.2")),
        (("names-missing", "error", "it does not cover b.example.com, 10.0.0.2"),),
    ),
    "other common name": (
        but(common_name="other.example.com"),
        (("names-missing", "error", "its common name is node.example.com, declared is other.example.com"),),
    ),
    "no common name": (
        of(leaf(None, ("a",)), common_name="a", declared=("a",)),
        (("names-missing", "error", "its common name is missing, declared is a"),),
    ),
    "common name in capitals": (of(leaf("A.x", ("a.x",)), common_name="a.X", declared=("a.x.",)), ()),
    "the common name need not be a SAN to be there": (of(leaf("postgres"), declared=("postgres",)), ()),
    "SAN without the CN": (
        of(leaf("a.example.com", ("b.example.com",)), declared=("a.example.com",)),
        (("san-lacks-cn", "error", "do not list the common name a.example.com"),),
    ),
    "SAN of addresses without the CN": (
        of(leaf("a.example.com", ("10.0.0.1",))),
        (("san-lacks-cn", "error", "do not list the common name a.example.com"),),
    ),
    "CN under a wildcard": (of(leaf("a.example.com", ("*.example.com",))), ()),
    "no usages at all": (
        of(leaf(eku=None), eku=("serverAuth",), eku_sourced=True),
        (("eku-missing", "warning", "has no extended key usage, wanted is serverAuth"),),
    ),
    "usage missing, sourced": (
        of(leaf(eku=("serverAuth",)), eku=("serverAuth", "clientAuth"), eku_sourced=True),
        (("eku-missing", "error", "lacks the extended key usage clientAuth"),),
    ),
    "usage missing, inferred": (
        of(leaf(eku=("serverAuth",)), eku=("clientAuth",), eku_sourced=False),
        (("eku-missing", "warning", "lacks the extended key usage clientAuth"),),
    ),
    "any usage": (
        of(leaf(eku=("2.5.29.37.0",)), eku=("serverAuth",), eku_sourced=True),
        (("eku-missing", "error", "lacks the extended key usage serverAuth"),),
    ),
    "expired": (
        of(leaf(not_after=day(2026))),
        (("expired", "error", "node.example.com expired on 2026-01-01 00:00 UTC"),),
    ),
    "not yet valid": (
        of(leaf(not_before=day(2027))),
        (("not-yet-valid", "error", "node.example.com is not valid before 2027-01-01 00:00 UTC"),),
    ),
    "CA expired": (
        of(SHORT.issue("a"), at=day(2031)),
        (
            ("chain-broken", "error", "CN=Short expired on 2030-01-01"),
            ("outlives-issuer", "warning", "Short ends on 2030-01-01, before a does (2043-12-27)"),
            ("bundle-expired", "warning", "expired, but in the bundle: Short"),
        ),
    ),
    "small RSA key": (
        of(leaf(key=WEAK_CA.key_pair)),
        (("key-too-small", "warning", "keys below RSA 2048 or EC P-256: node.example.com (rsa 1024)"),),
    ),
    "small EC key": (
        of(leaf(key=ec.generate_private_key(ec.SECP192R1()))),
        (("key-too-small", "warning", "node.example.com (ec 192)"),),
    ),
    "small CA key": (
        of(WEAK_CA.issue("a")),
        (
            ("chain-unusual", "warning", "too weak"),
            ("key-too-small", "warning", "keys below RSA 2048 or EC P-256: Weak (rsa 1024)"),
        ),
    ),
    "database client": (of(leaf("postgres"), common_name_must_be="postgres"), ()),
    "database client with a SAN": (of(leaf("postgres", ("a.example.com",)), common_name_must_be="postgres"), ()),
    "database client of another name": (
        of(leaf("root"), common_name_must_be="postgres"),
        (("database-client-cn", "error", "the common name must be postgres, it is root"),),
    ),
    "database client without a name": (
        of(leaf(None, ("a",)), common_name_must_be="postgres"),
        (("database-client-cn", "error", "the common name must be postgres, it is missing"),),
    ),
}


@pytest.mark.parametrize(("subject", "expected"), CASES.values(), ids=CASES)
def test_findings(subject: Subject, expected: tuple[tuple[str, str, str], ...]) -> None:
    """Each case has its findings, and no others."""
    found = check(subject)

    assert [(one.reason, one.severity) for one in found] == [case[:2] for case in expected]
    for one, (_, _, words) in zip(found, expected, strict=True):
        assert words in one.message


BUNDLES: dict[str, tuple[tuple[Any, ...], tuple[tuple[str, str, str], ...]]] = {
    "sound": ((ISSUING, ROOT), ()),
    "empty": ((), ()),
    "one root": ((ROOT,), ()),
    "leaves alone, as in a white list": ((NODE,), (("bundle-leaf", "warning", "node.example.com"),)),
    "self-signed server certificate": ((self_signed("a"),), ()),
    "wrong order": ((ROOT, ISSUING), (("bundle-order", "error", "issuing CAs come first, the root last"),)),
    "twice": ((ISSUING, ROOT, ROOT), (("bundle-duplicate", "warning", "more than once in the bundle: Root"),)),
    "no root": ((ISSUING,), (("bundle-no-root", "error", "lacks the root: CN=Root, which issued Issuing"),)),
    "two below, no root": (
        (ISSUING.intermediate("Low"), ISSUING),
        (("bundle-no-root", "error", "lacks the root: CN=Root, which issued Issuing"),),
    ),
}


@pytest.mark.parametrize(("bundle", "expected"), BUNDLES.values(), ids=BUNDLES)
def test_findings_of_bundles(bundle: tuple[Any, ...], expected: tuple[tuple[str, str, str], ...]) -> None:
    """Order, duplicates, leaves and missing roots of a bundle are found."""
    found = check_bundle((made.certificate for made in bundle), at=NOW)

    assert [(one.reason, one.severity) for one in found] == [case[:2] for case in expected]
    for one, (_, _, words) in zip(found, expected, strict=True):
        assert words in one.message


def test_strict_makes_warnings_errors() -> None:
    """The strict profile changes how bad a finding is, never what is found."""
    subject = of(leaf(eku=None), eku=("serverAuth",))
    (loose,), (strict,) = check(subject), check(dataclasses.replace(subject, strict=True))

    assert strict == dataclasses.replace(loose, severity="error")
    assert loose.severity == "warning"
    assert [one.severity for one in check_bundle((NODE.certificate,), at=NOW, strict=True)] == ["error"]


@pytest.mark.parametrize("name", ["sha1", "md5"])
def test_weak_signatures(name: str) -> None:
    """MD5 and SHA-1 are found in the leaf and in the chain; the signature of a root does not count."""
    weak_leaf = dataclasses.replace(NODE.certificate, signature_hash=name)
    weak_ca = dataclasses.replace(ISSUING.certificate, signature_hash=name)
    weak_root = dataclasses.replace(ROOT.certificate, signature_hash=name)
    message = f"signed with a broken hash: node.example.com ({name}), Issuing ({name})"

    assert rules.weak_signature(of(NODE, leaf=weak_leaf, chain=(weak_ca, weak_root))) == Finding(
        reason="weak-signature", severity="warning", message=message
    )
    assert rules.weak_signature(of(NODE, chain=(ISSUING.certificate, weak_root))) is None


def test_dates_at_the_border() -> None:
    """The first and the last second are part of a certificate's life."""
    certificate = NODE.certificate
    second = timedelta(seconds=1)

    assert check(but(at=certificate.not_after)) == ()
    assert [one.reason for one in check(but(at=certificate.not_after + second))] == ["expired"]
    assert check(but(at=certificate.not_before)) == ()
    early = {one.reason for one in check(but(at=certificate.not_before - second))}
    assert "not-yet-valid" in early


def test_a_certificate_without_any_name_is_called_by_its_serial() -> None:
    """A message can name every certificate."""
    nameless = leaf(None)
    (finding,) = check(of(nameless, spki=OTHER.key.spki_sha256))

    assert f"serial {nameless.certificate.serial:x}" in finding.message


def test_rules_do_not_rely_on_each_other() -> None:
    """Every rule alone finds what it finds among all, and each has a reason of its own in its docstring."""
    for subject, _ in CASES.values():
        alone = [finding for rule in RULES for finding in check(subject, (rule,))]
        assert alone == list(check(subject))
    reasons = [(rule.__doc__ or "").partition("``: ")[0].removeprefix("``") for rule in RULES]
    assert reasons == [rule.__name__.replace("_", "-") for rule in RULES]  # type: ignore[attr-defined]  # functions
    assert (*LEAF_RULES, *BUNDLE_RULES) == RULES
