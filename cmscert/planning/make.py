"""Desired and observed in, plan out: the one function that decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from cmscert.model.database import FormerPrimary
from cmscert.model.desired import Desired, WantedIdentity
from cmscert.model.names import service_of
from cmscert.model.observed import ObservedServer
from cmscert.model.plan import Drift, Plan, Step
from cmscert.model.readings import Unread
from cmscert.model.services import ServiceTable
from cmscert.model.unfinished import NOTHING_UNFINISHED, Unfinished
from cmscert.planning.basis import basis_of
from cmscert.planning.case import Case
from cmscert.planning.cluster import see_cluster
from cmscert.planning.cluster_drift import DATABASE_GUARDS, database_drift, database_notices, database_unread
from cmscert.planning.cluster_steps import draft_cluster
from cmscert.planning.drift import awaited_drift, find_drift, find_unread
from cmscert.planning.guards import refusals
from cmscert.planning.holds import servers_held
from cmscert.planning.interrupted import (
    by_server,
    find_interruptions,
    left_to_mend,
    settled_by,
    unproven_slots,
    with_copies,
)
from cmscert.planning.notices import notices
from cmscert.planning.numbering import number
from cmscert.planning.peers import Place
from cmscert.planning.predict import predict
from cmscert.planning.removal import removable
from cmscert.planning.sight import Sight, see
from cmscert.planning.stages import stage
from cmscert.planning.steps import Drafting, draft_services, in_order, services_gate
from cmscert.planning.targets import LOADED_ONLY, TRUST_ONLY, Target, identity_target
from cmscert.planning.trust import Move, Scope, find_views, move


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A plan, and the public bytes that its uploads need, by content id. Keys stay with whoever loaded them.

    ``settles``: unfinished runs that nobody has to hear of again once the plan is applied, or has nothing to do.
    ``held``: the servers that the run keeps to itself; None stands for every one.
    """

    plan: Plan
    contents: Mapping[str, bytes]
    settles: tuple[str, ...] = ()
    held: frozenset[str] | None = None


