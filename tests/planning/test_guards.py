"""Each guard and each notice on its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta

import pytest

from cmscert.mmp.services import SERVICES
from cmscert.model.desired import Bundle, Policy
from cmscert.model.names import Release
from cmscert.model.observed import ServiceState
from cmscert.model.plan import Plan
from cmscert.model.readings import ABSENT, Known, Unread
from cmscert.planning.make import make_plan
from cmscert.planning.trust import related_services
from cmscert.testing.ca import ThrowAwayCa
from cmscert.testing.fleets import MOMENT, ToyFleet, identity, material, trusting

from .conftest import CORES, Generation, cluster, plan_of


def guards(plan: Plan) -> list[tuple[str, str | None]]:
    """Return guard and server of each refusal."""
    return [(refusal.guard, refusal.server) for refusal in plan.refusals]


def set_override(server: str, **fields: object) -> Callable[[ToyFleet], None]:
    """Replace fields of one server's reading."""
    return lambda fleet: fleet.server(server).overrides.update(fields)


def served(server: str, slot: str, reading: object) -> Callable[[ToyFleet], None]:
    """Replace what one slot serves."""
    return lambda fleet: fleet.server(server).served.update({slot: reading})  # type: ignore[dict-item]  # a reading


CASES: dict[str, tuple[Callable[[ToyFleet], object], list[tuple[str, str | None]]]] = {
    "nothing": (lambda _: None, []),
    "clock ahead": (set_override("core1", clock_skew=Known(301.0)), [("clock-skew", "core1")]),
    "clock behind": (set_override("edge1", clock_skew=Known(-900.0)), [("clock-skew", "edge1")]),
    "clock a little off": (set_override("core1", clock_skew=Known(299.0)), []),
    "clock unread": (set_override("core1", clock_skew=Unread("no such command")), []),
    "the other bridge is down": (served("core2", "callbridge", ABSENT), [("last-call-bridge", "core1")]),
    "the other bridge is stopped": (
        lambda fleet: fleet.server("core2").enabled.update(callbridge=False),
        [("last-call-bridge", "core1")],
    ),
    "no bridge's port is open": (
        lambda fleet: [served(name, "callbridge", ABSENT)(fleet) for name in CORES],
        [],
    ),
    "the other bridge is unreachable": (
        lambda fleet: setattr(fleet.server("core2"), "unreachable", "no answer"),
        [("unread-server", "core2"), ("last-call-bridge", "core1")],
    ),
    "one server too many": (
        lambda fleet: setattr(fleet, "policy", Policy(max_servers_changed=3)),
        [("too-many-servers", None)],
    ),
    "just as many as allowed": (lambda fleet: setattr(fleet, "policy", Policy(max_servers_changed=4)), []),
    "another release": (set_override("core1", release=Known(Release(3, 10))), [("release-differs", "core1")]),
}


@pytest.mark.parametrize("name", CASES)
def test_guards(name: str, new: Generation, aged: Generation) -> None:
    """Each guard refuses what it is there for, names the server, and nothing else refuses with it."""
    fleet = cluster(new, aged)
    change, wanted = CASES[name]
    change(fleet)

    assert guards(plan_of(fleet).plan) == wanted


def test_call_bridge_of_an_unnamed_service_counts(new: Generation, aged: Generation) -> None:
    """A call bridge that the inventory leaves alone still counts as one that can stand in."""
    fleet = cluster(new, aged)
    core2 = fleet.server("core2")
    for slot in ("callbridge", "callbridge/trust-c2w", "callbridge/trust-cluster"):
        del core2.wanted[slot]
    assert guards(plan_of(fleet).plan) == []

    core2.served["callbridge"] = ABSENT
    assert guards(plan_of(fleet).plan) == [("last-call-bridge", "core1")]


def test_a_single_call_bridge_has_no_stand_in(new: Generation, aged: Generation) -> None:
    """A fleet with one call bridge is not refused for lack of another."""
    fleet = cluster(new, aged)
    del fleet.servers["core2"]

    assert guards(plan_of(fleet).plan) == []


