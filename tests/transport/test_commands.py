"""Commands, each on an exec channel of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import pytest

from cmscert.errors import AnswerTimeout, ConnectionLost, NodeError, UnexpectedAnswer
from cmscert.model.commands import Command
from cmscert.model.login import Login
from cmscert.transport.ssh import Credentials, connect_reader, load_known_hosts

if TYPE_CHECKING:
    from tests.transport.conftest import Relay, Script, SessionTo

MakeCommand = Callable[..., Command]


async def test_answer_of_a_command(node: Script, session_to: SessionTo, read: MakeCommand) -> None:
    """A command that reads is answered with its cleaned text, and the session knows its server's name."""
    node.answers["version"] = b"\x1b[1m3.9\x1b[0m\r\n"
    async with session_to(node) as session:
        reply = await session.ask(read("version"))
    assert (reply.text, reply.command.typed, session.server) == ("3.9\n", "version", "core1")
    assert reply.seconds >= 0


async def test_stderr_belongs_to_the_answer(node: Script, session_to: SessionTo, change: MakeCommand) -> None:
    """Text on stderr and text on stdout are both the answer ([S1]), whatever the exit status."""
    node.errors["webadmin enable"] = b"FAILURE: no listen interface\r\n"
    node.answers["webadmin enable"] = b"SUCCESS: odd\r\n"
    async with session_to(node) as session:
        reply = await session.do(change("webadmin enable"))
    assert sorted(reply.text.split("\n")) == ["", "FAILURE: no listen interface", "SUCCESS: odd"]


async def test_empty_answer(node: Script, session_to: SessionTo, change: MakeCommand) -> None:
    """A command that says nothing and ends its channel has answered: with an empty text."""
    node.answers |= {"webadmin certs a b": b"", "turn certs a b": b""}
    node.close_channel.add("turn certs a b")
    async with session_to(node) as session:
        assert (await session.do(change("webadmin certs a b"))).text == ""
        assert (await session.do(change("turn certs a b"))).text == ""


async def test_reading_cannot_change(
    node: Script, session_to: SessionTo, read: MakeCommand, change: MakeCommand
) -> None:
    """A command of the other kind is refused before anything is sent (law 1)."""
    async with session_to(node) as session:
        with pytest.raises(ValueError, match="ask takes commands that read"):
            await session.ask(change("webadmin restart"))
        with pytest.raises(ValueError, match="do takes commands that change"):
            await session.do(read("webadmin"))
        with pytest.raises(ValueError, match="control character"):
            await session.ask(read("webadmin\nreboot"))
    assert node.seen == []


@pytest.mark.parametrize("doubt", [False, True])
async def test_silence_is_late(
    node: Script, session_to: SessionTo, read: MakeCommand, change: MakeCommand, *, doubt: bool
) -> None:
    """A command that does not end is given up; for a change the message says that it may have been carried out."""
    node.answers["x"] = b"working\r\n"
    node.silent.add("x")
    async with session_to(node, answer=0.2) as session:
        with pytest.raises(AnswerTimeout, match=r"core1: no answer to 'x' within 0\.2 s") as caught:
            await (session.do(change("x")) if doubt else session.ask(read("x")))
    assert ("may or may not" in caught.value.message) is doubt
    assert node.seen == ["x"]


@pytest.mark.parametrize(("masks", "shown"), [(False, "Really"), (True, "not shown")])
async def test_question_without_an_answer(
    node: Script, session_to: SessionTo, change: MakeCommand, *, masks: bool, shown: str
) -> None:
    """A command that turns out to ask something stops the run, with the question unless that may hold a password."""
    node.answers["reboot"] = b"Really? (y/N) "
    node.silent.add("reboot")
    async with session_to(node, answer=0.2) as session:
        with pytest.raises(UnexpectedAnswer, match=shown):
            await session.do(change("reboot", masks_reply=masks))


