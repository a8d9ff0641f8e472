"""The fleet of a case, the operator in front of it, and start after start of the tool."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final

from cmscert.app.apply import ApplyOptions, apply
from cmscert.app.ports import Ports
from cmscert.app.running import ApplyResult, Talk
from cmscert.cli.exit_codes import NEITHER, NODE, REFUSED, RESULT_CODES, code_of, first_of
from cmscert.errors import CmscertError, JournalError, RefusedError
from cmscert.lab.fleet import LabFleet
from cmscert.lab.spec import Faults
from cmscert.mmp.services import SERVICES
from cmscert.model.events import Event
from cmscert.model.plan import Plan
from cmscert.reports.plan_document import plan_document
from cmscert.reports.plan_text import plan_text
from cmscert.reports.result_text import run_text
from cmscert.testing.memory_session import Killed
from cmscert.testing.service_campaign import checks
from cmscert.testing.service_campaign.cases import ALLOW, STARTS, Case, Start
from cmscert.testing.service_campaign.disk import thaw, written_by
from cmscert.testing.service_campaign.faults import Fault
from cmscert.testing.service_campaign.process import Process
from cmscert.testing.service_campaign.seen import Snapshot, snapshot
from cmscert.testing.service_campaign.session import opener
from cmscert.testing.service_campaign.stage import Stage
from cmscert.testing.timeless import TimelessLoop

_SHOWN_EVERY: Final = 32
_SILENT: Final = ("xmpp", "loadbalancer", "trunk")  # no port of theirs begins with TLS: nobody sees them down
_LOCK_SECONDS: Final = 900.0  # longer than the lock file of a run counts


class Theatre:
    """The fleet of a case, the operator's state directory, and what happened so far."""

    def __init__(
        self, case: Case, stage: Stage, loop: TimelessLoop, folder: Path, starts: list[Start] | None = None
    ) -> None:
        self.case = case
        self.stage = stage
        self.loop = loop
        self.state = folder
        self.starts: list[Start] = [] if starts is None else starts
        self.fleet = LabFleet(stage.specs(case.setting), clock=loop.clock, plugged=False)
        self.said: list[str] = []
        self.held: frozenset[str] = frozenset()
        self.first: Snapshot = {}
        self.mended = False
        self.lifted: tuple[str, ...] = ()

    async def begin(self) -> None:
        """Look at the fleet before anything happens."""
        await self.fleet.settled()
        self.held = _rows(self.fleet, self.stage) if self.stage.databases else frozenset()
        self.first = snapshot(self.fleet)

    async def all(self) -> None:
        """Start with faults, start again until it settles, and check everything. Raises AssertionError."""
        await self.begin()
        for number in range(STARTS):
            faults = tuple(fault for fault in self.case.faults if number == 0 or (number == 1 and fault.again))
            await self.start(faults)
            checks.after_start(self)
            if self.starts[-1].code == NEITHER and self.case.by_hand:
                await checks.by_hand(self)
            if number >= 1 and self.starts[-1].settled:
                if self.starts[-1].code != REFUSED or self.mended:
                    break
                checks.excused(self)
                await self.mend()
            await asyncio.sleep(self.case.pauses[number])
        await self.quiet()
        checks.in_the_end(self)

    async def quiet(self) -> None:
        """Wait until nothing goes on in the fleet."""
        await asyncio.sleep(500.0)
        await self.fleet.settled()

    async def mend(self) -> None:
        """Do what a person does before the next start, where a guard asks for it: wait, mend a node, lift the guard."""
        if self.case.setting.scenario != "fresh":
            self.lifted = tuple(self.starts[-1].guards & {"last-call-bridge"})
        self.mended = True
        await asyncio.sleep(_LOCK_SECONDS)
        for node in self.fleet.nodes.values():
            node.faults, node.spec.clock_skew = Faults(), 0.0

    def watch(self) -> None:
        """Hold what must hold at any moment."""
        if self.stage.databases:
            checks.databases(self)

    async def start(self, faults: tuple[Fault, ...]) -> Process:
        """Start the tool once."""
        process = Process(fleet=self.fleet, loop=self.loop, state=self.state, faults=faults, watch=self.watch)
        begun: list[Plan] = []
        plans: list[Plan] = []
        start = Start(code=None, met=frozenset(), before=snapshot(self.fleet))
        self.starts.append(start)
        with written_by(process.write):
            try:
                start.made = await self._alive(process, self._talk(plans, begun))
            except Killed:
                thaw(self.state, process.frozen)
            except CmscertError as error:
                start.error = error
                self.said.append(f"{error.message} {error.hint}")
        start.met = frozenset(process.met)
        start.unproven = frozenset(
            (op.server, op.what.split()[0])
            for fault, op in process.hits
            if op.starts and (fault.kind == "lie" or (fault.kind == "no-start" and op.what.split()[0] in _SILENT))
        )
        start.plan = plans[-1] if plans else None
        if start.made is not None or start.error is not None:
            start.code = _code(start, begun=bool(begun))
        if isinstance(start.error, RefusedError):
            told = start.error.message
            start.guards = frozenset(
                {refusal.guard for refusal in start.plan.refusals if refusal.guard in told} if start.plan else ()
            ) or frozenset({start.error.reason})
        start.changes = tuple(op.what for op in process.ops if op.changes)
        await self.quiet_soon()
        start.after = snapshot(self.fleet)
        self._show(start)
        return process

    async def quiet_soon(self) -> None:
        """Let what nodes have begun come to its end."""
        await asyncio.sleep(5.0)
        await self.fleet.settled()

    async def _alive(self, process: Process, talk: Talk) -> ApplyResult:
        """Run until the end, or until the process is killed: then nothing of it goes on. Raises Killed."""
        own = asyncio.all_tasks()
        ports = Ports(reader=opener(process), writer=opener(process), probe=process.probe, clock=self.loop.clock)
        work = asyncio.ensure_future(self.work(process, ports, talk))
        death = asyncio.ensure_future(process.died.wait())
        await asyncio.wait({work, death}, return_when=asyncio.FIRST_COMPLETED)
        death.cancel()
        if not process.dead:
            return await work
        while rest := asyncio.all_tasks() - own - process.working - self._rising():
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
        raise Killed

    def work(self, process: Process, ports: Ports, talk: Talk) -> Coroutine[Any, Any, ApplyResult]:
        """Return what a start does."""
        options = ApplyOptions(
            state_dir=self.state,
            rollback=self.case.rollback,
            allow=(*(ALLOW if self.case.setting.database == "aged" else ()), *self.lifted),
        )
        return apply(self.stage.inventory, ports, talk, now=self.loop.clock(), stop=process.stop, options=options)

    def _rising(self) -> set[asyncio.Task[None]]:
        services = (service for node in self.fleet.nodes.values() for service in node.machine.services.values())
        return {service.rising for service in services if service.rising is not None}

    def _talk(self, plans: list[Plan], begun: list[Plan]) -> Talk:
        async def yes(_plan: Plan) -> bool:
            return True

        def heard(event: Event) -> None:
            self.said.append(str(event))

        return Talk(
            show=plans.append,
            confirm=yes,
            started=begun.append,
            emit=heard,
            document=lambda plan: plan_document(plan, SERVICES),
        )

    def _show(self, start: Start) -> None:
        """Draw what a person would see; not always, as that takes longer than the run."""
        if start.made is None or self.case.seed % _SHOWN_EVERY:
            return
        look: dict[str, Any] = {"width": 100, "colour": False, "verbose": True}
        self.said.append(plan_text(start.made.plan, SERVICES, **look))
        self.said.append(run_text(start.made.result, start.made.plan, **look))


def _code(start: Start, *, begun: bool) -> int:
    """Return the exit code, as the command line makes it."""
    incomplete = NODE * (start.plan is not None and not start.plan.complete)
    if isinstance(start.error, RefusedError):
        return first_of([code_of(start.error), incomplete])
    if isinstance(start.error, JournalError):
        return NEITHER if begun else code_of(start.error)
    if start.error is not None:
        return code_of(start.error)
    assert start.made is not None  # noqa: S101 - one of both
    result = 0 if start.made.result is None else RESULT_CODES[start.made.result.result]
    return first_of([result, incomplete])


def _rows(fleet: LabFleet, stage: Stage) -> frozenset[str]:
    """Return the rows that may never be lost: of the primary, or of who will be that where there is none yet."""
    if fleet.database.clusters():
        return fleet.database.rows_of_truth()
    return frozenset(row for database in stage.sketch.databases for row in fleet.node(database.primary).database.rows)
