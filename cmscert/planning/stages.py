"""From targets to disturbing changes in a safe order.

A node of the graph is one change of one service on one server, in one of three stages: trust, identity, prune. Trust
and identity of a service share one stop of the service wherever the order allows it; only where services wait for each
other in a circle is the cheapest one changed in two goes. Trust that the restart of another service loads (``tls``)
shares that one's stop as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from typing import Literal

from cmscert.model.names import service_of
from cmscert.model.services import Service
from cmscert.planning.peers import Place
from cmscert.planning.trust import Move

Stage = Literal["trust", "identity", "prune"]
Part = Literal["first", "whole", "pruned"]
_RANK: Mapping[Stage, int] = {"trust": 0, "identity": 1, "prune": 2}
_ENOUGH = 3
"""Servers of a group, of which one is whole while two services of others change."""


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """One stop of one service on one server; ``service`` is the one that is restarted."""

    server: str
    service: str
    stage: Stage


Graph = dict[Change, set[Change]]
"""A change to the changes that come before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """The graph with the links of "one at a time"; ``order``: a whole order that keeps to it.

    ``slots``: what each change binds: (slot, part), the part being ``first`` (trust before the rotation), ``whole``
    (identity) or ``pruned`` (trust after it).
    """

    graph: Graph
    order: tuple[Change, ...]
    slots: Mapping[Change, tuple[tuple[str, Part], ...]]


@dataclass(slots=True)
class _Held:
    """Which slots a change binds, and where each trust and identity ended up."""

    slots: dict[Change, list[tuple[str, Part]]]
    first: dict[Place, Change]
    whole: dict[Place, Change]
    pruned: dict[Place, Change]


def stage(
    identities: tuple[Place, ...],
    moves: Mapping[Place, Move],
    rows: Mapping[Place, Service],
    *,
    servers: tuple[str, ...],
    one_at_a_time: tuple[str, ...],
    starts: tuple[Place, ...] = (),
    urgent: frozenset[Place] = frozenset(),
) -> Staged:
    """Order the changes.

    ``identities``: identity slots that change. ``moves``: how trusts change, by place. ``rows``: by (server, service).
    ``starts``: (server, service) of services that only load what is bound. ``urgent``: those that may be down.
    ``servers``: the inventory's order, which breaks ties, so that the same input gives the same order.
    """
    split: set[Place] = set()
    rank = {server: number for number, server in enumerate(servers)}
    while True:
        held = _hold(identities, moves, split, starts, rows)
        graph = _graph(held, moves)
        circle = _circle(graph)
        if circle is None:
            break
        split.add(min(_services(circle), key=lambda place: (rows[place].seconds, rank[place[0]], place[1])))
    _webadmin_last(graph)
    order = _chain(graph, rows, rank, one_at_a_time, urgent)
    return Staged(
        graph=graph, order=order, slots={change: tuple(sorted(slots)) for change, slots in held.slots.items()}
    )


def _hold(
    identities: tuple[Place, ...],
    moves: Mapping[Place, Move],
    split: set[Place],
    starts: tuple[Place, ...],
    rows: Mapping[Place, Service],
) -> _Held:
    held = _Held(slots={Change(*place, "identity"): [] for place in starts}, first={}, whole={}, pruned={})

    def stopped(place: Place) -> Place:
        server, service = place[0], service_of(place[1])
        carrier = rows[server, service].restart_of
        shares = carrier is not None and not {(server, service), (server, carrier)}.intersection(starts)
        return (server, carrier) if carrier is not None and shares and (server, carrier) in rows else (server, service)

    def put(place: Place, stage: Stage, part: Part) -> Change:
        change = Change(*stopped(place), stage)
        held.slots.setdefault(change, []).append((place[1], part))
        return change

    for place in identities:
        held.whole[place] = put(place, "identity", "whole")
    for place, move in moves.items():
        if move.first is not None:
            apart = stopped(place) in split
            held.first[place] = put(place, "trust" if apart else "identity", "first")
        if move.prune:
            held.pruned[place] = put(place, "prune", "pruned")
    return held


