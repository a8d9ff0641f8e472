"""How far back: what a run bound and overwrote, against what is there now, service by service.

What is as before the run stays as it is. What is as the run left it is taken back. Everything else was changed since:
that is refused by name, and taken back too where a person lifts that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from cmscert.model.observed import Binding, ServiceState, StoredFile
from cmscert.model.plan import Drift, PutFile, RestoreFile, Step
from cmscert.model.readings import Absent, Known, Reading, Unread
from cmscert.planning.notices import BROKEN
from cmscert.planning.past import Overwritten, Past, Place, Switch, Trail, is_key, overwritten, put, switches, trails
from cmscert.planning.sight import Sight
from cmscert.planning.stand import Stand
from cmscert.planning.words import names, summary

Content = Literal["before", "left", "other", "unread"]
"""What a file holds that the run overwrote: what it held before, what the run put there, something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Back:
    """A step of the run that is to be taken back.

    ``bindings``: as before that step; ``undo``: as after it. ``files``: what it overwrote and is restored first.
    ``pairs``: the keys and certificates that its service loads then, by the names bound. ``stopped``: the service is
    stopped, and stays so.
    """

    switch: Switch
    bindings: tuple[Binding, ...]
    undo: tuple[Binding, ...]
    files: tuple[Overwritten, ...] = ()
    pairs: tuple[Binding, ...] = ()
    stopped: bool = False
    because: tuple[str, ...] = ()

    @property
    def step(self) -> Step:
        """The step of the run."""
        return self.switch.step


@dataclass(slots=True, kw_only=True)
class Retraced:
    """What is to be taken back, and what is in the way.

    ``backs``: newest first. ``restored``: files to bring back, by (server, file). ``changed``: server, and what was
    changed there since. ``hopeless``: server, and which service cannot go back. ``unread``: (server, why). ``stopped``:
    services that stay stopped, and ``silent``: those whose ports have to answer again, as (server, service).
    """

    backs: list[Back] = field(default_factory=list)
    restored: dict[Place, Overwritten] = field(default_factory=dict)
    changed: list[tuple[str, str]] = field(default_factory=list)
    hopeless: list[tuple[str, str]] = field(default_factory=list)
    unread: list[tuple[str, str]] = field(default_factory=list)
    drift: list[Drift] = field(default_factory=list)
    stopped: list[Place] = field(default_factory=list)
    silent: list[Place] = field(default_factory=list)


def retrace(past: Past, sights: Mapping[str, Sight]) -> Retraced:
    """Compare what a run left with what is there. ``sights``: of every server that the run touched."""
    found = Retraced()
    steps = _Steps.of(past)
    for server in past.servers:
        sight = sights[server]
        blind = _blind(sight)
        found.unread += [(server, why) for why in blind]
        if blind:
            continue
        _retrace_files(past, sight, steps.files.get(server, []), found)
        stands = [
            stand for service in steps.switches.get(server, ()) for stand in _stand(past, sight, service, steps, found)
        ]
        for stand in sorted(stands, key=lambda stand: stand.hopeless is None):
            _retrace_service(stand, found, steps.puts)
    position = {step.id: number for number, step in enumerate(past.plan.steps)}
    found.backs.sort(key=lambda back: -position[back.step.id])
    return found


@dataclass(slots=True, kw_only=True)
class _Steps:
    """What the run did, sorted once: by server, and switches by service, trails by slot."""

    switches: dict[str, dict[str, list[Switch]]] = field(default_factory=dict)
    trails: dict[str, dict[str, Trail]] = field(default_factory=dict)
    files: dict[str, list[Overwritten]] = field(default_factory=dict)
    broken: dict[str, dict[str, str]] = field(default_factory=dict)
    puts: Mapping[Place, str]

    @classmethod
    def of(cls, past: Past) -> _Steps:
        """Sort a run."""
        steps = cls(puts=put(past))
        for switch in switches(past):
            of_server = steps.switches.setdefault(switch.step.server, {})
            of_server.setdefault(switch.action.service, []).append(switch)
        for (server, slot), trail in trails(past).items():
            steps.trails.setdefault(server, {})[slot] = trail
        for each in overwritten(past):
            steps.files.setdefault(each.step.server, []).append(each)
        for drift in past.plan.drift:
            if drift.reason in BROKEN and drift.slot is not None:
                steps.broken.setdefault(drift.server, {})[drift.slot] = drift.reason
        return steps


