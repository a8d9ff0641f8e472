"""What a narrowed run keeps to itself: with that, whatever others do elsewhere leaves its plan as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest

from cmscert.mmp.services import SERVICES
from cmscert.model.desired import Awaited, Desired, WantedDatabase
from cmscert.model.marker import Marker, marker_name
from cmscert.model.observed import ObservedServer
from cmscert.model.plan import Rebind, Restart
from cmscert.model.readings import Known, Unread
from cmscert.planning.make import Planned, make_plan
from cmscert.planning.select import apply_selection, around, parse_selector
from cmscert.testing.fleets import MOMENT, ToyFleet

from .conftest import CORES, EDGES, Generation, after, cluster

EVERY = frozenset((*CORES, *EDGES))
RUN = "20261123T215900Z-ffffff"


def narrowed(
    fleet: ToyFleet, *select: str, observed: Mapping[str, ObservedServer] | None = None, desired: Desired | None = None
) -> Planned:
    """Plan a part of a fleet, as use cases do."""
    whole = desired or fleet.desired()
    chosen = apply_selection(whole, tuple(map(parse_selector, select)))
    return make_plan(
        around(whole, chosen),
        observed or fleet.observed(),
        table=SERVICES,
        moment=MOMENT,
        tool_version="0",
        select=select,
    )


def test_the_whole_fleet_is_held_whole(new: Generation, aged: Generation) -> None:
    """Without a selection every server is held, whatever differs."""
    assert narrowed(cluster(new)).held == EVERY
    assert narrowed(cluster(new, aged)).held == EVERY


def test_what_was_selected_is_held(new: Generation) -> None:
    """A selection is held even where nothing differs: two runs of one shard exclude each other."""
    planned = narrowed(cluster(new), "server=core1", "server=edge1")

    assert planned.plan.steps == ()
    assert planned.held == frozenset({"core1", "edge1"})


def test_web_administration_is_its_own(new: Generation, aged: Generation) -> None:
    """Nobody stands in for web administration, and nobody here trusts it."""
    planned = narrowed(cluster(new, aged), "server=core1", "service=webadmin")

    assert planned.plan.steps
    assert planned.held == frozenset({"core1"})


def test_who_stands_in_is_held(new: Generation, aged: Generation) -> None:
    """One web bridge stops at a time, so a run that stops one keeps the others."""
    assert narrowed(cluster(new, aged), "server=edge1", "certificate=join").held == frozenset(EDGES)


@pytest.mark.parametrize("way", ["named", "awaited", "bound", "unread"])
def test_how_it_is_known_who_stands_in(new: Generation, aged: Generation, way: str) -> None:
    """A server stands in when the inventory names the service, when it is bound there, or when nobody can tell."""
    fleet = cluster(new, aged)
    held = fleet.server("edge2")
    wanted = held.wanted.pop("turn")
    held.bound.pop("turn")
    desired = fleet.desired()
    observed = dict(fleet.observed())
    alone = narrowed(fleet, "server=edge1", "service=turn").held
    if way == "named":
        held.wanted["turn"] = wanted
        desired = fleet.desired()
    elif way == "awaited":
        waits = Awaited(server="edge2", slot="turn", certificate="join", why="not signed")
        desired = replace(desired, awaited=(waits,))
    elif way == "bound":
        observed["edge2"] = replace(
            observed["edge2"], screens={**observed["edge2"].screens, "turn": observed["edge1"].screens["turn"]}
        )
    else:
        observed["edge2"] = replace(observed["edge2"], screens={**observed["edge2"].screens, "turn": Unread("no")})
    planned = narrowed(fleet, "server=edge1", "service=turn", observed=observed, desired=desired)

    assert alone == frozenset({"edge1"})
    assert planned.held == frozenset(EDGES)


def test_who_must_accept_a_changed_identity_is_held(new: Generation, aged: Generation) -> None:
    """A call bridge is checked by every web bridge, and stands in for the other call bridges."""
    assert narrowed(cluster(new, aged), "server=core1", "service=callbridge").held == EVERY


def test_who_is_accepted_by_a_changed_trust_is_held(new: Generation, old: Generation) -> None:
    """A trust list that changes ties its server to those whose certificates it must accept."""
    fleet = cluster(new)
    fleet.server("edge1").trust("webbridge3/trust-c2w", (*new.ca.bundle, *old.ca.bundle))
    fleet.policy = replace(fleet.policy, one_at_a_time=())
    planned = narrowed(fleet, "server=edge1", "service=webbridge3")

    assert {each.slot for each in planned.plan.drift} == {"webbridge3/trust-c2w"}
    assert planned.held is not None
    assert set(CORES) <= planned.held


def test_the_members_of_a_database_are_held(new: Generation) -> None:
    """A database cluster is changed as a whole, so all of its servers are held."""
    fleet = cluster(new)
    issued = new.material("cluster")
    database = WantedDatabase(
        name="main",
        nodes=CORES,
        clients=("edge2",),
        primary="core1",
        interface="a",
        server=dict.fromkeys(CORES, issued),
        client=dict.fromkeys((*CORES, "edge2"), issued),
        ca=new.corp,
    )
    planned = narrowed(fleet, "service=database", desired=replace(fleet.desired(), databases=(database,)))

    assert planned.held == frozenset({*CORES, "edge2"})


def test_a_plan_leans_on_what_it_holds_alone(new: Generation, aged: Generation) -> None:
    """A saved plan of a shard is not stale because another shard was changed meanwhile."""
    fleet = cluster(new, aged)
    plan = narrowed(fleet, "server=core1", "service=webadmin").plan

    assert set(plan.basis) == set(plan.basis_parts) == {"core1"}


def test_a_lock_elsewhere_refuses_nothing(new: Generation, aged: Generation) -> None:
    """A run that holds other servers is told, and refuses only who has to hold one of them."""
    fleet = cluster(new, aged)
    marker = Marker(
        file=marker_name(RUN),
        fleet="toy",
        owner="bob",
        machine="desk3",
        run=RUN,
        since=MOMENT,
        until=MOMENT + timedelta(minutes=4),
    )
    observed = dict(fleet.observed())
    observed["edge1"] = replace(observed["edge1"], markers=(Known(marker), Unread("x is torn")))
    aside = narrowed(fleet, "server=core1", "service=webadmin", observed=observed).plan
    tied = narrowed(fleet, "server=core1", "service=callbridge", observed=observed).plan

    assert [each.guard for each in aside.refusals] == []
    assert [each.reason for each in aside.notices if each.reason == "foreign-lock"] == ["foreign-lock"] * 2
    assert [(each.guard, each.server) for each in tied.refusals] == [("foreign-lock", "edge1")] * 2


SHARDS = [
    (f"server={server}", f"service={service}")
    for server in (*CORES, *EDGES)
    for service in ("webadmin", "callbridge" if server in CORES else "webbridge3", "turn")
    if (server, service) not in {("core1", "turn"), ("core2", "turn")}
]


@pytest.mark.parametrize("kind", ["aged", "old"])
def test_whatever_another_does_elsewhere_leaves_a_plan_as_it_is(
    new: Generation, aged: Generation, old: Generation, kind: str
) -> None:
    """Of two shards that hold no server in common, neither's plan changes when the other's was carried out."""
    fleet = cluster(new, {"aged": aged, "old": old}[kind])
    before = dict(fleet.observed())
    plans = {shard: narrowed(fleet, *shard) for shard in SHARDS}
    apart = [
        (one, other)
        for one, other in product(SHARDS, repeat=2)
        if not (plans[one].held or EVERY) & (plans[other].held or EVERY)
    ]
    for one, other in apart:
        again = narrowed(fleet, *one, observed=after(before, plans[other]))
        assert (again.plan.steps, again.plan.refusals) == (plans[one].plan.steps, plans[one].plan.refusals)
        assert again.held == plans[one].held
        assert not _groups(plans[one]) & _groups(plans[other])

    assert len(apart) >= len(EVERY)


def _groups(planned: Planned) -> set[str]:
    """Return the services of which one after the other is stopped."""
    services = {each.action.service for each in planned.plan.steps if isinstance(each.action, Rebind | Restart)}
    return services - {"webadmin"}
