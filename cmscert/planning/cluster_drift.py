"""What differs in a database cluster, what stops its rebuild, and what is only to be said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from cmscert.model.database import DatabaseFiles
from cmscert.model.desired import Material, Policy
from cmscert.model.plan import Drift, Notice, Refusal
from cmscert.model.readings import Known, Unread
from cmscert.planning.cluster import UNCLEAR, Cluster
from cmscert.planning.due import chain_of, due_at, end_of, is_due
from cmscert.planning.ignoring import with_ignores
from cmscert.planning.words import day, time_left

MOST_NODES = 5
"""Facts 5.2: one source says three, one says five; more than five is backed by none."""


def slot_of(cluster: Cluster) -> str:
    """Name a cluster where services name their slots."""
    return f"database/{cluster.wanted.name}"


def database_drift(cluster: Cluster, policy: Policy, moment: datetime) -> Iterator[Drift]:
    """Yield every difference of a cluster, member by member, with ``policy.ignore`` applied.

    A member that is in no cluster is never left alone: the others may wait for it.
    """
    for drift in _differences(cluster, policy, moment):
        yield drift if drift.reason == "database-not-joined" else with_ignores(drift, policy.ignore, moment)


def _differences(cluster: Cluster, policy: Policy, moment: datetime) -> Iterator[Drift]:
    for name in cluster.wanted.members:
        state = cluster.state(name)
        if cluster.phases[name] == "unread" or state is None:
            continue
        if cluster.phases[name] == "out":
            yield _drift(cluster, name, "database-not-joined", _role(cluster, name), "in no cluster")
            continue
        for reason, wanted, found in cluster.faults.get(name, ()):
            yield _drift(cluster, name, reason, wanted, found)
        if state.error is not None:
            yield _drift(cluster, name, "database-error", "a status without error", state.error)
        for use, material in _materials(cluster, name):
            yield from _due(cluster, name, use, material, policy, moment)
    for name in cluster.out_of_sync:
        drift = _drift(cluster, name, "database-out-of-sync", "connected and in sync", "not so")
        yield Drift(
            server=name,
            slot=drift.slot,
            reason=drift.reason,
            wanted=drift.wanted,
            found=drift.found,
            severity="warning",
            plannable=False,
        )


def _role(cluster: Cluster, server: str) -> str:
    return "a node of the cluster" if server in cluster.wanted.nodes else "a client of the cluster"


def _drift(cluster: Cluster, server: str, reason: str, wanted: str, found: str) -> Drift:
    return Drift(server=server, slot=slot_of(cluster), reason=reason, wanted=wanted, found=found)


def _materials(cluster: Cluster, server: str) -> Iterator[tuple[str, Material]]:
    if cluster.wanted.minting is not None:  # what is due of it is a fault, as it can be made anew
        return
    yield "client", cluster.wanted.client[server]
    if server in cluster.wanted.nodes:
        yield "server", cluster.wanted.server[server]


def _due(
    cluster: Cluster, server: str, use: str, material: Material, policy: Policy, moment: datetime
) -> Iterator[Drift]:
    """Say that what is bound is due; a step only follows where the inventory has newer material."""
    state, sight = cluster.state(server), cluster.sights[server]
    files = (state.files if state is not None else None) or DatabaseFiles()
    found = sight.certificates(files.client_certificate if use == "client" else files.server_certificate)
    if not found:
        return
    chain = material.full_chain if found[0] == material.leaf else chain_of(found[0], sight.certificates(files.ca))
    if not is_due(chain, policy.renew_when, moment):
        return
    end = end_of(chain)
    expired = end <= moment
    yield Drift(
        server=server,
        slot=slot_of(cluster),
        reason="expired" if expired else "expires-soon",
        wanted=f"the {use} certificate renewed from {day(due_at(chain, policy.renew_when))}",
        found=f"{time_left(end, moment)}, on {day(end)}",
        severity="error" if expired else "warning",
        plannable=found[0] != material.leaf,
    )


def database_unread(cluster: Cluster) -> Iterator[tuple[str, str]]:
    """Yield what of a cluster could not be read: (server, why)."""
    for name in cluster.wanted.members:
        sight = cluster.sights[name]
        if cluster.phases[name] != "unread" or isinstance(sight.observed.reached, Unread):
            continue
        reading = sight.observed.database
        why = "a bound certificate could not be read"
        if isinstance(reading, Unread):
            why = reading.why
        elif not isinstance(reading, Known):
            why = "this release does not know the command"
        elif not reading.value.standing:
            why = "its status shows no cluster, and not that there is none"
        yield name, f"{slot_of(cluster)}: {why}"


def primary_unclear(cluster: Cluster) -> Iterator[Refusal]:
    """Nobody can say for certain whose rows are the truth."""
    live, noted = cluster.live_primary, cluster.noted
    where = slot_of(cluster)
    if live == UNCLEAR:
        message = "its members do not name one and the same primary"
        if cluster.claimed is not None and cluster.blind:
            message = f"{', '.join(cluster.blind)} see no primary; {cluster.claimed} says that it is: make sure of that"
        yield Refusal(guard="primary-unclear", message=f"{where}: {message}")
    elif noted is not None and live not in (None, noted.server):
        yield Refusal(
            guard="primary-unclear",
            server=live,
            message=f"{where}: {live} is primary now, but {noted.server} was when the rebuild began on "
            f"{day(noted.at)}: rows may have been written to both",
        )
    elif noted is None and live is not None and cluster.phases[live] == "out":
        yield Refusal(
            guard="primary-unclear",
            server=live,
            message=f"{where}: its members name {live} as primary, and {live} says that it is in no cluster",
        )
    elif noted is None and live is None:
        left = [name for name in cluster.wanted.members if _has_left(cluster, name)]
        if left:
            yield Refusal(
                guard="primary-unclear",
                message=f"{where}: {', '.join(left)} left a cluster and no run noted who held the data; find "
                f"out who was primary, make it databases.{cluster.wanted.name}.primary, then lift this",
            )


def _has_left(cluster: Cluster, server: str) -> bool:
    state = cluster.state(server)
    return state is not None and (state.last_command or "").startswith("database cluster remove")


def member_down(cluster: Cluster) -> Iterator[Refusal]:
    """A member cannot be read: it would stay behind with old certificates, or come back as a second truth."""
    for name in cluster.wanted.members:
        if cluster.phases[name] == "unread":
            yield Refusal(
                guard="database-member-down",
                server=name,
                message=f"{slot_of(cluster)}: this member could not be read; bring it back first",
            )


def replica_behind(cluster: Cluster) -> Iterator[Refusal]:
    """A replica is not in sync, so its copy is no second copy of the data while the cluster is down."""
    for name in cluster.out_of_sync:
        yield Refusal(
            guard="database-replica-behind",
            server=name,
            message=f"{slot_of(cluster)}: not connected or not in sync: wait for it, or find out why",
        )


def rebuild(cluster: Cluster) -> Iterator[Refusal]:
    """A live cluster would be torn down."""
    if cluster.is_rebuilt and cluster.standing:
        yield Refusal(
            guard="database-rebuild",
            message=f"{slot_of(cluster)}: the cluster is taken down and built anew from the rows of {cluster.primary}; "
            "the call bridges have no database meanwhile",
        )


def no_backup(cluster: Cluster) -> Iterator[Refusal]:
    """A node that may hold rows cannot be backed up before the cluster is taken down."""
    for name in cluster.wanted.nodes:
        if cluster.is_rebuilt and cluster.phases[name] == "unread":
            yield Refusal(
                guard="database-no-backup",
                server=name,
                message=f"{slot_of(cluster)}: no backup can be made of this node before the cluster is taken down",
            )


def busy(cluster: Cluster) -> Iterator[Refusal]:
    """A database command is still at work on a member."""
    for name in cluster.wanted.members:
        state = cluster.state(name)
        if state is not None and state.busy:
            yield Refusal(
                guard="database-busy",
                server=name,
                liftable=False,
                message=f"{slot_of(cluster)}: {state.last_command or 'a command'} is still at work: plan again later",
            )


DATABASE_GUARDS: tuple[Callable[[Cluster], Iterator[Refusal]], ...] = (
    rebuild,
    primary_unclear,
    member_down,
    replica_behind,
    no_backup,
    busy,
)


def database_notices(cluster: Cluster) -> Iterator[Notice]:
    """Yield what is to be said of a cluster."""
    nodes = len(cluster.wanted.nodes)
    if nodes % 2 == 0 or nodes > MOST_NODES:
        message = f"{slot_of(cluster)}: {nodes} nodes: an odd number, three or five, is recommended"
        yield Notice(reason="database-size", message=message)
    if cluster.noted is not None:
        message = (
            f"{slot_of(cluster)}: a rebuild was begun on {day(cluster.noted.at)} and is continued; the data is on "
            f"{cluster.noted.server}"
        )
        yield Notice(reason="database-continued", message=message)
