"""One run's lock files on all nodes: taken together or not at all, renewed while the run goes on, taken away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from datetime import datetime

from cmscert.apply.markers import Board, Seen, Sleep, Terms, contend, mark, renew, withdraw
from cmscert.apply.stop import Stop
from cmscert.errors import LockHeld, NodeError, RefusedError, StalePlan
from cmscert.model.marker import is_marker
from cmscert.model.observed import material_like
from cmscert.observe.asking import together
from cmscert.observe.markers import read_skew

TICKS = 10
"""Looks at the clock between two renewals: a machine that slept finds out soon."""


class FleetLock:
    """The lock files of one run.

    ``boards``: by server. ``listed``: by server, the names that the plan was made from; left out where they are not
    known. ``must``: servers that the plan changes; others that cannot carry a lock file are passed over.
    """

    def __init__(
        self,
        boards: Mapping[str, Board],
        *,
        listed: Mapping[str, tuple[str, ...]],
        must: frozenset[str],
        clock: Callable[[], datetime],
        terms: Terms,
        sleep: Sleep,
    ) -> None:
        self._boards = dict(boards)
        self._listed = listed
        self._must = must
        self._clock = clock
        self._terms = terms
        self._sleep = sleep
        self._tried: list[str] = []
        self._torn: set[str] = set()
        self._good: dict[str, datetime] = {}
        self.over: dict[str, tuple[str, ...]] = {}

    async def take(self) -> None:
        """Take the fleet. Raises LockHeld, StalePlan when a store is not as the plan was made from, and NodeError."""
        seen: dict[str, Seen] = {}
        for server in sorted(self._boards):
            if seen:
                break
            found = await self._attempt(server, lambda board: contend(board, self._sleep))
            if found is not None:
                seen[server] = found
        rest = [server for server in sorted(self._boards) if server not in self._tried]
        tries = await together(
            *(_kept(self._attempt(server, lambda board: mark(board, self._sleep))) for server in rest)
        )
        errors = [each for each in tries if isinstance(each, Exception)]
        for error in sorted(errors, key=lambda each: not isinstance(each, LockHeld)):
            raise error
        seen |= {name: each for name, each in zip(rest, tries, strict=True) if isinstance(each, Seen)}
        self._check_listed(seen)
        self.over = {name: each.over for name, each in seen.items() if each.over}

    async def clear(self) -> bool:
        """Take away lock files that count no more; False when one is left, or a node could not be asked."""
        gone = await together(*(withdraw(self._boards[name].session, *files) for name, files in self.over.items()))
        return all(gone) and self._good.keys() == self._boards.keys()

    async def keep(self, stop: Stop, say: Callable[[str], object]) -> None:
        """Renew until cancelled, or until a lock file is lost: then the run is to stop softly."""
        renewed = self._clock()
        while True:
            await self._sleep(self._terms.renew.total_seconds() / TICKS)
            if self._clock() - renewed < self._terms.renew:
                continue
            renewed = self._clock()
            lost = [why for why in await together(*(self._renew(server) for server in self._good)) if why]
            if lost:
                say(f"stopping when the services in hand are done: {lost[0]}")
                stop.soft(lost[0])
                return

    def lapsed(self) -> str | None:
        """Say which lock file others may take for dead by now; None when none is."""
        now = self._clock()
        old = next((name for name, at in self._good.items() if now - at > self._terms.good), None)
        return None if old is None else f"{old}: the lock file of this run could not be renewed in time"

    async def leave(self) -> tuple[str, ...]:
        """Take this run's lock files away, in bounded time; return the servers on which one may be left."""
        tasks = {
            name: asyncio.ensure_future(withdraw(self._boards[name].session, self._boards[name].mine.file))
            for name in self._tried
        }
        if not tasks:
            return ()
        _, late = await asyncio.wait(tasks.values(), timeout=self._terms.leave)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        return tuple(name for name, task in tasks.items() if task.cancelled() or not task.result())

    async def _attempt(self, server: str, way: Callable[[Board], Coroutine[object, object, Seen]]) -> Seen | None:
        """Put a lock file on a node; None when the node cannot carry one and the plan does not change it."""
        self._tried.append(server)
        began = self._clock()
        try:
            seen = await way(self._boards[server])
        except NodeError:
            if server in self._must:
                raise
            return None
        self._good[server] = began
        return seen

    async def _renew(self, server: str) -> str | None:
        """Renew on one node. One that does not answer may be starting again: its file is good for a while."""
        began = self._clock()
        board = self._boards[server]
        try:
            skew = await read_skew(board.session, self._clock)
            if skew is not None:  # a clock that was set meanwhile
                board = self._boards[server] = replace(board, skew=skew)
            why = await renew(board, torn=server in self._torn)
        except NodeError:
            self._torn.add(server)
            return None
        self._torn.discard(server)
        self._good[server] = began
        return why

    def _check_listed(self, seen: Mapping[str, Seen]) -> None:
        """Hold each store against what the plan was made from: another run may have come and gone since (law 5)."""
        told = []
        for server, found in sorted(seen.items()):
            if server in self._listed:
                before, now = _material(self._listed[server]), _material(found.names)
                told += [f"{server}: {name} is {'new' if name in now else 'gone'}" for name in sorted(before ^ now)]
        if told:
            more = f" and {len(told) - 1} more" if len(told) > 1 else ""
            raise StalePlan(
                f"nothing was changed: files changed since the plan was made: {told[0]}{more}",
                hint="somebody else was at work: plan again",
            )


def _material(names: tuple[str, ...]) -> set[str]:
    return {name for name in names if material_like(name) and not is_marker(name)}


async def _kept(attempt: Coroutine[object, object, Seen | None]) -> Seen | RefusedError | NodeError | None:
    """Let every node come to its end, so that the gravest reason is told."""
    try:
        return await attempt
    except (RefusedError, NodeError) as error:
        return error
