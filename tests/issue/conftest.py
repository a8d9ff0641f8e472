"""A private CA, keys and requests that the tests of issuers and of the store share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from cmscert.issue.issuers import Asked, Profile
from cmscert.pki.certificate import Certificate
from cmscert.pki.generate import make_key
from cmscert.pki.keys import PrivateKey
from cmscert.pki.request import make_request
from cmscert.testing.ca import Issued, ThrowAwayCa

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
NAMES = ("core1.example.com", "10.0.0.11")


@pytest.fixture(scope="session")
def now() -> datetime:
    """The moment of every run."""
    return NOW


@pytest.fixture(scope="session")
def root() -> ThrowAwayCa:
    """A root."""
    return ThrowAwayCa.root("Example Root CA")


@pytest.fixture(scope="session")
def issuing(root: ThrowAwayCa) -> ThrowAwayCa:
    """A CA below the root."""
    return root.intermediate("Example Issuing CA", path_length=0)


@pytest.fixture(scope="session")
def key() -> PrivateKey:
    """The key of the request."""
    return make_key("ec")


@pytest.fixture(scope="session")
def csr(key: PrivateKey) -> bytes:
    """The request."""
    return make_request(key, common_name=NAMES[0], sans=NAMES)


@pytest.fixture(scope="session")
def asked(csr: bytes, issuing: ThrowAwayCa) -> Asked:
    """The question: one certificate for core1, under the private CA."""
    return Asked(
        certificate="node", server="core1", common_name=NAMES[0], sans=NAMES, csr=csr, at=NOW, bundle=issuing.bundle
    )


Sign = Callable[..., Issued]


@pytest.fixture(scope="session")
def sign(issuing: ThrowAwayCa, key: PrivateKey) -> Sign:
    """Return a function that signs the request's key, as a CA of any quality would."""

    def signed(
        *,
        ca: ThrowAwayCa = issuing,
        names: tuple[str, ...] = NAMES,
        eku: tuple[str, ...] | None = ("serverAuth", "clientAuth"),
        begin: datetime = NOW - timedelta(days=1),
        end: datetime = NOW + timedelta(days=90),
        of: PrivateKey = key,
    ) -> Issued:
        pair = of.signer()
        return ca.issue(names[0], names, eku, not_before=begin, not_after=end, key=pair)  # type: ignore[arg-type]  # EC

    return signed


@pytest.fixture(scope="session")
def chain(sign: Sign) -> tuple[Certificate, ...]:
    """A certificate of the request with its issuers."""
    return sign().full_chain


@pytest.fixture(scope="session")
def server_only() -> Profile:
    """What a slot needs that is never a TLS client."""
    return Profile(ekus=("serverAuth",))
