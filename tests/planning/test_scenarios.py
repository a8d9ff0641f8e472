"""Whole plans, kept as golden files that read like a change request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from cmscert.mmp.services import SERVICES
from cmscert.model.desired import Bundle, Policy, Unhandled, WantedIdentity
from cmscert.model.observed import Binding
from cmscert.model.plan import Plan, PutFile, Rebind, Restart, SaveFile
from cmscert.model.readings import ABSENT, Absent, Known, Unread
from cmscert.planning.make import make_plan
from cmscert.testing.ca import ThrowAwayCa
from cmscert.testing.fleets import MOMENT, ToyFleet, identity, material, trusting

from .conftest import CORES, Generation, after, cluster, plan_of

Golden = Callable[[str, Plan], None]


def again(fleet: ToyFleet) -> Plan:
    """Plan, predict the end, plan again."""
    planned = plan_of(fleet)
    observed = after(dict(fleet.observed()), planned)
    return make_plan(fleet.desired(), observed, table=SERVICES, moment=MOMENT, tool_version="0").plan


def test_as_wanted(new: Generation, golden: Golden) -> None:
    """A fleet that holds what is wanted under other names gives an empty plan."""
    golden("as-wanted", plan_of(cluster(new)).plan)


def test_renewal(new: Generation, aged: Generation, golden: Golden) -> None:
    """A renewal by the same CA stops each service once, one node at a time, and web administration last."""
    fleet = cluster(new, aged)

    golden("renewal", plan_of(fleet).plan)
    assert again(fleet).steps == ()


def test_new_ca(new: Generation, old: Generation, golden: Golden) -> None:
    """A change of CA adds the new trust, rotates the identities and then takes the old trust away."""
    fleet = cluster(new, old)

    golden("new-ca", plan_of(fleet).plan)
    assert again(fleet).steps == ()


def legacy(new: Generation, old: Generation) -> ToyFleet:
    """A 2.9 fleet: leaf-pinned trust, and a load balancer whose third file is a trust list."""
    fleet = ToyFleet()
    for name in CORES:
        core = fleet.server(name, "2.9")
        core.wanted["callbridge"] = identity("callbridge", new.material(f"node:{name}"), new.corp)
        core.hold("callbridge", (old.nodes[name].certificate,), bundle=old.ca.bundle)
    leaves = Bundle(name="leaves", certificates=tuple(new.nodes[name].certificate for name in CORES))
    held = tuple(old.nodes[name].certificate for name in CORES)
    edge = fleet.server("edge1", "2.9")
    edge.wanted["webbridge"] = identity("webbridge", new.material("node:edge1"), new.corp)
    edge.hold("webbridge", (old.nodes["edge1"].certificate,), bundle=old.ca.bundle)
    edge.wanted["webbridge/trust"] = trusting("webbridge/trust", leaves, leaves_of="callbridge")
    edge.trust("webbridge/trust", held)
    edge.wanted["loadbalancer"] = identity("loadbalancer", new.material("node:edge1"), leaves, tag="edge")
    edge.hold("loadbalancer", (old.nodes["edge1"].certificate,), bundle=held)
    edge.bound["loadbalancer"] = replace(edge.bound["loadbalancer"], tag="edge")
    return fleet


def test_leaf_pinned_trust(new: Generation, old: Generation, golden: Golden) -> None:
    """Leaf-pinned trust is added to, the leaves are rotated, and the trust is pruned."""
    fleet = legacy(new, old)

    golden("leaf-pinned", plan_of(fleet).plan)
    assert again(fleet).steps == ()


def test_fixed_names(new: Generation, aged: Generation, golden: Golden) -> None:
    """With fixed names the old pair is saved on the server, overwritten at its turn, and every user restarted."""
    fleet = ToyFleet()
    core = fleet.server("core1")
    wanted = new.material("cluster", naming="fixed")
    for slot in ("webadmin", "callbridge"):
        core.wanted[slot] = identity(slot, wanted, new.corp)
        core.hold(slot, (aged.cluster.certificate,), bundle=new.ca.bundle)
        core.bound[slot] = replace(core.bound["webadmin"], slot=slot)

    plan = plan_of(fleet).plan

    golden("fixed-names", plan)
    assert [step.slot for step in plan.steps if isinstance(step.action, Restart)] == ["callbridge", "webadmin"]
    assert again(fleet).steps == ()


def test_fixed_names_on_a_new_service(new: Generation) -> None:
    """With fixed names and nothing bound, the files are named after the certificate and nothing is saved."""
    fleet = ToyFleet()
    fleet.server("core1").wanted["webadmin"] = identity("webadmin", new.material("cluster", naming="fixed"), new.corp)

    steps = plan_of(fleet).plan.steps

    assert [step.action.file for step in steps if isinstance(step.action, PutFile)][:2] == [
        "cluster.crt",
        "cluster.key",
    ]
    assert not any(isinstance(step.action, SaveFile) for step in steps)


def test_fixed_names_of_two_contents(new: Generation, aged: Generation) -> None:
    """With fixed names, two slots that want different contents never share a file: the second plan is empty."""
    cluster_certificate = new.material("cluster", naming="fixed")
    for bound in (False, True):
        fleet = ToyFleet()
        core = fleet.server("core1")
        core.wanted["webadmin"] = identity("webadmin", cluster_certificate, new.corp)
        core.wanted["turn"] = identity("turn", cluster_certificate)
        core.wanted["callbridge"] = identity("callbridge", new.material("join", naming="fixed"), new.corp)
        if bound:
            for slot in core.wanted:
                core.hold(slot, (aged.cluster.certificate,))
                core.bound[slot] = replace(core.bound[slot], key="turn.key", certificate="turn.crt")
            core.keys["turn.key"] = aged.cluster.certificate.spki_sha256
            core.files["turn.crt"] = (aged.cluster.certificate,)
        plan = plan_of(fleet).plan
        names = {step.action.file for step in plan.steps if isinstance(step.action, PutFile)}

        assert names >= {"cluster.crt", "cluster-chain.crt", "cluster.key", "join.crt", "join.key"}
        assert again(fleet).steps == ()


def test_fixed_names_half_done(new: Generation, aged: Generation) -> None:
    """A copy saved by an earlier run is never replaced by what that run left behind."""
    fleet = ToyFleet()
    core = fleet.server("core1")
    core.wanted["webadmin"] = identity("webadmin", new.material("cluster", naming="fixed"), new.corp)
    core.hold("webadmin", (aged.cluster.certificate,), bundle=new.ca.bundle)
    (save,) = [
        s.action for s in plan_of(fleet).plan.steps if isinstance(s.action, SaveFile) and ".key" in s.action.file
    ]
    core.keys[save.saved_as] = aged.cluster.certificate.spki_sha256
    core.keys[core.bound["webadmin"].key or ""] = new.cluster.certificate.spki_sha256

    steps = plan_of(fleet).plan.steps

    assert [s.action.file for s in steps if isinstance(s.action, SaveFile)] == [core.bound["webadmin"].certificate]


def test_file_shared_with_another_service(new: Generation, aged: Generation) -> None:
    """Overwriting a file that an unnamed service uses is refused by name."""
    fleet = ToyFleet()
    core = fleet.server("core1")
    core.wanted["webadmin"] = identity("webadmin", new.material("cluster", naming="fixed"), new.corp)
    core.hold("webadmin", (aged.cluster.certificate,), bundle=new.ca.bundle)
    core.bound["recorder"] = replace(core.bound["webadmin"], slot="recorder")

    refusals = plan_of(fleet).plan.refusals

    assert [(r.guard, r.server) for r in refusals if "recorder" in r.message] == [("shared-file", "core1")] * 2


def test_not_loaded(new: Generation, aged: Generation, golden: Golden) -> None:
    """A service that still serves the replaced certificate is restarted, and there is no way back from that."""
    fleet = cluster(new)
    fleet.server("core1").served["webadmin"] = Known((aged.nodes["core1"].certificate,))

    golden("not-loaded", plan_of(fleet).plan)
    assert again(fleet).steps == ()


def test_key_mismatch(new: Generation, golden: Golden) -> None:
    """Only the key is put and bound when only the key is wrong."""
    fleet = cluster(new)
    core = fleet.server("core1")
    core.keys[core.bound["callbridge"].key or ""] = "f" * 64

    golden("key-mismatch", plan_of(fleet).plan)
    assert again(fleet).steps == ()


def test_key_mismatch_under_our_own_name(new: Generation) -> None:
    """A file of this tool's own name that was tampered with is saved and put again."""
    fleet = cluster(new)
    core = fleet.server("core1")
    key = f"cluster-20261122-{new.cluster.certificate.spki_sha256[:8]}.key"
    core.keys[key] = "f" * 64
    core.bound["callbridge"] = replace(core.bound["callbridge"], key=key)

    actions = [step.action for step in plan_of(fleet).plan.steps]

    assert [a.file for a in actions if isinstance(a, SaveFile)] == [key]
    assert [(a.file, a.overwrites) for a in actions if isinstance(a, PutFile)] == [(key, True)]


