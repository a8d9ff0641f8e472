"""Channels of a lab node over real SSH: exec, shell, SFTP, and what goes wrong on request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncssh
import pytest

from cmscert.lab.node import LabNode
from cmscert.lab.spec import Faults, ServiceSpec, SlotSpec, Switches

Authority = Any  # a fixture's class, which only conftest.py can name
StartNode = Callable[..., Awaitable[LabNode]]
Login = Callable[..., Awaitable[asyncssh.SSHClientConnection]]
Eventually = Callable[[Callable[[], bool]], Awaitable[None]]
_PROMPT = b"cms01> "


async def _exec(connection: asyncssh.SSHClientConnection, line: str, **options: Any) -> bytes:  # noqa: ANN401 - asyncssh's own
    ended = await connection.run(line, encoding=None, **options)
    assert isinstance(ended.stdout, bytes)
    return ended.stdout


class Terminal:
    """A shell that reads up to what is expected."""

    def __init__(self, process: asyncssh.SSHClientProcess[bytes]) -> None:
        self.process = process

    async def until(self, end: bytes = _PROMPT) -> bytes:
        """Read until an end; the whole text is returned."""
        return await asyncio.wait_for(self.process.stdout.readuntil(end), 10)

    async def type(self, keys: bytes, end: bytes = _PROMPT) -> bytes:
        """Type, and read until an end."""
        self.process.stdin.write(keys)
        return await self.until(end)


async def _shell(connection: asyncssh.SSHClientConnection, term: str | None = "vt100") -> Terminal:
    terminal = Terminal(await connection.create_process(term_type=term, encoding=None))
    await terminal.until()
    return terminal


async def test_exec_has_neither_prompt_nor_echo(start_node: StartNode, login: Login) -> None:
    """The answer alone, LF line ends, exit status 0 whatever happened ([S1])."""
    node = await start_node()
    connection = await login(node)
    assert await _exec(connection, "version") == b"3.9\n"
    assert await _exec(connection, "nonsense") == b"Unknown command\n"
    ended = await connection.run("webadmin enable")
    assert ended.exit_status == 0
    assert str(ended.stdout).startswith("FAILURE: ")
    assert node.commands == ["version", "nonsense", "webadmin enable"]


async def test_a_line_end_starts_a_second_command(start_node: StartNode, login: Login) -> None:
    """Whoever lets a line end into a value has typed two commands."""
    node = await start_node()
    await _exec(await login(node), "webadmin\n\nwebadmin disable")
    assert node.commands == ["webadmin", "webadmin disable"]


async def test_every_command_is_in_the_log(start_node: StartNode, login: Login) -> None:
    """``log`` ends with the line of the last command, read from its end like [S1] does."""
    node = await start_node(clock_skew=3600.0)
    connection = await login(node)
    await _exec(connection, "turn credentials me secret cms.demo")
    async with connection.start_sftp_client() as sftp, sftp.open("log", "rb") as log:
        await log.seek(-80, 2)
        tail = await log.read()
    assert tail.endswith(b"command < turn credentials me secret cms.demo>: permission granted\n")
    assert node.audit[-1].encode().endswith(tail.strip())


async def test_sundry_commands(start_node: StartNode, login: Login) -> None:
    """Version, date, users, help and the database that is not set up."""
    node = await start_node(clock_skew=86400.0)
    connection = await login(node)
    assert b"System time: " in await _exec(connection, "date")
    header, row = (await _exec(connection, "user list")).decode().splitlines()
    assert row.split() == ["admin", "admin", "2027-Mar-31", "enabled"]
    assert len(header.split()) == 4
    assert b"webbridge3" in await _exec(connection, "help")
    assert await _exec(connection, "database cluster status") == b"Status                   : Disabled\n"
    assert await _exec(connection, "hostname") == b"cms01\n"
    for line in ("user add x admin", "ipv4 b", "database cluster"):
        assert (await _exec(connection, line)).startswith(b"Usage:")
    node.switches = Switches(version_wording="labelled", date_command=False)
    assert await _exec(connection, "version") == b"Software version        : 3.9\nBuild                   : 1\n"
    assert await _exec(connection, "date") == b"Unknown command\n"
    assert await _exec(connection, 'pki csr "open') != b""


async def test_shell_under_a_pty(start_node: StartNode, login: Login) -> None:
    """Prompt, echo and CRLF; CR, LF and CRLF all end a line; an empty line is no command."""
    node = await start_node()
    shell = await _shell(await login(node))
    assert await shell.type(b"version\r") == b"version\r\n3.9\r\ncms01> "
    assert await shell.type(b"version\n") == b"version\r\n3.9\r\ncms01> "
    assert await shell.type(b"version\r\n") == b"version\r\n3.9\r\ncms01> "
    assert await shell.type(b"  \r") == b"  \r\ncms01> "
    assert node.commands == ["version"] * 3


async def test_shell_without_a_pty(start_node: StartNode, login: Login) -> None:
    """No echo and LF only; the end of the input ends the session."""
    shell = await _shell(await login(await start_node()), term=None)
    assert await shell.type(b"version\n") == b"3.9\ncms01> "
    shell.process.stdin.write_eof()
    assert await shell.process.stdout.read() == b""
    await shell.process.wait_closed()
    assert shell.process.exit_status == 0


@pytest.mark.parametrize("keys", [b"exit\r", b"logout\r", b"\x04"])
async def test_ways_out_of_the_shell(start_node: StartNode, login: Login, keys: bytes) -> None:
    """``exit`` and Ctrl-D on an empty line log out."""
    shell = await _shell(await login(await start_node()))
    shell.process.stdin.write(keys)
    await asyncio.wait_for(shell.process.wait_closed(), 10)


async def test_line_editing(start_node: StartNode, login: Login) -> None:
    """Backspace and Ctrl-U edit, Ctrl-C drops the line, other control characters are ignored."""
    node = await start_node()
    shell = await _shell(await login(node))
    await shell.type(b"\x7fverssion\x7f\x7f\x7f\x7fion\x07\r")
    await shell.type(b"nonsense\x15version\x04\r")
    assert (await shell.type(b"webadmin dis\x03")).endswith(b"^C\r\ncms01> ")
    await shell.type(b"version\r")
    assert node.commands == ["version"] * 3


async def test_interrupting_a_command(start_node: StartNode, login: Login, eventually: Eventually) -> None:
    """Ctrl-C aborts a command that does not come to an end; what was typed ahead is dropped with it."""
    node = await start_node(faults=Faults(silent=("version",)))
    shell = await _shell(await login(node))
    await shell.type(b"version\r", b"\r\n")
    await eventually(lambda: node.commands == ["version"])
    assert await shell.type(b"webadmin\r\x03") == b"^C\r\ncms01> "
    assert node.commands == ["version"]
    node.faults = Faults()
    assert await shell.type(b"version\r") == b"version\r\n3.9\r\ncms01> "


async def test_signals_breaks_and_resizes(start_node: StartNode, login: Login) -> None:
    """A break or signal is like Ctrl-C; another window size changes nothing."""
    shell = await _shell(await login(await start_node()))
    shell.process.change_terminal_size(100, 50)
    shell.process.send_break(100)
    assert await shell.until() == b"^C\r\ncms01> "
    shell.process.send_signal("INT")
    assert await shell.until() == b"^C\r\ncms01> "


@pytest.mark.parametrize(("reply", "result"), [(b"Y", b"SUCCESS"), (b"y", b"Aborted"), (b"", b"Aborted")])
async def test_only_a_capital_y_confirms(start_node: StartNode, login: Login, reply: bytes, result: bytes) -> None:
    """Facts 1.7: lower case does not proceed."""
    node = await start_node()
    shell = await _shell(await login(node))
    await shell.type(b"reboot\r", b"(Y/n)\r\n")
    answer = await shell.type(reply + b"\r")
    assert (b"Aborted" in answer) is (result == b"Aborted")
    await shell.type(b"upgrade\r", b"(Y/n)\r\n")
    assert (b"upgrade.img not found" in await shell.type(reply + b"\r")) is (result == b"SUCCESS")


@pytest.mark.parametrize("allowed", [False, True])
async def test_confirming_over_exec(start_node: StartNode, login: Login, *, allowed: bool) -> None:
    """Whether an exec channel can confirm is unknown (facts 1.3), so it is a switch."""
    node = await start_node(files={"upgrade.img": b""}, switches=Switches(confirm_over_exec=allowed))
    answer = await _exec(await login(node), "upgrade", input=b"Y\n")
    assert (b"not signed" in answer) is allowed


async def test_reboot_restarts_services(start_node: StartNode, login: Login, authority: Authority) -> None:
    """After a confirmed reboot the services load their files anew."""
    pair = authority.mint("a")
    node = await start_node(
        files={"a.key": pair.key, "a.crt": pair.pem},
        services={"webadmin": ServiceSpec(slots={"webadmin": SlotSpec(key="a.key", certificate="a.crt")})},
        switches=Switches(confirm_over_exec=True),
    )
    await _exec(await login(node), "reboot", input=b"Y\n")
    await node.settled()
    assert [service for service, _ in node.outages] == ["webadmin"]


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({}, {"password": "wrong"}),
        ({}, {"username": "root"}),
        ({"faults": Faults(reject_password=True)}, {}),
    ],
)
async def test_refused_logins(
    start_node: StartNode, login: Login, fields: dict[str, Any], options: dict[str, Any]
) -> None:
    """Only the node's user with its password gets in."""
    node = await start_node(**fields)
    with pytest.raises(asyncssh.PermissionDenied):
        await login(node, **options)


