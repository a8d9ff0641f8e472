"""From ordered changes to drafts of steps with links, impact and way back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from cmscert.model.desired import Bundle, Policy, WantedIdentity, WantedTrust
from cmscert.model.names import service_of
from cmscert.model.observed import Binding
from cmscert.model.plan import (
    FLEET,
    Action,
    CheckFiles,
    CopyFile,
    Gate,
    Impact,
    MintDatabase,
    PutFile,
    Rebind,
    Restart,
    RestoreFile,
    SaveFile,
    Undo,
)
from cmscert.model.readings import Known
from cmscert.model.services import IdentitySlot
from cmscert.pki.certificate import Certificate
from cmscert.planning.interrupted import Interruption, former
from cmscert.planning.peers import Place
from cmscert.planning.sight import Sight
from cmscert.planning.stages import Change, Part, Staged
from cmscert.planning.targets import LOADED_ONLY, Target, Upload, bundle_upload
from cmscert.planning.trust import Move, is_running

Slots = tuple[tuple[str, Part], ...]
EARLY = PutFile | SaveFile | CheckFiles | Gate | MintDatabase | CopyFile
"""What disturbs nobody and comes before the gate."""


@dataclass(slots=True, eq=False)
class Draft:
    """A step before it has an id: links are to other drafts."""

    server: str
    slot: str | None
    action: Action
    because: tuple[str, ...]
    after: list[Draft] = field(default_factory=list)
    impact: Impact | None = None
    undo: Undo | None = None


@dataclass(kw_only=True)
class Drafting:
    """Everything that is known while drafts are made. ``bound``: bindings as they will be at this point of the run.

    ``left``: services that an earlier run left, which are started or load again, by (server, service).
    """

    sights: Mapping[str, Sight]
    policy: Policy
    targets: Mapping[Place, Target]
    moves: Mapping[Place, Move]
    because: Mapping[Place, tuple[str, ...]]
    left: Mapping[Place, Interruption] = field(default_factory=dict)
    bound: dict[Place, Binding] = field(default_factory=dict)
    early: list[Draft] = field(default_factory=list)
    late: dict[Draft, None] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    put: dict[Place, Draft] = field(default_factory=dict)

    def binding(self, place: Place) -> Binding:
        """Return what will be bound to a slot at this point of the run."""
        return self.bound.get(place) or self.sights[place[0]].binding(place[1])

    def way_back(self, place: Place, left: Interruption | None) -> Binding:
        """Return what a slot is bound to again when its change fails: what ran well last."""
        before = former(left, self.sights[place[0]], place[1]) if left is not None and place not in self.bound else None
        return before or self.binding(place)


def services_gate() -> Draft:
    """Return the gate between uploads and checks, and everything that disturbs."""
    because = ("everything is uploaded and checked before a service is touched",)
    return Draft(FLEET, None, Gate(opens="services"), because)


def draft_services(drafting: Drafting, staged: Staged, gate: Draft) -> list[Draft]:
    """Return the drafts behind the gate; uploads and checks are collected in ``drafting.early``."""
    changes: dict[Change, Draft] = {}
    for change in staged.order:
        before = [changes[other] for other in sorted(staged.graph[change])]
        *carried, (service, slots) = _services(change, staged.slots[change])
        for other, bound in carried:
            before.append(_carried(drafting, replace(change, service=other), bound, before or [gate], gate))
        changes[change] = _change(drafting, replace(change, service=service), slots, before or [gate], gate)
    return list(drafting.late)


def _services(change: Change, slots: Slots) -> list[tuple[str, Slots]]:
    """Sort the slots of a change by service: the one that is restarted comes last and loads all of them."""
    by_service: dict[str, Slots] = {}
    for slot, part in slots:
        by_service[service_of(slot)] = (*by_service.get(service_of(slot), ()), (slot, part))
    if not by_service:
        return [(change.service, ())]
    return sorted(by_service.items(), key=lambda item: (item[0] == change.service, item[0]))


def _carried(drafting: Drafting, change: Change, slots: Slots, before: list[Draft], gate: Draft) -> Draft:
    """Bind what the next step's restart loads; taken back, it has to be loaded by a restart of its own."""
    draft = _change(drafting, change, slots, before, gate)
    carrier = draft.impact.service if draft.impact is not None else change.service
    if isinstance(draft.action, Rebind) and is_running(drafting.sights[change.server], carrier):
        draft.action = replace(draft.action, stopped=True)
        draft.impact = None
        draft.because = (*draft.because, f"the restart of {carrier} that follows loads it")
    return draft


