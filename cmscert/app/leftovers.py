"""Goes through the journals of a fleet, oldest first, and keeps what is neither done nor undone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cmscert.apply.before import ServerBefore
from cmscert.apply.runs import RunRecord
from cmscert.mmp.services import SERVICES
from cmscert.mmp.typed import typed
from cmscert.model.events import CommandSent, StepEnded, StepStarted
from cmscert.model.observed import Binding
from cmscert.model.plan import FLEET, Plan, PutFile, Rebind, Restart, RestoreFile, SaveFile, Step
from cmscert.model.unfinished import Touched

Place = tuple[str, str]
_PROVEN = ("done", "undone")


@dataclass(slots=True, kw_only=True)
class Told:
    """What one run adds. ``at_steps``: the steps that it was in when it broke off. ``places``: what it touched."""

    at_steps: tuple[str, ...]
    places: frozenset[Place]


@dataclass(slots=True, kw_only=True)
class Leftovers:
    """What is open after the runs so far. ``saved`` and ``torn`` are by (server, file)."""

    touched: dict[Place, Touched] = field(default_factory=dict)
    saved: dict[Place, str] = field(default_factory=dict)
    torn: set[Place] = field(default_factory=set)

    def read(self, record: RunRecord, plan: Plan, before: Mapping[str, ServerBefore]) -> Told:
        """Go through one run. ``before``: what was observed before it, as far as that is known."""
        reading = _Reading(self, record.id, plan, before)
        under_way: dict[str, StepStarted] = {}
        for event in record.events:
            match event:
                case StepStarted():
                    under_way[event.step] = event
                case CommandSent():
                    reading.sent(event.step, undoing=event.step in under_way and under_way[event.step].undoing)
                case StepEnded():
                    under_way.pop(event.step, None)
                    reading.ended(event.step, event.outcome)
                case _:
                    pass
        at = (event for event in under_way.values() if event.server != FLEET)
        return Told(
            at_steps=tuple(f"step {event.step} on {event.server} ({_words(event)})" for event in at),
            places=frozenset(reading.places),
        )

    def settle(self, told: Told) -> None:
        """Forget what a run left that was settled."""
        for place in told.places:
            touched = self.touched.pop(place, None)
            for file in touched.files if touched is not None else ():
                self.saved.pop((place[0], file), None)


def _words(event: StepStarted) -> str:
    return f"{event.what}, on its way back" if event.undoing else event.what


class _Reading:
    """One run on its way through the leftovers."""

    def __init__(self, left: Leftovers, run: str, plan: Plan, before: Mapping[str, ServerBefore]) -> None:
        self.left = left
        self.run = run
        self.plan = plan
        self.before = before
        self.steps = {step.id: step for step in plan.steps}
        self.done: set[str] = set()
        self.places: set[Place] = set()

    def sent(self, name: str, *, undoing: bool) -> None:
        step = self.steps.get(name)
        if step is None:
            return
        self.left.torn.update((step.server, file) for file in _written(step, undoing=undoing))
        if isinstance(step.action, Rebind | Restart):
            self._touch(step, step, switched=True)
        elif isinstance(step.undo, RestoreFile):
            file = step.undo.file
            self.left.saved.setdefault((step.server, file), step.undo.saved_as)
            for user in self._users(step.server, file):
                self._touch(step, user, switched=False)

    def ended(self, name: str, outcome: str) -> None:
        step = self.steps.get(name)
        if step is None or outcome not in _PROVEN:
            return
        self.left.torn.difference_update((step.server, file) for file in _written(step, undoing=outcome == "undone"))
        if outcome == "done":
            self.done.add(name)
        if isinstance(step.action, Rebind | Restart):
            self.left.touched.pop((step.server, step.action.service), None)
            self._forget(step)
        elif outcome == "undone" and isinstance(step.undo, RestoreFile):
            self.left.saved.pop((step.server, step.undo.file), None)
            self._untouch(step.server)

    def _users(self, server: str, file: str) -> list[Step]:
        """Return the steps on services that load a file which this run overwrites."""
        return [step for step in self.plan.steps if step.server == server and file in _restored(step)]

    def _forget(self, step: Step) -> None:
        """A copy is of no use any more when every service has loaded what took its file's place."""
        for file in _restored(step):
            users = self._users(step.server, file)
            if all(user.id in self.done for user in users):
                self.left.saved.pop((step.server, file), None)

    def _untouch(self, server: str) -> None:
        """A service of which only files were overwritten is as before when they are."""
        for place, touched in list(self.left.touched.items()):
            files = [file for file in touched.files if (server, file) in self.left.saved]
            if place[0] == server and not touched.switched and not files:
                del self.left.touched[place]

    def _touch(self, at: Step, step: Step, *, switched: bool) -> None:
        action = step.action
        if not isinstance(action, Rebind | Restart):
            return
        place = (step.server, action.service)
        self.places.add(place)
        old = self.left.touched.get(place) or Touched(server=step.server, service=action.service, run="", step="")
        stopped = isinstance(action, Rebind) and action.stopped
        tags = _tags(action)
        served = self.before[step.server].served if step.server in self.before else {}
        slots = tuple(dict.fromkeys((*old.slots, *_slots(step))))
        self.left.touched[place] = Touched(
            server=step.server,
            service=action.service,
            run=self.run,
            step=at.id,
            running=not stopped or old.running is True,
            before={**old.before, **_before(step)},
            slots=slots,
            served={**old.served, **{slot: leaf for slot, leaf in served.items() if slot in slots}},
            switched=switched or (bool(old.run) and old.switched),
            files=tuple(dict.fromkeys((*old.files, *_restored(step)))),
            tags=tags or old.tags,
            by_hand=self._by_hand(Restart(service=action.service, tags=tags), step.server),
        )

    def _by_hand(self, action: Restart, server: str) -> tuple[str, ...]:
        try:
            return typed(action, server, self.plan, SERVICES)
        except ValueError:  # a journal of another release of this tool may name a service that this one does not know
            return ()


def _written(step: Step, *, undoing: bool) -> tuple[str, ...]:
    """Return the files that a step writes to, or its way back."""
    match step.undo if undoing else step.action:
        case PutFile(file=file) | RestoreFile(file=file):
            return (file,)
        case SaveFile(saved_as=copy):
            return (copy,)
        case Rebind(restores=restores) | Restart(restores=restores):
            return tuple(restore.file for restore in restores)
        case _:
            return ()


def _restored(step: Step) -> tuple[str, ...]:
    """Return the files that were overwritten under a service, and that its way back restores."""
    return tuple(each.file for each in step.undo.restores) if isinstance(step.undo, Rebind | Restart) else ()


def _slots(step: Step) -> tuple[str, ...]:
    """Return the slots that a step changes: with fixed names that may be one that stays bound to the same names."""
    named = step.slot.split(", ") if step.slot else []
    bound = (binding.slot for binding in step.action.bindings) if isinstance(step.action, Rebind) else ()
    return tuple(dict.fromkeys((*named, *bound)))


def _before(step: Step) -> dict[str, Binding]:
    return {binding.slot: binding for binding in step.undo.bindings} if isinstance(step.undo, Rebind) else {}


def _tags(action: Rebind | Restart) -> tuple[str, ...]:
    if isinstance(action, Restart):
        return action.tags
    return tuple(dict.fromkeys(binding.tag for binding in action.bindings if binding.tag is not None))
