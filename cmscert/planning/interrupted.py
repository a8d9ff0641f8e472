"""Services that a run left unproven: what becomes of them (law 6: the servers tell what is, journals why).

A service that is off was stopped by the run, and is started. One that runs has loaded what is bound if its port shows
another leaf than before that run; where no port tells, it loads once more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from cmscert.model.names import service_of
from cmscert.model.observed import Binding
from cmscert.model.plan import Drift
from cmscert.model.readings import Known, Unread
from cmscert.model.unfinished import Touched, Unfinished
from cmscert.pki.certificate import Certificate
from cmscert.planning.sight import Sight

Fate = Literal["start", "reload", "proven", "off", "unread", "outside", "doubtful", "gone"]
"""What becomes of a service that was left: it is started; it loads once more; nothing is to do; it did not run before
either; it could not be read; it is not selected; it may not have loaded what is bound, and the inventory does not name
it; its server or service is not there any more."""

Place = tuple[str, str]

LEFT = frozenset({"stopped-by-run", "load-unproven"})
"""Reasons for which a service loads what is bound already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interruption:
    """A service that was left, and what becomes of it. ``wanted``: whether the inventory names it, as selected."""

    touched: Touched
    fate: Fate
    wanted: bool = False

    @property
    def place(self) -> Place:
        """(server, service)."""
        return self.touched.server, self.touched.service

    @property
    def open(self) -> bool:
        """Whether it is left as it is, and has to be told again next time."""
        return self.fate in ("unread", "outside")


def find_interruptions(
    unfinished: Unfinished, sights: Mapping[str, Sight], *, selected: bool
) -> tuple[Interruption, ...]:
    """Decide what becomes of every service that runs left. ``selected``: only a part of the inventory is wanted."""
    return tuple(
        _interruption(touched, sights.get(touched.server), selected=selected) for touched in unfinished.touched.values()
    )


def _interruption(touched: Touched, sight: Sight | None, *, selected: bool) -> Interruption:
    if sight is None:
        return Interruption(touched=touched, fate="outside" if selected else "gone")
    wanted = any(service_of(slot.slot) == touched.service for slot in sight.wanted.slots)
    return Interruption(touched=touched, fate=_fate(touched, sight, wanted=wanted, selected=selected), wanted=wanted)


def _fate(touched: Touched, sight: Sight, *, wanted: bool, selected: bool) -> Fate:
    screen = sight.observed.screen(touched.service)
    if selected and not wanted:
        return "outside"
    if not isinstance(screen, Known):
        known = touched.service in sight.rows or sight.release is None
        return "unread" if isinstance(screen, Unread) and known else "gone"
    if screen.value.enabled is False:
        return "start" if touched.running and touched.switched else "off"
    if not touched.running or _load_is_proven(touched, sight):
        return "proven" if touched.running else "off"
    return "reload" if wanted else "doubtful"


def _load_is_proven(touched: Touched, sight: Sight) -> bool:
    """A port that shows the leaf of the bound file, and another than before the run: all files were loaded since."""
    for slot in touched.slots:
        served, before = sight.observed.served.get(slot), touched.served.get(slot)
        if before is None or not isinstance(served, Known) or not served.value:
            continue
        if served.value[0].sha256 != before and served.value[:1] == sight.certificates(_certificate(sight, slot))[:1]:
            return True
    return False


def _certificate(sight: Sight, slot: str) -> str | None:
    return sight.binding(slot).certificate


def by_server(interruptions: tuple[Interruption, ...]) -> dict[str, tuple[Interruption, ...]]:
    """Sort what was left by server, so that each is only asked about its own."""
    found: dict[str, list[Interruption]] = {}
    for each in interruptions:
        found.setdefault(each.touched.server, []).append(each)
    return {server: tuple(some) for server, some in found.items()}


