"""Waits until a TXT record can be seen: a CA that looks too early counts a failure, and those are rationed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal

import dns.asyncquery
import dns.asyncresolver
import dns.exception
import dns.message
import dns.rcode
import dns.rdatatype
from dns.asyncresolver import Resolver

from cmscert.issue.dns01 import NotPublished, TextRecord

SECONDS: Final = 120.0
FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 5.0
ANSWER_SECONDS: Final = 5.0

Place = tuple[str, int]
"""Address and port of a name server."""

Seen = Literal["seen", "absent", "mute"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Asks name servers until all of them show a record.

    ``resolvers``: which to ask; where there are none, those that are responsible for the zone, and where none of these
    answers (a firewall, an inner DNS), the resolvers of this machine. ``seconds``: how long at most; 0 never asks.
    ``patience``: seconds for one answer. ``machine``: makes a resolver as this machine is set up.
    """

    resolvers: tuple[Place, ...] = ()
    seconds: float = SECONDS
    patience: float = ANSWER_SECONDS
    machine: Callable[[], Resolver] = Resolver

    async def wait(self, records: Iterable[TextRecord]) -> None:
        """Wait for several records at once. Raises NotPublished with each that cannot be seen in time."""
        if self.seconds:
            missing = await asyncio.gather(*(self._missing(record) for record in records))
            found = [why for why in missing if why is not None]
            if found:
                hint = "raise challenge.propagation, or name the resolvers to ask: challenge.resolvers"
                raise NotPublished("; ".join(found), hint)

    async def _missing(self, record: TextRecord) -> str | None:
        """Return None as soon as a record is seen, and where it was not when the time is over."""
        loop = asyncio.get_running_loop()
        end, pause = loop.time() + self.seconds, FIRST_PAUSE
        lacking: list[str] = []
        with suppress(TimeoutError):
            async with asyncio.timeout_at(end):
                places = self.resolvers or await self._responsible(record.name)
                while True:
                    lacking = await self._lacking(places, record)
                    if not lacking:
                        return None
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, LONGEST_PAUSE)
        where = f" at {', '.join(lacking)}" if lacking else ""
        return f"the TXT record {record.name} is not to be seen{where} after {self.seconds:g} s"

    async def _lacking(self, places: tuple[Place, ...], record: TextRecord) -> list[str]:
        seen = await self._look(places, record)
        if not self.resolvers and set(seen) <= {"mute"}:
            places = self._of_this_machine()
            seen = await self._look(places, record)
        # Of several responsible servers one may be down: the CA, too, asks those that answer.
        silent = ("absent",) if "seen" in seen and not self.resolvers else ("absent", "mute")
        lacking = [place for place, found in zip(places, seen, strict=True) if found in silent]
        return [_shown(place) for place in lacking] if places else ["any name server"]

    async def _look(self, places: tuple[Place, ...], record: TextRecord) -> list[Seen]:
        return list(await asyncio.gather(*(_see(place, record, self.patience) for place in places)))

    async def _responsible(self, name: str) -> tuple[Place, ...]:
        """Return the name servers of the zone that a name leads into, as this machine's resolvers tell."""
        try:
            resolver = self.machine()
            resolver.lifetime = self.patience
            place = await resolver.canonical_name(name)
            zone = await dns.asyncresolver.zone_for_name(place, resolver=resolver)
            servers = [server.target for server in await resolver.resolve(zone, "NS")]
            answers = await asyncio.gather(*(resolver.resolve_name(one) for one in servers), return_exceptions=True)
        except (dns.exception.DNSException, OSError):
            return ()
        found = [one for one in answers if not isinstance(one, BaseException)]
        return tuple(dict.fromkeys((address, resolver.port) for one in found for address in one.addresses()))

    def _of_this_machine(self) -> tuple[Place, ...]:
        try:
            resolver = self.machine()
        except (dns.exception.DNSException, OSError):
            return ()
        return tuple((str(server), resolver.port) for server in resolver.nameservers)


async def _see(place: Place, record: TextRecord, patience: float) -> Seen:
    query = dns.message.make_query(record.name, dns.rdatatype.TXT)
    address, port = place
    try:
        answer, _ = await dns.asyncquery.udp_with_fallback(query, address, port=port, timeout=patience)
    except (dns.exception.DNSException, OSError, EOFError):
        return "mute"
    texts = (text for rrset in answer.answer if rrset.rdtype == dns.rdatatype.TXT for text in rrset)
    if record.value.encode() in (b"".join(text.strings) for text in texts):
        return "seen"
    # Where a CNAME leads out of the server's zones, it shows no more than the CNAME: nothing is known then.
    led_away = any(rrset.rdtype == dns.rdatatype.CNAME for rrset in answer.answer)
    return "mute" if led_away or answer.rcode() in _KNOWS_NOTHING else "absent"


_KNOWS_NOTHING: Final = (dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.NOTAUTH)


def _shown(place: Place) -> str:
    address, port = place
    bracketed = f"[{address}]" if ":" in address else address
    return address if port == 53 else f"{bracketed}:{port}"  # noqa: PLR2004 - the port of DNS
