"""What a rollback reads before it connects to anything: the run, later runs, what was kept, the inventory."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cmscert.app.fleet import Sighted
from cmscert.app.rollback import (
    LARGEST_SAVED,
    RollbackOptions,
    _choose,
    _found,
    _inventory_of,
    _planned,
    _remembered,
    _settles,
    _told_now,
    read_past,
)
from cmscert.apply.before import observed_document
from cmscert.apply.journal import Journal
from cmscert.apply.runs import RunRecord, read_run
from cmscert.errors import InputError
from cmscert.mmp.services import SERVICES
from cmscert.model.events import CommandSent, Event, RunEnded, RunStarted, StepEnded
from cmscert.model.observed import Binding, ObservedServer
from cmscert.model.plan import Plan, Rebind, Step
from cmscert.model.readings import Known
from cmscert.model.unfinished import NOTHING_UNFINISHED
from cmscert.planning.past import Past
from cmscert.reports.plan_document import plan_document
from cmscert.testing.ca import ThrowAwayCa
from cmscert.testing.fleets import MOMENT, ToyFleet, ToyServer
from cmscert.testing.inventories import SMALL

NOW = datetime(2026, 11, 23, 21, tzinfo=UTC)
CA = ThrowAwayCa.root()


def turn(server: str = "core1", name: str = "new") -> Step:
    """Bind a pair to a TURN server that held another."""
    old, new = (Binding(slot="turn", key=f"{each}.key", certificate=f"{each}.crt") for each in ("old", name))
    return Step(
        id="1",
        server=server,
        slot="turn",
        action=Rebind(service="turn", bindings=(new,)),
        because=(),
        undo=Rebind(service="turn", bindings=(old,)),
    )


def plan_of(*steps: Step, fleet: str = "small") -> Plan:
    """Return a plan of steps."""
    return Plan(
        made_at=MOMENT,
        tool_version="0",
        fleet=fleet,
        inventory_sha256="0" * 64,
        basis={},
        releases={step.server: "3.9" for step in steps},
        steps=steps,
    )


def sent(typed: str = "turn disable", step: str = "1") -> Event:
    """Send a line."""
    return CommandSent(at=NOW, step=step, server="core1", typed=typed)


class Runs:
    """A state directory whose runs are written one after the other."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.number = 0

    def write(self, plan: Plan, *events: Event, result: str | None = "applied", **header: object) -> RunRecord:
        """Write a run."""
        self.number += 1
        run = f"20261123T21{self.number:02}00Z-00000{self.number}"
        observed = {"core1": replace(server().observe(), name="core1")}
        given = {"fleet": plan.fleet, "inventory": "inventory.yaml", "inventory_path": "../inventory.yaml", **header}
        journal = Journal.create(
            self.state, run, plan_document(plan, SERVICES), given, observed=observed_document(plan.fleet, observed)
        )
        for event in (RunStarted(at=NOW, run=run, fleet=plan.fleet, steps=len(plan.steps)), *events):
            journal.append(event)
        if result is not None:
            journal.append(RunEnded(at=NOW, run=run, result=result))  # type: ignore[arg-type]  # a word of the model
        journal.close()
        return read_run(journal.folder)


def server() -> ToyServer:
    """Return a server with an old pair in its TURN server."""
    fleet = ToyFleet()
    core = fleet.server("core1")
    core.hold("turn", (CA.issue("core1.example.com").certificate,))
    return core


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    """Give a state directory beside a small inventory."""
    (tmp_path / "inventory.yaml").write_text(SMALL)
    return Runs(tmp_path / ".cmscert")


def reason(caught: pytest.ExceptionInfo[InputError]) -> str:
    """Return what is said first."""
    return caught.value.faults[0].message


def test_what_a_journal_tells(runs: Runs) -> None:
    """Every step of which a line was sent counts; its last end is what came of it; strange ids are nobody's."""
    steps = (turn(), replace(turn(), id="2"), replace(turn(), id="3"))
    record = runs.write(
        plan_of(*steps),
        sent(),
        StepEnded(at=NOW, step="1", server="core1", outcome="done"),
        sent(step="2"),
        StepEnded(at=NOW, step="3", server="core1", outcome="skipped"),
        sent(step="99"),
    )
    past = read_past(record)

    assert past.outcomes == {"1": "done", "2": None}
    assert past.seen == {"core1"}
    assert past.answered == {("core1", "turn")}
    assert {slot for name, slot in past.bound if name == "core1"} == {"turn"}
    assert past.held


def test_without_what_was_observed(runs: Runs) -> None:
    """A run of an older release has no such file: names are enough."""
    record = runs.write(plan_of(turn()), sent())
    (record.folder / "observed.json").unlink()

    assert read_past(record).held == {}


def test_a_damaged_journal_is_refused(runs: Runs) -> None:
    """What a run did after the damage is not known, so it is not taken back."""
    record = runs.write(plan_of(turn()), sent(), sent())
    lines = (record.folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b"turn", b"tarn")
    (record.folder / "journal.jsonl").write_bytes(b"".join(lines))

    with pytest.raises(InputError) as caught:
        read_past(read_run(record.folder))
    assert "is damaged" in reason(caught)
    assert "cmscert status" in (caught.value.hint or "")


