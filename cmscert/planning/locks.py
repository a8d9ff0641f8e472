"""Lock files that servers carry: who changes the fleet now, and who did when a run died."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from cmscert.model.marker import GRACE, Marker, marker_name
from cmscert.model.plan import Notice, Refusal
from cmscert.model.readings import Known, Unread
from cmscert.planning.case import Case
from cmscert.planning.sight import Sight


def foreign_lock(case: Case) -> Iterator[Refusal]:
    """Another run holds the fleet, or servers that this one has to hold."""
    for marker, servers in _by_run(case, live=True):
        mine = [name for name in servers if _is_held(case, name)]
        if mine:
            yield Refusal(
                guard="foreign-lock", server=mine[0], message=f"{_who(marker)} is changing this fleet: wait for its end"
            )
    for sight, why in _unread(case):
        if not _is_held(case, sight.name):
            continue
        yield Refusal(guard="foreign-lock", server=sight.name, message=f"{why}: who holds the fleet is not known")


def locked_by_another(case: Case) -> Iterator[Notice]:
    """Another run holds the fleet: who it is, and for how long."""
    for marker, servers in _by_run(case, live=True):
        message = f"{_who(marker)} is changing this fleet{_since(marker)}; its lock is on {', '.join(servers)}"
        yield Notice(server=servers[0], reason="foreign-lock", message=message)
    for sight, why in _unread(case):
        yield Notice(server=sight.name, reason="foreign-lock", message=why)


def lock_expired(case: Case) -> Iterator[Notice]:
    """A run died without taking its lock away."""
    for marker, servers in _by_run(case, live=False):
        message = (
            f"{_who(marker)} died; what it had done is in its journal there, where it had begun. Its lock is still on "
            f"{', '.join(servers)}; the next apply removes it"
        )
        yield Notice(server=servers[0], reason="expired-lock", message=message)


def _is_held(case: Case, server: str) -> bool:
    return case.held is None or server in case.held


def _by_run(case: Case, *, live: bool) -> list[tuple[Marker, list[str]]]:
    """Return the runs whose lock files count, or do not, each with the servers that carry one."""
    found: dict[str, tuple[Marker, list[str]]] = {}
    for sight in case.sights.values():
        for marker in sight.observed.markers:
            if isinstance(marker, Known) and _lives(case, sight, marker.value) is live:
                found.setdefault(marker.value.run, (marker.value, []))[1].append(sight.name)
    return list(found.values())


def _lives(case: Case, sight: Sight, marker: Marker) -> bool:
    """Tell by the server's own clock, which all writers share; by ours where it could not be read."""
    skew = sight.observed.clock_skew
    there = case.moment + timedelta(seconds=skew.value if isinstance(skew, Known) else 0.0)
    return marker.run not in case.dead and there <= marker.until + GRACE


def _unread(case: Case) -> Iterator[tuple[Sight, str]]:
    """Return the lock files that could not be read, without what a run left half written that died here."""
    ours = tuple(marker_name(run) for run in case.dead)
    for sight in case.sights.values():
        for marker in sight.observed.markers:
            if isinstance(marker, Unread) and not marker.why.startswith(ours):
                yield sight, marker.why


def _who(marker: Marker) -> str:
    return f"run {marker.run} of {marker.owner} on {marker.machine}"


def _since(marker: Marker) -> str:
    return f" since {marker.since:%Y-%m-%d %H:%M:%S} UTC, until {marker.until:%Y-%m-%d %H:%M:%S} UTC or its end"
