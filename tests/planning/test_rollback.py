"""A whole run taken back: what is planned for what a run left, whole, dead in the middle, or changed since."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from hashlib import sha256

import pytest

from cmscert.mmp.services import SERVICES
from cmscert.mmp.typed import typed
from cmscert.model.desired import Bundle, Desired, LookedAt, Policy
from cmscert.model.events import Outcome
from cmscert.model.names import Release, service_of
from cmscert.model.observed import Binding, ObservedServer, ServiceState, StoredFile, same_files
from cmscert.model.plan import (
    CheckFiles,
    Gate,
    LeaveCluster,
    Plan,
    ProveCluster,
    PutFile,
    Rebind,
    RemoveFiles,
    Restart,
    RestoreFile,
    SaveFile,
    Step,
)
from cmscert.model.readings import ABSENT, NOT_ASKED, Known, Unread
from cmscert.model.unfinished import Touched
from cmscert.pki.pem import to_pem
from cmscert.planning.make import Planned
from cmscert.planning.past import Past, Place, looking
from cmscert.planning.predict import predict
from cmscert.planning.rollback import make_rollback
from cmscert.testing.fleets import MOMENT, ToyFleet, identity, trusting

from .conftest import CORES, Generation, after, cluster, plan_of
from .test_scenarios import legacy
from .test_shared_restart import bridged, restarts

Golden = Callable[[str, Plan], None]
RUN = "20261123T120000Z-0a1b2c"


@dataclass(kw_only=True)
class Ran:
    """A toy fleet, the plan that was run on it, and how far: the past, and what the servers show now."""

    fleet: ToyFleet
    planned: Planned
    outcomes: dict[str, Outcome | None] = field(default_factory=dict)
    now: dict[str, ObservedServer] = field(default_factory=dict)
    more: dict[str, object] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)

    def __post_init__(self) -> None:
        self.before = dict(self.fleet.observed())
        self.now = self.now or dict(self.before)

    @property
    def past(self) -> Past:
        """The run as a journal tells it."""
        unproven = [step for step in self.planned.plan.steps if self.outcomes.get(step.id, "done") is None]
        screens = [
            (name, screen.value)
            for name, seen in self.before.items()
            for screen in seen.screens.values()
            if isinstance(screen, Known)
        ]
        past = Past(
            run=RUN,
            plan=self.planned.plan,
            outcomes=self.outcomes,
            left={
                (step.server, step.action.service): Touched(
                    server=step.server, service=step.action.service, run=RUN, step=step.id, running=True
                )
                for step in unproven
                if isinstance(step.action, Rebind | Restart)
            },
            torn=frozenset((step.server, step.action.file) for step in unproven if isinstance(step.action, PutFile)),
            held={
                (name, file): content.value.sha256
                for name, seen in self.before.items()
                for file, content in seen.contents.items()
                if isinstance(content, Known)
            },
            bound={(name, slot): binding for name, state in screens for slot, binding in state.bindings.items()},
            seen=frozenset(self.before),
            answered=frozenset((name, slot) for name, seen in self.before.items() for slot in seen.served),
        )
        return replace(past, **self.more)  # type: ignore[arg-type]  # a test names fields of Past

    @property
    def desired(self) -> Desired:
        """The fleet as the inventory has it."""
        return replace(self.fleet.desired(), policy=self.policy)

    def do(self, *steps: str) -> Ran:
        """Carry out steps, or all."""
        for step in self.planned.plan.steps:
            if (not steps or step.id in steps) and step.server in self.now:
                self.now[step.server] = predict(self.now[step.server], step, self.planned.contents)
                self.outcomes[step.id] = "done"
        self._pair_copies()
        return self

    def begin(self, step: str) -> Ran:
        """Send something of a step, and die."""
        self.outcomes[step] = None
        return self

    def show(self, server: str, **facts: object) -> Ran:
        """Let a server show something else."""
        self.now[server] = replace(self.now[server], **facts)  # type: ignore[arg-type]  # fields of ObservedServer
        return self

    def bind(self, server: str, *bindings: Binding, enabled: bool | None = None, loaded: bool = False) -> Ran:
        """Let somebody bind files; ``enabled``: and leave the service on or off; ``loaded``: and load them."""
        for binding in bindings:
            service = service_of(binding.slot)
            screen = self.now[server].screen(service)
            assert isinstance(screen, Known)
            bound = {**screen.value.bindings, binding.slot: binding}
            state = replace(screen.value, bindings=bound)
            state = state if enabled is None else replace(state, enabled=enabled)
            self.show(server, screens={**self.now[server].screens, service: Known(state)})
            content = self.now[server].content(binding.certificate or "")
            if loaded and isinstance(content, Known):
                self.show(server, served={**self.now[server].served, binding.slot: Known(content.value.certificates)})
        return self

    def switch(self, server: str, service: str, *, enabled: bool) -> Ran:
        """Turn a service on or off, and show that on its ports."""
        screen = self.now[server].screen(service)
        assert isinstance(screen, Known)
        self.show(server, screens={**self.now[server].screens, service: Known(replace(screen.value, enabled=enabled))})
        mine = [slot for slot in self.now[server].served if service_of(slot) == service]
        if not enabled:
            self.show(server, served={**self.now[server].served, **dict.fromkeys(mine, ABSENT)})
        return self

    def lose(self, server: str, *names: str) -> Ran:
        """Let files be gone from a store."""
        seen = self.now[server]
        assert isinstance(seen.files, Known)
        left = tuple(name for name in seen.files.value if name not in names)
        contents = {name: content for name, content in seen.contents.items() if name not in names}
        return self.show(server, files=Known(left), contents=contents)

    def write(self, server: str, name: str, content: bytes = b"other") -> Ran:
        """Let a file hold other bytes."""
        other = StoredFile(name=name, sha256=sha256(content).hexdigest())
        return self.show(server, contents={**self.now[server].contents, name: Known(other)})

    def back(self) -> Planned:
        """Plan the way back."""
        return make_rollback(
            self.past,
            self.now,
            looking(self.past, self.desired),
            table=SERVICES,
            moment=MOMENT,
            tool_version="0",
        )

    def taken_back(self) -> dict[str, ObservedServer]:
        """Return the fleet as predicted once the way back is done."""
        return after(self.now, self.back())

    def again(self) -> Ran:
        """Return the rollback as a run of its own, before anything of it is sent."""
        made = Ran(fleet=self.fleet, planned=self.back(), now=dict(self.now))
        made.before = dict(self.now)
        return made

    def step(self, slot: str, server: str | None = None, kind: str = "bind") -> Step:
        """Return the first step of the run on a slot."""
        return next(
            step
            for step in self.planned.plan.steps
            if step.action.kind == kind and slot in (step.slot or "").split(", ") and server in (None, step.server)
        )

    def _pair_copies(self) -> None:
        """Let servers say that saved pairs belong together, as what they were copied from did."""
        for name, seen in self.now.items():
            files = seen.files.value if isinstance(seen.files, Known) else ()
            for key in (file for file in files if "-saved-" in file and file.endswith(".key")):
                for crt in (file for file in files if "-saved-" in file and file.endswith(".crt")):
                    self.now[name] = replace(
                        self.now[name], matches={**self.now[name].matches, (key, crt): Known(value=True)}
                    )


def ran(fleet: ToyFleet, **more: object) -> Ran:
    """Plan a fleet; nothing of it is done yet."""
    return Ran(fleet=fleet, planned=plan_of(fleet), more=more)


def same(left: Mapping[str, ObservedServer], right: Mapping[str, ObservedServer]) -> bool:
    """Tell whether two fleets have the same names bound, run the same services and serve the same leaves."""
    return all(_services(left[name]) == _services(right[name]) for name in left)


def _services(seen: ObservedServer) -> object:
    states = [screen.value for screen in seen.screens.values() if isinstance(screen, Known)]
    bound = {(slot, *binding.files) for state in states for slot, binding in state.bindings.items() if binding.files}
    served = {slot: chain.value[:1] for slot, chain in seen.served.items() if isinstance(chain, Known)}
    return {state.service: state.enabled for state in states}, bound, served


def guards(plan: Plan) -> list[str]:
    """Return the names of the guards that hold."""
    return [refusal.guard for refusal in plan.refusals]


def changes(plan: Plan) -> list[tuple[str, str | None]]:
    """Return the servers and slots of the steps on services, in order."""
    return [(step.server, step.slot) for step in plan.steps if isinstance(step.action, Rebind | Restart)]


def reasons(plan: Plan) -> set[str]:
    """Return the reasons of what differs."""
    return {drift.reason for drift in plan.drift}


def can_be_typed(plan: Plan) -> bool:
    """Type every step and every way back."""
    return all(
        typed(action, step.server, plan, SERVICES) is not None
        for step in plan.steps
        for action in (step.action, step.undo)
        if action is not None
    )


def fixed(new: Generation, aged: Generation, *slots: str) -> ToyFleet:
    """One server whose services share a pair of files that keeps its names."""
    fleet = ToyFleet()
    core = fleet.server("core1")
    wanted = new.material("cluster", naming="fixed")
    for slot in slots or ("webadmin", "callbridge"):
        core.wanted[slot] = identity(slot, wanted, new.corp)
        core.hold(slot, (aged.cluster.certificate,), bundle=new.ca.bundle)
        core.bound[slot] = replace(core.bound[(slots or ("webadmin",))[0]], slot=slot)
    return fleet


# Whole runs


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


# Runs that died


def cycled(new: Generation, aged: Generation) -> tuple[Ran, Step]:
    """A run that is about to change a web bridge."""
    made = ran(cluster(new, aged))
    step = made.step("webbridge3/https", "edge1")
    return made.do(*(each.id for each in made.planned.plan.steps[: made.planned.plan.steps.index(step)])), step


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


# What was changed since


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


# What cannot be read


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


# Files that are needed


def before_of(made: Ran, slot: str, server: str) -> Binding:
    """Return what was bound to a slot before the run."""
    step = made.step(slot, server)
    assert isinstance(step.undo, Rebind)
    return next(binding for binding in step.undo.bindings if binding.slot == slot)


@pytest.mark.parametrize("part", ["key", "certificate", "bundle"])
def test_files_gone(part: str, new: Generation, aged: Generation) -> None:
    """A file that is not in the store any more cannot be bound again, and nothing lifts that."""
    made = ran(cluster(new, aged)).do()
    name = getattr(before_of(made, "turn", "edge1"), part)

    (refusal,) = made.lose("edge1", name).back().plan.refusals
    assert (refusal.guard, refusal.liftable) == ("files-gone", False)
    assert refusal.message == f"{name} is not in the store any more"


def test_other_bytes_than_before(new: Generation, aged: Generation) -> None:
    """A file that was bound before and holds other bytes now is as good as gone."""
    made = ran(cluster(new, aged)).do()
    name = before_of(made, "turn", "edge1").certificate or ""

    (refusal,) = made.write("edge1", name).back().plan.refusals
    assert refusal.message == f"{name} holds other bytes than before run {RUN}"


def test_a_pair_that_is_none_any_more(new: Generation, aged: Generation) -> None:
    """The server says that a key does not belong to its certificate any more."""
    made = ran(cluster(new, aged)).do()
    bound = before_of(made, "turn", "edge1")
    made.show("edge1", matches={**made.now["edge1"].matches, (bound.key, bound.certificate): Known(value=False)})

    (refusal,) = made.back().plan.refusals
    assert refusal.message == f"{bound.key} does not belong to {bound.certificate} any more"


def test_kept_files_are_put_again(new: Generation, aged: Generation) -> None:
    """Public files that the run's directory keeps are put again, and checked after that; others are not believed."""
    made = ran(cluster(new, aged)).do()
    bound = before_of(made, "turn", "edge1")
    names = [name for name in (bound.certificate, bound.bundle) if name is not None]
    files = cluster(new, aged).server("edge1").files
    kept = {("edge1", name): to_pem(files[name]) for name in names}
    made.lose("edge1", *names)
    made.more["kept"] = kept

    planned = made.back()
    puts = {step.action.file: step for step in planned.plan.steps if isinstance(step.action, PutFile)}
    check = next(
        step
        for step in planned.plan.steps
        if isinstance(step.action, CheckFiles) and step.action.certificate == bound.certificate
    )
    assert planned.plan.refusals == ()
    assert {(put.action.file, put.action.role) for put in puts.values()} == {  # type: ignore[union-attr]
        (names[0], "certificate"),
        (names[1], "bundle"),
    }
    assert {put.id for put in puts.values()} <= set(check.after)
    assert set(planned.contents.values()) == set(kept.values())
    made.more["kept"] = dict.fromkeys(kept, to_pem(new.ca.bundle[:1]))
    assert set(guards(made.back().plan)) == {"files-gone"}
    made.more.update(kept=dict.fromkeys(kept, b"damaged"), held={})
    assert set(guards(made.back().plan)) == {"files-gone"}


