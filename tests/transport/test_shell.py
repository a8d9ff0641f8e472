"""Commands in a shell: where the node takes none otherwise, and where it asks back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmscert.errors import AnswerTimeout, ConnectionLost, NotACms, UnexpectedAnswer
from cmscert.model.commands import Command
from cmscert.transport.shell import _after_echo, _plain

if TYPE_CHECKING:
    from tests.transport.conftest import Script, SessionTo

MakeCommand = Callable[..., Command]
QUESTION = (
    b"WARNING!!!\r\nAre you sure you wish to detach this node from the database cluster? (Y/n)\r\n"
    b"The contents of this node's database will be destroyed!\r\n"
)


@pytest.fixture
def shell_node(node: Script) -> Script:
    """A server that takes no commands on exec channels."""
    node.exec_channel = False
    return node


async def test_shell_where_commands_are_denied(
    shell_node: Script, session_to: SessionTo, read: MakeCommand, change: MakeCommand
) -> None:
    """Where exec is denied, one shell serves all commands; echo and prompt are not part of the answers."""
    shell_node.answers |= {"webadmin": b"Enabled : true\r\nTLS port : 445\r\n", "webadmin certs a b": b""}
    async with session_to(shell_node) as session:
        assert (await session.ask(read("webadmin"))).text == "Enabled : true\nTLS port : 445\n"
        assert (await session.do(change("webadmin certs a b"))).text == ""
        assert (await session.ask(read("webadmin"))).text.startswith("Enabled")
    assert (shell_node.shell_starts, shell_node.logins, len(shell_node.seen)) == (1, 1, 3)


@pytest.mark.parametrize("hostname", ["CMS", "cms01", "wb3", "streamer.example.com", "a-b.c"])
async def test_prompts(shell_node: Script, session_to: SessionTo, read: MakeCommand, hostname: str) -> None:
    """The prompt follows the host name, capitals and whole domain names included (fact 1.2)."""
    shell_node.hostname = hostname
    shell_node.answers["version"] = b"3.9\r\n"
    async with session_to(shell_node) as session:
        assert (await session.ask(read("version"))).text == "3.9\n"


async def test_greeting_that_looks_like_a_prompt(shell_node: Script, session_to: SessionTo, read: MakeCommand) -> None:
    """A greeting that for a moment ends like a prompt is not taken for it: the prompt is what comes twice."""
    shell_node.greeting = (b"hello> ", b"dear user\r\nnews> ", b"none\r\n\x1b[0m")
    shell_node.answers["version"] = b"3.9\r\n"
    async with session_to(shell_node) as session:
        assert (await session.ask(read("version"))).text == "3.9\n"


async def test_text_that_looks_like_a_prompt(shell_node: Script, session_to: SessionTo, read: MakeCommand) -> None:
    """Prompt-like lines and even the prompt itself inside an answer do not end it."""
    shell_node.answers["help"] = b"type\r\nfoo> version\r\nbar> \0\r\ncms1> \0version\r\nxcms1> \0end\r\n"
    shell_node.pieces = 0.005
    async with session_to(shell_node) as session:
        text = (await session.ask(read("help"))).text
    assert text == "type\nfoo> version\nbar> \ncms1> version\nxcms1> end\n"


async def test_shell_without_echo(
    shell_node: Script, session_to: SessionTo, read: MakeCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell without echo or prompts for empty lines, and answers without a line end, are understood, slower."""
    monkeypatch.setattr("cmscert.transport.shell.DOUBT_SECONDS", 0.1)
    shell_node.echo = shell_node.empty_line = False
    shell_node.answers |= {"version": b"3.9\r\n", "date": b"no line end "}
    async with session_to(shell_node) as session:
        assert (await session.ask(read("version"))).text == "3.9\n"
        assert (await session.ask(read("date"))).text == "no line end "