def rotated(new_ca: ThrowAwayCa, old: dict[str, object], wanted: dict[str, object], slot: str = "webadmin") -> Plan:
    """Plan one slot from one certificate to another."""
    fleet = ToyFleet()
    core = fleet.server("core1")
    before = new_ca.issue(**{"common_name": "a.example", "sans": ("a.example",), **old})  # type: ignore[arg-type]  # table
    after = new_ca.issue(**{"common_name": "a.example", "sans": ("a.example",), **wanted})  # type: ignore[arg-type]  # table
    bundle = Bundle(name="corp", certificates=new_ca.bundle)
    core.wanted[slot] = identity(slot, material("node", after.certificate, new_ca.bundle), bundle)
    core.hold(slot, (before.certificate,), bundle=new_ca.bundle)
    return plan_of(fleet).plan


BOTH, SERVER, CLIENT = ("serverAuth", "clientAuth"), ("serverAuth",), ("clientAuth",)
ROTATIONS: dict[str, tuple[dict[str, object], dict[str, object], list[str]]] = {
    "same names and usages": ({}, {}, []),
    "a name less": ({"sans": ("a.example", "b.example")}, {}, ["names-lost"]),
    "a wildcard instead": ({"sans": ("a.example.com",)}, {"sans": ("*.example.com",)}, []),
    "no clientAuth where nobody needs it": ({"eku": BOTH}, {"eku": SERVER}, []),
    "no serverAuth": ({"eku": BOTH}, {"eku": CLIENT}, ["eku-lost"]),
    "no extension before": ({"eku": None}, {"eku": SERVER}, []),
    "no extension after": ({"eku": BOTH}, {"eku": None}, []),
    "issued this very second": ({}, {"not_before": MOMENT + timedelta(seconds=4)}, []),
    "not valid yet": ({}, {"not_before": MOMENT + timedelta(days=1)}, ["not-yet-valid"]),
}


@pytest.mark.parametrize("name", ROTATIONS)
def test_rotations(name: str, new_ca: ThrowAwayCa) -> None:
    """A new certificate that loses what the old one had is refused by name."""
    old, wanted, expected = ROTATIONS[name]

    assert [guard for guard, _ in guards(rotated(new_ca, old, wanted))] == expected


def test_a_service_that_is_a_client_keeps_client_auth(new_ca: ThrowAwayCa) -> None:
    """A call bridge connects to others, so losing clientAuth is refused; elsewhere it is a notice."""
    client = rotated(new_ca, {"eku": BOTH}, {"eku": SERVER}, "callbridge")
    server = rotated(new_ca, {"eku": BOTH}, {"eku": SERVER}, "webadmin")

    (refusal,) = client.refusals
    assert (refusal.guard, refusal.liftable) == ("client-auth-lost", True)
    assert "public CAs stopped issuing clientAuth by 2026-06-15" in refusal.message
    assert "client-auth-gone" not in {notice.reason for notice in client.notices}
    assert [notice.slot for notice in server.notices if notice.reason == "client-auth-gone"] == ["webadmin"]


def test_full_chain_missing(new: Generation) -> None:
    """A slot that needs the full chain is refused the leaf alone, and nothing lifts that."""
    fleet = ToyFleet()
    wanted = identity("webbridge3/https", material("node", new.join.certificate, ()))
    fleet.server("edge1").wanted["webbridge3/https"] = wanted

    (refusal,) = plan_of(fleet).plan.refusals

    assert (refusal.guard, refusal.liftable) == ("full-chain-missing", False)


def test_no_such_service(new: Generation) -> None:
    """A service that the node's release does not have is refused, and nothing lifts that."""
    fleet = ToyFleet()
    fleet.server("core1", "3.9").wanted["xmpp"] = identity("xmpp", new.material("cluster"), new.corp)

    (refusal,) = plan_of(fleet).plan.refusals

    assert (refusal.guard, refusal.liftable) == ("no-such-service", False)


def test_peer_refused(new: Generation, old: Generation) -> None:
    """A trust that the inventory does not name and that would refuse a new certificate stops the plan."""
    fleet = cluster(new, old)
    for name in CORES:
        del fleet.server(name).wanted["callbridge/trust-c2w"]

    assert guards(plan_of(fleet).plan) == [("peer-refused", name) for name in CORES for _ in range(2)]


def test_peer_still_refused(new: Generation, old: Generation) -> None:
    """A link that does not work before nor after is said, and does not stop the plan."""
    fleet = cluster(new)
    core = fleet.server("core1")
    core.wanted["callbridge/trust-c2w"] = trusting("callbridge/trust-c2w", old.corp)
    core.trust("callbridge/trust-c2w", old.ca.bundle)
    plan = plan_of(fleet).plan

    assert plan.refusals == ()
    assert [(notice.reason, notice.server) for notice in plan.notices] == [("peer-still-refused", "core1")] * 2


