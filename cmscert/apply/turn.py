"""One server's steps and their ways back: send, read back, compare with the prediction."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from cmscert.apply.database import Clockwork, DatabaseTurns, Membership
from cmscert.apply.questions import at_once
from cmscert.apply.readback import LONGEST_WAIT, Kept, Must, Node, Shortfall, Sleep, after, look, until_right
from cmscert.apply.sending import Attempt, Material, Scribe, send
from cmscert.errors import AnswerTimeout, ConnectionLost, NodeError, UnexpectedAnswer
from cmscert.mmp.lines import Line, lines
from cmscert.model.database import DatabaseState
from cmscert.model.events import Event
from cmscert.model.observed import ObservedServer
from cmscert.model.plan import Action, CheckFiles, DatabaseAction, PutFile, Rebind, Restart, RestoreFile, Step, Undo
from cmscert.model.readings import Known, Unread
from cmscert.observe.asking import attempt as attempted
from cmscert.observe.asking import finish, together, why
from cmscert.planning.basis import service_moved

Predict = Callable[[ObservedServer, Step, Mapping[str, bytes]], ObservedServer]

LEAST_PATIENCE = 20.0
"""Seconds that a service gets to come up, or three times what its impact says, whichever is longer."""

ADMIN = "webadmin"
"""The service that people and the API come in by."""

DOUBT = 20.0
"""Seconds that a change of web administration gets, from its first line to its proof. The way back begins then at the
latest, whatever hangs, so that the old pair is bound and started again within 30 s."""

LAST_LOOK = 5.0
"""Seconds for the one look at what was in hand when a run is ended at once."""

LOGIN_WAITS = (0.25, LONGEST_WAIT)
"""The first and the longest time between two tries to reach a server again, in seconds."""

WAYS_BACK = 2
"""How often a way back is sent when its connection is lost: it always sends all of its lines, so twice does no harm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What all servers share. ``on_disk`` returns when all that was emitted is on disk."""

    material: Material
    predict: Predict
    emit: Callable[[Event], None]
    clock: Callable[[], datetime]
    sleep: Sleep
    on_disk: Callable[[], Awaitable[None]] = at_once

    def scribe(self, step: Step) -> Scribe:
        """Return who writes down what a step sends."""
        return Scribe(step=step.id, server=step.server, emit=self.emit, clock=self.clock, on_disk=self.on_disk)


class ServerTurns:
    """Carries out the steps of one server. Those that disturb nobody may stand beside each other, others take turns."""

    def __init__(
        self,
        node: Node,
        observed: ObservedServer,
        steps: tuple[Step, ...],
        means: Means,
        membership: Membership | None = None,
    ) -> None:
        """``steps``: those of this server; what they change and bind is looked at again before the first.

        ``membership``: the database cluster that the server is a member of.
        """
        self.node = node
        self.server = node.session.server
        self._state = observed
        self._changed = _changed(steps)
        self._needed = frozenset(_bound_files(steps))
        self._means = means
        self._checked = False
        self._stale = ""
        self._before: dict[str, ObservedServer] = {}
        self._attempts: dict[str, Attempt] = {}
        time = Clockwork(clock=means.clock, sleep=means.sleep)
        self._database = DatabaseTurns(node.session, membership, time) if membership is not None else None

    @property
    def _contents(self) -> Mapping[str, bytes]:
        return self._means.material.contents

    def lines(self, action: Action) -> tuple[Line, ...]:
        """Return what is typed for an action on this server; raises ValueError when it cannot be typed."""
        return lines(action, self.node.rows.get(action.service) if isinstance(action, Rebind | Restart) else None)

    def sent(self, step: Step) -> bool:
        """Whether anything of a step may have reached the server."""
        return step.id in self._attempts and self._attempts[step.id].sent > 0

    async def forward(self, step: Step) -> str | None:
        """Carry out a step and prove it; returns a remark on what could not be proven. Raises NodeError."""
        before = self._before[step.id] = self._state
        if isinstance(step.action, Rebind):  # also where nothing is started
            await self._check_unchanged()
        if isinstance(step.action, DatabaseAction):
            return await self._clustered(step, before)
        overwrites = isinstance(step.action, RestoreFile) or (
            isinstance(step.action, PutFile) and step.action.overwrites
        )
        if step.disturbs or overwrites:
            await self._check_unchanged()
        predicted = self._means.predict(before, step, self._contents)
        must = after(step.action, before, predicted, self.node)
        attempt = await self._in_time(step, step.action, must)
        self._state = predicted if self._state is before else self._means.predict(self._state, step, self._contents)
        return "; ".join(dict.fromkeys(attempt.notes)) or None

    async def _in_time(self, step: Step, action: Action, must: Must) -> Attempt:
        """Carry out a change; one of web administration is given up after ``DOUBT``, even in the middle of a line."""
        bounded = isinstance(action, Rebind | Restart) and action.service == ADMIN and step.disturbs
        try:
            async with asyncio.timeout(DOUBT if bounded else None):
                return await self._carry_out(step, action, must, DOUBT if bounded else None)
        except TimeoutError as error:
            raise AnswerTimeout(self.server, f"{ADMIN} was not proven to be well within {DOUBT:g} s") from error

    async def _clustered(self, step: Step, before: ObservedServer) -> str | None:
        assert self._database is not None  # noqa: S101 - checked on paper before the run
        predicted = self._means.predict(before, step, self._contents)
        attempt = self._attempts[step.id] = Attempt(lines=self.lines(step.action))
        scribe = self._means.scribe(step)
        await self._database.forward(step, attempt, scribe, planned=_database(before), after=_database(predicted))
        self._state = predicted
        return "; ".join(dict.fromkeys(attempt.notes)) or None

    async def back(self, step: Step, undo: Undo) -> None:
        """Take a step back and prove that the server reads as before it. Raises NodeError."""
        must = self._must_back(step, undo)
        if isinstance(undo, RestoreFile) and await self._same(undo):
            return
        await self._readable(step)
        for again in range(WAYS_BACK):
            try:
                await self._carry_out(step, undo, must)
            except (ConnectionLost, AnswerTimeout):
                if again + 1 == WAYS_BACK:
                    raise
                await self._readable(step)
            else:
                return

    async def runs(self, step: Step, undo: Undo) -> bool:
        """Tell whether the service of a step that was never begun runs as its way back would leave it.

        What its screen does not show is believed: nothing was sent to it.
        """
        must = self._must_back(step, undo)
        if must.service is not None:
            must = replace(must, service=replace(must.service, back=False))
        short = await until_right(
            lambda: self._look(must, Attempt(lines=()), unsure=False),
            patience=_patience(step),
            sleep=self._means.sleep,
            clock=self._means.clock,
        )
        return short is None

    def _must_back(self, step: Step, undo: Undo) -> Must:
        """Say how the server must read after a way back; of a step that was never begun, too."""
        before = self._before.setdefault(step.id, self._state)
        changed = self._means.predict(before, step, self._contents)
        restored = self._means.predict(changed, replace(step, action=undo), self._contents)
        return after(undo, before, restored, self.node, back=True)

    async def proven(self, step: Step) -> bool:
        """Look once, for a short while, whether a step that was cut off has been carried out nevertheless."""
        attempt = self._attempts.get(step.id)
        if attempt is None or not attempt.at_end:
            return False
        before = self._before[step.id]
        predicted = self._means.predict(before, step, self._contents)
        must = after(step.action, before, predicted, self.node)
        with suppress(NodeError, TimeoutError):
            async with asyncio.timeout(LAST_LOOK):
                if isinstance(step.action, DatabaseAction):
                    return self._database is not None and await self._database.proven(
                        step.action, attempt, _database(predicted).files
                    )
                return await self._look(must, attempt, unsure=True) is None
        return False

    async def _carry_out(self, step: Step, action: Action, must: Must, limit: float | None = None) -> Attempt:
        begun = self._means.clock()
        short, lost = await self._try(step, action, must, limit, together=not _goes_back(must))
        if short is not None and short.unbound and self._attempts[step.id].binds_several:
            # Nobody knows whether a server takes changes side by side ([UNK]): this one did not.
            left = None if limit is None else limit - (self._means.clock() - begun).total_seconds()
            short, lost = await self._try(step, action, must, left, together=False)
        if short is not None:
            reason = short.why if lost is None else f"{why(lost)}; {short.why}"
            raise UnexpectedAnswer(self.server, reason) from lost
        return self._attempts[step.id]

    async def _try(
        self, step: Step, action: Action, must: Must, limit: float | None, *, together: bool
    ) -> tuple[Shortfall | None, NodeError | None]:
        """Send the lines of an action and look; returns what is not as it must be, and how the last answer was lost."""
        begun = self._means.clock()
        attempt = self._attempts[step.id] = Attempt(lines=self.lines(action))
        scribe = self._means.scribe(step)
        lost: NodeError | None = None
        try:
            await send(
                self.node.session, action, attempt, material=self._means.material, scribe=scribe, together=together
            )
        except (ConnectionLost, AnswerTimeout) as error:
            if not attempt.at_end or isinstance(action, CheckFiles):
                raise
            lost = error  # the last line may have been carried out: the server itself tells
        except UnexpectedAnswer:
            if not attempt.at_end or must.service is None or not must.service.bare:
                raise
            # Nothing is bound, as before: of course it does not start (T-22). Screen and ports tell the rest.
            attempt.notes.append(f"{must.service.row.name} does not start, as nothing is bound to it")
            must = replace(must, service=replace(must.service, refused=True))
        patience = _patience(step) if must.service else 0.0
        if limit is not None:
            patience = min(patience, limit - (self._means.clock() - begun).total_seconds())
        kept = Kept(self._means.clock)
        short = await until_right(
            lambda: self._look(must, attempt, unsure=lost is not None, kept=kept),
            patience=patience,
            sleep=self._means.sleep,
            clock=self._means.clock,
        )
        return short, lost

    async def _look(self, must: Must, attempt: Attempt, *, unsure: bool, kept: Kept | None = None) -> Shortfall | None:
        return await look(
            self.node,
            must,
            attempt.put,
            attempt.notes,
            observed=self._state,
            unsure=unsure,
            kept=kept,
        )

    async def _check_unchanged(self) -> None:
        """Look once more, before the first service of the server is touched, that all is as the plan leans on (law 5).

        Read anew are the screens of the services that the plan changes, and the list of files: what is about to be
        bound, and what the way back binds, must still be there. Contents were read after their upload, and not again.
        """
        if not self._checked:
            self._stale = await self._moved()
            self._checked = True
        if self._stale:
            raise UnexpectedAnswer(self.server, f"changed since the plan was made: {self._stale}", hint="plan again")

    async def _moved(self) -> str:
        listing = asyncio.ensure_future(attempted(self.node.session.list_files()))
        screens = asyncio.ensure_future(together(*(self.node.state(service) for service in self._changed)))
        await finish(listing, screens)
        pairs = zip(self._changed, screens.result(), strict=True)
        said = [text for name, found in pairs for text in service_moved(name, self._state.screen(name), found)]
        files = listing.result()
        if isinstance(files, Unread):
            said.append(f"the list of files could not be read again: {files.why}")
        elif isinstance(self._state.files, Known):
            gone = sorted((self._needed & set(self._state.files.value)) - set(files.value))
            said += [f"{', '.join(gone)} {'is' if len(gone) == 1 else 'are'} not in the store any more"] if gone else []
        return ", ".join(said)

    async def _readable(self, step: Step) -> None:
        """Wait until the server can be read: a lost connection comes back with a reading, never with a change."""

        async def listed() -> Shortfall | None:
            try:
                await self.node.session.list_files()
            except NodeError as error:
                return Shortfall(why=why(error))
            return None

        await until_right(
            listed, patience=_patience(step), sleep=self._means.sleep, clock=self._means.clock, waits=LOGIN_WAITS
        )

    async def _same(self, undo: RestoreFile) -> bool:
        """Tell whether the file is as saved already: a service's way back may have restored it."""
        with suppress(NodeError):
            found = await self.node.session.read_file(undo.file)
            return found is not None and found == await self.node.session.read_file(undo.saved_as)
        return False


def _changed(steps: tuple[Step, ...]) -> tuple[str, ...]:
    actions = (step.action for step in steps)
    return tuple(dict.fromkeys(action.service for action in actions if isinstance(action, Rebind | Restart)))


def _bound_files(steps: tuple[Step, ...]) -> Iterator[str]:
    """Yield every file that a change or its way back makes a service use."""
    for step in steps:
        for action in (step.action, step.undo):
            for binding in action.bindings if isinstance(action, Rebind) else ():
                yield from binding.files


def _goes_back(must: Must) -> bool:
    return must.service is not None and must.service.back


def _database(observed: ObservedServer) -> DatabaseState:
    return observed.database.value if isinstance(observed.database, Known) else DatabaseState()


def _patience(step: Step) -> float:
    return max(LEAST_PATIENCE, 3.0 * step.impact.seconds if step.impact else 0.0)
