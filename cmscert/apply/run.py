"""Runs a plan. It never plans: when the world is not as the plan assumed, what depends on it stops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

from cmscert.apply.database import Membership, Records
from cmscert.apply.ending import Result, gist, is_unused, outcome_of, result_of, unloaded
from cmscert.apply.hands import by_hand
from cmscert.apply.progress import Progress, faults_of
from cmscert.apply.questions import Written, at_once, noted
from cmscert.apply.readback import Node, Sleep
from cmscert.apply.rebuilds import Rebuilds, memberships, unfit
from cmscert.apply.sending import Material
from cmscert.apply.stop import Stop
from cmscert.apply.turn import Means, Predict, ServerTurns
from cmscert.errors import Fault, InputError, JournalError, NodeError
from cmscert.model.desired import Desired
from cmscert.model.events import Event, Outcome, RunEnded, RunResult, RunStarted, StepEnded, StepResult, StepStarted
from cmscert.model.names import Release
from cmscert.model.observed import ObservedServer
from cmscert.model.plan import Action, DatabaseAction, Gate, Plan, PutFile, RemoveFiles, Step
from cmscert.model.readings import Known
from cmscert.model.services import ServiceTable, rows_for
from cmscert.observe.asking import why as reason
from cmscert.pki.keys import PrivateKey
from cmscert.planning.predict import predict as predict_step
from cmscert.transport.session import Probe, WriteSession

_INTERRUPTED = "interrupted"


async def run_plan(  # noqa: PLR0913 - each is one part of the world that a run leans on
    plan: Plan,
    *,
    run: str,
    sessions: Mapping[str, WriteSession],
    observed: Mapping[str, ObservedServer],
    contents: Mapping[str, bytes],
    keys: Mapping[str, PrivateKey],
    desired: Desired,
    table: ServiceTable,
    probe: Probe,
    emit: Callable[[Event], None],
    on_disk: Callable[[], Awaitable[None]] = at_once,
    clock: Callable[[], datetime],
    stop: Stop,
    rollback: bool = True,
    records: Records | None = None,
    predict: Predict = predict_step,
    sleep: Sleep = asyncio.sleep,
) -> RunResult:
    """Apply a plan and prove it, or take back what failed, and say how every step ended.

    ``run``: the run's id. ``observed``: what the plan leans on, by server. ``contents``: public bytes by ``sha256:…``;
    ``keys``: by hash of the public half. ``emit`` raises JournalError when an event cannot be written, ``on_disk``
    when what was emitted does not get to the disk: that is waited for before anything is sent. ``clock``: aware UTC.
    ``rollback``: take back the services of a server on which a step fails. ``records``: where backups and the note
    about the primary go; needed for steps on a database; and the public files that are overwritten.
    Raises InputError before anything is sent when the plan does not fit what is given, and JournalError when the
    journal cannot be written: nothing more is sent then.
    """
    emit = written = Written(emit, on_disk)
    sessions = noted(sessions, emit=emit, clock=clock)
    means = Means(
        material=Material(contents=contents, keys=keys, save=records.save if records is not None else None),
        predict=predict,
        emit=emit,
        clock=clock,
        sleep=sleep,
        on_disk=written.on_disk,
    )
    faults = faults_of(plan.steps, sessions.keys() & observed.keys() & {server.name for server in desired.servers})
    if faults:
        raise InputError(faults, hint="make a new plan")
    members = memberships(plan, desired, sessions, records, observed) if records is not None else None
    turns = _turns(plan, means, sessions, observed, desired, table, probe, members)
    return await _Run(plan, run, turns, means, stop, members or {}, rollback=rollback).go()


def _turns(
    plan: Plan,
    means: Means,
    sessions: Mapping[str, WriteSession],
    observed: Mapping[str, ObservedServer],
    desired: Desired,
    table: ServiceTable,
    probe: Probe,
    members: Mapping[str, Membership] | None,
) -> dict[str, ServerTurns]:
    """Make one worker a server and check on paper that every line can be typed and every upload is at hand."""
    turns: dict[str, ServerTurns] = {}
    faults: list[Fault] = []
    for server in dict.fromkeys(step.server for step in plan.steps if not isinstance(step.action, Gate)):
        steps = tuple(step for step in plan.steps if step.server == server)
        seen = observed[server]
        release = (
            seen.release.value if isinstance(seen.release, Known) else Release.parse(plan.releases.get(server, ""))
        )
        wanted = desired.server(server)
        answered = {slot for slot, shown in seen.served.items() if isinstance(shown, Known)}
        node = Node(
            session=sessions[server],
            wanted=wanted,
            rows=rows_for(table, release) if release is not None else {},
            probe=probe,
            answering=frozenset(answered | {each.slot for each in wanted.looked_at if each.answered}),
        )
        turns[server] = ServerTurns(node, seen, steps, means, (members or {}).get(server))
        faults += [fault for step in steps for fault in _unfit(step, turns[server], means.material)]
        faults += [fault for step in steps for fault in unfit(step, members)]
    if faults:
        raise InputError(faults, hint="make a new plan")
    return turns


def _unfit(step: Step, turns: ServerTurns, material: Material) -> list[Fault]:
    messages = [material.fault(step.action)] if isinstance(step.action, PutFile) else []
    for action in (step.action, step.undo):
        try:
            if action is not None:
                turns.lines(action)
        except ValueError as error:
            messages.append(str(error))
    return [Fault(message=f"step {step.id} on {step.server}: {text}", reason="plan") for text in messages if text]


class _Run:
    def __init__(
        self,
        plan: Plan,
        run: str,
        turns: Mapping[str, ServerTurns],
        means: Means,
        stop: Stop,
        members: Mapping[str, Membership],
        *,
        rollback: bool,
    ) -> None:
        self.plan = plan
        self.run = run
        self.turns = turns
        self.progress = Progress(plan.steps)
        self.rebuilds = Rebuilds(plan, members, lambda step: turns[step.server].sent(step))
        self.stop = stop
        self.rollback = rollback
        self.emit = means.emit
        self.on_disk = means.on_disk
        self.clock = means.clock
        self.failed_first: str | None = None
        self.fatal = False

    async def go(self) -> RunResult:
        steps = sum(not isinstance(step.action, Gate) for step in self.plan.steps)
        self.emit(RunStarted(at=self.clock(), run=self.run, fleet=self.plan.fleet, steps=steps))
        try:
            await self._work()
            await self._put_back()
            await self._revive()
        except JournalError as error:
            raise self._unwritten(error) from error
        except asyncio.CancelledError:
            self._end()
            raise
        result = self._end()
        await self.on_disk()
        return result

    async def _work(self) -> None:
        """Keep every server busy, with one step at a time that could disturb, until nothing can start any more."""
        running: set[asyncio.Task[None]] = set()
        hard = asyncio.ensure_future(self.stop.until_hard())
        try:
            while True:
                running |= {asyncio.ensure_future(self._turn(step)) for step in self._startable()}
                if not running or self.stop.is_hard:
                    break
                done, _ = await asyncio.wait({*running, hard}, return_when=asyncio.FIRST_COMPLETED)
                running -= done
                errors = [task.exception() for task in done if task is not hard]
                for error in filter(None, errors):
                    raise error  # noqa: TRY301 - a bug, or a journal that cannot be written: all others end too
        except asyncio.CancelledError:
            self.stop.hard()
            raise
        except BaseException:
            self.fatal = True
            raise
        finally:
            hard.cancel()
            await self._settled(running)

    async def _settled(self, running: set[asyncio.Task[None]]) -> None:
        for task in running:
            task.cancel()
        results = await asyncio.gather(*running, return_exceptions=True)
        wrong = [result for result in results if isinstance(result, Exception)]
        if wrong and not self.fatal:
            self.fatal = True
            raise wrong[0]

    def _startable(self) -> tuple[Step, ...]:
        if self.stop.is_soft:
            return self.progress.take(self.rebuilds.must_go_on)
        steps = self.progress.take()
        while any(isinstance(step.action, Gate) for step in steps):
            for gate in steps:
                if isinstance(gate.action, Gate):
                    self._started(gate)
                    self._ended(gate, "done")
                    self.progress.release(gate)
            steps = (*(step for step in steps if not isinstance(step.action, Gate)), *self.progress.take())
        return steps

    async def _turn(self, step: Step) -> None:
        try:
            await self._forward(step)
        except asyncio.CancelledError:
            if self.fatal:
                raise
            await self._cut_off(step)
        finally:
            self.progress.release(step)

    async def _forward(self, step: Step) -> None:
        self._started(step)
        try:
            remark = await self.turns[step.server].forward(step)
        except NodeError as error:
            await self._failed(step, reason(error))
        else:
            self._ended(step, "done", remark)

    async def _failed(self, step: Step, why: str) -> None:
        """Stop what depends on a failed step and all the rest of its server; take the server's services back."""
        self.failed_first = self.failed_first or f"{step.server}: {step.id} failed: {why}"
        if isinstance(step.action, DatabaseAction):
            self._failed_in_cluster(step, why)
            return
        touched = self._needs_way_back(step) and self.turns[step.server].sent(step)
        leave = touched and (not self.rollback or isinstance(step.action, RemoveFiles))
        self._ended(step, "left" if leave else "failed", why)
        mine = self._to_take_back(step, touched=touched)
        told = f"{step.id} on {step.server} failed"
        self._skip(self.progress.waiting_behind((step.id, *(each.id for each in mine))), told)
        self._skip_server(step.server, told)
        for each in mine:
            self.progress.mark(each.id, "undoing", self.progress.why[each.id])
        for each in mine:
            await self._take_back(each, why if each is step else f"taken back because {step.id} failed")

    def _failed_in_cluster(self, step: Step, why: str) -> None:
        """A database has no way back: its other steps do not start, and what was done to services stays."""
        told = f"{step.id} on {step.server} failed"
        self._ended(step, "left" if self.rebuilds.begun(step) else "failed", why)
        for each in self.rebuilds.rest(step):
            if self.progress.status[each.id] == "waiting":
                self._ended(each, "skipped", told)
        self._skip(self.progress.waiting_behind((step.id,)), told)
        self._skip_server(step.server, told)

    def _needs_way_back(self, step: Step) -> bool:
        overwrites = isinstance(step.action, PutFile) and step.action.overwrites
        return step.disturbs or overwrites or step.undo is not None or isinstance(step.action, RemoveFiles)

    def _to_take_back(self, failed: Step, *, touched: bool) -> list[Step]:
        """Newest first: the failed step, and what was done on its server and nobody elsewhere leans on.

        When a removal fails, nothing is taken back: every change was verified before, and a file may be gone already.
        """
        if not self.rollback or isinstance(failed.action, RemoveFiles):
            return []
        done = [self.progress.steps[name] for name in reversed(self.progress.finished)]
        mine = [
            step
            for step in done
            if step.server == failed.server
            and self.progress.status[step.id] == "done"
            and self._needs_way_back(step)
            and not isinstance(step.action, RemoveFiles | DatabaseAction)
            and not self.progress.needed_elsewhere(step)
        ]
        return [failed, *mine] if touched else mine

    async def _put_back(self) -> None:
        """Give files that were overwritten their old content again, where no service came to load the new one.

        What runs there runs on the old content; whoever restarts it would load the new file, perhaps without its pair.
        """
        self._skip(self.progress.all_waiting(), _INTERRUPTED)
        for step in [self.progress.steps[name] for name in reversed(self.progress.finished)]:
            if not self.rollback or self.stop.is_hard:
                return
            if self._is_done(step) and is_unused(step, self.plan.steps, self.progress.status):
                await self._take_back(step, "no service came to load it")

    async def _revive(self) -> None:
        """Start services that went down by themselves before files that did not belong together.

        A server that reboots while half a pair in use is new comes up without them. Its files are as before now, so the
        way back of the change that never began is the way up.
        """
        for step, undo in unloaded(self.plan.steps, self.progress.status):
            if not self.rollback or self.stop.is_hard:
                return
            if not await self.turns[step.server].runs(step, undo):
                await self._take_back(step, "its service went down by itself, before files that do not belong together")

    async def _take_back(self, step: Step, why: str) -> None:
        if self.progress.left_behind(step):
            self.progress.mark(step.id, "done", "kept: a later step that leans on it could not be taken back")
            return
        if step.undo is None:
            self._ended(step, "left", f"{why}; the plan holds no way back for it")
            return
        self._started(step, undoing=True)
        try:
            await self.turns[step.server].back(step, step.undo)
        except NodeError as error:
            self._ended(step, "left", f"{why}; the way back failed: {reason(error)}")
        else:
            self._ended(step, "undone", why)

    async def _cut_off(self, step: Step) -> None:
        """A hard stop came in the middle of a turn: look once, and name what is not proven."""
        undoing = [name for name, status in self.progress.status.items() if status == "undoing"]
        for name in undoing:
            other = self.progress.steps[name]
            if other.server == step.server:
                self._ended(
                    other, "left", f"{self.progress.why[name] or ''}; the way back was interrupted".lstrip("; ")
                )
        if self.progress.status[step.id] != "running":
            return
        turns = self.turns[step.server]
        if not turns.sent(step):
            self._ended(step, "skipped", "interrupted before anything was sent")
        elif await turns.proven(step):
            self._ended(step, "done", "interrupted, and found done")
        else:
            clustered = isinstance(step.action, DatabaseAction)
            left = self.rebuilds.begun(step) if clustered else self._needs_way_back(step)
            self._ended(step, "left" if left else "failed", _INTERRUPTED)

    def _skip(self, steps: tuple[Step, ...], why: str) -> None:
        for step in steps:
            self._ended(step, "skipped", why)

    def _skip_server(self, server: str, why: str) -> None:
        for step in self.progress.waiting_on(server):
            self._ended(step, "skipped", why)
            self._skip(self.progress.waiting_behind((step.id,)), why)

    def _started(self, step: Step, *, undoing: bool = False) -> None:
        self.emit(StepStarted(at=self.clock(), step=step.id, server=step.server, what=gist(step), undoing=undoing))

    def _ended(self, step: Step, outcome: Outcome, why: str | None = None) -> None:
        self.progress.mark(step.id, outcome, why)
        self.emit(StepEnded(at=self.clock(), step=step.id, server=step.server, outcome=outcome, why=why))

    def _end(self) -> RunResult:
        self._skip(self.progress.all_waiting(), _INTERRUPTED)
        outcomes = {name: outcome_of(status) for name, status in self.progress.status.items()}
        result = result_of(set(outcomes.values()), self.stop, failed=self.failed_first is not None)
        why = self._why(result)
        rest = self.rebuilds.remaining(self._is_done)
        hands = by_hand(self.plan.steps, self.progress, rest, self._texts)
        self.emit(RunEnded(at=self.clock(), run=self.run, result=result, why=why, by_hand=hands))
        steps = tuple(
            StepResult(step=step.id, server=step.server, outcome=outcomes[step.id], why=self.progress.why[step.id])
            for step in self.plan.steps
        )
        return RunResult(run=self.run, result=result, steps=steps, by_hand=hands, why=why)

    def _why(self, result: Result) -> str | None:
        """Say why a run ended as it did, and what that means for databases."""
        whys = [self.failed_first or (self.stop.why if result == "interrupted" else None)]
        if result != "applied":
            whys.append(self.rebuilds.open_ends(self._is_done))
        if result == "interrupted":
            whys.append(self.rebuilds.built_up(self._is_done))
        return "; ".join(filter(None, whys)) or None

    def _is_done(self, step: Step) -> bool:
        return self.progress.status[step.id] == "done"

    def _texts(self, server: str, action: Action) -> list[str]:
        return [line.text for line in self.turns[server].lines(action)]

    def _unwritten(self, error: JournalError) -> JournalError:
        hand = sorted(
            f"{name} on {self.progress.steps[name].server}"
            for name, status in self.progress.status.items()
            if status in {"running", "undoing"}
        )
        under_way = f"; under way and not verified: {', '.join(hand)}" if hand else ""
        return JournalError(f"{error.message}{under_way}", hint=error.hint)