def _graph(held: _Held, moves: Mapping[Place, Move]) -> Graph:
    graph: Graph = {change: set() for change in held.slots}
    for place, move in moves.items():
        for waiting in move.waits:
            graph[held.whole[waiting]].add(held.first[place])
        for peer in move.prune_after:
            graph[held.pruned[place]].add(held.whole[peer])
    for change in graph:
        stages = (stage for stage in _RANK if _RANK[stage] < _RANK[change.stage])
        graph[change].update(earlier for stage in stages if (earlier := replace(change, stage=stage)) in graph)
    return graph


def _circle(graph: Graph) -> list[Change] | None:
    try:
        TopologicalSorter({change: sorted(before) for change, before in sorted(graph.items())}).prepare()
    except CycleError as error:
        circle: list[Change] = error.args[1]
        return circle
    return None


def _services(circle: list[Change]) -> set[Place]:
    return {(change.server, change.service) for change in circle}


def _webadmin_last(graph: Graph) -> None:
    """Web administration comes last on a node (prunes aside), so that one way in stays until the rest is proven."""
    others: dict[str, set[Change]] = {}
    for change in graph:
        if change.service != "webadmin" and change.stage != "prune":
            others.setdefault(change.server, set()).add(change)
    for change in graph:
        if change.service == "webadmin" and change.stage == "identity":
            graph[change] |= others.get(change.server, set())


def _chain(
    graph: Graph,
    rows: Mapping[Place, Service],
    servers: Mapping[str, int],
    one_at_a_time: tuple[str, ...],
    urgent: frozenset[Place],
) -> tuple[Change, ...]:
    """Add the links of "never two at once" (law 11) and return the whole order."""
    level: dict[Change, int] = {}
    for change in TopologicalSorter(graph).static_order():
        level[change] = max((level[before] + 1 for before in graph[change]), default=0)

    places = _places(graph, rows, servers, one_at_a_time)

    def turn(change: Change) -> tuple[int, bool, int, int, str]:
        calm = (change.server, change.service) not in urgent
        group = _group(rows[change.server, change.service], one_at_a_time)
        place = servers[change.server] if group is None else places[group][change.server]
        return level[change], calm, _RANK[change.stage], place, change.service

    order = sorted(graph, key=turn)
    last: dict[str, Change] = {}
    for change in order:
        group = _group(rows[change.server, change.service], one_at_a_time)
        if group is None:
            continue
        if group in last:
            graph[change].add(last[group])
        last[group] = change
    return tuple(order)


def _group(row: Service, one_at_a_time: tuple[str, ...]) -> str | None:
    """Name those of which one at a time changes; None for a service that stands for nobody else."""
    group = row.restart_of or row.name
    return group if group in one_at_a_time or row.interchangeable else None


def _places(
    graph: Graph, rows: Mapping[Place, Service], servers: Mapping[str, int], one_at_a_time: tuple[str, ...]
) -> dict[str, dict[str, int]]:
    """Return, by group and server, the place that the server has in the order.

    Groups on the same servers would all begin on the first one and wait for each other there, as a server changes one
    service at a time. So the second begins on the second server, and comes to the first in the end. Where there are
    two servers only it waits: otherwise both would be touched before anything is proven.
    """
    members: dict[str, set[str]] = {}
    for change in graph:
        group = _group(rows[change.server, change.service], one_at_a_time)
        if group is not None:
            members.setdefault(group, set()).add(change.server)
    places: dict[str, dict[str, int]] = {}
    for number, group in enumerate(sorted(members)):
        mine = sorted(members[group], key=servers.__getitem__)
        earlier = sum(not members[other].isdisjoint(mine) for other in sorted(members)[:number])
        ahead = earlier if len(mine) >= _ENOUGH else 0
        places[group] = {mine[(at + ahead) % len(mine)]: servers[name] for at, name in enumerate(mine)}
    return places
