"""One TCP connection: connected, nothing sent yet."""

from __future__ import annotations

import asyncio
import os
import socket

CLIENT_HELLO = b"SSH-2.0-cmscert\r\n"
LISTEN_SECONDS = 2.0
LISTEN_BYTES = 256


async def dial(address: str, port: int) -> socket.socket:
    """Return a connected non-blocking socket; IPv4 and IPv6, the first address that answers.

    Raises OSError (``socket.gaierror`` when the name is unknown); the caller sets the time limit.
    """
    loop = asyncio.get_running_loop()
    try:
        places = await loop.getaddrinfo(address, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise socket.gaierror(socket.EAI_NONAME, "not a host name") from error
    failures: list[OSError] = []
    for family, kind, protocol, _, place in places:
        try:
            return await _dial_one(socket.socket(family, kind, protocol), place)
        except OSError as error:
            failures.append(error)
    raise failures[0]


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
