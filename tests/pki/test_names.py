from __future__ import annotations

import pytest

from cmscert.pki.names import canonical, covers, in_san, missing_names
from cmscert.testing.ca import ThrowAwayCa, self_signed

SANS = (
    "cms.example.com",
    "*.edge.example.com",
    "*.com",
    "xn--mnchen-3ya.example.com",
    "10.0.0.1",
    "2001:db8::1",
    "Admin@example.com",
    "sip://a",
)
COVERED = [
    "cms.example.com",
    "CMS.Example.COM",
    "cms.example.com.",
    " cms.example.com ",
    "one.edge.example.com",
    "*.edge.example.com",
    "münchen.example.com",
    "10.0.0.1",
    "2001:DB8:0::1",
    "[2001:db8::1]",
    "Admin@EXAMPLE.com",
    "sip://a",
]
NOT_COVERED = [
    "",
    ".",
    "example.com",
    "other.example.com",
    "edge.example.com",
    "a.b.edge.example.com",
    ".edge.example.com",
    "cisco.com",
    "10.0.0.2",
    "admin@example.com",
    "sip://b",
    "ä" * 80,
    "common.example.com",
]


@pytest.mark.parametrize("name", COVERED)
def test_names_that_are_covered(name: str, issuing: ThrowAwayCa) -> None:
    """Case, a dot at the end and the form of an address do not count; a wildcard stands for one label."""
    assert covers(issuing.issue("common.example.com", SANS).certificate, name)


@pytest.mark.parametrize("name", NOT_COVERED)
def test_names_that_are_not(name: str, issuing: ThrowAwayCa) -> None:
    """A wildcard never stands for no label, two labels or a top-level domain; a CN does not count beside a SAN."""
    assert not covers(issuing.issue("common.example.com", SANS).certificate, name)


def test_the_common_name_counts_without_dns_names() -> None:
    """The TechNote's requests for webadmin have a CN only, and OpenSSL compares it then."""
    bare = self_signed("cms.example.com").certificate
    addressed = self_signed("cms.example.com", ("10.0.0.1",)).certificate

    assert covers(bare, "CMS.example.com")
    assert covers(addressed, "cms.example.com")
    assert not in_san(addressed, "cms.example.com")


def test_a_common_name_is_never_an_address() -> None:
    """Addresses, e-mail addresses and URIs are looked for in the SAN alone."""
    for name in ("10.0.0.1", "a@example.com", "sip://a"):
        assert not covers(self_signed(name).certificate, name)


def test_without_any_name_nothing_is_covered(issuing: ThrowAwayCa) -> None:
    """A certificate without CN and SAN stands for nothing."""
    assert not covers(issuing.issue(None).certificate, "a")


def test_missing_names_keep_their_order(issuing: ThrowAwayCa) -> None:
    """What is missing is told once, in the order of the question."""
    made = issuing.issue("a.example.com", ("a.example.com",)).certificate

    assert missing_names(made, ("c.x", "a.example.com", "b.x", "c.x")) == ("c.x", "b.x")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Core1.Example.com.", "core1.example.com"),
        ("ops@EXAMPLE.com", "ops@example.com"),
        ("[fd00:0::1]", "fd00::1"),
        (" urn://X ", "urn://X"),
        ("bücher.example.com", "xn--bcher-kva.example.com"),
    ],
)
def test_one_form(one: str, other: str) -> None:
    """Two ways to write a name have one form."""
    assert canonical(one) == canonical(other) == other
