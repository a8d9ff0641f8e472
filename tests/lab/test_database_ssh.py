"""The databases behind SSH: the dialogue with its capital Y, the call bridge, syslog, nodes off the network."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncssh
import pytest

from cmscert.lab.backups import rows_in
from cmscert.lab.fleet import LabFleet
from cmscert.lab.node import LabNode
from cmscert.lab.spec import ServiceSpec, SlotSpec
from cmscert.testing.databases import ROWS, MovedClock, standing_cluster

Login = Callable[[LabNode], Awaitable[asyncssh.SSHClientConnection]]
REMOVE = "database cluster remove"
STATUS = "database cluster status"
QUESTION = "Are you sure you wish to detach this node from the database cluster? (Y/n)"


@pytest.fixture
def clock() -> MovedClock:
    """The databases' clock."""
    return MovedClock()


@pytest.fixture
async def fleet(clock: MovedClock) -> AsyncIterator[LabFleet]:
    """A primary with a call bridge, and a replica."""
    specs = standing_cluster(nodes=2, clients=0)
    for spec in specs:
        spec.start_delay = 0.05
    slots = {"callbridge": SlotSpec(key="dbserver.key", certificate="dbserver.crt")}
    specs[0].services["callbridge"] = ServiceSpec(slots=slots)
    async with LabFleet(specs, clock=clock) as running:
        await running.settled()
        yield running


@pytest.mark.judge("openssh-client")
async def test_openssh_says_yes(fleet: LabFleet, clock: MovedClock, tmp_path: Path) -> None:
    """Under a pty a small y aborts, a capital Y goes on, and only status tells when it is done."""
    node = fleet.node("core2")
    (tmp_path / "known_hosts").write_text(fleet.known_hosts(), encoding="utf-8")
    script = tmp_path / "askpass"
    script.write_text("#!/bin/sh\necho lab\n", encoding="utf-8")
    script.chmod(0o700)

    async def ssh(*lines: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *("ssh", "-tt", "-F", "none", "-p", str(node.ssh_port)),
            *("-o", f"UserKnownHostsFile={tmp_path / 'known_hosts'}", "-o", "GlobalKnownHostsFile=/dev/null"),
            "admin@127.0.0.1",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=os.environ | {"SSH_ASKPASS": str(script), "SSH_ASKPASS_REQUIRE": "force", "SSH_AUTH_SOCK": ""},
        )
        said, _ = await asyncio.wait_for(process.communicate("\n".join((*lines, "exit", "")).encode()), 30)
        return said.decode()

    said = await ssh(REMOVE, "y", REMOVE, "Y", STATUS)
    assert said.count(f"WARNING!!!\r\n{QUESTION}\r\nThe contents of this node's database will be destroyed!\r\n") == 2
    aborted, started = said.index("Aborted\r\n"), said.index("\r\nRemoval started...\r\n")
    assert said.index(QUESTION) < aborted < said.rindex(QUESTION) < started
    assert f"Last command             : '{REMOVE}' (In progress)\r\n" in said
    assert node.commands == [REMOVE, REMOVE, STATUS, "exit"][: len(node.commands)]
    clock.pass_by(1)
    assert f"Last command             : '{REMOVE}' (Success)\r\n" in await ssh(STATUS)
    assert fleet.database.clusters()[0].replicas == ()
    assert fleet.database.lost(ROWS) == frozenset()


@pytest.mark.parametrize(("read", "answer"), [(False, "Aborted"), (True, "Removal started...")])
async def test_exec(fleet: LabFleet, login: Login, *, read: bool, answer: str) -> None:
    """Whether a capital Y is read from an exec channel is a switch; by default nobody answers."""
    node = fleet.node("core2")
    node.switches.confirm_over_exec = read
    connection = await login(node)
    done = await connection.run(REMOVE, input="Y\n", check=False)
    assert isinstance(done.stdout, str)
    assert done.stdout.splitlines()[-1] == answer
    assert (node.database.pending is not None) == read


