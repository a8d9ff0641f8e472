"""One writer per fleet: on one machine by a lock file, between machines by lock files that the nodes carry."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cmscert.app.fleet import Reached, Sighted, unreached
from cmscert.app.holding import Writer, dead_runs, live_run, on_the_nodes, on_this_machine
from cmscert.app.ports import Ports
from cmscert.apply import lock as lock_module
from cmscert.apply.keeping import FleetLock
from cmscert.apply.lock import read_record, record_path
from cmscert.apply.stop import Stop
from cmscert.errors import ConnectionLost, LockHeld, NodeError, StalePlan, StoreRefused, UnexpectedAnswer, Unreachable
from cmscert.model.marker import Marker, is_marker, marker_content, marker_name, read_marker
from cmscert.model.observed import ObservedServer
from cmscert.model.readings import Known, Reading, Unread
from cmscert.pki.certificate import Certificate
from cmscert.testing.memory_session import Killed
from cmscert.testing.recorded import RecordedSession
from cmscert.testing.timeless import TimelessLoop, run_timeless

HERE = platform.node()
FILES = {"core.crt": b"core", "core.key": b"key", "log": b""}
SERVERS = ("core1", "core2", "edge1")
OWN = "20261123T220000Z-0a1b2c"
OTHER = "20261123T215900Z-ffffff"


@dataclass
class Node:
    """A store. ``trouble``: what ``put`` and ``remove`` raise. ``ahead``: its clock, None where it does not tell."""

    name: str
    loop: TimelessLoop
    ahead: timedelta | None = None
    trouble: dict[str, NodeError] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.files: dict[str, bytes | NodeError] = dict(FILES)
        self.session = RecordedSession(
            server=self.name,
            script=self._answer,
            store=self.files,
            on_put=self._put,
            on_remove=lambda _: self._meet("remove"),
        )

    @property
    def locks(self) -> list[str]:
        """The lock files in the store."""
        return sorted(filter(is_marker, self.files))

    def marker(self, run: str = OWN) -> Marker:
        """Read a lock file."""
        content = self.files[marker_name(run)]
        assert isinstance(content, bytes)
        reading = read_marker(marker_name(run), content)
        assert isinstance(reading, Known)
        return reading.value

    def observe(self) -> ObservedServer:
        """Read it as a plan does."""
        skew: Reading[float] = Unread("no") if self.ahead is None else Known(self.ahead.total_seconds())
        return ObservedServer(
            name=self.name,
            reached=Known(value=True),
            clock_skew=skew,
            files=Known(tuple(sorted(self.files))),
            markers=tuple(
                read_marker(name, content)
                for name, content in self.files.items()
                if is_marker(name) and isinstance(content, bytes)
            ),
        )

    def _answer(self, _typed: str) -> str:
        if self.ahead is None:
            return "Unknown command\n"
        return f"{self.loop.clock() + self.ahead:%a %b %d %H:%M:%S UTC %Y}\n"

    def _meet(self, what: str) -> None:
        if error := self.trouble.get(what):
            raise error

    def _put(self, _name: str, content: bytes) -> bytes:
        self._meet("put")
        return content


@dataclass
class Scene:
    """Nodes, a state directory, and what was said."""

    folder: Path
    loop: TimelessLoop = field(default_factory=TimelessLoop)
    said: list[str] = field(default_factory=list)
    asleep: timedelta = timedelta()
    sleeping: bool = True

    def __post_init__(self) -> None:
        self.nodes = {name: Node(name, self.loop) for name in SERVERS}
        self.stop = Stop()

    def clock(self) -> datetime:
        """Tell our time; ``asleep`` is what the machine has slept."""
        return self.loop.clock() + self.asleep

    @property
    def ports(self) -> Ports:
        """The ports of a run: only clock and voice are used."""
        return Ports(reader=_nothing, writer=_nothing, probe=_closed, clock=self.clock, say=self.said.append)

    def writer(self, run: str = OWN, **more: Any) -> Writer:  # noqa: ANN401 - fields of a writer
        """Name a run."""
        values = {"fleet": "video", "run": run, "owner": "ann", "machine": HERE, "command": "apply", **more}
        return Writer(**values)

    def foreign(self, *servers: str, run: str = OTHER, ago: float = 0.0, state: Any = "held") -> None:  # noqa: ANN401 - of a marker
        """Let nodes carry the lock file of a run elsewhere, written some minutes ago."""
        at = self.clock() - timedelta(minutes=ago)
        for server in servers:
            marker = Marker(
                file=marker_name(run),
                fleet="video",
                owner="bob",
                machine="desk3",
                run=run,
                since=at,
                until=at + timedelta(minutes=10),
                state=state,
            )
            self.nodes[server].files[marker.file] = marker_content(marker)

    @asynccontextmanager
    async def held(
        self,
        *,
        writer: Writer | None = None,
        folder: Path | None = None,
        away: Mapping[str, NodeError] | None = None,
        must: frozenset[str] = frozenset(SERVERS),
        observed: Mapping[str, ObservedServer] | None = None,
        held: frozenset[str] | None = None,
    ) -> AsyncIterator[None]:
        """Hold the fleet as a run does."""
        lost = away or {}
        seen = {
            name: unreached(name, lost[name]) if name in lost else node.observe() for name, node in self.nodes.items()
        } | dict(observed or {})
        reached = Reached(
            sessions={name: node.session for name, node in self.nodes.items() if name not in lost}, failures=lost
        )
        chosen = writer or self.writer()
        with on_this_machine(folder or self.folder, chosen, self.ports):
            async with on_the_nodes(
                chosen,
                reached,  # type: ignore[arg-type]  # a recorded session is one that writes
                Sighted(observed=seen, failures=lost),
                self.ports,
                self.stop,
                state_dir=folder or self.folder,
                must=must,
                held=held,
            ):
                yield

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run in a loop in which waiting takes no time."""
        run_timeless(self.loop, work)

    @property
    def locks(self) -> dict[str, list[str]]:
        """The lock files in the stores that have any."""
        return {name: node.locks for name, node in self.nodes.items() if node.locks}


