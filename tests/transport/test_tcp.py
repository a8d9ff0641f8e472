"""TCP connections and the words that go with them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from cmscert.transport.tcp import dial, first_words, reason

RawServer = Callable[..., Awaitable[int]]


async def test_first_line(raw_server: RawServer) -> None:
    """What is heard is the first line, and the server is greeted as by an SSH client."""
    greetings = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        greetings.append(await reader.readline())
        writer.write(b"HTTP/1.1 400\r\nrest")
        await reader.read()

    assert (await first_words("127.0.0.1", await raw_server(serve))).startswith(b"HTTP/1.1 400\r\n")
    assert greetings == [b"SSH-2.0-cmscert\r\n"]


async def test_half_a_line(raw_server: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not end its line is not waited for, and neither is one that is not there."""
    monkeypatch.setattr("cmscert.transport.tcp.LISTEN_SECONDS", 0.1)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hel")
        await reader.read()

    assert await first_words("127.0.0.1", await raw_server(serve)) == b"hel"
    assert await first_words("no-such-host.invalid", 1) == b""


async def test_second_address(raw_server: RawServer, monkeypatch: pytest.MonkeyPatch, unused_port: int) -> None:
    """Of several addresses of a name the first that answers is taken; the first failure is told when none does."""

    async def serve(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    port = await raw_server(serve)
    places = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", there)) for there in (unused_port, port)]

    async def resolve(*_: object, **__: object) -> list[object]:
        return places

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    with await dial("any.example", 22) as sock:
        assert sock.getpeername() == ("127.0.0.1", port)
    places.pop()
    with pytest.raises(ConnectionRefusedError):
        await dial("any.example", 22)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(111, "Connect call failed"), "connection refused"),
        (socket.gaierror(-2, "Name or service not known"), "the name is unknown"),
        (OSError("odd"), "no connection"),
    ],
)
def test_reasons(error: OSError, words: str) -> None:
    """A failure is told in the operating system's words."""
    assert reason(error) == words


async def test_an_address_needs_no_thread(raw_server: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only names are looked up, which takes a thread each."""

    async def serve(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    port = await raw_server(serve)
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", None)
    with await dial("127.0.0.1", port) as sock:
        assert sock.getpeername() == ("127.0.0.1", port)