def in_order(drafting: Drafting, gate: Draft, late: list[Draft]) -> list[Draft]:
    """Put everything in order: uploads and checks by server, the gate, the rest; nothing when nothing is behind it."""
    if not late:
        return []
    servers = {server: number for number, server in enumerate(drafting.sights)}
    gate.after = sorted(drafting.early, key=lambda draft: servers[draft.server])
    return [*gate.after, gate, *late]


def _change(
    drafting: Drafting,
    change: Change,
    slots: Slots,
    before: list[Draft],
    gate: Draft,
) -> Draft:
    sight = drafting.sights[change.server]
    left = drafting.left.get((change.server, change.service))
    if left is not None and not slots:
        return _again(drafting, left, before)
    wanted, uploads, because = _bindings(drafting, change, slots)
    found = {slot: drafting.binding((change.server, slot)) for slot in wanted}
    old = {slot: drafting.way_back((change.server, slot), left) for slot in wanted}
    behind = _bound(sight, change.service) if left is not None else ()
    restores = _restores(sight, uploads, (*wanted.values(), *old.values(), *behind))
    files = [_upload(drafting, sight, upload, before, gate) for upload in uploads]
    checks = list(_checks(drafting, sight, wanted, uploads, gate))
    stopped = left is None and (not is_running(sight, change.service) or _is_unset(drafting, sight, change, wanted))
    moved = tuple(binding for slot, binding in sorted(wanted.items()) if binding != found[slot])
    tags = tuple(binding.tag for binding in wanted.values() if binding.tag is not None)
    action: Rebind | Restart = Restart(service=change.service, tags=tags)
    undo: Undo | None = Restart(service=change.service, tags=tags, restores=restores) if restores else None
    if moved or stopped:
        bindings = moved or tuple(binding for _, binding in sorted(wanted.items()))
        action = Rebind(service=change.service, bindings=bindings, stopped=stopped)
        undo = Rebind(
            service=change.service,
            bindings=tuple(old[binding.slot] for binding in bindings),
            stopped=stopped,
            restores=restores,
        )
    if left is not None:
        undo = _way_back(
            change.service, {slot: old[slot] for slot in wanted if old[slot] != wanted[slot]}, restores, tags
        )
    draft = Draft(
        change.server,
        ", ".join(sorted(wanted)),
        action,
        because,
        after=list(dict.fromkeys([*before, *_late(drafting, files), *_late(drafting, checks)])),
        impact=None if stopped else _impact(drafting, sight, change.service),
        undo=undo,
    )
    drafting.late[draft] = None
    for slot, binding in wanted.items():
        drafting.bound[change.server, slot] = binding
    return draft


def _is_unset(drafting: Drafting, sight: Sight, change: Change, wanted: Iterable[str]) -> bool:
    """Tell whether a service has no certificate, and gets none here: a restart would be refused, as nothing can run.

    Only where the screen has no Enabled row (``callbridge``, T-31): elsewhere that row tells.
    """
    row = sight.rows[sight.rows[change.service].restart_of or change.service]
    state = sight.state(row.name)
    identities = [slot.name for slot in row.slots if isinstance(slot, IdentitySlot)]
    if not identities or state is None or state.enabled is not None or set(identities) & set(wanted):
        return False
    return all(drafting.binding((change.server, slot)).certificate is None for slot in identities)


