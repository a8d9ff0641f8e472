from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from cmscert.app.fleet import Entry, Sighted, entries, observe, reach, sight, unreached
from cmscert.app.ports import Ports, no_note
from cmscert.errors import ConnectionLost, InputError, NodeError, SecretError, Unreachable
from cmscert.model.desired import Desired, Policy, WantedServer
from cmscert.model.login import Login, SecretRef
from cmscert.model.readings import Unread
from cmscert.transport.credentials import Credentials
from cmscert.transport.session import ReadSession

NAMES = ("core1", "core2", "core3")


def login(name: str, **changes: Any) -> Login:  # noqa: ANN401 - fields of many types
    """Make a login."""
    fields = {"server": name, "address": "10.0.0.1", "user": "admin", "known_hosts": "known_hosts", **changes}
    return Login(**fields)


def wanted(*names: str) -> dict[str, Entry]:
    """Make what is needed to log in; the doors of these tests look at the name only."""
    return {name: (login(name), Credentials(), cast("Any", None)) for name in names}


class Doors:
    """Opens sessions as a test says: ``acts`` by server; counts how many are opening and open."""

    def __init__(self, **acts: Callable[[], Any]) -> None:
        self.acts = acts
        self.opening = self.most = self.open = 0
        self.two_open = asyncio.Event()

    @asynccontextmanager
    async def __call__(self, entry: Login, _credentials: object, _hosts: object) -> AsyncIterator[ReadSession]:
        """Open one."""
        self.opening += 1
        self.most = max(self.most, self.opening)
        try:
            await asyncio.sleep(0)
            act = self.acts.get(entry.server)
            if act is not None:
                await act()
        finally:
            self.opening -= 1
        self.open += 1
        if self.open == 2:
            self.two_open.set()
        try:
            yield cast("Any", entry.server)
        finally:
            self.open -= 1


def fails(error: Exception) -> Callable[[], Any]:
    """Fail with an error."""

    async def act() -> None:
        raise error

    return act


async def hangs() -> None:
    """Never answer."""
    await asyncio.Event().wait()


async def test_sessions_are_held_and_closed() -> None:
    """All sessions are open at once inside, and closed afterwards."""
    doors = Doors()
    async with reach(wanted(*NAMES), doors) as reached:
        assert doors.open == 3
        assert set(reached.sessions) == set(NAMES)
    assert doors.open == 0


async def test_no_server_is_no_problem() -> None:
    """An empty fleet opens nothing."""
    async with reach({}, Doors()) as reached:
        assert (reached.sessions, reached.failures) == ({}, {})


@pytest.mark.parametrize(("parallel", "most"), [(1, 1), (2, 2), (50, 3)])
async def test_only_connecting_is_limited(parallel: int, most: int) -> None:
    """So many connect at a time, and all are held at once."""
    doors = Doors()
    async with reach(wanted(*NAMES), doors, parallel=parallel):
        assert (doors.most, doors.open) == (most, 3)


async def test_one_that_cannot_be_reached_stops_no_other() -> None:
    """The error is kept beside the sessions of the others."""
    error = Unreachable("core2", "no answer")
    async with reach(wanted(*NAMES), Doors(core2=fails(error))) as reached:
        assert set(reached.sessions) == {"core1", "core3"}
        assert reached.failures == {"core2": error}


async def test_a_bug_ends_everything() -> None:
    """What nobody foresaw is raised, and what is still connecting is given up."""
    doors = Doors(core1=fails(RuntimeError("bug")), core2=hangs)
    with pytest.raises(RuntimeError, match="bug"):
        async with reach(wanted(*NAMES), doors):
            raise AssertionError("not reached")
    assert (doors.open, doors.opening) == (0, 0)


async def test_an_interrupt_does_not_wait_for_time_outs() -> None:
    """Ctrl-C while connecting gives up at once and closes what is open."""
    doors = Doors(core2=hangs)

    async def use() -> None:
        async with reach(wanted(*NAMES), doors):
            raise AssertionError("not reached")

    task = asyncio.create_task(use())
    await doors.two_open.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (doors.open, doors.opening) == (0, 0)


class Lost:
    """A session that ends at the first question."""

    server = "core1"

    async def _lost(self, *_: object) -> Any:  # noqa: ANN401 - it returns nothing
        raise ConnectionLost("core1", "the connection ended")

    ask = list_files = read_file = read_tail = _lost


async def test_a_connection_that_ends_is_unread() -> None:
    """A server that is lost while it is read is Unread with the reason, and the log is told."""
    noted: list[tuple[str, object]] = []

    def note(event: str, /, **facts: object) -> None:
        noted.append((event, facts.get("server")))

    @asynccontextmanager
    async def opener(*_: object) -> AsyncIterator[ReadSession]:
        yield cast("Any", Lost())

    async def probe(*_: object) -> Any:  # noqa: ANN401 - never called
        raise AssertionError("nothing to probe")

    ports = Ports(reader=opener, writer=cast("Any", opener), probe=probe, note=note)
    server = WantedServer(name="core1", address="", fqdn="")
    desired = Desired(fleet="example", servers=(server,), policy=Policy(), inventory_sha256="")
    entry = wanted("core1")
    async with reach(entry, ports.reader) as reached:
        sighted = await observe(reached, desired, entry, ports)

    assert isinstance(sighted.observed["core1"].reached, Unread)
    assert [event for event, server in noted if server == "core1"]