NOTICES: dict[str, tuple[Callable[[ToyFleet], object], list[tuple[str, str | None]]]] = {
    "nothing": (lambda _: None, []),
    "password ends soon": (
        set_override("core1", password_expires=Known(date(2026, 12, 22))),
        [("password-expires", None)],
    ),
    "password ends later": (set_override("core1", password_expires=Known(date(2026, 12, 23))), []),
    "clock unread": (set_override("core1", clock_skew=Unread("no such command")), [("clock-unread", None)]),
    "stopped": (lambda fleet: fleet.server("core1").enabled.update(webadmin=False), [("stopped", "webadmin")]),
}


@pytest.mark.parametrize("name", NOTICES)
def test_notices(name: str, new: Generation) -> None:
    """Each notice is given for what it is about, with its server."""
    fleet = cluster(new)
    change, wanted = NOTICES[name]
    change(fleet)
    plan = plan_of(fleet).plan

    assert [(notice.reason, notice.slot) for notice in plan.notices] == wanted
    assert {notice.server for notice in plan.notices} <= {"core1"}


def test_match_unclear(new: Generation) -> None:
    """An unclear answer to pki match is a notice: it neither condemns nor clears the key."""
    fleet = cluster(new)
    core = fleet.server("core1")
    core.overrides["matches"] = dict.fromkeys(core.observe().matches, ABSENT)
    plan = plan_of(fleet).plan

    assert [notice.reason for notice in plan.notices] == ["match-unclear", "match-unclear"]
    assert plan.steps == ()


def test_match_unread(new: Generation) -> None:
    """A question that was never answered is no unclear answer: the plan says that it is incomplete."""
    fleet = cluster(new)
    core = fleet.server("core1")
    core.overrides["matches"] = dict.fromkeys(core.observe().matches, Unread("the connection ended"))
    plan = plan_of(fleet).plan

    assert {guard for guard, server in guards(plan) if server == "core1"} == {"unread-server"}
    assert all(why.endswith("the connection ended") for _, why in plan.unread)


def test_slot_untold(new: Generation) -> None:
    """A slot that its screen does not mention is said to be taken as not bound."""
    fleet = ToyFleet()
    core = fleet.server("core1")
    core.wanted["callbridge/trust-c2w"] = trusting("callbridge/trust-c2w", new.corp)
    state = ServiceState(service="callbridge", untold=("callbridge/trust-c2w", "callbridge/trust-ucm"))
    core.overrides["screens"] = {**core.observe().screens, "callbridge": Known(state)}

    assert [(n.reason, n.slot) for n in plan_of(fleet).plan.notices] == [("slot-untold", "callbridge/trust-c2w")]


def test_old_trust_stays_only_where_there_is_some(new: Generation, old: Generation) -> None:
    """With a server unread, trust that only has to grow gives no notice."""
    fleet = cluster(new)
    fleet.server("edge2").unreachable = "no answer"
    core = fleet.server("core1")
    core.trust("callbridge/trust-c2w", new.ca.bundle[:1])
    grown = plan_of(fleet).plan
    core.trust("callbridge/trust-c2w", (*new.ca.bundle, *old.ca.bundle))
    kept = plan_of(fleet).plan

    assert [notice.reason for notice in grown.notices] == []
    assert [step.slot for step in grown.steps if step.disturbs] == ["callbridge/trust-c2w"]
    assert [notice.reason for notice in kept.notices] == ["old-trust-stays"]
    assert kept.steps == ()


def test_unselected_servers_are_seen_and_left_alone(new: Generation, old: Generation) -> None:
    """A server of which nothing is wanted is not drift, not unread, and its trust still counts."""
    fleet = cluster(new, old)
    desired = fleet.desired()
    only = tuple(s if s.name == "edge1" else replace(s, slots=()) for s in desired.servers)

    plan = make_plan(
        replace(desired, servers=only), fleet.observed(), table=SERVICES, moment=MOMENT, tool_version="0"
    ).plan

    assert {drift.server for drift in plan.drift} == {"edge1"}
    assert set(guards(plan)) == {("peer-refused", "core1"), ("peer-refused", "core2"), ("peer-refused", "edge1")}


def test_related_services() -> None:
    """The services at the other end of a link are known from the table alone."""
    assert related_services(SERVICES, ["webbridge3/c2w"]) == {"callbridge", "scheduler"}
    assert related_services(SERVICES, ["callbridge/trust-cluster", "turn"]) == {"callbridge"}