def _nothing(*_: object) -> Any:  # noqa: ANN401 - never called
    raise AssertionError("no session is opened here")


async def _closed(_address: str, _port: int, _name: str) -> Reading[tuple[Certificate, ...]]:
    raise AssertionError("no port is looked at here")


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """Three nodes, and nobody who holds them."""
    monkeypatch.setattr(lock_module, "ATTEMPT", 0.05)
    made = Scene(tmp_path / "state")
    yield made
    made.loop.close()


def refused(scene: Scene, error: type[Exception], **how: Any) -> Any:  # noqa: ANN401 - arguments of held, an error
    """Hold that a run is refused and leaves nothing of its own behind."""

    async def work() -> None:
        async with scene.held(**how):
            raise AssertionError("it was not refused")

    with pytest.raises(error) as caught:
        scene.run(work())
    assert not any(OWN in name for names in scene.locks.values() for name in names)
    return caught.value


def test_held_everywhere_and_left_clean(scene: Scene) -> None:
    """While a run goes on every node carries its lock file, and afterwards all is as it was before."""

    async def work() -> None:
        async with scene.held():
            assert scene.locks == {name: [marker_name(OWN)] for name in SERVERS}
            assert live_run(scene.folder, "video") == OWN
            states = [node.marker().state for node in scene.nodes.values()]
            assert states == ["waiting", "marking", "marking"]

    scene.run(work())

    assert all(node.files == FILES for node in scene.nodes.values())
    assert not record_path(scene.folder, "video").exists()
    assert scene.said == []
    assert scene.stop.why is None