async def test_the_call_bridge_restarts(fleet: LabFleet, login: Login) -> None:
    """Removing a node takes its call bridge down for a while; one that does not run is left alone."""
    for name in ("core2", "core1"):
        node = fleet.node(name)
        node.switches.confirm_over_exec = True
        await (await login(node)).run(REMOVE, input="Y\n", check=False)
        await node.settled()
    assert [service for service, _ in fleet.node("core1").outages] == ["callbridge"]
    assert fleet.node("core1").up("callbridge")
    assert fleet.node("core2").outages == []
    assert fleet.node("core2").database.restarts == 1


async def test_syslog_tells_the_end(fleet: LabFleet, login: Login, clock: MovedClock) -> None:
    """The watcher writes that an operation is complete (T-53)."""
    node = fleet.node("core2")
    node.switches.confirm_over_exec = True
    connection = await login(node)
    await connection.run(REMOVE, input="Y\n", check=False)
    assert b"dbcluster_watcher" not in node.log_file()
    clock.pass_by(1)
    assert node.log_file().endswith(b" user.info core2 dbcluster_watcher:  Operation Complete\n")


async def test_backups_are_fetched_by_sftp(fleet: LabFleet, login: Login) -> None:
    """Both files of a snapshot can be read and removed."""
    node = fleet.node("core1")
    connection = await login(node)
    done = await connection.run("backup snapshot before", check=False)
    assert "ready for download" in str(done.stdout)
    async with connection.start_sftp_client() as sftp:
        async with sftp.open("before.bak", "rb") as file:
            assert rows_in(await file.read()) == frozenset(ROWS)
        assert (await sftp.stat("before.json")).size
        await sftp.remove("before.bak")
    assert "before.bak" not in node.files


async def test_a_lie(fleet: LabFleet, login: Login) -> None:
    """A lying node says that it started, and does nothing."""
    node = fleet.node("core2")
    node.switches.confirm_over_exec = True
    node.faults.lie = (REMOVE,)
    done = await (await login(node)).run(REMOVE, input="Y\n", check=False)
    assert "Removal started..." in str(done.stdout)
    assert node.database.pending is None


async def test_reboot_gives_up(fleet: LabFleet, login: Login) -> None:
    """A reboot ends work that hangs."""
    node = fleet.node("core2")
    node.switches.confirm_over_exec = True
    node.faults.db_hang = (REMOVE,)
    connection = await login(node)
    await connection.run(REMOVE, input="Y\n", check=False)
    await connection.run("reboot", input="Y\n", check=False)
    assert f"'{REMOVE}' (Failed)" in str((await connection.run(STATUS, check=False)).stdout)


async def test_a_node_off_the_network(fleet: LabFleet, login: Login) -> None:
    """A node that is down cuts its connections, lets nobody in, and is missed by its peers."""
    node = fleet.node("core2")
    connection = await login(node)
    async with connection.start_sftp_client() as sftp:
        node.faults.down = True
        with pytest.raises(asyncssh.SFTPConnectionLost):
            await sftp.open("dbca.crt", "rb")
    done = await connection.run(STATUS, check=False)
    assert (done.exit_status, done.stdout) == (None, "")
    assert node.commands == node.transfers == []
    with pytest.raises((asyncssh.Error, OSError)):
        await login(node)
    shown = str((await (await login(fleet.node("core1"))).run(STATUS, check=False)).stdout)
    assert "    10.0.0.12            : Not Connected\n" in shown
    node.faults.down = False
    assert "Enabled" in str((await (await login(node)).run(STATUS, check=False)).stdout)


async def test_without_ssh(clock: MovedClock) -> None:
    """A fleet that was never started carries out commands in memory, by the clock that it was given."""
    fleet = LabFleet(standing_cluster(nodes=1, clients=0), clock=clock)
    asked: list[str] = []

    async def ask(question: str) -> str | None:
        asked.append(question)
        return "Y"

    node = fleet.node("core1")
    assert await node.carry_out("date", "memory:0", ask) == (
        b"System time: 2026-03-01 12:00:00\nLocal time:  2026-03-01 12:00:00\n"
    )
    assert (await node.carry_out(REMOVE, "memory:0", ask)).endswith(b"Removal started...\n")
    assert QUESTION in asked[0]
    clock.pass_by(1)
    assert f"'{REMOVE}' (Success)".encode() in await node.carry_out(STATUS, "memory:0", ask)
