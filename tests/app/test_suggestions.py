"""When CAs would renew: ``renew`` asks them, every command knows, and a CA that fails costs nothing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cmscert.app.inventory import choose
from cmscert.app.issuers import issuer_of
from cmscert.app.store_status import store_status
from cmscert.app.suggestions import ask_suggestions, with_suggestions
from cmscert.app.supplies import open_store
from cmscert.errors import LockHeld
from cmscert.inventory.outline import AcmeIssuer, HookOutline, Outline
from cmscert.issue.acme import AcmeIssuer as Acme
from cmscert.issue.dns01 import Hook
from cmscert.issue.dns_update import Updates
from cmscert.issue.store import Store
from cmscert.pki.certificate import Certificate
from cmscert.pki.generate import make_key
from cmscert.pki.keys import read_key
from cmscert.pki.request import make_request
from cmscert.planning.due import due_at
from cmscert.testing.inventories import NOW, SMALL, Folder
from cmscert.testing.toy_acme import Answer, ToyCa, json_answer

INVENTORY = (
    SMALL.replace('files: {certificate: "pki/{name}.crt", key: "pki/{name}.key"}', "issuer: public")
    .replace('"{fqdn}"', "node.example.com")
    .replace(
        "servers:\n",
        "issuers:\n"
        "  public: {type: acme, directory: 'https://ca.example.net/directory', challenge: {dns_01: {command: [x]}}}\n"
        "  lab: {type: local_ca, certificate: pki/issuing-ca.crt, key: {file: pki/issuing-ca.key}}\n"
        "servers:\n",
    )
)
WINDOW = {"suggestedWindow": {"start": "2026-03-05T00:00:00Z", "end": "2026-03-06T00:00:00Z"}}
DAY = timedelta(days=1)


@dataclass
class Scene:
    """An inventory whose one certificate an ACME CA delivered. ``said``: remarks for the log."""

    folder: Folder
    outline: Outline
    leaf: Certificate
    said: list[tuple[str, dict[str, object]]] = field(default_factory=list)

    def note(self, event: str, /, **facts: object) -> None:
        """Take a remark."""
        self.said.append((event, facts))

    async def ask(self, toy: ToyCa, at: datetime) -> None:
        """Ask the CA as ``renew`` does."""
        declared = self.outline.issuers["public"]
        assert isinstance(declared, AcmeIssuer)
        issuers = {**self.outline.issuers, "public": replace(declared, directory=toy.directory)}
        await ask_suggestions(replace(self.outline, issuers=issuers), at, self.note)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A store with the certificate in it."""
    folder = Folder(tmp_path).write(INVENTORY)
    ca = folder.mint().cas["corp"]
    outline = folder.outline()
    store = open_store(outline, keys=True)
    key = make_key("ec")
    csr = make_request(key, common_name="node.example.com", sans=("node.example.com",))
    store.put_pending("node", None, csr=csr, key=key, issuer="public", at=NOW)
    pair = read_key(key.pem(), file="made").signer()
    leaf = ca.issue("node.example.com", ("node.example.com",), not_after=NOW + 90 * DAY, key=pair)  # type: ignore[arg-type]  # EC
    store.accept("node", None, leaf.full_chain, issuer="public", at=NOW)
    return Scene(folder, outline, leaf.certificate)


async def test_every_command_knows(scene: Scene) -> None:
    """What the CA suggests is when the certificate is due, for ``renew`` and for ``plan`` alike."""
    with ToyCa(renewals=json_answer(WINDOW)) as toy:
        await scene.ask(toy, NOW)
    renewing = with_suggestions(scene.outline).policy.renew_when
    planning = choose(scene.folder.inventory, now=NOW).loaded.desired.policy.renew_when

    moment = due_at((scene.leaf,), renewing)
    assert datetime(2026, 3, 5, tzinfo=UTC) <= moment < datetime(2026, 3, 6, tzinfo=UTC)
    assert due_at((scene.leaf,), planning) == moment
    (row,) = store_status(scene.folder.inventory, now=NOW).rows
    assert [each.due_at for each in row.revisions] == [moment]
    assert scene.said == []


async def test_asked_as_often_as_the_ca_wishes(scene: Scene) -> None:
    """An hourly run asks once in as long as the CA says."""
    with ToyCa(renewals=json_answer(WINDOW, Retry_After="7200")) as toy:
        for hours in range(5):
            await scene.ask(toy, NOW + timedelta(hours=hours))

    assert len(toy.requests("renewal-info")) == 3


async def test_nobody_is_asked_about_the_dead(scene: Scene) -> None:
    """About a certificate that has expired no CA is asked."""
    with ToyCa(renewals=json_answer(WINDOW)) as toy:
        await scene.ask(toy, NOW + 91 * DAY)

    assert toy.asked == []


async def test_a_ca_that_fails(scene: Scene) -> None:
    """A CA that fails is noted, and the policy holds."""
    with ToyCa(renewals=Answer(status=500)) as toy:
        await scene.ask(toy, NOW)

    assert [event for event, _ in scene.said] == ["no renewal information"]
    assert due_at((scene.leaf,), with_suggestions(scene.outline).policy.renew_when) == due_at(
        (scene.leaf,), scene.outline.policy.renew_when
    )


async def test_a_store_that_is_busy(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another run writes to the store, the advice is not kept, and nothing fails."""

    def busy(_store: Store, _seconds: float = 0) -> None:
        raise LockHeld("another run writes")

    monkeypatch.setattr(Store, "held", busy)
    with ToyCa(renewals=json_answer(WINDOW)) as toy:
        await scene.ask(toy, NOW)

    assert [event for event, _ in scene.said] == ["renewal information not kept"]


def test_without_acme_nothing_is_opened(tmp_path: Path) -> None:
    """An inventory without such a CA stays as it is."""
    outline = Folder(tmp_path).write(SMALL).outline()

    assert with_suggestions(outline) is outline


def test_issuers_are_made_as_declared(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Program or name server, customer or not: what the inventory says is what is asked with."""
    monkeypatch.setenv("KEY", "c2VjcmV0")
    store = open_store(scene.outline, keys=True)
    hooked = issuer_of("public", scene.outline, store, lambda _: pytest.fail("no server is needed"))
    text = INVENTORY.replace(
        "{dns_01: {command: [x]}}",
        "{dns_01: {server: ns1, key_name: k, key: {env: KEY}}}, external_account: {id: '17', key: {env: KEY}}",
    )
    outline = scene.folder.write(text).outline()
    updated = issuer_of("public", outline, store, lambda _: pytest.fail("no server is needed"))

    assert isinstance(hooked, Acme)
    assert isinstance(hooked.publisher, Hook)
    assert hooked.accounts.external is None
    assert isinstance(updated, Acme)
    assert isinstance(updated.publisher, Updates)
    assert updated.accounts.external is not None
    assert updated.accounts.external.key().reveal() == "c2VjcmV0"
    assert HookOutline(command=("x",)).timeout == 120
