"""The flat file store over SFTP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import asyncssh
import pytest

from cmscert.errors import AnswerTimeout, ConnectionLost, JournalError, StoreRefused, UnexpectedAnswer
from cmscert.model.commands import Command

if TYPE_CHECKING:
    from tests.transport.conftest import Relay, Script, SessionTo

MakeCommand = Callable[..., Command]
MIB = 1 << 20


async def test_files_there_and_back(node: Script, session_to: SessionTo) -> None:
    """A file that is put can be listed, read and removed; removing it again is fine; all on one SFTP session."""
    content = bytes(range(256)) * 300
    async with session_to(node) as session:
        assert await session.list_files() == ()
        await session.put_file("b.crt", content)
        await session.put_file("a.crt", b"")
        assert await session.list_files() == ("a.crt", "b.crt")
        assert await session.read_file("b.crt") == content
        assert await session.read_file("a.crt") == b""
        await session.put_file("b.crt", b"new")
        assert await session.read_file("b.crt") == b"new"
        await session.remove_file("b.crt")
        await session.remove_file("b.crt")
        assert await session.read_file("b.crt") is None
        assert await session.read_tail("b.crt", 5) is None
    assert (node.logins, node.sftp_starts) == (1, 1)


async def test_files_that_were_read_are_closed_in_time(
    node: Script, session_to: SessionTo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few stay open until the log-out, which closes them; none stays open when something is written."""
    closed: list[int] = []
    close = asyncssh.SFTPClientFile.close

    async def count(file: asyncssh.SFTPClientFile) -> None:
        closed.append(1)
        await close(file)

    monkeypatch.setattr(asyncssh.SFTPClientFile, "close", count)
    node.files |= {f"{number}.crt": b"x" for number in range(20)}
    async with session_to(node) as session:
        for name in node.files.copy():
            await session.read_file(name)
        assert len(closed) == 20 - 16
        await session.remove_file("0.crt")
        assert len(closed) == 20


async def test_nothing_is_opened_unasked(node: Script, session_to: SessionTo) -> None:
    """A session opens no channel before it is asked for something."""
    async with session_to(node):
        pass
    assert (node.most_channels, node.sftp_starts, node.logins) == (0, 0, 1)


@pytest.mark.parametrize(("stat", "short"), [(True, None), (False, None), (True, 7), (False, 7)])
async def test_short_answers_are_not_the_end(
    node: Script, session_to: SessionTo, short: int | None, *, stat: bool
) -> None:
    """A file is read to its end, whether or not the node tells its size or hands out small pieces."""
    node.stat, node.short_reads, node.files["a"] = stat, short, b"0123456789" * 20
    async with session_to(node) as session:
        assert await session.read_file("a") == node.files["a"]


@pytest.mark.parametrize(("size", "wanted"), [(3, b"789"), (100, b"0123456789"), (0, b"")])
async def test_tail(node: Script, session_to: SessionTo, size: int, wanted: bytes) -> None:
    """The end of a file is read without the rest of it, as [S1] does with the log."""
    node.files["log"] = b"0123456789"
    async with session_to(node) as session:
        assert await session.read_tail("log", size) == wanted


async def test_large_files(node: Script, session_to: SessionTo) -> None:
    """A file of 1 MiB is read, a larger one is refused, and the end of a large one can be read."""
    node.files |= {"fits": b"x" * MIB, "large": b"x" * MIB + b"y"}
    async with session_to(node) as session:
        assert await session.read_file("fits") == node.files["fits"]
        with pytest.raises(StoreRefused, match="core1: large is larger than 1 MiB"):
            await session.read_file("large")
        assert await session.read_tail("large", 2) == b"xy"


@pytest.mark.parametrize("short", [None, 1000])
async def test_files_of_any_size_are_fetched(node: Script, session_to: SessionTo, short: int | None) -> None:
    """What is too large to read is handed on in parts, in order and whole, also where answers are short."""
    node.files |= {"large": bytes(range(256)) * 4500, "empty": b""}
    node.short_reads = short
    parts: list[bytes] = []
    async with session_to(node) as session:
        assert await session.fetch_file("large", parts.append) == len(node.files["large"])
        assert await session.fetch_file("empty", parts.append) == 0
        assert await session.fetch_file("none", parts.append) is None
    assert b"".join(parts) == node.files["large"]
    assert max(map(len, parts)) <= 1 << 15
    assert node.logins == 1


