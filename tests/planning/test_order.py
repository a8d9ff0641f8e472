"""Laws of the order, for any mixture of generations and any order that the links allow."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from cmscert.mmp.services import SERVICES
from cmscert.model.names import Release
from cmscert.model.observed import ObservedServer
from cmscert.model.plan import Plan, Rebind, RemoveFiles, Step
from cmscert.model.readings import Known
from cmscert.model.services import rows_for
from cmscert.pki.certificate import Certificate
from cmscert.pki.chain import accepted_by
from cmscert.planning.make import make_plan
from cmscert.planning.predict import predict
from cmscert.testing.fleets import MOMENT, ToyFleet, identity

from .conftest import CORES, EDGES, Generation, cluster, plan_of

ROWS = rows_for(SERVICES, Release(3, 9))
LINKS = (
    ("callbridge/trust-c2w", "webbridge3/c2w"),
    ("webbridge3/trust-c2w", "callbridge"),
    ("callbridge/trust-cluster", "callbridge"),
)


@st.composite
def mixtures(draw: st.DrawFn, generations: tuple[Generation, ...]) -> ToyFleet:
    """A fleet that wants the first generation and holds any mixture, with trust in one CA or in both."""
    fleet = cluster(generations[0])
    both = tuple(dict.fromkeys(crt for generation in generations for crt in generation.ca.bundle))
    for name in (*CORES, *EDGES):
        server = fleet.server(name)
        for slot, wanted in server.wanted.items():
            if wanted.kind == "identity":
                held = draw(st.sampled_from(generations)).material(
                    f"node:{name}" if wanted.material.certificate == "node" else wanted.material.certificate
                )
                full = slot.startswith("webbridge3/")
                bundle = () if full else draw(st.sampled_from([generation.ca.bundle for generation in generations]))
                server.hold(slot, held.full_chain if full else (held.leaf,), bundle=bundle)
            else:
                server.trust(slot, draw(st.sampled_from([*(g.ca.bundle for g in generations), both])))
    return fleet


def certificates(observed: ObservedServer, name: str | None) -> tuple[Certificate, ...]:
    """Read the certificates of a predicted file."""
    content = observed.contents.get(name or "")
    return content.value.certificates if isinstance(content, Known) else ()


def accepted(state: Mapping[str, ObservedServer]) -> set[tuple[str, str, str, str]]:
    """Return which trust accepts which identity, decided without the planner's own code."""
    found = set()
    for trust_slot, identity_slot in LINKS:
        for holder, server in state.items():
            for peer, other in state.items():
                trusting, peering = server.screen(trust_slot.split("/")[0]), other.screen(identity_slot.split("/")[0])
                if holder == peer or not isinstance(trusting, Known) or not isinstance(peering, Known):
                    continue
                trust = certificates(server, trusting.value.binding(trust_slot).bundle)
                bound = peering.value.binding(identity_slot)
                chain = certificates(other, bound.certificate)
                shown = (*chain[1:], *certificates(other, bound.bundle))
                if trust and chain and accepted_by(trust, chain[0], shown, pin="any"):
                    found.add((holder, trust_slot, peer, identity_slot))
    return found


def any_order(draw: st.DrawFn, plan: Plan) -> list[Step]:
    """Draw an order that keeps to every link, as several servers at once would produce it."""
    waiting, done, order = list(plan.steps), set[str](), list[Step]()
    while waiting:
        ready = [step for step in waiting if set(step.after) <= done]
        step = draw(st.sampled_from(ready))
        waiting.remove(step)
        done.add(step.id)
        order.append(step)
    return order