def _blind(sight: Sight) -> tuple[str, ...]:
    observed = sight.observed
    if isinstance(observed.reached, Unread):
        return (observed.reached.why,)
    why = [] if sight.release is not None else ["release: the server does not tell it"]
    if not isinstance(observed.files, Known):
        why.append(f"list of files: {observed.files.why if isinstance(observed.files, Unread) else 'there is none'}")
    return tuple(why)


def _retrace_files(past: Past, sight: Sight, mine: list[Overwritten], found: Retraced) -> None:
    """Find the overwritten files that do not hold what they held before."""
    held = {each.file: _public(past, sight, each) for each in mine if not is_key(each.file)}
    for each in mine:
        content = _key(past, sight, each, held) if is_key(each.file) else held[each.file]
        if content == "unread":
            found.unread.append((sight.name, f"{each.file}: it could not be read"))
        elif content == "other":
            message = f"{each.file} holds neither what it held before run {past.run} nor what that run put there"
            found.changed.append((sight.name, message))
        if content in ("left", "other"):
            found.restored[each.place] = each


def _public(past: Past, sight: Sight, each: Overwritten) -> Content:
    now, action = sight.file(each.file), each.step.action
    if isinstance(now, Unread):
        return "unread"
    sha256 = _sha256(now)
    before = _sha256(sight.file(each.copy)) or past.held.get(each.place)
    left = action.content.removeprefix("sha256:") if isinstance(action, PutFile) else None
    if isinstance(action, RestoreFile):
        left = _sha256(sight.file(action.saved_as))
    if sha256 is not None and sha256 == before:
        return "before"
    # An upload that nobody proved may have left a part of the file.
    return "left" if sha256 == left or each.place in past.torn else "other"


def _key(past: Past, sight: Sight, each: Overwritten, held: Mapping[str, Content]) -> Content:
    """A key is never read: it is the old one when it belongs to a certificate file that is the old one again."""
    if past.outcomes.get(each.step.id) == "undone":
        return "before"
    matches = sight.observed.matches.items()
    mine = [certificate for (key, certificate), match in matches if key == each.file and match == Known(value=True)]
    return "before" if any(held.get(certificate) == "before" for certificate in mine) else "left"


def _sha256(reading: Reading[StoredFile]) -> str | None:
    return reading.value.sha256 if isinstance(reading, Known) else None


def _stand(past: Past, sight: Sight, service: str, steps: _Steps, found: Retraced) -> list[Stand]:
    own, known = tuple(steps.switches[sight.name][service]), steps.trails.get(sight.name, {})
    screen, row = sight.observed.screen(service), sight.rows.get(service)
    if isinstance(screen, Unread):
        found.unread.append((sight.name, f"{service}: {screen.why}"))
        return []
    slots = {slot for each in own for slot in each.slots}
    if isinstance(screen, Absent) or row is None or not all(map(row.slot, slots)):
        message = f"release {sight.release} does not know all of {service} that the run bound: it stays as it is"
        found.changed.append((sight.name, message))
        return []
    mine = {slot: trail for slot, trail in known.items() if slot in slots}
    reached = {slot: _reached(past, screen.value, slot, trail) for slot, trail in mine.items()}
    stand = Stand(
        past=past,
        sight=sight,
        row=row,
        state=screen.value,
        switches=own,
        trails=mine,
        at={slot: len(mine[slot].steps) if at is None else at for slot, at in reached.items()},
        strange=frozenset(slot for slot, at in reached.items() if at is None),
        broken=steps.broken.get(sight.name, {}),
        restored=_restored(found, sight.name),
    )
    return [stand]


