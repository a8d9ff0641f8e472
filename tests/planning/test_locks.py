"""Lock files of runs that servers carry: one guard, two notices."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from cmscert.mmp.services import SERVICES
from cmscert.model.marker import GRACE, Marker, marker_name
from cmscert.model.plan import Plan
from cmscert.model.readings import Known, Reading, Unread
from cmscert.planning.make import make_plan
from cmscert.testing.fleets import MOMENT, ToyFleet

RUN = "20261123T215900Z-ffffff"
UNTIL = MOMENT + timedelta(minutes=4)
MARKER = Marker(
    file=marker_name(RUN),
    fleet="video",
    owner="bob",
    machine="desk3",
    run=RUN,
    since=MOMENT - timedelta(minutes=6),
    until=UNTIL,
)

IN_TIME: Reading[float] = Known(0.0)


def planned(
    *markers: Known[Marker] | Unread, skew: Reading[float] = IN_TIME, dead: frozenset[str] = frozenset()
) -> Plan:
    """Plan for two servers that both carry these lock files."""
    fleet = ToyFleet()
    for name in ("core1", "core2"):
        fleet.server(name)
    observed = {name: replace(seen, markers=markers, clock_skew=skew) for name, seen in fleet.observed().items()}
    return make_plan(fleet.desired(), observed, table=SERVICES, moment=MOMENT, tool_version="1", dead=dead).plan


def locks(plan: Plan) -> tuple[list[str], list[tuple[str | None, str]]]:
    """Return the messages of the guard, and server and message of the notices."""
    held = [each.message for each in plan.refusals if each.guard == "foreign-lock"]
    noticed = [(each.reason, each.message) for each in plan.notices if each.reason in ("foreign-lock", "expired-lock")]
    return held, noticed


def test_no_lock() -> None:
    """Without lock files nothing is said."""
    assert locks(planned()) == ([], [])


def test_run_that_goes_on() -> None:
    """A run that goes on is named once, with every server that carries its lock, and refuses."""
    plan = planned(Known(MARKER))

    held, noticed = locks(plan)
    assert held == [f"run {RUN} of bob on desk3 is changing this fleet: wait for its end"]
    since, until = (f"{at:%Y-%m-%d %H:%M:%S} UTC" for at in (MARKER.since, UNTIL))
    said = f"run {RUN} of bob on desk3 is changing this fleet since {since}, until {until} or its end; its lock is on "
    assert noticed == [("foreign-lock", f"{said}core1, core2")]
    (refusal,) = [each for each in plan.refusals if each.guard == "foreign-lock"]
    assert refusal.liftable


def test_expired() -> None:
    """A lock that has expired refuses nothing; it is said whose it was, and where its journal is."""
    held, noticed = locks(planned(Known(replace(MARKER, until=MOMENT - GRACE - timedelta(seconds=1)))))

    assert held == []
    ((reason, message),) = noticed
    assert reason == "expired-lock"
    assert message.startswith(f"run {RUN} of bob on desk3 died; what it had done is in its journal there")
    assert "core1, core2" in message


def test_expiry_is_by_the_clock_of_the_server() -> None:
    """Whether a lock has expired is told by the clock of the server that carries it, by ours where it tells none."""
    late = timedelta(minutes=5).total_seconds()

    assert locks(planned(Known(MARKER), skew=Known(late)))[0] == []
    assert locks(planned(Known(MARKER), skew=Unread("no")))[0] != []


def test_run_that_is_known_to_be_dead() -> None:
    """A run of this machine that is known to be over refuses nothing, whatever its lock says."""
    held, noticed = locks(planned(Known(MARKER), dead=frozenset({RUN})))

    assert held == []
    assert [reason for reason, _ in noticed] == ["expired-lock"]


def test_lock_that_cannot_be_read() -> None:
    """A lock file that cannot be read refuses, on each server by name."""
    plan = planned(Unread("x.crt is no lock file that can be read: it is not whole"))
    held, noticed = locks(plan)

    assert held == ["x.crt is no lock file that can be read: it is not whole: who holds the fleet is not known"] * 2
    assert [each.server for each in plan.refusals] == ["core1", "core2"]
    assert [reason for reason, _ in noticed] == ["foreign-lock"] * 2
