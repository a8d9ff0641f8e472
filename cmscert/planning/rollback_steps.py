"""The steps of a rollback: those of the run that are in force, each the other way round."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cmscert.model.desired import Policy
from cmscert.model.observed import Binding
from cmscert.model.plan import Action, CheckFiles, Impact, PutFile, Rebind, Restart, RestoreFile, SaveFile, Step, Undo
from cmscert.model.readings import Known
from cmscert.planning.backwards import Files, backwards
from cmscert.planning.file_names import content_id, saved_name
from cmscert.planning.numbering import number
from cmscert.planning.past import Overwritten, Past, Place, is_key
from cmscert.planning.retrace import Back, Retraced
from cmscert.planning.sight import Sight
from cmscert.planning.steps import Draft, services_gate
from cmscert.planning.stock import Stock
from cmscert.planning.targets import Role

NO_DATE = "00000000"


@dataclass(slots=True, kw_only=True)
class _Work:
    sights: Mapping[str, Sight]
    policy: Policy
    stock: Stock
    gate: Draft
    early: list[Draft] = field(default_factory=list)
    late: dict[Draft, None] = field(default_factory=dict)
    restored: dict[Place, Draft] = field(default_factory=dict)
    made: dict[tuple[str, Action], Draft] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)

    def once(self, server: str, action: Action, because: str) -> Draft:
        """Draft what disturbs nobody and comes before the gate, once."""
        if (server, action) not in self.made:
            self.made[server, action] = Draft(server, None, action, (because,))
            self.early.append(self.made[server, action])
        return self.made[server, action]


def draft_rollback(
    past: Past, sights: Mapping[str, Sight], policy: Policy, retraced: Retraced, stock: Stock
) -> tuple[tuple[Step, ...], dict[str, bytes]]:
    """Return the steps, and the public bytes that they put, by content id."""
    work = _Work(sights=sights, policy=policy, stock=stock, gate=services_gate())
    order = backwards(past, sights, retraced)
    place = {name: number for number, name in enumerate(order.moves)}
    done: dict[str, list[Draft]] = {}
    for name, move in order.in_order():
        first = sorted(order.links[name], key=place.__getitem__)
        before = [draft for each in first for draft in done[each]] or [work.gate]
        if isinstance(move, Files):
            done[name] = [_restore(work, each, before) for each in move.files]
        else:
            done[name] = [_take_back(work, move, before, carried=name in order.carried)]
    if not work.late:
        return (), {}
    servers = {name: number for number, name in enumerate(sights)}
    work.gate.after = sorted(work.early, key=lambda draft: servers[draft.server])
    return number([*work.gate.after, work.gate, *work.late], {}), work.contents


def _take_back(work: _Work, back: Back, before: list[Draft], *, carried: bool) -> Draft:
    server, service = back.step.server, back.switch.action.service
    sight = work.sights[server]
    files = [work.restored[each.place] for each in back.files]
    puts = [put for bound in back.bindings for put in _put_again(work, sight, bound)]
    checks = [_check(work, sight, bound, files, puts) for bound in back.pairs]
    tags = tuple(dict.fromkeys(each.tag for each in back.pairs if each.tag is not None)) or _tags(back)
    copies = tuple(RestoreFile(file=each.file, saved_as=_saved(sight, each.file)) for each in back.files)
    action: Rebind | Restart = Restart(service=service, tags=tags)
    undo: Undo = Restart(service=service, tags=tags, restores=copies)
    if back.bindings:
        action = Rebind(service=service, bindings=back.bindings, stopped=back.stopped or carried)
        undo = Rebind(service=service, bindings=back.undo, stopped=back.stopped, restores=copies)
    draft = Draft(
        server,
        back.step.slot,
        action,
        back.because,
        after=list(dict.fromkeys([*before, *files, *(check for check in checks if check in work.late)])),
        impact=None if back.stopped or carried else _impact(work.policy, sight, service),
        undo=undo,
    )
    work.late[draft] = None
    return draft


def _tags(back: Back) -> tuple[str, ...]:
    return back.switch.action.tags if isinstance(back.switch.action, Restart) else ()


def _impact(policy: Policy, sight: Sight, service: str) -> Impact:
    row = sight.rows[service]
    row = sight.rows.get(row.restart_of or service, row)
    return Impact(service=row.name, notices=row.notices, seconds=policy.seconds.get(row.name, row.seconds))


def _restore(work: _Work, each: Overwritten, before: list[Draft]) -> Draft:
    """Draft the way of an overwritten file back, after a copy of what it holds now was made."""
    server, sight = each.step.server, work.sights[each.step.server]
    saved_as = _saved(sight, each.file)
    if sight.stored(each.file) and not sight.stored(saved_as):
        save = SaveFile(file=each.file, saved_as=saved_as)
        work.once(server, save, "the way back of a file that is overwritten")
    content = work.stock.puts.get(each.place)
    action: Action = RestoreFile(file=each.file, saved_as=each.copy)
    if content is not None:
        work.contents[content_id(content)] = content
        role: Role = each.step.action.role if isinstance(each.step.action, PutFile) else "certificate"
        action = PutFile(file=each.file, content=content_id(content), role=role, overwrites=True)
    draft = Draft(
        server,
        None,
        action,
        ("as before the run that overwrote it",),
        after=list(dict.fromkeys([*before, work.gate])),
        undo=RestoreFile(file=each.file, saved_as=saved_as),
    )
    work.restored[each.place] = draft
    work.late[draft] = None
    return draft


def _check(work: _Work, sight: Sight, bound: Binding, files: list[Draft], puts: list[Draft]) -> Draft:
    """Let the server check a pair that is bound again. The chain was as it was before the run, right or not."""
    action = CheckFiles(key=bound.key or "", certificate=bound.certificate or "")
    because = "the server itself checks the pair"
    names = {draft.undo.file for draft in files if isinstance(draft.undo, RestoreFile)}
    if not names & set(bound.files):
        check = work.once(sight.name, action, because)
        check.after = list(dict.fromkeys([*check.after, *puts]))
        return check
    if (sight.name, action) not in work.made:
        work.made[sight.name, action] = Draft(sight.name, None, action, (because,), after=[*files, work.gate])
        work.late[work.made[sight.name, action]] = None
    return work.made[sight.name, action]


def _put_again(work: _Work, sight: Sight, bound: Binding) -> Iterator[Draft]:
    for name in bound.files:
        content = work.stock.puts.get((sight.name, name))
        if content is not None and (sight.name, name) not in work.restored:
            work.contents[content_id(content)] = content
            role: Role = "bundle" if name == bound.bundle else "certificate"
            put = PutFile(file=name, content=content_id(content), role=role)
            yield work.once(sight.name, put, "bound before the run, and not in the store any more")


def _saved(sight: Sight, file: str) -> str:
    """Name the copy of what a file holds now, after the bytes of the public file that stands beside a key."""
    public = file
    if is_key(file):
        public = next((certificate for key, certificate in sorted(sight.observed.matches) if key == file), file)
    content = sight.file(public)
    if not isinstance(content, Known):
        return saved_name(file, NO_DATE, hashlib.sha256(file.encode()).hexdigest())
    held = content.value.certificates
    return saved_name(file, f"{held[0].not_before:%Y%m%d}" if held else NO_DATE, content.value.sha256)
