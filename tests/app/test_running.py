"""What surrounds a run: who it says it is, and the old runs that go when it ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cmscert.app import running as running_module
from cmscert.app.holding import Writer
from cmscert.app.ports import Ports
from cmscert.app.running import Running
from cmscert.apply.journal import Journal
from cmscert.apply.stop import Stop
from cmscert.model.desired import Desired, KeepRuns, Policy
from cmscert.model.events import RunEnded
from cmscert.testing.plans import sample_plan

NOW = datetime(2026, 11, 23, 20, 30, tzinfo=UTC)


class Notes(list[tuple[str, dict[str, object]]]):
    """What was remarked."""

    def __call__(self, event: str, /, **facts: object) -> None:
        """Take a remark."""
        self.append((event, facts))


def running(state: Path, inventory: Path, notes: Notes) -> Running:
    """Return a run that reaches nobody."""
    nobody: Any = None
    writer = Writer(fleet="toy", run="own", owner="me", machine="desk", command="apply", allow=("x",))
    return Running(
        ports=Ports(reader=nobody, writer=nobody, probe=nobody, clock=lambda: NOW, note=notes),
        talk=nobody,
        stop=Stop(),
        writer=writer,
        inventory=inventory,
        state_dir=state,
        rolls_back="older",
    )


def desired(count: int = 1, days: int = 30) -> Desired:
    """Return a fleet that keeps so many runs for so many days."""
    policy = Policy(keep_runs=KeepRuns(count=count, days=days))
    return Desired(fleet="toy", servers=(), policy=policy, inventory_sha256="0" * 64)


def ran(state: Path, run: str) -> None:
    """Leave a run that ended an hour ago."""
    journal = Journal.create(state, run, {}, {"fleet": "toy"})
    journal.append(RunEnded(at=NOW - timedelta(hours=1), run=run, result="applied"))
    journal.close()


def test_old_runs_go_as_the_inventory_says(tmp_path: Path) -> None:
    """What goes is remarked, and nothing is when nothing goes."""
    notes = Notes()
    for run in ("a", "b", "own"):
        ran(tmp_path, run)
    run = running(tmp_path, tmp_path / "x.yaml", notes)
    running_module._prune(desired(count=2), run)
    running_module._prune(desired(count=2), run)

    assert notes == [("old runs removed", {"runs": ["a"]})]
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["b", "own"]


def test_old_runs_that_cannot_go_are_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that ended well stays so; why old ones stay is remarked."""
    notes = Notes()
    ran(tmp_path, "a")
    ran(tmp_path, "b")

    def stuck(*_given: object) -> None:
        raise OSError(13, "Permission denied")

    monkeypatch.setattr("shutil.rmtree", stuck)
    running_module._prune(desired(), running(tmp_path, tmp_path / "x.yaml", notes))

    ((event, facts),) = notes
    assert event == "old runs stay"
    assert "Permission denied" in str(facts["why"])


def test_the_header_names_no_place_of_this_machine(tmp_path: Path) -> None:
    """Who, where from, what was asked for; the inventory is named from the state directory."""
    inventory = tmp_path / "site" / "cluster.yaml"
    run = running(tmp_path / "state", inventory, Notes())
    header = running_module._header(run, sample_plan(), {"commit": "c", "dirty": False})

    assert isinstance(header.pop("pid"), int)
    assert header.pop("tool_version")
    assert header == {
        "user": "me",
        "machine": "desk",
        "fleet": "example",
        "command": "apply",
        "rolls_back": "older",
        "select": list(sample_plan().select),
        "allow": ["x"],
        "inventory": "cluster.yaml",
        "inventory_path": "../site/cluster.yaml",
        "revision": {"commit": "c", "dirty": False},
    }
