"""Every way in which writers can come between each other's steps: never two winners, and one where nobody dies.

Writers are coroutines that are driven by hand, one step of the store at a time. A file is seen empty while it is being
written, as on a node that keeps what has arrived. Whoever sleeps goes on when something has changed, or when all
others are done or dead: then it is time that passes.
"""

from __future__ import annotations

import sys
from collections.abc import Coroutine, Generator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmscert.apply.markers import Board, Terms, contend, mark
from cmscert.errors import LockHeld
from cmscert.model.marker import Marker, marker_name
from cmscert.transport.session import WriteSession

markers = sys.modules[contend.__module__]
NOW = datetime(2026, 11, 23, 22, 0, tzinfo=UTC)
TERMS = Terms(patience=5.0, pause=0.25)
RUNS = ("20261123T220000Z-00000a", "20261123T220000Z-00000b", "20261123T220000Z-00000c")
SLEEP = "sleep"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read and write each text of a lock file once: there are few, and each is met many times."""
    monkeypatch.setattr(markers, "read_marker", lru_cache(markers.read_marker))
    monkeypatch.setattr(markers, "marker_content", lru_cache(markers.marker_content))


class Step:
    """The end of a step: whoever awaits it goes on when it is its turn."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __await__(self) -> Generator[str, None, None]:
        """Hand over."""
        yield self.kind


@dataclass
class Shelf:
    """The lock files of one node. ``turn`` counts changes."""

    files: dict[str, bytes] = field(default_factory=dict)
    turn: int = 0

    def put(self, name: str, content: bytes) -> None:
        """Keep a file."""
        self.files[name] = content
        self.turn += 1

    def drop(self, name: str) -> None:
        """Forget a file."""
        self.turn += name in self.files
        self.files.pop(name, None)


@dataclass
class Hand:
    """One writer's way to a shelf; ``told`` is everything that it was told, so it decides all that it will do."""

    shelf: Shelf
    torn: bool
    server: str = "core1"
    told: list[object] = field(default_factory=list)

    async def put_file(self, name: str, content: bytes) -> None:
        """Write a file, in two steps where nodes show it half written."""
        if self.torn:
            await Step("open")
            self.shelf.put(name, b"")
        await Step("put")
        self.shelf.put(name, content)

    async def remove_file(self, name: str) -> None:
        """Remove a file."""
        await Step("remove")
        self.shelf.drop(name)

    async def list_files(self) -> tuple[str, ...]:
        """List the files."""
        await Step("list")
        names = tuple(sorted(self.shelf.files))
        self.told.append(names)
        return names

    async def read_file(self, name: str) -> bytes | None:
        """Read a file."""
        await Step("read")
        content = self.shelf.files.get(name)
        self.told.append(content)
        return content


async def sleep(_seconds: float) -> None:
    """Let others go first."""
    await Step(SLEEP)


class Writer:
    """A run that contends, and withdraws when it must. ``leaves``: it goes away when it has won, too."""

    def __init__(self, run: str, shelf: Shelf, *, torn: bool, leaves: bool, marks: Shelf | None = None) -> None:
        self.hand = Hand(shelf, torn)
        self.shelf = shelf
        marker = Marker(file=marker_name(run), fleet="f", owner="ann", machine=run[-1], run=run, since=NOW, until=NOW)
        self.boards = [
            Board(
                session=cast("WriteSession", hand),
                mine=marker,
                skew=timedelta(),
                clock=lambda: NOW,
                terms=TERMS,
            )
            for hand in (self.hand, *([Hand(marks, torn, "core2")] if marks is not None else []))
        ]
        self.leaves = leaves
        self.holds = self.won = self.over = False
        self.asleep_since: int | None = None
        self.steps = 0
        self._work = cast("Coroutine[Any, Any, None]", self._run())
        self.go()

    async def _run(self) -> None:
        try:
            await contend(self.boards[0], sleep)
            for board in self.boards[1:]:
                await mark(board)
            self.holds = self.won = True
            if not self.leaves:
                return
            await Step("work")
        except LockHeld:
            pass
        self.holds = False
        for board in self.boards:
            await board.session.remove_file(board.mine.file)

    def go(self) -> None:
        """Take one step."""
        self.steps += 1
        try:
            kind = self._work.send(None)
        except StopIteration:
            self.over = True
        else:
            self.asleep_since = self.shelf.turn if kind == SLEEP else None

    def die(self) -> None:
        """End as kill -9 ends it: what it wrote stays."""
        self._work.close()
        self.over = True
        self.holds = False

    @property
    def state(self) -> object:
        """Everything that decides what it will do."""
        return self.steps, self.over, self.holds, tuple(self.hand.told)


