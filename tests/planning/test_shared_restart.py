"""What a call bridge loads, it loads in one restart: its own certificate and trust, and that of ``tls``."""

from __future__ import annotations

from cmscert.mmp.services import SERVICES
from cmscert.mmp.typed import typed
from cmscert.model.plan import Plan, Rebind, Step
from cmscert.testing.fleets import ToyFleet, identity, trusting

from .conftest import CORES, Generation, after, cluster, plan_of


def bridged(new: Generation, aged: Generation, *servers: str) -> ToyFleet:
    """Make call bridges whose certificate and whose trust for SIP and LDAP all change."""
    fleet = ToyFleet()
    for name in servers:
        core = fleet.server(name)
        core.wanted["callbridge"] = identity("callbridge", new.material(f"node:{name}"), new.corp)
        core.hold("callbridge", (aged.nodes[name].certificate,), bundle=aged.ca.bundle)
        for slot in ("tls/trust-sip", "tls/trust-ldap"):
            core.wanted[slot] = trusting(slot, new.corp)
            core.trust(slot, aged.ca.bundle)
    return fleet


def restarts(plan: Plan) -> list[str]:
    """Return, in order, the servers whose call bridge is restarted."""
    return [
        step.server
        for step in plan.steps
        for line in typed(step.action, step.server, plan, SERVICES)
        if line == "callbridge restart"
    ]


def binds(plan: Plan, service: str) -> list[Step]:
    """Return the changes of a service."""
    return [step for step in plan.steps if isinstance(step.action, Rebind) and step.action.service == service]


def test_one_restart_loads_both(new: Generation, old: Generation) -> None:
    """Trust is bound first, without a restart; the call bridge's own restart loads all, and is the only one."""
    fleet = bridged(new, old, "core1")
    planned = plan_of(fleet)

    assert restarts(planned.plan) == ["core1"]
    (tls,), (bridge,) = binds(planned.plan, "tls"), binds(planned.plan, "callbridge")
    assert tls.id in bridge.after
    assert not tls.disturbs
    assert bridge.disturbs
    assert "the restart of callbridge that follows loads it" in tls.because
    assert after(dict(fleet.observed()), planned)["core1"].screen("tls").kind == "known"


def test_a_way_back_restarts_for_itself(new: Generation, old: Generation) -> None:
    """Taken back alone, the old trust has to be loaded: nothing else does it then."""
    (tls,) = binds(plan_of(bridged(new, old, "core1")).plan, "tls")
    assert isinstance(tls.undo, Rebind)
    assert not tls.undo.stopped


def test_trust_alone_restarts_as_before(new: Generation, old: Generation) -> None:
    """Without a change of the call bridge itself the trust brings its own restart."""
    fleet = bridged(new, old, "core1")
    del fleet.server("core1").wanted["callbridge"]
    plan = plan_of(fleet).plan
    assert restarts(plan) == ["core1"]
    (tls,) = binds(plan, "tls")
    assert tls.disturbs


def test_a_trust_that_peers_wait_for_is_loaded_first(new: Generation, old: Generation) -> None:
    """Two bridges that accept each other: the order allows one restart less on one side."""
    plan = plan_of(bridged(new, old, *CORES)).plan
    counts = {name: restarts(plan).count(name) for name in CORES}
    assert sum(counts.values()) <= 5
    assert all(counts.values())
    for step in binds(plan, "callbridge"):
        assert step.disturbs


def test_a_whole_cluster_is_not_restarted_more_often(new: Generation, old: Generation) -> None:
    """A cluster with trust in tls needs no more restarts than the same cluster without it."""
    plain = restarts(plan_of(cluster(new, old)).plan)
    fleet = cluster(new, old)
    for name in CORES:
        server = fleet.server(name)
        server.wanted["tls/trust-ldap"] = trusting("tls/trust-ldap", new.corp)
        server.trust("tls/trust-ldap", old.ca.bundle)
    assert sorted(restarts(plan_of(fleet).plan)) == sorted(plain)


def test_a_bridge_that_is_stopped_carries_nothing(new: Generation, old: Generation) -> None:
    """Where the call bridge is not restarted, the trust brings its own restart."""
    fleet = bridged(new, old, "core1")
    fleet.server("core1").enabled["callbridge"] = False
    plan = plan_of(fleet).plan
    assert restarts(plan) == ["core1"]
    (tls,) = binds(plan, "tls")
    assert tls.disturbs
