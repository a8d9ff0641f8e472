"""No change, but something to say: one notice, one function, one reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

from cmscert.model.desired import WantedIdentity
from cmscert.model.names import service_of
from cmscert.model.plan import Notice, Rebind, Restart
from cmscert.model.readings import Absent, Known, Unread
from cmscert.planning.admin import admin_unprobed
from cmscert.planning.case import Case
from cmscert.planning.guards import client_auth_lost, lost_ekus, rotations
from cmscert.planning.left_notices import left_by_run, unfinished_run
from cmscert.planning.locks import lock_expired, locked_by_another
from cmscert.planning.trust import is_running, refused

PASSWORD_WARNING = timedelta(days=30)


def client_auth_gone(case: Case) -> Iterator[Notice]:
    """The new certificate lacks clientAuth, the old one had it, and nothing is known to need it there."""
    guarded = {(refusal.server, refusal.guard) for refusal in client_auth_lost(case)}
    for sight, wanted, old in rotations(case):
        if "clientAuth" in lost_ekus(old, wanted.material.leaf) and (sight.name, "client-auth-lost") not in guarded:
            message = "the new certificate lacks clientAuth, which the old one had; as a TLS server it does without"
            yield Notice(server=sight.name, slot=wanted.slot, reason="client-auth-gone", message=message)


def renewal_waiting(case: Case) -> Iterator[Notice]:
    """A successor was asked for, or could not be had; the certificate in use still does."""
    for item in case.desired.renewals:
        message = f"{item.certificate}: {item.why}"
        yield Notice(server=item.server, reason="renewal-waiting", message=message)


def unhandled(case: Case) -> Iterator[Notice]:
    """The inventory asks for something that this release does not do yet."""
    for item in case.desired.unhandled:
        yield Notice(reason="unhandled", message=f"{item.path}: {item.message}")


def password_expires(case: Case) -> Iterator[Notice]:
    """The account's password ends soon (``user list``, [S1])."""
    for sight in case.looked_at:
        expires = sight.observed.password_expires
        if isinstance(expires, Known) and expires.value - case.moment.date() < PASSWORD_WARNING:
            message = f"the password of the account used expires on {expires.value.isoformat()}"
            yield Notice(server=sight.name, reason="password-expires", message=message)


def clock_unread(case: Case) -> Iterator[Notice]:
    """Whether the node's clock is right is not known."""
    for sight in case.looked_at:
        skew = sight.observed.clock_skew
        if isinstance(skew, Unread):
            yield Notice(server=sight.name, reason="clock-unread", message=f"its clock could not be read ({skew.why})")


def stopped(case: Case) -> Iterator[Notice]:
    """A service of the inventory does not run; the plan does not start it."""
    for sight in case.looked_at:
        for service in dict.fromkeys(service_of(wanted.slot) for wanted in sight.wanted.slots):
            if (sight.name, service) in case.mended:
                continue
            if sight.state(service) is not None and not is_running(sight, service):
                message = "the service is stopped, and stays so: enable it by hand when it is wanted"
                yield Notice(server=sight.name, slot=service, reason="stopped", message=message)


def match_unclear(case: Case) -> Iterator[Notice]:
    """The node's answer to ``pki match`` could not be understood ([UNK]: its wording is not known)."""
    for sight in case.looked_at:
        for wanted in sight.wanted.slots:
            binding = sight.binding(wanted.slot)
            match = sight.observed.matches.get((binding.key or "", binding.certificate or ""))
            if isinstance(wanted, WantedIdentity) and isinstance(match, Absent):
                message = f"whether {binding.key} belongs to {binding.certificate} is not told: pki match is unclear"
                yield Notice(server=sight.name, slot=wanted.slot, reason="match-unclear", message=message)


def slot_untold(case: Case) -> Iterator[Notice]:
    """A screen has no row for a slot: read as not bound, as screens leave out what is not set (T-30 has no bundle)."""
    for sight in case.looked_at:
        for wanted in sight.wanted.slots:
            state = sight.state(service_of(wanted.slot))
            if state is not None and wanted.slot in state.untold:
                message = "the status screen does not mention it: taken as not bound, its way back is to unbind it"
                yield Notice(server=sight.name, slot=wanted.slot, reason="slot-untold", message=message)


def peer_still_refused(case: Case) -> Iterator[Notice]:
    """Somebody is refused today, and will be afterwards."""
    for view in case.views:
        for peer in refused(view, case.moves.get(view.place))[1]:
            message = f"does not accept {peer.place[1]} of {peer.place[0]}, before and after this plan"
            yield Notice(server=view.place[0], slot=view.place[1], reason="peer-still-refused", message=message)


def old_trust_stays(case: Case) -> Iterator[Notice]:
    """Trust is only added to, because servers that could not be read may depend on what it holds."""
    for (server, slot), move in case.moves.items():
        if not move.prune and move.first != move.view.wanted:
            message = "what it holds now stays until every server can be read: unread servers may depend on it"
            yield Notice(server=server, slot=slot, reason="old-trust-stays", message=message)


BROKEN = frozenset({"key-mismatch", "file-missing", "not-a-certificate"})
"""Reasons for which a service would not start again on what is bound now."""


def no_way_back(case: Case) -> Iterator[Notice]:
    """A service cannot be taken back to what it serves now: that is not on the node, or would not start."""
    broken = {
        (drift.server, drift.slot)
        for drift in case.drift
        if drift.reason in BROKEN and not _is_saved(case, drift.server, drift.slot)
    }
    for step in case.steps:
        if isinstance(step.action, Rebind) and any((step.server, one.slot) in broken for one in step.action.bindings):
            message = f"step {step.id} has no sure way back: what is bound now would not start again"
            yield Notice(server=step.server, slot=step.slot, reason="no-way-back", message=message)
        if isinstance(step.action, Restart) and step.undo is None:
            message = f"step {step.id} has no way back: the certificate served now is not on the server any more"
            yield Notice(server=step.server, slot=step.slot, reason="no-way-back", message=message)


def _is_saved(case: Case, server: str, slot: str | None) -> bool:
    """Tell whether an unfinished run saved what it overwrote under a slot: then that is the way back."""
    sight = case.sights[server]
    return any(sight.saved_copy(name) for name in sight.binding(slot or "").files)


NOTICES: tuple[Callable[[Case], Iterator[Notice]], ...] = (
    unhandled,
    renewal_waiting,
    client_auth_gone,
    password_expires,
    clock_unread,
    stopped,
    match_unclear,
    admin_unprobed,
    slot_untold,
    peer_still_refused,
    old_trust_stays,
    no_way_back,
    unfinished_run,
    left_by_run,
    locked_by_another,
    lock_expired,
)


def notices(case: Case) -> tuple[Notice, ...]:
    """Collect every notice."""
    return tuple(notice for find in NOTICES for notice in find(case))
