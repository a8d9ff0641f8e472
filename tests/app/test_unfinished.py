"""What the journals of a fleet say about runs that never came to a good end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest

from cmscert.app.unfinished import find_unfinished, looking_at, settle_runs
from cmscert.apply.before import observed_document
from cmscert.apply.journal import JOURNAL_FILE, PLAN_FILE, Journal
from cmscert.apply.lock import Record, locked, write_record
from cmscert.apply.settled import SETTLED_FILE
from cmscert.errors import JournalError
from cmscert.mmp.services import SERVICES
from cmscert.model.desired import LookedAt
from cmscert.model.events import CommandSent, Event, Outcome, RunEnded, RunStarted, StepEnded, StepStarted
from cmscert.model.observed import Binding, ObservedServer
from cmscert.model.plan import (
    FLEET,
    Action,
    Gate,
    Impact,
    Plan,
    PutFile,
    Rebind,
    Restart,
    RestoreFile,
    SaveFile,
    Step,
    Undo,
)
from cmscert.model.readings import Known
from cmscert.model.unfinished import NOTHING_UNFINISHED, Unfinished
from cmscert.reports.plan_document import plan_document
from cmscert.testing.ca import ThrowAwayCa
from cmscert.testing.fleets import ToyFleet, identity, material

AT = datetime(2026, 11, 23, 20, 30, tzinfo=UTC)
SHA = "0" * 64
OLD = Binding(slot="webadmin", key="old.key", certificate="old.crt")
NEW = Binding(slot="webadmin", key="new.key", certificate="new.crt")
CERT = RestoreFile(file="cb.crt", saved_as="cb-saved.crt")
KEY = RestoreFile(file="cb.key", saved_as="cb-saved.key")
Word = tuple[str, str] | str


def step(name: str, action: Action, undo: Undo | None = None, slot: str | None = None) -> Step:
    """Return a step on core1."""
    impact = Impact(service=action.service, notices="x", seconds=1) if isinstance(action, Rebind | Restart) else None
    server = FLEET if isinstance(action, Gate) else "core1"
    return Step(id=name, server=server, slot=slot, action=action, because=("test",), impact=impact, undo=undo)


def put(name: str, restore: RestoreFile) -> Step:
    """Return an upload over a file in use."""
    action = PutFile(file=restore.file, content=f"sha256:{SHA}", role="certificate", overwrites=True)
    return step(name, action, restore)


BIND = step("1", Rebind(service="webadmin", bindings=(NEW,)), Rebind(service="webadmin", bindings=(OLD,)), "webadmin")
OFF = step(
    "1",
    Rebind(service="turn", bindings=(Binding(slot="turn", key="a.key", certificate="a.crt"),), stopped=True),
    Rebind(service="turn", bindings=(Binding(slot="turn"),), stopped=True),
)
FIXED = (
    step("1", SaveFile(file="cb.crt", saved_as="cb-saved.crt")),
    step("services", Gate(opens="services")),
    put("2", CERT),
    put("3", KEY),
    step("4", Restart(service="callbridge"), Restart(service="callbridge", restores=(CERT, KEY)), "callbridge"),
    step("5", Restart(service="webadmin"), Restart(service="webadmin", restores=(KEY,)), "webadmin"),
)


def ran(
    state: Path,
    number: int,
    steps: tuple[Step, ...],
    *words: Word,
    result: Literal["applied", "rolled-back", "neither", "interrupted"] | None = None,
    header: Mapping[str, object] | None = None,
    observed: Mapping[str, ObservedServer] | None = None,
    fleet: str = "toy",
) -> str:
    """Leave the journal of a run. A word is a step that sends something, ``-`` and a step that goes back, or an end."""
    at = AT + timedelta(hours=number)
    run = f"{at:%Y%m%dT%H%M%SZ}-aaaaaa"
    plan = Plan(
        made_at=at,
        tool_version="0",
        fleet=fleet,
        inventory_sha256=SHA,
        basis={},
        steps=steps,
        releases={"core1": "3.9"},
    )
    told = {"fleet": fleet, "user": "ann", "machine": "laptop", "command": "apply", **(header or {})}
    before = None if observed is None else observed_document(fleet, observed)
    journal = Journal.create(state, run, plan_document(plan, SERVICES), told, observed=before)
    servers = {each.id: each.server for each in steps}
    events: list[Event] = [RunStarted(at=at, run=run, fleet=fleet, steps=len(steps))]
    for word in words:
        events += _events(at, word, servers)
    if result is not None:
        events.append(RunEnded(at=at, run=run, result=result))
    for event in events:
        journal.append(event)
    journal.close()
    return run


def _events(at: datetime, word: Word, servers: Mapping[str, str]) -> list[Event]:
    if isinstance(word, tuple):
        name, outcome = word
        ends: dict[str, Outcome] = {each: each for each in ("done", "failed", "undone", "left", "skipped")}
        return [StepEnded(at=at, step=name, server=servers.get(name, "core1"), outcome=ends[outcome])]
    name, server = word.lstrip("-+"), servers.get(word.lstrip("-+"), "core1")
    begun = StepStarted(at=at, step=name, server=server, what="do it", undoing=word.startswith("-"))
    return [begun] if word.startswith("+") else [begun, CommandSent(at=at, step=name, server=server, typed="x")]


def places(found: Unfinished) -> list[tuple[str, str, str]]:
    """Return what is left, with the run that left it."""
    return [(each.service, each.run[9:11], each.step) for each in found.touched.values()]


def test_nothing_is_left_without_runs(tmp_path: Path) -> None:
    """No state directory, no runs, and runs that ended well leave nothing."""
    assert find_unfinished(tmp_path / "no", "toy") == NOTHING_UNFINISHED
    ran(tmp_path, 0, (BIND,), "1", ("1", "done"), result="applied")
    ran(tmp_path, 1, (BIND,), "1", ("1", "failed"), "-1", ("1", "undone"), result="rolled-back")

    assert find_unfinished(tmp_path, "toy") == NOTHING_UNFINISHED


def test_a_run_that_died_in_a_step(tmp_path: Path) -> None:
    """A service whose step has no end is left, with what was bound before and the lines that start it."""
    run = ran(tmp_path, 0, (BIND,), "1")
    found = find_unfinished(tmp_path, "toy")
    touched = found.touched["core1", "webadmin"]

    assert (touched.running, touched.switched, touched.before) == (True, True, {"webadmin": OLD})
    assert (touched.slots, touched.by_hand) == (("webadmin",), ("webadmin disable", "webadmin enable"))
    (told,) = found.runs
    assert (told.id, told.user, told.machine, told.command, told.started) == (run, "ann", "laptop", "apply", AT)
    assert (told.result, told.at_steps, told.touched) == (
        None,
        ("step 1 on core1 (do it)",),
        (("core1", "webadmin"),),
    )


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ((), False),
        (("+1",), False),
        (("1", ("1", "done")), False),
        (("1", ("1", "done"), "-1"), True),
        (("1", ("1", "done"), "+1"), False),
        (("1", ("1", "failed")), True),
        (("1", ("1", "failed"), "-1"), True),
        (("1", ("1", "failed"), "-1", ("1", "undone")), False),
        (("1", ("1", "failed"), "-1", ("1", "left")), True),
        (("1", ("1", "left")), True),
        ((("1", "skipped"),), False),
        (("9", ("9", "done")), False),
    ],
)
def test_what_proves_a_service(tmp_path: Path, words: tuple[Word, ...], *, left: bool) -> None:
    """Only a step that is done, or taken back, proves a service; one that sent nothing touched nothing."""
    ran(tmp_path, 0, (BIND,), *words)

    assert bool(find_unfinished(tmp_path, "toy").touched) is left


def test_way_back_that_broke_off_is_named(tmp_path: Path) -> None:
    """A run that died on a way back says so."""
    ran(tmp_path, 0, (BIND,), "1", ("1", "failed"), "-1")

    assert find_unfinished(tmp_path, "toy").runs[0].at_steps == ("step 1 on core1 (do it, on its way back)",)


@pytest.mark.parametrize("result", ["neither", "interrupted"])
def test_a_run_that_ended_badly_counts(tmp_path: Path, result: Literal["neither", "interrupted"]) -> None:
    """A run that itself says that it left something is open like one that died."""
    ran(tmp_path, 0, (BIND,), "1", ("1", "left"), result=result)
    found = find_unfinished(tmp_path, "toy")

    assert places(found) == [("webadmin", "20", "1")]
    assert (found.runs[0].result, found.runs[0].at_steps) == (result, ())


def test_a_service_that_was_off_did_not_run(tmp_path: Path) -> None:
    """A service that the plan knew to be off is not held for running before."""
    ran(tmp_path, 0, (OFF,), "1")

    assert find_unfinished(tmp_path, "toy").touched["core1", "turn"].running is False


def test_later_runs_prove_and_add(tmp_path: Path) -> None:
    """A later step that is done settles a service; one that is not keeps what the first run knew of it."""
    off = step("1", Rebind(service="webadmin", bindings=(OLD,), stopped=True), Restart(service="webadmin"))
    ran(tmp_path, 0, (BIND,), "1")
    assert find_unfinished(tmp_path, "toy").touched["core1", "webadmin"].running is True
    ran(tmp_path, 1, (off,), "1")
    twice = find_unfinished(tmp_path, "toy")
    ran(tmp_path, 2, (BIND,), "1", ("1", "done"), result="applied")
    proven = find_unfinished(tmp_path, "toy")

    assert twice.touched["core1", "webadmin"].running is True
    assert twice.touched["core1", "webadmin"].before == {"webadmin": OLD}
    assert places(twice) == [("webadmin", "21", "1")]
    assert proven.touched == {}
    assert [run.touched for run in proven.runs] == [(), ()]


def test_settled_runs_are_heard_of_no_more(tmp_path: Path) -> None:
    """A run that was settled leaves nothing; a rollback of it may have left a server out, and alone settles nothing."""
    first, second = ran(tmp_path, 0, (BIND,), "1"), ran(tmp_path, 1, FIXED, "2", "4")
    settle_runs(tmp_path, (first,), by=second, at=AT)
    assert places(find_unfinished(tmp_path, "toy")) == [("callbridge", "21", "4")]
    third = ran(tmp_path, 2, (BIND,), result="applied", header={"rolls_back": second})
    found = find_unfinished(tmp_path, "toy")
    settle_runs(tmp_path, (second,), by=third, at=AT)

    assert ([run.id for run in found.runs], places(found)) == ([second], [("callbridge", "21", "4")])
    assert find_unfinished(tmp_path, "toy") == NOTHING_UNFINISHED
    note = json.loads((tmp_path / "runs" / first / SETTLED_FILE).read_bytes())
    assert (note["run"], note["by"], note["at"]) == (first, second, AT.isoformat())


def test_settling_needs_the_disk(tmp_path: Path) -> None:
    """A run that cannot be marked is an error that says that all else is done; one that is not there needs no mark."""
    run = ran(tmp_path, 0, (BIND,), "1")
    (tmp_path / "runs" / run / SETTLED_FILE).mkdir()

    with pytest.raises(JournalError, match="cannot be written") as caught:
        settle_runs(tmp_path, ("not-kept", run), by="x", at=AT)
    assert "all is done" in (caught.value.hint or "")


def test_only_the_fleet_and_what_is_over(tmp_path: Path) -> None:
    """Other fleets, the run that asks and the run that goes on now are left out."""
    ran(tmp_path, 0, (BIND,), "1", fleet="other")
    own, live = ran(tmp_path, 1, (BIND,), "1"), ran(tmp_path, 2, (BIND,), "1")
    with locked(tmp_path, "toy"):
        record = Record(fleet="toy", owner="ann", machine="laptop", pid=1, run=live, since=AT, command="apply")
        write_record(tmp_path, record)
        found = find_unfinished(tmp_path, "toy", own=own)

    assert found.runs == ()


def test_overwritten_files_and_their_copies(tmp_path: Path) -> None:
    """A file that was overwritten touches every service that loads it; its copy counts until all have loaded it."""
    ran(tmp_path, 0, FIXED, "1", ("1", "done"), ("services", "done"), "2", ("2", "done"), "3")
    found = find_unfinished(tmp_path, "toy")

    assert {place[1]: (each.switched, each.files) for place, each in found.touched.items()} == {
        "callbridge": (False, ("cb.crt", "cb.key")),
        "webadmin": (False, ("cb.key",)),
    }
    assert found.saved == {("core1", "cb.crt"): "cb-saved.crt", ("core1", "cb.key"): "cb-saved.key"}
    assert found.torn == {("core1", "cb.key")}
    assert found.touched["core1", "callbridge"].slots == ("callbridge",)


@pytest.mark.parametrize(
    ("words", "services", "saved", "torn"),
    [
        (("1",), set(), set(), {"cb-saved.crt"}),
        (("2", ("2", "failed"), "-2", ("2", "undone")), set(), set(), set()),
        (("2", ("2", "failed"), "-2"), {"callbridge"}, {"cb.crt"}, {"cb.crt"}),
        (("2", ("2", "done"), "3", ("3", "failed"), "-3", ("3", "undone")), {"callbridge"}, {"cb.crt"}, set()),
        (("2", ("2", "done"), "3", ("3", "done"), "4", ("4", "done")), {"webadmin"}, {"cb.key"}, set()),
        (
            ("2", ("2", "done"), "3", ("3", "done"), "4", ("4", "done"), "5", ("5", "done")),
            set(),
            set(),
            set(),
        ),
        (("2", ("2", "done"), "4", ("4", "failed"), "-4"), {"callbridge"}, {"cb.crt"}, {"cb.crt", "cb.key"}),
        (("2", ("2", "done"), "4", ("4", "failed"), "-4", ("4", "undone")), set(), {"cb.crt"}, set()),
    ],
)
def test_copies_are_forgotten(
    tmp_path: Path, words: tuple[Word, ...], services: set[str], saved: set[str], torn: set[str]
) -> None:
    """A copy is forgotten when its file is as before, or when every service has loaded what took its place."""
    ran(tmp_path, 0, FIXED, *words)
    found = find_unfinished(tmp_path, "toy")

    assert {service for _, service in found.touched} == services
    assert {file for _, file in found.saved} == saved
    assert {file for _, file in found.torn} == torn


def test_files_that_are_back_leave_a_stopped_service(tmp_path: Path) -> None:
    """A service that was itself stopped is left although the files under it are as before."""
    ran(tmp_path, 0, FIXED, "4", "3", ("3", "failed"), "-3", ("3", "undone"))

    assert ("core1", "callbridge") in find_unfinished(tmp_path, "toy").touched


def test_what_was_served_before(tmp_path: Path) -> None:
    """What was observed before a run tells which leaf its ports showed; the newest run counts."""
    ca = ThrowAwayCa.root("Root")
    leaves = [ca.issue(name, sans=(name,)).certificate for name in ("a.example.com", "b.example.com")]
    seen = [
        ObservedServer(
            name="core1", reached=Known(value=True), served={"webadmin": Known((leaf,)), "x": Known((leaf,))}
        )
        for leaf in leaves
    ]
    ran(tmp_path, 0, (BIND,), "1", observed={"core1": seen[0]})
    first = find_unfinished(tmp_path, "toy")
    ran(tmp_path, 1, (BIND,), "1", observed={"core1": seen[1]})
    second = find_unfinished(tmp_path, "toy")

    assert first.touched["core1", "webadmin"].served == {"webadmin": leaves[0].sha256}
    assert second.touched["core1", "webadmin"].served == {"webadmin": leaves[1].sha256}


def test_tags_are_kept(tmp_path: Path) -> None:
    """A service that comes several to a server is started by its tag; one that nobody knows has no lines."""
    bound = Binding(slot="loadbalancer", key="a.key", certificate="a.crt", tag="front")
    ran(tmp_path, 0, (step("1", Restart(service="turn", tags=("front",)), None),), "1")
    odd = step("1", Rebind(service="turn", bindings=(Binding(slot="turn", key="a.key", certificate="a.crt", tag="t"),)))
    ran(tmp_path, 1, (odd,), "1")
    found = find_unfinished(tmp_path, "toy").touched["core1", "turn"]

    assert found.tags == ("t",)
    assert found.by_hand == ("turn disable t", "turn enable t")
    assert bound.tag == "front"


def test_unreadable_plan_and_journal_are_told(tmp_path: Path) -> None:
    """A plan that cannot be read adds nothing, a damaged journal what stands before the damage; both are told."""
    first, second = ran(tmp_path, 0, (BIND,), "1"), ran(tmp_path, 1, (BIND,), "1", ("1", "left"))
    (tmp_path / "runs" / first / PLAN_FILE).write_text("{}")
    journal = tmp_path / "runs" / second / JOURNAL_FILE
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:-1], b"damaged\n", *lines[-1:]]))
    found = find_unfinished(tmp_path, "toy")

    assert places(found) == [("webadmin", "21", "1")]
    assert [run.fault is not None for run in found.runs] == [True, True]
    assert [run.touched for run in found.runs] == [(), (("core1", "webadmin"),)]


def test_a_journal_without_a_good_end_is_read(tmp_path: Path) -> None:
    """What is no journal, or has no good end, is told as a run that may have left something."""
    names = []
    for number, text in enumerate((b"", b"[]\n", b'{"event": {"kind": "run-ended"}}\n', b'{"event": 7}\n')):
        name = ran(tmp_path, number, (BIND,), result="applied")
        journal = tmp_path / "runs" / name / JOURNAL_FILE
        header, *_ = journal.read_bytes().splitlines(keepends=True)
        journal.write_bytes(header + text)
        names.append(name)

    assert [run.id for run in find_unfinished(tmp_path, "toy").runs] == names


def test_what_was_touched_is_looked_at(tmp_path: Path) -> None:
    """Touched slots are read where the inventory says, or else as they are, with the files that were bound before."""
    ca = ThrowAwayCa.root("Root")
    fleet = ToyFleet()
    core = fleet.server("core1")
    fleet.server("core2")
    core.wanted["webadmin"] = identity("webadmin", material("x", ca.issue("x", sans=("x",)).certificate, ()))
    ran(tmp_path, 0, (BIND,), "1")
    ran(tmp_path, 1, (step("1", Restart(service="turn"), None, "turn"),), "1")
    desired = fleet.desired()

    assert looking_at(desired, NOTHING_UNFINISHED, desired) is desired
    looking = looking_at(desired, find_unfinished(tmp_path, "toy"), desired)
    again = looking_at(looking, find_unfinished(tmp_path, "toy"), desired)

    assert looking.server("core1").looked_at == (LookedAt(slot="webadmin", bindings=(OLD,)), LookedAt(slot="turn"))
    assert looking.server("core2").looked_at == ()
    assert again == looking
