"""A toy fleet on which a run was carried out, to any point, so that it can be taken back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256

from cmscert.mmp.services import SERVICES
from cmscert.mmp.typed import typed
from cmscert.model.desired import Desired, Policy
from cmscert.model.events import Outcome
from cmscert.model.names import service_of
from cmscert.model.observed import Binding, ObservedServer, StoredFile
from cmscert.model.plan import (
    Plan,
    PutFile,
    Rebind,
    Restart,
    SaveFile,
    Step,
)
from cmscert.model.readings import ABSENT, Known
from cmscert.model.unfinished import Touched
from cmscert.planning.make import Planned
from cmscert.planning.past import Past, looking
from cmscert.planning.predict import predict
from cmscert.planning.rollback import make_rollback
from cmscert.testing.fleets import MOMENT, ToyFleet, identity

from .conftest import Generation, after, cluster, plan_of

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


def cycled(new: Generation, aged: Generation) -> tuple[Ran, Step]:
    """A run that is about to change a web bridge."""
    made = ran(cluster(new, aged))
    step = made.step("webbridge3/https", "edge1")
    return made.do(*(each.id for each in made.planned.plan.steps[: made.planned.plan.steps.index(step)])), step


def copies(made: Ran) -> dict[str, str]:
    """Return the copies that the run made, by file."""
    return {
        step.action.file: step.action.saved_as for step in made.planned.plan.steps if isinstance(step.action, SaveFile)
    }


def puts_of(made: Ran) -> list[str]:
    """Return the ids of what comes before the first file is overwritten, and of the overwriting, in order."""
    steps = made.planned.plan.steps
    return [step.id for step in steps if isinstance(step.action, PutFile) and step.action.overwrites]