async def test_answer_is_limited(node: Script, session_to: SessionTo, read: MakeCommand) -> None:
    """An answer of 5 MB is not taken, and the session goes on."""
    node.answers |= {"help": b"x" * 5_000_000, "version": b"3.9"}
    async with session_to(node) as session:
        with pytest.raises(UnexpectedAnswer, match="longer than 1 MiB"):
            await session.ask(read("help"))
        assert (await session.ask(read("version"))).text == "3.9"
    assert node.logins == 1


async def test_garbage_bytes(node: Script, session_to: SessionTo, read: MakeCommand) -> None:
    """Invalid UTF-8 and control characters are text to be cleaned, never an error."""
    node.answers["status"] = bytes(range(256)) * 3
    async with session_to(node) as session:
        text = (await session.ask(read("status"))).text
    assert text.replace("\n", "").isprintable()


async def test_reading_is_repeated_once(node: Script, session_to: SessionTo, read: MakeCommand) -> None:
    """A command that reads and loses its connection is sent again on a new one."""
    node.answers["version"] = b"3.9"
    node.cut["version"] = 1
    async with session_to(node) as session:
        assert (await session.ask(read("version"))).text == "3.9"
    assert (node.seen, node.logins) == (["version", "version"], 2)


async def test_reading_is_repeated_only_once(node: Script, session_to: SessionTo, read: MakeCommand) -> None:
    """When the second connection ends too, that is the answer."""
    node.cut["version"] = 9
    async with session_to(node) as session:
        with pytest.raises(ConnectionLost, match="core1: the connection ended during 'version', twice"):
            await session.ask(read("version"))
    assert node.seen == ["version", "version"]


async def test_change_is_never_repeated(
    node: Script, session_to: SessionTo, read: MakeCommand, change: MakeCommand
) -> None:
    """A change that loses its connection was sent once, and the message says that nobody knows; the session goes on."""
    node.answers["version"] = b"3.9"
    node.cut["webadmin restart"] = 1
    async with session_to(node) as session:
        with pytest.raises(ConnectionLost, match="it may or may not have been carried out"):
            await session.do(change("webadmin restart"))
        assert (await session.ask(read("version"))).text == "3.9"
    assert node.seen == ["webadmin restart", "version"]


@pytest.mark.parametrize("times", [1, 2])
async def test_change_that_was_not_sent(node: Script, session_to: SessionTo, change: MakeCommand, times: int) -> None:
    """A change whose channel never opened has not started: it is sent on one new connection, and not on a third."""
    node.answers["webadmin restart"] = b"SUCCESS: Webadmin enabled"
    node.cut_opens = times
    async with session_to(node) as session:
        if times == 1:
            assert "SUCCESS" in (await session.do(change("webadmin restart"))).text
        else:
            with pytest.raises(ConnectionLost, match=r"ended before 'webadmin restart', twice; it was not carried out"):
                await session.do(change("webadmin restart"))
    assert node.seen == ["webadmin restart"] * (2 - times)


@pytest.mark.usefixtures("short_pauses")
async def test_refused_channels(node: Script, session_to: SessionTo, change: MakeCommand) -> None:
    """A change whose channel is refused is tried again, because it was not sent, and is carried out once."""
    node.answers["webadmin restart"] = b"ok"
    node.refuse = 4
    async with session_to(node) as session:
        assert (await session.do(change("webadmin restart"))).text == "ok"
    assert (node.seen, node.logins) == (["webadmin restart"], 1)


@pytest.mark.usefixtures("short_pauses")
async def test_channels_refused_for_ever(node: Script, session_to: SessionTo, change: MakeCommand) -> None:
    """After a few refusals the session gives up and says that nothing was sent."""
    node.refuse = 1_000
    async with session_to(node) as session:
        with pytest.raises(
            UnexpectedAnswer, match="refused a channel for 'webadmin restart' 6 times; the command was not"
        ):
            await session.do(change("webadmin restart"))
    assert (node.seen, node.refuse) == ([], 994)


