"""A whole run taken back: what is planned for what a run left, whole, dead in the middle, or changed since."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cmscert.mmp.services import SERVICES
from cmscert.model.events import Outcome
from cmscert.model.names import Release
from cmscert.model.observed import Binding
from cmscert.model.plan import (
    Plan,
    PutFile,
    Rebind,
    Step,
)
from cmscert.model.readings import ABSENT, NOT_ASKED, Known, Unread
from cmscert.planning.past import looking
from cmscert.planning.rollback import make_rollback
from cmscert.testing.fleets import MOMENT

from .conftest import Generation, cluster, plan_of
from .taken_back import RUN, Golden, Ran, _services, can_be_typed, changes, cycled, fixed, guards, ran, reasons, same
from .test_scenarios import legacy


def test_renewal(new: Generation, aged: Generation, golden: Golden) -> None:
    """A renewal is taken back in the opposite order, call bridges one at a time, web administration last."""
    made = ran(cluster(new, aged)).do()

    golden("rollback-renewal", made.back().plan)
    assert same(made.taken_back(), made.before)
    assert can_be_typed(made.back().plan)


def test_new_ca(new: Generation, old: Generation, golden: Golden) -> None:
    """After a change of CA the old trust comes back before the identities, and the new trust leaves last."""
    made = ran(cluster(new, old)).do()

    golden("rollback-new-ca", made.back().plan)
    assert same(made.taken_back(), made.before)


def test_leaf_pinned_trust(new: Generation, old: Generation, golden: Golden) -> None:
    """Where leaves are pinned, every trust list holds old and new while the leaves go back."""
    made = ran(legacy(new, old)).do()

    golden("rollback-leaf-pinned", made.back().plan)
    assert same(made.taken_back(), made.before)


def test_fixed_names(new: Generation, aged: Generation, golden: Golden) -> None:
    """What was overwritten comes back from its copy, after a copy was made of what is there now."""
    made = ran(fixed(new, aged)).do()

    golden("rollback-fixed-names", made.back().plan)
    assert same(made.taken_back(), made.before)
    assert can_be_typed(made.back().plan)


@pytest.mark.parametrize("kind", ["aged", "old", "fixed", "legacy"])
def test_a_rollback_can_be_taken_back(kind: str, new: Generation, aged: Generation, old: Generation) -> None:
    """Taking the rollback back gives what the run left; every way back is complete."""
    fleet = {
        "aged": lambda: cluster(new, aged),
        "old": lambda: cluster(new, old),
        "fixed": lambda: fixed(new, aged),
        "legacy": lambda: legacy(new, old),
    }[kind]()
    made = ran(fleet).do()
    left = dict(made.now)
    second = made.again().do()

    assert same(second.now, made.before)
    assert same(second.taken_back(), left)
    assert all(step.undo is not None for step in second.planned.plan.steps if step.disturbs)


def test_every_way_back_leads_to_what_the_run_left(new: Generation, old: Generation) -> None:
    """The undo of each step of a rollback is what the run had bound there."""
    made = ran(cluster(new, old)).do()
    bound = {
        (step.server, binding)
        for step in made.planned.plan.steps
        if isinstance(step.action, Rebind)
        for binding in step.action.bindings
    }

    undos = [step for step in made.back().plan.steps if isinstance(step.undo, Rebind)]
    assert undos
    assert all((step.server, binding) in bound for step in undos for binding in step.undo.bindings)  # type: ignore[union-attr]


def test_nothing_was_done(new: Generation, aged: Generation) -> None:
    """A run that sent nothing has nothing to take back."""
    plan = ran(cluster(new, aged)).back().plan

    assert (plan.steps, plan.drift, plan.refusals, plan.rolls_back) == ((), (), (), RUN)


def test_taken_back_already(new: Generation, old: Generation) -> None:
    """Nothing is to do a second time."""
    made = ran(cluster(new, old)).do()
    made.now = made.taken_back()

    plan = made.back().plan
    assert (plan.steps, plan.drift, plan.refusals) == ((), (), ())


def test_uploads_disturbed_nobody(new: Generation, aged: Generation) -> None:
    """A run that only uploaded is nothing to take back either."""
    made = ran(cluster(new, aged))
    puts = [step.id for step in made.planned.plan.steps if isinstance(step.action, PutFile)]

    assert made.do(*puts).back().plan.steps == ()


def test_a_half_done_run(new: Generation, old: Generation) -> None:
    """Wherever a run stops between two steps, what it did is taken back, and nothing else."""
    steps = [step.id for step in plan_of(cluster(new, old)).plan.steps]
    fleet = cluster(new, old)
    planned = plan_of(fleet)
    for at in range(len(steps)):
        made = Ran(fleet=fleet, planned=planned).do(*steps[: at + 1])

        assert same(made.taken_back(), made.before), steps[at]
        assert not made.back().plan.refusals


def test_a_service_that_the_run_stopped_is_started(new: Generation, aged: Generation) -> None:
    """Killed right after the disable, with the old names bound: the service is started on them."""
    made, step = cycled(new, aged)
    made.begin(step.id).switch("edge1", "webbridge3", enabled=False)

    plan = made.back().plan
    last = next(each for each in plan.steps if each.slot == step.slot and each.server == "edge1")
    assert isinstance(last.action, Rebind)
    assert not last.action.stopped
    assert last.disturbs
    assert {drift.reason for drift in plan.drift if drift.slot == "webbridge3"} == {"stopped-by-run"}
    assert "stopped it" in last.because[0]
    assert _services(made.taken_back()["edge1"])[0] == _services(made.before["edge1"])[0]  # type: ignore[index]


def test_half_bound(new: Generation, aged: Generation) -> None:
    """Killed between two binds: all slots of the step are bound, on the way back and on the way back from that."""
    made, step = cycled(new, aged)
    assert isinstance(step.action, Rebind)
    assert len(step.action.bindings) == 2
    made.begin(step.id).switch("edge1", "webbridge3", enabled=False).bind("edge1", step.action.bindings[0])

    back = next(each for each in made.back().plan.steps if each.slot == step.slot and each.server == "edge1")
    assert isinstance(back.action, Rebind)
    assert isinstance(back.undo, Rebind)
    assert isinstance(step.undo, Rebind)
    assert back.action.bindings == step.undo.bindings
    assert back.undo.bindings == step.action.bindings


def test_switched_back_on(new: Generation, aged: Generation) -> None:
    """A service that is off and on again with its old names has loaded them: nothing is to do."""
    made, step = cycled(new, aged)
    made.begin(step.id)

    assert ("edge1", step.slot) not in changes(made.back().plan)


def test_on_but_not_there(new: Generation, aged: Generation) -> None:
    """A service that is on, with its old names, and whose port answered before and does not now, is started again."""
    made, step = cycled(new, aged)
    made.begin(step.id).show("edge1", served={**made.now["edge1"].served, "webbridge3/https": ABSENT})

    assert ("edge1", step.slot) in changes(made.back().plan)


def bridge(new: Generation, aged: Generation) -> tuple[Ran, Step]:
    """A run that died in its first call bridge, which shows its old names."""
    made = ran(cluster(new, aged))
    step = made.step("callbridge", "core1")
    return made.begin(step.id), step


def test_a_port_tells_what_is_loaded(new: Generation, aged: Generation) -> None:
    """A call bridge that was under way, has its old names and shows its old leaf has loaded them."""
    made, _ = bridge(new, aged)
    made.do(*(step.id for step in made.planned.plan.steps if isinstance(step.action, PutFile)))

    assert made.back().plan.steps == ()


def test_a_port_that_shows_the_new_leaf(new: Generation, aged: Generation) -> None:
    """Old names bound, new leaf served: it has to load what is bound."""
    made, step = bridge(new, aged)
    made.show("core1", served={**made.now["core1"].served, "callbridge": Known((new.cluster.certificate,))})

    plan = made.back().plan
    assert changes(plan) == [("core1", step.slot)]
    assert reasons(plan) == {"load-unproven"}


def test_no_port_tells(new: Generation, old: Generation) -> None:
    """Trust that was under way is loaded once more where no port tells, unless a later run has proved it."""
    made = ran(cluster(new, old))
    step = made.step("callbridge/trust-c2w", "core1")
    made.begin(step.id)

    assert changes(made.back().plan) == [("core1", step.slot)]
    made.more["left"] = {}
    assert made.back().plan.steps == ()


def test_nothing_restarted_it(new: Generation, old: Generation) -> None:
    """Trust of which no restart was sent is still loaded as before."""
    made = ran(cluster(new, old))
    made.begin(made.step("callbridge/trust-c2w", "core1").id)
    made.more["left"] = {place: replace(left, switched=False) for place, left in made.past.left.items()}

    assert made.back().plan.steps == ()


def test_stopped_by_somebody_else(new: Generation, aged: Generation) -> None:
    """A service that was stopped after the run gets its old names and stays stopped."""
    made = ran(cluster(new, aged)).do().switch("edge1", "turn", enabled=False)

    plan = made.back().plan
    back = next(step for step in plan.steps if (step.server, step.slot) == ("edge1", "turn"))
    assert isinstance(back.action, Rebind)
    assert back.action.stopped
    assert not back.disturbs
    assert ("edge1", "turn", "stopped") in [(each.server, each.slot, each.reason) for each in plan.notices]


def test_stopped_before_and_running_now(new: Generation, aged: Generation) -> None:
    """A service that was stopped during the run and runs now is restarted with its old names."""
    fleet = cluster(new, aged)
    fleet.server("edge1").enabled["turn"] = False
    made = ran(fleet).do().switch("edge1", "turn", enabled=True)

    back = next(step for step in made.back().plan.steps if (step.server, step.slot) == ("edge1", "turn"))
    assert isinstance(back.action, Rebind)
    assert not back.action.stopped
    assert back.disturbs


def test_changed_since(new: Generation, aged: Generation) -> None:
    """What holds neither old nor new is refused by name, with the run that did it; lifted, it goes back as well."""
    made = ran(cluster(new, aged)).do()
    other = Binding(slot="turn", key="other.key", certificate="other.crt")
    made.bind("edge1", other)
    made.more["later"] = (("run-2", frozenset({("edge1", "turn")})), ("run-3", frozenset({("edge2", "turn")})))

    plan = made.back().plan
    (refusal,) = plan.refusals
    back = next(step for step in plan.steps if (step.server, step.slot) == ("edge1", "turn"))
    assert (refusal.guard, refusal.server, refusal.liftable) == ("changed-since", "edge1", True)
    assert "run run-2 changed it since" in refusal.message
    assert isinstance(back.undo, Rebind)
    assert back.undo.bindings == (other,)
    assert same(made.taken_back(), made.before)


def test_changed_by_nobody_known(new: Generation, aged: Generation) -> None:
    """Without a later run the guard says what is there."""
    made = ran(cluster(new, aged)).do().bind("edge1", Binding(slot="turn"))

    (refusal,) = made.back().plan.refusals
    assert refusal.message.endswith("nor as that run left it")
    assert "bound to nothing" in refusal.message


def test_other_bytes_under_the_name(new: Generation, aged: Generation) -> None:
    """A file that the run put and that holds other bytes now was changed since."""
    made = ran(cluster(new, aged)).do()
    step = made.step("turn", "edge1")
    assert isinstance(step.action, Rebind)
    name = step.action.bindings[0].certificate or ""

    assert "changed-since" in guards(made.write("edge1", name).back().plan)


def test_a_slot_that_no_screen_shows(new: Generation, old: Generation) -> None:
    """Where the screen does not show a slot, the journal tells whether the run's binding is in force."""
    made = ran(cluster(new, old)).do()
    slot = "callbridge/trust-cluster"
    steps = [step.id for step in made.planned.plan.steps if step.server == "core1" and slot in (step.slot or "")]

    def hide(outcome: Outcome) -> Plan:
        screen = made.now["core1"].screen("callbridge")
        assert isinstance(screen, Known)
        bindings = {name: binding for name, binding in screen.value.bindings.items() if name != slot}
        state = replace(screen.value, bindings=bindings, untold=(slot,))
        made.show("core1", screens={**made.now["core1"].screens, "callbridge": Known(state)})
        made.outcomes.update(dict.fromkeys(steps, outcome))
        return made.back().plan

    assert any(slot in (step.slot or "") for step in hide("done").steps if step.server == "core1")
    made.now = dict(made.before)
    assert not any(slot in (step.slot or "") for step in hide("undone").steps if step.server == "core1")