def test_few_round_trips(scene: Scene) -> None:
    """Taking the fleet costs two writes and two looks on the node that decides, one of each on the others."""

    async def work() -> None:
        async with scene.held():
            pass

    scene.run(work())
    heard = {name: [kind for kind, _ in node.session.heard] for name, node in scene.nodes.items()}

    assert heard["core1"] == ["put", "list", "put", "list", "remove"]
    assert heard["core2"] == heard["edge1"] == ["put", "list", "remove"]


def test_taken_away_after_a_failure(scene: Scene) -> None:
    """A run that fails, or is cancelled, takes its lock files away."""
    for error in (RuntimeError("a bug"), asyncio.CancelledError(), KeyboardInterrupt()):

        async def work(error: BaseException = error) -> None:
            async with scene.held():
                raise error

        with pytest.raises(type(error)):
            asyncio.run(work())
        assert scene.locks == {}
        assert not record_path(scene.folder, "video").exists()


def test_another_run_is_told(scene: Scene) -> None:
    """When a node carries another's lock file, it is said whose, where, until when, and what to do."""
    scene.foreign("edge1")
    error = refused(scene, LockHeld)

    for word in ("edge1", "bob", "desk3", OTHER, "by its clock"):
        assert word in error.message
    assert "--allow foreign-lock" in error.hint
    assert scene.locks == {"edge1": [marker_name(OTHER)]}


@pytest.mark.parametrize("state", ["waiting", "marking", "held"])
def test_the_deciding_node_refuses_at_the_door(scene: Scene, state: str) -> None:
    """On the node that decides nothing but the first lock file is written when another holds it."""
    scene.foreign("core1", state=state)
    refused(scene, LockHeld)

    assert [kind for kind, _ in scene.nodes["core1"].session.heard] == ["put", "list", "read", "remove"]
    assert scene.nodes["core2"].session.heard == []


def test_one_who_is_choosing_is_waited_for(scene: Scene) -> None:
    """Somebody who is about to decide and never does is waited for, ten seconds."""
    scene.foreign("core1", run="20261123T215900Z-000000", state="choosing")
    began = scene.loop.time()
    error = refused(scene, LockHeld)

    assert "bob" in error.message
    assert scene.loop.time() - began == pytest.approx(10, abs=1)


def test_a_file_that_cannot_be_read_is_waited_for(scene: Scene) -> None:
    """A lock file that cannot be read may be half written; when that does not end, it is named."""
    scene.nodes["core1"].files[marker_name(OTHER)] = b"# cmscert-lo"
    error = refused(scene, LockHeld)
    assert f"core1: {marker_name(OTHER)} is no lock file that can be read: it is not whole" in error.message
    assert "--allow foreign-lock" in error.hint


def test_a_file_that_cannot_be_read_on_another_node(scene: Scene) -> None:
    """On the other nodes a lock file that cannot be read refuses as well."""
    scene.nodes["edge1"].files[marker_name(OTHER)] = b""
    error = refused(scene, LockHeld)

    assert "edge1" in error.message


@pytest.mark.parametrize("server", ["core1", "edge1"])
def test_more_lock_files_than_anybody_means_well_with(scene: Scene, server: str) -> None:
    """A node full of lock files costs a few reads, and refuses."""
    for number in range(500):
        scene.foreign(server, run=f"20261123T215900Z-{number:06x}", ago=60)
    error = refused(scene, LockHeld)

    assert "there are 500 lock files" in error.message
    assert len(scene.nodes[server].session.typed("read")) < 20


def test_expired_lock_is_taken_over(scene: Scene) -> None:
    """A lock file that has expired is removed, and that is said."""
    scene.foreign("core1", "edge1", ago=11)

    async def work() -> None:
        async with scene.held():
            assert scene.locks == {name: [marker_name(OWN)] for name in SERVERS}

    scene.run(work())

    (said,) = scene.said
    assert said.startswith(f"core1, edge1: the lock of run {OTHER} of bob on desk3 is taken over: it has expired")
    assert scene.locks == {}