def left_drift(interruptions: tuple[Interruption, ...], sight: Sight) -> Iterator[Drift]:
    """Say of a service that it was stopped, or that nothing proves that it loaded its files.

    The drift stands at the wanted slots that the run was about to change, or else at the service as a whole.
    """
    for each in interruptions:
        touched = each.touched
        if touched.server != sight.name or each.fate not in ("start", "reload"):
            continue
        slots = [slot.slot for slot in sight.wanted.slots if slot.slot in touched.slots and sight.slot(slot.slot)]
        for slot in slots or [touched.service]:
            yield _stopped(touched, slot) if each.fate == "start" else _unproven(touched, slot)


def _stopped(touched: Touched, slot: str) -> Drift:
    return Drift(
        server=touched.server,
        slot=slot,
        reason="stopped-by-run",
        wanted=f"{touched.service} runs, as before run {touched.run}",
        found=f"stopped by step {touched.step} of that run, which did not start it again",
    )


def _unproven(touched: Touched, slot: str) -> Drift:
    return Drift(
        server=touched.server,
        slot=slot,
        reason="load-unproven",
        wanted=f"{touched.service} has loaded what is bound",
        found=f"run {touched.run} broke off in step {touched.step}, and no port tells",
    )


def left_to_mend(interruptions: tuple[Interruption, ...], drift: tuple[Drift, ...]) -> dict[Place, Interruption]:
    """Return the services that this plan starts or loads again, by (server, service): not those that policy ignores."""
    places = {
        (each.server, service_of(each.slot))
        for each in drift
        if each.slot is not None and each.reason in LEFT and each.plannable
    }
    return {each.place: each for each in interruptions if each.place in places}


def settled_by(unfinished: Unfinished, interruptions: tuple[Interruption, ...]) -> tuple[str, ...]:
    """Return the runs that nobody has to hear of again once the plan is carried out, or if it has nothing to do."""
    open_places = {each.place for each in interruptions if each.open}
    return tuple(run.id for run in unfinished.runs if not open_places.intersection(run.touched))


def with_copies(
    sights: Mapping[str, Sight], unfinished: Unfinished, interruptions: tuple[Interruption, ...]
) -> dict[str, Sight]:
    """Tell the planner which files may be there in part, and where their good copies are.

    What every service has been proven to have loaded is good itself.
    """
    proven, needed = (
        {
            (each.touched.server, file)
            for each in interruptions
            for file in each.touched.files
            if (each.fate == "proven") is so
        }
        for so in (True, False)
    )
    good = proven - needed
    saved: dict[str, dict[str, str]] = {}
    torn: dict[str, set[str]] = {}
    for (server, file), copy in unfinished.saved.items():
        if (server, file) not in good:
            saved.setdefault(server, {})[file] = copy
    for server, file in unfinished.torn:
        torn.setdefault(server, set()).add(file)
    return {
        name: replace(sight, saved=saved.get(name, {}), torn=frozenset(torn.get(name, ())))
        for name, sight in sights.items()
    }


def former(interruption: Interruption, sight: Sight, slot: str) -> Binding | None:
    """Return what was bound to a slot before the run that left the service; None when that cannot be bound again."""
    binding = interruption.touched.before.get(slot)
    if binding is None or not all(sight.stored(name) for name in binding.files):
        return None
    return binding


def unproven_slots(
    interruptions: tuple[Interruption, ...], sights: Mapping[str, Sight]
) -> dict[Place, tuple[Certificate, ...]]:
    """Return the slots whose service may still work with what was bound before, and what that is as far as it is read.

    Only those whose port does not tell.
    """
    found: dict[Place, tuple[Certificate, ...]] = {}
    for each in interruptions:
        if each.fate not in ("start", "reload", "doubtful"):
            continue
        sight = sights[each.touched.server]
        for slot in each.touched.slots:
            row, before = sight.slot(slot), each.touched.before.get(slot)
            if row is None or isinstance(sight.observed.served.get(slot), Known):
                continue
            names = (before.bundle if row.kind == "trust" else before.certificate) if before is not None else None
            found[sight.name, slot] = sight.certificates(names)
    return found