# Fixed names


def copies(made: Ran) -> dict[str, str]:
    """Return the copies that the run made, by file."""
    return {
        step.action.file: step.action.saved_as for step in made.planned.plan.steps if isinstance(step.action, SaveFile)
    }


def test_a_copy_that_is_gone(new: Generation, aged: Generation) -> None:
    """Without its copy a certificate is put again when the run's directory keeps it; a key cannot be had."""
    made = ran(fixed(new, aged)).do()
    name, copy = next((name, copy) for name, copy in copies(made).items() if name.endswith(".crt"))
    made.lose("core1", copy)
    (refusal,) = made.back().plan.refusals
    assert refusal.guard == "files-gone"
    assert copy in refusal.message

    made.more["kept"] = {("core1", name): to_pem((aged.cluster.certificate,))}
    planned = made.back()
    put = next(step for step in planned.plan.steps if isinstance(step.action, PutFile))
    assert planned.plan.refusals == ()
    assert isinstance(put.action, PutFile)
    assert put.action.overwrites
    assert isinstance(put.undo, RestoreFile)
    assert same(made.taken_back(), made.before)
    key = next(copy for copy in copies(made).values() if copy.endswith(".key"))
    assert "files-gone" in guards(made.lose("core1", key).back().plan)


def test_a_copy_with_other_bytes(new: Generation, aged: Generation) -> None:
    """A copy that somebody overwrote is none."""
    made = ran(fixed(new, aged)).do()
    copy = next(copy for copy in copies(made).values() if copy.endswith(".crt"))

    plan = made.write("core1", copy).back().plan
    assert any("holds other bytes than it saved" in refusal.message for refusal in plan.refusals)


