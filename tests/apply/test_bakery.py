"""Every way in which writers can come between each other's steps: never two winners, and one where nobody dies.

Writers are coroutines that are driven by hand, one step of the store at a time. What a writer does follows from what
it was told, so each row of answers is played once, and a race is a value. A file is seen empty while it is being
written, as on a node that keeps what has arrived. Whoever sleeps goes on when something has changed, or when all
others are done or dead: then it is time that passes.
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmscert.apply.markers import Board, Sleep, Terms, contend, mark
from cmscert.errors import LockHeld
from cmscert.model.marker import Marker, marker_name
from cmscert.transport.session import WriteSession

NOW = datetime(2026, 11, 23, 22, 0, tzinfo=UTC)
TERMS = Terms(patience=5.0, pause=0.25)
RUNS = ("20261123T220000Z-00000a", "20261123T220000Z-00000b", "20261123T220000Z-00000c")
SLEEP = "sleep"


class Ask:
    """A step of the store: whoever awaits it is told the answer when it is its turn."""

    def __init__(self, server: int, *request: str | bytes) -> None:
        self.request = (server, *request)

    def __await__(self) -> Generator[tuple[Any, ...], Any, Any]:
        """Hand over."""
        return (yield self.request)


@dataclass
class Hand:
    """One writer's way to a node."""

    at: int
    torn: bool

    @property
    def server(self) -> str:
        """The node's name."""
        return f"core{self.at + 1}"

    async def put_file(self, name: str, content: bytes) -> None:
        """Write a file, in two steps where nodes show it half written."""
        if self.torn:
            await Ask(self.at, "put", name, b"")
        await Ask(self.at, "put", name, content)

    async def remove_file(self, name: str) -> None:
        """Remove a file."""
        await Ask(self.at, "remove", name)

    async def list_files(self) -> tuple[str, ...]:
        """List the files."""
        return cast("tuple[str, ...]", await Ask(self.at, "list"))

    async def read_file(self, name: str) -> bytes | None:
        """Read a file."""
        return cast("bytes | None", await Ask(self.at, "read", name))


def sleep_at(server: int) -> Sleep:
    """Return how whoever waits at a node lets others go first."""

    async def sleep(_seconds: float) -> None:
        await Ask(server, SLEEP)

    return sleep


@dataclass(frozen=True, kw_only=True)
class Part:
    """What a writer does: on the first of ``nodes`` it contends, on the others it puts its mark.

    ``leaves``: it goes away when it has won, too.
    """

    run: str
    nodes: tuple[int, ...]
    torn: bool
    leaves: bool

    @property
    def file(self) -> str:
        """Its lock file."""
        return marker_name(self.run)

    async def play(self, told: Told) -> None:
        """Contend, and withdraw when it must."""
        mine = Marker(file=self.file, fleet="f", owner="ann", machine=self.run[-1], run=self.run, since=NOW, until=NOW)
        boards = [
            Board(
                session=cast("WriteSession", Hand(at, self.torn)),
                mine=mine,
                skew=timedelta(),
                clock=lambda: NOW,
                terms=TERMS,
            )
            for at in self.nodes
        ]
        try:
            await contend(boards[0], sleep_at(self.nodes[0]))
            for at, board in zip(self.nodes[1:], boards[1:], strict=True):
                await mark(board, sleep_at(at))
            told.holds = told.won = True
            if not self.leaves:
                return
            await Ask(0, "work")
        except LockHeld:
            pass
        told.holds = False
        for board in boards:
            await board.session.remove_file(self.file)


class Told:
    """A writer that was told certain answers, and what it asks for next: None when it is done.

    It is told nothing else, so the answers decide all that it will do, and each row of answers is played once.
    """

    def __init__(self, part: Part, answers: tuple[object, ...] = ()) -> None:
        self.part = part
        self.answers = answers
        self.holds = self.won = False
        self.request: tuple[Any, ...] | None = None
        self._next: dict[object, Told] = {}
        work = cast("Coroutine[Any, Any, None]", part.play(self))
        try:
            for answer in (None, *answers):
                self.request = work.send(answer)
        except StopIteration:
            self.request = None
        work.close()

    def then(self, answer: object) -> Told:
        """Tell the next answer."""
        if answer not in self._next:
            self._next[answer] = Told(self.part, (*self.answers, answer))
        return self._next[answer]


