"""What a port serves: the certificates that a TLS handshake shows, read and not trusted.

Nothing is verified, no certificate of ours is shown, and no application byte is ever sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import AsyncIterator
from functools import cache
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from cmscert.model.readings import ABSENT, Known, Reading, Unread
from cmscert.pki.certificate import Certificate, parse_certificate
from cmscert.transport.tcp import dial, reason

if TYPE_CHECKING:
    from OpenSSL import SSL

PROBE_SECONDS = 5.0
PROBE_BYTES = 1 << 18
"""All bytes of one handshake that are taken (256 KiB): a chain is a few KiB."""

BLOCK = 16_384
"""Bytes that are taken, or sent, at once: what we say ourselves in one handshake is far less."""

# Security level 0 and old ciphers: a port with an old key or signature is to be reported, not to be skipped.
CIPHERS = b"ALL:!aNULL:!eNULL:!PSK:!SRP:@SECLEVEL=0"
HANDSHAKES = 64
"""At once, of all ports of a fleet: each holds some 50 KiB (measured)."""

TURN_SECONDS = 0.5
"""After that a handshake does not count any more: a port that takes its time, or says nothing, holds up no other."""

LEGACY_SERVER_CONNECT = 0x4  # SSL_OP_LEGACY_SERVER_CONNECT, which pyOpenSSL has no name for


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


class _NoChainError(Exception):
    """The handshake ended without a certificate; the text says how."""


async def probe(
    address: str,
    port: int,
    server_name: str,
    *,
    timeout: float = PROBE_SECONDS,  # noqa: ASYNC109 - agreed interface
) -> Reading[tuple[Certificate, ...]]:
    """Return the chain that a port serves for a name, as served, leaf first.

    ``timeout`` in seconds is for everything together but the wait for a turn. Absent when nothing listens there; Unread
    says why not. TLS 1.2 and 1.3, IPv4 and IPv6; an address as ``server_name`` sends no SNI, as RFC 6066 wants it. The
    chain is also read where the server then refuses us for want of a client certificate.
    """
    place = f"{address} port {port}"
    try:
        async with asyncio.timeout(timeout) as limit:
            with await dial(address, port) as sock:
                async with _turn(limit):
                    chain = await _shown_chain(sock, server_name)
    except ConnectionRefusedError:
        return ABSENT
    except TimeoutError:
        return Unread(f"{place} did not finish a TLS handshake within {timeout:g} s")
    except OSError as error:
        return Unread(f"{place}: {reason(error)}")
    except _NoChainError as error:
        return Unread(f"{place} {error}")
    try:
        return Known(tuple(parse_certificate(der) for der in chain))
    except ValueError as error:
        return Unread(f"{place} serves a certificate that cannot be read: {error}")


@contextlib.asynccontextmanager
async def _turn(limit: asyncio.Timeout) -> AsyncIterator[None]:
    """Wait for a place among those that shake hands; the time limit stands still meanwhile."""
    loop = asyncio.get_running_loop()
    places = _turns.setdefault(loop, asyncio.Semaphore(HANDSHAKES))
    ends, began = limit.when(), loop.time()
    limit.reschedule(None)
    await places.acquire()
    if ends is not None:
        limit.reschedule(ends + loop.time() - began)
    over = loop.call_later(TURN_SECONDS, places.release)
    try:
        yield
    finally:
        if not over.cancelled() and over.when() > loop.time():
            over.cancel()
            places.release()


@cache
def _context() -> SSL.Context:
    from OpenSSL import SSL

    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_verify(SSL.VERIFY_NONE)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)  # of every port of a fleet that is probed at once
    context.set_cipher_list(CIPHERS)
    context.set_options(LEGACY_SERVER_CONNECT)
    return context


async def _shown_chain(sock: socket.socket, server_name: str) -> list[bytes]:
    """Shake hands and return the DER certificates that were shown."""
    from OpenSSL import SSL, crypto

    connection = SSL.Connection(_context())
    connection.set_connect_state()
    if sni := _sni(server_name):
        connection.set_tlsext_host_name(sni)
    ending = await _shake_hands(connection, sock)
    # A TLS 1.2 server that wants a client certificate fails the handshake; its own chain has come by then.
    shown = connection.get_peer_cert_chain()
    if not shown:
        raise _NoChainError(ending or "showed no certificate")
    return [crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate) for certificate in shown]


async def _shake_hands(connection: SSL.Connection, sock: socket.socket) -> str | None:
    """Drive the handshake over memory buffers; return how it failed, None when it did not."""
    from OpenSSL import SSL

    loop = asyncio.get_running_loop()
    taken = 0
    while True:
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            await loop.sock_sendall(sock, _pending(connection))
        except SSL.Error:
            _say_goodbye(connection, sock)
            return "does not speak TLS 1.2 or 1.3"
        else:
            connection.shutdown()
            _say_goodbye(connection, sock)
            return None
        try:
            part = await loop.sock_recv(sock, BLOCK)
        except ConnectionError:
            part = b""
        taken += len(part)
        if not part:
            return "closed the connection during the TLS handshake"
        if taken > PROBE_BYTES:
            return "sends more than a TLS handshake can hold"
        connection.bio_write(part)


def _pending(connection: SSL.Connection) -> bytes:
    from OpenSSL import SSL

    try:
        return connection.bio_read(BLOCK)
    except SSL.WantReadError:
        return b""


def _say_goodbye(connection: SSL.Connection, sock: socket.socket) -> None:
    """Send what ends the handshake properly, as far as the socket takes it at once: the chain is read already."""
    with contextlib.suppress(OSError):
        sock.send(_pending(connection))


def _sni(server_name: str) -> bytes | None:
    """Return the name for SNI, None for an address or for what is no host name."""
    try:
        ipaddress.ip_address(server_name)
    except ValueError:
        pass
    else:
        return None
    try:
        return server_name.rstrip(".").encode("idna") or None
    except UnicodeError:
        return None
