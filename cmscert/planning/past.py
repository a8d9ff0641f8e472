"""A run as its journal tells it, and what it bound and overwrote on its way: what a rollback goes back along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from cmscert.model.desired import Desired, LookedAt, WantedServer
from cmscert.model.events import Outcome
from cmscert.model.names import service_of
from cmscert.model.observed import Binding, same_files
from cmscert.model.plan import CheckFiles, Plan, PutFile, Rebind, Restart, RestoreFile, Step
from cmscert.model.unfinished import Touched

Place = tuple[str, str]
"""(server, slot), (server, service) or (server, file)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """A run that is to be taken back.

    ``outcomes``: by id, for every step of which anything was sent, how it ended; None where the journal does not tell.
    ``seen``: servers that were read before the run; of these, ``held``: by (server, file), SHA-256 of public files;
    ``bound``: names by (server, slot); ``answered``: (server, slot) whose port did. ``kept``: by (server, file), the
    bytes of public files that the run's directory keeps. ``left``: by (server, service), what this run or a later one
    left unproven, and ``torn``: (server, file) of uploads that nobody proved. ``later``: the runs that came after it,
    oldest first, with the slots that each changed.
    """

    run: str
    plan: Plan
    outcomes: Mapping[str, Outcome | None]
    held: Mapping[Place, str] = field(default_factory=dict)
    bound: Mapping[Place, Binding] = field(default_factory=dict)
    seen: frozenset[str] = frozenset()
    answered: frozenset[Place] = frozenset()
    kept: Mapping[Place, bytes] = field(default_factory=dict)
    left: Mapping[Place, Touched] = field(default_factory=dict)
    torn: frozenset[Place] = frozenset()
    later: tuple[tuple[str, frozenset[Place]], ...] = ()

    @property
    def begun(self) -> tuple[Step, ...]:
        """The steps of which anything was sent, in the plan's order."""
        return tuple(step for step in self.plan.steps if step.id in self.outcomes)

    @property
    def servers(self) -> tuple[str, ...]:
        """The servers on which it may have changed services, or files in use, in the plan's order."""
        steps = (*(each.step for each in switches(self)), *(each.step for each in overwritten(self)))
        return tuple(dict.fromkeys(step.server for step in steps))

    def changed(self) -> frozenset[Place]:
        """Return the slots that it may have changed, as (server, slot)."""
        return frozenset((each.step.server, slot) for each in switches(self) for slot in each.slots)


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """A step of a run on a service, and the files under the service that its way back restores."""

    step: Step
    action: Rebind | Restart
    restores: tuple[RestoreFile, ...]

    @property
    def slots(self) -> tuple[str, ...]:
        """The slots of the step; one that is only loaded anew has no binding, but is named."""
        named = self.step.slot.split(", ") if self.step.slot else []
        bound = [binding.slot for binding in self.action.bindings] if isinstance(self.action, Rebind) else []
        return tuple(dict.fromkeys((*bound, *named)))

    @property
    def starts(self) -> bool:
        """Whether the step starts its service, or lets it load what is bound."""
        return not (isinstance(self.action, Rebind) and self.action.stopped)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overwritten:
    """A file in use that a step overwrote. ``copy``: where on the server what it held before is."""

    step: Step
    file: str
    copy: str

    @property
    def place(self) -> Place:
        """(server, file)."""
        return self.step.server, self.file


@dataclass(frozen=True, slots=True, kw_only=True)
class Trail:
    """What a run bound to one slot: ``names[0]`` was bound before it, ``names[n]`` after its n-th step there."""

    names: tuple[Binding, ...]
    steps: tuple[str, ...]

    def reached(self, found: Binding) -> int | None:
        """Say how many steps are in force; None when the run never bound what is found."""
        return next((at for at, names in enumerate(self.names) if same_files(names, found)), None)

    def number(self, step: Step) -> int:
        """Return how many steps are in force once this one is done; 0 for a step that does not bind the slot."""
        return self.steps.index(step.id) + 1 if step.id in self.steps else 0


def is_key(name: str) -> bool:
    """Tell whether a name is that of a private key, which is never read."""
    return name.lower().endswith(".key")


