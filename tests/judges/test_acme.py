"""Pebble, the ACME CA of Let's Encrypt's own tests, judges the issuer ``acme``: DNS-01 both ways, end to end."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cmscert.cli.main import main
from cmscert.errors import IssuerError
from cmscert.issue.acme import AcmeIssuer
from cmscert.issue.acme_talk import Accounts, ExternalAccount
from cmscert.issue.acme_wire import Wire
from cmscert.issue.checking import Accepted, obtain
from cmscert.issue.dns01 import Publisher, TextRecord
from cmscert.issue.dns_update import Updates
from cmscert.issue.dns_watch import Watch
from cmscert.issue.issuers import Asked, Issued, Profile
from cmscert.issue.store import Store
from cmscert.model.secret import Secret
from cmscert.pki.generate import make_key
from cmscert.pki.pem import read_certificates
from cmscert.pki.request import make_request
from cmscert.testing.name_server import KEY, KEY_NAME, NameServer
from cmscert.testing.pebble import ChallengeServer, Pebble

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
    watch = Watch(resolvers=((host, int(port)),), seconds=more.pop("seconds", 10))
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


async def obtained(issuer: AcmeIssuer, asked: Asked) -> Accepted:
    """Return what an issuer delivers, checked as every delivery is."""
    accepted = await obtain(issuer, asked, clock=lambda: datetime.now(UTC))
    assert isinstance(accepted, Accepted)
    return accepted


async def test_by_updates(pebble: Pebble, names: NameServer, store: Store) -> None:
    """Names and a wildcard are proven through a name server that takes updates; nothing is left there."""
    asked = ask(pebble, store)
    accepted = await obtained(issuer_at(pebble, store, updates(names)), asked)

    assert accepted.chain[0].spki_sha256 == asked.request.spki_sha256
    assert set(accepted.chain[0].dns_names) == set(NAMES)
    assert accepted.chain[1:] == asked.bundle
    assert not any(names.records.values())
    assert any("made the account" in note and "terms" in note for note in accepted.notes)


async def test_the_account_is_used_again(pebble: Pebble, names: NameServer, store: Store) -> None:
    """The second certificate comes under the account of the first; a changed address is told to the CA."""
    first = await obtained(issuer_at(pebble, store, updates(names)), ask(pebble, store, "a.example.com"))
    known = store.issuer("public")
    issuer = issuer_at(pebble, store, updates(names, zone="example.com"), contact="others@example.com")
    second = await obtained(issuer, ask(pebble, store, "b.example.com"))
    after = store.issuer("public")

    assert known is not None
    assert after is not None
    assert (known.spki, known.facts["account"]) == (after.spki, after.facts["account"])
    assert (len(first.notes), second.notes) == (1, ())
    assert after.facts["contact"] == "others@example.com"


async def test_preferred_chain(pebble: Pebble, names: NameServer, store: Store) -> None:
    """The chain to the second root is fetched where it is preferred; otherwise the CA's first one."""
    asked = ask(pebble, store, "a.example.com", root=1)
    preferred = asked.bundle[-1].common_name
    issued = await issuer_at(pebble, store, updates(names), preferred_chain=preferred).obtain(asked)
    assert isinstance(issued, Issued)
    assert issued.chain[-1].issuer_common_name == preferred

    first = await issuer_at(pebble, store, updates(names)).obtain(again(asked, store))
    assert isinstance(first, Issued)
    assert first.chain[0] == issued.chain[0]
    assert first.chain[-1].issuer_common_name != preferred


@dataclass
class Wrong:
    """Publishes another value than it was given."""

    publisher: Updates

    async def present(self, record: TextRecord) -> None:
        """Publish something."""
        await self.publisher.present(replace(record, value="something-else"))

    async def cleanup(self, record: TextRecord) -> None:
        """Remove it."""
        await self.publisher.cleanup(replace(record, value="something-else"))


async def test_wrong_record_is_found_out_first(pebble: Pebble, names: NameServer, store: Store) -> None:
    """A record that does not say what it should is told by name before the CA counts a failure."""
    issuer = issuer_at(pebble, store, Wrong(updates(names)), seconds=1)
    with pytest.raises(IssuerError, match=r"_acme-challenge\.a\.example\.com is not to be seen at 127\.0\.0\.1"):
        await issuer.obtain(ask(pebble, store, "a.example.com"))

    pending = store.pending("join", None)
    assert pending is not None
    assert "order" in pending.memo


