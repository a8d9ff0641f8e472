"""Everybody whom a trust must accept, gathered once for all trusts that accept the same slots.

A fleet of thousands has as many trusts as identities. What is asked of a pair of them depends on what the one holds and
the other shows alone, and that is the same for most: so it is asked once for each, and not for each pair.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from cmscert.pki.certificate import Certificate

Place = tuple[str, str]
"""(server, slot)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """An identity as peers see it before and after the run; empty when not known."""

    place: Place
    before: tuple[Certificate, ...]
    after: tuple[Certificate, ...]

    @property
    def changes(self) -> bool:
        """Whether the run gives it another leaf."""
        return self.before[:1] != self.after[:1]

    @property
    def face(self) -> tuple[tuple[Certificate, ...], tuple[Certificate, ...]]:
        """What it shows, before and after."""
        return self.before, self.after


@dataclass(frozen=True, slots=True, eq=False)
class Crowd:
    """All peers that some slots accept, in the order of the servers, and what was asked about them so far."""

    peers: tuple[Peer, ...]
    _answers: dict[object, tuple[Peer, ...]] = field(default_factory=dict, repr=False)

    def those(self, question: object, holds: Callable[[Peer], bool]) -> tuple[Peer, ...]:
        """Return the peers for which something holds that depends on their faces alone.

        ``question``: the same for the same question, so that it is asked once.
        """
        if question not in self._answers:
            faces = {peer.face: peer for peer in self.peers}
            found = {face for face, peer in faces.items() if holds(peer)}
            self._answers[question] = tuple(peer for peer in self.peers if peer.face in found) if found else ()
        return self._answers[question]