class Race:
    """Writers and the choice of who goes next. A choice below 0 kills."""

    def __init__(self, writers: int, *, torn: bool = True, leaves: bool = False, nodes: int = 1) -> None:
        self.shelves = [Shelf() for _ in range(nodes)]
        self.writers = [
            Writer(
                run,
                self.shelves[at % nodes],
                torn=torn,
                leaves=leaves,
                marks=self.shelves[1 - at % nodes] if nodes > 1 else None,
            )
            for at, run in enumerate(RUNS[:writers])
        ]
        self.deaths = 0

    def choices(self, *, deaths: int = 0) -> list[int]:
        """Return who can go, and who can die."""
        alive = [at for at, each in enumerate(self.writers) if not each.over]
        awake = [at for at in alive if self._is_awake(self.writers[at])]
        kills = [-1 - at for at in alive] if self.deaths < deaths else []
        return [*awake, *kills]

    def take(self, choice: int) -> None:
        """Let one go, or die; hold that there are never two."""
        if choice < 0:
            self.deaths += 1
            self.writers[-1 - choice].die()
        else:
            self.writers[choice].go()
        assert sum(each.holds for each in self.writers) <= 1
        alive = [each for each in self.writers if not each.over]
        if not any(map(self._is_awake, alive)):  # time passes, for all of them
            for each in alive:
                each.asleep_since = None

    def _is_awake(self, writer: Writer) -> bool:
        return writer.asleep_since is None or writer.asleep_since != writer.shelf.turn

    @property
    def state(self) -> object:
        """Everything that decides how it can go on."""
        held = tuple(tuple(sorted(shelf.files.items())) for shelf in self.shelves)
        return held, self.deaths, tuple((each.state, self._is_awake(each)) for each in self.writers)


def every_end(writers: int, *, torn: bool, deaths: int = 0) -> Iterator[Race]:
    """Follow every order of steps to its end; what leads to a state that was met before is not followed again."""
    met: set[object] = set()
    ways: list[tuple[int, ...]] = [()]
    while ways:
        way = ways.pop()
        race = Race(writers, torn=torn)
        for choice in way:
            race.take(choice)
        while True:
            if race.state in met:
                break
            met.add(race.state)
            choices = race.choices(deaths=deaths)
            if not choices:
                yield race
                break
            ways.extend((*way, choice) for choice in choices[1:])
            way = (*way, choices[0])
            race.take(choices[0])


def hold_one_winner(race: Race) -> None:
    """Hold that exactly one won, and that the others left nothing behind."""
    (winner,) = [each for each in race.writers if each.won]
    assert [name for shelf in race.shelves for name in shelf.files] == [winner.boards[0].mine.file]


def test_one_of_two_wins() -> None:
    """Whatever the order of steps, exactly one of two who come at once wins, and the other leaves nothing behind."""
    ends = [hold_one_winner(race) for race in every_end(2, torn=True)]

    assert len(ends) > 100


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_one_of_three_wins() -> None:
    """Whatever the order of steps, exactly one of three who come at once wins, and the others leave nothing behind."""
    ends = [hold_one_winner(race) for race in every_end(3, torn=False)]

    assert len(ends) > 10_000


def test_never_two_where_some_die() -> None:
    """When one or both die between any two steps, or in the middle of writing, there are never two winners."""
    ends = sum(1 for _race in every_end(2, torn=True, deaths=2))

    assert ends > 500


@settings(max_examples=400, deadline=None)
@given(data=st.data(), deaths=st.integers(0, 2), leaves=st.booleans(), nodes=st.integers(1, 2))
def test_never_two_of_three(data: st.DataObject, deaths: int, leaves: bool, nodes: int) -> None:  # noqa: FBT001 - drawn
    """Three writers, who may die, go away when done, or let different nodes decide: never two hold the fleet."""
    race = Race(3, leaves=leaves, nodes=nodes)
    while choices := race.choices(deaths=deaths):
        race.take(data.draw(st.sampled_from(choices)))

    assert race.deaths or nodes > 1 or any(each.won for each in race.writers)


def test_who_comes_late_loses() -> None:
    """Whoever comes when another holds the fleet is told so, whatever the order of their runs."""
    for order in ((0, 1), (1, 0)):
        race = Race(2)
        first, second = (race.writers[at] for at in order)
        while not first.over:
            first.go()
        while not second.over:
            second.go()
        assert (first.won, second.won) == (True, False)