def test_another_release(new: Generation, aged: Generation) -> None:
    """A service that the server does not know any more stays as it is, and that is refused by name."""
    made = ran(cluster(new, aged)).do()
    screens = made.now["edge1"].screens
    made.show("edge1", screens={**screens, "turn": ABSENT})
    made.show("edge2", release=Known(Release(2, 8)))

    plan = made.back().plan
    assert guards(plan).count("changed-since") >= 2
    assert ("edge1", "turn") not in changes(plan)
    assert ("edge2", "webbridge3/c2w, webbridge3/https") not in changes(plan)


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"reached": Unread("no TCP connection")}, "no TCP connection"),
        ({"files": Unread("it hung up")}, "list of files: it hung up"),
        ({"files": ABSENT}, "list of files: there is none"),
    ],
)
def test_unread(facts: dict[str, object], why: str, new: Generation, aged: Generation) -> None:
    """A server that cannot be read is named, left out, and refused until that is lifted."""
    made = ran(cluster(new, aged)).do().show("edge1", **facts)

    plan = made.back().plan
    assert ("edge1", why) in plan.unread
    assert not plan.complete
    assert "unread-server" in guards(plan)
    assert not any(server == "edge1" for server, _ in changes(plan))
    assert any(server == "edge2" for server, _ in changes(plan))


def test_release_untold(new: Generation, aged: Generation) -> None:
    """Without a release nothing can be typed."""
    made = ran(cluster(new, aged)).do().show("edge1", release=NOT_ASKED)
    desired = looking(made.past, made.desired)
    servers = tuple(replace(server, release=None) for server in desired.servers)

    plan = make_rollback(
        made.past, made.now, replace(desired, servers=servers), table=SERVICES, moment=MOMENT, tool_version="0"
    ).plan
    assert ("edge1", "release: the server does not tell it") in plan.unread


def test_screen_and_file_unread(new: Generation, aged: Generation) -> None:
    """A screen that cannot be read leaves its service out, a file is named."""
    made = ran(cluster(new, aged)).do()
    made.show("edge1", screens={**made.now["edge1"].screens, "turn": Unread("garbled")})
    step = made.step("turn", "edge2")
    assert isinstance(step.undo, Rebind)
    name = step.undo.bindings[0].certificate or ""
    made.show("edge2", contents={**made.now["edge2"].contents, name: Unread("it hung up")})

    plan = made.back().plan
    assert ("edge1", "turn: garbled") in plan.unread
    assert ("edge2", f"{name}: it hung up") in plan.unread
    assert ("edge1", "turn") not in changes(plan)
