"""``plan`` and ``drift``: read the fleet through read-only sessions, and compare (law 1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cmscert import __version__
from cmscert.app.fleet import PARALLEL, Sighted, entries, observe, reach
from cmscert.app.inventory import Chosen, choose
from cmscert.app.ports import Ports
from cmscert.apply.memory import Memory
from cmscert.errors import NodeError
from cmscert.mmp.services import SERVICES
from cmscert.model.database import FormerPrimary
from cmscert.model.desired import Desired
from cmscert.model.plan import Plan
from cmscert.model.results import DriftReport
from cmscert.planning.make import Planned, make_plan

STATE = ".cmscert"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanResult:
    """A plan, and the errors of the servers that could not be read."""

    plan: Plan
    failures: Mapping[str, NodeError]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftResult:
    """A drift report, and the errors of the servers that could not be read."""

    report: DriftReport
    failures: Mapping[str, NodeError]


async def look(chosen: Chosen, desired: Desired, ports: Ports, *, parallel: int = PARALLEL) -> Sighted:
    """Read the servers of ``desired``, a part of what was chosen, through sessions that cannot write."""
    entry = entries(chosen.loaded.logins, desired.servers, chosen.folder)
    async with reach(entry, ports.reader, parallel=parallel) as reached:
        return await observe(reached, desired, entry, ports, members=members_of(chosen))


def members_of(chosen: Chosen) -> frozenset[str]:
    """Return the servers of every database of the inventory, selected or not: what they use must not be removed."""
    return frozenset(name for database in chosen.loaded.desired.databases for name in database.members)


def memory_of(chosen: Chosen, state_dir: Path | None) -> Memory:
    """Return the notes of a fleet; without a folder they are in ``.cmscert`` beside the inventory."""
    return Memory(state_dir or chosen.folder / STATE, chosen.loaded.desired.fleet)


def recall(chosen: Chosen, memory: Memory) -> dict[str, FormerPrimary]:
    """Return who held the data of the databases whose rebuild is not finished. Raises InputError."""
    return memory.noted(database.name for database in chosen.fleet.databases)


def missed(chosen: Chosen, sighted: Sighted) -> dict[str, NodeError]:
    """Return why selected servers could not be read."""
    selected = {server.name for server in chosen.desired.servers}
    return {name: error for name, error in sighted.failures.items() if name in selected}


def compare(chosen: Chosen, sighted: Sighted, moment: datetime, noted: Mapping[str, FormerPrimary]) -> Planned:
    """Make the plan of what was read. ``noted``: what ``recall`` returned."""
    return make_plan(
        chosen.fleet,
        sighted.observed,
        table=SERVICES,
        moment=moment,
        tool_version=__version__,
        select=chosen.select,
        noted=noted,
    )


async def plan(
    inventory: Path,
    ports: Ports,
    *,
    now: datetime,
    select: tuple[str, ...] = (),
    parallel: int = PARALLEL,
    state_dir: Path | None = None,
) -> PlanResult:
    """Say what differs and in which order it can be put right.

    ``now`` is aware UTC. ``state_dir``: where runs write, ``.cmscert`` beside the inventory by default.
    Raises InputError and SecretError; a server that cannot be read makes the plan incomplete.
    """
    chosen = choose(inventory, now=now, select=select)
    noted = recall(chosen, memory_of(chosen, state_dir))
    sighted = await look(chosen, chosen.fleet, ports, parallel=parallel)
    return PlanResult(plan=compare(chosen, sighted, now, noted).plan, failures=missed(chosen, sighted))


async def drift(
    inventory: Path,
    ports: Ports,
    *,
    now: datetime,
    select: tuple[str, ...] = (),
    parallel: int = PARALLEL,
    state_dir: Path | None = None,
) -> DriftResult:
    """Say what on the servers is not as wanted. Same arguments and errors as ``plan``, and the same comparison."""
    chosen = choose(inventory, now=now, select=select)
    noted = recall(chosen, memory_of(chosen, state_dir))
    sighted = await look(chosen, chosen.fleet, ports, parallel=parallel)
    made = compare(chosen, sighted, now, noted).plan
    report = DriftReport(
        made_at=made.made_at,
        fleet=made.fleet,
        inventory_sha256=made.inventory_sha256,
        servers=len(chosen.desired.servers),
        slots=sum(len(server.slots) for server in chosen.desired.servers)
        + sum(len(database.members) for database in chosen.desired.databases),
        select=made.select,
        unread=made.unread,
        findings=made.drift,
        notices=made.notices,
    )
    return DriftResult(report=report, failures=missed(chosen, sighted))