async def test_exec_refused(start_node: StartNode, login: Login) -> None:
    """With the switch, only a shell works."""
    connection = await login(await start_node(switches=Switches(exec_channel=False)))
    with pytest.raises(asyncssh.ChannelOpenError):
        await connection.run("version")
    shell = await _shell(connection)
    assert b"3.9" in await shell.type(b"version\r")


async def test_sftp_on_a_connection_of_its_own(start_node: StartNode, login: Login) -> None:
    """With the switch, a connection that spoke commands gets no SFTP; another one does."""
    node = await start_node(switches=Switches(sftp_same_connection=False))
    connection = await login(node)
    await _exec(connection, "version")
    with pytest.raises(asyncssh.ChannelOpenError):
        await connection.start_sftp_client()
    async with (await login(node)).start_sftp_client() as sftp:
        assert "log" in await sftp.listdir("/")


async def test_no_other_subsystem(start_node: StartNode, login: Login) -> None:
    """Only SFTP is a subsystem."""
    with pytest.raises(asyncssh.ChannelOpenError):
        await (await login(await start_node())).create_process(subsystem="netconf")


async def test_too_many_channels_at_once(start_node: StartNode, login: Login) -> None:
    """A limit refuses the next channel until one is closed."""
    connection = await login(await start_node(switches=Switches(max_channels=1)))
    shell = await _shell(connection)
    with pytest.raises(asyncssh.ChannelOpenError):
        await connection.run("version")
    shell.process.stdin.write(b"exit\r")
    await shell.process.wait_closed()
    assert await _exec(connection, "version") == b"3.9\n"


