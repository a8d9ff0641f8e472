"""One TCP connection: connected, nothing sent yet."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Sequence
from typing import Any

CLIENT_HELLO = b"SSH-2.0-cmscert\r\n"
LISTEN_SECONDS = 2.0
LISTEN_BYTES = 256

_Place = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[Any, ...]]


async def dial(address: str, port: int) -> socket.socket:
    """Return a connected non-blocking socket; IPv4 and IPv6, the first address that answers.

    Raises OSError (``socket.gaierror`` when the name is unknown); the caller sets the time limit.
    """
    failures: list[OSError] = []
    for family, kind, protocol, _, place in await _places(address, port):
        try:
            return await _dial_one(socket.socket(family, kind, protocol), place)
        except OSError as error:
            failures.append(error)
    raise failures[0]


async def _places(address: str, port: int) -> Sequence[_Place]:
    """Look a name up, which takes a thread; an address needs none."""
    with contextlib.suppress(OSError, UnicodeError):
        return socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    try:
        return await asyncio.get_running_loop().getaddrinfo(address, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise socket.gaierror(socket.EAI_NONAME, "not a host name") from error


async def _dial_one(sock: socket.socket, place: tuple[object, ...]) -> socket.socket:
    try:
        sock.setblocking(False)  # noqa: FBT003 - socket's own signature
        await asyncio.get_running_loop().sock_connect(sock, place)
    except BaseException:
        sock.close()
        raise
    return sock


def reason(error: OSError) -> str:
    """Say in a few words why there is no connection: the operating system's words, without Python's additions."""
    if isinstance(error, socket.gaierror):
        return "the name is unknown"
    return os.strerror(error.errno).lower() if error.errno else "no connection"


async def first_words(address: str, port: int) -> bytes:
    """Return the first line that a server says to an SSH client's greeting.

    It tells a web server from an SSH server that hung up.
    At most 256 bytes in 2 seconds; empty when it says nothing or cannot be reached.
    """
    loop = asyncio.get_running_loop()
    heard = b""
    try:
        async with asyncio.timeout(LISTEN_SECONDS):
            with await dial(address, port) as sock:
                await loop.sock_sendall(sock, CLIENT_HELLO)
                while b"\n" not in heard and len(heard) < LISTEN_BYTES:
                    part = await loop.sock_recv(sock, LISTEN_BYTES)
                    if not part:
                        break
                    heard += part
    except OSError:  # also the time limit: TimeoutError is an OSError
        pass
    return heard
