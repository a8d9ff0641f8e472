"""Web administration: checked every time, and said when its port cannot prove it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cmscert.model.plan import CheckFiles, PutFile, SaveFile
from cmscert.model.readings import ABSENT, Known, Reading, Unread
from cmscert.planning.make import Planned
from cmscert.testing.fleets import ToyFleet, identity

from .conftest import Generation, plan_of


def one(new: Generation, aged: Generation) -> ToyFleet:
    """Make a server whose web administration and TURN are due for new certificates."""
    fleet = ToyFleet()
    core = fleet.server("core1")
    for slot in ("webadmin", "turn"):
        core.wanted[slot] = identity(slot, new.material("node:core1"), new.corp)
        core.hold(slot, (aged.nodes["core1"].certificate,), bundle=aged.ca.bundle)
    return fleet


def said(planned: Planned) -> list[str]:
    """Return the messages of the notice."""
    return [notice.message for notice in planned.plan.notices if notice.reason == "admin-unprobed"]


@pytest.mark.parametrize(
    ("served", "why"),
    [
        (ABSENT, "does not answer with TLS"),
        (Unread("no answer within 5 s"), "could not be probed (no answer within 5 s)"),
    ],
)
def test_a_port_that_cannot_prove_the_change_is_told(
    new: Generation, aged: Generation, served: Reading[object], why: str
) -> None:
    """Where web administration does not answer today, the plan says that the screen has to do; else it says nothing."""
    fleet = one(new, aged)
    assert said(plan_of(fleet)) == []
    fleet.server("core1").served["webadmin"] = served
    assert said(plan_of(fleet)) == [f"its port {why}: after the change only the status screen tells whether it is well"]


def test_what_is_not_changed_or_not_started_needs_no_proof(new: Generation, aged: Generation) -> None:
    """Nothing is said where web administration stays, or is stopped and stays so."""
    fleet = one(new, aged)
    core = fleet.server("core1")
    core.served["webadmin"] = ABSENT
    core.enabled["webadmin"] = False
    assert said(plan_of(fleet)) == []
    core.enabled["webadmin"] = True
    del core.wanted["webadmin"]
    assert said(plan_of(fleet)) == []


def test_the_pair_is_checked_although_it_was_uploaded_before(new: Generation, aged: Generation) -> None:
    """An earlier run may have uploaded and checked the files; what people come in by is checked again, TURN is not."""
    fleet = one(new, aged)
    core = fleet.server("core1")
    first = plan_of(fleet)
    for step in first.plan.steps:
        if isinstance(step.action, PutFile) and step.action.role == "key":
            core.keys[step.action.file] = new.nodes["core1"].key.spki_sha256
    seen = fleet.observed()["core1"]
    from cmscert.planning.predict import predict

    for step in first.plan.steps:
        if isinstance(step.action, PutFile):
            seen = predict(seen, step, first.contents)
    core.overrides = {"files": seen.files, "contents": seen.contents}
    turn = fleet.server("core1").wanted.pop("turn")
    checks = [step.action for step in plan_of(fleet).plan.steps if isinstance(step.action, CheckFiles)]
    assert len(checks) == 1
    assert checks[0].bundle is not None
    core.wanted = {"turn": turn}
    again = [step.action for step in plan_of(fleet).plan.steps]
    assert sum(isinstance(action, CheckFiles) for action in again) == sum(
        isinstance(action, PutFile) for action in again
    )


@pytest.mark.parametrize("name", ["admin.pub", "cms.lic", "live.json", "a.csr.txt"])
def test_a_name_in_use_that_is_no_certificates_is_not_overwritten(new: Generation, aged: Generation, name: str) -> None:
    """With fixed names the name comes from the server's screen: nothing but a certificate's or a key's is written."""
    fleet = ToyFleet()
    core = fleet.server("core1")
    core.wanted["webadmin"] = identity("webadmin", new.material("node:core1", naming="fixed"), new.corp)
    core.hold("webadmin", (aged.nodes["core1"].certificate,))
    core.files[name] = core.files[core.bound["webadmin"].certificate or ""]
    core.bound["webadmin"] = replace(core.bound["webadmin"], key=name, certificate=name)

    written = [step.action.file for step in plan_of(fleet).plan.steps if isinstance(step.action, PutFile)]

    assert {"node.crt", "node.key"} <= set(written)
    assert name not in written
    assert not any(isinstance(step.action, SaveFile) for step in plan_of(fleet).plan.steps)
    assert isinstance(core.served["webadmin"], Known)