@pytest.mark.unwatched
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(draws=st.data())
def test_laws(draws: st.DataObject, new: Generation, aged: Generation, old: Generation) -> None:
    """Nobody who was accepted is ever refused on the way, and the end needs no further plan."""
    fleet = draws.draw(mixtures((new, aged, old)))
    planned = plan_of(fleet)
    state = dict(fleet.observed())
    before = accepted(state)
    bound: set[str] = set()

    assert not [refusal for refusal in planned.plan.refusals if refusal.guard == "peer-refused"]
    for step in any_order(draws.draw, planned.plan):
        if isinstance(step.action, RemoveFiles):
            assert not bound & set(step.action.files)
        if step.server in state:
            state[step.server] = predict(state[step.server], step, planned.contents)
            if isinstance(step.action, Rebind):
                bound |= {name for binding in step.action.bindings for name in binding.files}
        assert before <= accepted(state)

    again = make_plan(fleet.desired(), state, table=SERVICES, moment=MOMENT, tool_version="0")
    assert again.plan.steps == ()
    assert all(not drift.plannable for drift in again.plan.drift)


@pytest.mark.unwatched
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(draws=st.data())
def test_one_at_a_time(draws: st.DataObject, new: Generation, aged: Generation, old: Generation) -> None:
    """Of services that stand in for each other no two can ever be down at once, whatever order is taken."""
    plan = plan_of(draws.draw(mixtures((new, aged, old)))).plan
    before: dict[str, set[str]] = {}
    for step in plan.steps:
        before[step.id] = set(step.after).union(*(before[other] for other in step.after))

    for service in ("callbridge", "webbridge3", "turn"):
        steps = [step for step in plan.steps if step.impact is not None and step.impact.service == service]
        for earlier, later in itertools.pairwise(steps):
            assert earlier.id in before[later.id]
    for step in plan.steps:
        if step.slot == "webadmin":
            # Taking old trust away is the one thing that may come after it.
            others = {o.id for o in plan.steps if o.server == step.server and o.disturbs and not _trust_only(o)}
            assert others - {step.id} <= before[step.id]
        if step.disturbs:
            checks = {other.id for other in plan.steps if other.action.kind in ("put", "check")}
            assert checks <= before[step.id]


def _trust_only(step: Step) -> bool:
    return all("/trust" in slot for slot in (step.slot or "").split(", "))


def test_new_fleet_stops_each_service_once(new: Generation) -> None:
    """Where nothing is bound yet nobody is locked out, so trust and identity of a service go together."""
    fleet = cluster(new)
    for server in fleet.servers.values():
        server.bound, server.files, server.keys, server.served = {}, {}, {}, {}
    plan = plan_of(fleet).plan
    stops = [(step.server, step.action.service) for step in plan.steps if isinstance(step.action, Rebind)]

    assert len(stops) == len(set(stops)) == 10


def turns(count: int, new: Generation, old: Generation) -> dict[str, list[str]]:
    """Return the servers of a fleet of edges, by service, in the order in which they change."""
    fleet = ToyFleet()
    for number in range(1, count + 1):
        server = fleet.server(f"edge{number}")
        for slot in ("turn", "webbridge3/https"):
            server.wanted[slot] = identity(slot, new.material("join"), new.corp if slot == "turn" else None)
            server.hold(slot, old.material("join").full_chain)
    steps = plan_of(fleet).plan.steps
    binds = [(step.server, step.action.service) for step in steps if isinstance(step.action, Rebind)]
    return {name: [server for server, service in binds if service == name] for name in ("turn", "webbridge3")}


def test_services_on_the_same_servers_do_not_wait_for_each_other(new: Generation, aged: Generation) -> None:
    """The web bridges begin on the second server while TURN begins on the first, so that no server has both to do."""
    order = turns(3, new, aged)
    assert order["turn"] == ["edge1", "edge2", "edge3"]
    assert order["webbridge3"] == ["edge2", "edge3", "edge1"]


def test_one_of_two_servers_stays_untouched_at_first(new: Generation, aged: Generation) -> None:
    """Nothing is proven yet when the first services change, so they are on one and the same server."""
    order = turns(2, new, aged)
    assert order["turn"] == order["webbridge3"] == ["edge1", "edge2"]
