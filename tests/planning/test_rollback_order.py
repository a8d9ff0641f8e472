"""In which order a run is taken back, and what is read for that."""

from __future__ import annotations

from dataclasses import replace

from cmscert.mmp.services import SERVICES
from cmscert.model.desired import LookedAt
from cmscert.model.observed import Binding, ServiceState, same_files
from cmscert.model.plan import (
    Plan,
    Rebind,
    Restart,
    Step,
)
from cmscert.model.readings import Known
from cmscert.planning.past import Past, Place, looking
from cmscert.planning.rollback import make_rollback
from cmscert.testing.fleets import MOMENT, ToyFleet, trusting

from .conftest import CORES, Generation, cluster
from .taken_back import RUN, changes, copies, cycled, fixed, ran, same
from .test_scenarios import legacy
from .test_shared_restart import bridged, restarts


def test_trust_of_tls_is_loaded_by_the_call_bridge(new: Generation, old: Generation) -> None:
    """One restart of a call bridge takes both back; alone, the trust brings its own restart."""
    fleet = bridged(new, old, "core1", "core2")
    made = ran(fleet).do()

    plan = made.back().plan
    assert restarts(made.planned.plan) == ["core1", "core2"]
    assert restarts(plan) == ["core2", "core1"]
    assert same(made.taken_back(), made.before)
    for name in CORES:
        step = made.step("callbridge", name)
        assert isinstance(step.undo, Rebind)
        made.bind(name, *step.undo.bindings, loaded=True)
    assert restarts(made.back().plan) == ["core2", "core1"]


def test_tls_of_a_stopped_service(new: Generation, old: Generation) -> None:
    """What was bound for a restart that never came is taken back with a restart of its own."""
    made = ran(bridged(new, old, "core1"))
    tls = next(step for step in made.planned.plan.steps if "tls" in (step.slot or ""))
    made.do(tls.id)

    assert restarts(made.back().plan) == ["core1"]


def test_web_administration_that_somebody_checks(new: Generation, old: Generation) -> None:
    """Where an uploader trusts web administration, its trust keeps its place around it."""
    fleet = cluster(new, old)
    core = fleet.server("core1")
    core.wanted["uploader/trust-cms"] = trusting("uploader/trust-cms", new.corp)
    core.trust("uploader/trust-cms", old.ca.bundle)
    made = ran(fleet).do()

    order = changes(made.back().plan)
    trust = [at for at, place in enumerate(order) if place == ("core1", "uploader/trust-cms")]
    webadmin = order.index(("core1", "webadmin"))
    others = [at for at, (server, slot) in enumerate(order) if server == "core1" and slot == "callbridge"]
    assert min(trust) < webadmin < max(trust)
    assert max(others) < webadmin
    assert same(made.taken_back(), made.before)


def test_links_go_through_what_is_not_taken_back(new: Generation, aged: Generation) -> None:
    """Two call bridges go back one after the other although the one between them is as before already."""
    made = ran(bridged(new, aged, "core1", "core2", "edge1")).do()
    between = made.step("callbridge", "core2")
    assert isinstance(between.undo, Rebind)
    made.bind("core2", *between.undo.bindings, loaded=True)

    first, second = (step for step in made.back().plan.steps if step.slot == "callbridge")
    assert (first.server, second.server) == ("edge1", "core1")
    assert first.id in second.after


def test_looking(new: Generation, aged: Generation) -> None:
    """Slots of the run are looked at with what was bound; the inventory says where, the run says which tag."""
    made = ran(fixed(new, aged)).do()
    desired = made.desired
    place = LookedAt(slot="webadmin", address="10.9.9.9", port=8443, tag="x")
    other = LookedAt(slot="turn", port=1)
    server = replace(desired.servers[0], looked_at=(place, other))
    (seen,) = looking(made.past, replace(desired, servers=(server,))).servers
    by_slot = {each.slot: each for each in seen.looked_at}

    assert by_slot["turn"] == other
    assert (by_slot["webadmin"].address, by_slot["webadmin"].port, by_slot["webadmin"].tag) == ("10.9.9.9", 8443, "x")
    names = {name for binding in by_slot["webadmin"].bindings for name in binding.files}
    assert set(copies(made).values()) <= names
    assert not by_slot["webadmin"].answered


def test_what_answered_must_answer_again(new: Generation, aged: Generation) -> None:
    """The port of a service that the run left unproven must answer once it is started, if it did before."""
    made, step = cycled(new, aged)
    made.begin(step.id)
    seen = looking(made.past, made.desired).server("edge1")

    assert {each.slot for each in seen.looked_at if each.answered} == {"webbridge3/https", "webbridge3/c2w"}


def test_tags_of_the_run_count(new: Generation, old: Generation) -> None:
    """The tag that the run bound is looked at."""
    made = ran(legacy(new, old)).do()
    seen = {each.slot: each for each in looking(made.past, made.desired).server("edge1").looked_at}

    assert seen["loadbalancer"].tag == "edge"


def test_trails_know_slots_without_a_way_back() -> None:
    """A step without a way back on names says nothing about them."""
    step = Step(
        id="1",
        server="core1",
        slot="turn",
        action=Rebind(service="turn", bindings=(Binding(slot="turn", key="a", certificate="b"),)),
        because=(),
        undo=Restart(service="turn"),
    )
    state = ServiceState(service="turn", enabled=True)
    past = Past(run=RUN, plan=replace(empty(), steps=(step,)), outcomes={"1": "done"})
    fleet = ToyFleet()
    fleet.server("core1").overrides["screens"] = {"turn": Known(state)}
    plan = make_rollback(past, fleet.observed(), fleet.desired(), table=SERVICES, moment=MOMENT, tool_version="0").plan

    assert plan.steps == ()
    assert past.changed() == frozenset[Place]({("core1", "turn")})
    assert same_files(Binding(slot="a"), Binding(slot="b"))


def empty() -> Plan:
    """Return a plan without steps."""
    return Plan(made_at=MOMENT, tool_version="0", fleet="toy", inventory_sha256="0" * 64, basis={})
