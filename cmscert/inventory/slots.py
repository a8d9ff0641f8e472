"""From the forms of services to slots, and whether a release has them. What slots there are is ``mmp.services``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from cmscert.inventory.outline import Keys, SlotOutline
from cmscert.inventory.service_forms import (
    Form,
    LeavesOf,
    ServicesForm,
    TlsForm,
)
from cmscert.mmp.services import SERVICES
from cmscert.model.names import Release, service_of
from cmscert.model.services import IdentitySlot, Service, Slot, rows_for

# Services whose trust list is the third file of their certificate command (facts 4.12, 4.13).
_THIRD_FILE = frozenset({"loadbalancer", "trunk", "h323_gateway"})
_LAST_MINOR = {2: 9}  # 3.0 followed 2.9 ([S33])


def flatten(services: ServicesForm, keys: Keys) -> tuple[SlotOutline, ...]:
    """Return the slots that a role or server names; ``keys`` is where the services stand."""
    found: list[SlotOutline] = []
    for name in type(services).model_fields:
        form = getattr(services, name)
        if form is not None:
            found.extend(_service(name, form, (*keys, name)))
    return tuple(found)


def _service(name: str, form: str | Form, keys: Keys) -> Iterator[SlotOutline]:
    if isinstance(form, str):
        yield SlotOutline(slot=name, certificate=form, keys=keys)
        return
    if isinstance(form, TlsForm):
        for use in form.model_fields_set:
            yield _trust(f"tls/trust-{use}", getattr(form, use).trust, (*keys, use, "trust"))
        return
    for part in ("https", "c2w"):
        inner = getattr(form, part, None)
        if inner is not None:
            yield from _identity(f"{name}/{part}", inner, (*keys, part))
            if getattr(inner, "trust", None) is not None:
                yield _trust(f"{name}/trust-{part}", inner.trust, (*keys, part, "trust"))
    if "certificate" in type(form).model_fields:
        yield from _identity(name, form, keys)
    yield from _own_trust(name, getattr(form, "trust", None), (*keys, "trust"))


def _own_trust(name: str, trust: Any, keys: Keys) -> Iterator[SlotOutline]:  # noqa: ANN401 - any of the trust forms
    if trust is None or name in _THIRD_FILE:
        return
    if isinstance(trust, Form) and not isinstance(trust, LeavesOf):
        for purpose in type(trust).model_fields:
            if getattr(trust, purpose) is not None:
                yield _trust(f"{name}/trust-{purpose}", getattr(trust, purpose), (*keys, purpose))
    else:
        yield _trust(f"{name}/trust", trust, keys)


def _identity(slot: str, form: Any, keys: Keys) -> Iterator[SlotOutline]:  # noqa: ANN401 - any form with a certificate
    if isinstance(form, str):
        yield SlotOutline(slot=slot, certificate=form, keys=keys)
        return
    names = ("certificate", "bundle", "tag", "address", "port")
    words = {name: value for name in names if (value := getattr(form, name, None)) is not None}
    third = form.trust if slot in _THIRD_FILE else None
    if words or third is not None:
        yield SlotOutline(slot=slot, **words, **_trusted(third), keys=keys)


def _trust(slot: str, trust: str | tuple[str, ...] | LeavesOf, keys: Keys) -> SlotOutline:
    return SlotOutline(slot=slot, **_trusted(trust), keys=keys)


def _trusted(trust: str | tuple[str, ...] | LeavesOf | None) -> dict[str, Any]:
    if isinstance(trust, LeavesOf):
        return {"leaves_of": trust.leaves_of}
    if trust is None:
        return {}
    return {"trust": (trust,) if isinstance(trust, str) else trust}


@lru_cache(maxsize=64)
def slots_of(release: Release | None) -> Mapping[str, tuple[Service, Slot]]:
    """Return the slots that a release has, by name; for an unknown release the newest form of every slot."""
    if release is None:
        rows = sorted(SERVICES, key=lambda row: row.since)
    else:
        rows = list(rows_for(SERVICES, release).values())
    return {slot.name: (row, slot) for row in rows for slot in row.slots}


@lru_cache(maxsize=64)
def identity_slots(name: str) -> tuple[str, ...]:
    """Return the identity slots of a service in any release, or the slot itself; empty when there are none."""
    slots = {slot.name: slot for _, slot in slots_of(None).values()}
    return tuple(
        slot.name
        for slot in slots.values()
        if isinstance(slot, IdentitySlot) and name in (slot.name, service_of(slot.name))
    )


def services() -> tuple[str, ...]:
    """Return the names of all services, in the order of the table."""
    return tuple(dict.fromkeys(row.name for row in SERVICES))


def slot_faults(slot: SlotOutline, release: Release | None) -> Iterator[str]:
    """Yield what is wrong with a slot in a release, as sentences."""
    found = slots_of(release).get(slot.slot)
    if found is None:
        yield _unknown(slot.slot, release)
        return
    row = found[1]
    if not isinstance(row, IdentitySlot):
        return
    if slot.certificate is None:
        yield f"{slot.slot} has no certificate: the key certificate is missing"
    if slot.bundle is not None and row.third is None:
        yield f"{slot.slot} takes no bundle: its certificate file holds the full chain"
    if slot.bundle is not None and row.third == "trust":
        yield f"the third file of {slot.slot} is a trust list: write trust instead of bundle"


def _unknown(slot: str, release: Release | None) -> str:
    service = service_of(slot)
    rows = [row for row in SERVICES if row.name == service]
    with_slot = [row for row in rows if row.slot(slot) is not None]
    has_service = release is not None and any(row.in_release(release) for row in rows)
    what, among = (f"slot {slot}", with_slot) if has_service else (f"service {service}", rows)
    if not among or release is None:  # the forms offer no slot that the table lacks; a table may change
        return f"{what} is not known"
    if release < min(row.since for row in among):
        return f"{what} is not known to release {release}, it came with {min(row.since for row in among)}"
    ends = [row.until for row in among if row.until is not None and row.until <= release]
    return f"{what} is not known to release {release}" + (f", it ended with {_before(max(ends))}" if ends else "")


def _before(release: Release) -> Release:
    """Return the release before one."""
    if release.minor:
        return Release(release.major, release.minor - 1)
    return Release(release.major - 1, _LAST_MINOR.get(release.major - 1, 0))