async def test_refused_channels(start_node: StartNode, login: Login) -> None:
    """The first two opens are refused, later every third; nothing is carried out for them."""
    node = await start_node(faults=Faults(refuse_channels=2))
    connection = await login(node)
    for _ in range(2):
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.run("version")
    assert node.commands == []
    assert await _exec(connection, "version") == b"3.9\n"
    node.faults.refuse_every = 3
    outcomes = []
    for _ in range(6):
        try:
            outcomes.append(await _exec(connection, "version"))
        except asyncssh.ChannelOpenError:
            outcomes.append(b"refused")
    assert outcomes.count(b"refused") == 2


@pytest.mark.parametrize("shell", [False, True])
@pytest.mark.parametrize(("field", "done"), [("cut_at", False), ("cut_after", True)])
async def test_cut_connections(start_node: StartNode, login: Login, field: str, *, done: bool, shell: bool) -> None:
    """The second command is cut before or after it is carried out; the client cannot tell which."""
    node = await start_node(faults=Faults(**{field: 2}))
    connection = await login(node)
    await _exec(connection, "version")
    if shell:
        terminal = await _shell(connection)
        terminal.process.stdin.write(b"webadmin listen b 8443\r")
    else:
        assert (await connection.run("webadmin listen b 8443")).exit_status is None
    await asyncio.wait_for(connection.wait_closed(), 10)
    assert node.commands == ["version", "webadmin listen b 8443"]
    assert (node.port("webadmin") == 8443) is done


