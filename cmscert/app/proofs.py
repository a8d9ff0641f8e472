"""Keeps what runs left on the servers, and says by that where differences come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from cmscert.app.ports import Note
from cmscert.apply.journal import PLAN_FILE
from cmscert.apply.proofs import read_proofs, unknown_runs, with_open, write_proofs
from cmscert.errors import InputError, JournalError
from cmscert.mmp.services import SERVICES
from cmscert.model.desired import Desired
from cmscert.model.observed import ObservedServer
from cmscert.model.origin import Proofs
from cmscert.model.plan import FLEET
from cmscert.model.results import DriftReport
from cmscert.planning.origin import with_origins
from cmscert.planning.proving import Ran, prove


def proofs_of(state_dir: Path, fleet: str, *, own: str | None = None) -> Proofs:
    """Return what the runs of a fleet left; ``own``: the run that asks. Never raises: a fault says why there is none.

    Where a run did not come to its end, or another release wrote it, nothing is told of the servers in its plan.
    """
    kept = read_proofs(state_dir, fleet)
    if not kept.proofs.servers:
        return kept.proofs
    broken: dict[str, str] = {}
    try:
        for folder in unknown_runs(state_dir, fleet, kept.runs | {own or ""}):
            broken |= dict.fromkeys(_changed(folder), folder.name)
    except InputError as error:
        return Proofs(fault=error.faults[0].message)
    return with_open(kept.proofs, broken)


def _changed(folder: Path) -> tuple[str, ...]:
    """Name the servers that the plan of a run was to change; an empty name where it cannot be read."""
    from cmscert.app.plan_file import load_plan  # late: its forms cost a tenth of a start, and few starts need them

    try:
        plan = load_plan(folder / PLAN_FILE)
    except InputError:
        return ("",)
    return tuple(dict.fromkeys(step.server for step in plan.steps if step.server != FLEET))


def keep_proofs(state_dir: Path, ran: Ran, note: Note, *, own: str) -> None:
    """Keep what a run left, or what was found when it had nothing to do; that it cannot be kept is no fault of it."""
    fleet = ran.plan.fleet
    try:
        write_proofs(state_dir, fleet, prove(ran, proofs_of(state_dir, fleet, own=own), SERVICES))
    except (JournalError, InputError) as error:
        note("what was left is not kept", why=error.message)


def traced(
    report: DriftReport, desired: Desired, observed: Mapping[str, ObservedServer], proofs: Proofs
) -> DriftReport:
    """Say of every finding where it comes from."""
    return replace(report, findings=with_origins(report.findings, desired, observed, SERVICES, proofs))