def test_expiry_is_by_the_clock_of_the_node(scene: Scene) -> None:
    """A lock file that was written eleven minutes ago by our clock counts where the node's clock is behind."""
    scene.nodes["core2"].ahead = timedelta(minutes=-5)
    scene.foreign("core2", ago=11)

    refused(scene, LockHeld)


def test_lock_is_written_by_the_clock_of_the_node(scene: Scene) -> None:
    """What this run writes holds for ten minutes by the clock of the node that carries it."""
    scene.nodes["core2"].ahead = timedelta(hours=3)

    async def work() -> None:
        async with scene.held():
            assert scene.nodes["core2"].marker().until - scene.clock() == timedelta(hours=3, minutes=10)

    scene.run(work())


def test_what_the_plan_showed_can_be_passed(scene: Scene) -> None:
    """With --allow foreign-lock the lock files that the plan showed are taken over, readable or not."""
    scene.foreign("core1")
    scene.nodes["edge1"].files[marker_name(OTHER)] = b""

    async def work() -> None:
        async with scene.held(writer=scene.writer(allow=("foreign-lock",))):
            assert scene.locks == {name: [marker_name(OWN)] for name in SERVERS}

    scene.run(work())
    assert OTHER in scene.said[0]


def test_what_the_plan_did_not_show_cannot(scene: Scene) -> None:
    """--allow foreign-lock is no way past a run that began after the plan was shown."""
    before = {name: node.observe() for name, node in scene.nodes.items()}
    scene.foreign("core1")

    refused(scene, LockHeld, writer=scene.writer(allow=("foreign-lock",)), observed=before)


def test_own_dead_run_is_taken_over_at_once(scene: Scene) -> None:
    """After kill -9 the next run on the same machine takes over, and says both."""

    async def killed() -> None:
        async with scene.held(writer=scene.writer(OTHER)):
            for node in scene.nodes.values():  # dead processes take nothing away
                node.trouble["remove"] = ConnectionLost(node.name, "gone")
            raise Killed

    with pytest.raises(Killed):
        asyncio.run(killed())
    assert scene.locks == {name: [marker_name(OTHER)] for name in SERVERS}
    for node in scene.nodes.values():
        node.trouble.clear()
    scene.said.clear()
    assert dead_runs(scene.folder, "video", HERE) == {OTHER}

    async def work() -> None:
        async with scene.held():
            assert scene.locks == {name: [marker_name(OWN)] for name in SERVERS}

    scene.run(work())

    assert scene.said[0].startswith(f"the lock of ann on {HERE}")
    assert scene.said[0].endswith("is taken over: it has died")
    assert scene.said[1].endswith("it died on this machine")
    assert scene.locks == {}
    assert dead_runs(scene.folder, "video", HERE) == frozenset()


def test_same_user_on_the_same_machine_is_not_enough(scene: Scene, tmp_path: Path) -> None:
    """Two state directories of one machine do not take each other's runs for dead."""

    async def work() -> None:
        async with scene.held(writer=scene.writer(OTHER), folder=tmp_path / "else"):
            with pytest.raises(LockHeld):
                async with scene.held():
                    pass
            assert scene.locks == {name: [marker_name(OTHER)] for name in SERVERS}

    scene.run(work())


@pytest.mark.parametrize("turns", range(12))
def test_two_at_once(scene: Scene, tmp_path: Path, turns: int) -> None:
    """Of two who begin at almost the same moment exactly one runs, and the other changes nothing."""
    outcomes: list[str] = []

    async def one(run: str, wait: int) -> None:
        for _ in range(wait):
            await asyncio.sleep(0)
        try:
            async with scene.held(writer=scene.writer(run), folder=tmp_path / run):
                await asyncio.sleep(60)
                outcomes.append("ran")
        except LockHeld:
            outcomes.append("refused")

    async def work() -> None:
        await asyncio.gather(one(OWN, turns), one(OTHER, turns % 3))

    scene.run(work())

    assert sorted(outcomes) == ["ran", "refused"]
    assert scene.locks == {}


