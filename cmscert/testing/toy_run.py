"""A small fleet in memory, a plan for it, and a run of it: for tests of the executor. Nothing connects or waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache

from cmscert.apply.database import Records
from cmscert.apply.questions import at_once
from cmscert.apply.run import run_plan
from cmscert.apply.stop import Stop
from cmscert.mmp.services import SERVICES
from cmscert.model.desired import Bundle, Desired, Policy, WantedServer, WantedSlot
from cmscert.model.events import Event, RunResult
from cmscert.model.names import Release
from cmscert.model.observed import Binding, ObservedServer
from cmscert.model.plan import Action, CheckFiles, Impact, Plan, PutFile, Rebind, Step, Undo
from cmscert.model.readings import ABSENT, Reading
from cmscert.observe.files import read_files
from cmscert.observe.server import observe_server
from cmscert.pki.certificate import Certificate
from cmscert.pki.keys import PrivateKey
from cmscert.planning.file_names import content_id
from cmscert.planning.predict import predict
from cmscert.testing.ca import Issued, ThrowAwayCa
from cmscert.testing.fleets import identity, material, trusting
from cmscert.testing.toy_node import ToyNode

MOMENT = datetime(2026, 11, 23, 20, 30, tzinfo=UTC)


@cache
def _authority() -> tuple[ThrowAwayCa, Issued, Issued]:
    ca = ThrowAwayCa.root("Toy Root")
    return (
        ca,
        ca.issue("old.example.com", sans=["old.example.com"]),
        ca.issue("new.example.com", sans=["new.example.com"]),
    )


@dataclass(kw_only=True)
class ToyRun:
    """Nodes by name, and all that a run of a plan on them needs. ``waited``: seconds that the run wanted to sleep."""

    nodes: dict[str, ToyNode] = field(default_factory=dict)
    wanted: dict[str, list[WantedSlot]] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    keys: dict[str, PrivateKey] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    stop: Stop = field(default_factory=Stop)
    emit: Callable[[Event], None] | None = None
    on_disk: Callable[[], Awaitable[None]] = at_once
    rollback: bool = True
    records: Records | None = None
    waited: float = 0.0
    releases: dict[str, str] = field(default_factory=dict)
    observed: dict[str, ObservedServer] = field(default_factory=dict)
    predict: Callable[[ObservedServer, Step, Mapping[str, bytes]], ObservedServer] = predict

    @property
    def ca(self) -> ThrowAwayCa:
        """Who signed everything."""
        return _authority()[0]

    @property
    def old(self) -> Issued:
        """What every slot holds at the start."""
        return _authority()[1]

    @property
    def new(self) -> Issued:
        """What a plan wants to have everywhere."""
        return _authority()[2]

    def add(self, name: str, *slots: str) -> ToyNode:
        """Add a node; its slots hold the old certificate, trust slots the old bundle."""
        node = ToyNode(name=name, address=f"10.0.0.{len(self.nodes) + 11}")
        node.store |= {
            "old.key": self.old.key_pem,
            "old.crt": self.old.certificate_pem,
            "new.key": self.new.key_pem,
            "new.crt": self.new.certificate_pem,
            "ca.crt": self.ca.bundle_pem,
            "ca2.crt": self.ca.bundle_pem + self.old.certificate_pem,
        }
        self.nodes[name] = node
        self.wanted[name] = []
        for slot in slots:
            if "trust" in slot:
                node.holds(slot, bundle="ca.crt")
                self.wanted[name].append(trusting(slot, Bundle(name="ca", certificates=self.ca.bundle)))
            else:
                node.holds(slot, key="old.key", certificate="old.crt")
                self.wanted[name].append(identity(slot, material("new", self.new.certificate, self.new.chain)))
        return node

    def put(self, step: str, server: str, content: bytes | Issued, name: str, after: tuple[str, ...] = ()) -> Step:
        """Return an upload; an Issued stands for its key."""
        if isinstance(content, Issued):
            self.keys[content.key.spki_sha256] = content.key
            return plain(step, server, PutFile(file=name, content=f"spki:{content.key.spki_sha256}", role="key"), after)
        self.contents[content_id(content)] = content
        return plain(step, server, PutFile(file=name, content=content_id(content), role="certificate"), after)

    def check(self, step: str, server: str, after: tuple[str, ...] = (), bundle: str | None = None) -> Step:
        """Return a check of the new pair."""
        return plain(step, server, CheckFiles(key="new.key", certificate="new.crt", bundle=bundle), after)

    def bind(self, step: str, server: str, slot: str, after: tuple[str, ...] = ()) -> Step:
        """Return a step that binds the new pair (or the second bundle), with its way back."""
        service = slot.partition("/")[0]
        trust = "trust" in slot
        new = Binding(slot=slot, bundle="ca2.crt") if trust else _pair(slot, "new")
        old = Binding(slot=slot, bundle="ca.crt") if trust else _pair(slot, "old")
        return Step(
            id=step,
            server=server,
            slot=slot,
            action=Rebind(service=service, bindings=(new,)),
            because=("test",),
            after=after,
            impact=Impact(service=service, notices="a test", seconds=1),
            undo=Rebind(service=service, bindings=(old,)),
        )

    def plan(self, *steps: Step) -> Plan:
        """Return a plan of these steps."""
        return Plan(
            made_at=MOMENT,
            tool_version="0",
            fleet="toy",
            inventory_sha256="0" * 64,
            basis={},
            steps=steps,
            releases=self.releases,
        )

    def desired(self) -> Desired:
        """Return what is wanted."""
        servers = tuple(
            WantedServer(
                name=name,
                address=node.address,
                fqdn=f"{name}.example.com",
                release=Release(3, 9),
                slots=tuple(self.wanted[name]),
            )
            for name, node in self.nodes.items()
        )
        return Desired(fleet="toy", servers=servers, policy=Policy(), inventory_sha256="0" * 64)

    async def look(self) -> None:
        """Observe every node that was not observed yet."""
        for server in self.desired().servers:
            if server.name in self.observed:
                continue
            node = self.nodes[server.name]
            node.answers |= {"version": "3.9", "date": "nothing to read", "user list": "nobody"}
            node.store.setdefault("log", b"")
            seen = await observe_server(
                node.session, server, table=SERVICES, probe=self.probe, clock=self.clock, user="admin"
            )
            uploaded = await read_files(node.session, [name for name in node.store if name.endswith(".crt")])
            self.observed[server.name] = replace(seen, contents={**seen.contents, **uploaded})
            node.session.heard.clear()

    async def run(self, *steps: Step) -> RunResult:
        """Observe, then apply."""
        await self.look()
        return await run_plan(
            self.plan(*steps),
            run="run-1",
            sessions={name: node.session for name, node in self.nodes.items()},
            observed=self.observed,
            contents=self.contents,
            keys=self.keys,
            desired=self.desired(),
            table=SERVICES,
            probe=self.probe,
            emit=self.emit or self.events.append,
            on_disk=self.on_disk,
            clock=self.clock,
            stop=self.stop,
            rollback=self.rollback,
            records=self.records,
            predict=self.predict,
            sleep=self.sleep,
        )

    async def probe(self, address: str, port: int, name: str) -> Reading[tuple[Certificate, ...]]:
        """Probe the node of that address."""
        for node in self.nodes.values():
            if node.address == address:
                return await node.probe(address, port, name)
        return ABSENT

    def clock(self) -> datetime:
        """Return a clock that moves only when somebody sleeps."""
        return MOMENT + timedelta(seconds=self.waited)

    async def sleep(self, seconds: float) -> None:
        """Let the clock move."""
        self.waited += seconds

    async def until(self, happened: Callable[[], object]) -> None:
        """Let others run until something is true; the test's own time-out is the limit."""
        while not happened():  # noqa: ASYNC110 - lists grow, nobody sets an event
            await asyncio.sleep(0)

    def outcomes(self, result: RunResult) -> dict[str, str]:
        """Return how each step ended."""
        return {step.step: step.outcome for step in result.steps}

    def kinds(self, step: str) -> list[str]:
        """Return the kinds of events of a step."""
        return [event.kind for event in self.events if getattr(event, "step", None) == step]


def _pair(slot: str, stem: str) -> Binding:
    return Binding(slot=slot, key=f"{stem}.key", certificate=f"{stem}.crt")


def plain(
    step: str,
    server: str,
    action: Action,
    after: tuple[str, ...] = (),
    *,
    impact: Impact | None = None,
    undo: Undo | None = None,
) -> Step:
    """Return a step of any kind."""
    return Step(
        id=step, server=server, slot=None, action=action, because=("test",), after=after, impact=impact, undo=undo
    )
