from __future__ import annotations

import os
import stat
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from cmscert.errors import InputError, LockHeld
from cmscert.issue.disk import Disk
from cmscert.issue.index import Record
from cmscert.issue.store import FOLDER, KnownIssuer, Store
from cmscert.model.secret import Secret
from cmscert.pki.certificate import Certificate
from cmscert.pki.generate import make_key
from cmscert.pki.keys import PrivateKey
from cmscert.pki.request import make_request
from cmscert.testing.ca import ThrowAwayCa

Chain = tuple[Certificate, ...]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store.open(tmp_path / "store")


@pytest.fixture
def filled(store: Store, key: PrivateKey, csr: bytes, chain: Chain, now: datetime) -> Store:
    """A store with one certificate."""
    store.put_pending("node", "core1", csr=csr, key=key, issuer="lab", at=now)
    store.accept("node", "core1", chain, issuer="lab", at=now)
    return store


def files(store: Store) -> set[str]:
    """Return the files of a store, without its lock."""
    found = (path for path in store.path.rglob("*") if path.is_file() and path.name != "lock")
    return {path.relative_to(store.path).as_posix() for path in found}


def another(store: Store, ca: ThrowAwayCa, now: datetime, name: str = "node") -> PrivateKey:
    """Obtain a further revision with a new key."""
    key = make_key("ec")
    store.put_pending(
        name, "core1", csr=make_request(key, common_name="core1.example.com"), key=key, issuer="lab", at=now
    )
    issued = ca.issue("core1.example.com", key=key.signer())  # type: ignore[arg-type]  # an EC key
    store.accept(name, "core1", issued.full_chain, issuer="lab", at=now)
    return key


def test_reading_makes_nothing(store: Store) -> None:
    """An empty store answers, and looking at it leaves nothing on disk."""
    assert store.latest("node", None) is None
    assert store.pending("node", None) is None
    assert store.record("node", None).failures is None
    assert store.issuer("lab") is None
    assert not store.path.exists()


def test_request_becomes_certificate(store: Store, key: PrivateKey, csr: bytes, chain: Chain, now: datetime) -> None:
    """A key is kept with its request, then with its certificate, and what failed before is forgotten."""
    pending = store.put_pending("node", "core1", csr=csr, key=key, issuer="lab", at=now, memo={"order": "1"})
    assert store.pending("node", "core1") == pending
    assert (pending.spki, pending.csr, dict(pending.memo)) == (key.spki_sha256, csr, {"order": "1"})
    assert store.key(pending.spki).pem() == key.pem()
    store.fail("node", "core1", "no answer", issuer="lab", at=now)

    stored = store.accept("node", "core1", chain, issuer="lab", at=now)

    assert store.latest("node", "core1") == stored
    assert (stored.chain, stored.spki, stored.issuer, stored.at, stored.device_key) == (
        chain,
        key.spki_sha256,
        "lab",
        now,
        None,
    )
    assert store.pending("node", "core1") is None
    assert store.record("node", "core1").failures is None
    assert store.latest("node", None) is None
    assert store.record("node", "core1").revisions


def test_another_process_reads_the_same(filled: Store, chain: Chain) -> None:
    """What was kept is read by whoever opens the store."""
    reopened = Store.open(filled.path.parent)

    assert reopened.revisions("node", "core1") == filled.revisions("node", "core1")
    assert reopened.revisions("node", "core1")[0].chain == chain


def test_keys_on_servers(store: Store, csr: bytes, chain: Chain, now: datetime) -> None:
    """Of a key made on a server only its name is kept."""
    store.put_pending("node", "core1", csr=csr, device_key="node-1.key", issuer="lab", at=now)
    stored = store.accept("node", "core1", chain, issuer="lab", at=now)

    assert stored.device_key == "node-1.key"
    assert not any(name.startswith("keys/") for name in files(store))


def test_only_its_owner_may_look(filled: Store) -> None:
    """Folders are 0700 and files 0600, whatever the umask."""
    modes = {path.is_dir(): stat.S_IMODE(path.stat().st_mode) for path in (filled.path, *filled.path.rglob("*"))}

    assert modes == {True: 0o700, False: 0o600}


