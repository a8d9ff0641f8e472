from __future__ import annotations

import dataclasses
import random
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from cmscert.pki.certificate import Certificate, parse_certificate
from cmscert.pki.chain import accepted_by, build_chain, in_chain_order, is_root, issued_by, ordered
from cmscert.pki.signatures import signature_holds
from cmscert.testing.ca import Issued, ThrowAwayCa, self_signed

ROOT = ThrowAwayCa.root("Root")
OTHER_ROOT = ThrowAwayCa.root("Other Root")
MIDDLE = ROOT.intermediate("Middle")
ISSUING = MIDDLE.intermediate("Issuing")
OTHER_ISSUING = OTHER_ROOT.intermediate("Other Issuing")
LEAF = ISSUING.issue("leaf")
PILE = (ROOT, OTHER_ROOT, MIDDLE, ISSUING, OTHER_ISSUING, LEAF, OTHER_ISSUING.issue("other"), self_signed("alone"))
CERTIFICATES = tuple(made.certificate for made in PILE)


def test_a_chain_is_found_in_a_pile() -> None:
    """Issuers come in order, the root last, whatever else lies in the pile."""
    assert build_chain(LEAF.certificate, CERTIFICATES) == LEAF.chain


@given(st.permutations(CERTIFICATES))
def test_the_order_of_the_pile_does_not_count(pile: list[Certificate]) -> None:
    """Chain and bundle come out the same from any order, and duplicates change nothing."""
    assert build_chain(LEAF.certificate, pile * 2) == LEAF.chain
    assert ordered(pile * 2) == ordered(CERTIFICATES)


@given(st.lists(st.sampled_from(CERTIFICATES), unique=True))
def test_what_is_ordered_is_in_order(pile: list[Certificate]) -> None:
    """Every subset of a pile, once ordered, is in order, and nothing is lost."""
    result = ordered(pile)

    assert in_chain_order(result)
    assert set(result) == set(pile)


def test_without_a_root_the_chain_goes_as_far_as_it_can() -> None:
    """A pile that lacks the root, or the middle, gives what there is."""
    issuing, middle = ISSUING.certificate, MIDDLE.certificate

    assert build_chain(LEAF.certificate, (middle, issuing)) == (issuing, middle)
    assert build_chain(LEAF.certificate, (ROOT.certificate, issuing)) == (issuing,)
    assert build_chain(LEAF.certificate, ()) == ()


def test_a_self_signed_certificate_has_no_chain() -> None:
    """A root, and a self-signed leaf, need nobody above them."""
    assert build_chain(ROOT.certificate, CERTIFICATES) == ()
    assert is_root(self_signed("alone").certificate)


def test_the_shortest_way_to_a_root_is_taken() -> None:
    """A CA that is cross-signed by another one leads to its own root, not over the longer way."""
    crossed = OTHER_ROOT.intermediate("Root", key=ROOT.key_pair).certificate
    pile = (*CERTIFICATES, crossed)

    assert build_chain(LEAF.certificate, pile) == LEAF.chain
    assert build_chain(LEAF.certificate, set(pile) - {ROOT.certificate}) == (
        *LEAF.chain[:2],
        crossed,
        OTHER_ROOT.certificate,
    )


def test_of_two_equal_issuers_the_longer_lasting_is_taken() -> None:
    """A CA that was renewed with its key stands twice in the pile; the newer one is used."""
    renewed = ThrowAwayCa.root("Root", key=ROOT.key_pair, not_after=datetime(2070, 1, 1, tzinfo=UTC)).certificate

    assert build_chain(LEAF.certificate, (ROOT.certificate, renewed, *CERTIFICATES))[-1] == renewed


def test_two_that_signed_each_other_do_not_loop() -> None:
    """Cross-signed CAs without a root end, in chains and in bundles."""
    one, two = ThrowAwayCa.root("One"), ThrowAwayCa.root("Two")
    one_by_two = two.intermediate("One", key=one.key_pair).certificate
    two_by_one = one.intermediate("Two", key=two.key_pair).certificate
    leaf = one.issue("leaf").certificate

    assert build_chain(leaf, (one_by_two, two_by_one)) == (one_by_two, two_by_one)
    assert in_chain_order(ordered((two_by_one, one_by_two)))
    assert accepted_by((two_by_one,), leaf, (one_by_two,), pin="any")
    assert not accepted_by((ROOT.certificate,), leaf, (one_by_two, two_by_one), pin="any")


def test_a_bundle_of_two_chains_ends_with_its_roots() -> None:
    """Each issuer stands behind what it issued, and the roots are last ([S11])."""
    result = ordered(CERTIFICATES)
    last = {ROOT.certificate, OTHER_ROOT.certificate, CERTIFICATES[-1]}

    assert set(result[-3:]) == last
    assert result.index(ISSUING.certificate) < result.index(MIDDLE.certificate)


def test_a_long_chain_needs_no_recursion() -> None:
    """A chain deeper than Python's recursion limit is ordered all the same."""
    key = ROOT.key_pair
    made: list[ThrowAwayCa] = [ROOT]
    for number in range(1200):
        made.append(made[-1].intermediate(f"CA {number}", key=key))
    pile = [ca.certificate for ca in made]
    random.Random(1).shuffle(pile)  # noqa: S311 - the same order every time is what is wanted

    assert ordered(pile) == tuple(ca.certificate for ca in reversed(made))
    assert len(build_chain(made[-1].certificate, pile)) == 1200


