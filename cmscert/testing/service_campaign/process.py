"""One start of the tool: what breaks in it, and its sudden end."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cmscert.apply.stop import Stop
from cmscert.lab.fleet import LabFleet
from cmscert.lab.node import LabNode
from cmscert.model.readings import ABSENT, Known, Reading, Unread
from cmscert.pki.certificate import Certificate, parse_certificate
from cmscert.testing.memory_session import Killed
from cmscert.testing.service_campaign.disk import FULL, freeze
from cmscert.testing.service_campaign.faults import SERVING, STORING, Fault, Op
from cmscert.testing.timeless import TimelessLoop


@dataclass(kw_only=True)
class Process:
    """What all sessions of one start share. ``watch`` is called after every change that a node took."""

    fleet: LabFleet
    loop: TimelessLoop
    state: Path
    faults: tuple[Fault, ...] = ()
    watch: Callable[[], object] = lambda: None
    stop: Stop = field(default_factory=Stop)
    dead: bool = False
    met: set[Fault] = field(default_factory=set)
    hits: list[tuple[Fault, Op]] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)
    writes: int = 0
    frozen: dict[Path, bytes] = field(default_factory=dict)
    working: set[asyncio.Task[Any]] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    full: set[str] = field(default_factory=set)
    disk_full: bool = False

    def __post_init__(self) -> None:
        self.died = asyncio.Event()
        self._nodes = {node.spec.address: node for node in self.fleet.nodes.values()}

    async def probe(self, address: str, port: int, _name: str) -> Reading[tuple[Certificate, ...]]:
        """Look at a TLS port."""
        self.alive()
        await asyncio.sleep(0)
        self.alive()
        node = self._nodes[address]
        if node.faults.down:
            return Unread(f"{address} port {port} did not finish a TLS handshake within 5 s")
        chain = node.shown(port)
        return Known(tuple(map(parse_certificate, chain))) if chain else ABSENT

    def alive(self) -> None:
        """Raise Killed when the process has ended."""
        if self.dead:
            raise Killed

    def kill(self) -> Killed:
        """End the process: from now on it reaches no node, and its disk is as it is now."""
        if not self.dead:
            self.dead, self.frozen = True, freeze(self.state)
            self.died.set()
        return Killed()

    def write(self, descriptor: int, line: bytes) -> int:
        """Write to the journal, unless the disk is full or the process ends."""
        self.alive()
        self.writes += 1
        if self.disk_full:
            raise FULL
        fault = self._due("", self.writes)
        if fault is None:
            return os.write(descriptor, line)
        part = {0.0: 0, 1.0: len(line) // 2}.get(fault.size, len(line))
        written = os.write(descriptor, line[:part]) if part else 0
        if fault.kind == "kill-at-disk":
            raise self.kill()
        self.disk_full = True
        if part == len(line):
            return written
        if not written:
            raise FULL
        return written

    def next(self, server: str, what: str, *, changes: bool) -> Fault | None:
        """Count what goes to a server, and return what happens to it."""
        self.alive()
        self.counts[server] += 1
        self.ops.append(Op(server=server, number=self.counts[server], what=what, changes=changes))
        return self._due(server, self.counts[server])

    def _due(self, server: str, number: int) -> Fault | None:
        for fault in self.faults:
            if fault.server == server and fault.at <= number and fault not in self.met and self._fits(fault):
                self.met.add(fault)
                self.hits += [(fault, self.ops[-1])] if server else []
                return fault
        return None

    def _fits(self, fault: Fault) -> bool:
        """A fault of a store waits for an upload, one of a service for its start."""
        if not fault.server:
            return True
        op = self.ops[-1]
        if fault.kind in STORING:
            return op.puts
        if fault.kind in SERVING:
            return op.starts
        return op.changes or fault.kind not in ("lie", "failure", "silent-undone")

    def away(self, node: LabNode, seconds: float) -> None:
        """Take a node off the network for a while."""
        if seconds:
            node.faults.down = True
            self.loop.call_later(seconds, setattr, node.faults, "down", False)  # noqa: FBT003 - setattr takes it by place

    def reboot(self, node: LabNode, seconds: float) -> None:
        """Let a node go down and come back with what is enabled."""
        for name in node.machine.services:
            node.machine.take_down(name)
        self.away(node, seconds)
        self.loop.call_later(seconds, node.machine.reboot)
