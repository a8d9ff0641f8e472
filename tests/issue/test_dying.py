"""The store after a run that died in the middle of a write: kill -9, at any step."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmscert.issue.disk import Disk
from cmscert.issue.store import Store
from cmscert.pki.certificate import Certificate
from cmscert.pki.generate import make_key
from cmscert.pki.keys import PrivateKey
from cmscert.pki.request import make_request
from cmscert.testing.ca import ThrowAwayCa

NOW = datetime(2026, 11, 23, tzinfo=UTC)
CA = ThrowAwayCa.root()
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a folder of its own in it; no waiting for disks
USES = (("node", "core1"), ("node", "core2"), ("join", None))


@dataclass(frozen=True, kw_only=True)
class Set:
    """A key with its request and its certificate."""

    key: PrivateKey
    csr: bytes
    chain: tuple[Certificate, ...]


def made() -> Set:
    """Make a key, a request and a certificate."""
    key = make_key("ec")
    issued = CA.issue("core1.example.com", key=key.signer())  # type: ignore[arg-type]  # an EC key
    return Set(key=key, csr=make_request(key, common_name="core1.example.com"), chain=issued.full_chain)


SETS = tuple(made() for _ in range(4))
BY_KEY = {one.key.spki_sha256: one for one in SETS}


class DeathError(BaseException):
    """The process is gone: nothing cleans up behind it."""


class DyingDisk(Disk):
    """Does ``steps`` things to the disk and then nothing any more; a file it dies over holds ``share`` of its bytes."""

    def __init__(self, steps: int, share: float) -> None:
        self.left, self.share = steps, share

    def step(self) -> None:
        """Live on, or not."""
        if self.left <= 0:
            raise DeathError
        self.left -= 1

    def make_folder(self, path: Path) -> None:
        """Make a folder as long as it lives."""
        self.step()
        super().make_folder(path)

    def create(self, path: Path, content: bytes) -> None:
        """Die before, in the middle of, or after the write."""
        self.step()
        if self.left <= 0:
            super().create(path, content[: int(len(content) * self.share)])
            raise DeathError
        super().create(path, content)

    def move(self, old: Path, new: Path) -> None:
        """Rename as long as it lives."""
        self.step()
        super().move(old, new)

    def remove(self, path: Path) -> None:
        """Remove as long as it lives."""
        self.step()
        super().remove(path)

    def sync(self, folder: Path) -> None:
        """Sync as long as it lives."""
        self.step()
        super().sync(folder)


Act = tuple[str, int, int]
ACTS = st.lists(
    st.tuples(
        st.sampled_from(("ask", "accept", "fail", "drop", "issuer", "prune")), st.integers(0, 2), st.integers(0, 3)
    ),
    max_size=12,
)


def act(store: Store, what: str, use: int, which: int) -> None:
    """Do one thing to a store."""
    name, server = USES[use]
    one = SETS[which]
    pending = store.pending(name, server)
    match what:
        case "ask":
            store.put_pending(name, server, csr=one.csr, key=one.key, issuer="lab", at=NOW)
        case "accept" if pending is not None:
            store.accept(name, server, BY_KEY[pending.spki].chain, issuer="lab", at=NOW)
        case "fail":
            store.fail(name, server, "no answer", issuer="lab", at=NOW)
        case "drop":
            store.drop_pending(name, server)
        case "issuer":
            store.put_issuer("acme", key=one.key, chain=one.chain)
        case "prune":
            store.prune(1)
        case _:
            pass


def seen(store: Store) -> dict[object, object]:
    """Return all that a store holds; every key, request and chain in it is read and belongs together."""
    found: dict[object, object] = {"issuer": store.issuer("acme")}
    for name, server in USES:
        revisions, pending = store.revisions(name, server), store.pending(name, server)
        for stored in revisions:
            assert store.key(stored.spki) == BY_KEY[stored.spki].key
            assert stored.chain == BY_KEY[stored.spki].chain
        if pending is not None:
            assert store.key(pending.spki) == BY_KEY[pending.spki].key
            assert pending.csr == BY_KEY[pending.spki].csr
        found[name, server] = (revisions, pending, store.record(name, server).failures)
    return found


@contextmanager
def until_death() -> Iterator[None]:
    """Bear it."""
    with suppress(DeathError):
        yield


def orphans(store: Store) -> set[str]:
    """Return the files that nothing names, by their stems."""
    named = set()
    for name, server in USES:
        record = store.record(name, server)
        named |= {part for one in record.revisions for part in (one.spki, one.chain)}
        named |= set() if record.waiting is None else {record.waiting.spki, record.waiting.request}
    issuer = store.issuer("acme")
    if issuer is not None:
        named |= {issuer.spki or ""} | {path.stem for path in store.path.glob("certificates/*") if issuer.chain}
    kinds = ("keys", "certificates", "requests")
    return {path.stem for kind in kinds for path in store.path.glob(f"{kind}/*")} - named


@settings(max_examples=150, deadline=None)
@given(before=ACTS, last=ACTS.filter(bool), steps=st.integers(0, 40), share=st.sampled_from((0.0, 0.5, 1.0)))
def test_death_at_any_step(before: list[Act], last: list[Act], steps: int, share: float) -> None:
    """Whenever a run dies, the next one finds what was before the last act or after it, whole, and can go on."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        for one in before:
            act(Store.open(Path(folder)), *one)
        dying = Store.open(Path(folder), disk=DyingDisk(steps, share))
        history = [seen(Store.open(Path(folder)))]
        with until_death():
            for one in last:
                expected = tried(Path(folder), one)
                history = [seen(Store.open(Path(folder))), expected]
                act(dying, *one)
                history = [expected]

        survivor = Store.open(Path(folder))
        assert without_revisions_pruned(seen(survivor), history)
        survivor.prune(5)
        assert orphans(survivor) == set()
        assert not list(survivor.path.rglob("*.part"))
        for what in ("ask", "accept", "prune"):
            act(survivor, what, 0, 0)
        latest = survivor.latest(*USES[0])
        assert latest is not None
        assert latest.spki == SETS[0].key.spki_sha256