def test_same_key_renewed(new: Generation, new_ca: ThrowAwayCa) -> None:
    """A renewed certificate over the same key leaves the bound key where it is."""
    fleet = cluster(new)
    core = fleet.server("core1")
    renewed = new_ca.issue("cms.example.com", sans=new.cluster.certificate.names, key=new.cluster.key_pair)
    core.wanted["callbridge"] = identity(
        "callbridge", material("cluster", renewed.certificate, new_ca.bundle), new.corp
    )

    (bind,) = [s.action for s in plan_of(fleet).plan.steps if isinstance(s.action, Rebind)]

    assert [binding.key for binding in bind.bindings] == [core.bound["callbridge"].key]


def test_bundle_order(new: Generation, golden: Golden) -> None:
    """A bundle whose root comes first is replaced, the pair stays."""
    fleet = cluster(new)
    core = fleet.server("core1")
    core.files[core.bound["webadmin"].bundle or ""] = tuple(reversed(new.ca.bundle))

    golden("bundle-order", plan_of(fleet).plan)


def test_trust_lacks_the_new_ca(new: Generation, old: Generation, golden: Golden) -> None:
    """A C2W trust that lacks the new CA is mended before any web bridge gets its new certificate."""
    fleet = cluster(new, old)
    for name in ("core1", "core2"):
        core = fleet.server(name)
        core.hold("callbridge", (new.cluster.certificate,), bundle=new.ca.bundle)

    golden("trust-lacks", plan_of(fleet).plan)
    assert again(fleet).steps == ()