@pytest.mark.parametrize(
    ("bundle", "expected"),
    [
        ((), True),
        ((ROOT,), True),
        ((LEAF, ISSUING, MIDDLE, ROOT), True),
        ((ISSUING, MIDDLE, ROOT, ROOT), True),
        ((ISSUING, OTHER_ISSUING, MIDDLE, OTHER_ROOT, ROOT), True),
        ((ISSUING, MIDDLE), True),
        ((ISSUING, ROOT), True),
        ((MIDDLE, ISSUING), False),
        ((ROOT, MIDDLE), False),
        ((MIDDLE, ISSUING, ROOT), False),
        ((ISSUING, MIDDLE, ROOT, OTHER_ISSUING), False),
        ((MIDDLE, ROOT, LEAF), False),
    ],
)
def test_order_of_bundles(bundle: tuple[Issued, ...], expected: bool) -> None:  # noqa: FBT001 - a table
    """Each certificate stands before its issuer, and a root is last."""
    assert in_chain_order(made.certificate for made in bundle) is expected


def test_issuing_needs_the_name_and_the_key() -> None:
    """Another CA of the same name, or the same key under another name, did not issue it."""
    namesake = ThrowAwayCa.root("Root").certificate
    renamed = ThrowAwayCa.root("Renamed", key=ROOT.key_pair).certificate

    assert issued_by(MIDDLE.certificate, ROOT.certificate)
    assert not issued_by(MIDDLE.certificate, namesake)
    assert not issued_by(MIDDLE.certificate, renamed)


def test_names_are_compared_as_openssl_does() -> None:
    """Case, runs of blanks, and the string type of a name do not count."""
    kind = x509.name._ASN1Type.PrintableString
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ROOT  ca", _type=kind)])
    ca = ThrowAwayCa.root("Root CA")
    leaf = dataclasses.replace(ca, subject=subject).issue("leaf").certificate

    assert issued_by(leaf, ca.certificate)


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 2048),
        ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["rsa", "ec", "ed25519"],
)
def test_signatures_of_each_kind(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
) -> None:
    """RSA, EC and Ed25519 signatures are checked, and one wrong bit is seen."""
    ca = ThrowAwayCa.root("CA", key=key)
    leaf = ca.issue("leaf").certificate.der

    assert signature_holds(leaf, ca.certificate.der)
    assert not signature_holds(leaf[:-1] + bytes([leaf[-1] ^ 1]), ca.certificate.der)


def signed_by(key: object, **options: object) -> bytes:
    """Make a self-signed certificate with a key that the kit does not offer."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a")])
    start, end = datetime(2024, 1, 1, tzinfo=UTC), datetime(2044, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
    builder = builder.not_valid_before(start).not_valid_after(end).public_key(key.public_key())  # type: ignore[attr-defined]  # any key
    return builder.sign(key, SHA256(), **options).public_bytes(Encoding.DER)  # type: ignore[arg-type]  # any key


def test_signatures_of_rare_kinds() -> None:
    """RSA-PSS and DSA signatures are checked too."""
    pss = padding.PSS(mgf=padding.MGF1(SHA256()), salt_length=32)
    for der in (
        signed_by(rsa.generate_private_key(65537, 2048), rsa_padding=pss),
        signed_by(dsa.generate_private_key(2048)),
    ):
        assert is_root(parse_certificate(der))


def test_a_key_of_another_kind_signed_nothing() -> None:
    """A key whose kind does not fit the signature is refused without a crash."""
    kinds: list[bytes] = [
        ThrowAwayCa.root("CA", key="rsa").certificate.der,
        ThrowAwayCa.root("CA").certificate.der,
        ThrowAwayCa.root("CA", key=ed25519.Ed25519PrivateKey.generate()).certificate.der,
        signed_by(dsa.generate_private_key(2048)),
    ]
    for child in kinds:
        for issuer in kinds:
            assert signature_holds(child, issuer) is (child is issuer)


def test_a_key_that_cannot_be_loaded_signed_nothing() -> None:
    """An issuer on an unknown curve counts as not having signed."""
    curve = bytes.fromhex("06082a8648ce3d030107")
    strange = ROOT.certificate.der.replace(curve, curve[:-1] + b"\x63")

    assert not signature_holds(MIDDLE.certificate.der, strange)


@pytest.mark.parametrize(
    ("trust", "presented", "leaf_pinned", "any_pinned"),
    [
        ((LEAF,), (), True, True),
        ((LEAF, ROOT), (), True, True),
        ((ROOT,), LEAF.chain, False, True),
        ((ROOT,), LEAF.chain[:2], False, True),
        ((ROOT,), (), False, False),
        (LEAF.chain, (), False, True),
        ((ISSUING,), (), False, True),
        ((MIDDLE,), LEAF.chain[:1], False, True),
        ((OTHER_ROOT, OTHER_ISSUING), LEAF.chain, False, False),
        ((), LEAF.chain, False, False),
    ],
)
def test_who_passes_a_trust_file(
    trust: tuple[Issued | Certificate, ...],
    presented: tuple[Certificate, ...],
    leaf_pinned: bool,  # noqa: FBT001 - a table
    any_pinned: bool,  # noqa: FBT001 - a table
) -> None:
    """White lists want the leaf itself; other trust files are content with a CA above it."""
    trusted = [made.certificate if isinstance(made, Issued) else made for made in trust]

    assert accepted_by(trusted, LEAF.certificate, presented, pin="leaf") is leaf_pinned
    assert accepted_by(trusted, LEAF.certificate, presented, pin="any") is any_pinned


@settings(max_examples=30)
@given(st.sets(st.sampled_from(CERTIFICATES)), st.sampled_from(CERTIFICATES))
def test_a_chain_is_always_a_chain(pile: set[Certificate], leaf: Certificate) -> None:
    """Whatever the pile, each certificate of a chain issued the one before it, and none stands twice."""
    whole = (leaf, *build_chain(leaf, pile))

    assert all(issued_by(child, issuer) for child, issuer in pairwise(whole))
    assert len(set(whole)) == len(whole)
