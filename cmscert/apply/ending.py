"""How a run and its steps end, in the words of events and results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from cmscert.apply.progress import Status
from cmscert.apply.stop import Stop
from cmscert.model.events import Outcome
from cmscert.model.plan import Gate, PutFile, Rebind, RemoveFiles, Restart, RestoreFile, Step, Undo

Result = Literal["applied", "rolled-back", "neither", "interrupted"]


def outcome_of(status: Status) -> Outcome:
    """A step that was never heard of again is left: only a second cancellation in the last look brings that about."""
    match status:
        case "waiting" | "running" | "undoing":
            return "left"
        case _:
            return status


def result_of(outcomes: set[Outcome], stop: Stop, *, failed: bool) -> Result:
    """Sum up how the steps ended; ``failed``: whether any of them failed by itself."""
    if outcomes <= {"done"}:
        return "applied"
    if stop.is_hard:
        return "interrupted"
    if "left" in outcomes:
        return "neither"
    return "rolled-back" if failed else "interrupted"


def restored(step: Step) -> tuple[str, ...]:
    """Return the files whose saved content a step's way back puts under their old names again."""
    if isinstance(step.undo, RestoreFile):
        return (step.undo.file,)
    return tuple(each.file for each in step.undo.restores) if isinstance(step.undo, Rebind | Restart) else ()


def is_unused(step: Step, steps: Iterable[Step], status: Mapping[str, Status]) -> bool:
    """Tell whether a step overwrote a file, and every step that was to let a service load it was skipped."""
    if not isinstance(step.action, PutFile) or not step.action.overwrites or step.undo is None:
        return False
    users = [each.id for each in steps if each.server == step.server and step.action.file in loaded(each)]
    return bool(users) and all(status[name] == "skipped" for name in users)


def unloaded(steps: Iterable[Step], status: Mapping[str, Status]) -> list[tuple[Step, Undo]]:
    """Return the changes that never began, with their ways back, of services whose files were put back."""
    back = {(step.server, file) for step in steps if status[step.id] == "undone" for file in restored(step)}
    return [
        (step, step.undo)
        for step in steps
        if status[step.id] == "skipped"
        and step.undo is not None
        and any((step.server, file) in back for file in loaded(step))
    ]


def loaded(step: Step) -> frozenset[str]:
    """Return the files that a step lets a service load: those that it binds, and overwritten ones that are bound."""
    if not isinstance(step.action, Rebind | Restart):
        return frozenset()
    bound = step.action.bindings if isinstance(step.action, Rebind) else ()
    return frozenset((*(name for binding in bound for name in binding.files), *restored(step)))


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
