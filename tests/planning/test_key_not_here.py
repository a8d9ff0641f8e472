"""Certificates whose key only the servers have."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from cmscert.mmp.services import SERVICES
from cmscert.model.desired import Naming, WantedDatabase
from cmscert.model.plan import Plan, PutFile, Rebind
from cmscert.planning.make import make_plan
from cmscert.testing.ca import Issued, ThrowAwayCa
from cmscert.testing.fleets import MOMENT, ToyFleet, ToyServer, identity, material


def issue(ca: ThrowAwayCa, name: str = "core1.example.com") -> Issued:
    """Issue a certificate that is not due."""
    return ca.issue(name, not_before=MOMENT, not_after=MOMENT + timedelta(days=90))


def want(server: ToyServer, slot: str, made: Issued, ca: ThrowAwayCa, naming: Naming = "new") -> None:
    """Want a certificate whose key is not here."""
    wanted = replace(material("node", made.certificate, ca.bundle, naming=naming), key_here=False)
    server.wanted[slot] = identity(slot, wanted)


def plan_of(fleet: ToyFleet) -> Plan:
    """Plan."""
    return make_plan(fleet.desired(), fleet.observed(), table=SERVICES, moment=MOMENT, tool_version="0").plan


def test_what_is_bound_already_plans_to_nothing(new_ca: ThrowAwayCa) -> None:
    """The key need not be here to see that all is as wanted."""
    fleet, made = ToyFleet(), issue(new_ca)
    server = fleet.server("core1")
    want(server, "webadmin", made, new_ca)
    server.hold("webadmin", (made.certificate, *new_ca.bundle))

    assert (plan_of(fleet).steps, plan_of(fleet).drift, plan_of(fleet).refusals) == ((), (), ())


@pytest.mark.parametrize("naming", ["new", "fixed"])
def test_a_key_that_the_server_has_elsewhere_is_bound(new_ca: ThrowAwayCa, naming: Naming) -> None:
    """A slot gets the certificate with the key that another slot of the server has."""
    fleet, made = ToyFleet(), issue(new_ca)
    server = fleet.server("core1")
    server.hold("turn", (made.certificate, *new_ca.bundle))
    server.hold("webadmin", (issue(new_ca).certificate, *new_ca.bundle))
    want(server, "turn", made, new_ca)
    want(server, "webadmin", made, new_ca, naming)
    plan = plan_of(fleet)
    (bind,) = [step.action for step in plan.steps if isinstance(step.action, Rebind)]

    assert bind.bindings[0].key == server.bound["turn"].key
    assert not [step for step in plan.steps if isinstance(step.action, PutFile) and step.action.role == "key"]
    assert plan.refusals == ()


@pytest.mark.parametrize("right", [True, False])
def test_a_server_without_the_key_is_refused(new_ca: ThrowAwayCa, *, right: bool) -> None:
    """Another certificate is bound, or a key that does not belong to it: nothing here can mend that."""
    fleet, made = ToyFleet(), issue(new_ca)
    server = fleet.server("core1")
    bound = made if right else issue(new_ca)
    server.hold("webadmin", (bound.certificate, *new_ca.bundle), spki="0" * 64 if right else None)
    want(server, "webadmin", made, new_ca)
    (refusal,) = plan_of(fleet).refusals

    assert (refusal.guard, refusal.server, refusal.liftable) == ("key-not-here", "core1", False)
    assert "certificates.node" in refusal.message


def test_the_same_key_may_be_here_for_another_certificate(new_ca: ThrowAwayCa) -> None:
    """The key of one certificate is the key of every certificate with the same public half."""
    fleet, made = ToyFleet(), issue(new_ca)
    want(fleet.server("core1"), "webadmin", made, new_ca)
    turn = material("turn", made.certificate, new_ca.bundle)
    fleet.server("core1").wanted["turn"] = identity("turn", turn)

    assert "key-not-here" not in {refusal.guard for refusal in plan_of(fleet).refusals}


def test_databases_are_looked_at_too(new_ca: ThrowAwayCa) -> None:
    """A database whose material is here takes nothing from what is said of services."""
    fleet, made = ToyFleet(), issue(new_ca)
    server = fleet.server("core1")
    want(server, "webadmin", made, new_ca)
    ours = material("db", made.certificate, new_ca.bundle)
    database = WantedDatabase(
        name="main", nodes=("core1",), primary="core1", server={"core1": ours}, client={"core1": ours}
    )
    desired = replace(fleet.desired(), databases=(database,))
    plan = make_plan(desired, fleet.observed(), table=SERVICES, moment=MOMENT, tool_version="0").plan

    assert "key-not-here" not in {refusal.guard for refusal in plan.refusals}
