"""Everything about a fleet out of one look, for the reports that people pass on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from cmscert.app.fleet import PARALLEL
from cmscert.app.inventory import choose
from cmscert.app.plan import drift_report, planned, recall, recall_if_readable, state_dir_of
from cmscert.app.ports import Ports
from cmscert.app.proofs import proofs_of, traced
from cmscert.app.status import fleet_status
from cmscert.errors import NodeError
from cmscert.model.origin import Proofs
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
    lenient: bool = False,
) -> OverviewResult:
    """Read the fleet once, and say what is there, what differs and what to do. Arguments and errors: as ``plan``.

    ``lenient``: go on without the journal where it cannot be read, and say so; nothing is to be planned then.
    """
    chosen = choose(inventory, now=now, select=select)
    if lenient:
        recalled, fault = recall_if_readable(chosen, state_dir)
    else:
        recalled, fault = recall(chosen, state_dir_of(chosen, state_dir)), None
    found = await planned(chosen, ports, recalled, now=now, parallel=parallel)
    proofs = Proofs(fault=fault) if fault else proofs_of(state_dir_of(chosen, state_dir), found.plan.fleet)
    drift = traced(drift_report(chosen, found.plan), chosen.desired, found.observed, proofs)
    return OverviewResult(
        overview=Overview(
            status=replace(fleet_status(chosen, found.observed, now), findings=drift.findings, journal=fault),
            drift=drift,
            plan=found.plan,
        ),
        failures=found.failures,
    )
