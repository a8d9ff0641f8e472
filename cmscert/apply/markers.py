"""One writer per fleet between machines: lock files on the nodes, and Lamport's bakery to agree on one of them.

A node's store has no operation that two writers cannot both succeed in: whether it honours SFTP's exclusive create is
not known (facts 2, [UNK]), nor is a rename. The bakery needs none. Each writer has a file of its own, which only it
writes; others may even see it half written. One node decides, the first by name that is reached; on the others the
winner puts its mark, and nobody goes on who finds another's there beside its own. So two writers who want different
nodes, or reach different ones, are no danger to each other: where they meet, one of them backs out.

Nobody queues here: whoever finds another in front withdraws. So the numbers of the bakery are all one, and the order
among those who came at once is that of their runs.

Times are told by the node's own clock, which all writers share. A file that is not renewed for ``ttl`` counts no more;
whoever wrote it stops before that (``grace``), so that a writer that slept finds out before it sends anything.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal

from cmscert.errors import LockHeld, NodeError, UnexpectedAnswer
from cmscert.model.marker import GRACE, Marker, State, is_marker, marker_content, read_marker
from cmscert.model.readings import Known, Unread
from cmscert.transport.session import WriteSession

Sleep = Callable[[float], Awaitable[object]]

MOST_READ: Final = 16
"""Lock files of others that are read on one node: more are made by nobody who means well."""

ALLOW = "if it is dead, --allow foreign-lock takes its place"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How long things last. ``patience``: seconds to wait for another who is about to decide; looked at each ``pause``.

    ``leave``: seconds to take the lock files away in the end.
    """

    ttl: timedelta = timedelta(minutes=10)
    grace: timedelta = GRACE
    patience: float = 10.0
    pause: float = 0.25
    leave: float = 10.0

    @property
    def renew(self) -> timedelta:
        """How often a lock file is renewed."""
        return self.ttl / 3

    @property
    def good(self) -> timedelta:
        """How long a lock file holds for whoever wrote it."""
        return self.ttl - self.grace


