"""What stops a rollback, and what is to be said about it. Guards as in ``guards``, and those that only a rollback has.

What the run was asked about is not asked again: that names or usages are lost is what going back means.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from cmscert.model.observed import Binding
from cmscert.model.plan import (
    BackupDatabase,
    ConfirmPrimary,
    CopyFile,
    DatabaseAction,
    MintDatabase,
    Notice,
    ProveCluster,
    PutFile,
    Refusal,
    RemoveFiles,
    Restart,
    RestoreFile,
)
from cmscert.model.readings import Known
from cmscert.pki.certificate import Certificate
from cmscert.planning.case import Case
from cmscert.planning.guards import clock_skew, last_call_bridge, unread_server
from cmscert.planning.locks import foreign_lock, lock_expired, locked_by_another
from cmscert.planning.notices import clock_unread, password_expires
from cmscert.planning.past import Past, Place, put
from cmscert.planning.retrace import Retraced
from cmscert.planning.sight import Sight
from cmscert.planning.stock import Stock
from cmscert.planning.targets import in_use
from cmscert.planning.trust import refused
from cmscert.planning.words import day, name_of

Former = Mapping[Place, tuple[Binding, tuple[Certificate, ...]]]
"""By (server, slot): what is bound again, and what is in its certificate file, or in that of a trust."""

SOON = timedelta(hours=24)
_HARMLESS = MintDatabase | CopyFile | BackupDatabase | ConfirmPrimary | ProveCluster


@dataclass(frozen=True, slots=True, kw_only=True)
class Verge:
    """A rollback before anybody says yes.

    ``former``: every slot that is to hold again what it held before. ``goal``: the fleet, with that in place of what
    the inventory wants.
    """

    case: Case
    past: Past
    retraced: Retraced
    stock: Stock
    former: Former
    goal: Mapping[str, Sight]

    @property
    def touched(self) -> Case:
        """The case of the servers alone on which something is taken back."""
        return replace(self.case, sights={name: self.goal[name] for name in self.past.servers})


def changed_since(verge: Verge) -> Iterator[Refusal]:
    """Something holds neither what it held before the run, nor what the run left there."""
    for server, message in verge.retraced.changed:
        yield Refusal(guard="changed-since", server=server, message=message)


def files_gone(verge: Verge) -> Iterator[Refusal]:
    """A file that would be bound again cannot be had any more."""
    for server, message in verge.stock.gone:
        yield Refusal(guard="files-gone", server=server, message=message, liftable=False)


def cannot_go_back(verge: Verge) -> Iterator[Refusal]:
    """A service would not start on what it held before the run."""
    for server, message in verge.retraced.hopeless:
        yield Refusal(guard="cannot-go-back", server=server, message=message)


def expired_before(verge: Verge) -> Iterator[Refusal]:
    """A certificate that would be bound again has ended, or ends within a day."""
    for (server, slot), (binding, held) in verge.former.items():
        if binding.certificate is not None and held and held[0].not_after - verge.case.moment < SOON:
            ends = "has expired on" if held[0].not_after <= verge.case.moment else "expires on"
            yield Refusal(
                guard="expired-before",
                server=server,
                message=f"{slot}: {name_of(held[0])}, which would be bound again, {ends} {day(held[0].not_after)}",
            )


def peer_refused(verge: Verge) -> Iterator[Refusal]:
    """Somebody who is accepted today would be refused with the certificates of before."""
    unbound = {place for place, (binding, _) in verge.former.items() if not binding.files}
    for view in verge.case.views:
        for peer in refused(view, None)[0]:
            if peer.place not in unbound:
                yield Refusal(
                    guard="peer-refused",
                    server=view.place[0],
                    message=f"{view.place[1]} would no longer accept {peer.place[1]} of {peer.place[0]} "
                    f"({name_of(peer.after[0])}), which it accepts now: not everything of the two goes back",
                )


def shared_file(verge: Verge) -> Iterator[Refusal]:
    """A file would be overwritten that a service uses since the run, and that the rollback does not restart."""
    taken_back = {(back.step.server, slot) for back in verge.retraced.backs for slot in back.switch.slots}
    for step in verge.case.steps:
        action = step.action
        if not isinstance(action, RestoreFile) and not (isinstance(action, PutFile) and action.overwrites):
            continue
        users = tuple(_new_users(verge, step.server, action.file, taken_back)) if step.server in verge.past.seen else ()
        if users:
            yield Refusal(
                guard="shared-file",
                server=step.server,
                message=f"{action.file} is used by {', '.join(users)} since the run; it would load the old file at its "
                "next restart",
            )


def _new_users(verge: Verge, server: str, file: str, taken_back: Collection[Place]) -> Iterator[str]:
    """Yield the slots that use a file now, did not before the run, and are not taken back."""
    for screen in verge.case.sights[server].observed.screens.values():
        for slot, binding in screen.value.bindings.items() if isinstance(screen, Known) else ():
            before = verge.past.bound.get((server, slot))
            since = file in binding.files and (before is None or file not in before.files)
            if since and (server, slot) not in taken_back:
                yield slot


def database_stays(verge: Verge) -> Iterator[Refusal]:
    """A database cluster was changed: that is never taken back."""
    steps = (step for step in verge.past.begun if isinstance(step.action, DatabaseAction))
    for slot in dict.fromkeys(step.slot for step in steps if not isinstance(step.action, _HARMLESS)):
        yield Refusal(
            guard="database-stays",
            message=f"{slot} stays as run {verge.past.run} left it: taking a cluster down once more to bind old "
            "certificates risks its data for nothing; services do not depend on its certificates. Where the run broke "
            "off, apply finishes it",
        )


def too_many_servers(verge: Verge) -> Iterator[Refusal]:
    """More servers would change than the policy allows in one run."""
    limit, changed = verge.case.policy.max_servers_changed, len(verge.case.changed)
    if limit is not None and changed > limit:
        message = f"{changed} servers change, policy.max_servers_changed allows {limit}"
        yield Refusal(guard="too-many-servers", message=message)


GUARDS: tuple[Callable[[Verge], Iterator[Refusal]], ...] = (
    lambda verge: unread_server(verge.case),
    changed_since,
    files_gone,
    cannot_go_back,
    expired_before,
    peer_refused,
    shared_file,
    database_stays,
    lambda verge: clock_skew(verge.case),
    lambda verge: last_call_bridge(verge.case),
    too_many_servers,
    lambda verge: foreign_lock(verge.case),
)


def files_stay(verge: Verge) -> Iterator[Notice]:
    """What the run uploaded stays in the store; nothing uses it any more."""
    unbound: dict[str, set[str]] = {}
    for back in verge.retraced.backs:
        unbound.setdefault(back.step.server, set()).update(name for each in back.undo for name in each.files)
    for server, files in _by_server(put(verge.past)).items():
        sight = verge.case.sights.get(server)
        if sight is None or server not in unbound:
            continue
        kept = in_use(sight) - unbound[server]
        left = [name for name in files if sight.stored(name) and name not in kept]
        if left:
            message = f"what the run uploaded stays in the store, bound to nothing: {', '.join(left)}"
            yield Notice(server=server, reason="files-stay", message=message)


def removed_files(verge: Verge) -> Iterator[Notice]:
    """What the run removed does not come back."""
    for step in verge.past.begun:
        sight = verge.case.sights.get(step.server)
        if isinstance(step.action, RemoveFiles) and sight is not None:
            gone = [name for name in step.action.files if not sight.stored(name)]
            if gone:
                message = f"what the run removed does not come back, and nothing needs it: {', '.join(gone)}"
                yield Notice(server=step.server, reason="removed-files", message=message)


def load_stays(verge: Verge) -> Iterator[Notice]:
    """The run made a service load what was bound already: there are no names to go back to."""
    taken_back = {back.step.id for back in verge.retraced.backs}
    for step in verge.past.begun:
        if isinstance(step.action, Restart) and step.undo is None and step.id not in taken_back:
            message = f"step {step.id} of the run only made it load what was bound: that stays"
            yield Notice(server=step.server, slot=step.slot, reason="load-stays", message=message)


def stopped(verge: Verge) -> Iterator[Notice]:
    """A service that the run touched was stopped by somebody else."""
    for server, service in verge.retraced.stopped:
        message = "the service is stopped, and stays so: enable it by hand when it is wanted"
        yield Notice(server=server, slot=service, reason="stopped", message=message)


NOTICES: tuple[Callable[[Verge], Iterator[Notice]], ...] = (
    lambda verge: password_expires(verge.touched),
    lambda verge: clock_unread(verge.touched),
    stopped,
    files_stay,
    removed_files,
    load_stays,
    lambda verge: locked_by_another(verge.case),
    lambda verge: lock_expired(verge.case),
)


def refusals(verge: Verge) -> tuple[Refusal, ...]:
    """Run every guard."""
    return tuple(refusal for guard in GUARDS for refusal in guard(verge))


def notices(verge: Verge) -> tuple[Notice, ...]:
    """Collect every notice."""
    return tuple(notice for find in NOTICES for notice in find(verge))


def _by_server(places: Mapping[Place, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for server, file in places:
        found.setdefault(server, []).append(file)
    return found
