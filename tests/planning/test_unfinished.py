"""What a plan makes of services that a run left unproven."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from cmscert.mmp.lines import lines
from cmscert.mmp.services import SERVICES
from cmscert.model.desired import Ignore, Policy
from cmscert.model.names import Release
from cmscert.model.observed import Binding
from cmscert.model.plan import Plan, PutFile, Rebind, Restart, RestoreFile, SaveFile, Step
from cmscert.model.readings import ABSENT, Known, Unread
from cmscert.model.services import rows_for
from cmscert.model.unfinished import OpenRun, Touched, Unfinished
from cmscert.planning.make import Planned, make_plan
from cmscert.testing.fleets import MOMENT, ToyFleet, identity, trusting

from .conftest import CORES, Generation, after, cluster

Golden = Callable[[str, Plan], None]
RUN = "20261122T220000Z-0a1b2c"
ROWS = rows_for(SERVICES, Release(3, 9))


def left(
    *touched: Touched, saved: dict[tuple[str, str], str] | None = None, told: dict[str, object] | None = None
) -> Unfinished:
    """Say what one run left that died."""
    run = OpenRun(
        id=RUN,
        started=datetime(2026, 11, 22, 22, 0, tzinfo=UTC),
        user="ann",
        machine="laptop",
        at_steps=("step 7 on core1 (bind webadmin)",),
        touched=tuple((each.server, each.service) for each in touched),
    )
    places = {(each.server, each.service): each for each in touched}
    return Unfinished(runs=(replace(run, **(told or {})),), touched=places, saved=saved or {})  # type: ignore[arg-type]  # fields of OpenRun


def touched(server: str, service: str, **more: object) -> Touched:
    """Say that a run touched a service which ran before."""
    made = Touched(server=server, service=service, run=RUN, step="7", running=True, by_hand=(f"{service} enable",))
    return replace(made, **more)  # type: ignore[arg-type]  # fields of Touched


def plan_after(fleet: ToyFleet, unfinished: Unfinished, select: tuple[str, ...] = ()) -> Planned:
    """Plan a toy fleet after a run that died."""
    return make_plan(
        fleet.desired(),
        fleet.observed(),
        table=SERVICES,
        moment=MOMENT,
        tool_version="0",
        select=select,
        unfinished=unfinished,
    )


def typed(step: Step) -> list[str]:
    """Return what is typed for a step on a service of release 3.9."""
    assert isinstance(step.action, Rebind | Restart)
    return [line.text for line in lines(step.action, ROWS[step.action.service])]


def disturbing(planned: Planned) -> list[Step]:
    """Return the steps on services."""
    return [step for step in planned.plan.steps if step.disturbs]


def said(planned: Planned, reason: str) -> list[str]:
    """Return the notices of a reason."""
    return [f"{each.server} {each.slot}: {each.message}" for each in planned.plan.notices if each.reason == reason]


def test_stopped_service_is_started(new: Generation, golden: Golden) -> None:
    """A service that a run stopped after it had bound the right files is only started."""
    fleet = cluster(new)
    core = fleet.server("core1")
    core.enabled["webadmin"] = False
    core.served["webadmin"] = ABSENT

    planned = plan_after(fleet, left(touched("core1", "webadmin", slots=("webadmin",))))

    golden("stopped-by-run", planned.plan)
    (step,) = disturbing(planned)
    assert typed(step) == ["webadmin disable", "webadmin enable"]
    assert planned.settles == (RUN,)


def test_stopped_service_is_bound_and_started(new: Generation, aged: Generation) -> None:
    """A service that a run stopped before it bound anything gets its files and is started, whichever way that ends."""
    fleet = cluster(new)
    core = fleet.server("core1")
    core.hold("webadmin", (aged.nodes["core1"].certificate,), bundle=aged.ca.bundle)
    core.enabled["webadmin"] = False
    core.served["webadmin"] = ABSENT
    before = core.bound["webadmin"]

    planned = plan_after(fleet, left(touched("core1", "webadmin", slots=("webadmin",), before={"webadmin": before})))
    (step,) = disturbing(planned)

    assert typed(step)[0] == "webadmin disable"
    assert typed(step)[-1] == "webadmin enable"
    assert step.undo == Rebind(service="webadmin", bindings=(before,))
    state = after(dict(fleet.observed()), planned)["core1"].screen("webadmin")
    assert isinstance(state, Known)
    assert state.value.enabled is True


def test_way_back_of_a_started_service_is_what_ran_last(new: Generation, aged: Generation) -> None:
    """When the right files do not start, the service goes back to those with which it ran before the dead run."""
    fleet = cluster(new)
    core = fleet.server("core1")
    right = core.bound["webadmin"]
    core.hold("webadmin", (aged.nodes["core1"].certificate,), bundle=aged.ca.bundle)
    before, core.bound["webadmin"] = core.bound["webadmin"], right
    core.enabled["webadmin"] = False
    core.served["webadmin"] = ABSENT
    gone = replace(before, key="gone.key")

    known = plan_after(fleet, left(touched("core1", "webadmin", slots=("webadmin",), before={"webadmin": before})))
    lost = plan_after(fleet, left(touched("core1", "webadmin", slots=("webadmin",), before={"webadmin": gone})))

    assert [step.undo for step in disturbing(known)] == [Rebind(service="webadmin", bindings=(before,))]
    assert [step.undo for step in disturbing(lost)] == [Restart(service="webadmin")]
    assert not said(known, "no-way-back")


def test_unproven_load_is_done_again(new: Generation, golden: Golden) -> None:
    """Call bridges whose port tells nothing load what is bound once more, one at a time."""
    fleet = cluster(new)
    for name in CORES:
        fleet.server(name).served["callbridge"] = ABSENT

    planned = plan_after(fleet, left(*(touched(name, "callbridge", slots=("callbridge",)) for name in CORES)))

    golden("load-unproven", planned.plan)
    first, second = disturbing(planned)
    assert typed(first) == ["callbridge restart"]
    assert first.undo == Restart(service="callbridge")
    assert first.id in second.after


@pytest.mark.parametrize("before", ["old", "new"])
def test_a_port_proves_the_load(new: Generation, aged: Generation, before: str) -> None:
    """A port that shows the bound leaf proves the load only when it showed another one before the dead run."""
    fleet = cluster(new)
    shown = (aged if before == "old" else new).nodes["core1"].certificate.sha256
    what = touched("core1", "webadmin", slots=("webadmin",), served={"webadmin": shown})

    planned = plan_after(fleet, left(what))

    assert [step.action for step in disturbing(planned)] == ([] if before == "old" else [Restart(service="webadmin")])
    assert planned.settles == (RUN,)
    told = "runs and has loaded what is bound" if before == "old" else "loads its files once more"
    assert said(planned, "unfinished-run") == [
        (
            f"None None: run {RUN} of ann on laptop, begun 2026-11-22 22:00 UTC, broke off in step 7 on core1 "
            f"(bind webadmin): webadmin on core1 {told}"
        )
    ]


@pytest.mark.parametrize("running", [False, None])
def test_what_did_not_run_is_not_started(new: Generation, *, running: bool | None) -> None:
    """A service that did not run before the dead run stays off, and so does one that was switched off meanwhile."""
    fleet = cluster(new)
    fleet.server("core1").enabled["webadmin"] = False
    fleet.server("edge1").enabled["turn"] = False
    off = touched("core1", "webadmin", running=running)
    only_files = touched("edge1", "turn", switched=False)

    planned = plan_after(fleet, left(off, only_files))

    assert not disturbing(planned)
    assert len(said(planned, "stopped")) == 2
    assert "did not run before either" in said(planned, "unfinished-run")[0]
    assert planned.settles == (RUN,)


def test_what_did_not_run_and_runs_now_is_left_alone(new: Generation) -> None:
    """A service that was off before the dead run and runs now was started by somebody else."""
    assert not disturbing(plan_after(cluster(new), left(touched("core1", "webadmin", running=False))))


def test_selection_leaves_it_as_it_is(new: Generation) -> None:
    """What was not selected stays as it is, with the lines that put it right, and is told again next time."""
    fleet = cluster(new)
    core = fleet.server("core1")
    core.enabled["webadmin"] = False
    del core.wanted["webadmin"]

    planned = plan_after(fleet, left(touched("core1", "webadmin")), select=("service=callbridge",))

    assert not planned.plan.steps
    assert planned.settles == ()
    assert said(planned, "left-by-run") == [
        (
            f"core1 webadmin: left by run {RUN} in its step 7, and stays as it is: it is not selected; "
            "by hand: webadmin enable"
        )
    ]


def test_unread_is_told_again(new: Generation) -> None:
    """A service that cannot be read stays as it is, and its run is not settled."""
    fleet = cluster(new)
    core = fleet.server("core1")
    core.overrides["screens"] = {**core.observe().screens, "webadmin": Unread("no answer")}
    fleet.server("core2").unreachable = "no answer"

    planned = plan_after(fleet, left(touched("core1", "webadmin"), touched("core2", "webadmin")))

    assert not planned.plan.steps
    assert planned.settles == ()
    assert len(said(planned, "left-by-run")) == 2


def test_ignored_is_left_and_settled(new: Generation) -> None:
    """What policy ignores is not started; that is said once, and settles the run."""
    fleet = cluster(new)
    fleet.server("core1").enabled["webadmin"] = False
    fleet.policy = Policy(ignore=(Ignore(server="core1", slot="*", drift="stopped-by-run", reason="on purpose"),))

    planned = plan_after(fleet, left(touched("core1", "webadmin", by_hand=())))

    assert not planned.plan.steps
    assert planned.settles == (RUN,)
    assert said(planned, "left-by-run") == [
        f"core1 webadmin: left by run {RUN} in its step 7, and stays as it is: policy.ignore says so"
    ]
    assert len(said(planned, "stopped")) == 1


def test_service_that_the_inventory_no_longer_names_is_started(new: Generation, aged: Generation) -> None:
    """A service that a run stopped is started although nothing of it is wanted any more."""
    fleet = cluster(new)
    core = fleet.server("core1")
    del core.wanted["webadmin"]
    core.enabled["webadmin"] = False
    bound = core.bound["webadmin"]
    core.hold("webadmin", (aged.nodes["core1"].certificate,), bundle=aged.ca.bundle)
    before, core.bound["webadmin"] = core.bound["webadmin"], bound

    what = touched("core1", "webadmin", slots=("webadmin", "webadmin/gone"), before={"webadmin": before})
    (step,) = disturbing(plan_after(fleet, left(what)))

    assert step.action == Restart(service="webadmin")
    assert step.undo == Rebind(service="webadmin", bindings=(before,))
    assert step.because == ("webadmin: stopped-by-run",)


def test_service_that_the_inventory_no_longer_names_and_runs_is_left(new: Generation) -> None:
    """A running service of which nothing is wanted any more is only spoken of, once."""
    fleet = cluster(new)
    del fleet.server("core1").wanted["webadmin"]

    planned = plan_after(fleet, left(touched("core1", "webadmin", slots=("webadmin",))))

    assert not planned.plan.steps
    assert planned.settles == (RUN,)
    assert "the inventory does not name it" in said(planned, "left-by-run")[0]


def test_server_that_is_gone_is_told_once(new: Generation) -> None:
    """A server that left the inventory, and a service that its release no longer has, are spoken of once."""
    fleet = cluster(new)
    planned = plan_after(fleet, left(touched("core9", "webadmin"), touched("core1", "xmpp")))

    assert not planned.plan.steps
    assert planned.settles == (RUN,)
    assert [each.partition(":")[0] for each in said(planned, "left-by-run")] == ["core9 webadmin", "core1 xmpp"]


@pytest.mark.parametrize(
    ("more", "story"),
    [
        ({"fault": "line 7 is damaged"}, "cannot be read to its end (line 7 is damaged)"),
        ({"at_steps": ()}, "broke off between two steps"),
        (
            {"at_steps": ("step 1 on a (put x)", "step 2 on b (put y)")},
            "broke off in step 1 on a (put x) and step 2 on b (put y)",
        ),
    ],
)
def test_story_of_a_run(new: Generation, more: dict[str, object], story: str) -> None:
    """A notice tells how a run ended, and that nothing of it is left."""
    planned = plan_after(cluster(new), left(told=more))

    assert not planned.plan.steps
    (told,) = said(planned, "unfinished-run")
    assert f"{story}: it left no service unproven" in told
    assert planned.settles == (RUN,)


def test_run_that_ended_is_told_while_something_is_left(new: Generation) -> None:
    """A run that said how it ended is told again only because of services that it left; it is settled either way."""
    fleet = cluster(new)
    some = plan_after(fleet, left(touched("core1", "webadmin", running=False), told={"result": "neither"}))
    nothing = plan_after(fleet, left(told={"result": "interrupted"}))

    assert "ended as neither: webadmin on core1 did not run before either" in said(some, "unfinished-run")[0]
    assert said(nothing, "unfinished-run") == []
    assert some.settles == nothing.settles == (RUN,)


def test_story_without_a_header(new: Generation) -> None:
    """A run whose first lines are lost is told with its id alone."""
    planned = plan_after(cluster(new), Unfinished(runs=(OpenRun(id=RUN),)))

    assert said(planned, "unfinished-run")[0].startswith(f"None None: run {RUN} broke off between two steps")


def test_trust_that_may_not_be_loaded_comes_before_identities(new: Generation, old: Generation) -> None:
    """While nothing proves that a trust is loaded, the identities that need it wait for the service to load it."""
    fleet = cluster(new)
    core, edge = fleet.server("core1"), fleet.server("edge1")
    del fleet.servers["core2"], fleet.servers["edge2"]
    edge.hold("webbridge3/c2w", old.nodes["edge1"].full_chain)
    core.trust("callbridge/trust-c2w", old.ca.bundle)
    before = core.bound["callbridge/trust-c2w"]
    core.trust("callbridge/trust-c2w", (*new.ca.bundle, *old.ca.bundle))
    slot = "callbridge/trust-c2w"

    proven = disturbing(plan_after(fleet, Unfinished()))
    unproven = disturbing(plan_after(fleet, left(touched("core1", "callbridge", slots=(slot,), before={slot: before}))))
    unknown = disturbing(plan_after(fleet, left(touched("core1", "callbridge", slots=(slot,)))))

    assert [(step.server, step.action.kind) for step in proven] == [("edge1", "bind"), ("core1", "bind")]
    for steps in (unproven, unknown):
        assert [(step.server, step.slot) for step in steps] == [
            ("core1", slot),
            ("edge1", "webbridge3/c2w"),
            ("core1", slot),
        ]
        assert steps[0].id in steps[1].after
        assert steps[1].id in steps[2].after
    assert unproven[0].undo == Rebind(service="callbridge", bindings=(before,))
    assert unproven[2].undo == Rebind(service="callbridge", bindings=(core.bound[slot],))


def test_identity_that_may_not_be_loaded_keeps_its_old_trust(new: Generation, old: Generation) -> None:
    """While nothing proves that an identity is loaded, the trust in its former one stays until it is."""
    fleet = cluster(new)
    core, edge = fleet.server("core1"), fleet.server("edge1")
    del fleet.servers["core2"], fleet.servers["edge2"]
    right = core.bound["callbridge"]
    core.hold("callbridge", (old.cluster.certificate,), bundle=old.ca.bundle)
    before, core.bound["callbridge"] = core.bound["callbridge"], right
    core.served["callbridge"] = ABSENT
    edge.trust("webbridge3/trust-c2w", (*new.ca.bundle, *old.ca.bundle))

    what = touched("core1", "callbridge", slots=("callbridge",), before={"callbridge": before})
    steps = disturbing(plan_after(fleet, left(what)))

    assert [(step.server, step.slot) for step in steps] == [("core1", "callbridge"), ("edge1", "webbridge3/trust-c2w")]
    assert steps[0].id in steps[1].after


def fixed(new: Generation, old: Generation) -> ToyFleet:
    """Make a fleet of one call bridge with fixed names; it holds the old pair, and good copies of it."""
    fleet = ToyFleet()
    core = fleet.server("core1")
    core.wanted["callbridge"] = identity("callbridge", new.material("cluster", naming="fixed"), new.corp)
    core.hold("callbridge", (old.cluster.certificate,), bundle=new.ca.bundle)
    core.served["callbridge"] = ABSENT
    return fleet


COPY, KEY_COPY = "cb-saved-20260101-0a0a0a0a.crt", "cb-saved-20260101-0a0a0a0a.key"


@pytest.mark.parametrize("file", ["certificate", "key"])
def test_half_uploaded_file_goes_back_to_its_good_copy(new: Generation, old: Generation, file: str) -> None:
    """A file that was overwritten in part is put again, is not saved once more, and goes back to the copy of before."""
    fleet = fixed(new, old)
    core = fleet.server("core1")
    bound = core.bound["callbridge"]
    core.files[COPY] = core.files[bound.certificate or ""]
    core.keys[KEY_COPY] = old.cluster.certificate.spki_sha256
    core.files[bound.certificate or ""] = () if file == "certificate" else (new.cluster.certificate,)
    saved = {("core1", bound.certificate or ""): COPY}
    if file == "key":
        saved["core1", bound.key or ""] = KEY_COPY
    what = touched("core1", "callbridge", slots=("callbridge",), switched=False, files=(bound.certificate or "",))

    planned = plan_after(fleet, left(what, saved=saved))

    assert not [
        step
        for step in planned.plan.steps
        if isinstance(step.action, SaveFile) and ("core1", step.action.file) in saved
    ]
    (step,) = disturbing(planned)
    assert isinstance(step.undo, Restart)
    assert RestoreFile(file=bound.certificate or "", saved_as=COPY) in step.undo.restores
    assert (RestoreFile(file=bound.key or "", saved_as=KEY_COPY) in step.undo.restores) is (file == "key")
    assert not said(planned, "no-way-back")


def test_overwritten_files_that_were_not_loaded(new: Generation, old: Generation) -> None:
    """Files that were overwritten whole are loaded, and the way back is their good copies."""
    fleet = fixed(new, old)
    core = fleet.server("core1")
    bound = core.bound["callbridge"]
    core.files[COPY] = core.files[bound.certificate or ""]
    core.files[bound.certificate or ""] = (new.cluster.certificate,)
    core.keys[bound.key or ""] = new.cluster.certificate.spki_sha256
    what = touched("core1", "callbridge", slots=("callbridge",), switched=False, files=(bound.certificate or "",))
    saved = {("core1", bound.certificate or ""): COPY, ("core1", "other.crt"): COPY}

    (step,) = plan_after(fleet, left(what, saved=saved)).plan.steps[1:]
    (bare,) = plan_after(fleet, left(what, saved={("core1", bound.certificate or ""): "gone.crt"})).plan.steps[1:]

    assert step.action == Restart(service="callbridge")
    assert step.undo == Restart(
        service="callbridge", restores=(RestoreFile(file=bound.certificate or "", saved_as=COPY),)
    )
    assert bare.undo == Restart(service="callbridge")


def test_proven_files_are_saved_afresh(new: Generation, aged: Generation, old: Generation) -> None:
    """A file that its service has loaded is good: the copy of an older one is not its way back."""
    fleet = fixed(aged, new)
    core = fleet.server("core1")
    bound = core.bound["callbridge"]
    core.files[COPY] = (old.cluster.certificate,)
    core.served["callbridge"] = Known((new.cluster.certificate,))
    what = touched(
        "core1",
        "callbridge",
        slots=("callbridge",),
        files=(bound.certificate or "",),
        served={"callbridge": old.cluster.certificate.sha256},
    )

    planned = plan_after(fleet, left(what, saved={("core1", bound.certificate or ""): COPY}))

    assert bound.certificate in [step.action.file for step in planned.plan.steps if isinstance(step.action, SaveFile)]


def test_torn_key_and_torn_copy(new: Generation) -> None:
    """A key whose upload was cut, and that the server cannot judge, is put again; a copy that was cut is made again."""
    fleet = fixed(new, new)
    core = fleet.server("core1")
    bound = core.bound["callbridge"]
    core.overrides["matches"] = {(bound.key, bound.certificate): Unread("unclear")}
    torn = Unfinished(torn=frozenset({("core1", bound.key or "")}))

    planned = plan_after(fleet, torn)
    (save,) = [step.action for step in planned.plan.steps if isinstance(step.action, SaveFile)]
    core.keys[save.saved_as] = "0"
    kept = plan_after(fleet, torn)
    again = plan_after(fleet, replace(torn, torn=torn.torn | {("core1", save.saved_as)}))

    assert [each.reason for each in planned.plan.drift] == ["upload-unproven", "not-answering"]
    assert [step.action.file for step in planned.plan.steps if isinstance(step.action, PutFile)] == [bound.key]
    assert not [step for step in kept.plan.steps if isinstance(step.action, SaveFile)]
    assert save in [step.action for step in again.plan.steps]


def test_a_trust_that_policy_ignores_is_loaded_and_not_changed(new: Generation, old: Generation) -> None:
    """Where other drift of a slot is ignored, the service loads what is bound, and nothing else is bound."""
    fleet = cluster(new)
    core = fleet.server("core1")
    core.trust("callbridge/trust-cluster", (*new.ca.bundle, *old.ca.bundle))
    fleet.policy = Policy(ignore=(Ignore(server="*", slot="*", drift="trust-exceeds", reason="later"),))

    what = touched("core1", "callbridge", slots=("callbridge/trust-cluster",))
    (step,) = disturbing(plan_after(fleet, left(what)))

    assert step.action == Restart(service="callbridge")
    assert step.undo == Restart(service="callbridge")


def test_tls_trust_is_loaded_by_the_call_bridge(new: Generation) -> None:
    """A trust that a run bound for TLS is loaded by a restart of the call bridge."""
    fleet = ToyFleet()
    core = fleet.server("core1")
    core.wanted["tls/trust-ldap"] = trusting("tls/trust-ldap", new.corp)
    core.trust("tls/trust-ldap", new.ca.bundle)

    (step,) = disturbing(plan_after(fleet, left(touched("core1", "tls", slots=("tls/trust-ldap",)))))

    assert typed(step) == ["callbridge restart"]


def test_tagged_service_is_switched_by_its_tag(new: Generation, old: Generation) -> None:
    """A load balancer that a run stopped is started by its tag, whatever the inventory says of it today."""
    fleet = ToyFleet()
    edge = fleet.server("edge1", "2.9")
    edge.wanted["webadmin"] = identity("webadmin", new.material("node:edge1"), new.corp)
    edge.hold("webadmin", (new.nodes["edge1"].certificate,), bundle=new.ca.bundle)
    edge.hold("loadbalancer", (old.nodes["edge1"].certificate,))
    edge.bound["loadbalancer"] = replace(edge.bound["loadbalancer"], tag="front")
    edge.enabled["loadbalancer"] = False
    row = rows_for(SERVICES, Release(2, 9))["loadbalancer"]

    (step,) = disturbing(
        plan_after(fleet, left(touched("edge1", "loadbalancer", slots=("loadbalancer",), tags=("front",))))
    )

    assert [line.text for line in lines(step.action, row)] == [
        "loadbalancer disable front",
        "loadbalancer enable front",
    ]


def test_a_file_that_is_shown_nowhere_is_not_needed(new: Generation) -> None:
    """A service is started also when what its slots hold cannot be read."""
    fleet = cluster(new)
    core = fleet.server("core1")
    core.enabled["webadmin"] = False
    core.overrides["contents"] = {
        **core.observe().contents,
        core.bound["webadmin"].certificate or "": Unread("no answer"),
    }

    (step,) = disturbing(plan_after(fleet, left(touched("core1", "webadmin", slots=("webadmin",)))))

    assert step.action == Restart(service="webadmin")


def test_binding_of_a_bundle_that_is_gone_is_no_way_back(new: Generation) -> None:
    """Names that were bound before and are not in the store any more are not bound again."""
    fleet = cluster(new)
    slot = "callbridge/trust-c2w"
    before = {slot: Binding(slot=slot, bundle="gone.crt")}

    (step,) = disturbing(plan_after(fleet, left(touched("core1", "callbridge", slots=(slot,), before=before))))

    assert step.undo == Restart(service="callbridge")


def test_call_bridge_that_is_down_comes_first(new: Generation, aged: Generation) -> None:
    """A call bridge that a run left down is mended before another one stops, and is no reason to refuse then."""
    fleet = cluster(new, aged)
    down = fleet.server("core2")
    down.served["callbridge"] = ABSENT
    answered = touched(
        "core2", "callbridge", slots=("callbridge",), served={"callbridge": aged.cluster.certificate.sha256}
    )
    silent = touched("core2", "callbridge", slots=("callbridge",))

    known = plan_after(fleet, left(answered))
    unknown = plan_after(fleet, left(silent))
    fleet.server("core1").hold("callbridge", (new.cluster.certificate,), bundle=new.ca.bundle)
    fleet.server("core1").trust("callbridge/trust-c2w", (*new.ca.bundle, *aged.ca.bundle))

    first, second = (step for step in disturbing(known) if step.slot is not None and "callbridge" in step.slot)
    assert (first.server, second.server) == ("core2", "core1")
    assert first.id in second.after
    assert "last-call-bridge" not in {refusal.guard for refusal in known.plan.refusals}
    assert "last-call-bridge" in {refusal.guard for refusal in unknown.plan.refusals}


def test_copy_counts_while_one_service_needs_it(new: Generation, old: Generation) -> None:
    """A copy stays the way back of a file that one service has loaded and another has not."""
    fleet = fixed(new, old)
    core = fleet.server("core1")
    file = core.bound["callbridge"].certificate or ""
    core.wanted["turn"] = identity("turn", new.material("cluster", naming="fixed"), new.corp)
    core.bound["turn"] = replace(core.bound["callbridge"], slot="turn")
    core.served["turn"] = Known((new.cluster.certificate,))
    core.files[COPY] = core.files[file]
    core.files[file] = (new.cluster.certificate,)
    core.keys[core.bound["turn"].key or ""] = new.cluster.certificate.spki_sha256
    shown = {"turn": old.cluster.certificate.sha256}
    proven = touched("core1", "turn", slots=("turn",), files=(file,), served=shown)
    needs = touched("core1", "callbridge", slots=("callbridge",), files=(file,))

    (step,) = disturbing(plan_after(fleet, left(proven, needs, saved={("core1", file): COPY})))

    assert step.undo == Restart(service="callbridge", restores=(RestoreFile(file=file, saved_as=COPY),))


def test_trust_list_of_an_identity_moves_alone(new: Generation, aged: Generation) -> None:
    """Where only the trust list of an identity slot has to shrink, the service is stopped once, and not before."""
    fleet = ToyFleet()
    edge = fleet.server("edge1", "2.9")
    edge.wanted["h323_gateway"] = identity("h323_gateway", new.material("node:edge1"), new.corp)
    edge.hold(
        "h323_gateway",
        new.nodes["edge1"].full_chain[:1],
        bundle=(*new.ca.bundle, aged.cluster.certificate),
    )
    core = fleet.server("core1", "2.9")
    core.wanted["callbridge"] = identity("callbridge", new.material("cluster"), new.corp)
    core.hold("callbridge", (aged.cluster.certificate,), bundle=aged.ca.bundle)

    steps = disturbing(plan_after(fleet, Unfinished()))

    assert [(step.server, step.action.kind) for step in steps] == [("core1", "bind"), ("edge1", "bind")]