def test_a_rollback_of_fixed_names_taken_back_without_its_copy(new: Generation, aged: Generation) -> None:
    """What a rollback restored is overwritten again from the copy that it made, or else from what its run kept."""
    second = ran(fixed(new, aged)).do().again().do()
    name, copy = next((name, copy) for name, copy in copies(second).items() if name.endswith(".crt"))
    second.lose("core1", copy)
    second.more["kept"] = {("core1", name): to_pem((new.cluster.certificate,))}

    planned = second.back()
    assert planned.plan.refusals == ()
    assert any(isinstance(step.action, PutFile) and step.action.role == "certificate" for step in planned.plan.steps)


def puts_of(made: Ran) -> list[str]:
    """Return the ids of what comes before the first file is overwritten, and of the overwriting, in order."""
    steps = made.planned.plan.steps
    return [step.id for step in steps if isinstance(step.action, PutFile) and step.action.overwrites]


def test_killed_between_two_files(new: Generation, aged: Generation) -> None:
    """A key that was overwritten alone comes back before anything is restarted; nothing had loaded it."""
    made = ran(fixed(new, aged))
    steps = [step.id for step in made.planned.plan.steps]
    key = next(
        step for step in made.planned.plan.steps if isinstance(step.action, PutFile) and step.action.role == "key"
    )
    made.do(*steps[: steps.index("services") + 1]).do(key.id)

    plan = made.back().plan
    assert isinstance(key.action, PutFile)
    assert [step.action.file for step in plan.steps if isinstance(step.action, RestoreFile)] == [key.action.file]
    assert changes(plan) == []