def test_first_build(new: Generation, golden: Golden) -> None:
    """Services without any certificate get one; stopped services stay stopped."""
    fleet = ToyFleet()
    core = fleet.server("core1")
    core.wanted["webadmin"] = identity("webadmin", new.material("node:core1"), new.corp)
    core.wanted["webbridge3/c2w"] = identity("webbridge3/c2w", new.material("node:core1"))
    core.wanted["webbridge3/trust-c2w"] = trusting("webbridge3/trust-c2w", new.corp)
    core.enabled["webbridge3"] = False

    golden("first-build", plan_of(fleet).plan)


def test_stopped_service_whose_files_are_overwritten(new: Generation, aged: Generation) -> None:
    """A stopped service is bound again without being started."""
    fleet = ToyFleet()
    core = fleet.server("core1")
    core.enabled["webadmin"] = False
    core.wanted["webadmin"] = identity("webadmin", new.material("cluster", naming="fixed"), new.corp)
    core.hold("webadmin", (aged.cluster.certificate,), bundle=new.ca.bundle)

    (bind,) = [step for step in plan_of(fleet).plan.steps if isinstance(step.action, Rebind)]

    assert bind.action.stopped  # type: ignore[union-attr]  # filtered above
    assert not bind.disturbs


def test_incomplete(new: Generation, old: Generation, golden: Golden) -> None:
    """An unread server makes the plan incomplete, keeps the old trust everywhere, and is refused by name."""
    fleet = cluster(new, old)
    fleet.server("edge2").unreachable = "no answer within 10 s"

    golden("incomplete", plan_of(fleet).plan)


def test_removal(new: Generation, aged: Generation, golden: Golden) -> None:
    """Old revisions of this tool's own names go beyond the number to keep; foreign files never do."""
    fleet = cluster(new, aged)
    fleet.policy = Policy(keep_revisions=1)
    core = fleet.server("core1")
    for date in ("20260101", "20260301", "20260601"):
        core.files[f"cluster-{date}-0000000a.crt"] = (aged.cluster.certificate,)
        core.keys[f"cluster-{date}-0000000b.key"] = "a" * 64
        core.files[f"other-{date}-0000000a.crt"] = (aged.cluster.certificate,)
    core.files["corp-0000000c.crt"] = aged.ca.bundle
    core.files["corp-0000000d.crt"] = ()

    golden("removal", plan_of(fleet).plan)
    assert again(fleet).steps == ()


