"""Sessions of a start to nodes in memory, as ``transport`` has them, with everything that can break on them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

from cmscert.errors import AnswerTimeout, StoreRefused, UnexpectedAnswer, Unreachable
from cmscert.lab.node import CutError
from cmscert.mmp.replies import clean
from cmscert.model.commands import Command, Effect, Reply
from cmscert.model.login import Login
from cmscert.testing.memory_session import ANSWER_SECONDS, ORIGIN, Answer, MemorySession
from cmscert.testing.service_campaign.faults import Fault
from cmscert.testing.service_campaign.process import Process
from cmscert.transport.faults import late, lost_in_change
from cmscert.transport.pace import PAUSES

T = TypeVar("T")
_GARBAGE: Final = b"\x1b[2J\x07%%% noise \xff\xfe %%%\n"


def opener(process: Process) -> Callable[[Login, object, object], AbstractAsyncContextManager[Session]]:
    """Return what opens the sessions of a process."""

    @asynccontextmanager
    async def open_one(login: Login, _credentials: object, _hosts: object) -> AsyncIterator[Session]:
        session = Session(node=process.fleet.node(login.server), process=process)
        await session.reach()
        yield session

    return open_one


@dataclass(slots=True, kw_only=True)
class Session(MemorySession):
    """A session of a process that things happen to."""

    process: Process

    def alive(self) -> None:
        """Raise Killed when the process has ended."""
        self.process.alive()

    async def reach(self) -> None:
        """Connect, or connect again. Raises Unreachable."""
        self.process.alive()
        await asyncio.sleep(0)
        self.process.alive()
        if self.node.faults.down:
            await asyncio.sleep(10.0)
            self.process.alive()
            if self.node.faults.down:
                raise Unreachable(self.server, "no TCP connection within 10 s", hint="see whether it is up")

    async def put_file(self, name: str, data: bytes) -> None:
        """Upload a file."""
        await self._met(f"put {name}", lambda: self.keep(name, data), put=(name, data))

    async def moved(self, what: str, work: Callable[[], T], *, changes: bool = False) -> T:
        """Do something to the store. Raises NodeError, Killed."""
        return await self._met(what, work, changes=changes)

    async def told(self, command: Command) -> Reply:
        """Type a command. Raises NodeError, Killed."""
        began = self.process.loop.time()
        changes = command.effect is Effect.CHANGE
        await self.reach()
        fault = self.process.next(self.server, command.typed, changes=changes)
        kind = fault.kind if fault is not None else None
        if kind in ("failure", "enable-fails"):
            text = await self._failed(command)
        else:
            silence = late(self.server, command, ANSWER_SECONDS)
            text = await self._through(
                fault, command.typed, lambda: self._carried_out(command, kind), changes=changes, silence=silence
            )
        if kind == "garbage":
            text = _GARBAGE
        return Reply(command=command, text=clean(text), seconds=self.process.loop.time() - began)

    async def _failed(self, command: Command) -> bytes:
        """Refuse a command; a service whose start fails is down ([MEM] 4)."""
        self.node.faults.fail = {command.typed: "it is refused"}
        try:
            return await self.node.carry_out(command.typed, ORIGIN, _nobody)
        finally:
            self.node.faults.fail = {}

    async def _carried_out(self, command: Command, kind: str | None) -> bytes:
        faults = self.node.faults  # several commands may be under way at once
        lies = (command.typed,) if kind == "lie" else ()
        stays = (command.typed.split()[0],) if kind == "no-start" else ()
        faults.lie, faults.no_start = (*faults.lie, *lies), (*faults.no_start, *stays)

        async def carry_out(answer: Answer) -> bytes:
            work = asyncio.ensure_future(self.node.carry_out(command.typed, ORIGIN, answer))
            self.process.working.add(work)
            work.add_done_callback(self.process.working.discard)
            return await asyncio.shield(work)

        try:
            return await self.typed(command, carry_out)
        finally:
            faults.lie = tuple(each for each in faults.lie if each not in lies)
            faults.no_start = tuple(each for each in faults.no_start if each not in stays)

    async def _met(
        self, what: str, work: Callable[[], T], *, put: tuple[str, bytes] | None = None, changes: bool = False
    ) -> T:
        changes = changes or put is not None
        await self.reach()
        fault = self.process.next(self.server, what, changes=changes)
        if put is not None:
            self._store(fault, *put)
        if fault is not None and fault.kind == "failure":
            raise StoreRefused(self.server, f"{what} was refused: failure")

        async def moved() -> T:
            lies = fault is not None and fault.kind in ("lie", "truncate", "corrupt")
            return work() if not lies or not changes else None  # type: ignore[return-value]  # changes return nothing

        silence = AnswerTimeout(self.server, f"{what} did not end within {ANSWER_SECONDS:g} s")
        return await self._through(fault, what, moved, changes=changes, silence=silence)

    def _store(self, fault: Fault | None, name: str, data: bytes) -> None:
        """Keep what a faulty store keeps of an upload. Raises StoreRefused, Killed, ConnectionLost."""
        kind = fault.kind if fault is not None else None
        half = data[: len(data) // 2]
        if kind == "store-full":
            self.process.full.add(self.server)
        if self.server in self.process.full:
            raise StoreRefused(self.server, f"writing {name} was refused: no space left", hint="see whether it is full")
        if kind in ("truncate", "short", "kill-during", "cut-during"):
            self.node.files[name] = half
        if kind == "corrupt":
            self.node.files[name] = half[:-1] + bytes([half[-1] ^ 1]) + data[len(half) :]
        if kind == "short":
            raise StoreRefused(self.server, f"{name} was not stored whole: {len(half)} of {len(data)} bytes")
        if kind == "kill-during":
            raise self.process.kill()
        if kind == "cut-during":
            raise lost_in_change(self.server, f"writing {name}", started=True)

    async def _through(
        self, fault: Fault | None, what: str, work: Callable[[], Awaitable[T]], *, changes: bool, silence: Exception
    ) -> T:
        cut = lost_in_change(self.server, f"'{what}'", started=True)
        if fault is not None and fault.kind == "refuse":
            self.process.refusals[self.server] = int(fault.size)
        await self._admitted(what)
        if fault is not None and self._breaks_before(fault):
            if changes:
                raise cut
            await self.reach()  # what only reads is asked again on a new connection
        if fault is not None and fault.kind == "silent-undone":
            await asyncio.sleep(ANSWER_SECONDS)
            raise silence
        try:
            done = await work()
        except CutError as error:
            raise cut from error
        self.process.alive()
        if changes:
            self.process.watch()
        if fault is not None:
            if await self._breaks_after(fault, silence):
                if changes:
                    raise cut
                await self.reach()
                done = await work()
            self.process.alive()
        return done

    def _breaks_before(self, fault: Fault) -> bool:
        """Let happen what comes before a line is carried out; True when the connection is gone. Raises Killed."""
        process, node = self.process, self.node
        match fault.kind:
            case "kill-before":
                raise process.kill()
            case "stop-soft":
                process.stop.soft()
            case "stop-hard":
                process.stop.hard()
            case "clock-jump":
                node.spec.clock_skew += fault.size
            case "cut-before":
                process.away(node, fault.size)
            case "reboot":
                process.reboot(node, fault.size)
        return fault.kind in ("cut-before", "reboot")

    async def _breaks_after(self, fault: Fault, silence: Exception) -> bool:
        """Let happen what comes before the answer; True when the connection is gone. Raises Killed and ``silence``."""
        match fault.kind:
            case "kill-after" | "kill-during":
                raise self.process.kill()
            case "cut-after" | "cut-during":
                self.process.away(self.node, fault.size)
            case "silent":
                await asyncio.sleep(ANSWER_SECONDS)
                raise silence
            case "late":
                await asyncio.sleep(fault.size)
        return fault.kind in ("cut-after", "cut-during")

    async def _admitted(self, what: str) -> None:
        """Wait for a channel, as ``transport`` does. Raises UnexpectedAnswer when it is refused too often."""
        for pause in (*PAUSES, None):
            if self.process.refusals[self.server] <= 0:
                return
            self.process.refusals[self.server] -= 1
            if pause is None:
                raise UnexpectedAnswer(self.server, f"it refused a channel for '{what}' 6 times; it was not sent")
            await asyncio.sleep(pause)
            self.process.alive()


async def _nobody(_question: str) -> str | None:
    return None
