"""A port of the lab: whatever moment a stop meets, nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl

import pytest

from cmscert.lab.tls import Listener, load_identity
from cmscert.testing.ca import ThrowAwayCa

ISSUED = ThrowAwayCa.root("Lab Root").issue("cms.example.com", sans=["cms.example.com"])
LOADED = load_identity(ISSUED.key_pem, ISSUED.certificate_pem, None)


async def listening() -> Listener:
    """Open a listener on any free port."""
    listener = Listener("127.0.0.1")
    listener.keep(0)
    await listener.open(LOADED)
    return listener


@pytest.mark.parametrize("turns", range(8))
async def test_a_stop_leaves_nothing_of_a_connection_that_just_came(turns: int) -> None:
    """A connection is closed whole, however far it had come when the port was closed (a leak is an error here)."""
    listener = await listening()
    clients = [socket.create_connection(("127.0.0.1", listener.port)) for _ in range(3)]
    for _ in range(turns):
        await asyncio.sleep(0)
    listener.close()
    await listener.closed()
    for client in clients:
        client.settimeout(5)
        with client:
            assert await asyncio.to_thread(_rest, client) == b""
    listener.release()
    gc.collect()


def _rest(client: socket.socket) -> bytes:
    try:
        return client.recv(100)
    except ConnectionResetError:
        return b""


async def test_a_port_opens_again_where_it_was() -> None:
    """A port that is closed is kept, and serves again on the same number."""
    listener = await listening()
    port = listener.port
    listener.close()
    await listener.open(LOADED)
    assert listener.port == port
    pem = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port))
    assert pem == ISSUED.certificate_pem.decode()
    listener.release()
    await listener.closed()