def test_removal_alone(new: Generation) -> None:
    """Old revisions left by an interrupted run are removed without touching a service."""
    fleet = cluster(new)
    fleet.policy = Policy(keep_revisions=0)
    fleet.server("core1").files["cluster-20260101-0000000a.crt"] = (new.cluster.certificate,)

    (step,) = plan_of(fleet).plan.steps

    assert (step.action.kind, step.after, step.disturbs) == ("remove", (), False)


def test_no_removal_when_a_screen_is_unread(new: Generation) -> None:
    """A service that nobody could look at may use a file, so nothing is removed."""
    fleet = cluster(new)
    fleet.policy = Policy(keep_revisions=0)
    core = fleet.server("core1")
    core.files["cluster-20260101-0000000a.crt"] = (new.cluster.certificate,)
    screens = dict(core.observe().screens)
    core.overrides["screens"] = {**screens, "recorder": Unread("no answer")}

    assert plan_of(fleet).plan.steps == ()


def test_tampered_file_is_put_again(new: Generation, aged: Generation) -> None:
    """A file that has the right name and the wrong content is uploaded again, a right one is not."""
    fleet = cluster(new, aged)
    first = [s.action.file for s in plan_of(fleet).plan.steps if s.server == "core1" and isinstance(s.action, PutFile)]
    core = fleet.server("core1")
    certificate = next(name for name in first if name.startswith("node-") and name.endswith(".crt"))
    core.files[certificate] = (new.nodes["core1"].certificate,)

    second = [s.action.file for s in plan_of(fleet).plan.steps if s.server == "core1" and isinstance(s.action, PutFile)]
    core.files[certificate] = (aged.nodes["core1"].certificate,)
    third = [s.action.file for s in plan_of(fleet).plan.steps if s.server == "core1" and isinstance(s.action, PutFile)]

    assert certificate not in second
    assert certificate in third


def test_basis_and_unhandled(new: Generation) -> None:
    """A plan carries the digest of every server and names what is not handled."""
    fleet = cluster(new)
    desired = replace(fleet.desired(), unhandled=(Unhandled(path="databases.main", message="not done yet"),))

    plan = make_plan(desired, fleet.observed(), table=SERVICES, moment=MOMENT, tool_version="0").plan

    assert plan.basis == {name: observed.digest() for name, observed in fleet.observed().items()}
    assert [notice.message for notice in plan.notices] == ["databases.main: not done yet"]
    assert plan.complete


def test_deterministic(new: Generation, old: Generation) -> None:
    """The same arguments give the same plan."""
    fleet = cluster(new, old)

    assert plan_of(fleet) == plan_of(fleet)


def test_missing_files_are_bound_anew(new: Generation) -> None:
    """A binding to files that are not in the store is drift, and is bound to new files."""
    fleet = ToyFleet()
    core = fleet.server("core1")
    core.wanted["webadmin"] = identity("webadmin", new.material("node:core1"), new.corp)
    core.wanted["callbridge/trust-c2w"] = trusting("callbridge/trust-c2w", new.corp)
    core.bound["webadmin"] = Binding(slot="webadmin", key="gone.key", certificate="gone.crt", bundle="gone-ca.crt")
    core.bound["callbridge/trust-c2w"] = Binding(slot="callbridge/trust-c2w", bundle="gone-ca.crt")
    core.served["webadmin"] = Absent()

    plan = plan_of(fleet).plan

    assert [(d.slot, d.reason) for d in plan.drift] == [
        ("webadmin", "file-missing"),
        ("webadmin", "not-answering"),
        ("callbridge/trust-c2w", "file-missing"),
    ]
    assert sum(isinstance(step.action, Rebind) for step in plan.steps) == 2


@pytest.mark.parametrize("seconds", [None, 5])
def test_impact_can_be_overridden(new: Generation, aged: Generation, seconds: int | None) -> None:
    """The policy's estimate of an outage wins over the table's."""
    fleet = cluster(new, aged)
    fleet.policy = Policy(seconds={} if seconds is None else {"turn": seconds})

    impacts = {step.impact.service: step.impact.seconds for step in plan_of(fleet).plan.steps if step.impact}

    assert impacts["turn"] == (seconds or 10)


def test_tls_trust_restarts_the_call_bridge(new: Generation, old: Generation) -> None:
    """TLS trust is applied by a restart of the call bridge, and counted as its outage."""
    fleet = ToyFleet()
    core = fleet.server("core1")
    core.wanted["tls/trust-ldap"] = trusting("tls/trust-ldap", new.corp)
    core.trust("tls/trust-ldap", old.ca.bundle)

    (step,) = [step for step in plan_of(fleet).plan.steps if step.disturbs]

    assert step.impact is not None
    assert step.impact.service == "callbridge"


