"""Pebble, the ACME CA of Let's Encrypt's own tests, judges the issuer ``acme``: DNS-01 both ways, end to end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cmscert.issue.acme import AcmeIssuer
from cmscert.issue.acme_talk import Accounts
from cmscert.issue.checking import obtain
from cmscert.issue.dns01 import Publisher
from cmscert.issue.dns_update import Updates
from cmscert.issue.dns_watch import Watch
from cmscert.issue.issuers import Asked, Profile
from cmscert.issue.store import Store
from cmscert.model.secret import Secret
from cmscert.pki.generate import make_key
from cmscert.pki.pem import read_certificates
from cmscert.pki.request import make_request
from cmscert.testing.name_server import KEY, KEY_NAME, NameServer
from cmscert.testing.pebble import Pebble

pytestmark = pytest.mark.judge("pebble")

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "issuers-acme.md"
NAMES = ("join.example.com", "*.join.example.com", "www.example.com")
CUSTOMER, CUSTOMER_KEY = "customer-17", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"


@pytest.fixture(scope="module")
def names() -> Iterator[NameServer]:
    """A name server that takes updates, which the CA asks too."""
    with NameServer() as server:
        yield server


@pytest.fixture(scope="module")
def pebble(names: NameServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pebble]:
    """A CA with two roots that refuses every fifth nonce."""
    with Pebble(tmp_path_factory.mktemp("pebble"), names.address, alternates=1) as started:
        yield started


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with a passphrase."""
    return Store.open(tmp_path / "store", Secret("correct horse"))


def updates(names: NameServer, **more: Any) -> Updates:  # noqa: ANN401 - whatever the test says
    """Return what publishes through the name server."""
    return Updates(server="127.0.0.1", port=names.port, key_name=KEY_NAME, key=Secret(KEY), **more)


def issuer_at(pebble: Pebble, store: Store, publisher: Publisher, **more: Any) -> AcmeIssuer:  # noqa: ANN401 - likewise
    """Return the issuer."""
    accounts = Accounts(
        name="public",
        directory=pebble.directory,
        store=store,
        contact=more.pop("contact", "ops@example.com"),
        external=more.pop("external", None),
        ca_bundle=pebble.ca_bundle,
    )
    host, _, port = pebble.dns.partition(":")
    watch = Watch(resolvers=((host, int(port)),), seconds=10)
    return AcmeIssuer(name="public", accounts=accounts, store=store, publisher=publisher, watch=watch, **more)


def ask(pebble: Pebble, store: Store, *names: str, root: int = 0) -> Asked:
    """Keep a request in the store, as ``renew`` does, and return the question."""
    names = names or NAMES
    key = make_key("ec")
    at = datetime.now(UTC)
    store.put_pending(
        "join", None, csr=make_request(key, common_name=names[0], sans=names), key=key, issuer="public", at=at
    )
    bundle = read_certificates(pebble.intermediate(root) + pebble.root(root), file="bundle")
    profile = Profile(ekus=("serverAuth",))
    asked = Asked(certificate="join", common_name=names[0], sans=names, csr=b"", at=at, profile=profile, bundle=bundle)
    return again(asked, store)


def again(asked: Asked, store: Store) -> Asked:
    """Return the question as the next run asks it."""
    pending = store.pending("join", None)
    assert pending is not None
    return replace(asked, csr=pending.csr, memo=pending.memo)


async def test_by_updates(pebble: Pebble, names: NameServer, store: Store) -> None:
    """Names and a wildcard are proven through a name server that takes updates; nothing is left there."""
    asked = ask(pebble, store)
    accepted = await obtain(issuer_at(pebble, store, updates(names)), asked, clock=lambda: datetime.now(UTC))

    assert accepted.chain[0].spki_sha256 == asked.request.spki_sha256  # type: ignore[union-attr]  # accepted
    assert set(accepted.chain[0].dns_names) == set(NAMES)  # type: ignore[union-attr]  # accepted
    assert accepted.chain[1:] == asked.bundle  # type: ignore[union-attr]  # accepted
    assert not any(names.records.values())
    assert any("made the account" in note and "terms" in note for note in accepted.notes)