@cache
def untold(part: Part) -> Told:
    """Return a writer before its first step; all races share it."""
    return Told(part)


@dataclass(frozen=True, slots=True)
class Writer:
    """How far a writer is. Whoever sleeps goes on when something changes on the node where it waits."""

    told: Told
    asleep: bool = False
    dead: bool = False

    @property
    def lives(self) -> bool:
        """Tell whether it will do something yet."""
        return self.told.request is not None and not self.dead

    @property
    def waits_at(self) -> int | None:
        """Return the node of its next step."""
        return None if self.told.request is None else cast("int", self.told.request[0])

    @property
    def holds(self) -> bool:
        """Tell whether it holds what it wants."""
        return self.told.holds and not self.dead


@dataclass(frozen=True, slots=True)
class Race:
    """The lock files of each node and the writers at a moment, which decide how it can go on."""

    shelves: tuple[frozenset[tuple[str, bytes]], ...]
    writers: tuple[Writer, ...]
    deaths: int = 0

    def choices(self, *, deaths: int = 0) -> list[int]:
        """Return who can go, and who can die: below 0."""
        alive = [at for at, each in enumerate(self.writers) if each.lives]
        kills = [-1 - at for at in alive] if self.deaths < deaths else []
        return [*(at for at in alive if not self.writers[at].asleep), *kills]

    def after(self, choice: int) -> Race:
        """Let one go, or die; hold that there are never two on a node."""
        shelves, writers, deaths = self.shelves, list(self.writers), self.deaths
        if choice < 0:
            writers[-1 - choice] = replace(writers[-1 - choice], dead=True)
            deaths += 1
        else:
            told = writers[choice].told
            assert told.request is not None
            at, *request = told.request
            answer, shelf = carry_out(self.shelves[at], *request)
            if shelf != self.shelves[at]:
                shelves = (*shelves[:at], shelf, *shelves[at + 1 :])
                writers = [
                    Writer(each.told, asleep=False, dead=each.dead) if each.asleep and each.waits_at == at else each
                    for each in writers
                ]
            told = told.then(answer)
            writers[choice] = Writer(told, asleep=told.request is not None and told.request[1] == SLEEP)
        for at in range(len(self.shelves)):
            assert sum(each.holds and at in each.told.part.nodes for each in writers) <= 1
        if all(each.asleep for each in writers if each.lives):  # time passes, for all of them
            writers = [replace(each, asleep=False) for each in writers]
        return Race(shelves, tuple(writers), deaths)


def carry_out(
    shelf: frozenset[tuple[str, bytes]], kind: str, name: str = "", content: bytes = b""
) -> tuple[object, frozenset[tuple[str, bytes]]]:
    """Return what a store answers, and what it holds then."""
    files = dict(shelf)
    if kind == "put":
        return None, frozenset({**files, name: content}.items())
    if kind == "remove":
        return None, frozenset((each, held) for each, held in shelf if each != name)
    return {"list": tuple(sorted(files)), "read": files.get(name)}.get(kind), shelf


def race_of(writers: int, *, torn: bool = True, leaves: bool = False, nodes: int = 1) -> Race:
    """Return a race before its first step; each writer begins on another node where there are several."""
    places = [tuple((at + further) % nodes for further in range(nodes)) for at in range(writers)]
    parts = [Part(run=RUNS[at], nodes=place, torn=torn, leaves=leaves) for at, place in enumerate(places)]
    return Race((frozenset(),) * nodes, tuple(Writer(untold(part)) for part in parts))


def shards_of(*places: tuple[int, ...], torn: bool = False) -> Race:
    """Return a race of writers who each want nodes of their own choice; the first is where they contend."""
    parts = [Part(run=RUNS[at], nodes=place, torn=torn, leaves=False) for at, place in enumerate(places)]
    nodes = 1 + max(at for place in places for at in place)
    return Race((frozenset(),) * nodes, tuple(Writer(untold(part)) for part in parts))