def test_due_without_newer_material(aged: Generation) -> None:
    """A certificate that is right but due is drift without a step."""
    plan = plan_of(cluster(aged)).plan

    assert {drift.reason for drift in plan.drift} == {"expires-soon"}
    assert not any(drift.plannable for drift in plan.drift)
    assert plan.steps == ()


def test_moment_of_a_wanted_slot_is_not_the_hosts(new: Generation) -> None:
    """The plan is made for the moment given, not for the clock of the machine."""
    fleet = cluster(new)
    late = make_plan(
        fleet.desired(), fleet.observed(), table=SERVICES, moment=MOMENT + timedelta(days=400), tool_version="0"
    ).plan

    assert {drift.reason for drift in late.drift} == {"expired"}


def test_identity_without_bundle_drops_the_old_one(new: Generation, aged: Generation) -> None:
    """A slot that gets the full chain is bound without the bundle it had."""
    fleet = ToyFleet()
    core = fleet.server("core1")
    wanted = identity("webadmin", new.material("node:core1"))
    core.wanted["webadmin"] = wanted
    core.hold("webadmin", (aged.nodes["core1"].certificate,), bundle=aged.ca.bundle)

    (bind,) = [s.action for s in plan_of(fleet).plan.steps if isinstance(s.action, Rebind)]

    assert isinstance(wanted, WantedIdentity)
    assert bind.bindings[0].bundle is None


def test_unclear_match_keeps_the_key_of_the_right_leaf(new: Generation, old: Generation) -> None:
    """When the node cannot tell whether a key matches, the key of the wanted leaf stays bound."""
    fleet = ToyFleet()
    core = fleet.server("core1")
    core.wanted["callbridge"] = identity("callbridge", new.material("cluster"), new.corp)
    core.hold("callbridge", (new.cluster.certificate,), bundle=old.ca.bundle)
    core.overrides["matches"] = dict.fromkeys(core.observe().matches, ABSENT)

    (bind,) = [s.action for s in plan_of(fleet).plan.steps if isinstance(s.action, Rebind)]

    assert bind.bindings[0].key == core.bound["callbridge"].key


def test_fixed_names_with_a_right_certificate(new: Generation) -> None:
    """With fixed names only the file that is wrong is overwritten."""
    fleet = ToyFleet()
    core = fleet.server("core1")
    core.wanted["callbridge"] = identity("callbridge", new.material("cluster", naming="fixed"), new.corp)
    core.hold("callbridge", (new.cluster.certificate,), bundle=new.ca.bundle)
    core.keys[core.bound["callbridge"].key or ""] = "0" * 64

    puts = [s.action.file for s in plan_of(fleet).plan.steps if isinstance(s.action, PutFile)]

    assert puts == [core.bound["callbridge"].key]


def test_a_screen_that_was_not_read_hides_nothing(new: Generation, aged: Generation) -> None:
    """Planning goes on for the services that were read."""
    fleet = cluster(new, aged)
    core = fleet.server("core1")
    core.overrides["screens"] = {**core.observe().screens, "recorder": Unread("no answer")}

    assert len([step for step in plan_of(fleet).plan.steps if step.server == "core1" and step.disturbs]) == 2


def test_trust_list_that_nobody_wants(new: Generation, aged: Generation) -> None:
    """A slot whose third file is a trust list may be wanted without one."""
    fleet = ToyFleet()
    edge = fleet.server("edge1", "2.9")
    edge.wanted["h323_gateway"] = identity("h323_gateway", new.material("node:edge1"))
    edge.hold("h323_gateway", (aged.nodes["edge1"].certificate,), bundle=aged.ca.bundle)

    (bind,) = [s.action for s in plan_of(fleet).plan.steps if isinstance(s.action, Rebind)]

    assert bind.bindings[0].bundle is None


def test_order_is_mended_while_a_server_is_unread(new: Generation) -> None:
    """Turning a trust file round takes nothing away, so an unread server does not stop it."""
    fleet = cluster(new)
    fleet.server("edge2").unreachable = "no answer"
    fleet.server("core1").trust("callbridge/trust-c2w", reversed(new.ca.bundle))

    assert [step.slot for step in plan_of(fleet).plan.steps if step.disturbs] == ["callbridge/trust-c2w"]
