"""Certificates that issuers deliver: keys made on the server, requests under way, and what has not come yet."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from cmscert.mmp.services import SERVICES
from cmscert.model.desired import Awaited, Bundle, Ignore, Naming, Policy, Renewal
from cmscert.model.plan import CheckFiles, PutFile, Rebind, RemoveFiles
from cmscert.planning.make import make_plan
from cmscert.planning.select import apply_selection, around, parse_selector
from cmscert.testing.ca import ThrowAwayCa
from cmscert.testing.fleets import MOMENT, ToyFleet, identity, material, trusting

KEY = "node-20261123-0a1b2c3d.key"


def fleet_of(ca: ThrowAwayCa, *, key_there: bool = True, held: bool = True, naming: Naming = "new") -> ToyFleet:
    """One server whose web administration gets a certificate for a key that the server made."""
    fleet = ToyFleet()
    server = fleet.server("core1")
    new = ca.issue("core1.example.com", not_before=MOMENT, not_after=MOMENT + timedelta(days=90)).certificate
    made = replace(material("node", new, ca.bundle, naming=naming), device_key=KEY)
    server.wanted["webadmin"] = identity("webadmin", made)
    if held:
        old = ca.issue("core1.example.com", not_before=MOMENT - timedelta(days=80), not_after=MOMENT)
        server.hold("webadmin", (old.certificate, *ca.bundle))
    if key_there:
        server.keys[KEY] = new.spki_sha256
    return fleet


@pytest.mark.parametrize("naming", ["new", "fixed"])
def test_a_key_made_on_the_server_is_bound_and_never_put(new_ca: ThrowAwayCa, naming: Naming) -> None:
    """Only the certificate is uploaded; the key is named where the server made it."""
    fleet = fleet_of(new_ca, naming=naming)
    plan = make_plan(fleet.desired(), fleet.observed(), table=SERVICES, moment=MOMENT, tool_version="0").plan

    puts = [step.action for step in plan.steps if isinstance(step.action, PutFile)]
    (bind,) = [step.action for step in plan.steps if isinstance(step.action, Rebind)]
    (check,) = [step.action for step in plan.steps if isinstance(step.action, CheckFiles)]
    assert [put.role for put in puts] == ["certificate"]
    assert bind.bindings[0].key == check.key == KEY
    assert plan.refusals == ()


@pytest.mark.parametrize("held", [True, False])
def test_a_key_that_is_gone_cannot_be_bound(new_ca: ThrowAwayCa, *, held: bool) -> None:
    """The plan is refused for good, and says how to get another key."""
    fleet = fleet_of(new_ca, key_there=False, held=held)
    plan = make_plan(fleet.desired(), fleet.observed(), table=SERVICES, moment=MOMENT, tool_version="0").plan

    (refusal,) = plan.refusals
    assert (refusal.guard, refusal.server, refusal.liftable) == ("key-gone", "core1", False)
    assert "cmscert renew --again --select certificate=node" in refusal.message


def test_files_of_a_request_under_way_stay(new_ca: ThrowAwayCa) -> None:
    """A key that waits for its certificate is never taken for an old revision."""
    fleet = fleet_of(new_ca)
    fleet.policy = Policy(keep_revisions=0)
    server = fleet.server("core1")
    waiting = "node-20261124-99999999.key"
    server.keys |= {waiting: "0" * 64, "node-20250101-11111111.key": "1" * 64}
    desired = fleet.desired()
    pending = replace(desired, servers=tuple(replace(each, pending=(waiting,)) for each in desired.servers))

    for wanted, expected in (
        (desired, {waiting, "node-20250101-11111111.key"}),
        (pending, {"node-20250101-11111111.key"}),
    ):
        plan = make_plan(wanted, fleet.observed(), table=SERVICES, moment=MOMENT, tool_version="0").plan
        removed = {name for step in plan.steps if isinstance(step.action, RemoveFiles) for name in step.action.files}
        assert removed == expected


def test_what_has_not_come_yet_is_drift_without_a_step(new_ca: ThrowAwayCa) -> None:
    """A slot whose certificate an issuer still owes is drift that only ``renew`` can mend; it can be ignored."""
    fleet = fleet_of(new_ca)
    owed = (Awaited(server="core1", slot="callbridge", certificate="cluster", why="waits for a signature"),)
    desired = replace(fleet.desired(), awaited=owed)
    quiet = replace(desired, policy=Policy(ignore=(Ignore(reason="paper work", drift="not-issued"),)))

    for wanted, ignored in ((desired, None), (quiet, "paper work")):
        plan = make_plan(wanted, fleet.observed(), table=SERVICES, moment=MOMENT, tool_version="0").plan
        (drift,) = [each for each in plan.drift if each.reason == "not-issued"]
        assert (drift.slot, drift.plannable, drift.found, drift.ignored) == (
            "callbridge",
            False,
            "waits for a signature",
            ignored,
        )
        assert not any(step.slot == "callbridge" for step in plan.steps)


def test_a_renewal_under_way_is_told(new_ca: ThrowAwayCa) -> None:
    """What is asked for anew while the old certificate still does is a notice, of a server or of all of them."""
    fleet = fleet_of(new_ca)
    under_way = (
        Renewal(certificate="node", server="core1", why="asked of issuer corp on 2026-11-20, not signed yet"),
        Renewal(certificate="join", server=None, why="issuer public failed once: no answer"),
    )
    desired = replace(fleet.desired(), renewals=under_way)
    plan = make_plan(desired, fleet.observed(), table=SERVICES, moment=MOMENT, tool_version="0").plan
    told = [(notice.server, notice.message) for notice in plan.notices if notice.reason == "renewal-waiting"]

    assert told == [
        ("core1", "node: asked of issuer corp on 2026-11-20, not signed yet"),
        (None, "join: issuer public failed once: no answer"),
    ]


@pytest.mark.parametrize("slot", ["callbridge/trust-c2w", "tls/trust-sip"])
@pytest.mark.parametrize("bound", [True, False])
def test_trust_of_a_call_bridge_without_a_certificate_restarts_nothing(
    new_ca: ThrowAwayCa, slot: str, *, bound: bool
) -> None:
    """While an issuer owes the certificate the trust is bound alone: a restart would be refused, and its undo too."""
    fleet = ToyFleet()
    server = fleet.server("core1")
    server.enabled["callbridge"] = None
    server.enabled["tls"] = None
    server.wanted[slot] = trusting(slot, Bundle(name="corp", certificates=new_ca.bundle))
    if bound:
        server.hold("callbridge", (new_ca.issue("core1.example.com", not_before=MOMENT).certificate,))
    plan = make_plan(fleet.desired(), fleet.observed(), table=SERVICES, moment=MOMENT, tool_version="0").plan

    (bind,) = [step for step in plan.steps if isinstance(step.action, Rebind)]
    assert bind.action.stopped is not bound  # type: ignore[union-attr]  # a rebind
    assert bind.disturbs is bound


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("server=core1", ["callbridge", "database/main"]),
        ("server=edge1", []),
        ("service=callbridge", ["callbridge"]),
        ("service=database", ["database/main"]),
        ("certificate=clu*", ["callbridge"]),
        ("label.site=oslo", []),
    ],
)
def test_a_selection_leaves_out_what_others_wait_for(new_ca: ThrowAwayCa, text: str, shown: list[str]) -> None:
    """What an issuer owes to a slot that is not selected is not told."""
    owed = (
        Awaited(server="core1", slot="callbridge", certificate="cluster", why="waits"),
        Awaited(server="core1", slot="database/main", certificate="dbserver", why="waits"),
    )
    desired = replace(fleet_of(new_ca).desired(), awaited=owed)
    selected = apply_selection(desired, (parse_selector(text),))

    assert [each.slot for each in selected.awaited] == shown
    assert [each.slot for each in around(desired, selected).awaited] == shown
