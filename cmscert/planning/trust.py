"""Who must accept whom, and in which order trust and identities may change (law 10).

A *view* is a file that peers are checked against. A *peer* is an identity slot whose holder is checked against it. A
trust that changes is moved in one go where that locks nobody out; otherwise as add (old and new), rotate, prune.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from cmscert.model.desired import WantedIdentity
from cmscert.model.names import service_of
from cmscert.model.readings import Known
from cmscert.model.services import IdentitySlot, ServiceTable, TrustSlot
from cmscert.pki.certificate import Certificate
from cmscert.pki.chain import accepted_by
from cmscert.planning.peers import Crowd, Peer, Place
from cmscert.planning.sight import Sight

Chain = tuple[Certificate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A trust file: what it holds, and what it is to hold (the same when the plan leaves it alone).

    ``crowd``: everybody whom slots of its kind must accept, those of its own service included. ``former``: what the
    service may still go by, when nothing proves that it has loaded the file; None when it has.
    """

    place: Place
    pin: Literal["leaf", "any"]
    found: tuple[Certificate, ...]
    wanted: tuple[Certificate, ...]
    changes: bool
    crowd: Crowd
    former: tuple[Certificate, ...] | None = None

    def those(self, question: object, holds: Callable[[Peer], bool]) -> tuple[Peer, ...]:
        """Return the peers for which something holds that depends on what this trust holds and what they show.

        A node does not connect to the very service that holds the trust.
        """
        asked = (question, self.pin, self.found, self.wanted, self.former)
        own = (self.place[0], service_of(self.place[1]))
        found = self.crowd.those(asked, holds)
        return tuple(peer for peer in found if (peer.place[0], service_of(peer.place[1])) != own) if found else ()

    def accepts(self, trust: tuple[Certificate, ...], chain: tuple[Certificate, ...]) -> bool:
        """Tell whether a peer that shows ``chain`` passes ``trust``."""
        return bool(chain) and accepted_by(trust, chain[0], chain[1:], pin=self.pin)

    def accepts_today(self, chain: tuple[Certificate, ...]) -> bool:
        """Tell whether a peer that shows ``chain`` passes what the service has loaded, whichever that is."""
        return self.accepts(self.found, chain) and (self.former is None or self.accepts(self.former, chain))


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """How a trust changes.

    ``first``: what it holds before identities rotate (None: nothing to do then). ``waits``: identities that must wait
    for ``first`` (where nothing is bound today, nobody is locked out). ``prune_after``: identities that must have
    rotated before ``wanted`` can be bound.
    """

    view: View
    first: tuple[Certificate, ...] | None
    waits: tuple[Place, ...]
    prune_after: tuple[Place, ...] = ()

    @property
    def prune(self) -> bool:
        """Whether a last step has to take the old trust away."""
        return bool(self.prune_after)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a plan does: identity and trust slots that it changes, and of these, those that it only loads once more.

    ``unproven``: what slots may still work with instead of what is bound; empty where that is not known.
    """

    changing: frozenset[Place]
    loaded: frozenset[Place] = frozenset()
    unproven: Mapping[Place, tuple[Certificate, ...]] = field(default_factory=dict)


def find_views(sights: Mapping[str, Sight], scope: Scope) -> tuple[View, ...]:
    """Return all trust files that were read, with their peers."""
    views = []
    crowds = _Crowds(sights, scope)
    for sight in sights.values():
        for slot in _trusting_slots(sight, scope.changing):
            place = (sight.name, slot.name)
            found = sight.certificates(sight.binding(slot.name).bundle)
            wanted = _wanted(sight, slot) if place in scope.changing else None
            if wanted is not None and place in scope.loaded:
                wanted = found
            if found or wanted:
                views.append(
                    View(
                        place=place,
                        # Where no source says that only leaves count, a CA is believed to be enough.
                        pin=slot.pin if slot.pin_grade == "sourced" else "any",
                        found=found,
                        wanted=found if wanted is None else wanted,
                        changes=wanted is not None,
                        crowd=crowds.of(slot.accepts),
                        former=scope.unproven.get(place),
                    )
                )
    return tuple(views)


def related_services(table: ServiceTable, slots: Iterable[str]) -> frozenset[str]:
    """Return the services whose trust must accept any of these identity slots, or whose identities these trusts accept.

    Their screens are needed on every server to plan a safe order, whether the inventory names them or not.
    """
    wanted = set(slots)
    related: set[str] = set()
    for row in table:
        for slot in row.slots:
            if wanted & set(slot.accepts):
                related.add(row.name)
            if slot.name in wanted:
                related.update(map(service_of, slot.accepts))
    return frozenset(related)


def move(view: View, *, peers_unknown: bool) -> Move | None:
    """Decide how a trust changes; None when the plan leaves it alone.

    ``peers_unknown``: identities of unread servers may depend on what it holds now, so nothing is taken away.
    """
    if not view.changes:
        return None
    waiting = view.those(
        "waiting",
        lambda peer: (
            peer.changes
            and bool(peer.before)
            and not view.accepts_today(peer.after)
            and view.accepts(view.wanted, peer.after)
        ),
    )
    needing = view.those(
        "needing",
        lambda peer: (
            peer.changes and view.accepts(view.found, peer.before) and not view.accepts(view.wanted, peer.before)
        ),
    )
    waits, needs_old = tuple(peer.place for peer in waiting), tuple(peer.place for peer in needing)
    union = view.wanted + tuple(crt for crt in view.found if crt not in view.wanted)
    first = None if set(view.wanted) <= set(view.found) and view.former is None else union
    if peers_unknown and set(union) != set(view.wanted):
        return Move(view=view, first=first, waits=waits)
    if needs_old:
        return Move(view=view, first=first, waits=waits, prune_after=needs_old)
    return Move(view=view, first=view.wanted, waits=waits)


def held_at_the_end(view: View, found: Move | None) -> tuple[Certificate, ...]:
    """Return what a trust holds when the run is over."""
    if found is None or found.prune:
        return view.wanted
    return view.found if found.first is None else found.first


def refused(view: View, found: Move | None) -> tuple[tuple[Peer, ...], tuple[Peer, ...]]:
    """Return the peers that do not pass the trust at the end: those that pass it today, and those that do not."""
    end = held_at_the_end(view, found)
    return (
        view.those(("shut out", end), lambda peer: _is_out(view, end, peer) and view.accepts(view.found, peer.before)),
        view.those(
            ("still out", end), lambda peer: _is_out(view, end, peer) and not view.accepts(view.found, peer.before)
        ),
    )


def _is_out(view: View, end: Chain, peer: Peer) -> bool:
    return bool(peer.after) and not view.accepts(end, peer.after)


def _trusting_slots(sight: Sight, changing: frozenset[Place]) -> Iterator[TrustSlot | IdentitySlot]:
    for row in sight.rows.values():
        if sight.state(row.name) is None:
            continue
        for slot in row.slots:
            if slot.kind == "trust" and (slot.accepts or (sight.name, slot.name) in changing):
                yield slot
            if slot.kind == "identity" and slot.third == "trust":
                yield slot


def _wanted(sight: Sight, slot: TrustSlot | IdentitySlot) -> tuple[Certificate, ...] | None:
    wanted = sight.wanted.slot(slot.name)
    return wanted.bundle.certificates if wanted is not None and wanted.bundle is not None else None


class _Crowds:
    """Gathers every identity once, and a crowd once for all trusts that accept the same slots."""

    def __init__(self, sights: Mapping[str, Sight], scope: Scope) -> None:
        self._sights = sights
        self._scope = scope
        self._crowds: dict[tuple[str, ...], Crowd] = {}
        self._peers: dict[Place, Peer | None] = {}
        self._chains: dict[Chain, Chain] = {}

    def of(self, accepts: tuple[str, ...]) -> Crowd:
        """Return everybody whom a slot that accepts these must accept."""
        if accepts not in self._crowds:
            each = (self._peer(sight, name) for sight in self._sights.values() for name in accepts)
            self._crowds[accepts] = Crowd(tuple(peer for peer in each if peer is not None))
        return self._crowds[accepts]

    def _peer(self, sight: Sight, name: str) -> Peer | None:
        place = (sight.name, name)
        if place not in self._peers:
            known = sight.slot(name) is not None and sight.state(service_of(name)) is not None
            self._peers[place] = self._read(sight, place) if known else None
        return self._peers[place]

    def _read(self, sight: Sight, place: Place) -> Peer | None:
        name, scope = place[1], self._scope
        before = scope.unproven.get(place) or _with_bundle(sight, name, sight.shown(name))
        after = before
        if place in scope.loaded:
            after = _with_bundle(sight, name, sight.certificates(sight.binding(name).certificate))
        elif place in scope.changing:
            wanted = sight.wanted.slot(name)
            after = wanted.material.full_chain if isinstance(wanted, WantedIdentity) else before
        return Peer(place=place, before=self._one(before), after=self._one(after)) if before or after else None

    def _one(self, chain: Chain) -> Chain:
        """Return the same object for the same chain: thousands of servers show it."""
        return self._chains.setdefault(chain, chain)


def _with_bundle(sight: Sight, slot: str, chain: tuple[Certificate, ...]) -> tuple[Certificate, ...]:
    """What a peer sees of a chain, with the CA bundle that stands beside the leaf."""
    bundle = sight.binding(slot).bundle
    row = sight.slot(slot)
    if bundle is None or row is None or row.kind != "identity" or row.third != "bundle":
        return chain
    behind = tuple(crt for crt in sight.certificates(bundle) if crt not in chain)
    return chain + behind if chain else ()


def is_running(sight: Sight, service: str) -> bool:
    """Tell whether a service runs, as far as its screen tells: no Enabled row means that it does (T-31)."""
    reading = sight.observed.screen(service)
    return isinstance(reading, Known) and reading.value.enabled is not False
