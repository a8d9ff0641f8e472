"""In which order the steps of a run are taken back: the links of the run, the other way round.

What had to come before something comes after it on the way back: an identity goes before the trust that it needed, and
a trust comes back before the identity that needs it (law 10). Web administration stays the last of its server. A file
that was overwritten comes back before the services load it anew, and not before they have done so for the last time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

from cmscert.model.plan import Step
from cmscert.model.readings import Known
from cmscert.planning.past import Overwritten, Past, Place, Switch, switches
from cmscert.planning.retrace import Back, Retraced
from cmscert.planning.sight import Sight

WEBADMIN = "webadmin"
CALLBRIDGE = "callbridge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Overwritten files of a server that belong together: they are brought back at once."""

    id: str
    server: str
    files: tuple[Overwritten, ...]

    @property
    def names(self) -> frozenset[str]:
        """The names of the files."""
        return frozenset(each.file for each in self.files)


Move = Back | Files


@dataclass(slots=True, kw_only=True)
class Order:
    """``moves``: by id, newest first. ``links``: by id, what is done before it.

    ``carried``: what is loaded by the restart that follows it.
    """

    moves: dict[str, Move] = field(default_factory=dict)
    links: dict[str, set[str]] = field(default_factory=dict)
    carried: set[str] = field(default_factory=set)
    _behind: dict[str, set[str]] = field(default_factory=dict)

    def add(self, move: Move, name: str) -> None:
        """Take something in that is to be put in order."""
        self.moves[name] = move
        self.links[name] = set()
        self._behind[name] = set()

    def link(self, first: str, then: str) -> None:
        """Let one thing come before another."""
        self.links[then].add(first)
        self._behind[first].add(then)

    def unlink(self, first: str, then: str) -> None:
        """Let it not matter which of two things comes first."""
        self.links[then].remove(first)
        self._behind[first].remove(then)

    def put_before(self, first: str, then: str) -> None:
        """Let one thing come before another, unless it waits for that already."""
        if first != then and not self._waits(first, then):
            self.link(first, then)

    def behind(self, name: str) -> list[str]:
        """Return what waits for something, without what waits for that."""
        return sorted(self._behind[name])

    def in_order(self) -> Iterator[tuple[str, Move]]:
        """Yield everything so that what it waits for comes first, newest first where that leaves it open."""
        waiting = {name: len(before) for name, before in self.links.items()}
        names = list(self.moves)
        place = {name: number for number, name in enumerate(names)}
        ready = [place[name] for name, number in waiting.items() if not number]
        heapify(ready)
        while ready:
            name = names[heappop(ready)]
            yield name, self.moves[name]
            for other in self.behind(name):
                waiting[other] -= 1
                if not waiting[other]:
                    heappush(ready, place[other])

    def _waits(self, name: str, other: str) -> bool:
        """Go from ``other`` on: few things wait for what is put last."""
        open_ends, seen = [other], {other}
        while open_ends:
            found = open_ends.pop()
            if found == name:
                return True
            more = self._behind[found] - seen
            seen |= more
            open_ends += sorted(more)
        return False


def backwards(past: Past, sights: Mapping[str, Sight], retraced: Retraced) -> Order:
    """Put in order what is taken back."""
    order = Order()
    backs = {back.step.id: back for back in retraced.backs}
    groups = _groups(past, retraced)
    for group in groups:
        order.add(group, group.id)
    for name, back in backs.items():
        order.add(back, name)
    steps = {step.id: step for step in past.plan.steps}
    for name, back in backs.items():
        for before in _leant_on(steps, back.step, backs):
            if not _is_habit(backs[before], back, sights):
                order.link(name, before)
    for name, back in backs.items():
        _carry(order, name, back, sights[back.step.server])
    touched = switches(past) if groups else ()
    for group in groups:
        _with_files(order, group, touched, sights[group.server], list(backs.values()))
    _webadmin_last(order, retraced.backs)
    _silent_first(order, retraced)
    return order


def _silent_first(order: Order, retraced: Retraced) -> None:
    """Bring a call bridge that does not answer back before another one stops."""
    bridges = [back for back in retraced.backs if back.switch.action.service == CALLBRIDGE]
    silent = [back for back in bridges if (back.step.server, CALLBRIDGE) in retraced.silent]
    for first in silent:
        for back in bridges:
            if back not in silent:
                order.put_before(first.step.id, back.step.id)