def test_killed_in_the_middle_of_a_file(new: Generation, aged: Generation) -> None:
    """A file that was overwritten in part is brought back, whatever is in it."""
    made = ran(fixed(new, aged))
    steps = [step.id for step in made.planned.plan.steps]
    crt = next(
        step for step in made.planned.plan.steps if isinstance(step.action, PutFile) and step.action.role != "key"
    )
    assert isinstance(crt.action, PutFile)
    made.do(*steps[: steps.index("services") + 1]).begin(crt.id).write("core1", crt.action.file, b"-----BEG")

    plan = made.back().plan
    assert plan.refusals == ()
    assert [step.action.file for step in plan.steps if isinstance(step.action, RestoreFile)] == [crt.action.file]


def test_it_loaded_what_was_put_under_it(new: Generation, aged: Generation) -> None:
    """A service that came up by itself on the new file has to load the old one."""
    made = ran(fixed(new, aged))
    steps = [step.id for step in made.planned.plan.steps]
    made.do(*steps[: steps.index("services") + 1]).do(*puts_of(made))
    assert changes(made.back().plan) == []

    made.show("core1", served={**made.now["core1"].served, "webadmin": Known((new.cluster.certificate,))})
    assert changes(made.back().plan) == [("core1", "webadmin")]


def test_somebody_overwrote_it_since(new: Generation, aged: Generation) -> None:
    """A file with bytes that are neither old nor new was changed since; one that cannot be read is named."""
    made = ran(fixed(new, aged)).do()
    name = next(name for name in copies(made) if name.endswith(".crt"))

    assert "changed-since" in guards(made.write("core1", name).back().plan)
    made.show("core1", contents={**made.now["core1"].contents, name: Unread("it hung up")})
    assert ("core1", f"{name}: it could not be read") in made.back().plan.unread