def look_at(*names: str, opener: Any, parallel: int = 50) -> Any:  # noqa: ANN401 - any door, a coroutine
    """Read servers of which nothing is wanted."""

    async def probe(*_: object) -> Any:  # noqa: ANN401 - never called
        raise AssertionError("nothing to probe")

    servers = tuple(WantedServer(name=name, address="", fqdn="") for name in names)
    desired = Desired(fleet="example", servers=servers, policy=Policy(), inventory_sha256="")
    ports = Ports(reader=opener, writer=opener, probe=probe)
    return sight(wanted(*names), opener, desired, ports, parallel=parallel)


class LostDoors(Doors):
    """Sessions that end at the first question."""

    @asynccontextmanager
    async def __call__(self, entry: Login, credentials: object, hosts: object) -> AsyncIterator[ReadSession]:
        """Open one."""
        async with super().__call__(entry, credentials, hosts):
            yield cast("Any", Lost())


async def test_whoever_only_reads_lets_go_of_each_server() -> None:
    """A server that was read, or lost meanwhile, is logged out of; how many connect at a time is kept."""
    doors = LostDoors()
    sighted = await look_at(*NAMES, opener=doors, parallel=2)
    assert (doors.most, doors.open) == (2, 0)
    assert list(sighted.observed) == list(NAMES)
    assert all(isinstance(each.reached, Unread) for each in sighted.observed.values())


async def test_one_that_cannot_be_reached_keeps_no_other_from_being_read() -> None:
    """Its error is kept, in the order of the inventory, whoever failed first."""
    slow = asyncio.Event()

    async def fails_late() -> None:
        await slow.wait()
        raise Unreachable("core1", "no answer")

    async def fails_first() -> None:
        slow.set()
        raise Unreachable("core2", "no answer")

    sighted: Sighted = await look_at(*NAMES, opener=LostDoors(core1=fails_late, core2=fails_first))
    assert list(sighted.failures) == ["core1", "core2"]
    assert sighted.observed["core2"].reached == Unread("no answer")


async def test_a_bug_while_reading_ends_everything() -> None:
    """What nobody foresaw is raised, and what is still connecting is given up."""
    doors = LostDoors(core1=fails(RuntimeError("bug")), core2=hangs)
    with pytest.raises(RuntimeError, match="bug"):
        await look_at(*NAMES, opener=doors)
    assert (doors.open, doors.opening) == (0, 0)


def test_unreached_says_why_without_the_name_twice() -> None:
    """The reason stands without the server's name, which stands beside it."""
    assert unreached("core1", NodeError("core1", "silence")).reached == Unread("silence")


def test_each_secret_is_looked_up_once(tmp_path: Path) -> None:
    """Servers that share references share what was looked up; a key is bytes, words are text."""
    (tmp_path / "known_hosts").write_text("")
    (tmp_path / "count").write_text("")
    (tmp_path / "id").write_bytes(b"key\n")
    counting = SecretRef(kind="command", value=("sh", "-c", f"echo x >> {tmp_path}/count; echo secret"))
    key = SecretRef(kind="file", value=("id",))
    hosts = str(tmp_path / "known_hosts")
    logins = {
        name: login(name, password=counting, key=key, key_passphrase=counting, known_hosts=hosts) for name in NAMES
    }
    servers = tuple(WantedServer(name=name, address="", fqdn="") for name in NAMES)
    found = entries(logins, servers, tmp_path)

    assert (tmp_path / "count").read_text() == "x\n"
    assert {entry[1].password.reveal() for entry in found.values() if entry[1].password} == {"secret"}
    assert {entry[1].key.reveal() for entry in found.values() if entry[1].key} == {b"key\n"}
    assert len({id(entry[2]) for entry in found.values()}) == 1


def test_what_is_missing_is_told_before_connecting(tmp_path: Path) -> None:
    """A secret or a known_hosts file that is not there is an error of its own."""
    server = (WantedServer(name="core1", address="", fqdn=""),)
    unset = SecretRef(kind="env", value=("CMSCERT_TEST_NOT_SET",))

    with pytest.raises(SecretError):
        entries({"core1": login("core1", password=unset)}, server, tmp_path)
    with pytest.raises(InputError):
        entries({"core1": login("core1", known_hosts=str(tmp_path / "missing"))}, server, tmp_path)


def test_remarks_may_be_dropped() -> None:
    """Without a log nothing is kept."""
    no_note("event", server="core1")