@pytest.mark.parametrize("question", [QUESTION, b"Sure (Y/N) ", b"Remove this node?\r\n", b"Really (capital Y)\r\n"])
async def test_confirmed_with_a_capital_y(
    node: Script, session_to: SessionTo, change: MakeCommand, question: bytes
) -> None:
    """A command that confirms runs in a shell and is given Y and Enter ([S13b]); the question is in the answer."""
    node.asks["database cluster remove"] = question
    node.answers["database cluster remove"] = b"Removal started...\r\n"
    async with session_to(node) as session:
        reply = await session.do(change("database cluster remove", confirms=True))
    assert node.seen == ["asked database cluster remove", "database cluster remove"]
    assert reply.text.startswith(question.decode().replace("\r\n", "\n"))
    assert reply.text.endswith("Y\nRemoval started...\n")


async def test_confirm_that_does_not_ask(node: Script, session_to: SessionTo, change: MakeCommand) -> None:
    """Where no question comes nothing is typed: the device may refuse before it asks."""
    node.answers["database cluster remove"] = b"FAILURE: (not) in a cluster\r\n"
    async with session_to(node) as session:
        reply = await session.do(change("database cluster remove", confirms=True))
    assert reply.text == "FAILURE: (not) in a cluster\n"


@pytest.mark.parametrize("question", [b"Continue (yes/no)? ", b"Sure? [y/N] ", b"--More--"])
async def test_other_question(
    node: Script, session_to: SessionTo, change: MakeCommand, monkeypatch: pytest.MonkeyPatch, question: bytes
) -> None:
    """A question of another wording is not answered: the run on this server stops with its text."""
    monkeypatch.setattr("cmscert.transport.shell.DOUBT_SECONDS", 0.1)
    node.asks["upgrade"] = question
    async with session_to(node) as session:
        with pytest.raises(UnexpectedAnswer, match="asks something unknown, and nothing was answered"):
            await session.do(change("upgrade", confirms=True))
    assert node.seen == ["asked upgrade"]