def test_two_shards_at_once(scene: Scene, tmp_path: Path) -> None:
    """Two who hold no node in common both run; while they do, each node carries the lock file of its own."""
    inside: list[str] = []

    async def one(run: str, *servers: str) -> None:
        shard = frozenset(servers)
        async with scene.held(writer=scene.writer(run), folder=tmp_path / run, must=shard, held=shard):
            inside.append(run)
            await asyncio.sleep(60)
            assert len(inside) == 2
            assert {name: names[0] for name, names in scene.locks.items()} == {
                "core1": marker_name(OWN),
                "core2": marker_name(OWN),
                "edge1": marker_name(OTHER),
            }
            await asyncio.sleep(60)

    async def work() -> None:
        await asyncio.gather(one(OWN, "core1", "core2"), one(OTHER, "edge1"))

    scene.run(work())
    assert scene.locks == {}


@pytest.mark.parametrize("turns", range(12))
@pytest.mark.parametrize("others", [("core2", "edge1"), ("core1", "core2", "edge1"), ("core2",)])
def test_two_shards_that_meet(scene: Scene, tmp_path: Path, turns: int, others: tuple[str, ...]) -> None:
    """Of two who want a node in common exactly one runs, whichever node each begins with."""
    outcomes: list[str] = []

    async def one(run: str, wait: int, *servers: str) -> None:
        for _ in range(wait):
            await asyncio.sleep(0)
        shard = frozenset(servers)
        try:
            async with scene.held(writer=scene.writer(run), folder=tmp_path / run, must=shard, held=shard):
                await asyncio.sleep(60)
                outcomes.append("ran")
        except LockHeld:
            outcomes.append("refused")

    async def work() -> None:
        await asyncio.gather(one(OWN, turns, "core1", "core2"), one(OTHER, turns % 5, *others))

    scene.run(work())

    assert sorted(outcomes) == ["ran", "refused"]
    assert scene.locks == {}


@pytest.mark.parametrize("where", ["held", "elsewhere", "unread"])
def test_a_shard_and_a_run_that_died(scene: Scene, where: str) -> None:
    """What a dead run may have left outside of a shard is remembered, as long as it may be there."""

    async def killed() -> None:
        async with scene.held(writer=scene.writer(OTHER), held=frozenset({"core1"})):
            raise Killed

    with pytest.raises(Killed):
        asyncio.run(killed())
    scene.foreign("core1")
    shard = frozenset({"core2"} if where == "elsewhere" else {"core1"})
    unread = {"edge1": replace(scene.nodes["edge1"].observe(), files=Unread("no"))} if where == "unread" else {}

    async def work() -> None:
        async with scene.held(must=shard, held=shard, observed=unread):
            pass

    scene.run(work())
    remembered = OTHER in dead_runs(scene.folder, "video", HERE)
    assert remembered is (where != "held")
    assert bool(scene.locks) is (where == "elsewhere")


def test_writers_who_reach_different_nodes(scene: Scene, tmp_path: Path) -> None:
    """Two who do not reach the same node first are never both in, because the nodes that both reach tell."""
    inside: list[str] = []

    async def one(run: str, away: str, wait: int) -> None:
        for _ in range(wait):
            await asyncio.sleep(0)
        with suppress(LockHeld):
            async with scene.held(
                writer=scene.writer(run),
                folder=tmp_path / f"{run}-{wait}",
                away={away: Unreachable(away, "no")},
                must=frozenset({"core2"}),
            ):
                inside.append(run)
                assert len(inside) == 1
                await asyncio.sleep(60)
                inside.remove(run)

    async def work() -> None:
        for wait in range(16):
            await asyncio.gather(one(OWN, "core1", wait), one(OTHER, "edge1", 8))

    scene.run(work())
    assert scene.locks == {}


