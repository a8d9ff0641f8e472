"""How the newest run of a fleet ended, for monitoring."""

from __future__ import annotations

from pathlib import Path

from cmscert.app.plan import own_state_dir
from cmscert.apply.runs import last_ended
from cmscert.model.results import LastRun


def last_run(inventory: Path, fleet: str, *, state_dir: Path | None = None) -> LastRun | None:
    """Look into the journals of this machine; None where no run of the fleet has ended. Raises InputError."""
    found = last_ended(state_dir or own_state_dir(inventory.parent), fleet)
    if found is None or found.end is None:
        return None
    return LastRun(run=found.id, result=found.end.result, ended=found.end.at)
