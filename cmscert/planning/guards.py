"""What stops a plan from being applied: refusals as values, each with the one name that lifts it (law 12).

One guard, one function, one name. All run, so a person sees every refusal at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

from cmscert.model.desired import Material, WantedIdentity
from cmscert.model.observed import Binding
from cmscert.model.plan import PutFile, Rebind, Refusal, Restart, Step
from cmscert.model.readings import Absent, Known
from cmscert.model.services import IdentitySlot
from cmscert.pki.certificate import Certificate
from cmscert.pki.names import missing_names
from cmscert.pki.public_cas import CLIENT_AUTH_HINT
from cmscert.planning.case import Case
from cmscert.planning.locks import foreign_lock
from cmscert.planning.sight import Sight
from cmscert.planning.trust import is_running, refused
from cmscert.planning.words import day, name_of

LARGEST_SKEW = timedelta(minutes=5)
GRAIN = timedelta(seconds=5)
"""A node's clock is read in whole seconds, and more than that passes before anything is bound."""


def unread_server(case: Case) -> Iterator[Refusal]:
    """Something that the plan needed could not be read."""
    for server, why in case.unread:
        yield Refusal(
            guard="unread-server",
            server=server,
            message=f"{why}; the plan leaves out what depends on it: mend that, or go on without it",
        )


def last_call_bridge(case: Case) -> Iterator[Refusal]:
    """A call bridge would be restarted while no other one works."""
    bridges = [name for name, sight in case.sights.items() if _has_call_bridge(sight)]
    if len(bridges) < 2:  # noqa: PLR2004 - a single call bridge has no other to stand in for it
        return
    working = frozenset(_working_call_bridges(case, bridges))
    for server in dict.fromkeys(step.server for step in case.steps if _stops(step, "callbridge")):
        if working - {server}:
            continue
        others = [name for name in bridges if name != server]
        mended = (name for name in others if (name, "callbridge") in case.mended)
        if not any(_is_mended_first(case, name, server) for name in mended):
            yield Refusal(
                guard="last-call-bridge",
                server=server,
                message=f"its call bridge is the last one that works; {', '.join(others)} do not answer now",
            )


def too_many_servers(case: Case) -> Iterator[Refusal]:
    """More servers would change than the policy allows in one run."""
    limit = case.policy.max_servers_changed
    if limit is not None and len(case.changed) > limit:
        yield Refusal(
            guard="too-many-servers",
            message=f"{len(case.changed)} servers change, policy.max_servers_changed allows {limit}: "
            "narrow the run with --select",
        )


def names_lost(case: Case) -> Iterator[Refusal]:
    """The new certificate lacks a name that the old one had."""
    for sight, wanted, old in rotations(case):
        lost = missing_names(wanted.material.leaf, old.names)
        if lost:
            yield Refusal(
                guard="names-lost",
                server=sight.name,
                message=f"{wanted.slot}: the new certificate lacks {', '.join(lost)}, which the old one had",
            )


def client_auth_lost(case: Case) -> Iterator[Refusal]:
    """The new certificate can no longer be used as a TLS client, the old one could, and the service is one."""
    for sight, wanted, old in rotations(case):
        slot = sight.slot(wanted.slot)
        client = isinstance(slot, IdentitySlot) and "clientAuth" in slot.eku
        if client and "clientAuth" in lost_ekus(old, wanted.material.leaf):
            yield Refusal(
                guard="client-auth-lost",
                server=sight.name,
                message=f"{wanted.slot}: the new certificate lacks clientAuth, which the old one had; "
                f"{CLIENT_AUTH_HINT}",
            )


def eku_lost(case: Case) -> Iterator[Refusal]:
    """The new certificate lacks another extended key usage that the old one had."""
    for sight, wanted, old in rotations(case):
        lost = [eku for eku in lost_ekus(old, wanted.material.leaf) if eku != "clientAuth"]
        if lost:
            yield Refusal(
                guard="eku-lost",
                server=sight.name,
                message=f"{wanted.slot}: the new certificate lacks {', '.join(lost)}, which the old one had",
            )


def clock_skew(case: Case) -> Iterator[Refusal]:
    """The node's clock is wrong by more than five minutes."""
    for server in case.disturbed:
        skew = case.sights[server].observed.clock_skew
        if isinstance(skew, Known) and abs(skew.value) > LARGEST_SKEW.total_seconds():
            ahead = "ahead" if skew.value > 0 else "behind"
            yield Refusal(
                guard="clock-skew",
                server=server,
                message=f"its clock is {abs(skew.value) / 60:.0f} minutes {ahead}: certificates would be judged by a "
                "wrong time; set NTP first",
            )


