"""What stops a rollback, and what is to be said about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import pytest

from cmscert.mmp.services import SERVICES
from cmscert.mmp.typed import typed
from cmscert.model.desired import Policy
from cmscert.model.observed import Binding, ObservedServer
from cmscert.model.plan import (
    Gate,
    LeaveCluster,
    Plan,
    ProveCluster,
    PutFile,
    Rebind,
    RemoveFiles,
    Restart,
    Step,
)
from cmscert.model.readings import ABSENT, Known
from cmscert.planning.past import looking
from cmscert.planning.rollback import make_rollback

from .conftest import CORES, Generation, cluster
from .taken_back import changes, fixed, guards, puts_of, ran, reasons
from .test_scenarios import legacy


@pytest.mark.parametrize(("days", "word"), [(-1, "has expired on"), (0.5, "expires on")])
def test_expired_before(days: float, word: str, new: Generation, aged: Generation) -> None:
    """A certificate that has ended, or ends within a day, is not bound again without a word."""
    made = ran(cluster(new, aged)).do()
    moment = aged.join.certificate.not_after - timedelta(days=days)

    plan = make_rollback(
        made.past, made.now, looking(made.past, made.desired), table=SERVICES, moment=moment, tool_version="0"
    ).plan
    held = [refusal for refusal in plan.refusals if refusal.guard == "expired-before"]
    assert held
    assert all(word in refusal.message and refusal.liftable for refusal in held)


def test_peer_refused(new: Generation, old: Generation) -> None:
    """Trust that was changed by others since would refuse the old certificate."""
    made = ran(cluster(new, old)).do()
    trust = next(binding for binding in _bound(made.now["core1"]) if binding.slot == "callbridge/trust-c2w")
    made.planned = replace(made.planned, plan=without(made.planned.plan, "core1", "core2"))

    plan = made.back().plan
    assert trust.bundle is not None
    assert {refusal.server for refusal in plan.refusals if refusal.guard == "peer-refused"} >= {"core1", "core2"}


def _bound(seen: ObservedServer) -> Iterable[Binding]:
    return [
        binding
        for screen in seen.screens.values()
        if isinstance(screen, Known)
        for binding in screen.value.bindings.values()
    ]


def without(plan: Plan, *servers: str) -> Plan:
    """Leave servers out of a plan."""
    steps = [step for step in plan.steps if step.server not in servers]
    names = {step.id for step in steps}
    return replace(
        plan,
        steps=tuple(replace(step, after=tuple(name for name in step.after if name in names)) for step in steps),
    )


def test_who_is_unbound_is_refused_by_nobody(new: Generation, old: Generation) -> None:
    """A first binding that is taken back together with its trust locks nobody out."""
    fleet = cluster(new, old)
    edge = fleet.server("edge1")
    for slot in ("webbridge3/c2w",):
        del edge.bound[slot], edge.served[slot]
    made = ran(fleet).do()

    assert "peer-refused" not in guards(made.back().plan)


def test_too_many_servers(new: Generation, aged: Generation) -> None:
    """The policy's limit holds for a rollback too."""
    made = ran(cluster(new, aged)).do()
    made.policy = Policy(max_servers_changed=2)

    assert guards(made.back().plan) == ["too-many-servers"]


def test_last_call_bridge_and_clock(new: Generation, aged: Generation) -> None:
    """The guards of every plan hold here as well."""
    made = ran(cluster(new, aged)).do()
    made.show("core2", served={**made.now["core2"].served, "callbridge": ABSENT})
    made.show("edge1", clock_skew=Known(900.0))

    assert {"last-call-bridge", "clock-skew"} <= set(guards(made.back().plan))


def test_a_silent_call_bridge_comes_first(new: Generation, old: Generation) -> None:
    """A call bridge that the run left silent has to answer again before another one stops, and nothing refuses that."""
    fleet = cluster(new, old)
    made = ran(fleet)
    steps = [step for step in made.planned.plan.steps if (step.slot or "").startswith("callbridge")]
    first, second = (step for step in steps[:2])
    made.do(first.id, second.id).begin(second.id)
    made.show(second.server, served={**made.now[second.server].served, "callbridge": ABSENT})

    plan = made.back().plan
    mine = [step for step in plan.steps if (step.slot or "").startswith("callbridge")]
    assert [step.server for step in mine] == [second.server, first.server]
    assert plan.refusals == ()


def test_it_came_up_on_nothing(new: Generation, aged: Generation) -> None:
    """A service that is silent since files were overwritten under it is restarted when they are back."""
    made = ran(fixed(new, aged))
    steps = [step.id for step in made.planned.plan.steps]
    made.do(*steps[: steps.index("services") + 1]).do(*puts_of(made))
    made.show("core1", served={**made.now["core1"].served, "webadmin": ABSENT})

    assert changes(made.back().plan) == [("core1", "webadmin")]