async def test_wrong_record(pebble: Pebble, names: NameServer, store: Store) -> None:
    """What the CA could not verify is told with the name; the next run orders anew, and succeeds."""
    asked = ask(pebble, store, "a.example.com")
    with pytest.raises(IssuerError, match=r"could not verify a\.example\.com: ") as caught:
        await issuer_at(pebble, store, Wrong(updates(names)), seconds=0).obtain(asked)

    assert "(unauthorized)" in caught.value.message
    assert not any(names.records.values())
    await obtained(issuer_at(pebble, store, updates(names)), again(asked, store))


class Killed(BaseException):
    """Ends a run as a signal would."""


@dataclass
class Deadly:
    """Publishes, and the run dies."""

    publisher: Updates

    async def present(self, record: TextRecord) -> None:
        """Publish, and die."""
        await self.publisher.present(record)
        raise Killed

    async def cleanup(self, record: TextRecord) -> None:
        """Nobody cleans up after a kill."""


async def test_a_ca_that_forgot_everything(names: NameServer, store: Store, tmp_path: Path) -> None:
    """A CA that lost its accounts and orders gets an account again, and another order."""
    with Pebble(tmp_path / "before", names.address) as first:
        asked = ask(first, store, "a.example.com")
        with pytest.raises(Killed):
            await issuer_at(first, store, Deadly(updates(names))).obtain(asked)
    with Pebble(tmp_path / "after", names.address, port=first.port) as second:
        bundle = read_certificates(second.intermediate() + second.root(), file="bundle")
        accepted = await obtained(issuer_at(second, store, updates(names)), replace(again(asked, store), bundle=bundle))

    assert any("made the account" in note for note in accepted.notes)


async def test_untrusted(pebble: Pebble, names: NameServer, store: Store) -> None:
    """A private CA's TLS is not trusted unless the inventory says by what; nothing is asked for before."""
    issuer = issuer_at(pebble, store, updates(names))
    accounts = replace(issuer.accounts, ca_bundle=None)
    with pytest.raises(IssuerError, match="the TLS certificate of localhost is not trusted") as caught:
        await replace(issuer, accounts=accounts).obtain(ask(pebble, store, "a.example.com"))

    assert "ca_bundle" in str(caught.value.hint)


async def test_refused_updates(pebble: Pebble, names: NameServer, store: Store) -> None:
    """A name server that does not know the key is told, and what to do; no key is shown."""
    publisher = updates(names)
    with pytest.raises(IssuerError, match=r"127\.0\.0\.1") as caught:
        await issuer_at(pebble, store, replace(publisher, key=Secret("b3RoZXI="))).obtain(
            ask(pebble, store, "a.example.com")
        )

    assert "b3RoZXI" not in f"{caught.value.message} {caught.value.hint}"


@pytest.fixture(scope="module")
def challenges(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChallengeServer]:
    """Pebble's own challenge server."""
    with ChallengeServer(tmp_path_factory.mktemp("challenges")) as started:
        yield started


@pytest.fixture(scope="module")
def closed(challenges: ChallengeServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pebble]:
    """A CA for customers only, which asks the challenge server."""
    folder = tmp_path_factory.mktemp("closed")
    with Pebble(folder, challenges.address, customers={CUSTOMER: CUSTOMER_KEY}) as started:
        yield started


def external(key: str = CUSTOMER_KEY, number: str = CUSTOMER) -> ExternalAccount:
    """Return a customer of the CA."""
    return ExternalAccount(id=number, key=lambda: Secret(key))