def test_open_folders_are_closed(tmp_path: Path, key: PrivateKey, csr: bytes, now: datetime) -> None:
    """A folder that others can look into, as a checkout makes it, is closed at the next write."""
    folder = tmp_path / FOLDER
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)

    Store.open(tmp_path).put_pending("node", None, csr=csr, key=key, issuer="lab", at=now)

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_passphrase(tmp_path: Path, key: PrivateKey, csr: bytes, now: datetime) -> None:
    """With a passphrase keys are encrypted, and open with that one alone; one that was kept open stays readable."""
    store = Store.open(tmp_path, Secret("correct horse"))
    store.put_pending("node", None, csr=csr, key=key, issuer="lab", at=now)

    text = (store.path / "keys" / f"{key.spki_sha256}.key").read_text()
    assert text.startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert store.key(key.spki_sha256) == key
    with pytest.raises(InputError, match="needs a passphrase"):
        Store.open(tmp_path).key(key.spki_sha256)
    with pytest.raises(InputError, match="does not open") as caught:
        Store.open(tmp_path, Secret("wrong")).key(key.spki_sha256)
    assert "wrong" not in str(caught.value)
    (store.path / "keys" / f"{key.spki_sha256}.key").write_bytes(key.pem())
    assert store.key(key.spki_sha256) == key


