"""How the newest run of a fleet ended, as monitoring is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from cmscert.app.last_run import last_run
from cmscert.apply.journal import Journal
from cmscert.model.events import RunEnded, RunStarted

AT = datetime(2026, 11, 23, 20, 30, tzinfo=UTC)


def ran(state: Path, days: int, result: Literal["applied", "neither"] | None, fleet: str = "example") -> str:
    """Leave a run that began so many days ago; without a result it never ended."""
    at = AT - timedelta(days=days)
    run = f"{at:%Y%m%dT%H%M%SZ}-abc123"
    journal = Journal.create(state, run, {}, {"fleet": fleet})
    journal.append(RunStarted(at=at, run=run, fleet=fleet, steps=0))
    if result is not None:
        journal.append(RunEnded(at=at, run=run, result=result))
    journal.close()
    return run


def test_nothing_is_told_before_a_run_has_ended(tmp_path: Path) -> None:
    """No run, only one that goes on or died, or one of another fleet: there is no last one."""
    assert last_run(tmp_path / "c.yaml", "example") is None
    ran(tmp_path / ".cmscert", 1, None)
    ran(tmp_path / ".cmscert", 2, "applied", fleet="other")
    assert last_run(tmp_path / "c.yaml", "example") is None


def test_the_newest_run_that_ended_is_told(tmp_path: Path) -> None:
    """Beside the inventory, or in the directory that was named."""
    ran(tmp_path / ".cmscert", 3, "applied")
    newest = ran(tmp_path / ".cmscert", 2, "neither")
    ran(tmp_path / ".cmscert", 1, None)
    found = last_run(tmp_path / "c.yaml", "example")

    assert found is not None
    assert (found.run, found.result, found.ended) == (newest, "neither", AT - timedelta(days=2))
    assert last_run(tmp_path / "elsewhere" / "c.yaml", "example", state_dir=tmp_path / ".cmscert") == found
