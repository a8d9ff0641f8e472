"""Publishes TXT records by DNS updates (RFC 2136) that are signed with TSIG (RFC 8945), over TCP."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import dns.asyncquery
import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.update

from cmscert.issue.dns01 import NotPublished, TextRecord
from cmscert.model.secret import Secret

SECONDS: Final = 20.0
TTL: Final = 60
_ALGORITHMS: Final = {
    "hmac-sha256": dns.tsig.HMAC_SHA256,
    "hmac-sha384": dns.tsig.HMAC_SHA384,
    "hmac-sha512": dns.tsig.HMAC_SHA512,
    "hmac-sha224": dns.tsig.HMAC_SHA224,
    "hmac-sha1": dns.tsig.HMAC_SHA1,
    "hmac-md5": dns.tsig.HMAC_MD5,
}
_HINTS: Final = {
    dns.rcode.NOTAUTH: "the server does not hold this zone, or does not know the key: check zone and key_name",
    dns.rcode.NOTZONE: "the name is not in the zone: check zone",
    dns.rcode.REFUSED: "allow this key to update TXT records below _acme-challenge in the server's policy",
}
_UPDATES: Final = "check server, port, key_name, key and algorithm under challenge.dns_01"


@dataclass(frozen=True, slots=True, kw_only=True)
class Updates:
    """Publishes through a name server that takes updates.

    ``server``: address or host name. ``zone``: None to ask the server which of its zones a name is in. ``key``: base64.
    ``seconds``: for one question.
    """

    server: str
    key_name: str
    key: Secret[str] = field(repr=False)
    algorithm: str = "hmac-sha256"
    port: int = 53
    zone: str | None = None
    ttl: int = TTL
    seconds: float = SECONDS

    async def present(self, record: TextRecord) -> None:
        """Add a value. Raises NotPublished."""
        update, place = await self._update(record)
        update.add(place, self.ttl, "TXT", f'"{record.value}"')
        await self._send(update, record)

    async def cleanup(self, record: TextRecord) -> None:
        """Take that one value away. Raises NotPublished."""
        update, place = await self._update(record)
        update.delete(place, "TXT", f'"{record.value}"')
        await self._send(update, record)

    async def _update(self, record: TextRecord) -> tuple[dns.update.UpdateMessage, dns.name.Name]:
        place = await self._followed(dns.name.from_text(record.name))
        zone = await self._zone(place, record) if self.zone is None else dns.name.from_text(self.zone)
        return dns.update.UpdateMessage(zone, keyring=self._key()), place

    def _key(self) -> dns.tsig.Key:
        try:
            secret = base64.b64decode(self.key.reveal(), validate=True)
            return dns.tsig.Key(self.key_name, secret, _ALGORITHMS[self.algorithm])
        except (ValueError, dns.exception.DNSException):
            hint = "give the secret of the key as the name server has it"
            raise NotPublished("the TSIG key is not base64, or its name is no name", hint) from None

    async def _followed(self, name: dns.name.Name) -> dns.name.Name:
        """Return where a name leads to: a CNAME may send the proof into a zone of its own."""
        query = dns.message.make_query(name, dns.rdatatype.TXT)
        answer = await self._ask(query, str(name))
        aliases = {rrset.name: rrset[0].target for rrset in answer.answer if rrset.rdtype == dns.rdatatype.CNAME}
        for _ in range(len(aliases)):
            name = aliases.get(name, name)
        return name

    async def _zone(self, name: dns.name.Name, record: TextRecord) -> dns.name.Name:
        for parent in _parents(name):
            query = dns.message.make_query(parent, dns.rdatatype.SOA)
            answer = await self._ask(query, record.name)
            if any(rrset.rdtype == dns.rdatatype.SOA and rrset.name == parent for rrset in answer.answer):
                return parent
        raise NotPublished(
            f"{self.server} holds no zone that {record.name} is in", "name the zone: challenge.dns_01.zone"
        )

    async def _send(self, update: dns.update.UpdateMessage, record: TextRecord) -> None:
        answer = await self._ask(update, record.name)
        code = answer.rcode()
        if code != dns.rcode.NOERROR:
            zone = update.origin or update.zone[0].name
            message = f"{self.server} refused to update {record.name} in zone {zone}: {dns.rcode.to_text(code)}"
            raise NotPublished(message, _HINTS.get(code, _UPDATES))

    async def _ask(self, query: dns.message.Message, about: str) -> dns.message.Message:
        try:
            async with asyncio.timeout(self.seconds):
                return await dns.asyncquery.tcp(query, await self._address(), port=self.port, timeout=self.seconds)
        except dns.tsig.PeerError as error:
            why = f"does not accept the TSIG signature: {_said(error)}"
        except (dns.exception.Timeout, TimeoutError):
            why = f"did not answer within {self.seconds:g} s"
        except dns.exception.DNSException as error:
            why = f"gave an answer that cannot be used: {_said(error)}"
        except (OSError, EOFError) as error:
            why = f"cannot be reached: {(getattr(error, 'strerror', None) or 'the connection ended').lower()}"
        raise NotPublished(f"{self.server} {why}, asked about {about.rstrip('.')}", _UPDATES)

    async def _address(self) -> str:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(self.server, self.port, type=socket.SOCK_STREAM)
        return str(found[0][4][0])


def _parents(name: dns.name.Name) -> Iterator[dns.name.Name]:
    while name != dns.name.root:
        name = name.parent()
        yield name


def _said(error: Exception) -> str:
    return str(error).partition("\n")[0][:200].rstrip(".").lower()
