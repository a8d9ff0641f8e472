"""Counts for headlines and documents."""

from __future__ import annotations

from dataclasses import dataclass

from cmscert.model.plan import FLEET, Gate, Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """How much a plan is.

    ``seconds``: interruptions added up, an estimate. ``servers``: those that differ or change.
    """

    differences: int
    ignored: int
    servers: int
    steps: int
    disturbing: int
    seconds: int
    refusals: int
    unread: int


def summarise(plan: Plan) -> Summary:
    """Count a plan. Gates type nothing and are no steps to count."""
    counted = [drift for drift in plan.drift if drift.ignored is None]
    steps = [step for step in plan.steps if not isinstance(step.action, Gate)]
    touched = {drift.server for drift in counted} | {step.server for step in steps}
    return Summary(
        differences=len(counted),
        ignored=len(plan.drift) - len(counted),
        servers=len(touched - {FLEET}),
        steps=len(steps),
        disturbing=sum(step.disturbs for step in steps),
        seconds=sum(step.impact.seconds for step in steps if step.impact is not None),
        refusals=len(plan.refusals),
        unread=len(plan.unread),
    )
