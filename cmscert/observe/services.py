"""A service: its status screens, and what its TLS ports show."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from cmscert.errors import NodeError
from cmscert.mmp.commands import statuses
from cmscert.mmp.screens import read_screen
from cmscert.model.desired import LookedAt, WantedIdentity, WantedServer
from cmscert.model.names import service_of
from cmscert.model.observed import Listen, ServiceState
from cmscert.model.readings import ABSENT, Absent, Known, Reading, Unread
from cmscert.model.services import IdentitySlot, Service
from cmscert.observe.asking import together, why
from cmscert.pki.certificate import Certificate
from cmscert.transport.session import Probe, ReadSession

Chain = tuple[Certificate, ...]
Places = tuple[tuple[str, int], ...]

INSIDE = "lo"
"""An interface that only the node itself reaches (``recorder listen lo:8443``, [S10])."""


def tags(wanted: WantedServer) -> dict[str, str]:
    """Return, by service, the tag of the one that the inventory means, where a node can have several."""
    return {service_of(slot.slot): slot.tag for slot in _seen(wanted).values() if slot.tag is not None}


async def read_state(session: ReadSession, row: Service, *, tag: str | None = None) -> Reading[ServiceState]:
    """Ask for a service's screens and read them; Absent when the node does not know the service."""
    try:
        replies = await together(*(session.ask(command) for command in statuses(row)))
    except NodeError as error:
        return Unread(why(error))
    return read_screen(row, *(reply.text for reply in replies), tag=tag)


def places(
    slot: IdentitySlot, state: Reading[ServiceState], wanted: WantedIdentity | LookedAt, address: str
) -> Places | Absent:
    """Say where to probe a slot: (address, port); Absent when the service is stopped or not there.

    What the inventory says comes first, then the screen, then the slot's default port. The address is the node's one
    known address whatever the interface: screens tell interfaces by letter only (T-33). Empty when no port is known.
    """
    if not slot.listens:
        return ()
    if isinstance(state, Absent) or (isinstance(state, Known) and state.value.enabled is False):
        return ABSENT
    at = wanted.address or address
    if wanted.port is not None:
        return ((at, wanted.port),)
    listens = state.value.listens.get(slot.name) if isinstance(state, Known) else None
    if listens is not None:
        return tuple(dict.fromkeys((at, listen.port) for listen in listens if _reachable(listen)))
    return ((at, slot.default_port),) if slot.default_port is not None else ()


def _reachable(listen: Listen) -> bool:
    return listen.interface != INSIDE


async def read_served(
    row: Service,
    state: Reading[ServiceState],
    wanted: WantedServer,
    *,
    probe: Probe,
    slots: Collection[str] | None = None,
) -> dict[str, tuple[Reading[Chain], ...]]:
    """Probe the TLS ports of a service's identity slots that are looked at, all at once; one reading for each port.

    ``slots``: only these. Slots without a known port are left out.
    """
    readings: dict[str, tuple[Reading[Chain], ...]] = {}
    open_slots: list[tuple[str, Places]] = []
    for name, identity in _identities(row, wanted):
        slot = row.slot(name)
        if not isinstance(slot, IdentitySlot) or (slots is not None and name not in slots):
            continue
        where = places(slot, state, identity, wanted.address)
        if isinstance(where, Absent):
            readings[name] = (where,)
        elif where:
            open_slots.append((name, where))
    shown = await together(*(_probed(where, wanted.fqdn, probe) for _, where in open_slots))
    return readings | {name: chains for (name, _), chains in zip(open_slots, shown, strict=True)}


def _identities(row: Service, wanted: WantedServer) -> Iterable[tuple[str, WantedIdentity | LookedAt]]:
    return ((name, slot) for name, slot in _seen(wanted).items() if row.slot(name) is not None)


def _seen(wanted: WantedServer) -> dict[str, WantedIdentity | LookedAt]:
    """Return, by name, the slots that are looked at; what looks besides the inventory knows better where."""
    seen: dict[str, WantedIdentity | LookedAt] = {
        slot.slot: slot for slot in wanted.slots if isinstance(slot, WantedIdentity)
    }
    return seen | {slot.slot: slot for slot in wanted.looked_at}


async def _probed(where: Places, fqdn: str, probe: Probe) -> tuple[Reading[Chain], ...]:
    async def one(address: str, port: int) -> Reading[Chain]:
        return await probe(address, port, fqdn)

    return tuple(await together(*(one(address, port) for address, port in where)))


def worst(readings: Iterable[Reading[Chain]], right: Collection[str]) -> Reading[Chain]:
    """Choose what to report of a slot with several ports.

    ``right``: SHA-256 of the leaves that are fine; empty when that is not known. A port that shows another leaf comes
    first. Then one that shows a right leaf: a port that stays closed at the one address that is known may be open at
    another interface's (T-33 listens on ``a:445 b:445``).
    """
    seen = tuple(readings)
    known = [reading for reading in seen if isinstance(reading, Known)]
    other = [reading for reading in known if not reading.value or (right and reading.value[0].sha256 not in right)]
    ranked: list[Reading[Chain]] = [*other, *known, *(reading for reading in seen if isinstance(reading, Unread))]
    return ranked[0] if ranked else ABSENT


def worst_of(
    shown: Mapping[str, tuple[Reading[Chain], ...]], right: Mapping[str, Collection[str]]
) -> dict[str, Reading[Chain]]:
    """Choose for each slot; ``right`` as in ``worst``, by slot."""
    return {slot: worst(readings, right.get(slot, ())) for slot, readings in shown.items()}