async def test_late_and_silent_answers(start_node: StartNode, login: Login) -> None:
    """A late answer comes; a silent command is carried out and never answered."""
    node = await start_node(faults=Faults(late={"version": 0.05}, silent=("webadmin listen",)), answer_delay=0.01)
    connection = await login(node)
    assert await _exec(connection, "version") == b"3.9\n"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(connection.run("webadmin listen b 8443"), 0.2)
    assert node.port("webadmin") == 8443


async def test_failing_and_lying_commands(start_node: StartNode, login: Login, authority: Authority) -> None:
    """A failing command does nothing and says so; a lying one does nothing and says SUCCESS."""
    pair = authority.mint("a")
    node = await start_node(
        files={"a.key": pair.key, "a.crt": pair.pem},
        services={
            "webadmin": ServiceSpec(enabled=False, slots={"webadmin": SlotSpec(key="a.key", certificate="a.crt")})
        },
        faults=Faults(fail={"webadmin certs": "disk error"}, lie=("webadmin enable",)),
    )
    connection = await login(node)
    assert await _exec(connection, "webadmin certs none") == b"FAILURE: disk error\n"
    assert node.bound("webadmin").key == "a.key"
    assert b"SUCCESS" in await _exec(connection, "webadmin enable")
    assert not node.enabled("webadmin")


async def test_a_service_that_does_not_start(start_node: StartNode, login: Login, authority: Authority) -> None:
    """``enable`` says SUCCESS and the port stays closed."""
    pair = authority.mint("a")
    slot = SlotSpec(key="a.key", certificate="a.crt")
    node = await start_node(
        files={"a.key": pair.key, "a.crt": pair.pem},
        services={"webadmin": ServiceSpec(slots={"webadmin": slot})},
        faults=Faults(no_start=("webadmin",)),
    )
    assert node.up("webadmin")
    assert b"FAILURE" not in await _exec(await login(node), "webadmin restart")
    await node.settled()
    assert not node.up("webadmin")
    assert node.outages == []


async def test_garbage(start_node: StartNode, login: Login) -> None:
    """Control characters and bytes that are no UTF-8 surround the answer."""
    answer = await _exec(await login(await start_node(faults=Faults(garbage=("version",)))), "version")
    assert b"3.9" in answer
    assert b"\x1b[2J" in answer
    with pytest.raises(UnicodeDecodeError):
        answer.decode()


async def test_a_client_that_goes_away(start_node: StartNode, login: Login, eventually: Eventually) -> None:
    """A connection that ends in the middle of a line or a command leaves nothing behind."""
    node = await start_node(faults=Faults(silent=("date",)))
    before = asyncio.all_tasks()
    connection = await login(node)
    shell = await _shell(connection)
    shell.process.stdin.write(b"versi")
    other = await _shell(connection)
    other.process.stdin.write(b"date\r")
    await other.until(b"\r\n")
    connection.abort()
    await connection.wait_closed()
    assert node.server is not None
    server = node.server
    await eventually(lambda: not server.connections and not asyncio.all_tasks() - before)