def test_second_on_this_machine(scene: Scene) -> None:
    """A second run with the same state directory is refused before any node is asked."""

    async def work() -> None:
        async with scene.held(writer=scene.writer(OTHER)):
            heard = len(scene.nodes["core1"].session.heard)
            with pytest.raises(LockHeld, match="ann on"):
                async with scene.held():
                    pass
            assert len(scene.nodes["core1"].session.heard) == heard

    scene.run(work())


def test_changed_files_are_a_stale_plan(scene: Scene) -> None:
    """When files came or went since the plan was made, the run is refused and everything given back."""
    before = {name: node.observe() for name, node in scene.nodes.items()}
    scene.nodes["edge1"].files["new.crt"] = b"new"
    del scene.nodes["core1"].files["core.key"]
    error = refused(scene, StalePlan, observed=before)

    assert (
        error.message
        == "nothing was changed: files changed since the plan was made: core1: core.key is gone and 1 more"
    )


def test_what_is_no_material_may_come_and_go(scene: Scene) -> None:
    """Logs and backups, and lists that could not be read, make no plan stale."""
    before = {name: node.observe() for name, node in scene.nodes.items()}
    before["edge1"] = replace(before["edge1"], files=Unread("no"))
    scene.nodes["core1"].files["trace.pcap"] = b""
    scene.nodes["edge1"].files["new.crt"] = b""

    async def work() -> None:
        async with scene.held(observed=before):
            pass

    scene.run(work())


@pytest.mark.parametrize("server", ["core1", "edge1"])
def test_node_that_takes_no_lock_file(scene: Scene, server: str) -> None:
    """A node that the plan changes and that takes no lock file ends the run before it began."""
    scene.nodes[server].trouble["put"] = StoreRefused(server, "no space left")

    refused(scene, StoreRefused)


@pytest.mark.parametrize("server", ["core1", "edge1"])
def test_node_that_is_not_changed_is_passed_over(scene: Scene, server: str) -> None:
    """A node that the plan leaves alone need not carry a lock file; the next one decides then."""
    scene.nodes[server].trouble["put"] = StoreRefused(server, "no space left")

    async def work() -> None:
        async with scene.held(must=frozenset({"core2"})):
            assert set(scene.locks) == set(SERVERS) - {server}

    scene.run(work())
    assert scene.locks == {}


def test_held_is_told_before_full(scene: Scene) -> None:
    """When one node is full and another is held, it is told who holds it."""
    scene.nodes["core2"].trouble["put"] = StoreRefused("core2", "no space left")
    scene.foreign("edge1")

    refused(scene, LockHeld)


def test_node_that_lies(scene: Scene) -> None:
    """A node that takes a lock file and does not list it cannot carry one."""
    node = scene.nodes["core1"]

    class Forgetful(dict[str, bytes | NodeError]):
        def __setitem__(self, name: str, content: bytes | NodeError) -> None:
            if not is_marker(name):
                super().__setitem__(name, content)

    node.session.store = Forgetful(node.files)
    error = refused(scene, UnexpectedAnswer)

    assert "does not list it" in error.message


def test_nothing_reached(scene: Scene) -> None:
    """Where no node was reached there is nothing to carry a lock file."""

    async def work() -> None:
        async with scene.held(away={name: Unreachable(name, "no") for name in SERVERS}, must=frozenset()):
            assert scene.locks == {}

    scene.run(work())


def test_too_slow_to_be_sure(scene: Scene) -> None:
    """Whoever took longer than its lock file holds does not go on: others may have taken it for dead."""
    node = scene.nodes["core1"]

    def slow(_name: str, content: bytes) -> bytes:
        scene.asleep += timedelta(minutes=6)
        return content

    node.session.on_put = slow
    error = refused(scene, LockHeld)

    assert "too slow" in error.message


def test_renewed_while_it_goes_on(scene: Scene) -> None:
    """A run that takes hours keeps its lock files, and never writes more often than it needs to."""

    async def work() -> None:
        async with scene.held():
            await asyncio.sleep(7200)
            for node in scene.nodes.values():
                assert node.marker().until > scene.clock() + timedelta(minutes=6)
                assert node.marker().state == "held"
            assert not scene.stop.is_soft
            assert len(scene.nodes["core2"].session.typed("put")) < 40

    scene.run(work())
    assert scene.locks == {}


