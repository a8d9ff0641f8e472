"""Which servers a run keeps to itself, so that others can change the rest of the fleet at the same time.

Two runs may go on side by side when neither changes what the other's order leans on. So a run that was narrowed holds
what it was narrowed to, and the servers that law 10 and law 11 tie to its changes: whose trust must accept an identity
that it changes, whose identities a trust that it changes must accept, and who stands in for a service that it stops.
What a run holds is shut to others altogether; a run of the whole fleet holds every server.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cmscert.model.desired import Desired
from cmscert.model.names import service_of
from cmscert.model.plan import Rebind, Restart, Step
from cmscert.model.readings import Unread
from cmscert.planning.sight import Sight
from cmscert.planning.trust import View


def servers_held(
    desired: Desired,
    sights: Mapping[str, Sight],
    views: tuple[View, ...],
    steps: tuple[Step, ...],
    *,
    selected: bool,
) -> frozenset[str]:
    """Return the servers that nobody else may change while these steps are carried out.

    ``selected``: the plan was narrowed.
    """
    if not selected:
        return frozenset(sights)
    own = {sight.name for sight in sights.values() if sight.wanted.slots}
    own |= {member for database in desired.databases for member in database.members}
    own |= {step.server for step in steps if step.server in sights}
    return frozenset((*own, *_tied_by_trust(views), *_standing_in(sights, steps, desired.policy.one_at_a_time)))


def _tied_by_trust(views: tuple[View, ...]) -> Iterator[str]:
    crowds = set()
    for view in views:
        if view.changes or view.those("differing", lambda peer: peer.before != peer.after):
            yield view.place[0]
            crowds.add(view.crowd)
    yield from {peer.place[0] for crowd in crowds for peer in crowd.peers}


def _standing_in(sights: Mapping[str, Sight], steps: tuple[Step, ...], one_at_a_time: tuple[str, ...]) -> Iterator[str]:
    """Yield the servers with a service of which one after the other is stopped."""
    stopped = set()
    for step in steps:
        if isinstance(step.action, Rebind | Restart):
            row = sights[step.server].rows[step.action.service]
            group = row.restart_of or row.name
            if group in one_at_a_time or row.interchangeable:
                stopped.add(group)
    yield from (sight.name for sight in sights.values() for service in stopped if _has(sight, service))


def _has(sight: Sight, service: str) -> bool:
    """Tell whether a server has a service, as the inventory names it or as its screen shows; unread, it may."""
    named = {*sight.wanted.others, *(service_of(slot) for slot in sight.wanted.slots_seen)}
    state = sight.state(service)
    bound = state is not None and any(binding.files for binding in state.bindings.values())
    return service in named or bound or isinstance(sight.observed.screen(service), Unread)
