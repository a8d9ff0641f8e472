"""What the material store gives to an inventory."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from cmscert.app.supplies import StoredKeys, open_store, store_path, supplies_of
from cmscert.app.validate import validate
from cmscert.errors import InputError, SecretError
from cmscert.pki.generate import make_key
from cmscert.pki.keys import read_key
from cmscert.pki.request import make_request
from cmscert.testing.ca import ThrowAwayCa
from cmscert.testing.inventories import NOW, SMALL, Folder

ISSUED = (
    SMALL.replace(
        '    files: {certificate: "pki/{name}.crt", key: "pki/{name}.key"}',
        "    issuer: lab\n    key: {made: device, type: rsa, bits: 2048}",
    )
    .replace("roles:\n", "  shared: {common_name: a.example.com, issuer: ca, chain: corp}\nroles:\n", 1)
    .replace("    webadmin:", "    turn: {certificate: shared, bundle: corp}\n    webadmin:")
    .replace(
        "servers:\n",
        "store: {path: store, passphrase: {env: STORE_PASSPHRASE}}\n"
        "issuers:\n"
        "  lab: {type: directory, requests: csr, certificates: signed}\n"
        "  ca: {type: local_ca, certificate: pki/issuing-ca.crt, key: {file: pki/ca.key}}\n"
        "servers:\n",
    )
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """Give an inventory with two issuers and an empty store."""
    monkeypatch.setenv("STORE_PASSPHRASE", "correct horse")
    return Folder(tmp_path).write(ISSUED).mint()


def ask(folder: Folder, name: str = "shared", server: str | None = None, device_key: str | None = None) -> bytes:
    """Keep a request in the store and return it."""
    key = make_key("ec", 256)
    csr = make_request(key, common_name="a.example.com", sans=("a.example.com",))
    open_store(folder.outline(), keys=True).put_pending(
        name,
        server,
        csr=csr,
        key=None if device_key else key,
        device_key=device_key,
        issuer="ca",
        at=NOW,
    )
    return csr


def test_without_issuers_no_store_is_looked_at(tmp_path: Path) -> None:
    """An inventory of files alone has no supplies, whatever lies in its folder."""
    folder = Folder(tmp_path).write(SMALL).mint()
    (tmp_path / ".cmscert").write_text("not even a folder")

    assert supplies_of(folder.outline()).obtained == {}


def test_an_empty_store_owes_everything(folder: Folder) -> None:
    """Nothing was asked for yet; a local CA is known by its own certificate."""
    supplies = supplies_of(folder.outline())
    told = validate(folder.inventory, now=NOW)

    assert (supplies.obtained, supplies.waiting, supplies.pending) == ({}, {}, {})
    assert supplies.issuers == {"ca": folder.cas["corp"].bundle[:1]}
    assert {each.slot for each in told.awaited} == {"turn", "webadmin"}
    assert not (folder.path / "store").exists()


def test_what_was_obtained_is_supplied(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest certificate is there with its key, which is opened only when it is taken."""
    ask(folder)
    store = open_store(folder.outline(), keys=True)
    waiting = store.pending("shared", None)
    assert waiting is not None
    key = store.key(waiting.spki)
    pair = read_key(key.pem(), file="made").signer()
    made = folder.cas["corp"].issue("a.example.com", ("a.example.com",), key=pair).certificate  # type: ignore[arg-type]  # a key pair
    store.accept("shared", None, (made, *folder.cas["corp"].bundle), issuer="ca", at=NOW)
    monkeypatch.delenv("STORE_PASSPHRASE")
    loaded = validate(folder.inventory, now=NOW)
    supplies = supplies_of(folder.outline())

    assert {each.slot for each in loaded.awaited} == {"webadmin"}
    assert supplies.obtained["shared", None].chain[0] == made
    assert set(supplies.issuers["ca"]) == set(folder.cas["corp"].bundle)
    assert (list(supplies.keys), len(supplies.keys)) == ([made.spki_sha256], 1)
    with pytest.raises(SecretError, match="STORE_PASSPHRASE"):
        supplies.keys[made.spki_sha256]
    monkeypatch.setenv("STORE_PASSPHRASE", "correct horse")
    assert supplies.keys[made.spki_sha256].spki_sha256 == made.spki_sha256
    assert supplies.keys[made.spki_sha256] is supplies.keys[made.spki_sha256]


def test_keys_that_are_not_in_store_are_not_looked_for() -> None:
    """Asking for another key opens nothing."""

    def opener() -> None:
        raise AssertionError("the store was opened")

    keys = StoredKeys(("0" * 64,), opener)  # type: ignore[arg-type]  # never called

    assert "1" * 64 not in keys
    with pytest.raises(KeyError):
        keys["1" * 64]


def test_requests_under_way_are_told(folder: Folder) -> None:
    """What waits says since when, and the files of a request on a server are known as such."""
    ask(folder)
    ask(folder, "node", "core1", device_key="node-20260301-0a0b0c0d.key")
    supplies = supplies_of(folder.outline())

    assert supplies.waiting["shared", None] == "asked of issuer ca on 2026-03-01, not signed yet"
    assert supplies.pending == {"core1": ("node-20260301-0a0b0c0d.key", "node-20260301-0a0b0c0d.csr")}


def test_failures_are_told(folder: Folder) -> None:
    """An issuer that fails is named with what it said, and since when."""
    ask(folder)
    store = open_store(folder.outline(), keys=True)
    store.fail("shared", None, "the CA is closed", issuer="ca", at=NOW)
    once = supplies_of(folder.outline()).waiting["shared", None]
    store.fail("shared", None, "the CA is still closed", issuer="ca", at=NOW + timedelta(hours=1))
    twice = supplies_of(folder.outline()).waiting["shared", None]

    assert once == "issuer ca failed once: the CA is closed"
    assert twice == "issuer ca failed 2 times since 2026-03-01: the CA is still closed"


def test_what_an_issuer_signs_with_is_remembered(folder: Folder) -> None:
    """CA certificates that were kept for an issuer make its bundle before anything was issued."""
    ca = ThrowAwayCa.root("Another")
    open_store(folder.outline(), keys=True).put_issuer("lab", chain=ca.bundle)

    assert supplies_of(folder.outline()).issuers["lab"] == ca.bundle


def test_the_store_is_beside_the_inventory_unless_said_otherwise(folder: Folder) -> None:
    """The inventory names the folder of the store, or it is the one where runs write too."""
    outline = folder.outline()

    assert store_path(outline) == folder.path / "store"
    assert store_path(replace(outline, store=None)) == folder.path / ".cmscert"


def test_a_local_ca_without_its_certificate_is_a_fault(folder: Folder) -> None:
    """The file is named, and what to do."""
    (folder.path / "pki/issuing-ca.crt").rename(folder.path / "pki/elsewhere.crt")

    with pytest.raises(InputError, match=r"issuing-ca\.crt") as caught:
        supplies_of(folder.outline())

    assert caught.value.hint == "put the CA's certificate there"