def _restores(sight: Sight, uploads: list[Upload], bindings: Iterable[Binding]) -> tuple[RestoreFile, ...]:
    """Name the good copies: of files that this run overwrites, and of those that an unfinished run overwrote."""
    copies = {upload.name: upload.saved_as for upload in uploads if upload.saved_as is not None}
    for name in dict.fromkeys(name for binding in bindings for name in binding.files):
        copy = sight.saved_copy(name)
        if copy is not None:
            copies.setdefault(name, copy)
    return tuple(RestoreFile(file=name, saved_as=copy) for name, copy in copies.items())


def _bound(sight: Sight, service: str) -> tuple[Binding, ...]:
    state = sight.state(service)
    return tuple(state.bindings.values()) if state is not None else ()


def _way_back(
    service: str, old: Mapping[str, Binding], restores: tuple[RestoreFile, ...], tags: tuple[str, ...]
) -> Undo:
    """Return the way back of a service that was left: what ran before, and running in any case."""
    if not old:
        return Restart(service=service, tags=tags, restores=restores)
    return Rebind(service=service, bindings=tuple(binding for _, binding in sorted(old.items())), restores=restores)


def _again(drafting: Drafting, left: Interruption, before: list[Draft]) -> Draft:
    """Let a service that was left load what is bound; a file that a run overwrote under it is as before first.

    That is for services of which the inventory wants nothing here, so that nothing else needs to be done to them.
    """
    server, service = left.place
    sight, touched = drafting.sights[server], left.touched
    bound = {slot: sight.binding(slot) for slot in touched.slots if sight.slot(slot) is not None}
    restores = _restores(sight, [], _bound(sight, service))
    old = {slot: binding for slot in bound if (binding := former(left, sight, slot)) and binding != bound[slot]}
    reason = "stopped-by-run" if left.fate == "start" else "load-unproven"
    draft = Draft(
        server,
        ", ".join(sorted(bound)) or service,
        Restart(service=service, tags=touched.tags, restores=restores),
        (f"{service}: {reason}",),
        after=list(before),
        impact=_impact(drafting, sight, service),
        undo=_way_back(service, old, restores, touched.tags),
    )
    drafting.late[draft] = None
    return draft


def _late(drafting: Drafting, drafts: list[Draft]) -> list[Draft]:
    return [draft for draft in drafts if draft in drafting.late]


def _impact(drafting: Drafting, sight: Sight, service: str) -> Impact:
    row = sight.rows[service]
    row = sight.rows.get(row.restart_of or service, row)
    return Impact(service=row.name, notices=row.notices, seconds=drafting.policy.seconds.get(row.name, row.seconds))


def _bindings(
    drafting: Drafting, change: Change, slots: tuple[tuple[str, Part], ...]
) -> tuple[dict[str, Binding], list[Upload], tuple[str, ...]]:
    sight = drafting.sights[change.server]
    wanted: dict[str, Binding] = {}
    uploads: list[Upload] = []
    because: list[str] = []
    # Identities first: a slot whose third file is a trust gets that file from its move, below.
    for slot, part in sorted(slots, key=lambda item: item[1] != "whole"):
        place = (change.server, slot)
        because += [f"{slot}: {reason}" for reason in drafting.because[place]]
        if part == "whole":
            target = drafting.targets[place]
            wanted[slot] = target.binding
            if place in drafting.moves:
                wanted[slot] = replace(target.binding, bundle=drafting.binding(place).bundle)
            uploads += [upload for upload in target.uploads if place not in drafting.moves or upload.role != "bundle"]
            continue
        if set(drafting.because[place]) <= LOADED_ONLY:
            wanted[slot] = wanted.get(slot) or drafting.binding(place)
            continue
        certificates = drafting.moves[place].view.wanted
        if part == "first":
            certificates = drafting.moves[place].first or certificates
        name, needed = _trust_file(sight, slot, certificates)
        wanted[slot] = replace(wanted.get(slot) or drafting.binding(place), bundle=name)
        uploads += needed
    return wanted, uploads, tuple(dict.fromkeys(because))


