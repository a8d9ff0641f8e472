"""TLS as the services serve it: what was loaded stays until the next enable or restart."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from cmscert.lab import material

GREETING: Final = b"C2W\n"
"""What a C2W listener says to a client that it accepts; TLS 1.3 alone does not tell a client whether it was."""

_HANDSHAKE_SECONDS: Final = 5.0
_OLD_TOO: Final = "DEFAULT:@SECLEVEL=0"  # a node with a small or SHA-1 certificate serves it as well


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What a service holds in memory for one slot.

    ``chain``: DER, leaf first, as presented. ``trust``: DER certificates that a peer is checked against.
    """

    chain: tuple[bytes, ...] = ()
    key: bytes = b""
    trust: tuple[bytes, ...] = ()

    @property
    def leaf(self) -> bytes | None:
        """The certificate itself, DER; None for a trust slot."""
        return self.chain[0] if self.chain else None


def load_identity(key: bytes, certificate_file: bytes, bundle: bytes | None) -> Loaded:
    """Read key, certificate file and bundle. Raises UnreadableError when they cannot be served."""
    if not material.fits(key, certificate_file):
        raise material.UnreadableError("key and certificate do not belong together")
    presented = [*material.certificates(certificate_file), *(material.certificates(bundle) if bundle else ())]
    return Loaded(chain=tuple(dict.fromkeys(map(material.der, presented))), key=material.key_pem(key))


def load_trust(bundle: bytes) -> Loaded:
    """Read a trust file. Raises UnreadableError."""
    return Loaded(trust=tuple(map(material.der, material.certificates(bundle))))


def server_context(loaded: Loaded, trust: Sequence[bytes] | None = None) -> ssl.SSLContext:
    """Serve a loaded certificate; with ``trust`` a client has to show one that passes it (a leaf in it will do)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers(_OLD_TOO)
    _present(context, loaded)
    if trust is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        _accept(context, trust)
    return context


def client_context(loaded: Loaded, trust: Sequence[bytes]) -> ssl.SSLContext:
    """Show a loaded certificate as a client, and take servers that pass ``trust``; names are checked by the caller."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.set_ciphers(_OLD_TOO)
    _present(context, loaded)
    _accept(context, trust)
    return context


def _accept(context: ssl.SSLContext, trust: Sequence[bytes]) -> None:
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # a leaf in the trust file is enough: 4.4, [S3]
    if trust:
        context.load_verify_locations(cadata=b"".join(trust))


def _present(context: ssl.SSLContext, loaded: Loaded) -> None:
    with tempfile.TemporaryDirectory(prefix="cms-lab-") as folder:  # made for its owner alone
        path = Path(folder) / "pair.pem"
        path.write_bytes(loaded.key + b"".join(ssl.DER_cert_to_PEM_cert(part).encode() for part in loaded.chain))
        context.load_cert_chain(path, password="")


class _Silent(asyncio.Protocol):
    """Keeps a connection open; what arrives is dropped."""

    def __init__(self, forget: Callable[[], None]) -> None:
        self._forget = forget

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio calls it with the reason
        self._forget()


class _Door(asyncio.Protocol):
    """A connection before TLS: its first bytes are for that."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()


class Listener:
    """One port: kept for its service while closed, so that nobody else on the machine gets it in between."""

    def __init__(self, bind: str) -> None:
        self._bind = bind
        self._kept: socket.socket | None = None
        self._listening: socket.socket | None = None
        self._connections: set[asyncio.Transport] = set()
        self._handshakes: set[asyncio.Task[None]] = set()
        self.port = 0

    def keep(self, port: int) -> None:
        """Take a port (0: any free one) without listening on it. Raises OSError."""
        if self._kept is not None and self.port == port:
            return
        self.release()
        kept = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            kept.setblocking(False)  # noqa: FBT003 - the socket module takes it by place
            kept.bind((self._bind, port))
        except OSError:
            kept.close()
            raise
        self._kept = kept
        self.port = kept.getsockname()[1]

    async def open(self, loaded: Loaded, trust: Sequence[bytes] | None = None) -> None:
        """Serve a loaded certificate on the kept port; with ``trust`` as ``server_context`` does, with a greeting.

        Raises OSError when another service of the node has the port, or when OpenSSL refuses to serve that.
        """
        assert self._kept is not None
        context, greeting = server_context(loaded, trust), b"" if trust is None else GREETING
        self._kept.listen()
        self._listening, self._kept = self._kept, None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._listening, partial(self._admit, self._listening, context, greeting))

    def _admit(self, listening: socket.socket, context: ssl.SSLContext, greeting: bytes) -> None:
        """Take a connection. An ``asyncio.Server`` that is closed right after it took one leaves half of it behind."""
        try:
            arrived, _ = listening.accept()
        except OSError:  # the client is gone again
            return
        arrived.setblocking(False)  # noqa: FBT003 - the socket module takes it by place
        handshake = asyncio.get_running_loop().create_task(self._secure(arrived, listening, context, greeting))
        self._handshakes.add(handshake)
        handshake.add_done_callback(self._handshakes.discard)

    async def _secure(
        self, arrived: socket.socket, listening: socket.socket, context: ssl.SSLContext, greeting: bytes
    ) -> None:
        plain, _ = await asyncio.get_running_loop().connect_accepted_socket(_Door, arrived)
        if self._listening is not listening:  # closed meanwhile
            plain.abort()
            return
        self._connections.add(plain)
        forget = partial(self._connections.discard, plain)
        try:
            secured = await asyncio.get_running_loop().start_tls(
                plain, _Silent(forget), context, server_side=True, ssl_handshake_timeout=_HANDSHAKE_SECONDS
            )
        except OSError:  # the client does not like what it sees, or is not liked
            plain.abort()
            forget()
            return
        if secured is None:  # closed meanwhile
            forget()
        elif greeting:
            secured.write(greeting)

    def close(self) -> None:
        """Stop listening, end the connections, keep the port."""
        if self._listening is None:
            return
        self._loop.remove_reader(self._listening)
        self._listening.close()
        self._listening = None
        for transport in tuple(self._connections):
            transport.abort()
        with contextlib.suppress(OSError):  # taken meanwhile: the next open says so
            self.keep(self.port)

    async def closed(self) -> None:
        """Wait for handshakes that a close has cut off."""
        while self._handshakes:
            await asyncio.wait(self._handshakes)

    def release(self) -> None:
        """Give the port back."""
        self.close()
        if self._kept is not None:
            self._kept.close()
            self._kept = None