def key_gone(case: Case) -> Iterator[Refusal]:
    """A certificate would be bound whose key was made on the server, and the key is not there any more."""
    for server, binding in _bound(case):
        sight = case.sights[server]
        wanted = sight.wanted.slot(binding.slot)
        if not isinstance(wanted, WantedIdentity) or wanted.material.device_key is None:
            continue
        if binding.key is not None and isinstance(sight.observed.files, Known) and not sight.stored(binding.key):
            yield Refusal(
                guard="key-gone",
                server=server,
                liftable=False,
                message=f"{binding.slot}: its key was made on the server as {binding.key} and is not there any more: "
                f"get a new one with cmscert renew --again --select certificate={wanted.material.certificate}",
            )


def key_not_here(case: Case) -> Iterator[Refusal]:
    """A key would have to be put that only other servers have: the inventory names no file of it."""
    every = tuple(_materials(case))
    missing = {one.spki: one.certificate for one in every if not one.key_here}
    for spki in {one.spki for one in every if one.key_here}:
        missing.pop(spki, None)
    for step in case.steps:
        if not isinstance(step.action, PutFile) or step.action.content.removeprefix("spki:") not in missing:
            continue
        certificate = missing[step.action.content.removeprefix("spki:")]
        yield Refusal(
            guard="key-not-here",
            server=step.server,
            liftable=False,
            message=f"the key of certificates.{certificate} is not here and not on this server: name its file as "
            "files.key, or get the certificate anew from an issuer",
        )


def _materials(case: Case) -> Iterator[Material]:
    for server in case.desired.servers:
        yield from (slot.material for slot in server.slots if isinstance(slot, WantedIdentity))
    for database in case.desired.databases:
        yield from (*database.server.values(), *database.client.values())


def not_yet_valid(case: Case) -> Iterator[Refusal]:
    """A new certificate is not valid yet by the node's own clock."""
    for sight, wanted, _ in rotations(case):
        skew = sight.observed.clock_skew
        there = case.moment + timedelta(seconds=skew.value if isinstance(skew, Known) else 0)
        if wanted.material.leaf.not_before > there + GRAIN:
            yield Refusal(
                guard="not-yet-valid",
                server=sight.name,
                liftable=False,
                message=f"{wanted.slot}: the new certificate is valid from {day(wanted.material.leaf.not_before)} on",
            )


def full_chain_missing(case: Case) -> Iterator[Refusal]:
    """A service needs the full chain and the inventory gives it the leaf alone (needed from 3.0 on, procedure 5)."""
    for sight in case.sights.values():
        for wanted in sight.wanted.slots:
            slot = sight.slot(wanted.slot)
            if not isinstance(wanted, WantedIdentity) or slot is None or slot.kind != "identity":
                continue
            alone = len(wanted.file_certificates) == 1 and not wanted.material.leaf.self_issued
            if slot.full_chain and alone:
                yield Refusal(
                    guard="full-chain-missing",
                    server=sight.name,
                    liftable=False,
                    message=f"{wanted.slot}: needs leaf, intermediates and root in one file: give "
                    f"certificates.{wanted.material.certificate} a chain",
                )


def peer_refused(case: Case) -> Iterator[Refusal]:
    """Somebody who is accepted today would be refused afterwards."""
    for view in case.views:
        for peer in refused(view, case.moves.get(view.place))[0]:
            yield Refusal(
                guard="peer-refused",
                server=view.place[0],
                message=f"{view.place[1]} would no longer accept {peer.place[1]} of {peer.place[0]} "
                f"({name_of(peer.after[0])}): let the inventory, and this plan, change that trust too",
            )


def shared_file(case: Case) -> Iterator[Refusal]:
    """A file would be overwritten that a service uses which the inventory does not name."""
    for step in case.steps:
        if not isinstance(step.action, PutFile) or not step.action.overwrites:
            continue
        sight = case.sights[step.server]
        users = [slot for slot in _users(sight, step.action.file) if sight.wanted.slot(slot) is None]
        if users:
            yield Refusal(
                guard="shared-file",
                server=step.server,
                message=f"{step.action.file} is also used by {', '.join(users)}, which this plan leaves alone; it "
                "would load the new file at its next restart",
            )


