"""Everything about a fleet out of one look, for the reports that people pass on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cmscert.app.fleet import PARALLEL
from cmscert.app.inventory import choose
from cmscert.app.plan import compare, drift_report, look, missed, recall, state_dir_of
from cmscert.app.ports import Ports
from cmscert.app.status import fleet_status
from cmscert.app.unfinished import looking_at
from cmscert.errors import NodeError
from cmscert.model.overview import Overview


@dataclass(frozen=True, slots=True, kw_only=True)
class OverviewResult:
    """The overview, and the errors of the servers that could not be read."""

    overview: Overview
    failures: Mapping[str, NodeError]


async def overview(
    inventory: Path,
    ports: Ports,
    *,
    now: datetime,
    select: tuple[str, ...] = (),
    parallel: int = PARALLEL,
    state_dir: Path | None = None,
) -> OverviewResult:
    """Read the fleet once, and say what is there, what differs and what to do. Arguments and errors: as ``plan``."""
    chosen = choose(inventory, now=now, select=select)
    recalled = recall(chosen, state_dir_of(chosen, state_dir))
    wanted = looking_at(chosen.fleet, recalled.unfinished, chosen.loaded.desired)
    sighted = await look(chosen, wanted, ports, parallel=parallel)
    made = compare(chosen, sighted, now, recalled).plan
    return OverviewResult(
        overview=Overview(
            status=fleet_status(chosen, sighted.observed, now), drift=drift_report(chosen, made), plan=made
        ),
        failures=missed(chosen, sighted),
    )
