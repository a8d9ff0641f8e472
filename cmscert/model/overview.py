"""A fleet from every side, out of one look: what a report for people needs."""

from __future__ import annotations

from dataclasses import dataclass

from cmscert.model.plan import Plan
from cmscert.model.results import DriftReport, FleetStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What is there, what differs, and what would put it right; all three of the same moment."""

    status: FleetStatus
    drift: DriftReport
    plan: Plan