@pytest.mark.parametrize("most", [1, 3, None])
async def test_many_at_once(node: Script, session_to: SessionTo, read: MakeCommand, most: int | None) -> None:
    """Forty commands at once are all answered, whatever number of channels the node allows, on one connection."""
    node.max_channels = most
    node.answers = {f"c{number}": f"a{number}".encode() for number in range(40)}
    async with session_to(node) as session:
        replies = await asyncio.gather(*(session.ask(read(typed)) for typed in node.answers))
    assert [reply.text for reply in replies] == [text.decode() for text in node.answers.values()]
    assert sorted(node.seen) == sorted(node.answers)
    assert (node.logins, node.most_channels <= 8) == (1, True)


async def test_open_without_an_answer(node: Script, session_to: SessionTo, read: MakeCommand) -> None:
    """A node that neither opens nor refuses a channel hangs: its connection is dropped, and another one made."""
    node.swallow_opens = True
    node.answers["version"] = b"3.9"
    async with session_to(node, answer=0.2) as session:
        with pytest.raises(AnswerTimeout):
            await session.ask(read("version"))
        node.swallow_opens = False
        assert (await session.ask(read("version"))).text == "3.9"
    assert node.logins == 2


async def test_frozen_node(
    node: Script, session_to: SessionTo, change: MakeCommand, relay_to: Callable[[int], Awaitable[Relay]]
) -> None:
    """A node that freezes in the middle of a command is noticed by keepalive, long before the answer's time is over."""
    relay = await relay_to(node.port)
    node.silent.add("x")
    began = time.monotonic()
    async with session_to(node, port=relay.port, keepalive=0.15, answer=20) as session:
        task = asyncio.ensure_future(session.do(change("x")))
        await node.arrival("x")
        relay.freeze()
        with pytest.raises(ConnectionLost, match="may or may not"):
            await task
    assert time.monotonic() - began < 5


async def test_reading_gives_a_frozen_node_up(
    node: Script,
    login_to: Callable[..., Login],
    credentials: Credentials,
    read: MakeCommand,
    relay_to: Callable[[int], Awaitable[Relay]],
) -> None:
    """Whoever only reads asks a node that stopped answering nothing more: a second log-in would only take as long."""
    relay = await relay_to(node.port)
    node.silent.add("x")
    began = time.monotonic()
    login = login_to(node, port=relay.port, keepalive=0.15, answer=20, login=20)
    async with connect_reader(login, credentials, load_known_hosts(login.known_hosts)) as session:
        tasks = [asyncio.ensure_future(session.ask(read(typed))) for typed in ("x", "y", "z")]
        await node.arrival("x")
        relay.freeze()
        for task in tasks:
            with pytest.raises(ConnectionLost, match="stopped answering"):
                await task
        with pytest.raises(ConnectionLost, match="stopped answering"):
            await session.list_files()
    assert (time.monotonic() - began < 5, relay.accepted) == (True, 1)


async def test_a_node_of_one_channel_is_typed_at(node: Script, session_to: SessionTo, read: MakeCommand) -> None:
    """Where one channel is open at a time, commands that read go through one shell; each is sent once."""
    node.max_channels = 1
    node.answers = {f"c{number}": f"a{number}".encode() for number in range(12)}
    async with session_to(node) as session:
        replies = await asyncio.gather(*(session.ask(read(typed)) for typed in node.answers))
    assert [reply.text.strip() for reply in replies] == [text.decode() for text in node.answers.values()]
    assert (sorted(node.seen), node.shell_starts, node.logins) == (sorted(node.answers), 1, 1)


@pytest.mark.usefixtures("short_pauses")
async def test_a_node_of_one_channel_without_a_shell(node: Script, session_to: SessionTo, read: MakeCommand) -> None:
    """Commands go through a channel each, one after another, where the shell is denied."""
    node.max_channels, node.shell = 1, False
    node.answers = {f"c{number}": f"a{number}".encode() for number in range(12)}
    async with session_to(node) as session:
        replies = await asyncio.gather(*(session.ask(read(typed)) for typed in node.answers))
    assert [reply.text for reply in replies] == [text.decode() for text in node.answers.values()]
    assert (sorted(node.seen), node.logins) == (sorted(node.answers), 1)