TERMS = Terms()


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """The lock files of one node, as one writer sees them.

    ``mine``: the marker of this run. ``skew``: the node's clock minus ours. ``clock``: ours, aware UTC. ``passed``:
    files that do not count: of runs that are known to be over, or that a person said to pass.
    """

    session: WriteSession
    mine: Marker
    skew: timedelta
    clock: Callable[[], datetime]
    terms: Terms
    passed: frozenset[str] = frozenset()

    @property
    def server(self) -> str:
        """The node's name."""
        return self.session.server

    def now(self) -> datetime:
        """Tell the node's time."""
        return self.clock() + self.skew

    def lives(self, marker: Marker) -> bool:
        """Tell whether a marker still counts."""
        return self.now() <= marker.until + self.terms.grace

    async def put(self, state: State) -> None:
        """Write this run's lock file, good for ``ttl`` from now. Raises NodeError."""
        content = marker_content(replace(self.mine, state=state, until=self.now() + self.terms.ttl))
        await self.session.put_file(self.mine.file, content)

    async def look(self) -> Seen:
        """List the store, and read the lock files of others. Raises NodeError; UnexpectedAnswer when mine is gone."""
        names = await self.session.list_files()
        if self.mine.file not in names:
            raise UnexpectedAnswer(
                self.server,
                "it took the lock file of this run and does not list it",
                hint="see whether the store is full (df), and whether files can be put there",
            )
        others = [name for name in names if is_marker(name) and name not in {self.mine.file, *self.passed}]
        live: list[Marker] = []
        over = [name for name in names if name in self.passed]
        unread = [f"there are {len(others)} lock files"] if len(others) > MOST_READ else []
        for name in others[:MOST_READ]:
            content = await self.session.read_file(name)
            reading = None if content is None else read_marker(name, content)
            if isinstance(reading, Unread):
                unread.append(reading.why)
            elif reading is not None and self.lives(reading.value):
                live.append(reading.value)
            elif reading is not None:
                over.append(name)
        return Seen(
            names=names, live=tuple(live), unread=tuple(unread), over=tuple(over), crowded=len(others) > MOST_READ
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a node's store holds: all names, the markers of others that count, and why some could not be read.

    ``over``: the lock files that count no more. ``crowded``: there are so many that not all were read.
    """

    names: tuple[str, ...]
    live: tuple[Marker, ...]
    unread: tuple[str, ...]
    over: tuple[str, ...]
    crowded: bool = False


async def contend(board: Board, sleep: Sleep) -> Seen:
    """Take the fleet on the node that decides; return what its store held when it was decided.

    Raises LockHeld when another has it, or is about to, and NodeError. The file stays: whoever calls takes it away.
    """
    began = board.clock()
    await board.put("choosing")
    await _clear(board, sleep, _at_the_door)
    await board.put("waiting")
    seen = await _clear(board, sleep, _in_the_queue)
    if board.clock() - began > board.terms.good:  # others may have taken this run for dead
        raise LockHeld(
            f"nothing was changed: {board.server} was too slow to take a lock on", hint="see how it is, then try again"
        )
    return seen


Place = Literal["ahead", "unclear", "behind"]


def _at_the_door(other: Marker, _run: str) -> Place:
    return "behind" if other.state == "choosing" else "ahead"


def _in_the_queue(other: Marker, run: str) -> Place:
    if other.state == "choosing":
        return "unclear"
    return "behind" if other.state == "waiting" and run < other.run else "ahead"


async def _clear(board: Board, sleep: Sleep, place: Callable[[Marker, str], Place]) -> Seen:
    """Look until it is clear that nobody is ahead. A file that cannot be read is being written, and may tell anything.

    Raises LockHeld when somebody is ahead, or when it does not become clear.
    """
    waited = 0.0
    while True:
        seen = await board.look()
        places = [(place(each, board.mine.run), each) for each in seen.live]
        for where in ("ahead", "unclear"):
            first = next((each for found, each in places if found == where), None)
            if first is not None and (where == "ahead" or waited >= _patience(board, first)):
                raise held_by(board.server, first)
        if not seen.unread and all(found == "behind" for found, _ in places):
            return seen
        if seen.crowded or (seen.unread and waited >= board.terms.patience):
            raise _unreadable(board, seen)
        await sleep(board.terms.pause)
        waited += board.terms.pause


def _patience(board: Board, other: Marker) -> float:
    """Return how long to wait for another; where several wait for each other, the last by its run gives up first."""
    return board.terms.patience * (2 if board.mine.run < other.run else 1)


def _beside(other: Marker, run: str) -> Place:
    """Of two who mark a node at once the first by its run waits until the second has backed out."""
    if other.state == "held" or (other.state == "marking" and other.run < run):
        return "ahead"
    return "unclear"


def _unreadable(board: Board, seen: Seen) -> LockHeld:
    return LockHeld(f"nothing was changed: {board.server}: {seen.unread[0]}", hint=f"see who wrote it; {ALLOW}")


async def mark(board: Board, sleep: Sleep) -> Seen:
    """Put this run's mark on another node; return what its store holds once nobody else's is there.

    Raises LockHeld when somebody else's stays, and NodeError.
    """
    await board.put("marking")
    return await _clear(board, sleep, _beside)


async def renew(board: Board, *, torn: bool = False) -> str | None:
    """Renew this run's lock file; return why it holds no more, None when it does. Raises NodeError.

    ``torn``: the last renewal was cut off, so the file may be half written.
    """
    content = await board.session.read_file(board.mine.file)
    if content is None:
        return f"{board.server}: the lock file of this run is gone: another run has taken its place"
    reading = read_marker(board.mine.file, content)
    if isinstance(reading, Unread) and not torn:
        return f"{board.server}: somebody else wrote to the lock file of this run"
    if isinstance(reading, Known) and board.now() > reading.value.until:
        return f"{board.server}: the lock file of this run was not renewed in time"
    await board.put("held")
    holder = next((each for each in (await board.look()).live if each.state == "held"), None)
    return None if holder is None else f"{board.server}: {who(holder)} has a lock file there too"


async def withdraw(session: WriteSession, *files: str) -> bool:
    """Take lock files away; False when the node did not let that happen."""
    try:
        for file in files:
            await session.remove_file(file)
    except NodeError:
        return False
    return True


def held_by(server: str, other: Marker) -> LockHeld:
    """Say who has the fleet."""
    return LockHeld(
        f"nothing was changed: {server} carries the lock of {who(other)}, which holds until "
        f"{other.until:%Y-%m-%d %H:%M:%S} UTC by its clock",
        hint=f"wait for its end; {ALLOW}",
    )


def who(marker: Marker) -> str:
    """Name a run and whose it is."""
    return f"{marker.owner} on {marker.machine} (cmscert {marker.command}, run {marker.run})"