def release_differs(case: Case) -> Iterator[Refusal]:
    """The node runs another release than the inventory says."""
    changed = set(case.changed)
    for drift in case.drift:
        if drift.reason == "release-differs" and drift.server in changed and drift.ignored is None:
            yield Refusal(
                guard="release-differs",
                server=drift.server,
                message=f"the inventory says release {drift.wanted}, the server says {drift.found}: correct the one "
                "that is wrong",
            )


def no_such_service(case: Case) -> Iterator[Refusal]:
    """The inventory names a service that the node does not have."""
    for drift in case.drift:
        if drift.reason == "no-such-service" and drift.ignored is None:
            yield Refusal(
                guard="no-such-service",
                server=drift.server,
                liftable=False,
                message=f"{drift.slot}: {drift.found}: take it out of the inventory or correct the release",
            )


GUARDS: tuple[Callable[[Case], Iterator[Refusal]], ...] = (
    unread_server,
    no_such_service,
    release_differs,
    full_chain_missing,
    not_yet_valid,
    key_gone,
    key_not_here,
    names_lost,
    client_auth_lost,
    eku_lost,
    peer_refused,
    shared_file,
    clock_skew,
    last_call_bridge,
    too_many_servers,
    foreign_lock,
)


def refusals(case: Case) -> tuple[Refusal, ...]:
    """Run every guard."""
    return tuple(refusal for guard in GUARDS for refusal in guard(case))


def rotations(case: Case) -> Iterator[tuple[Sight, WantedIdentity, Certificate]]:
    """Yield the identity slots that get another leaf, with the old one."""
    changed = {(server, binding.slot) for server, binding in _bound(case)}
    changed |= {
        (step.server, slot)
        for step in case.steps
        if isinstance(step.action, PutFile) and step.action.overwrites
        for slot in _users(case.sights[step.server], step.action.file)
    }
    for sight in case.sights.values():
        for wanted in sight.wanted.slots:
            if not isinstance(wanted, WantedIdentity) or (sight.name, wanted.slot) not in changed:
                continue
            old = sight.certificates(sight.binding(wanted.slot).certificate) or sight.shown(wanted.slot)
            if old and old[0] != wanted.material.leaf:
                yield sight, wanted, old[0]


def _bound(case: Case) -> Iterator[tuple[str, Binding]]:
    for step in case.steps:
        if isinstance(step.action, Rebind):
            yield from ((step.server, binding) for binding in step.action.bindings)


def _users(sight: Sight, file: str) -> list[str]:
    return [
        slot
        for screen in sight.observed.screens.values()
        if isinstance(screen, Known)
        for slot, binding in screen.value.bindings.items()
        if file in binding.files
    ]


def lost_ekus(old: Certificate, new: Certificate) -> list[str]:
    """Return the usages that a certificate had and its successor has not.

    No extension at all restricts nothing, so nothing can be lost from it or to it.
    """
    if old.ekus is None or new.ekus is None:
        return []
    return [eku for eku in old.ekus if eku not in new.ekus]


def _stops(step: Step, service: str) -> bool:
    return isinstance(step.action, Rebind | Restart) and step.impact is not None and step.impact.service == service


def _has_call_bridge(sight: Sight) -> bool:
    if any(wanted.slot.partition("/")[0] == "callbridge" for wanted in sight.wanted.slots):
        return True
    state = sight.state("callbridge")
    return state is not None and state.binding("callbridge").certificate is not None


def _is_mended_first(case: Case, server: str, before: str) -> bool:
    """Tell whether a call bridge that an earlier run left has to answer again before another one is stopped."""
    left = case.mended.get((server, "callbridge"))
    if left is None or "callbridge" not in left.touched.served:
        return False
    mends = {step.id for step in case.steps if step.server == server and _stops(step, "callbridge")}
    behind: set[str] = set()
    for step in case.steps:
        if mends.intersection(step.after) or behind.intersection(step.after):
            behind.add(step.id)
    return all(step.id in behind for step in case.steps if step.server == before and _stops(step, "callbridge"))


def _working_call_bridges(case: Case, bridges: list[str]) -> Iterator[str]:
    """Yield the call bridges that are reached and run, and whose port is open where any call bridge's is.

    The screen does not tell the port (T-31), so a closed one says something only where it is open elsewhere.
    """
    answers = {name: sight.observed.served.get("callbridge") for name, sight in case.sights.items()}
    open_somewhere = any(isinstance(answer, Known) for answer in answers.values())
    for name in bridges:
        sight = case.sights[name]
        if not isinstance(sight.observed.reached, Known) or not is_running(sight, "callbridge"):
            continue
        if not isinstance(answers[name], Absent) or not open_somewhere:
            yield name