def _retrace_service(stand: Stand, found: Retraced, puts: Mapping[Place, str]) -> None:
    """Find what is taken back of one service. Those that cannot go back come first: their files stay as well."""
    server = stand.sight.name
    if stand.hopeless is not None:
        starts = ", and it is stopped: apply instead, which starts it" if stand.stopped_by_run else ""
        message = f"{stand.row.name} stays as run {stand.past.run} left it: {stand.hopeless}{starts}"
        found.hopeless.append((server, message))
        for switch in stand.switches:
            for each in switch.restores:
                found.restored.pop((server, each.file), None)
        return
    stand = replace(stand, restored=_restored(found, server))
    backs = _joined(stand, list(_backs(stand)))
    found.changed += [(server, message) for message in _changed(stand, puts)]
    found.backs += backs
    found.drift += _drift(stand, backs)
    if stand.stays_stopped:
        found.stopped.append((server, stand.row.name))
    if stand.silent and stand.left is not None and backs:
        found.silent.append((server, stand.row.name))


def _restored(found: Retraced, server: str) -> dict[str, Overwritten]:
    return {file: each for (name, file), each in found.restored.items() if name == server}


def _reached(past: Past, state: ServiceState, slot: str, trail: Trail) -> int | None:
    """Say how many steps are in force on a slot; where the screen does not show it, the journal has to tell."""
    found = state.binding(slot)
    if slot in state.untold and not found.files:
        return sum(past.outcomes[step] != "undone" for step in trail.steps)
    return trail.reached(found)


def _changed(stand: Stand, puts: Mapping[Place, str]) -> Iterator[str]:
    past, server = stand.past, stand.sight.name
    for slot in sorted(stand.strange):
        others = [run for run, slots in past.later if (server, slot) in slots]
        since = f": run {others[-1]} changed it since, take that one back first" if others else ""
        bound = ", ".join(stand.state.binding(slot).files) or "nothing"
        yield f"{slot} is bound to {bound}, neither as before run {past.run} nor as that run left it{since}"
    for slot in sorted(slot for slot, at in stand.at.items() if at and slot not in stand.strange):
        for file in stand.state.binding(slot).files:
            now = _sha256(stand.sight.file(file))
            if now is not None and puts.get((server, file), f"sha256:{now}") != f"sha256:{now}":
                yield f"{slot}: {file} holds other bytes than run {past.run} put there"


def _backs(stand: Stand) -> list[Back]:
    """Return the steps that are taken back, newest first."""
    found: list[Back] = []
    for switch in reversed(stand.switches):
        slots, files = stand.in_force(switch), stand.files_under(switch)
        loads = bool(files or stand.has_loaded(switch)) and not stand.stays_stopped
        if slots or loads:
            if stand.left is not None and not found:
                slots = stand.about_to_bind(switch)  # all of them: a part may be old and a part new
            found.append(_back(stand, switch, slots, files))
    if not found and (stand.stopped_by_run or stand.must_load):
        found.append(_wake(stand))
    return found


def _back(stand: Stand, switch: Switch, slots: list[str], files: tuple[Overwritten, ...]) -> Back:
    run = stand.past.run
    because = [f"{slot}: run {run} bound it in step {switch.step.id}" for slot in slots]
    because += [f"{each.file}: run {run} overwrote it in step {each.step.id}" for each in files]
    return Back(
        switch=switch,
        bindings=tuple(stand.before(switch, slot) for slot in slots),
        undo=tuple(stand.after(switch, slot) for slot in slots),
        files=files,
        pairs=tuple(_pairs(stand, switch, slots, files)),
        stopped=stand.stays_stopped,
        because=tuple(because) or (f"{stand.row.name}: it does not show what it held before run {run}",),
    )