def test_a_key_that_the_journal_tells_is_back(new: Generation, aged: Generation) -> None:
    """Keys are not read: the journal tells that one was taken back, or its certificate does."""
    made = ran(fixed(new, aged)).do()
    first = made.back()
    made.now = after(made.now, first)
    assert made.back().plan.steps == ()
    made.outcomes.update(dict.fromkeys(puts_of(made), "undone"))
    made.show("core1", matches={})
    assert made.back().plan.steps == ()


def test_used_by_another_service_since(new: Generation, aged: Generation) -> None:
    """A file that another service uses since the run is not overwritten under it without a word."""
    made = ran(fixed(new, aged)).do()
    bound = made.now["core1"].screen("webadmin")
    assert isinstance(bound, Known)
    made.bind("core1", replace(bound.value.binding("webadmin"), slot="turn"))

    assert set(guards(made.back().plan)) == {"shared-file"}
    made.more["seen"] = frozenset()
    assert made.back().plan.refusals == ()


def shared(new: Generation, old: Generation) -> Ran:
    """Two servers with fixed names, whose call bridges and XMPP servers share files and trust each other's leaves."""
    fleet = ToyFleet()
    for name in CORES:
        core = fleet.server(name, "2.9")
        wanted = new.material(f"node:{name}", naming="fixed")
        for slot in ("callbridge", "xmpp"):
            core.wanted[slot] = identity(slot, wanted, new.corp)
            core.hold(slot, (old.nodes[name].certificate,), bundle=new.ca.bundle)
            core.bound[slot] = replace(core.bound["callbridge"], slot=slot)
        for slot in ("callbridge/trust-cluster", "xmpp/trust-cluster"):
            leaves = Bundle(name="leaves", certificates=tuple(new.nodes[each].certificate for each in CORES))
            core.wanted[slot] = trusting(slot, leaves, leaves_of=slot.partition("/")[0])
            core.trust(slot, tuple(old.nodes[each].certificate for each in CORES))
    return ran(fleet)


def test_two_services_and_their_trust(new: Generation, old: Generation) -> None:
    """Files come back after the last restart on what they hold now, and before the first on what they held before."""
    made = shared(new, old).do()

    steps = made.back().plan.steps
    assert same(made.taken_back(), made.before)
    for name in CORES:
        mine = [step for step in steps if step.server == name]
        restores = [at for at, step in enumerate(mine) if isinstance(step.action, RestoreFile)]
        loads = [at for at, step in enumerate(mine) if {"callbridge", "xmpp"} & set((step.slot or "").split(", "))]
        trusts = [at for at, step in enumerate(mine) if "trust" in (step.slot or "") and at not in loads]
        assert any(at < min(restores) for at in trusts)
        assert max(restores) < min(loads)


def until(made: Ran, server: str, slot: str) -> Ran:
    """Carry everything out that stands in front of a step."""
    steps = made.planned.plan.steps
    at = next(
        number
        for number, step in enumerate(steps)
        if step.server == server and step.slot == slot and isinstance(step.action, Rebind | Restart)
    )
    return made.do(*(step.id for step in steps[:at]))


def test_a_service_whose_turn_had_not_come(new: Generation, old: Generation) -> None:
    """Files come back before a service is restarted that has not loaded the new ones; its trust goes back after it."""
    made = until(shared(new, old), "core1", "xmpp")

    mine = [step for step in made.back().plan.steps if step.server == "core1"]
    restores = [at for at, step in enumerate(mine) if isinstance(step.action, RestoreFile)]
    xmpp = [at for at, step in enumerate(mine) if "xmpp" in (step.slot or "")]
    assert same(made.taken_back(), made.before)
    assert restores
    assert max(restores) < min(xmpp)


