"""What ``renew`` has to obtain: every certificate of an issuer, what it must be able to do, and why it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from cmscert.app.requests import kept_request
from cmscert.app.supplies import issued_uses, open_store, places_of
from cmscert.errors import Fault, InputError
from cmscert.inventory.judging import Place
from cmscert.inventory.outline import CertificateOutline, Outline, ServerOutline
from cmscert.inventory.supplies import Use
from cmscert.issue.checking import findings_of
from cmscert.issue.index import Record
from cmscert.issue.issuers import Demand, Profile
from cmscert.issue.store import Store, Stored
from cmscert.pki.certificate import Certificate
from cmscert.pki.chain import full_chain
from cmscert.planning.renewal import Holding, why_renew
from cmscert.planning.select import DATABASE, Selector, fits, parse_selector, services_of
from cmscert.planning.words import day


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One certificate of the inventory with what is known of it.

    ``why``: None when it is fresh. ``moot``: what was asked for, or failed, is not wanted any more.
    """

    use: Use
    outline: CertificateOutline
    demand: Demand
    held: Holding
    why: str | None
    moot: bool = False

    @property
    def asks_a_server(self) -> bool:
        """Whether a server makes its key."""
        return self.outline.key_made == "device"


Bundles = Mapping[str, tuple[Certificate, ...]]


def needs_of(
    outline: Outline, bundles: Bundles, select: tuple[str, ...], now: datetime, *, again: bool = False
) -> Iterator[Need]:
    """Yield every issued certificate that something of the selection uses, and say why it has to be obtained.

    ``bundles``: those that are files. ``again``: even when it is fresh. Raises InputError: a selector that is none, or
    that fits nothing at all; a damaged store.
    """
    store = open_store(outline, keys=False)
    profiles = _profiles(outline, _selectors(outline, select))
    for use, certificate in issued_uses(outline).items():
        if use not in profiles:
            continue
        demand = Demand(
            common_name=certificate.common_name,
            sans=certificate.sans,
            profile=profiles[use],
            bundle=bundles.get(certificate.chain or "", ()),
        )
        held = _holding(certificate, demand, store.latest(*use), now)
        record = store.record(*use)
        why = why_renew(held, outline.policy.renew_when, now) or _under_way(store, outline, certificate, record)
        why = "asked for once more" if again and why is None else why
        moot = why is None and (record.waiting is not None or record.failures is not None)
        yield Need(use=use, outline=certificate, demand=demand, held=held, why=why, moot=moot)


def _under_way(store: Store, outline: Outline, certificate: CertificateOutline, record: Record) -> str | None:
    """Say that a request awaits its answer, whyever it was made: a key that leaked is replaced in the end."""
    if record.waiting is None:
        return None
    with suppress(InputError):  # whoever takes a damaged one up says so
        if kept_request(store, certificate, outline.subject) is None:
            return None
    return f"asked for on {day(record.waiting.at)}, not answered yet"


def _selectors(outline: Outline, select: tuple[str, ...]) -> tuple[Selector, ...]:
    """Read selectors; what fits no slot and no database, issued or not, is a slip that must not look like success."""
    try:
        selectors = tuple(parse_selector(text) for text in select)
    except ValueError as error:
        raise InputError([Fault(message=str(error), reason="selector")]) from error
    slots = [(server, slot.slot, slot.certificate) for server in outline.servers for slot in server.slots]
    for one in outline.databases:
        slots += [(outline.server(name), f"{DATABASE}/{one.name}", one.server) for name in one.nodes]
        slots += [(outline.server(name), f"{DATABASE}/{one.name}", one.client) for name in (*one.nodes, *one.clients)]
    if selectors and not any(_chosen(selectors, *each) for each in slots):
        message = f"--select {' --select '.join(select)} matches nothing in fleet {outline.fleet}"
        raise InputError([Fault(message=message, reason="selector")], hint="cmscert status shows servers and slots")
    return selectors


def _chosen(selectors: tuple[Selector, ...], server: ServerOutline, slot: str, certificate: str | None) -> bool:
    values = {
        "server": (server.name,),
        "role": server.roles,
        "service": services_of(slot),
        "certificate": () if certificate is None else (certificate,),
    }
    return fits(selectors, values, server.labels)


def _profiles(outline: Outline, selectors: tuple[Selector, ...]) -> dict[Use, Profile]:
    """Return what the places of a certificate need, for what is selected."""
    places: dict[Use, list[Place]] = {}
    chosen: set[Use] = set()
    for use, server, place in places_of(outline):
        places.setdefault(use, []).append(place)
        slot = place.name if place.database is None else f"{DATABASE}/{place.database}"
        if _chosen(selectors, outline.server(server), slot, use[0]):
            chosen.add(use)
    return {use: _profile(outline, found) for use, found in places.items() if use in chosen}


def _profile(outline: Outline, places: list[Place]) -> Profile:
    return Profile(
        ekus=tuple(dict.fromkeys(eku for place in places for eku in place.eku)),
        needed=tuple(dict.fromkeys(eku for place in places if place.eku_sourced for eku in place.eku)),
        common_name_must_be=next((one.common_name for one in places if one.common_name is not None), None),
        strict=outline.policy.profile == "strict",
    )


def _holding(certificate: CertificateOutline, demand: Demand, stored: Stored | None, now: datetime) -> Holding:
    assert certificate.issuer is not None  # noqa: S101 - only issued ones come here
    chain = () if stored is None else full_chain(stored.chain[0], stored.chain, demand.bundle)
    found = findings_of(chain, demand, now) if chain else ()
    return Holding(
        chain=chain,
        issuer=stored.issuer if stored is not None else None,
        on_device=stored is not None and stored.device_key is not None,
        unfit=tuple(one.message for one in found if one.severity == "error" and one.reason != "expired"),
        wanted_issuer=certificate.issuer,
        wanted_on_device=certificate.key_made == "device",
        wanted_type=certificate.key_type,
        wanted_bits=certificate.key_bits,
    )
