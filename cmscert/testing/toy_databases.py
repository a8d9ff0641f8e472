"""A database cluster in memory, a plan for it, and runs of it, on the lab's databases: no SSH, no waiting.

Rows can be lost here, and the run of a process can end at any event: ``ToyDatabases.apply`` is one start of the tool.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cmscert.apply.backups import backup_folder
from cmscert.apply.database import Records
from cmscert.apply.memory import Memory
from cmscert.apply.run import run_plan
from cmscert.apply.stop import Stop
from cmscert.errors import ConnectionLost, NodeError, Unreachable
from cmscert.lab.database import DatabaseNetwork
from cmscert.lab.database_commands import say
from cmscert.lab.database_node import DatabaseNode
from cmscert.lab.spec import DatabaseRole, DatabaseSpec, Faults, NodeSpec, Switches
from cmscert.mmp.services import SERVICES
from cmscert.model.desired import Bundle, Desired, Policy, WantedDatabase, WantedServer
from cmscert.model.events import Asked, Event, RunResult
from cmscert.model.names import Release
from cmscert.model.observed import ObservedServer
from cmscert.model.plan import Plan
from cmscert.model.readings import ABSENT, Reading, Unread
from cmscert.observe.server import observe_server
from cmscert.pki.certificate import Certificate
from cmscert.planning.make import Planned, make_plan
from cmscert.testing.ca import Issued, ThrowAwayCa
from cmscert.testing.fleets import material
from cmscert.testing.recorded import RecordedSession
from cmscert.testing.toy_node import WRONG, Fault

MOMENT = datetime(2026, 11, 23, 20, 30, tzinfo=UTC)
NODES = ("core1", "core2", "core3")
CLIENT = "core4"
ROWS = tuple(f"row-{number}" for number in range(6))
FIVE = ("old-s.key", "old-s.crt", "old-c.key", "old-c.crt", "old-ca.crt")


class Killed(Exception):
    """The process ended, without a word more."""


@cache
def authority() -> tuple[ThrowAwayCa, dict[str, Issued], dict[str, Issued]]:
    """Return the CA of the database, the wanted pairs and those that are due; by ``server`` and ``client``."""
    ca = ThrowAwayCa.root("DB CA")

    def issue(days_left: int, ago: int) -> dict[str, Issued]:
        start, end = MOMENT - timedelta(days=ago), MOMENT + timedelta(days=days_left)
        return {
            "server": ca.issue("core1.example.com", sans=("core1.example.com",), not_before=start, not_after=end),
            "client": ca.issue("postgres", not_before=start, not_after=end),
        }

    return ca, issue(199, 1), issue(8, 190)


@dataclass(kw_only=True)
class ToyDatabases:
    """Members by name. ``roles``: how they stand at the start; ``address``: of the n-th member is 10.0.0.(11 + n).

    ``faults``: by server and command as typed, once each. ``kill_at``: the number of the event, questions not counted,
    at which the process ends; its intention is on disk, what it was about is not sent. ``on_event`` is called with
    each event.
    """

    folder: Path
    nodes: tuple[str, ...] = NODES
    clients: tuple[str, ...] = (CLIENT,)
    primary: str = "core1"
    roles: dict[str, DatabaseRole] = field(default_factory=dict)
    switches: Switches = field(default_factory=Switches)
    lab_faults: dict[str, Faults] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)
    faults: dict[tuple[str, str], list[Fault]] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    kill_at: int | None = None
    on_event: Callable[[Event], None] | None = None
    events: list[Event] = field(default_factory=list)
    _counted: int = field(default=0, init=False)
    stop: Stop = field(default_factory=Stop)
    waited: float = 0.0
    typed: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in self.members:
            role: DatabaseRole = "client" if name in self.clients else "primary" if name == self.primary else "replica"
            self.roles.setdefault(name, role)
        self.network = DatabaseNetwork([DatabaseNode(self._spec(name)) for name in self.members], clock=self.clock)
        self.memory = Memory(self.folder, "toy")
        self.sessions = {name: self._session(name) for name in self.members}

    @property
    def members(self) -> tuple[str, ...]:
        """Nodes and clients."""
        return (*self.nodes, *self.clients)

    def address(self, name: str) -> str:
        """Return a member's address."""
        return f"10.0.0.{11 + self.members.index(name)}"

    def desired(self) -> Desired:
        """Return what is wanted: the new certificates everywhere."""
        ca, wanted, _ = authority()
        server = material("dbserver", wanted["server"].certificate, ca.bundle)
        client = material("dbclient", wanted["client"].certificate, ca.bundle)
        database = WantedDatabase(
            name="main",
            nodes=self.nodes,
            clients=self.clients,
            primary=self.nodes[0],
            server=dict.fromkeys(self.nodes, server),
            client=dict.fromkeys(self.members, client),
            ca=Bundle(name="dbca", certificates=ca.bundle),
        )
        servers = tuple(
            WantedServer(name=name, address=self.address(name), fqdn=f"{name}.example.com", release=Release(3, 9))
            for name in self.members
        )
        return Desired(
            fleet="toy", servers=servers, policy=self.policy, inventory_sha256="0" * 64, databases=(database,)
        )

    async def observe(self) -> dict[str, ObservedServer]:
        """Read every member that is up."""
        return {server.name: await self._observe(server) for server in self.desired().servers}

    async def plan(self) -> Planned:
        """Read, and plan with what was noted."""
        noted = self.memory.noted(["main"])
        return make_plan(
            self.desired(), await self.observe(), table=SERVICES, moment=self.clock(), tool_version="0", noted=noted
        )

    async def apply(self, planned: Planned | None = None) -> RunResult:
        """Run a plan, by default that of this moment. Raises Killed."""
        observed = await self.observe()
        planned = planned or await self.plan()
        run = f"run-{len(list(self.folder.glob('runs/*'))) + 1}"
        folder = self.folder / "runs" / run
        folder.mkdir(parents=True)
        self.events.clear()
        return await self.run(planned.plan, planned, observed, folder)

    async def run(self, plan: Plan, planned: Planned, observed: dict[str, ObservedServer], folder: Path) -> RunResult:
        """Run a plan on what was observed."""
        _, wanted, _ = authority()
        return await run_plan(
            plan,
            run=folder.name,
            sessions={name: session for name, session in self.sessions.items() if name not in self.down},
            observed=observed,
            contents=planned.contents,
            keys={issued.key.spki_sha256: issued.key for issued in wanted.values()},
            desired=self.desired(),
            table=SERVICES,
            probe=_probe,
            emit=self._emit,
            clock=self.clock,
            stop=self.stop,
            records=Records(keep=backup_folder(folder), remember=self.memory.remember, forget=self.memory.forget),
            sleep=self.sleep,
        )

    def clock(self) -> datetime:
        """Return a clock that moves only when somebody sleeps."""
        return MOMENT + timedelta(seconds=self.waited)

    async def sleep(self, seconds: float) -> None:
        """Let the clock move."""
        self.waited += seconds

    def commands(self, *verbs: str) -> list[tuple[str, str]]:
        """Return (server, verb) of what the databases were told, in order; of all verbs, or of these."""
        every = [(name, typed.split()[2]) for name, typed in self.typed if typed.startswith("database cluster ")]
        return [(name, verb) for name, verb in every if verb != "status" and (not verbs or verb in verbs)]

    def _emit(self, event: Event) -> None:
        self.events.append(event)
        self._counted += not isinstance(event, Asked)
        if self.kill_at is not None and self._counted >= self.kill_at:
            raise Killed
        if self.on_event is not None:
            self.on_event(event)

    def _spec(self, name: str) -> NodeSpec:
        ca, _, held = authority()
        role = self.roles[name]
        contents = (
            held["server"].key_pem,
            held["server"].certificate_pem,
            held["client"].key_pem,
            held["client"].certificate_pem,
            ca.bundle_pem,
        )
        files = dict(zip(FIVE, contents, strict=True))
        names = () if role == "none" else FIVE[2:] if name in self.clients else FIVE
        primary = next((each for each, of in self.roles.items() if of == "primary"), None)
        return NodeSpec(
            name=name,
            hostname=name,
            address=self.address(name),
            fqdn=f"{name}.example.com",
            files={file: files[file] for file in names},
            switches=self.switches,
            faults=self.lab_faults.setdefault(name, Faults()),
            start_delay=3.0,
            database=DatabaseSpec(
                role=role,
                rows=() if role in ("none", "client") else ROWS,
                files=names,
                interface="a" if names else None,
                primary=None if role in ("none", "primary") else primary,
            ),
        )

    def _session(self, name: str) -> RecordedSession:
        def answer(typed: str) -> str | NodeError | Callable[[], str | Awaitable[str]]:
            return self._answer(name, typed)

        store: dict[str, bytes | NodeError] = self.network.node(name).files  # type: ignore[assignment]  # no errors here
        store.setdefault("log", b"")
        return RecordedSession(
            server=name, script=answer, store=store, on_put=lambda _, content: content, on_remove=lambda _: None
        )

    def _answer(self, name: str, typed: str) -> str | NodeError | Callable[[], str | Awaitable[str]]:
        self.typed.append((name, typed))
        faults = self.faults.get((name, typed))
        fault = faults.pop(0) if faults else None
        if fault in {"cut", "lost"}:
            if fault == "lost":
                self._carry_out(name, typed)
            return ConnectionLost(name, "the connection ended")
        if fault is not None:
            return WRONG.get(fault, _never)
        return self._carry_out(name, typed)

    def _carry_out(self, name: str, typed: str) -> str:
        fixed = {"version": "3.9", "date": "nothing to read", "user list": "nobody"}
        if typed in fixed:
            return fixed[typed]
        if typed.startswith("pki match"):
            return "SUCCESS: Key and certificate match\n"
        if typed.startswith("pki verify"):
            return "SUCCESS: certificate verified\n"
        return say(self.network, name, typed, reply="Y")

    async def _observe(self, server: WantedServer) -> ObservedServer:
        if server.name in self.down:
            error = Unreachable(server.name, "no TCP connection")
            return ObservedServer(name=server.name, reached=Unread(error.message))
        return await observe_server(
            self.sessions[server.name],
            server,
            table=SERVICES,
            probe=_probe,
            clock=self.clock,
            user="admin",
            database=True,
        )

    def rows(self, names: Iterable[str] = ()) -> dict[str, frozenset[str]]:
        """Return which rows each node holds."""
        self.network.tick()
        return {name: frozenset(self.network.node(name).rows) for name in names or self.nodes}

    def is_whole(self) -> bool:
        """Tell whether there is one cluster with every member in it, in sync, on the wanted certificates."""
        clusters = self.network.clusters()
        wanted = {each.certificate_pem for each in authority()[1].values()}
        if len(clusters) != 1:
            return False
        members = {clusters[0].primary, *clusters[0].in_sync, *clusters[0].clients}
        held = [copies.client_certificate for name in self.members if (copies := self.network.node(name).copies)]
        return members == set(self.members) and len(held) == len(self.members) and set(held) <= wanted


async def _never() -> str:
    await asyncio.Event().wait()
    raise AssertionError("an event that nobody sets was set")


async def _probe(_address: str, _port: int, _name: str) -> Reading[tuple[Certificate, ...]]:
    return ABSENT