async def test_fetching_goes_on_after_a_cut(node: Script, session_to: SessionTo) -> None:
    """On a new connection a fetch goes on where the first one ended, so nothing is handed on twice."""
    node.files["large"] = bytes(range(256)) * 4500
    parts: list[bytes] = []

    def take(part: bytes) -> None:
        parts.append(part)
        if len(parts) == 3:
            node.connections[0].abort()

    async with session_to(node) as session:
        assert await session.fetch_file("large", take) == len(node.files["large"])
    assert b"".join(parts) == node.files["large"]
    assert node.logins == 2


async def test_a_fetch_takes_as_long_as_parts_come(node: Script, session_to: SessionTo) -> None:
    """Time is limited for each part, not for the whole file; a node that falls silent is given up."""
    node.files["large"] = b"x" * (1 << 20)
    node.slow_reads = 0.15
    came = 0

    def take(part: bytes) -> None:
        nonlocal came
        came += len(part)

    async with session_to(node, answer=0.4) as session:
        assert await session.fetch_file("large", take) == came == 1 << 20
        node.slow_reads = 5.0
        with pytest.raises(AnswerTimeout, match="fetching large did not end within"):
            await session.fetch_file("large", take)


async def test_a_sink_that_fails_ends_the_fetch(node: Script, session_to: SessionTo) -> None:
    """What the sink raises comes out as it is, and the session goes on."""
    node.files["a"] = b"1"

    def full(_part: bytes) -> None:
        raise JournalError("no space left")

    async with session_to(node) as session:
        with pytest.raises(JournalError, match="no space left"):
            await session.fetch_file("a", full)
        assert await session.read_file("a") == b"1"


async def test_names_of_a_hostile_node(node: Script, session_to: SessionTo) -> None:
    """Names with paths, control characters, marks that turn text, or invalid UTF-8 are left out, and so are folders."""
    node.files["good-1.crt"] = b""
    node.folders = (b"folder",)
    node.raw_names = (
        b"../up",
        b"a/b",
        b"a\nb",
        b"\x1b[31mred",
        b"\xff\xfe",
        "a\u202eb".encode(),
        b".",
        b"..",
        b"x" * 300,
        b"a b",
    )
    async with session_to(node) as session:
        assert await session.list_files() == ("a b", "good-1.crt")


async def test_list_without_dot(node: Script, session_to: SessionTo) -> None:
    """Where the working folder cannot be listed, the root is."""
    node.dot = False
    node.files["a"] = b""
    async with session_to(node) as session:
        assert await session.list_files() == ("a",)