def test_a_torn_pair_comes_first(new: Generation, old: Generation) -> None:
    """While a key and a certificate under a service do not fit, nothing on that server is restarted."""
    made = until(shared(new, old), "core1", "xmpp")
    bound = made.now["core1"].screen("xmpp")
    assert isinstance(bound, Known)
    pair = (bound.value.binding("xmpp").key, bound.value.binding("xmpp").certificate)
    made.show("core1", matches={**made.now["core1"].matches, pair: Known(value=False)})

    mine = [step for step in made.back().plan.steps if step.server == "core1"]
    restores = [at for at, step in enumerate(mine) if isinstance(step.action, RestoreFile)]
    assert max(restores) < min(at for at, step in enumerate(mine) if isinstance(step.action, Rebind | Restart))


def test_a_port_tells_of_overwritten_files_too(new: Generation, aged: Generation) -> None:
    """A call bridge that shows its old leaf, on files that are as before, has loaded them."""
    made = ran(fixed(new, aged, "callbridge"))
    made.begin(made.step("callbridge", "core1", "restart").id)
    made.outcomes.update(dict.fromkeys(puts_of(made), "undone"))

    assert made.back().plan.steps == ()


def test_a_copy_is_made_once(new: Generation, aged: Generation) -> None:
    """Back and forth again: a copy that is in the store already is not made a second time."""
    made = ran(fixed(new, aged)).do()
    for _ in range(2):
        made = made.again().do()

    assert not any(isinstance(step.action, SaveFile) for step in made.back().plan.steps)
    assert same(made.taken_back(), made.fleet.observed())


def test_files_are_as_before_and_the_service_is_not(new: Generation, old: Generation) -> None:
    """Any restart loads files that are back already, so the first one binds what belongs to them."""
    fleet = fixed(new, old, "callbridge")
    core = fleet.server("core1")
    core.hold("callbridge", (old.cluster.certificate,), bundle=old.ca.bundle)
    core.wanted["callbridge/trust-c2w"] = trusting("callbridge/trust-c2w", new.corp)
    core.trust("callbridge/trust-c2w", old.ca.bundle)
    edge = fleet.server("edge1")
    edge.wanted["webbridge3/c2w"] = identity("webbridge3/c2w", new.material("node:edge1"))
    edge.hold("webbridge3/c2w", old.nodes["edge1"].certificate and (old.nodes["edge1"].certificate, *old.ca.bundle))
    made = ran(fleet).do()
    assert len([step for step in made.planned.plan.steps if step.server == "core1" and step.disturbs]) == 2
    assert same(made.taken_back(), made.before)
    held = dict(made.before["core1"].contents)
    made.show("core1", contents={**made.now["core1"].contents, **held})
    made.outcomes.update(dict.fromkeys(puts_of(made), "undone"))

    plan = made.back().plan
    mine = [step for step in plan.steps if step.server == "core1" and isinstance(step.action, Rebind | Restart)]
    assert isinstance(mine[0].action, Rebind)
    assert {binding.slot for binding in mine[0].action.bindings} == {"callbridge", "callbridge/trust-c2w"}
    assert same(made.taken_back(), made.before)


# Guards


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


# Notices


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


# Order


def test_trust_of_tls_is_loaded_by_the_call_bridge(new: Generation, old: Generation) -> None:
    """One restart of a call bridge takes both back; alone, the trust brings its own restart."""
    fleet = bridged(new, old, "core1", "core2")
    made = ran(fleet).do()

    plan = made.back().plan
    assert restarts(made.planned.plan) == ["core1", "core2"]
    assert restarts(plan) == ["core2", "core1"]
    assert same(made.taken_back(), made.before)
    for name in CORES:
        step = made.step("callbridge", name)
        assert isinstance(step.undo, Rebind)
        made.bind(name, *step.undo.bindings, loaded=True)
    assert restarts(made.back().plan) == ["core2", "core1"]


def test_tls_of_a_stopped_service(new: Generation, old: Generation) -> None:
    """What was bound for a restart that never came is taken back with a restart of its own."""
    made = ran(bridged(new, old, "core1"))
    tls = next(step for step in made.planned.plan.steps if "tls" in (step.slot or ""))
    made.do(tls.id)

    assert restarts(made.back().plan) == ["core1"]


