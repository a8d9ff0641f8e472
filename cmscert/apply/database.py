"""The steps that rebuild a database cluster. Each is proven by the status of the node before the next begins.

There is no way back after the first ``remove`` (facts 5.7), only forward; so everything that can tell that the world is
not as planned is asked right before a command, and nothing is ever sent twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime

from cmscert.apply.backups import Keep
from cmscert.apply.database_readback import NOT_SHOWN, is_silent, same_command, short_of
from cmscert.apply.minting import copy, mint
from cmscert.apply.questions import behind
from cmscert.apply.readback import Shortfall, Sleep, until_right
from cmscert.apply.saved import Save
from cmscert.apply.sending import Attempt, Material, Scribe, send
from cmscert.errors import AnswerTimeout, ConnectionLost, JournalError, NodeError, StoreRefused, UnexpectedAnswer
from cmscert.mmp.database import DATABASE_STATUS, backup_files
from cmscert.mmp.database_status import read_database_status
from cmscert.mmp.lines import Line
from cmscert.mmp.replies import is_unknown_command, verdict
from cmscert.model.commands import Effect
from cmscert.model.database import DatabaseFiles, DatabaseMember, DatabaseState, FormerPrimary
from cmscert.model.desired import WantedDatabase, WantedServer
from cmscert.model.plan import (
    BackupDatabase,
    ConfigureDatabase,
    ConfirmPrimary,
    CopyFile,
    DatabaseAction,
    InitializeCluster,
    MintDatabase,
    ProveCluster,
    Step,
)
from cmscert.model.readings import Known, Reading, Unread
from cmscert.observe.asking import together, why
from cmscert.observe.database import read_database
from cmscert.planning.cluster import known_as
from cmscert.transport.session import WriteSession

PATIENCE: Mapping[str, float] = {
    "db-remove": 180.0,
    "db-certs": 20.0,
    "db-initialize": 300.0,
    "db-join": 900.0,
    "db-connect": 180.0,
    "db-clear-error": 60.0,
    "db-upgrade-schema": 300.0,
    "db-prove": 180.0,
}
"""Seconds until a step must be proven; five times the inventory's estimate for a database, where that is longer."""

WAITS = (0.1, 5.0)
"""The first and the longest time between two looks at a status, in seconds."""

