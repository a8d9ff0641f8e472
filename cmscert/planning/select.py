"""``--select``: which servers and slots a command looks at.

``server=core1``, ``role=core``, ``service=webadmin``, ``certificate=join``, ``label.site=oslo``, with shell wildcards.
Selectors of the same key widen (or), selectors of different keys narrow (and).

A database cluster is changed as a whole or not at all: it is selected by ``service=database`` or
``service=database/NAME`` alone, and left out as soon as servers, roles, labels or certificates are chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from cmscert.model.desired import Awaited, Desired, WantedDatabase, WantedIdentity, WantedServer, WantedSlot
from cmscert.model.names import service_of

SERVER_KEYS = ("server", "role")
SLOT_KEYS = ("service", "certificate")
LABEL = "label."
DATABASE = "database"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """One ``KEY=PATTERN``."""

    key: str
    pattern: str

    def __str__(self) -> str:
        return f"{self.key}={self.pattern}"

    def matches(self, value: str) -> bool:
        """Tell whether a value fits the pattern; case counts."""
        return fnmatchcase(value, self.pattern)


def parse_selector(text: str) -> Selector:
    """Read ``KEY=PATTERN``. Raises ValueError with a sentence for people."""
    key, equals, pattern = text.partition("=")
    if not equals or not pattern:
        raise ValueError(f"{text!r} is no selector: write KEY=PATTERN, for example server=core*")
    if key not in (*SERVER_KEYS, *SLOT_KEYS) and not (key.startswith(LABEL) and key != LABEL):
        known = ", ".join((*SERVER_KEYS, *SLOT_KEYS, f"{LABEL}NAME"))
        raise ValueError(f"{key!r} is nothing to select by: take one of {known}")
    return Selector(key=key, pattern=pattern)


def fits(selectors: tuple[Selector, ...], values: Mapping[str, tuple[str, ...]], labels: Mapping[str, str]) -> bool:
    """Tell whether a place with these values is selected; without selectors everything is.

    ``values``: by key (``server``, ``role``, ``service``, ``certificate``).
    """
    for key in {selector.key for selector in selectors}:
        label = labels.get(key.removeprefix(LABEL))
        found = values.get(key) if key in values else (() if label is None else (label,))
        if not any(selector.matches(value) for selector in selectors if selector.key == key for value in found or ()):
            return False
    return True


def services_of(slot: str) -> tuple[str, ...]:
    """Return what a slot is called as a service: ``webbridge3/c2w`` is chosen by ``webbridge3`` too."""
    return service_of(slot), slot


def apply_selection(desired: Desired, selectors: tuple[Selector, ...]) -> Desired:
    """Leave only what is selected; a server without a slot left is left out, unless it is part of a selected database.

    No selector leaves everything.
    """
    if not selectors:
        return desired
    by_key: dict[str, list[Selector]] = {}
    for selector in selectors:
        by_key.setdefault(selector.key, []).append(selector)
    databases = tuple(database for database in desired.databases if _is_chosen(database, by_key))
    members = {name for database in databases for name in database.members}
    kept = (
        _kept(server, by_key) or (replace(server, slots=()) if server.name in members else None)
        for server in desired.servers
    )
    return replace(
        desired,
        servers=tuple(server for server in kept if server is not None),
        databases=databases,
        awaited=tuple(each for each in desired.awaited if _is_awaited(desired, each, selectors)),
    )


def around(desired: Desired, selected: Desired) -> Desired:
    """Return the whole fleet with nothing wanted of what was not selected, databases neither.

    Servers outside of a selection are still looked at: their trust and identities decide in which order, and whether
    at all, the selected slots can change.
    """
    kept = {server.name: server for server in selected.servers}
    servers = (
        replace(kept.get(server.name) or replace(server, slots=()), others=_others(desired, server, kept))
        for server in desired.servers
    )
    return replace(desired, servers=tuple(servers), databases=selected.databases, awaited=selected.awaited)


def _others(desired: Desired, server: WantedServer, kept: Mapping[str, WantedServer]) -> tuple[str, ...]:
    """Return the services that the inventory names on a server, without those that are selected there."""
    named = [slot.slot for slot in server.slots]
    named += [each.slot for each in desired.awaited if each.server == server.name]
    chosen = {service_of(slot.slot) for slot in kept[server.name].slots} if server.name in kept else set()
    return tuple(service for service in dict.fromkeys(map(service_of, named)) if service not in chosen)


def _is_awaited(desired: Desired, awaited: Awaited, selectors: tuple[Selector, ...]) -> bool:
    server = desired.server(awaited.server)
    values = {
        "server": (server.name,),
        "role": server.roles,
        "service": services_of(awaited.slot),
        "certificate": (awaited.certificate,),
    }
    return fits(selectors, values, server.labels)


def _is_chosen(database: WantedDatabase, by_key: dict[str, list[Selector]]) -> bool:
    return by_key.keys() == {"service"} and _any(by_key["service"], (DATABASE, f"{DATABASE}/{database.name}"))


def _kept(server: WantedServer, by_key: dict[str, list[Selector]]) -> WantedServer | None:
    for key, selectors in by_key.items():
        if key not in SLOT_KEYS and not _any(selectors, _values(server, key)):
            return None
    if not by_key.keys() & set(SLOT_KEYS):
        return server
    slots = tuple(slot for slot in server.slots if _slot_fits(slot, by_key))
    return replace(server, slots=slots) if slots else None


def _values(server: WantedServer, key: str) -> tuple[str, ...]:
    if key == "server":
        return (server.name,)
    if key == "role":
        return server.roles
    value = server.labels.get(key.removeprefix(LABEL))
    return () if value is None else (value,)


def _slot_fits(slot: WantedSlot, by_key: dict[str, list[Selector]]) -> bool:
    certificate = (slot.material.certificate,) if isinstance(slot, WantedIdentity) else ()
    values = {"service": (service_of(slot.slot),), "certificate": certificate}
    return all(_any(by_key[key], values[key]) for key in SLOT_KEYS if key in by_key)


def _any(selectors: list[Selector], values: tuple[str, ...]) -> bool:
    return any(selector.matches(value) for selector in selectors for value in values)