LOST: dict[str, tuple[Callable[[Scene], object], str]] = {
    "gone": (
        lambda scene: scene.nodes["edge1"].files.pop(marker_name(OWN)),
        "edge1: the lock file of this run is gone: another run has taken its place",
    ),
    "written over": (
        lambda scene: scene.nodes["edge1"].files.update({marker_name(OWN): b"mine"}),
        "edge1: somebody else wrote to the lock file of this run",
    ),
    "another holds it": (
        lambda scene: scene.foreign("core2"),
        f"core2: bob on desk3 (cmscert apply, run {OTHER}) has a lock file there too",
    ),
    "the clock jumped": (
        lambda scene: setattr(scene.nodes["core1"], "ahead", timedelta(hours=1)),
        "core1: the lock file of this run was not renewed in time",
    ),
}


@pytest.mark.parametrize("way", LOST)
def test_lock_that_is_lost_stops_the_run(scene: Scene, way: str) -> None:
    """A lock file that is lost ends the run softly at the next renewal, and it is said why."""
    lose, why = LOST[way]

    async def work() -> None:
        async with scene.held():
            assert not scene.stop.is_soft
            lose(scene)
            await asyncio.sleep(230)
            assert scene.stop.is_soft
            assert not scene.stop.is_hard

    scene.run(work())

    assert scene.stop.why == why
    assert scene.said == [f"stopping when the services in hand are done: {why}"]


def test_one_who_only_asks_does_not_stop_a_run(scene: Scene) -> None:
    """Another who is about to find out that the fleet is held does not end the run that holds it."""

    async def work() -> None:
        async with scene.held():
            for state in ("choosing", "waiting", "marking"):
                scene.foreign("core1", state=state)
                await asyncio.sleep(230)
                assert not scene.stop.is_soft

    scene.run(work())


def test_clock_that_is_set_a_little(scene: Scene) -> None:
    """A node whose clock was set by a minute is renewed by its new clock."""
    for node in scene.nodes.values():
        node.ahead = timedelta()

    async def work() -> None:
        async with scene.held():
            scene.nodes["core2"].ahead = timedelta(minutes=-60)
            await asyncio.sleep(201)
            late = scene.nodes["core2"].marker().until - scene.clock()
            assert timedelta(minutes=-51) < late < timedelta(minutes=-49)
            assert not scene.stop.is_soft

    scene.run(work())


def test_node_that_starts_again(scene: Scene) -> None:
    """A node that cannot be reached for some minutes ends nothing, even when a renewal was cut off half written."""
    node = scene.nodes["core2"]

    async def work() -> None:
        async with scene.held():
            await asyncio.sleep(195)
            real = node.session.on_put

            def cut(name: str, content: bytes) -> bytes:
                node.files[name] = content[:20]
                raise ConnectionLost("core2", "the connection ended")

            node.session.on_put = cut
            await asyncio.sleep(200)
            assert not scene.stop.is_soft
            node.session.on_put = real
            await asyncio.sleep(400)
            assert not scene.stop.is_soft
            assert node.marker().state == "held"

    scene.run(work())


def test_node_that_does_not_come_back(scene: Scene) -> None:
    """A lock file that could not be renewed in time ends the run before its next step."""

    async def work() -> None:
        async with scene.held():
            scene.nodes["core2"].trouble["put"] = ConnectionLost("core2", "the connection ended")
            await asyncio.sleep(500)
            assert not scene.stop.is_soft
            await asyncio.sleep(100)
            assert scene.stop.is_soft

    scene.run(work())
    assert scene.stop.why == "core2: the lock file of this run could not be renewed in time"