STALE_SECONDS = 10.0
"""How long a ``(Failed)`` of an earlier run, shown before the same command was sent, may still stand there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """What outlives a run: the backups, and the note about who held the data. All raise JournalError.

    ``save``: keeps the public files that are overwritten.
    """

    keep: Keep
    remember: Callable[[FormerPrimary], None]
    forget: Callable[[str], None]
    save: Save | None = None


@dataclass(slots=True, kw_only=True)
class Membership:
    """One database, its members and how to reach them, for all steps of a run.

    ``sessions``: members without one could not be reached. ``seconds``: the inventory's estimate, or 0. ``unproven``:
    ids of the steps that prove the cluster and are not done yet. ``blind``: members that named no primary when the plan
    was made, which a person has lifted the guard for; they may name nobody still.
    """

    wanted: WantedDatabase
    servers: Mapping[str, WantedServer]
    sessions: Mapping[str, WriteSession]
    records: Records
    seconds: int = 0
    unproven: set[str] = field(default_factory=set)
    blind: frozenset[str] = frozenset()

    def named(self, row: DatabaseMember, asked: str) -> str:
        """Return the server that a row of a member's screen is about, else the row's address."""
        if row.me:
            return asked
        known = (name for name, server in self.servers.items() if row.address.casefold() in known_as(server))
        return next(known, row.address)

    def at(self, address: str) -> str:
        """Return the server that other members reach at an address, else the address."""
        known = (name for name, server in self.servers.items() if address.casefold() in known_as(server))
        return next(known, address)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clockwork:
    """Time, as apply is given it."""

    clock: Callable[[], datetime]
    sleep: Sleep


class DatabaseTurns:
    """Carries out the database steps of one server, one after the other."""

    def __init__(self, session: WriteSession, membership: Membership, time: Clockwork) -> None:
        self._session = session
        self._server = session.server
        self._membership = membership
        self._time = time

    async def forward(
        self, step: Step, attempt: Attempt, scribe: Scribe, *, planned: DatabaseState, after: DatabaseState
    ) -> None:
        """Carry out a step and prove it. Raises NodeError.

        ``planned``: the state that the plan expects now; ``after``: once it is done. ``attempt`` tells how far it came.
        """
        match step.action:
            case MintDatabase() as action:
                await mint(self._session, action, attempt, scribe)
            case CopyFile() as action:
                await copy(self._session, self._membership.sessions, action, attempt, scribe)
            case BackupDatabase() as action:
                await self._back_up(action, attempt, scribe)
            case ConfirmPrimary() as action:
                await self._confirm(action, attempt, scribe)
            case ProveCluster():
                await self._prove(step, attempt, scribe, after.files)
            case _ as action:
                assert isinstance(action, DatabaseAction)  # noqa: S101 - the caller asked
                await self._change(action, attempt, scribe, planned=planned, files=after.files)

    async def proven(self, action: DatabaseAction, attempt: Attempt, files: DatabaseFiles) -> bool:
        """Look once whether a step that was cut off has been carried out nevertheless."""
        if not attempt.at_end or isinstance(action, MintDatabase | CopyFile | BackupDatabase | ConfirmPrimary):
            return False
        with suppress(NodeError):
            return await self._look(action, attempt, files) is None
        return False

    async def _change(
        self,
        action: DatabaseAction,
        attempt: Attempt,
        scribe: Scribe,
        *,
        planned: DatabaseState,
        files: DatabaseFiles,
    ) -> None:
        """Send a command that begins something, and wait until the status shows it done."""
        before = await self._unchanged(action, planned)
        lost: NodeError | None = None
        try:
            await send(self._session, action, attempt, material=_NO_MATERIAL, scribe=scribe)
        except (ConnectionLost, AnswerTimeout) as error:
            if not attempt.at_end:
                raise
            lost = error  # whether it was carried out is for the status to tell
        watch = _Watch(typed=attempt.lines[-1].text, before=before, began=self._time.clock(), clock=self._time.clock)
        short = await self._until(action, lambda: self._look(action, attempt, files, watch))
        if short is not None:
            reason = short.why if lost is None else f"{why(lost)}; {short.why}"
            raise UnexpectedAnswer(self._server, reason) from lost

    async def _unchanged(self, action: DatabaseAction, planned: DatabaseState) -> DatabaseState:
        """Look once more, right before a command (law 5); before ``initialize`` at every member."""
        others = self._membership.sessions if isinstance(action, InitializeCluster) else {}
        readings = await together(*(read_database(session) for session in (self._session, *others.values())))
        for name, reading in zip((self._server, *others), readings, strict=True):
            state = _known(self._server, name, reading)
            if state.busy:
                raise _stale(self._server, f"a database command is at work on {name}")
            if state.standing and not (name == self._server and planned.standing):
                what = "initialising this server would begin a second one" if others else "the plan expects it in none"
                raise _stale(self._server, f"{name} is part of a database cluster: {what}")
        state = _known(self._server, self._server, readings[0])
        if planned.standing and not state.standing:
            raise _stale(self._server, "it is not part of a database cluster any more")
        return state

    async def _until(
        self, action: DatabaseAction, check: Callable[[], Awaitable[Shortfall | None]]
    ) -> Shortfall | None:
        return await until_right(
            check,
            patience=max(PATIENCE[action.kind], 5.0 * self._membership.seconds),
            sleep=self._time.sleep,
            clock=self._time.clock,
            waits=WAITS,
        )

    async def _look(
        self, action: DatabaseAction, attempt: Attempt, files: DatabaseFiles, watch: _Watch | None = None
    ) -> Shortfall | None:
        reading = await read_database(self._session)
        if not isinstance(reading, Known):
            return Shortfall(why=_unread(reading))
        state = reading.value
        failed = watch.failure(state) if watch is not None else None
        if failed is not None:
            return failed
        named = self._named if self._server in self._membership.wanted.nodes else None
        short = short_of(action, state, attempt.lines[-1].text, files, named)
        if short is not None:
            return Shortfall(why=short)
        if isinstance(action, ConfigureDatabase) and is_silent(state):
            attempt.notes.append(NOT_SHOWN)
        return None

    def _named(self, row: DatabaseMember) -> str:
        return self._membership.named(row, self._server)

    async def _confirm(self, action: ConfirmPrimary, attempt: Attempt, scribe: Scribe) -> None:
        """Every member that can be reached must name the same primary; then it is written down, before anything."""
        attempt.sent += 1
        names = tuple(self._membership.sessions)
        readings = await together(*(self._asked(name, scribe) for name in names))
        for name, reading in zip(names, readings, strict=True):
            state = _known(self._server, name, reading)
            if state.busy:
                raise _stale(self._server, f"a database command is at work on {name}")
            said = {self._membership.named(row, name) for row in state.primaries}
            blind = not said and name in self._membership.blind
            if state.standing and said != {action.server} and not blind:
                shown = ", ".join(sorted(said)) or "nobody"
                raise _stale(self._server, f"{name} names {shown} as the primary, not {action.server}")
        own = _known(self._server, action.server, dict(zip(names, readings, strict=True)).get(action.server))
        if own.me is None or own.me not in own.primaries:
            raise _stale(self._server, f"{action.server} does not say that it is the primary")
        former = FormerPrimary(
            database=action.database,
            server=action.server,
            at=self._time.clock(),
            status=f"{own.me.address}: {own.me.text}",
        )
        self._written(lambda: self._membership.records.remember(former))

    async def _asked(self, name: str, scribe: Scribe) -> Reading[DatabaseState]:
        """Ask a member, with question and answer in the journal."""
        line, scribe = Line(text=DATABASE_STATUS.typed, command=DATABASE_STATUS), replace(scribe, server=name)
        await scribe.sending(line)
        try:
            reply = await behind(self._membership.sessions[name]).ask(DATABASE_STATUS)
        except NodeError as error:
            return Unread(why(error))
        scribe.received(line, reply.shown, reply.seconds)
        return read_database_status(reply.text)

    async def _prove(self, step: Step, attempt: Attempt, scribe: Scribe, files: DatabaseFiles) -> None:
        assert isinstance(step.action, ProveCluster)  # noqa: S101 - the caller matched it
        attempt.sent += 1
        await self._asked(self._server, scribe)
        members = tuple(self._membership.at(address) for address in step.action.members)
        action = replace(step.action, members=members)
        short = await self._until(action, lambda: self._look(action, attempt, files))
        if short is not None:
            raise UnexpectedAnswer(self._server, short.why)
        self._membership.unproven.discard(step.id)
        if not self._membership.unproven:
            try:
                self._membership.records.forget(action.database)
            except JournalError as error:
                attempt.notes.append(error.message)

    async def _back_up(self, action: BackupDatabase, attempt: Attempt, scribe: Scribe) -> None:
        """Make a backup and bring both files here; what was there before under that name is no backup."""
        stale = set(backup_files(action.name)).intersection(await self._session.list_files())
        names = iter(backup_files(action.name))
        for line in attempt.lines:
            await scribe.sending(line)
            attempt.sent += 1
            if line.command is None:
                began = self._time.clock()
                told = await self._fetched(next(names))
                scribe.received(line, told, max(0.0, (self._time.clock() - began).total_seconds()))
                continue
            assert line.command.effect is Effect.CHANGE  # noqa: S101 - a backup writes to the store
            reply = await self._session.do(line.command)
            scribe.received(line, reply.shown, reply.seconds)
            failures = verdict(reply.text).failures
            if failures or is_unknown_command(reply.text):
                raise UnexpectedAnswer(self._server, f"no backup was made: {(failures or (reply.text.strip(),))[0]}")
            if stale and "ready for download" not in reply.text.casefold():  # [S1]
                raise UnexpectedAnswer(
                    self._server,
                    f"there was a backup {action.name} already, and nothing says that a new one was made",
                    hint="remove its files on the server, then plan again",
                )

    async def _fetched(self, name: str) -> str:
        """Fetch a file and say what came."""
        digest, size = hashlib.sha256(), 0
        told: list[int | None] = []

        def take(part: bytes) -> None:
            nonlocal size
            sink(part)
            digest.update(part)
            size += len(part)

        try:
            with self._membership.records.keep(self._server, name) as sink:
                told.append(await self._session.fetch_file(name, take))
                if told == [None]:
                    raise StoreRefused(self._server, f"there is no file {name} after the backup")
                if not size:
                    raise StoreRefused(self._server, f"{name} is empty: that is no backup")
        except JournalError as error:
            raise StoreRefused(self._server, error.message, hint=error.hint) from error
        return f"{size} bytes, sha256 {digest.hexdigest()}"

    def _written(self, write: Callable[[], None]) -> None:
        try:
            write()
        except JournalError as error:  # nothing is disturbed yet: a step that fails, not a run that breaks off
            raise UnexpectedAnswer(self._server, error.message, hint=error.hint) from error


_NO_MATERIAL = Material(contents={}, keys={})


@dataclass(slots=True, kw_only=True)
class _Watch:
    """Whether ``Last command`` tells that ours has failed: a failure that stood there before is not ours yet."""

    typed: str
    before: DatabaseState
    began: datetime
    clock: Callable[[], datetime]
    seen_other: bool = False

    def failure(self, state: DatabaseState) -> Shortfall | None:
        """Return the failure of our command, if that is what the status shows."""
        if not _failed(state, self.typed):
            self.seen_other = True
            return None
        old = not self.seen_other and _failed(self.before, self.typed)
        waited = (self.clock() - self.began).total_seconds()
        reason = f"{self.typed} has failed" + (f": {state.error}" if state.error else "")
        return Shortfall(why=reason, final=not old or waited >= STALE_SECONDS)


def _failed(state: DatabaseState, typed: str) -> bool:
    return state.last_state == "failed" and same_command(state.last_command, typed)


def _known(server: str, asked: str, reading: Reading[DatabaseState] | None) -> DatabaseState:
    if isinstance(reading, Known):
        return reading.value
    who = "" if asked == server else f"{asked}: "
    raise UnexpectedAnswer(server, f"{who}{_unread(reading)}", hint="see what it shows, then plan again")


def _unread(reading: Reading[DatabaseState] | None) -> str:
    if isinstance(reading, Unread):
        return f"its database status could not be read: {reading.why}"
    return "it has no database cluster to ask for"


def _stale(server: str, message: str) -> UnexpectedAnswer:
    return UnexpectedAnswer(server, message, hint="plan again")
