"""A service that a run touched, as it is now: how far the run's steps are in force, and what has to be loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cmscert.model.observed import Binding, ServiceState
from cmscert.model.readings import Absent, Known
from cmscert.model.services import Service
from cmscert.model.unfinished import Touched
from cmscert.pki.certificate import Certificate
from cmscert.planning.past import Overwritten, Past, Switch, Trail, overwritten
from cmscert.planning.sight import Sight

Chain = tuple[Certificate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """One service on one server.

    ``switches``: the run's steps on it. ``trails`` and ``at``: by slot, what they bound, and how many of them are in
    force. ``strange``: slots that hold what the run never bound. ``broken``: by slot, why it could not have been loaded
    before the run. ``restored``: by name, files that are to be brought back.
    """

    past: Past
    sight: Sight
    row: Service
    state: ServiceState
    switches: tuple[Switch, ...]
    trails: Mapping[str, Trail]
    at: Mapping[str, int]
    strange: frozenset[str]
    broken: Mapping[str, str]
    restored: Mapping[str, Overwritten] = field(default_factory=dict)

    @property
    def left(self) -> Touched | None:
        """What the run, or a later one, left unproven after it had begun to stop or restart the service."""
        left = self.past.left.get((self.sight.name, self.row.name))
        return left if left is not None and left.switched else None

    @property
    def stopped_by_run(self) -> bool:
        """Whether it is a run that left the service stopped."""
        return self.state.enabled is False and self.left is not None and self.left.running is not False

    @property
    def stays_stopped(self) -> bool:
        """Whether somebody else stopped the service."""
        return self.state.enabled is False and not self.stopped_by_run

    @property
    def hopeless(self) -> str | None:
        """Say why the service would not start on what it held before the run; None when it would, or need not."""
        for slot in self.slots:
            brought_back = self.restored.keys() & set(self.state.binding(slot).files)
            if not self.at.get(slot) and not self.stopped_by_run and not brought_back:
                continue
            if slot in self.broken:
                return f"{slot} was broken before run {self.past.run} ({self.broken[slot]})"
        return None

    @property
    def slots(self) -> tuple[str, ...]:
        """The slots that the run changed."""
        return tuple(dict.fromkeys(slot for each in self.switches for slot in each.slots))

    @property
    def must_load(self) -> bool:
        """Whether a service that runs, on the names of before, has to load them once more; a port tells best."""
        begun = any(each.step.id in self.past.outcomes for each in self.switches)
        if not begun or self.state.enabled is False or any(self.at.values()) or self.restored:
            return False
        shown = dict(self._shown())
        if any(bound and served[:1] != bound[:1] for served, bound in shown.values()):
            return True
        if self.left is not None and self.silent:
            return True
        if self.left is None or self.row.via == "cycle":
            return False  # what was off, has the names of before and is on again has loaded them
        return not any(self._rotated(slot) for slot, (_, bound) in shown.items() if bound)

    @property
    def silent(self) -> bool:
        """Whether the service is on, and a port of it answered before the run and does not now."""
        answered = [slot.name for slot in self.row.slots if (self.sight.name, slot.name) in self.past.answered]
        silent = any(isinstance(self.sight.observed.served.get(slot), Absent) for slot in answered)
        return silent and self.state.enabled is not False

    def number(self, switch: Switch, slot: str) -> int:
        """Return how many steps are in force on a slot once this one is done; 0 where it does not bind the slot."""
        trail = self.trails.get(slot)
        return trail.number(switch.step) if trail is not None else 0

    def in_force(self, switch: Switch) -> list[str]:
        """Return the slots on which a step is in force."""
        return [slot for slot in switch.slots if 0 < self.number(switch, slot) <= self.at[slot]]

    def about_to_bind(self, switch: Switch) -> list[str]:
        """Return the slots on which a step is in force, or is the next one."""
        return [slot for slot in switch.slots if 0 < self.number(switch, slot) <= self.at[slot] + 1]

    def files_under(self, switch: Switch) -> tuple[Overwritten, ...]:
        """Return the files to be brought back that a step made the service load."""
        files = tuple(self.restored[each.file] for each in switch.restores if each.file in self.restored)
        return files if switch.step.id in self.past.outcomes or self.has_loaded(switch) else ()

    def before(self, switch: Switch, slot: str) -> Binding:
        """Return what was bound to a slot before a step."""
        return self.trails[slot].names[self.number(switch, slot) - 1]

    def after(self, switch: Switch, slot: str) -> Binding:
        """Return what was bound to a slot after a step; after the last one, what is bound now."""
        trail, number = self.trails[slot], self.number(switch, slot)
        strange = slot in self.strange and number == len(trail.steps)
        return self.state.binding(slot) if strange else trail.names[number]

    def former(self, slot: str) -> Chain:
        """Return what the certificate file of a slot held before the run, as far as that can be read."""
        trail = self.trails.get(slot)
        binding = trail.names[0] if trail is not None else self.state.binding(slot)
        return held_before(self.sight, binding.certificate, self.restored)

    def _shown(self) -> Iterator[tuple[str, tuple[Chain, Chain]]]:
        """Yield the slots that a port tells about: what is served, and what the bound file holds."""
        for slot in self.slots:
            served = self.sight.observed.served.get(slot)
            if isinstance(served, Known):
                yield slot, (served.value, self.sight.certificates(self.state.binding(slot).certificate))

    def _rotated(self, slot: str) -> bool:
        """Tell whether the run gave a slot another leaf, so that its port shows which one is loaded."""
        trail = self.trails.get(slot)
        if trail is None:
            return any(each.file == self.state.binding(slot).certificate for each in overwritten(self.past))
        first, last = (self.sight.certificates(names.certificate)[:1] for names in (trail.names[0], trail.names[-1]))
        return bool(first) and bool(last) and first != last

    def has_loaded(self, switch: Switch) -> bool:
        """Tell whether a service came up on overwritten files: it shows another leaf than before, or nothing."""
        if not switch.restores:
            return False
        if self.silent:
            return True
        shown = {slot: served for slot, (served, _) in self._shown() if slot in switch.slots}
        formers = {slot: self.former(slot) for slot in shown}
        return any(formers[slot] and served[:1] != formers[slot][:1] for slot, served in shown.items())


def held_before(sight: Sight, file: str | None, restored: Mapping[str, Overwritten]) -> Chain:
    """Return what a file held before the run: where it was overwritten, its copy tells."""
    copied = restored.get(file or "")
    return sight.certificates(file if copied is None else copied.copy)