def _wake(stand: Stand) -> Back:
    """Let a service on the names of before load them, and run."""
    names = [stand.trails[slot].names for slot in stand.slots if slot in stand.trails]
    unproven = f"{stand.row.name}: nothing proves that it has loaded what is bound"
    stopped = f"{stand.row.name}: run {stand.left.run if stand.left else stand.past.run} stopped it"
    return Back(
        switch=stand.switches[-1],
        bindings=tuple(each[0] for each in names),
        undo=tuple(each[0] for each in names),
        pairs=tuple(each[0] for each in names if each[0].key and each[0].certificate),
        because=(stopped if stand.stopped_by_run else unproven,),
    )


def _joined(stand: Stand, backs: list[Back]) -> list[Back]:
    """Let the first restart bind what a service needs for files that are as before already: any restart loads them."""
    stale = [back for back in backs[1:] if not back.files and stand.has_loaded(back.switch)]
    if not stale:
        return backs
    together = [backs[0], *stale]
    bound = {binding.slot: binding for back in together for binding in back.bindings}
    undone = {binding.slot: binding for back in reversed(together) for binding in back.undo}
    first = replace(
        backs[0],
        bindings=tuple(bound[slot] for slot in sorted(bound)),
        undo=tuple(undone[slot] for slot in sorted(bound)),
        pairs=tuple(dict.fromkeys(pair for back in together for pair in back.pairs)),
        because=tuple(dict.fromkeys(reason for back in together for reason in back.because)),
    )
    return [first, *(back for back in backs[1:] if back not in stale)]


def _pairs(stand: Stand, switch: Switch, slots: list[str], files: tuple[Overwritten, ...]) -> Iterator[Binding]:
    brought_back = {each.file for each in files}
    for slot in switch.slots:
        bound = stand.before(switch, slot) if slot in slots else stand.state.binding(slot)
        if bound.key and bound.certificate and (slot in slots or brought_back & set(bound.files)):
            yield bound


def _drift(stand: Stand, backs: list[Back]) -> Iterator[Drift]:
    server, run, service = stand.sight.name, stand.past.run, stand.row.name
    slots = dict.fromkeys(slot for back in backs for slot in back.switch.slots)
    differ = [slot for slot in slots if stand.at.get(slot) or set(stand.restored) & set(_files(stand, slot))]
    for slot in differ:
        wanted, found = _drawn(stand, slot, former=True), _drawn(stand, slot, former=False)
        yield Drift(server=server, slot=slot, reason="to-take-back", wanted=wanted, found=found, severity="notice")
    if not backs or differ:
        return
    if stand.stopped_by_run:
        by = stand.left.run if stand.left else run
        wanted, found = f"{service} runs, as before run {run}", f"stopped by run {by}, which did not start it again"
        yield Drift(server=server, slot=service, reason="stopped-by-run", wanted=wanted, found=found)
    else:
        wanted, found = f"{service} has loaded what is bound", f"nothing proves that it has since run {run}"
        yield Drift(server=server, slot=service, reason="load-unproven", wanted=wanted, found=found)


def _files(stand: Stand, slot: str) -> tuple[str, ...]:
    return stand.state.binding(slot).files


def _drawn(stand: Stand, slot: str, *, former: bool) -> str:
    """Put what a slot held, or holds, in words: the leaf of an identity, all of a trust."""
    trail = stand.trails.get(slot)
    binding = trail.names[0] if former and trail is not None else stand.state.binding(slot)
    if binding.certificate is None:
        held = stand.sight.certificates(binding.bundle)
        return f"{binding.bundle}: {names(held)}" if held else binding.bundle or "nothing"
    held = stand.former(slot) if former else stand.sight.certificates(binding.certificate)
    return f"{binding.certificate}: {summary(held[0])}" if held else binding.certificate
