"""What ``renew`` has to obtain: every certificate of an issuer, what it must be able to do, and why it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from cmscert.app.supplies import issued_uses, open_store, places_of
from cmscert.errors import Fault, InputError
from cmscert.inventory.outline import CertificateOutline, Outline
from cmscert.inventory.supplies import Use
from cmscert.issue.issuers import Profile
from cmscert.issue.store import Stored
from cmscert.planning.renewal import Holding, why_renew
from cmscert.planning.select import Selector, fits, parse_selector


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One certificate of the inventory with what is known of it. ``why``: None when it is fresh."""

    use: Use
    outline: CertificateOutline
    profile: Profile
    held: Holding
    why: str | None

    @property
    def asks_a_server(self) -> bool:
        """Whether a server makes its key."""
        return self.outline.key_made == "device"


def needs_of(outline: Outline, select: tuple[str, ...], now: datetime, *, again: bool = False) -> Iterator[Need]:
    """Yield every issued certificate that something of the selection uses, and say why it has to be obtained.

    ``again``: even when it is fresh. Raises InputError: a selector that is none, a damaged store.
    """
    try:
        selectors = tuple(parse_selector(text) for text in select)
    except ValueError as error:
        raise InputError([Fault(message=str(error), reason="selector")]) from error
    store = open_store(outline, keys=False)
    profiles = _profiles(outline, selectors)
    for use, certificate in issued_uses(outline).items():
        if use not in profiles:
            continue
        stored = store.latest(*use)
        held = _holding(certificate, profiles[use], stored)
        why = why_renew(held, outline.policy.renew_when, now)
        yield Need(
            use=use,
            outline=certificate,
            profile=profiles[use],
            held=held,
            why="asked for once more" if again and why is None else why,
        )


def _profiles(outline: Outline, selectors: tuple[Selector, ...]) -> dict[Use, Profile]:
    """Return what the places of a certificate need, for what is selected."""
    places: dict[Use, list[tuple[tuple[str, ...], tuple[str, ...], str | None]]] = {}
    chosen: set[Use] = set()
    servers = {server.name: server for server in outline.servers}
    for use, server, place in places_of(outline):
        needed = place.eku if place.eku_sourced else ()
        places.setdefault(use, []).append((place.eku, needed, place.common_name))
        at = servers[server]
        values = {"server": (server,), "role": at.roles, "service": (place.name,), "certificate": (use[0],)}
        if fits(selectors, values, at.labels):
            chosen.add(use)
    return {
        use: Profile(
            ekus=tuple(dict.fromkeys(eku for ekus, _, _ in found for eku in ekus)),
            needed=tuple(dict.fromkeys(eku for _, ekus, _ in found for eku in ekus)),
            common_name_must_be=next((name for _, _, name in found if name is not None), None),
            strict=outline.policy.profile == "strict",
        )
        for use, found in places.items()
        if use in chosen
    }


def _holding(certificate: CertificateOutline, profile: Profile, stored: Stored | None) -> Holding:
    assert certificate.issuer is not None  # noqa: S101 - only issued ones come here
    return Holding(
        chain=stored.chain if stored is not None else (),
        issuer=stored.issuer if stored is not None else None,
        on_device=stored is not None and stored.device_key is not None,
        wanted_issuer=certificate.issuer,
        wanted_names=certificate.declared,
        wanted_on_device=certificate.key_made == "device",
        wanted_type=certificate.key_type,
        wanted_bits=certificate.key_bits,
        wanted_ekus=profile.needed or (),
    )
