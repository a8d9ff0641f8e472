"""Everything about a fleet out of one look, for the reports that people pass on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cmscert.app.fleet import PARALLEL
from cmscert.app.plan import drift_report, plan, state_dir_of
from cmscert.app.ports import Ports
from cmscert.app.proofs import proofs_of, traced
from cmscert.app.status import fleet_status
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
    found = await plan(inventory, ports, now=now, select=select, parallel=parallel, state_dir=state_dir)
    proofs = proofs_of(state_dir_of(found.chosen, state_dir), found.plan.fleet)
    return OverviewResult(
        overview=Overview(
            status=fleet_status(found.chosen, found.observed, now),
            drift=traced(drift_report(found.chosen, found.plan), found.chosen.desired, found.observed, proofs),
            plan=found.plan,
        ),
        failures=found.failures,
    )