def test_web_administration_that_somebody_checks(new: Generation, old: Generation) -> None:
    """Where an uploader trusts web administration, its trust keeps its place around it."""
    fleet = cluster(new, old)
    core = fleet.server("core1")
    core.wanted["uploader/trust-cms"] = trusting("uploader/trust-cms", new.corp)
    core.trust("uploader/trust-cms", old.ca.bundle)
    made = ran(fleet).do()

    order = changes(made.back().plan)
    trust = [at for at, place in enumerate(order) if place == ("core1", "uploader/trust-cms")]
    webadmin = order.index(("core1", "webadmin"))
    others = [at for at, (server, slot) in enumerate(order) if server == "core1" and slot == "callbridge"]
    assert min(trust) < webadmin < max(trust)
    assert max(others) < webadmin
    assert same(made.taken_back(), made.before)


def test_links_go_through_what_is_not_taken_back(new: Generation, aged: Generation) -> None:
    """Two call bridges go back one after the other although the one between them is as before already."""
    made = ran(bridged(new, aged, "core1", "core2", "edge1")).do()
    between = made.step("callbridge", "core2")
    assert isinstance(between.undo, Rebind)
    made.bind("core2", *between.undo.bindings, loaded=True)

    first, second = (step for step in made.back().plan.steps if step.slot == "callbridge")
    assert (first.server, second.server) == ("edge1", "core1")
    assert first.id in second.after


# What is read for it


def test_looking(new: Generation, aged: Generation) -> None:
    """Slots of the run are looked at with what was bound; the inventory says where, the run says which tag."""
    made = ran(fixed(new, aged)).do()
    desired = made.desired
    place = LookedAt(slot="webadmin", address="10.9.9.9", port=8443, tag="x")
    other = LookedAt(slot="turn", port=1)
    server = replace(desired.servers[0], looked_at=(place, other))
    (seen,) = looking(made.past, replace(desired, servers=(server,))).servers
    by_slot = {each.slot: each for each in seen.looked_at}

    assert by_slot["turn"] == other
    assert (by_slot["webadmin"].address, by_slot["webadmin"].port, by_slot["webadmin"].tag) == ("10.9.9.9", 8443, "x")
    names = {name for binding in by_slot["webadmin"].bindings for name in binding.files}
    assert set(copies(made).values()) <= names
    assert not by_slot["webadmin"].answered


def test_what_answered_must_answer_again(new: Generation, aged: Generation) -> None:
    """The port of a service that the run left unproven must answer once it is started, if it did before."""
    made, step = cycled(new, aged)
    made.begin(step.id)
    seen = looking(made.past, made.desired).server("edge1")

    assert {each.slot for each in seen.looked_at if each.answered} == {"webbridge3/https", "webbridge3/c2w"}


def test_tags_of_the_run_count(new: Generation, old: Generation) -> None:
    """The tag that the run bound is looked at."""
    made = ran(legacy(new, old)).do()
    seen = {each.slot: each for each in looking(made.past, made.desired).server("edge1").looked_at}

    assert seen["loadbalancer"].tag == "edge"


def test_trails_know_slots_without_a_way_back() -> None:
    """A step without a way back on names says nothing about them."""
    step = Step(
        id="1",
        server="core1",
        slot="turn",
        action=Rebind(service="turn", bindings=(Binding(slot="turn", key="a", certificate="b"),)),
        because=(),
        undo=Restart(service="turn"),
    )
    state = ServiceState(service="turn", enabled=True)
    past = Past(run=RUN, plan=replace(empty(), steps=(step,)), outcomes={"1": "done"})
    fleet = ToyFleet()
    fleet.server("core1").overrides["screens"] = {"turn": Known(state)}
    plan = make_rollback(past, fleet.observed(), fleet.desired(), table=SERVICES, moment=MOMENT, tool_version="0").plan

    assert plan.steps == ()
    assert past.changed() == frozenset[Place]({("core1", "turn")})
    assert same_files(Binding(slot="a"), Binding(slot="b"))


def empty() -> Plan:
    """Return a plan without steps."""
    return Plan(made_at=MOMENT, tool_version="0", fleet="toy", inventory_sha256="0" * 64, basis={})
