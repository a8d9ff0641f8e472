"""Material that a node makes itself, and its copies, on scripted nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from cmscert.apply.minting import copy, mint
from cmscert.apply.sending import Attempt, Scribe
from cmscert.errors import NodeError, StoreRefused
from cmscert.mmp.lines import lines
from cmscert.model.events import CommandSent, Event
from cmscert.model.plan import CopyFile, MintDatabase
from cmscert.testing.ca import ThrowAwayCa
from cmscert.testing.recorded import RecordedSession

MINT = MintDatabase(
    ca="ca-1",
    ca_common_name="example.com",
    server="s-1",
    server_common_name="a.example.com",
    server_sans=(),
    client="c-1",
    client_common_name="postgres",
)
COPY = CopyFile(file="c-1.key", source="core1")


@dataclass(kw_only=True)
class Node:
    """A node that makes what it is asked for, or something else."""

    ca: ThrowAwayCa = field(default_factory=lambda: ThrowAwayCa.root("example.com"))
    signer: ThrowAwayCa | None = None
    client_name: str = "postgres"
    leaves_out: str = ""
    spoils: str = ""
    store: dict[str, bytes | NodeError] = field(default_factory=dict)

    def answer(self, typed: str) -> str:
        """Carry out the last command of the five, which is when everything is there."""
        if typed == "pki sign c-1 ca-1":
            signer = self.signer or self.ca
            server, client = signer.issue("a.example.com"), signer.issue(self.client_name)
            made = {"ca-1": self.ca, "s-1": server, "c-1": client}
            for name, issued in made.items():
                self.store |= {f"{name}.crt": issued.certificate_pem, f"{name}.key": issued.key_pem}
            self.store.pop(self.leaves_out, None)
            if self.spoils:
                self.store[self.spoils] = b"nothing"
        return ""

    def session(self) -> RecordedSession:
        """Return the way to it."""
        return RecordedSession(server="core1", script=self.answer, store=self.store)


def written(action: MintDatabase | CopyFile) -> tuple[Attempt, Scribe, list[Event]]:
    """Return what a step needs, and where its events go."""
    events: list[Event] = []
    scribe = Scribe(step="1", server="core1", emit=events.append, clock=lambda: datetime(2026, 11, 23, tzinfo=UTC))
    return Attempt(lines=lines(action, None)), scribe, events


async def test_made() -> None:
    """The five commands are sent in order, each after it is written down, and what they made is read back."""
    node = Node()
    session = node.session()
    attempt, scribe, events = written(MINT)

    await mint(session, MINT, attempt, scribe)

    assert session.typed("do") == tuple(line.text for line in lines(MINT, None))
    assert [event.typed for event in events if isinstance(event, CommandSent)] == list(session.typed("do"))
    assert not any(name.endswith(".key") for name in session.typed("read"))


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (Node(store={"c-1.csr": b""}), r"c-1\.csr is there since the plan was made"),
        (Node(leaves_out="s-1.key"), r"there is no s-1\.key"),
        (Node(leaves_out="c-1.crt"), r"there is no c-1\.crt"),
        (Node(spoils="ca-1.crt"), r"ca-1\.crt holds no certificate"),
        (Node(client_name="postgrest"), "what was made for postgres"),
        (Node(signer=ThrowAwayCa.root("other")), r"what was made for a\.example\.com is not signed by ca-1"),
    ],
    ids=["name in use", "no key", "no certificate", "garbage", "another name", "another CA"],
)
async def test_made_otherwise(node: Node, said: str) -> None:
    """What was not made, or not as asked for, fails the step before anything is bound."""
    attempt, scribe, _ = written(MINT)

    with pytest.raises(NodeError, match=said):
        await mint(node.session(), MINT, attempt, scribe)


def keeping(change: Callable[[bytes], bytes]) -> RecordedSession:
    """Return a node whose store keeps what a function makes of an upload."""
    return RecordedSession(server="core2", store={}, on_put=lambda _, content: change(content))


async def test_copied() -> None:
    """A file goes from store to store under its name, and is read back."""
    source = RecordedSession(server="core1", store={"c-1.key": b"key"})
    target = keeping(bytes)
    attempt, scribe, events = written(COPY)

    await copy(target, {"core1": source}, COPY, attempt, scribe)

    assert target.store == {"c-1.key": b"key"}
    assert attempt.at_end
    assert [event.typed for event in events if isinstance(event, CommandSent)] == [line.text for line in attempt.lines]


@pytest.mark.parametrize(
    ("source", "target", "error", "said"),
    [
        (None, keeping(bytes), StoreRefused, "core1 could not be reached"),
        (RecordedSession(server="core1", store={}), keeping(bytes), StoreRefused, "no c-1.key on core1"),
        (
            RecordedSession(server="core1", store={"c-1.key": b"key"}),
            keeping(lambda content: content[:1]),
            StoreRefused,
            "does not read back",
        ),
    ],
    ids=["away", "not there", "cut off"],
)
async def test_not_copied(
    source: RecordedSession | None, target: RecordedSession, error: type[NodeError], said: str
) -> None:
    """A copy that is not the same fails the step."""
    attempt, scribe, _ = written(COPY)

    with pytest.raises(error, match=said):
        await copy(target, {} if source is None else {"core1": source}, COPY, attempt, scribe)