def tried(folder: Path, one: Act) -> dict[object, object]:
    """Return what a store holds after an act that goes well, tried on a copy."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as copy:
        subprocess.run(["cp", "-a", f"{folder}/.", copy], check=True)
        store = Store.open(Path(copy))
        act(store, *one)
        return seen(store)


def without_revisions_pruned(found: dict[object, object], history: list[dict[object, object]]) -> bool:
    """Tell whether a store holds, certificate by certificate, what one of two states held: pruning takes several."""
    return all(any(found[use] == state[use] for state in history) for use in found)


WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from cmscert.issue.store import Store
from cmscert.pki.generate import make_key
from cmscert.pki.request import make_request
from cmscert.testing.ca import ThrowAwayCa
store, ca, now = Store.open(Path(sys.argv[1])), ThrowAwayCa.root(), datetime(2026, 11, 23, tzinfo=UTC)
print("begun", flush=True)
while True:
    key = make_key("ec")
    with store.held(60):
        store.put_pending("node", None, csr=make_request(key, common_name="a.example.com"), key=key, issuer="x", at=now)
        store.accept("node", None, ca.issue("a.example.com", key=key.signer()).full_chain, issuer="x", at=now)
        store.prune(1)
    print("round", flush=True)
"""


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Return a function that starts a process which renews without end."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", WRITER, str(tmp_path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": "."})
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.slow
def test_kill_9(writer: Callable[[], subprocess.Popen[str]], tmp_path: Path) -> None:
    """A process that is killed while it writes leaves a whole store, and no lock."""
    for rounds in (1, 2, 5):
        process = writer()
        assert process.stdout is not None
        for _ in range(rounds + 1):
            assert process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.wait()

        store = Store.open(tmp_path)
        latest, pending = store.latest("node", None), store.pending("node", None)
        assert latest is not None
        assert store.key(latest.spki).spki_sha256 == latest.chain[0].spki_sha256
        assert pending is None or store.key(pending.spki).spki_sha256 == pending.spki
        store.prune(1)
        assert len(list(store.path.glob("keys/*"))) == len(store.revisions("node", None)) + (pending is not None)


@pytest.mark.slow
def test_two_writers(writer: Callable[[], subprocess.Popen[str]], tmp_path: Path) -> None:
    """Two processes that renew at once, and a reader between them, never see a half-written store."""
    processes = [writer(), writer()]
    store = Store.open(tmp_path)
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
    for process in processes:
        for _ in range(5):
            assert process.stdout is not None
            assert process.stdout.readline() == "round\n"
            latest = store.latest("node", None)
            assert latest is not None
            assert latest.chain[0].spki_sha256 == latest.spki
    assert [process.poll() for process in processes] == [None, None]
