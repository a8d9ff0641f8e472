"""A small name server on loopback: takes signed updates over TCP, and shows its TXT records over UDP and TCP."""

from __future__ import annotations

import asyncio
import struct
import threading
from dataclasses import dataclass, field
from typing import Any, Self

import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.tsig
import dns.update

KEY_NAME = "cmscert.example.com"
KEY = "c2VjcmV0IG9mIHRoZSB0ZXN0cw=="
_PATIENCE = 10.0


@dataclass
class NameServer:
    """Holds the records of one zone.

    ``refuses``: the answer to every update. ``deaf``: nothing is answered. ``shows_after``: how many questions about a
    record are answered without it. ``aliases``: CNAMEs. ``servers``: of the zone, with
    their addresses.
    """

    zone: str = "example.com"
    refuses: dns.rcode.Rcode | None = None
    deaf: bool = False
    shows_after: int = 0
    records: dict[str, set[str]] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    servers: dict[str, str] = field(default_factory=lambda: {"ns1.example.com": "127.0.0.1"})
    history: list[tuple[str, str, str]] = field(default_factory=list)
    asked: int = 0
    port: int = 0

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        up = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(up,), daemon=True)
        self._thread.start()
        if not up.wait(_PATIENCE):
            raise TimeoutError("the name server did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(_PATIENCE)

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"127.0.0.1:{self.port}"

    def _run(self, up: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve(up))
        self._loop.close()

    async def _serve(self, up: threading.Event) -> None:
        self._over = asyncio.Event()
        server = await asyncio.start_server(self._stream, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        packets, _ = await self._loop.create_datagram_endpoint(lambda: _Packets(self), ("127.0.0.1", self.port))
        up.set()
        await self._over.wait()
        server.close()
        packets.close()
        await asyncio.sleep(0)

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not self.deaf:
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                answer = self.answer(await reader.readexactly(length))
                writer.write(struct.pack("!H", len(answer)) + answer)
                await writer.drain()
            await self._over.wait()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def answer(self, wire: bytes) -> bytes:
        """Answer a message."""
        name = dns.name.from_text(KEY_NAME)
        key = dns.tsig.Key(name, KEY)
        try:
            message = dns.message.from_wire(wire, keyring={name: key})
        except dns.tsig.BadSignature:
            return _rejected(wire, dns.rcode.BADSIG)
        except dns.message.UnknownTSIGKey:
            return _rejected(wire, dns.rcode.BADKEY)
        response = dns.message.make_response(message)
        if isinstance(message, dns.update.UpdateMessage):
            response.set_rcode(self._update(message))
        else:
            self._look_up(message, response)
        return bytes(response.to_wire())

    def _update(self, message: dns.update.UpdateMessage) -> dns.rcode.Rcode:
        if self.refuses is not None:
            return self.refuses
        if message.keyring is None or not message.had_tsig:
            return dns.rcode.REFUSED
        if message.zone[0].name != dns.name.from_text(self.zone):
            return dns.rcode.NOTAUTH
        for rrset in message.update:
            name = rrset.name.derelativize(message.zone[0].name).to_text(omit_final_dot=True)
            for text in rrset:
                value = b"".join(text.strings).decode()
                adds = rrset.deleting is None
                self.history.append(("present" if adds else "cleanup", name, value))
                held = self.records.setdefault(name, set())
                (held.add if adds else held.discard)(value)
        return dns.rcode.NOERROR

    def _look_up(self, message: dns.message.Message, response: dns.message.Message) -> None:
        question = message.question[0]
        name = question.name
        response.flags |= dns.flags.AA
        alias = self.aliases.get(name.to_text(omit_final_dot=True).lower())
        if alias is not None:
            response.answer.append(dns.rrset.from_text(name, 1, "IN", "CNAME", f"{alias}."))
            name = dns.name.from_text(alias)
        if question.rdtype == dns.rdatatype.SOA:
            if name == dns.name.from_text(self.zone):
                response.answer.append(dns.rrset.from_text(name, 1, "IN", "SOA", ". . 1 1 1 1 1"))
        elif question.rdtype == dns.rdatatype.NS:
            response.answer.append(dns.rrset.from_text(name, 1, "IN", "NS", *(f"{one}." for one in self.servers)))
        elif question.rdtype == dns.rdatatype.A:
            address = self.servers.get(name.to_text(omit_final_dot=True))
            if address is not None:
                response.answer.append(dns.rrset.from_text(name, 1, "IN", "A", address))
        elif question.rdtype == dns.rdatatype.TXT:
            values = self.records.get(name.to_text(omit_final_dot=True).lower(), set())
            self.asked += bool(values)
            if values and self.asked > self.shows_after:
                texts = [f'"{value}"' for value in sorted(values)]
                response.answer.append(dns.rrset.from_text(name, 1, "IN", "TXT", *texts))


def _rejected(wire: bytes, why: dns.rcode.Rcode) -> bytes:
    """Refuse a signature as RFC 8945 says: in a TSIG record of the answer."""
    query = dns.message.from_wire(wire, keyring=False)
    name = query.keyname or dns.name.root
    response = dns.message.make_response(query)
    response.set_rcode(dns.rcode.NOTAUTH)
    response.use_tsig(dns.tsig.Key(name, KEY), tsig_error=why)
    return bytes(response.to_wire())


class _Packets(asyncio.DatagramProtocol):
    def __init__(self, server: NameServer) -> None:
        self.server = server
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, wire: bytes, sender: tuple[str, int]) -> None:
        if not self.server.deaf:
            self.transport.sendto(self.server.answer(wire), sender)
