"""A database cluster that is rebuilt in as many starts of the tool as it takes, in memory, with its lab beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from cmscert.app.apply import refuse
from cmscert.app.fleet import unreached
from cmscert.apply.database import Records
from cmscert.apply.memory import Memory
from cmscert.apply.run import run_plan
from cmscert.apply.stop import Stop
from cmscert.errors import GuardRefused, NodeError, Unreachable
from cmscert.lab.backups import rows_in
from cmscert.lab.database_files import flaw
from cmscert.lab.fleet import LabFleet
from cmscert.lab.spec import NodeSpec
from cmscert.mmp.services import SERVICES
from cmscert.model.database import FormerPrimary
from cmscert.model.desired import Bundle, Desired, Minting, Policy, WantedDatabase, WantedServer
from cmscert.model.events import Event, RunResult
from cmscert.model.names import Release
from cmscert.model.observed import ObservedServer
from cmscert.model.plan import Gate, Plan
from cmscert.model.readings import ABSENT, Reading
from cmscert.observe.server import observe_server
from cmscert.pki.certificate import Certificate
from cmscert.pki.keys import PrivateKey, read_key
from cmscert.pki.pem import read_certificates
from cmscert.planning.make import Planned, make_plan
from cmscert.testing.databases import FIVE, database_files
from cmscert.testing.fleets import material
from cmscert.testing.lab_session import LabSession, Wire
from cmscert.testing.timeless import TimelessLoop
from cmscert.transport.session import Sink

FLEET: Final = "campaign"
DATABASE: Final = "main"
REMOVE: Final = "database cluster remove"
WANTED_DAYS: Final = 300
BETWEEN_STARTS: Final = 60.0
Ending = Literal["nothing to do", "refused", "applied", "rolled-back", "neither", "interrupted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """How one start of the tool ended. ``guards``: that refused. ``sent``: every change that left."""

    ending: Ending
    plan: Plan
    guards: frozenset[str] = frozenset()
    result: RunResult | None = None
    sent: tuple[tuple[str, str], ...] = ()

    @property
    def removed(self) -> bool:
        """Whether a ``database cluster remove`` left."""
        return any(line == REMOVE for _, line in self.sent)


@dataclass(kw_only=True)
class Campaign:
    """``wanted_ca``: whose material the inventory names; None lets the CA built into CMS make it.

    ``held``: rows that must never be lost, checked after everything that happens; so is that there is one cluster.
    """

    folder: Path
    loop: TimelessLoop
    specs: Sequence[NodeSpec]
    nodes: tuple[str, ...]
    clients: tuple[str, ...]
    primary: str
    wanted_ca: str | None = "dbca"
    held: set[str] = field(default_factory=set)
    backups: dict[str, bytes] = field(default_factory=dict)
    promoted: bool = False

    def __post_init__(self) -> None:
        self.lab = LabFleet(self.specs, clock=self.loop.clock)
        self.network = self.lab.database
        self.memory = Memory(self.folder, FLEET)
        self.desired = self._desired()
        self._live: str | None = None

    @property
    def members(self) -> tuple[str, ...]:
        """Nodes and clients."""
        return (*self.nodes, *self.clients)

    def watch(self) -> None:
        """Hold what must hold at any moment."""
        live = [cluster.primary for cluster in self.network.clusters()]
        assert len(live) <= 1, f"{' and '.join(live)} are alive side by side"  # noqa: S101 - a check of tests
        lost = self.network.lost(self.held)
        assert not lost, f"{', '.join(sorted(lost))} lost"  # noqa: S101 - same
        if live and self._live not in (None, live[0]):
            self.promoted = True
        self._live = live[0] if live else self._live

    def leaves(self, server: str, line: str) -> None:
        """Hold what must be so when a node leaves its cluster: its rows are here, and so is who held the truth."""
        node = self.network.node(server)
        if line != REMOVE or node.role in ("client", "none"):
            return
        assert set(node.rows) <= self.backed_up(), f"{server} leaves without a backup"  # noqa: S101 - a check of tests
        if node.role == "primary":
            noted = self.memory.noted([DATABASE]).get(DATABASE)
            assert noted is not None, f"{server} leaves, and nobody notes that it was primary"  # noqa: S101 - same
            assert noted.server == server  # noqa: S101 - same

    def write(self, row: str) -> None:
        """Let somebody use the cluster, if there is one that can be reached."""
        live = self.network.clusters()
        if len(live) == 1 and self.network.reachable(live[0].primary):
            self.network.write(row)
            self.held.add(row)

    async def start(
        self,
        wire: Wire,
        allow: tuple[str, ...],
        *,
        on_event: Callable[[int, Stop], object] = lambda _number, _stop: None,
    ) -> Start:
        """Observe, plan, refuse or run, as one process does. Raises Killed."""
        wire.watch, wire.leaves = self.watch, self.leaves
        await asyncio.sleep(BETWEEN_STARTS)
        sessions = {name: LabSession(node=self.lab.node(name), wire=wire) for name in self.members}
        noted = self.memory.noted([DATABASE])
        observed = {server.name: await self._observe(server, sessions) for server in self.desired.servers}
        planned = make_plan(
            self.desired, observed, table=SERVICES, moment=self.loop.clock(), tool_version="0", noted=noted
        )
        try:
            refuse(planned.plan.refusals, allow)
        except GuardRefused:
            guards = frozenset(each.guard for each in planned.plan.refusals if each.guard not in allow)
            return Start(ending="refused", plan=planned.plan, guards=guards, sent=tuple(wire.sent))
        if all(isinstance(step.action, Gate) for step in planned.plan.steps):
            return Start(ending="nothing to do", plan=planned.plan, sent=tuple(wire.sent))
        up = {name: session for name, session in sessions.items() if not self.lab.node(name).faults.down}
        result = await self._run(planned, observed, up, wire, on_event)
        return Start(ending=result.result, plan=planned.plan, result=result, sent=tuple(wire.sent))

    async def _run(
        self,
        planned: Planned,
        observed: dict[str, ObservedServer],
        sessions: dict[str, LabSession],
        wire: Wire,
        on_event: Callable[[int, Stop], object],
    ) -> RunResult:
        stop, events = Stop(), 0

        def emit(_event: Event) -> None:
            nonlocal events
            wire.alive()
            events += 1
            on_event(events, stop)
            wire.alive()

        return await run_plan(
            planned.plan,
            run="run",
            sessions=sessions,
            observed=observed,
            contents=planned.contents,
            keys=_keys(self.wanted_ca),
            desired=self.desired,
            table=SERVICES,
            probe=_closed,
            emit=emit,
            clock=self.loop.clock,
            stop=stop,
            records=self._records(wire),
        )

    def _records(self, wire: Wire) -> Records:
        def remember(former: FormerPrimary) -> None:
            wire.alive()
            self.memory.remember(former)

        def forget(database: str) -> None:
            wire.alive()
            self.memory.forget(database)

        @contextmanager
        def keep(server: str, name: str) -> Iterator[Sink]:
            content = bytearray()
            yield content.extend
            wire.alive()
            self.backups[f"{server}/{name}"] = bytes(content)

        return Records(keep=keep, remember=remember, forget=forget)

    async def _observe(self, server: WantedServer, sessions: dict[str, LabSession]) -> ObservedServer:
        if self.lab.node(server.name).faults.down:
            return unreached(server.name, Unreachable(server.name, "no TCP connection"))
        try:
            return await observe_server(
                sessions[server.name],
                server,
                table=SERVICES,
                probe=_closed,
                clock=self.loop.clock,
                user="admin",
                database=True,
            )
        except NodeError as error:
            return unreached(server.name, error)

    def _desired(self) -> Desired:
        servers = tuple(
            WantedServer(name=spec.name, address=spec.address, fqdn=spec.fqdn, release=Release.parse(spec.release))
            for spec in self.specs
        )
        return Desired(
            fleet=FLEET, servers=servers, policy=Policy(), inventory_sha256="0" * 64, databases=(self._database(),)
        )

    def _database(self) -> WantedDatabase:
        if self.wanted_ca is None:
            minting = Minting(
                server=self.nodes[0],
                ca="dbca",
                ca_common_name="example.com",
                server_certificate="dbserver",
                server_common_name="core1.example.com",
                client_certificate="dbclient",
            )
            return WantedDatabase(
                name=DATABASE, nodes=self.nodes, clients=self.clients, primary=self.primary, minting=minting
            )
        files = wanted_files(self.wanted_ca)
        _, server, _, client, ca = (_certificates(files, name) for name in FIVE)
        return WantedDatabase(
            name=DATABASE,
            nodes=self.nodes,
            clients=self.clients,
            primary=self.primary,
            server=dict.fromkeys(self.nodes, material("dbserver", server[0], ca)),
            client=dict.fromkeys(self.members, material("dbclient", client[0], ca)),
            ca=Bundle(name="dbca", certificates=ca),
        )

    def is_whole(self) -> bool:
        """Tell whether there is one cluster of all members, in sync, on certificates as the inventory wants them."""
        live = self.network.clusters()
        if len(live) != 1 or {live[0].primary, *live[0].in_sync, *live[0].clients} != set(self.members):
            return False
        copies = [self.network.node(name).copies for name in self.members]
        if any(held is None or flaw(held, self.loop.clock()) is not None for held in copies):
            return False
        shared = {(held.client_certificate, held.ca) for held in copies if held is not None}
        wanted = wanted_files(self.wanted_ca) if self.wanted_ca is not None else None
        return len(shared) == 1 and (wanted is None or {client for client, _ in shared} == {wanted[FIVE[3]]})

    def backed_up(self) -> frozenset[str]:
        """Return the rows that all backups hold together."""
        return frozenset(row for content in self.backups.values() for row in rows_in(content))


def wanted_files(ca: str) -> dict[str, bytes]:
    """Return what the inventory names."""
    return database_files(ca=ca, days_left=WANTED_DAYS)


def _certificates(files: dict[str, bytes], name: str) -> tuple[Certificate, ...]:
    return () if name.endswith(".key") else read_certificates(files[name], file=name)


def _keys(ca: str | None) -> dict[str, PrivateKey]:
    if ca is None:
        return {}
    files = wanted_files(ca)
    keys = [read_key(files[name], file=name) for name in FIVE if name.endswith(".key")]
    return {key.spki_sha256: key for key in keys}


async def _closed(_address: str, _port: int, _name: str) -> Reading[tuple[Certificate, ...]]:
    return ABSENT