def _carry(order: Order, name: str, back: Back, sight: Sight) -> None:
    """Let the restart of another service load what the run let it load: then it is bound right before that."""
    carrier = sight.rows[back.switch.action.service].restart_of
    if carrier is None or back.switch.starts or back.stopped:
        return
    follower = next(
        (each for each in sorted(order.links[name]) if _is_of(order.moves[each], back.step.server, carrier)), None
    )
    if follower is None:
        return
    order.unlink(follower, name)
    waiting = order.behind(name)
    for before in sorted(order.links[follower]):
        order.put_before(before, name)
    order.put_before(name, follower)
    for each in waiting:
        order.put_before(follower, each)
    order.carried.add(name)


def _is_of(move: Move, server: str, service: str) -> bool:
    return isinstance(move, Back) and (move.step.server, move.switch.action.service) == (server, service)


def _webadmin_last(order: Order, backs: list[Back]) -> None:
    others: dict[str, list[str]] = {}
    for back in backs:
        if back.switch.action.service != WEBADMIN:
            others.setdefault(back.step.server, []).append(back.step.id)
    for back in backs:
        if back.switch.action.service == WEBADMIN:
            for name in others.get(back.step.server, ()):
                order.put_before(name, back.step.id)


def _leant_on(steps: Mapping[str, Step], step: Step, backs: Collection[str]) -> Iterator[str]:
    """Yield the nearest steps in front of one that are taken back too, through those that are not."""
    open_ends, seen = list(step.after), set(step.after)
    while open_ends:
        name = open_ends.pop()
        if name in backs:
            yield name
            continue
        more = [each for each in steps[name].after if each not in seen]
        seen.update(more)
        open_ends += more


def _is_habit(before: Back, back: Back, sights: Mapping[str, Sight]) -> bool:
    """Tell whether a link only makes web administration the last of its server: nobody there checks its certificate."""
    if back.switch.action.service != WEBADMIN or before.step.server != back.step.server:
        return False
    service = before.switch.action.service
    row = sights[before.step.server].rows[service]
    return service != WEBADMIN and not any(WEBADMIN in slot.accepts for slot in row.slots)


def _groups(past: Past, retraced: Retraced) -> list[Files]:
    """Put overwritten files together that any service loads together."""
    mine = retraced.restored
    loaded = [{(each.step.server, one.file) for one in each.restores} & mine.keys() for each in switches(past)]
    piles: list[set[Place]] = []
    for together in [*filter(None, loaded), *({place} for place in mine)]:
        joined = set(together)
        for pile in [pile for pile in piles if pile & joined]:
            joined |= pile
            piles.remove(pile)
        piles.append(joined)
    return [
        Files(
            id=f"files {number}",
            server=min(pile)[0],
            files=tuple(each for place, each in mine.items() if place in pile),
        )
        for number, pile in enumerate(sorted(piles, key=sorted))
    ]


def _with_files(order: Order, group: Files, touched: tuple[Switch, ...], sight: Sight, backs: list[Back]) -> None:
    """Bring files back after the last restart on what they hold now, and before the first on what they held before."""
    users = {
        each.action.service
        for each in touched
        if each.step.server == group.server and group.names & {one.file for one in each.restores}
    }
    mine = [back for back in backs if back.step.server == group.server and back.switch.action.service in users]
    loading = [back for back in mine if group.names & {each.file for each in back.files}]
    if not loading or _is_torn(group, sight):
        for back in mine:
            order.put_before(group.id, back.step.id)
        return
    for back in loading:
        for name in sorted(order.links[back.step.id]):
            before = order.moves[name]
            own = isinstance(before, Back) and before.switch.action.service == back.switch.action.service
            if back is loading[0] or own:
                order.put_before(name, group.id)
    for back in loading:
        order.put_before(group.id, back.step.id)
    served = {back.switch.action.service for back in loading}
    for back in mine:
        if back.switch.action.service not in served:
            order.put_before(group.id, back.step.id)


def _is_torn(group: Files, sight: Sight) -> bool:
    """Tell whether a service that was restarted now would find a key and a certificate that do not belong together."""
    bound = {
        (binding.key, binding.certificate)
        for screen in sight.observed.screens.values()
        if isinstance(screen, Known)
        for binding in screen.value.bindings.values()
        if group.names & set(binding.files)
    }
    return any(match == Known(value=False) for pair, match in sight.observed.matches.items() if pair in bound)