def test_machine_that_slept(scene: Scene) -> None:
    """A laptop that was closed for half an hour sends nothing more, before any timer has run."""

    async def work() -> None:
        async with scene.held():
            scene.asleep = timedelta(minutes=30)
            assert scene.stop.is_soft

    scene.run(work())
    assert "could not be renewed in time" in str(scene.stop.why)


def test_what_cannot_be_taken_away(scene: Scene) -> None:
    """A lock file that stays is named, and the next run of this machine knows it for dead."""
    scene.nodes["edge1"].trouble["remove"] = ConnectionLost("edge1", "the connection ended")

    async def work() -> None:
        async with scene.held(writer=scene.writer(OTHER)):
            pass

    scene.run(work())
    assert scene.said == ["edge1: the lock file of this run may be left there; it counts for 10 minutes"]
    assert dead_runs(scene.folder, "video", HERE) == {OTHER}
    assert live_run(scene.folder, "video") is None

    scene.nodes["edge1"].trouble.clear()
    scene.loop = TimelessLoop()
    scene.said.clear()

    async def again() -> None:
        async with scene.held():
            pass

    scene.run(again())
    assert [line for line in scene.said if "has died" in line] == []
    assert scene.locks == {}
    assert not record_path(scene.folder, "video").exists()


def test_unreached_nodes_may_still_carry_it(scene: Scene) -> None:
    """As long as a node is not reached, what a dead run may have left there is remembered."""

    async def killed() -> None:
        async with scene.held(writer=scene.writer(OTHER)):
            raise Killed

    with pytest.raises(Killed):
        asyncio.run(killed())

    async def work() -> None:
        async with scene.held(away={"edge1": Unreachable("edge1", "no")}, must=frozenset({"core1"})):
            pass

    scene.run(work())
    assert OTHER in dead_runs(scene.folder, "video", HERE)
    record = read_record(scene.folder, "video")
    assert record is not None
    assert record.ended


def test_silent_node_in_the_end(scene: Scene) -> None:
    """A node that does not answer in the end holds a run up for ten seconds, not for ever."""
    forever = asyncio.Event()

    async def silent(_name: str) -> None:
        await forever.wait()

    async def work() -> None:
        async with scene.held():
            scene.nodes["edge1"].session.remove_file = silent  # type: ignore[method-assign]  # a node that hangs

    scene.run(work())
    assert scene.loop.time() <= 11
    assert "edge1" in scene.said[0]


def test_bug_in_the_renewal_shows(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody foresaw in the renewal ends as a bug, not in silence."""

    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(FleetLock, "keep", broken)

    async def work() -> None:
        async with scene.held():
            await asyncio.sleep(1)

    with pytest.raises(ZeroDivisionError):
        scene.run(work())
    assert scene.locks == {}


def test_record_of_another_machine(scene: Scene) -> None:
    """A state directory that machines share is named as what it is, and nothing in it is taken for dead."""
    with pytest.raises(Killed), on_this_machine(scene.folder, scene.writer(OTHER, machine="elsewhere"), scene.ports):
        raise Killed
    scene.foreign(*SERVERS)
    refused(scene, LockHeld)

    assert "was written on elsewhere" in scene.said[0]
    assert "--state-dir" in scene.said[0]


def test_record_that_cannot_be_read(scene: Scene) -> None:
    """A damaged record is no reason to refuse, but it is said."""
    record_path(scene.folder, "video").parent.mkdir(parents=True)
    record_path(scene.folder, "video").write_text("{")
    with on_this_machine(scene.folder, scene.writer(), scene.ports):
        pass

    assert "cannot be read" in scene.said[0]


def test_record_that_vanishes(scene: Scene) -> None:
    """When the record is removed while the run goes on, the run ends as if nothing were."""

    async def work() -> None:
        async with scene.held():
            record_path(scene.folder, "video").unlink()

    scene.run(work())
    assert scene.locks == {}
    assert os.listdir(scene.folder / "locks") == ["video.lock"]  # noqa: PTH208 - names are enough
