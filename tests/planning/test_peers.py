"""What is asked about peers is asked once for each thing that they show, and the answer is that of asking each."""

from __future__ import annotations

import pytest

from cmscert.planning.peers import Crowd, Peer
from cmscert.testing.ca import ThrowAwayCa


@pytest.fixture(scope="module")
def crowd() -> Crowd:
    """Six servers of which four get another certificate; every second one shows the same as its neighbour."""
    ca = ThrowAwayCa.root()
    old, new = ((ca.issue("a.example.com").certificate,), (ca.issue("b.example.com").certificate,))
    shown = ((old, new), (old, new), (old, old), (old, old), ((), new), ((), new))
    return Crowd(
        tuple(
            Peer(place=(f"core{number}", "callbridge"), before=before, after=after)
            for number, (before, after) in enumerate(shown)
        )
    )


def test_faces_are_asked_about_once(crowd: Crowd) -> None:
    """Three faces are three questions, and the same question is not asked again."""
    asked: list[Peer] = []

    def changes(peer: Peer) -> bool:
        asked.append(peer)
        return peer.changes

    found = [crowd.those("changes", changes) for _ in range(2)]

    assert found[0] == found[1] == tuple(peer for peer in crowd.peers if peer.changes)
    assert len(asked) == 3


def test_other_questions_have_other_answers(crowd: Crowd) -> None:
    """A question that nobody fits is answered as well, and does not stand for another."""
    assert crowd.those("nobody", lambda _: False) == ()
    assert crowd.those("unknown today", lambda peer: not peer.before) == crowd.peers[4:]
