"""How a run and its steps end, in the words of events and results."""

from __future__ import annotations

from typing import Literal

from cmscert.apply.progress import Status
from cmscert.apply.stop import Stop
from cmscert.model.events import Outcome
from cmscert.model.plan import Gate, Rebind, RemoveFiles, Restart, Step

Result = Literal["applied", "rolled-back", "neither", "interrupted"]


def outcome_of(status: Status) -> Outcome:
    """A step that was never heard of again is left: only a second cancellation in the last look brings that about."""
    match status:
        case "waiting" | "running" | "undoing":
            return "left"
        case _:
            return status


def result_of(outcomes: set[Outcome], stop: Stop) -> Result:
    """Sum up how the steps ended."""
    if outcomes <= {"done"}:
        return "applied"
    if stop.is_hard:
        return "interrupted"
    if "left" in outcomes:
        return "neither"
    return "rolled-back" if outcomes & {"failed", "undone"} else "interrupted"


def gist(step: Step) -> str:
    """Say in a few words what a step is about; views that know the plan can say more."""
    match step.action:
        case Rebind() | Restart() as action:
            return f"{action.kind} {action.service}"
        case RemoveFiles() as action:
            return f"remove {', '.join(action.files)}"
        case Gate() as action:
            return f"gate: {action.opens}"
        case action:
            return f"{action.kind} {getattr(action, 'file', None) or getattr(action, 'certificate', '')}"