def test_kept_files(runs: Runs) -> None:
    """Public files are taken; links, keys, what is too large and other places are not."""
    step = turn()
    record = runs.write(plan_of(step, replace(turn("../../core1"), id="2")), sent(), sent(step="2"))
    folder = record.folder / "saved" / "core1"
    folder.mkdir(parents=True)
    (folder / "good.crt").write_bytes(CA.certificate_pem)
    (folder / "large.crt").write_bytes(CA.certificate_pem + b"\n" * LARGEST_SAVED)
    (folder / "secret.key").write_bytes(CA.certificate_pem)
    (folder / "text.crt").write_text("no certificate")
    (folder / "folder.crt").mkdir()
    (folder / "link.crt").symlink_to(folder / "good.crt")
    outside = record.folder.parent.parent / "core1"
    outside.mkdir()
    (outside / "evil.crt").write_bytes(CA.certificate_pem)

    assert set(read_past(record).kept) == {("core1", "good.crt")}
    linked = runs.write(plan_of(step), sent())
    (linked.folder / "saved").mkdir()
    (linked.folder / "saved" / "core1").symlink_to(folder)
    assert read_past(linked).kept == {}


def test_later_runs(runs: Runs) -> None:
    """Later runs on the fleet are remembered with what they changed; others, and what cannot be read, are not."""
    first = runs.write(plan_of(turn()), sent(), result="interrupted")
    second = runs.write(plan_of(turn()), sent(), result=None, rolls_back=first.id)
    runs.write(plan_of(turn(), fleet="other"), sent())
    broken = runs.write(plan_of(turn()), sent())
    (broken.folder / "plan.json").write_text("{}")
    third = runs.write(plan_of(turn()), sent(), rolls_back=first.id)

    record, later = _told_now(first, runs.state)
    past = _remembered(record, later, NOTHING_UNFINISHED)
    changed = frozenset({("core1", "turn")})
    assert past.later == ((second.id, changed), (third.id, changed))
    assert _settles(record, later) == (first.id, second.id)
    assert _settles(third, ()) == ()


def test_where_the_inventory_is(runs: Runs, tmp_path: Path) -> None:
    """The journal tells it, by path or by name alone; when it is not there, the hint says how to name it."""
    record = runs.write(plan_of(turn()))
    named = runs.write(plan_of(turn()), inventory_path=None)
    nothing = runs.write(plan_of(turn()), inventory_path=None, inventory=None)

    assert _inventory_of(record, runs.state).resolve() == tmp_path / "inventory.yaml"
    assert _inventory_of(named, runs.state).resolve() == tmp_path / "inventory.yaml"
    for each, told in ((nothing, "names no inventory"), (record, "is not at")):
        (tmp_path / "inventory.yaml").unlink(missing_ok=True)
        with pytest.raises(InputError) as caught:
            _inventory_of(each, runs.state)
        assert told in reason(caught)
        assert "--inventory" in (caught.value.hint or "")


def test_which_inventory_fits(runs: Runs, tmp_path: Path) -> None:
    """The fleet must be the run's, with every server that it changed; nothing but addresses and logins is needed."""
    inventory = tmp_path / "inventory.yaml"
    past = read_past(runs.write(plan_of(turn()), sent()))
    chosen = _choose(inventory, past)

    assert [each.name for each in chosen.desired.servers] == ["core1"]
    assert [each.name for each in chosen.fleet.servers] == ["core1", "core2"]
    assert {each.slot for each in chosen.desired.servers[0].looked_at} == {"webadmin", "turn"}
    assert chosen.loaded.keys == {}
    for wrong, told in (
        (plan_of(turn(), fleet="other"), "changed fleet other"),
        (plan_of(turn("gone")), "changed gone"),
    ):
        with pytest.raises(InputError) as caught:
            _choose(inventory, read_past(runs.write(wrong, sent())))
        assert told in reason(caught)


def test_no_state_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is named, runs are looked for in the working folder, and missing ones are said to be missing."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        _found("last", RollbackOptions())
    assert "no runs in the working folder" in reason(caught)
    (tmp_path / ".cmscert").mkdir()
    with pytest.raises(InputError) as caught:
        _found("last", RollbackOptions())
    assert "no run 'last'" in reason(caught)


def test_names_that_cannot_be_typed(runs: Runs, tmp_path: Path) -> None:
    """A plan of somebody else's making cannot make this tool type what it should not: it is refused."""
    past = read_past(runs.write(plan_of(turn()), sent()))
    bad = Binding(slot="turn", key='a" b\n', certificate="x.crt")
    step = replace(turn(), undo=Rebind(service="turn", bindings=(bad,)))
    crafted = Past(run=past.run, plan=plan_of(step), outcomes={"1": "done"})
    chosen = _choose(tmp_path / "inventory.yaml", past)
    observed: dict[str, ObservedServer] = {name: server().observe() for name in ("core1", "core2")}
    bound = Binding(slot="turn", key="new.key", certificate="new.crt")
    screen = observed["core1"].screen("turn")
    assert isinstance(screen, Known)
    screens = {**observed["core1"].screens, "turn": Known(replace(screen.value, bindings={"turn": bound}))}
    observed["core1"] = replace(observed["core1"], screens=screens)

    with pytest.raises(InputError) as caught:
        _planned(crafted, chosen, Sighted(observed=observed, failures={}), NOW, frozenset())
    assert "cannot be typed" in reason(caught)