def every_end(race: Race, *, deaths: int = 0) -> Iterator[Race]:
    """Follow every order of steps to its end; a state that was met before is not followed again."""
    ahead = [race]
    met = {*ahead}
    while ahead:
        race = ahead.pop()
        choices = race.choices(deaths=deaths)
        if not choices:
            yield race
        for choice in choices:
            then = race.after(choice)
            if then not in met:
                met.add(then)
                ahead.append(then)


def hold_one_winner(race: Race) -> str:
    """Hold that exactly one won, and that the others left nothing behind; return its run."""
    (winner,) = [each for each in race.writers if each.told.won]
    left = [(at, name) for at, shelf in enumerate(race.shelves) for name, _ in shelf]
    assert sorted(left) == sorted((at, winner.told.part.file) for at in winner.told.part.nodes)
    return winner.told.part.run


def test_one_of_two_wins() -> None:
    """Whatever the order of steps, exactly one of two who come at once wins, and the other leaves nothing behind."""
    ends = [hold_one_winner(race) for race in every_end(race_of(2))]

    assert len(ends) > 100


@pytest.mark.unwatched
@pytest.mark.slow
def test_one_of_three_wins() -> None:
    """Whatever the order of steps, exactly one of three who come at once wins, and the others leave nothing behind."""
    ends = [hold_one_winner(race) for race in every_end(race_of(3, torn=False))]

    assert len(ends) > 10_000


def test_never_two_where_some_die() -> None:
    """When one or both die between any two steps, or in the middle of writing, there are never two winners."""
    ends = sum(1 for _race in every_end(race_of(2), deaths=2))

    assert ends > 500


@pytest.mark.unwatched
@settings(max_examples=400, deadline=None)
@given(data=st.data(), deaths=st.integers(0, 2), leaves=st.booleans(), nodes=st.integers(1, 2))
def test_never_two_of_three(data: st.DataObject, deaths: int, leaves: bool, nodes: int) -> None:  # noqa: FBT001 - drawn
    """Three writers, who may die, go away when done, or let different nodes decide: never two hold the fleet."""
    race = race_of(3, leaves=leaves, nodes=nodes)
    while choices := race.choices(deaths=deaths):
        race = race.after(data.draw(st.sampled_from(choices)))

    assert race.deaths or nodes > 1 or any(each.told.won for each in race.writers)


SHARDS = [((0, 1), (1,)), ((0, 1), (1, 2)), ((0, 2), (1, 2)), ((0, 1, 2), (1, 2))]


@pytest.mark.parametrize("places", [*SHARDS, *(tuple(reversed(each)) for each in SHARDS)], ids=str)
def test_one_of_two_shards_that_meet_wins(places: tuple[tuple[int, ...], ...]) -> None:
    """Two who begin on nodes of their own and meet elsewhere: exactly one runs, whatever the order of steps."""
    winners = {hold_one_winner(race) for race in every_end(shards_of(*places))}

    assert winners == set(RUNS[:2])


def test_shards_that_do_not_meet_both_win() -> None:
    """Who wants other nodes is no rival."""
    for race in every_end(shards_of((0, 1), (2, 3))):
        assert [each.told.won for each in race.writers] == [True, True]


@pytest.mark.unwatched
@settings(max_examples=100, deadline=None)
@given(data=st.data(), deaths=st.integers(0, 2), torn=st.booleans())
def test_shards_of_three(data: st.DataObject, deaths: int, torn: bool) -> None:  # noqa: FBT001 - drawn
    """Three who want any nodes, may die, and may be seen half way: never two on a node, and somebody runs."""
    wanted = st.sets(st.integers(0, 3), min_size=1).map(lambda nodes: tuple(sorted(nodes)))
    race = shards_of(*(data.draw(wanted) for _ in range(3)), torn=torn)
    while choices := race.choices(deaths=deaths):
        race = race.after(data.draw(st.sampled_from(choices)))

    assert race.deaths or any(each.told.won for each in race.writers)


def test_who_comes_late_loses() -> None:
    """Whoever comes when another holds the fleet is told so, whatever the order of their runs."""
    for order in ((0, 1), (1, 0)):
        race = race_of(2)
        for at in order:
            while race.writers[at].lives:
                race = race.after(at)
        assert tuple(race.writers[at].told.won for at in order) == (True, False)