def test_another_passphrase_is_found_out(tmp_path: Path, csr: bytes, key: PrivateKey, now: datetime) -> None:
    """A passphrase that opens none of the keys is refused before it encrypts one more; one damaged key is no reason."""
    path = tmp_path / "store"
    right, wrong = (Store.open(path, Secret(word)) for word in ("right", "wrong"))
    wrong.try_passphrase()
    right.put_pending("node", None, csr=csr, key=key, issuer="lab", at=now)
    right.try_passphrase()
    for store in (wrong, Store.open(path)):
        with pytest.raises(InputError, match="passphrase"):
            store.try_passphrase()

    (right.path / "keys" / f"{'0' * 64}.key").write_bytes(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\ntorn")
    right.try_passphrase()


def test_empty_passphrase(tmp_path: Path) -> None:
    """An empty passphrase is a mistake, not an open store."""
    with pytest.raises(InputError, match="is empty"):
        Store.open(tmp_path, Secret(""))


def test_request_needs_its_key(store: Store, csr: bytes, now: datetime) -> None:
    """A request is never kept without a key, with another's, or with two."""
    other = make_key("ec")
    for key, device_key in ((None, None), (other, None), (other, "x.key")):
        with pytest.raises(ValueError, match="its own key"):
            store.put_pending("node", None, csr=csr, key=key, device_key=device_key, issuer="lab", at=now)
    assert not store.path.exists()


def test_certificate_of_another_request(filled: Store, chain: Chain, now: datetime) -> None:
    """A certificate whose request is not pending any more is refused."""
    with pytest.raises(InputError, match="is pending") as caught:
        filled.accept("node", "core1", chain, issuer="lab", at=now)

    assert caught.value.faults[0].reason == "not-pending"


def test_failures_count(store: Store, now: datetime) -> None:
    """Failures in a row are counted across runs, and put the next attempt off."""
    store.fail("node", None, "no answer", issuer="lab", at=now)
    failures = Store.open(store.path.parent).fail("node", None, "refused", issuer="lab", at=now + timedelta(hours=1))

    assert (failures.count, failures.first, failures.last) == (2, now, now + timedelta(hours=1))
    assert failures.next == now + timedelta(hours=1, minutes=30)
    assert store.record("node", None).failures == failures
    closed = store.fail("node", None, "x", issuer="lab", at=now, wait=timedelta(days=1))
    assert (closed.count, closed.next, closed.closed_until) == (3, now + timedelta(days=1), now + timedelta(days=1))


def test_failures_are_those_of_one_issuer(store: Store, now: datetime) -> None:
    """Another issuer begins with a clean sheet."""
    store.fail("node", None, "closed", issuer="lab", at=now, wait=timedelta(days=7))
    record = store.record("node", None)

    assert (record.failed("lab"), record.failed("other")) == (record.failures, None)
    assert store.fail("node", None, "x", issuer="other", at=now).count == 1


def test_memo(store: Store, key: PrivateKey, csr: bytes, now: datetime) -> None:
    """An issuer's memo is kept with the pending request, and nowhere without one."""
    store.remember("node", None, {"order": "1"})
    assert store.record("node", None) == Record()
    store.put_pending("node", None, csr=csr, key=key, issuer="acme", at=now)
    store.remember("node", None, {"order": "2"})

    pending = store.pending("node", None)
    assert pending is not None
    assert dict(pending.memo) == {"order": "2"}
    store.drop_pending("node", None)
    assert store.pending("node", None) is None


def test_issuers(store: Store, chain: Chain) -> None:
    """An account key and CA certificates are kept for an issuer, and outlive pruning."""
    key = make_key("rsa")
    store.put_issuer("acme", key=key, facts={"account": "https://acme.example.net/1"})
    store.put_issuer("dbca", chain=chain[1:])
    assert store.prune(0) == ()

    known = store.issuer("acme")
    assert known == KnownIssuer(name="acme", spki=key.spki_sha256, facts={"account": "https://acme.example.net/1"})
    assert store.key(key.spki_sha256) == key
    store.note_issuer("dbca", {"told": "yes"})
    database = store.issuer("dbca")
    assert database is not None
    assert (database.chain, database.facts) == (chain[1:], {"told": "yes"})
    store.note_issuer("acme", {})
    assert store.issuer("acme") == KnownIssuer(name="acme", spki=key.spki_sha256)
    store.note_issuer("new", {"told": "no"})
    assert store.issuer("new") == KnownIssuer(name="new", facts={"told": "no"})


def test_prune(filled: Store, issuing: ThrowAwayCa, now: datetime) -> None:
    """The newest and as many older ones as the policy says stay, with their keys; the rest goes, files and all."""
    keys = [another(filled, issuing, now) for _ in range(3)]
    given_up = make_key("ec")
    for name in ("a.example.com", "b.example.com"):
        csr = make_request(given_up, common_name=name)
        filled.put_pending("node", "core1", csr=csr, key=given_up, issuer="lab", at=now)
    filled.drop_pending("node", "core1")

    removed = filled.prune(1)

    assert [one.spki for one in filled.revisions("node", "core1")] == [keys[2].spki_sha256, keys[1].spki_sha256]
    assert sum(name.startswith("keys/") for name in removed) == 3
    assert sorted(name.partition("/")[0] for name in files(filled)) == ["certificates"] * 2 + ["index"] + ["keys"] * 2
    assert filled.prune(1) == ()


def test_prune_keeps_what_is_pending(store: Store, key: PrivateKey, csr: bytes, now: datetime) -> None:
    """The key of a pending request is never pruned; what a killed run left is."""
    store.put_pending("node", None, csr=csr, key=key, issuer="lab", at=now)
    (store.path / "keys" / ".x.key.4711.part").write_bytes(b"torn")
    (store.path / "keys" / "README").write_bytes(b"not ours")
    (store.path / "index" / "two words.json").write_bytes(b"not ours")

    assert store.prune(0) == ("keys/.x.key.4711.part",)
    assert store.key(key.spki_sha256) == key
    assert store.pending("node", None) is not None


def damage(path: Path) -> None:
    """Overwrite one byte in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("kind", ["index", "certificates"])
def test_damage_is_found(filled: Store, issuing: ThrowAwayCa, now: datetime, kind: str) -> None:
    """One wrong byte is found, said with what to do, and harms no other certificate; nothing is removed then."""
    another(filled, issuing, now, "join")
    path = next((filled.path / kind).glob("node.json" if kind == "index" else "*"))
    whose = "node" if kind == "index" or path.stem == filled.record("node", "core1").revisions[0].chain else "join"
    damage(path)

    with pytest.raises(InputError, match="store is damaged") as caught:
        filled.latest(whose, "core1")

    assert caught.value.faults[0].file == str(path)
    assert "backup" in str(caught.value.hint)
    assert filled.latest("join" if whose == "node" else "node", "core1") is not None
    before = files(filled)
    if kind == "index":
        with pytest.raises(InputError):
            filled.prune(0)
    assert files(filled) == before


def test_damaged_request(store: Store, key: PrivateKey, csr: bytes, now: datetime) -> None:
    """A request that is not what was written is not sent to anybody."""
    store.put_pending("node", None, csr=csr, key=key, issuer="lab", at=now)
    damage(next((store.path / "requests").iterdir()))

    with pytest.raises(InputError, match="not what was written"):
        store.pending("node", None)


@pytest.mark.parametrize("kind", ["keys", "certificates"])
def test_missing_files(filled: Store, kind: str) -> None:
    """A certificate whose key or chain is gone is told as damage, not used."""
    next((filled.path / kind).iterdir()).unlink()

    with pytest.raises(InputError, match="it is missing"):
        filled.latest("node", "core1")


def test_keys_that_changed_places(filled: Store, key: PrivateKey) -> None:
    """A key under another's name is found out."""
    (filled.path / "keys" / f"{key.spki_sha256}.key").write_bytes(make_key("ec").pem())

    with pytest.raises(InputError, match="another key"):
        filled.key(key.spki_sha256)


def test_damaged_issuer(store: Store) -> None:
    """What is kept for an issuer is found out when it is damaged."""
    store.put_issuer("acme", facts={"account": "1"})
    damage(store.path / "issuers" / "acme.json")

    with pytest.raises(InputError, match="store is damaged"):
        store.issuer("acme")


@pytest.mark.parametrize("place", ["", "keys", "index/node.json", "lock"])
def test_links_are_not_followed(tmp_path: Path, key: PrivateKey, csr: bytes, now: datetime, place: str) -> None:
    """Where a link was planted, nothing is read or written through it."""
    elsewhere = tmp_path / "elsewhere"
    if place in ("", "keys"):
        elsewhere.mkdir()
    else:
        elsewhere.write_bytes(b"")
    link = tmp_path / FOLDER / place
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(elsewhere)

    with pytest.raises(InputError, match="the material store"):
        Store.open(tmp_path).put_pending("node", None, csr=csr, key=key, issuer="lab", at=now)

    assert elsewhere.stat().st_size == 0 or not list(elsewhere.iterdir())


def test_pipes_are_not_waited_for(filled: Store) -> None:
    """A pipe in place of an index is refused at once."""
    path = filled.path / "index" / "node.json"
    path.unlink()
    os.mkfifo(path)

    with pytest.raises(InputError, match="no regular file"):
        filled.latest("node", "core1")


def test_huge_files_are_not_read(filled: Store) -> None:
    """A file larger than anything that belongs in the store is refused."""
    os.truncate(filled.path / "index" / "node.json", 5_000_000)

    with pytest.raises(InputError, match="larger than anything"):
        filled.latest("node", "core1")


def test_folders_of_others(tmp_path: Path) -> None:
    """A store that belongs to another user is not used."""

    class Foreign(Disk):
        def is_open(self, path: Path) -> bool:
            raise PermissionError(1, "It belongs to another user", str(path))

    with pytest.raises(InputError, match="belongs to another user"):
        Store.open(tmp_path, disk=Foreign())


def test_full_disk(tmp_path: Path, key: PrivateKey, csr: bytes, now: datetime) -> None:
    """A full disk is said in one sentence, and the store is what it was."""

    class Full(Disk):
        def create(self, path: Path, content: bytes) -> None:
            raise OSError(28, "No space left on device", f"{path} {len(content)}")

    with pytest.raises(InputError, match="no space left on device"):
        Store.open(tmp_path, disk=Full()).put_pending("node", None, csr=csr, key=key, issuer="lab", at=now)
    assert Store.open(tmp_path).pending("node", None) is None


def test_one_writer_at_a_time(filled: Store, now: datetime) -> None:
    """While one run holds the store another one cannot write, but reads; within the run it may be taken again."""
    other = Store.open(filled.path.parent)

    with filled.held():
        filled.fail("node", "core1", "x", issuer="lab", at=now)
        with pytest.raises(LockHeld, match="another run"), other.held(0.05):
            pytest.fail("the lock was given twice")
        assert other.latest("node", "core1") is not None
    other.fail("node", "core1", "x", issuer="lab", at=now)


def test_names_of_files() -> None:
    """No name leads out of the store."""
    store = Store.open(Path("anywhere"))
    for name in ("../x", "", "a/b", ".hidden", "a" * 65):
        with pytest.raises(ValueError, match="cannot be the name"):
            store.latest(name, None)


def test_reads_again_after_pruning(filled: Store, issuing: ThrowAwayCa, now: datetime) -> None:
    """A reader between whose looks another run renewed and pruned reads once more, and gets the new certificate."""
    chain = filled.record("node", "core1").revisions[0].chain
    key = make_key("ec")

    class Meanwhile(Disk):
        done = False

        def read(self, path: Path) -> bytes:
            if path.stem == chain and not self.done:
                self.done = True
                other = Store.open(filled.path.parent)
                csr = make_request(key, common_name="core1.example.com")
                other.put_pending("node", "core1", csr=csr, key=key, issuer="lab", at=now)
                issued = issuing.issue("core1.example.com", key=key.signer())  # type: ignore[arg-type]  # an EC key
                other.accept("node", "core1", issued.full_chain, issuer="lab", at=now)
                other.prune(0)
            return super().read(path)

    stored = Store.open(filled.path.parent, disk=Meanwhile()).latest("node", "core1")

    assert stored is not None
    assert stored.spki == key.spki_sha256


def test_stores_of_others_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose folder it is is asked of the file system."""
    (tmp_path / FOLDER).mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 12345)

    with pytest.raises(InputError, match="belongs to another user"):
        Store.open(tmp_path)


def test_damaged_keys_are_not_sealed(tmp_path: Path, key: PrivateKey, csr: bytes, now: datetime) -> None:
    """A key file that cannot be read stays as it is, and keeps no other from being encrypted."""
    store = Store.open(tmp_path)
    store.put_pending("node", None, csr=csr, key=key, issuer="lab", at=now)
    good = store.path / "keys" / f"{key.spki_sha256}.key"
    damaged = good.with_name(f"{'0' * 64}.key")
    damaged.write_bytes(b"no key\n")
    sealing = Store.open(tmp_path, Secret("correct horse"))
    (store.path / "keys" / f"{'1' * 64}.key").mkdir()
    sealing.seal_keys()

    assert sealing.open_keys() == ("0" * 64,)
    assert damaged.read_bytes() == b"no key\n"
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in good.read_bytes()
    assert sealing.key(key.spki_sha256) == key