def _trust_file(sight: Sight, slot: str, certificates: tuple[Certificate, ...]) -> tuple[str, tuple[Upload, ...]]:
    wanted = sight.wanted.slot(slot)
    bundle = wanted.bundle if wanted is not None else None
    name = bundle.name if bundle is not None else slot
    leaves = isinstance(wanted, WantedIdentity) or (isinstance(wanted, WantedTrust) and wanted.leaves_of is not None)
    return bundle_upload(sight, Bundle(name=name, certificates=certificates), slot, ordered=not leaves)


def _upload(drafting: Drafting, sight: Sight, upload: Upload, before: list[Draft], gate: Draft) -> Draft:
    """Draft the put of a file once per server; an overwriting one waits until its service's turn."""
    place = (sight.name, upload.name)
    if place in drafting.put:
        return drafting.put[place]
    if upload.content is not None:
        drafting.contents[upload.content_id] = upload.content
    because = ("wanted by this server's services",)
    draft = Draft(
        sight.name,
        None,
        PutFile(file=upload.name, content=upload.content_id, role=upload.role, overwrites=upload.saved_as is not None),
        because,
    )
    drafting.put[place] = draft
    if upload.saved_as is None:
        drafting.early.append(draft)
        return draft
    if not _is_saved(sight, upload.name, upload.saved_as):
        save = SaveFile(file=upload.name, saved_as=upload.saved_as)
        drafting.early.append(Draft(sight.name, None, save, ("the way back of a file that is overwritten",)))
    draft.after = list(dict.fromkeys([*before, gate]))
    draft.undo = RestoreFile(file=upload.name, saved_as=upload.saved_as)
    drafting.late[draft] = None
    return draft


def _is_saved(sight: Sight, name: str, copy: str) -> bool:
    """Tell whether a copy is the way back: half of one may be left of an upload that was cut off.

    Nobody can compare keys: one that is known to fit its certificate is copied again, any other may be the new one.
    """
    if not sight.stored(copy) or copy in sight.torn:
        return False
    if copy == sight.saved_copy(name):
        return True
    kept, file = sight.file(copy), sight.file(name)
    if name.endswith(".key"):
        fits = any(key == name and match == Known(value=True) for (key, _), match in sight.observed.matches.items())
        return name in sight.torn or not fits
    return not isinstance(file, Known) or (isinstance(kept, Known) and kept.value.sha256 == file.value.sha256)


def _checks(
    drafting: Drafting, sight: Sight, wanted: Mapping[str, Binding], uploads: list[Upload], gate: Draft
) -> Iterator[Draft]:
    """Let the node check each new pair once, as soon as its files are there."""
    new = {upload.name for upload in uploads}
    for binding in wanted.values():
        if binding.key is None or binding.certificate is None:
            continue
        if binding.slot != "webadmin" and not new & set(binding.files):
            continue  # uploaded and checked by an earlier run; what people come in by is checked every time
        row = sight.slot(binding.slot)
        chained = row is not None and row.kind == "identity" and row.third == "bundle"
        action = CheckFiles(
            key=binding.key, certificate=binding.certificate, bundle=binding.bundle if chained else None
        )
        place = (sight.name, f"{action.key} {action.certificate} {action.bundle}")
        if place in drafting.put:
            yield drafting.put[place]
            continue
        puts = [drafting.put[sight.name, name] for name in binding.files if (sight.name, name) in drafting.put]
        late = any(isinstance(put.action, PutFile) and put.action.overwrites for put in puts)
        draft = Draft(sight.name, None, action, ("the server itself checks the pair",), after=puts)
        if late:
            draft.after = [*puts, gate]
            drafting.late[draft] = None
        else:
            drafting.early.append(draft)
        drafting.put[place] = draft
        yield draft