@pytest.mark.parametrize(
    ("account", "words"),
    [
        (None, "externalAccountRequired"),
        (external(number="nobody"), "unauthorized|malformed"),
        (external(key="AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), "unauthorized|malformed"),
    ],
)
async def test_not_a_customer(
    closed: Pebble, names: NameServer, store: Store, account: ExternalAccount | None, words: str
) -> None:
    """Without an external account, or with a wrong one, the CA's refusal is told."""
    with pytest.raises(IssuerError, match=words):
        await issuer_at(closed, store, updates(names), external=account).obtain(ask(closed, store, "a.example.com"))


INVENTORY = """
version: 1
fleet: small
ssh: {user: admin, password: {env: CMS_PASSWORD}, known_hosts: known_hosts}
store: {path: .cmscert, passphrase: {env: STORE_PASSPHRASE}}
issuers:
  public:
    type: acme
    directory: DIRECTORY
    contact: ops@example.com
    ca_bundle: ca.pem
    external_account: {id: customer-17, key: {env: EAB_KEY}}
    challenge:
      dns_01: {command: [PYTHON, dns-hook.py], environment: {DNS_API: {file: dns-api}, DNS_TOKEN: {env: DNS_TOKEN}}}
      resolvers: ["RESOLVER"]
bundles: {public: [issuing.crt, root.crt]}
certificates:
  join: {common_name: join.example.com, sans: [join.example.com, "*.join.example.com"], chain: public, issuer: public,
    key: {made: local, type: rsa, bits: 2048}}
servers:
  edge1: {address: 127.0.0.1, fqdn: edge1.example.com, services: {webbridge3: {https: {certificate: join}}}}
"""
SECRETS = {"STORE_PASSPHRASE": "horse-battery", "EAB_KEY": CUSTOMER_KEY, "DNS_TOKEN": "t0k3n", "CMS_PASSWORD": "lab"}


@pytest.fixture
def folder(closed: Pebble, challenges: ChallengeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An inventory whose one certificate comes from the CA, with the hook of the documentation."""
    (hook,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    text = INVENTORY.replace("DIRECTORY", closed.directory).replace("RESOLVER", challenges.address)
    for name, content in {
        "fleet.yaml": text.replace("PYTHON", sys.executable).encode(),
        "dns-hook.py": hook.encode(),
        "dns-api": challenges.api.encode(),
        "ca.pem": closed.ca_bundle.read_bytes(),
        "issuing.crt": closed.intermediate(),
        "root.crt": closed.root(),
    }.items():
        (tmp_path / name).write_bytes(content)
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def renew(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """Run ``cmscert renew`` and return the row of the one certificate."""
    code = main(["renew", str(folder / "fleet.yaml"), "--format", "json", *words])
    told = capsys.readouterr()
    assert code == 0, told
    assert not [name for name, value in SECRETS.items() if name != "CMS_PASSWORD" and value in told.out + told.err]
    (row,) = json.loads(told.out)["certificates"]
    return dict(row)


def test_by_the_documented_hook(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The hook of the documentation obtains a certificate from a CA for customers; the next run has nothing to do."""
    first = renew(folder, capsys)
    second = renew(folder, capsys)
    third = renew(folder, capsys, "--again")

    assert (first["state"], second["state"], third["state"]) == ("issued", "fresh", "issued")
    assert any("terms" in note for note in first["notes"])
    kept = [path for path in (folder / ".cmscert" / "material").rglob("*") if path.is_file()]
    assert not [
        path
        for path in kept
        if any(value.encode() in path.read_bytes() for value in SECRETS.values() if value != "lab")
    ]
    keys = [path for path in kept if path.suffix == ".key"]
    assert len(keys) == 3  # the account's, and one for each certificate
    assert all(b"ENCRYPTED" in path.read_bytes() and stat.S_IMODE(path.stat().st_mode) == 0o600 for path in keys)


def test_killed_between_order_and_certificate(folder: Path, closed: Pebble, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that is killed after it has ordered is continued: the same order is proven and finalised."""
    hook = folder / "dns-hook.py"
    good = hook.read_text()
    hook.write_text(f"{good}\nimport signal\nos.kill(os.getppid(), signal.SIGKILL)\n")
    run = [sys.executable, "-m", "cmscert", "renew", str(folder / "fleet.yaml")]
    killed = subprocess.run(run, env=os.environ, capture_output=True, timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL, killed
    store = Store.open(folder / ".cmscert", Secret(SECRETS["STORE_PASSPHRASE"]))
    pending, known = store.pending("join", None), store.issuer("public")
    assert pending is not None
    assert known is not None
    assert known.spki is not None
    hook.write_text(good)

    row = renew(folder, capsys)

    assert row["state"] == "issued"
    stored = store.latest("join", None)
    assert stored is not None
    assert stored.spki == pending.spki
    wire = Wire(closed.directory, key=store.key(known.spki), ca_bundle=closed.ca_bundle, account=known.facts["account"])
    assert wire.order(pending.memo["order"]).status.name == "valid"
    wire.close()


def test_a_hook_that_fails(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a hook says when it fails is told, without its secrets; the run itself goes on."""
    (folder / "dns-hook.py").write_text("import os, sys; sys.exit('no zone, token ' + os.environ['DNS_TOKEN'])")
    code = main(["renew", str(folder / "fleet.yaml"), "--format", "json"])
    told = capsys.readouterr()

    (row,) = json.loads(told.out)["certificates"]
    assert (code, row["state"]) == (4, "failed")  # there is none yet: validity is at risk
    assert "present for join.example.com: python" in row["why"]
    assert row["why"].endswith("no zone, token ********")
    assert "t0k3n" not in told.out + told.err