def switches(past: Past) -> tuple[Switch, ...]:
    """Return the steps on services that were begun, or under which a file was overwritten, in the plan's order."""
    touched = {each.place for each in overwritten(past)}
    found = []
    for step in past.plan.steps:
        if isinstance(step.action, Rebind | Restart):
            restores = step.undo.restores if isinstance(step.undo, Rebind | Restart) else ()
            if step.id in past.outcomes or any((step.server, each.file) in touched for each in restores):
                found.append(Switch(step=step, action=step.action, restores=restores))
    return tuple(found)


def overwritten(past: Past) -> tuple[Overwritten, ...]:
    """Return the files in use that the run overwrote, in the plan's order."""
    found = []
    for step in past.begun:
        overwrites = isinstance(step.action, RestoreFile) or (
            isinstance(step.action, PutFile) and step.action.overwrites
        )
        if overwrites and isinstance(step.undo, RestoreFile):
            found.append(Overwritten(step=step, file=step.undo.file, copy=step.undo.saved_as))
    return tuple(found)


def put(past: Past) -> dict[Place, str]:
    """Return, by (server, file), the content ids of the new files that the run uploaded."""
    uploads = ((step.server, step.action) for step in past.begun if isinstance(step.action, PutFile))
    return {(server, action.file): action.content for server, action in uploads if not action.overwrites}


def trails(past: Past) -> dict[Place, Trail]:
    """Return, by (server, slot), what the steps that were begun bound one after the other."""
    found: dict[Place, Trail] = {}
    for step in past.begun:
        if not isinstance(step.action, Rebind) or not isinstance(step.undo, Rebind):
            continue
        before = {binding.slot: binding for binding in step.undo.bindings}
        for binding in step.action.bindings:
            place = (step.server, binding.slot)
            trail = found.get(place) or Trail(names=(before.get(binding.slot, Binding(slot=binding.slot)),), steps=())
            found[place] = Trail(names=(*trail.names, binding), steps=(*trail.steps, step.id))
    return found


def looking(past: Past, desired: Desired) -> Desired:
    """Let the slots that a run touched be read, with the files that were bound before, wherever they are now."""
    seen: dict[Place, list[Binding]] = {place: [] for place in sorted(past.changed())}
    for place, trail in trails(past).items():
        seen[place].extend(trail.names)
    copies = {each.place: each.copy for each in overwritten(past)}
    pairs = _checked(past)
    by_server: dict[str, dict[str, list[Binding]]] = {}
    for (server, slot), bindings in seen.items():
        bindings.extend(replace(pair, slot=slot) for pair in pairs.get(server, ()))
        bindings.extend([as_copied(server, binding, copies) for binding in bindings])
        by_server.setdefault(server, {})[slot] = bindings
    answered = {place for place in past.answered if (place[0], service_of(place[1])) in past.left}
    servers = (_looking(server, by_server.get(server.name, {}), answered) for server in desired.servers)
    return replace(desired, servers=tuple(servers))


def as_copied(server: str, binding: Binding, copies: Mapping[Place, str]) -> Binding:
    """Return a binding of the copies of what was bound, under the names that a run gave to them."""

    def copy(name: str | None) -> str | None:
        return None if name is None else copies.get((server, name), name)

    return replace(binding, key=copy(binding.key), certificate=copy(binding.certificate), bundle=copy(binding.bundle))


def _looking(server: WantedServer, mine: Mapping[str, list[Binding]], answered: set[Place]) -> WantedServer:
    others = (each for each in server.looked_at if each.slot not in mine)
    touched = (_looked_at(server, slot, bindings) for slot, bindings in mine.items())
    seen = (replace(each, answered=(server.name, each.slot) in answered) for each in (*others, *touched))
    return replace(server, looked_at=tuple(seen))


def _looked_at(server: WantedServer, slot: str, bindings: list[Binding]) -> LookedAt:
    """Look where the inventory says, and at the tag that the run bound."""
    known = next((each for each in server.looked_at if each.slot == slot), LookedAt(slot=slot))
    tags = [binding.tag for binding in bindings if binding.tag is not None]
    return replace(
        known,
        tag=tags[-1] if tags else known.tag,
        bindings=tuple(dict.fromkeys(binding for binding in bindings if binding.files)),
    )


def _checked(past: Past) -> dict[str, list[Binding]]:
    """Return, by server, the pairs that the run let it check: a restart names no files, what was put before does."""
    found: dict[str, list[Binding]] = {}
    for step in past.plan.steps:
        if isinstance(step.action, CheckFiles):
            pair = Binding(slot="", key=step.action.key, certificate=step.action.certificate)
            found.setdefault(step.server, []).append(pair)
    return found
