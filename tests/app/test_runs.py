"""What the journals of a state directory tell, without an inventory and without a server."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cmscert.app.runs import run_detail, runs, state_dir_for
from cmscert.apply.journal import Journal
from cmscert.apply.lock import Record, locked, write_record
from cmscert.errors import InputError
from cmscert.mmp.services import SERVICES
from cmscert.model.events import RunEnded, RunStarted
from cmscert.reports.plan_document import plan_document
from cmscert.testing.plans import sample_plan

AT = datetime(2026, 11, 23, 20, 30, tzinfo=UTC)


def ran(state: Path, run: str, *, ended: bool = True) -> Path:
    """Leave a run and return its folder."""
    journal = Journal.create(state, run, plan_document(sample_plan(), SERVICES), {"fleet": "example"})
    journal.append(RunStarted(at=AT, run=run, fleet="example", steps=0))
    if ended:
        journal.append(RunEnded(at=AT, run=run, result="applied"))
    journal.close()
    return journal.folder


def test_where_runs_are(tmp_path: Path) -> None:
    """The named directory, the inventory's, or that of the working folder, in this order."""
    inventory = tmp_path / "site" / "cluster.yaml"
    inventory.parent.mkdir()
    inventory.write_text("this is not read")
    state = tmp_path / "state"
    state.mkdir()

    assert state_dir_for(state, inventory, working=tmp_path) == state
    assert state_dir_for(None, inventory, working=tmp_path) == tmp_path / "site" / ".cmscert"
    assert state_dir_for(None, None, working=tmp_path) is None
    (tmp_path / ".cmscert").mkdir()
    assert state_dir_for(None, None, working=tmp_path) == tmp_path / ".cmscert"


def test_places_that_are_not_there(tmp_path: Path) -> None:
    """What was named and is not there is an error that says what to name."""
    with pytest.raises(InputError, match="no such directory"):
        state_dir_for(tmp_path / "no", None, working=tmp_path)
    with pytest.raises(InputError, match="no such inventory"):
        state_dir_for(None, tmp_path / "no.yaml", working=tmp_path)


def test_the_newest_come_first_and_the_rest_is_counted(tmp_path: Path) -> None:
    """Runs up to the limit, and how many there are beyond it."""
    for number in range(5):
        ran(tmp_path, f"2026112{number}T203000Z-abc123")
    made = runs(tmp_path, limit=2)

    assert [record.id[:8] for record in made.runs] == ["20261124", "20261123"]
    assert made.more == 3
    assert runs(tmp_path, limit=5).more == 0
    assert runs(tmp_path, fleet="other", limit=5).runs == ()


def test_one_run_comes_with_its_plan_and_what_it_kept(tmp_path: Path) -> None:
    """The plan is read from its folder, and kept files are named, drafts of them not."""
    folder = ran(tmp_path, "r")
    for name in ("saved/core1/a.crt", "saved/core1/.a.crt.1.part", "backups/core1/b.gz"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    made = run_detail(tmp_path, "r")

    assert made.plan is not None
    assert made.plan.fleet == "example"
    assert made.files == ("backups/core1/b.gz", "saved/core1/a.crt")
    assert not made.live


def test_a_plan_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    """The journal is told without a plan that another release wrote."""
    folder = ran(tmp_path, "r")
    (folder / "plan.json").write_text(json.dumps({"format": "cmscert.plan/9"}))

    assert run_detail(tmp_path, "r").plan is None


def test_a_run_that_goes_on_is_told_from_one_that_died(tmp_path: Path) -> None:
    """Whoever has the lock of the fleet is at work; a record that a dead process left is not."""
    ran(tmp_path, "r", ended=False)
    ran(tmp_path, "s", ended=False)
    holder = Record(fleet="example", owner="me", machine="desk", pid=1, run="r", since=AT, command="apply")
    with locked(tmp_path, "example"):
        write_record(tmp_path, holder)
        assert runs(tmp_path, limit=9).live == {"r"}
        assert run_detail(tmp_path, "r").live
        assert not run_detail(tmp_path, "s").live
    assert runs(tmp_path, limit=9).live == frozenset()