@pytest.mark.usefixtures("short_pauses")
async def test_a_node_of_one_channel_that_denies_all(node: Script, session_to: SessionTo, read: MakeCommand) -> None:
    """A node that refuses, then denies commands and shells is told as one without a command line."""
    node.max_channels, node.shell, node.exec_channel = 1, False, False
    async with session_to(node) as session:
        asked = (session.ask(read(f"c{number}")) for number in range(12))
        ended = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(error).__name__ for error in ended} <= {"NotACms", "UnexpectedAnswer"}
    assert node.seen == []


async def test_idle_connection_that_ended(
    node: Script, session_to: SessionTo, change: MakeCommand, relay_to: Callable[[int], Awaitable[Relay]]
) -> None:
    """A connection that ended while nothing was under way is opened again for the next command, a change included."""
    relay = await relay_to(node.port)
    node.answers["x"] = b"done"
    async with session_to(node, port=relay.port) as session:
        relay.cut()
        assert (await session.do(change("x"))).text == "done"
    assert (node.seen, relay.accepted) == (["x"], 2)


async def test_cancelled_command(node: Script, session_to: SessionTo, read: MakeCommand) -> None:
    """A command that is given up by its caller frees its channel."""
    node.hold["slow"] = asyncio.Event()
    node.answers["version"] = b"3.9"
    async with session_to(node) as session:
        task = asyncio.ensure_future(session.ask(read("slow")))
        await node.arrival("slow")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await session.ask(read("version"))).text == "3.9"
        node.hold["slow"].set()


async def test_dropped_connection_of_another_command(node: Script, session_to: SessionTo, change: MakeCommand) -> None:
    """A connection that is dropped for one command's sake leaves no half answer of another: that one is lost."""
    node.hold["half"] = asyncio.Event()
    node.answers |= {"half": b"first part"}
    async with session_to(node, answer=0.4) as session:
        half = asyncio.ensure_future(session.do(change("half")))
        await node.arrival("half")
        session._open_line.abort()
        with pytest.raises(ConnectionLost):
            await half
        node.hold["half"].set()


async def test_closed_session(node: Script, session_to: SessionTo, read: MakeCommand) -> None:
    """A session that is closed does not log in again."""
    async with session_to(node) as session:
        pass
    with pytest.raises(NodeError, match="the session is closed"):
        await session.ask(read("version"))
    assert node.logins == 1


async def test_end_of_file_ends_an_answer(node: Script, session_to: SessionTo, read: MakeCommand) -> None:
    """An answer has ended when the node says so, also when it leaves the channel open."""
    node.answers["version"] = b"3.9"
    node.eof.add("version")
    async with session_to(node) as session:
        assert (await session.ask(read("version"))).text == "3.9"


async def test_channel_that_ends_undecided(
    node: Script, session_to: SessionTo, read: MakeCommand, change: MakeCommand
) -> None:
    """A channel that ends before the node said yes or no may have run the command: a change is not sent again."""
    node.undecided = {"x"}
    async with session_to(node) as session:
        with pytest.raises(ConnectionLost, match="may or may not"):
            await session.do(change("x"))
        assert node.seen == ["x"]
        with pytest.raises(ConnectionLost, match="twice"):
            await session.ask(read("x"))
    assert (node.shell_starts, node.seen) == (0, ["x"] * 3)


async def test_cancelled_before_it_opened(node: Script, session_to: SessionTo, read: MakeCommand) -> None:
    """A command that is given up while its channel is being opened leaves the session usable."""
    node.answers["version"] = b"3.9"
    node.swallow_opens = True
    async with session_to(node) as session:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(session.ask(read("version")), 0.1)
        node.swallow_opens = False
        assert (await session.ask(read("version"))).text == "3.9"


@pytest.mark.usefixtures("short_pauses")
async def test_busy_node_that_denies_commands(node: Script, session_to: SessionTo, change: MakeCommand) -> None:
    """A node that has taken commands and denies one is busy: the command is tried again, and not in a shell."""
    node.answers = {"x": b"done", "y": b"done"}
    async with session_to(node) as session:
        await session.do(change("x"))
        node.deny = 3
        assert (await session.do(change("y"))).text == "done"
    assert (node.seen, node.shell_starts) == (["x", "y"], 0)