def test_database_stays(new: Generation, aged: Generation) -> None:
    """A database that was changed stays; looking at one changes nothing."""
    made = ran(cluster(new, aged)).do()
    leave = Step(id="90", server="core1", slot="database/main", action=LeaveCluster(), because=())
    prove = replace(leave, id="91", slot="database/other", action=ProveCluster(database="other", members=()))
    plan = replace(made.planned.plan, steps=(*made.planned.plan.steps, leave, prove))
    made.planned = replace(made.planned, plan=plan)
    made.outcomes.update({"90": "done", "91": "done"})

    (refusal,) = made.back().plan.refusals
    assert (refusal.guard, refusal.liftable) == ("database-stays", True)
    assert refusal.message.startswith("database/main stays")


def test_broken_before(new: Generation, aged: Generation) -> None:
    """A service that was broken before the run stays as the run left it, by a name that can be lifted."""
    fleet = cluster(new, aged)
    core = fleet.server("edge1")
    core.keys[core.bound["turn"].key or ""] = aged.cluster.certificate.spki_sha256
    made = ran(fleet).do()

    plan = made.back().plan
    (refusal,) = plan.refusals
    assert (refusal.guard, refusal.server, refusal.liftable) == ("cannot-go-back", "edge1", True)
    assert "turn was broken before" in refusal.message
    assert ("edge1", "turn") not in changes(plan)
    assert ("edge2", "turn") in changes(plan)


def test_broken_before_and_stopped(new: Generation, aged: Generation) -> None:
    """When the run left it stopped as well, the guard says who starts it."""
    fleet = cluster(new, aged)
    core = fleet.server("edge1")
    core.keys[core.bound["turn"].key or ""] = aged.cluster.certificate.spki_sha256
    made = ran(fleet)
    made.begin(made.step("turn", "edge1").id).switch("edge1", "turn", enabled=False)

    (refusal,) = made.back().plan.refusals
    assert refusal.message.endswith("apply instead, which starts it")


def test_broken_fixed_files_stay(new: Generation, aged: Generation) -> None:
    """What was overwritten under a service that was broken before stays as well."""
    fleet = fixed(new, aged, "turn")
    core = fleet.server("core1")
    core.keys[core.bound["turn"].key or ""] = aged.join.certificate.spki_sha256
    made = ran(fleet).do()

    plan = made.back().plan
    assert guards(plan) == ["cannot-go-back"]
    assert plan.steps == ()


def test_a_first_certificate_of_a_call_bridge(new: Generation, aged: Generation) -> None:
    """A call bridge that held no certificate is unbound again."""
    fleet = cluster(new, aged)
    core = fleet.server("core1")
    del core.bound["callbridge"], core.served["callbridge"]
    made = ran(fleet).do()

    (back,) = [step for step in made.back().plan.steps if step.server == "core1" and step.slot == "callbridge"]
    assert isinstance(back.action, Rebind)
    assert back.action.bindings == (Binding(slot="callbridge"),)
    assert made.back().plan.refusals == ()


def notices(plan: Plan) -> dict[str, str]:
    """Return notices by reason."""
    return {notice.reason: notice.message for notice in plan.notices}


def test_what_stays_is_said(new: Generation, aged: Generation) -> None:
    """Uploaded files stay, removed files do not come back, and what was only loaded stays loaded."""
    made = ran(cluster(new, aged)).do()
    steps = made.planned.plan.steps
    removal = Step(id="90", server="edge1", slot=None, action=RemoveFiles(files=("gone.crt",)), because=())
    load = Step(id="91", server="edge1", slot="turn", action=Restart(service="turn"), because=(), after=("90",))
    made.planned = replace(made.planned, plan=replace(made.planned.plan, steps=(*steps, removal, load)))
    made.outcomes.update({"90": "done", "91": "done"})

    said = notices(made.back().plan)
    assert "gone.crt" in said["removed-files"]
    assert "step 91" in said["load-stays"]
    assert "stays in the store" in said["files-stay"]
    uploads = [step.action.file for step in steps if step.server == "edge1" and isinstance(step.action, PutFile)]
    assert {notice.server for notice in made.lose("edge1", *uploads).back().plan.notices} == {*CORES, "edge1", "edge2"}
    made.show("edge1", files=Known(("gone.crt", *made.now["edge1"].files.value)))  # type: ignore[union-attr]
    assert "removed-files" not in notices(made.back().plan)


def test_a_restart_that_died(new: Generation, aged: Generation) -> None:
    """A service that was only to be loaded and is off is started, with the same restart as its way back."""
    fleet = cluster(new)
    fleet.server("edge1").served["turn"] = Known((aged.join.certificate,))
    made = ran(fleet)
    step = made.step("turn", "edge1", "restart")
    made.begin(step.id).switch("edge1", "turn", enabled=False)

    (back,) = [each for each in made.back().plan.steps if not isinstance(each.action, Gate)]
    assert back.action == back.undo == Restart(service="turn")
    assert reasons(made.back().plan) == {"stopped-by-run"}


def test_tags_are_kept(new: Generation, old: Generation) -> None:
    """A load balancer is switched by its tag, on its way back too."""
    made = ran(legacy(new, old)).do()
    steps = [step for step in made.back().plan.steps if step.slot == "loadbalancer"]

    assert steps
    for step in steps:
        lines = typed(step.action, step.server, made.back().plan, SERVICES)
        assert lines[0] == "loadbalancer disable edge"