def make_plan(  # noqa: PLR0913 - each is one thing that a plan leans on
    desired: Desired,
    observed: Mapping[str, ObservedServer],
    *,
    table: ServiceTable,
    moment: datetime,
    tool_version: str,
    select: tuple[str, ...] = (),
    noted: Mapping[str, FormerPrimary] | None = None,
    dead: frozenset[str] = frozenset(),
    unfinished: Unfinished = NOTHING_UNFINISHED,
) -> Planned:
    """Compare and order. Deterministic: the same arguments give the same plan.

    ``observed``: by server name, for every server of ``desired``. ``noted``: by database, who held its data when a
    rebuild began that is not finished yet. ``unfinished``: what runs left that died. ``dead``:
    runs that are known to be over, whatever their lock files say.
    """
    seen = {server.name: see(server, observed[server.name], table) for server in desired.servers}
    left = find_interruptions(unfinished, seen, selected=bool(select))
    left_there = by_server(left)
    sights = with_copies(seen, unfinished, left)
    drift = (
        *awaited_drift(desired, moment),
        *(
            item
            for name, sight in sights.items()
            for item in find_drift(sight, desired.policy, moment, left_there.get(name, ()))
        ),
    )
    members = {name for database in desired.databases for name in database.members}
    needed = (sight for sight in sights.values() if sight.wanted.slots or sight.name in members)
    unread = tuple((sight.name, why) for sight in needed for why in find_unread(sight))
    clusters = tuple(
        see_cluster(database, sights, (noted or {}).get(database.name), policy=desired.policy, moment=moment)
        for database in desired.databases
    )
    targets, because = _targets(sights, drift)
    loaded = frozenset(place for place, reasons in because.items() if set(reasons) <= LOADED_ONLY)
    scope = Scope(changing=frozenset(because), loaded=loaded, unproven=unproven_slots(left, sights))
    views = find_views(sights, scope)
    unknown = any(isinstance(sight.observed.reached, Unread) for sight in sights.values())
    moves = {view.place: found for view in views if (found := move(view, peers_unknown=unknown)) is not None}
    rows = {(sight.name, name): row for sight in sights.values() for name, row in sight.rows.items()}
    one_at_a_time = desired.policy.one_at_a_time
    mended = left_to_mend(left, drift)
    changed = _changed(targets, moves)
    staged = stage(
        tuple(place for place in targets if place not in moves or not set(because[place]) <= TRUST_ONLY),
        moves,
        rows,
        servers=tuple(sights),
        one_at_a_time=one_at_a_time,
        starts=tuple(place for place in mended if place not in changed),
        urgent=frozenset(mended),
    )
    drafting = Drafting(
        sights=sights, policy=desired.policy, targets=targets, moves=moves, because=because, left=mended
    )
    gate = services_gate()
    services = draft_services(drafting, staged, gate)
    rebuilt = {cluster.wanted.name: draft_cluster(cluster, drafting, gate, services, moment) for cluster in clusters}
    drafts = in_order(drafting, gate, [*services, *(draft for drafts in rebuilt.values() for draft in drafts)])
    steps = number(drafts, {})
    removals = _removals(sights, steps, drafting.contents, desired)
    steps = number(drafts, removals)
    differs = tuple(item for cluster in clusters for item in database_drift(cluster, desired.policy, moment))
    missed = tuple(item for cluster in clusters for item in database_unread(cluster))
    held = [
        cluster for cluster in clusters if rebuilt[cluster.wanted.name] or cluster.phases[cluster.primary] == "unread"
    ]
    kept = servers_held(desired, sights, views, steps, selected=bool(select))
    bases = {name: basis_of(sight.observed) for name, sight in sights.items() if name in kept}
    case = Case(
        desired=desired,
        sights=sights,
        unread=(*unread, *missed),
        drift=(*drift, *differs),
        views=views,
        moves=moves,
        steps=steps,
        moment=moment,
        dead=dead,
        unfinished=unfinished,
        interruptions=left,
        mended=mended,
        held=kept,
    )
    plan = Plan(
        made_at=moment,
        tool_version=tool_version,
        fleet=desired.fleet,
        inventory_sha256=desired.inventory_sha256,
        basis={name: digest for name, (digest, _) in bases.items()},
        basis_parts={name: parts for name, (_, parts) in bases.items()},
        select=select,
        unread=case.unread,
        drift=case.drift,
        steps=steps,
        refusals=(
            *refusals(case),
            *(found for cluster in held for guard in DATABASE_GUARDS for found in guard(cluster)),
        ),
        notices=(*notices(case), *(found for cluster in clusters for found in database_notices(cluster))),
        releases={name: str(sight.release) for name, sight in sights.items() if sight.release is not None},
    )
    return Planned(plan=plan, contents=drafting.contents, settles=settled_by(unfinished, left), held=kept)


def _changed(targets: Mapping[Place, Target], moves: Mapping[Place, Move]) -> frozenset[Place]:
    """Return the services that load their files because a slot of theirs changes, as (server, service)."""
    first = (place for place, found in moves.items() if found.first is not None)
    return frozenset((server, service_of(slot)) for server, slot in (*targets, *first))


def _targets(
    sights: Mapping[str, Sight], drift: tuple[Drift, ...]
) -> tuple[dict[Place, Target], dict[Place, tuple[str, ...]]]:
    """Return the identity slots that change, and the reasons of every slot that changes."""
    by_place: dict[Place, list[Drift]] = {}
    for item in drift:
        if item.slot is not None and item.plannable:
            by_place.setdefault((item.server, item.slot), []).append(item)
    targets: dict[Place, Target] = {}
    because: dict[Place, tuple[str, ...]] = {}
    for sight in sights.values():
        for wanted in sight.wanted.slots:
            place = (sight.name, wanted.slot)
            if place not in by_place:
                continue
            because[place] = tuple(item.reason for item in by_place[place])
            if isinstance(wanted, WantedIdentity):
                targets[place] = identity_target(sight, wanted, because[place])
    return targets, because


def _removals(
    sights: Mapping[str, Sight], steps: tuple[Step, ...], contents: Mapping[str, bytes], desired: Desired
) -> dict[str, tuple[str, ...]]:
    after = {name: sight.observed for name, sight in sights.items()}
    for step in steps:
        if step.server in after:
            after[step.server] = predict(after[step.server], step, contents)
    found = {name: removable(sight, after[name], desired.policy, desired.databases) for name, sight in sights.items()}
    return {name: files for name, files in found.items() if files}