async def test_endless_list(node: Script, session_to: SessionTo, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that does not end is given up."""
    monkeypatch.setattr("cmscert.transport.store.NAMES_LIMIT", 10)
    node.raw_names = tuple(f"f{number}".encode() for number in range(20))
    async with session_to(node) as session:
        with pytest.raises(UnexpectedAnswer, match="the list of files: the node's SFTP answer cannot be understood"):
            await session.list_files()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc/passwd", "a\nb", "a\x00", "x" * 300, "\ud800"])
async def test_names_that_are_none(node: Script, session_to: SessionTo, name: str) -> None:
    """A name that could be a path or break a terminal is never sent."""
    async with session_to(node) as session:
        for use in (
            session.read_file(name),
            session.put_file(name, b""),
            session.remove_file(name),
            session.read_tail(name, 1),
        ):
            with pytest.raises(StoreRefused, match="no name of a file"):
                await use
    assert node.sftp_starts == 0


async def test_refusals(node: Script, session_to: SessionTo) -> None:
    """What the store refuses is told with its cleaned reason, and the next operation goes on."""
    node.files["a"] = b"1"
    async with session_to(node) as session:
        with pytest.raises(StoreRefused, match="core1: reading secret was refused: no way"):
            await session.read_file("secret")
        node.full = True
        with pytest.raises(StoreRefused, match="writing b was refused: No space left on device") as caught:
            await session.put_file("b", b"x")
        assert "df" in caught.value.hint
        assert await session.read_file("a") == b"1"
    assert node.sftp_starts == 1


async def test_short_write(node: Script, session_to: SessionTo) -> None:
    """A store that keeps less than it was given, and says nothing, has refused."""
    node.truncate = 3
    async with session_to(node) as session:
        with pytest.raises(StoreRefused, match="b was not stored whole: 3 of 5 bytes"):
            await session.put_file("b", b"12345")
        node.stat = False
        await session.put_file("b", b"12345")


async def test_nonsense_over_sftp(node: Script, session_to: SessionTo) -> None:
    """An SFTP answer that cannot be understood is an error, and SFTP is started anew for the next operation."""
    node.files["a"] = b"1"
    async with session_to(node) as session:
        with pytest.raises(UnexpectedAnswer, match="cannot be understood"):
            await session.read_file("odd")
        assert await session.read_file("a") == b"1"
    assert node.sftp_starts == 2


@pytest.mark.parametrize("way", ["list_files", "read_file"])
async def test_silent_store(node: Script, session_to: SessionTo, way: str) -> None:
    """An operation that does not end is given up in time, and the next one gets a fresh SFTP session."""
    node.files["a"] = b"1"
    node.sftp_silent = True
    async with session_to(node, answer=0.2) as session:
        with pytest.raises(AnswerTimeout, match=r"did not end within 0\.2 s"):
            await getattr(session, way)(*(["a"] if way == "read_file" else []))
        node.sftp_silent = False
        assert await session.read_file("a") == b"1"


async def test_cancelled_read(node: Script, session_to: SessionTo) -> None:
    """A caller that gives up is not kept waiting by a silent node."""
    node.files["a"] = b"1"
    async with session_to(node) as session:
        await session.list_files()
        node.sftp_silent = True
        task = asyncio.ensure_future(session.list_files())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 2)


async def test_sftp_refused_beside_commands(node: Script, session_to: SessionTo, read: MakeCommand) -> None:
    """Where the node refuses SFTP on the connection of the commands, it gets one of its own, for the whole run."""
    node.sftp = "apart"
    node.files["a"] = b"1"
    node.answers["version"] = b"3.9"
    async with session_to(node) as session:
        assert await session.read_file("a") == b"1"
        assert (await session.ask(read("version"))).text == "3.9"
        assert await session.list_files() == ("a",)
        assert node.logins == 2
        node.connections[1].abort()
        await node.connections[1].wait_closed()
        assert await session.read_file("a") == b"1"
    assert node.logins == 3


async def test_no_sftp_at_all(node: Script, session_to: SessionTo) -> None:
    """A node that gives no SFTP on any connection says so once and clearly."""
    node.sftp = "none"
    async with session_to(node) as session:
        with pytest.raises(StoreRefused, match=r"gives no access to its files \(SFTP\)"):
            await session.list_files()


async def test_sftp_that_talks_nonsense_at_start(
    node: Script, session_to: SessionTo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A subsystem that is granted and is no SFTP is as good as denied."""
    async with session_to(node) as session:
        monkeypatch.setattr(
            type(node).channel_class, "session_started", lambda channel: channel.channel.write(b"\0\0\0\5hello")
        )
        with pytest.raises(StoreRefused, match="gives no access"):
            await session.list_files()


@pytest.mark.usefixtures("short_pauses")
async def test_busy_node_opens_sftp_later(node: Script, session_to: SessionTo) -> None:
    """A refused channel for SFTP is asked for again before a second connection is made."""
    node.files["a"] = b"1"
    node.refuse = 3
    async with session_to(node) as session:
        assert await session.read_file("a") == b"1"
    assert node.logins == 1


async def test_sftp_start_without_an_answer(node: Script, session_to: SessionTo) -> None:
    """A node that does not answer the start of SFTP is given up, and its connection dropped."""
    node.swallow_opens = True
    node.files["a"] = b"1"
    async with session_to(node, answer=0.2) as session:
        with pytest.raises(AnswerTimeout, match="SFTP did not start"):
            await session.read_file("a")
        node.swallow_opens = False
        assert await session.read_file("a") == b"1"


@pytest.mark.usefixtures("short_pauses")
async def test_idle_sftp_gives_way(node: Script, session_to: SessionTo, read: MakeCommand) -> None:
    """On a node that allows one channel, the file session leaves the connection when a command is refused."""
    node.max_channels = 1
    node.files["a"] = b"1"
    node.answers["version"] = b"3.9"
    async with session_to(node) as session:
        assert await session.read_file("a") == b"1"
        assert (await session.ask(read("version"))).text == "3.9"
    assert node.logins == 1


async def test_sftp_gives_way_when_it_has_ended_what_it_does(
    node: Script, session_to: SessionTo, read: MakeCommand
) -> None:
    """On a node that allows one channel, files and commands at once are all read; files on a login of their own."""
    node.max_channels = 1
    node.slow_reads = 0.05
    node.files = {"a": b"1", "b": b"2"}
    node.answers["version"] = b"3.9"
    async with session_to(node) as session:
        assert await session.list_files() == ("a", "b")
        reads = [asyncio.ensure_future(session.read_file(name)) for name in node.files]
        await asyncio.sleep(0.02)
        assert (await session.ask(read("version"))).text == "3.9"
        assert [await each for each in reads] == [b"1", b"2"]
        assert await session.read_file("a") == b"1"
    assert node.logins == 2


async def test_reading_is_repeated_and_writing_is_not(node: Script, session_to: SessionTo) -> None:
    """A read that loses its connection is done again on a new one; a write says that nobody knows."""
    node.files["a"] = b"1"
    node.sftp_cut = 1
    async with session_to(node) as session:
        assert await session.read_file("a") == b"1"
        node.sftp_cut = 1
        with pytest.raises(ConnectionLost, match="the connection ended during writing b; it may or may not"):
            await session.put_file("b", b"2")
        node.sftp_cut = 2
        with pytest.raises(ConnectionLost, match="the connection ended during reading a, twice"):
            await session.read_file("a")


async def test_lost_in_the_middle_of_a_file(node: Script, session_to: SessionTo) -> None:
    """A connection that ends between two pieces of a file gives no half file."""
    node.files["a"] = b"x" * 100_000
    node.sftp_garbage = True
    async with session_to(node) as session:
        with pytest.raises(ConnectionLost):
            await session.read_file("a")


async def test_write_on_a_connection_that_ended(
    node: Script, session_to: SessionTo, relay_to: Callable[[int], Awaitable[Relay]]
) -> None:
    """A connection that ended while idle is opened again before a file is written: nothing had been sent."""
    relay = await relay_to(node.port)
    async with session_to(node, port=relay.port) as session:
        assert await session.list_files() == ()
        relay.cut()
        await session._open_line._connection.wait_closed()
        await session.put_file("a", b"1")
    assert node.files == {"a": b"1"}


async def test_sftp_lost_while_it_starts(node: Script, session_to: SessionTo) -> None:
    """A connection that ends while SFTP starts is opened again once, also for a write."""
    node.cut_opens = 1
    async with session_to(node) as session:
        await session.put_file("a", b"1")
    assert (node.files, node.logins) == ({"a": b"1"}, 2)


async def test_reads_at_once_are_bounded(node: Script, session_to: SessionTo) -> None:
    """A hundred reads at once are all answered on one SFTP session."""
    node.files = {f"f{number}": f"c{number}".encode() for number in range(100)}
    async with session_to(node) as session:
        contents = await asyncio.gather(*(session.read_file(name) for name in node.files))
    assert contents == list(node.files.values())
    assert (node.logins, node.sftp_starts) == (1, 1)


async def test_reads_lost_together(node: Script, session_to: SessionTo) -> None:
    """Reads that lose one connection together are all done again on the next one."""
    node.files = {"a": b"1", "b": b"2", "c": b"3"}
    async with session_to(node) as session:
        await session.list_files()
        node.sftp_cut = 1
        assert await asyncio.gather(*(session.read_file(name) for name in "abc")) == [b"1", b"2", b"3"]
    assert node.logins == 2


async def test_sftp_starts_anew_on_its_own_connection(node: Script, session_to: SessionTo) -> None:
    """When SFTP on its own connection has to be started anew, that connection is kept."""
    node.sftp = "apart"
    node.files["a"] = b"1"
    async with session_to(node) as session:
        with pytest.raises(UnexpectedAnswer):
            await session.read_file("odd")
        assert await session.read_file("a") == b"1"
    assert (node.logins, node.sftp_starts) == (2, 2)


async def test_connection_lost_while_sftp_is_granted(node: Script, session_to: SessionTo) -> None:
    """A connection that ends while SFTP is being granted is opened once more, also for a write."""
    node.sftp_cut_start = 1
    async with session_to(node) as session:
        await session.put_file("a", b"1")
    assert (node.files, node.logins) == ({"a": b"1"}, 2)
