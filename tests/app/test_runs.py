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
from cmscert.model.events import Asked, CommandSent, RunEnded, RunStarted, StepStarted
from cmscert.model.plan import Rebind, Restart
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


def stepped(state: Path, run: str, *steps: tuple[str, str]) -> None:
    """Leave a run that began these steps of the sample plan, each on its server, and asked one question of each."""
    journal = Journal.create(state, run, plan_document(sample_plan(), SERVICES), {"fleet": "example"})
    journal.append(RunStarted(at=AT, run=run, fleet="example", steps=9))
    for step, server in steps:
        journal.append(StepStarted(at=AT, step=step, server=server, what="something"))
        journal.append(CommandSent(at=AT, step=step, server=server, typed="webadmin"))
        journal.append(Asked(at=AT, server=server, typed="webadmin", shown="", seconds=0.1))
    hands = (("core1", ("webadmin enable",)), ("edge1", ("turn enable",)))
    journal.append(RunEnded(at=AT, run=run, result="neither", by_hand=hands))
    journal.close()


def step_of(service: str) -> tuple[str, str]:
    """Return the first step of the sample plan that changes a service, with its server."""
    return next(
        (step.id, step.server)
        for step in sample_plan().steps
        if isinstance(step.action, Rebind | Restart) and step.action.service == service
    )


def test_runs_are_found_by_what_they_touched(tmp_path: Path) -> None:
    """By servers and services of the steps that were begun, the newest up to the limit, and the rest counted."""
    turn, webbridge = step_of("turn"), step_of("webbridge3")
    stepped(tmp_path, "20261121T203000Z-abc123", turn)
    stepped(tmp_path, "20261122T203000Z-abc123", webbridge)
    stepped(tmp_path, "20261123T203000Z-abc123", turn, webbridge)

    def found(*select: str, limit: int = 9) -> list[str]:
        return [record.id[:8] for record in runs(tmp_path, limit=limit, select=select).runs]

    assert found("service=turn") == ["20261123", "20261121"]
    assert found("service=webbridge3", f"server={webbridge[1]}") == ["20261123", "20261122"]
    assert found("service=webadmin") == []
    assert found("service=turn", limit=1) == ["20261123"]
    assert runs(tmp_path, limit=1, select=("service=turn",)).more == 1
    (tmp_path / "runs" / "20261121T203000Z-abc123" / "plan.json").write_text("{")
    assert found("service=turn") == ["20261123"]


def test_one_run_is_narrowed_as_a_whole(tmp_path: Path) -> None:
    """Steps, what was typed and asked, what is to be typed by hand and what was kept: only of servers that fit."""
    core = next((step.id, step.server) for step in sample_plan().steps if step.server == "core1")
    edge = step_of("turn")
    run = "20261123T203000Z-abc123"
    stepped(tmp_path, run, core, edge)
    for server in ("core1", "edge1"):
        kept = tmp_path / "runs" / run / "saved" / server
        kept.mkdir(parents=True)
        (kept / "old.crt").write_text("")
    made = run_detail(tmp_path, run, select=("server=edge1",))
    turns = run_detail(tmp_path, run, select=("service=turn",))

    assert made.plan is not None
    assert {step.server for step in made.plan.steps} == {"edge1"}
    assert {event.server for event in made.record.events if hasattr(event, "server")} == {"edge1"}
    assert made.record.end is not None
    assert made.record.end.by_hand == (("edge1", ("turn enable",)),)
    assert made.files == ("saved/edge1/old.crt",)
    assert isinstance(made.record.events[0], RunStarted)
    assert made.record.events[0].steps == len(made.plan.steps)
    assert turns.plan is not None
    assert edge[0] in {step.id for step in turns.plan.steps}
    with pytest.raises(InputError, match="matches no step"):
        run_detail(tmp_path, run, select=("server=core9",))


def test_a_run_without_its_plan_is_narrowed_by_its_journal(tmp_path: Path) -> None:
    """Where the plan cannot be read, servers are told by the journal alone."""
    run = "20261123T203000Z-abc123"
    stepped(tmp_path, run, step_of("turn"))
    (tmp_path / "runs" / run / "plan.json").write_text("{")
    made = run_detail(tmp_path, run, select=("server=edge1",))

    assert made.plan is None
    assert [event.step for event in made.record.events if isinstance(event, StepStarted)] == [step_of("turn")[0]]