async def test_question_of_a_command_that_does_not_confirm(
    shell_node: Script, session_to: SessionTo, change: MakeCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A (Y/n) that the command table does not know of is not answered, and its shell is not used again."""
    monkeypatch.setattr("cmscert.transport.shell.DOUBT_SECONDS", 0.1)
    shell_node.asks["reboot"] = b"Sure? (Y/n) "
    shell_node.answers["version"] = b"3.9\r\n"
    async with session_to(shell_node) as session:
        with pytest.raises(UnexpectedAnswer, match="Sure"):
            await session.do(change("reboot"))
        assert (await session.do(change("version"))).text == "3.9\n"
    assert (shell_node.seen, shell_node.shell_starts) == (["asked reboot", "version"], 2)


async def test_second_question(
    node: Script, session_to: SessionTo, change: MakeCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One Y is given to a command, not two."""
    monkeypatch.setattr("cmscert.transport.shell.DOUBT_SECONDS", 0.1)
    node.asks["upgrade"] = QUESTION
    node.answers["upgrade"] = b"Really, really? (Y/n) "
    node.silent.add("upgrade")
    async with session_to(node) as session:
        with pytest.raises(UnexpectedAnswer, match="Really, really"):
            await session.do(change("upgrade", confirms=True))


@pytest.mark.parametrize(
    ("text", "error"), [(b"Password:", UnexpectedAnswer), (b"working\r\n", AnswerTimeout), (b"", AnswerTimeout)]
)
async def test_shell_that_falls_silent(
    shell_node: Script, session_to: SessionTo, change: MakeCommand, text: bytes, error: type[Exception]
) -> None:
    """A line that is begun and not ended is an unknown prompt; anything else is a late answer."""
    shell_node.answers["x"] = text
    shell_node.silent.add("x")
    async with session_to(shell_node, answer=0.3) as session:
        with pytest.raises(error):
            await session.do(change("x"))


async def test_shell_answer_is_limited(shell_node: Script, session_to: SessionTo, read: MakeCommand) -> None:
    """The limit of an answer holds in a shell too."""
    shell_node.answers["help"] = b"line\r\n" * 900_000
    async with session_to(shell_node) as session:
        with pytest.raises(UnexpectedAnswer, match="longer than 1 MiB"):
            await session.ask(read("help"))


async def test_cut_in_a_shell(
    shell_node: Script, session_to: SessionTo, read: MakeCommand, change: MakeCommand
) -> None:
    """In a shell too, reading is repeated once on a new connection and a change is not."""
    shell_node.answers["version"] = b"3.9\r\n"
    shell_node.cut = {"version": 1, "reboot": 1}
    async with session_to(shell_node) as session:
        assert (await session.ask(read("version"))).text == "3.9\n"
        with pytest.raises(ConnectionLost, match="may or may not"):
            await session.do(change("reboot"))
    assert shell_node.seen == ["version", "version", "reboot"]


@pytest.mark.parametrize("lacks", ["shell", "pty"])
async def test_no_command_line_at_all(shell_node: Script, session_to: SessionTo, read: MakeCommand, lacks: str) -> None:
    """A server that logs the user in and gives neither commands nor a shell is not a CMS."""
    setattr(shell_node, lacks, False)
    async with session_to(shell_node) as session:
        with pytest.raises(NotACms, match="gives no command line"):
            await session.ask(read("version"))


async def test_shell_of_something_else(shell_node: Script, session_to: SessionTo, read: MakeCommand) -> None:
    """A shell whose prompt is not a host name and > is not that of a CMS."""
    shell_node.hostname = "root@linux:~#"
    async with session_to(shell_node, login=0.5) as session:
        with pytest.raises(NotACms, match=r"shows no prompt of a CMS within 0\.5 s"):
            await session.ask(read("version"))


async def test_shell_open_without_an_answer(node: Script, session_to: SessionTo, change: MakeCommand) -> None:
    """A node that does not answer the opening of a shell is given up."""
    async with session_to(node, login=0.3) as session:
        node.swallow_opens = True
        with pytest.raises(NotACms):
            await session.do(change("upgrade", confirms=True))
        assert session._open_line.closed


@pytest.mark.parametrize("gone", ["channel", "connection"])
async def test_shell_that_ends_at_once(
    node: Script, session_to: SessionTo, change: MakeCommand, gone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell that ends before its prompt is no command line; a connection that ends then is opened once more."""
    started = []

    async def end(channel: object) -> None:
        started.append(gone)
        (channel.channel if gone == "channel" else channel.channel.get_connection()).abort()

    async with session_to(node) as session:
        monkeypatch.setattr(type(node).channel_class, "_shell", end)
        with pytest.raises(NotACms if gone == "channel" else ConnectionLost):
            await session.do(change("upgrade", confirms=True))
    assert len(started) == (1 if gone == "channel" else 2)


@pytest.mark.usefixtures("short_pauses")
async def test_idle_shell_gives_way(
    node: Script, session_to: SessionTo, read: MakeCommand, change: MakeCommand
) -> None:
    """On a node that allows one channel, an idle shell is closed for a command, and opened again when needed."""
    node.max_channels = 1
    node.asks["upgrade"] = QUESTION
    node.answers |= {"upgrade": b"done\r\n", "version": b"3.9"}
    async with session_to(node) as session:
        for _ in range(2):
            assert (await session.do(change("upgrade", confirms=True))).text.endswith("done\n")
            assert (await session.ask(read("version"))).text == "3.9"
    assert (node.shell_starts, node.logins) == (2, 1)


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("version\n3.9\n", "3.9\n"),
        ("\ncms1> cms1> version\n3.9\n", "3.9\n"),
        ("ver\nsion \n3.9", "3.9"),
        ("version", None),
        ("ver", None),
        ("3.9\n", None),
        ("", None),
    ],
)
def test_echo(text: str, rest: str | None) -> None:
    """The echo is found in spite of redrawn prompts and broken lines, and only when its line has ended."""
    assert _after_echo(text, "cms1>", "version") == rest


@given(st.binary())
def test_plain_text_of_anything(raw: bytes) -> None:
    """Whatever bytes come, what is looked at holds no control character but line end and tab."""
    assert all(letter in "\n\t" or letter >= " " for letter in _plain(raw))
