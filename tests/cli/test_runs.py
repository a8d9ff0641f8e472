"""``cmscert runs``: where it looks, what it says when there is nothing, and both forms."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cmscert.apply.journal import JOURNAL_FILE, Journal
from cmscert.model.events import CommandSent, RunEnded, RunStarted, StepStarted

AT = datetime(2026, 11, 23, 20, 30, tzinfo=UTC)
RUN = "20261123T203000Z-abc123"
Cli = Callable[..., Any]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a working folder with a state directory that holds a run that ended and a newer one that died."""
    monkeypatch.chdir(tmp_path)
    state = tmp_path / ".cmscert"
    for run, fleet in ((RUN, "example"), ("20261124T203000Z-def456", "other")):
        journal = Journal.create(state, run, {}, {"fleet": fleet, "user": "me", "machine": "desk1", "command": "apply"})
        journal.append(RunStarted(at=AT, run=run, fleet=fleet, steps=1))
        if fleet == "example":
            journal.append(RunEnded(at=AT + timedelta(seconds=9), run=run, result="applied"))
        else:
            journal.append(StepStarted(at=AT, step="1", server="core1", what="bind webadmin"))
            journal.append(CommandSent(at=AT, step="1", server="core1", typed="webadmin disable"))
        journal.close()
    return state


@pytest.mark.usefixtures("state")
def test_the_working_folder_is_looked_at(cli: Cli) -> None:
    """Without a word about where, runs are those of the folder one is in, newest first."""
    ran = cli("runs")

    assert ran.code == 0
    lines = ran.out.splitlines()
    assert [line.split()[0] for line in lines] == ["Run", "20261124T203000Z-def456", RUN]
    assert lines[1].endswith("unfinished")
    assert lines[2].endswith("applied")


def test_places_can_be_named(cli: Cli, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state directory, or the inventory beside it, from anywhere, before or behind show."""
    (tmp_path / "cluster.yaml").write_text("not an inventory at all")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    inventory = tmp_path / "cluster.yaml"

    for words in (
        ("runs", "--state-dir", state),
        ("runs", "--inventory", inventory),
        ("runs", "show", RUN, "--state-dir", state),
        ("runs", "--inventory", inventory, "show", RUN),
        ("runs", "--state-dir", state, "--format", "json", "show", RUN),
    ):
        ran = cli(*words)
        assert (ran.code, RUN in ran.out) == (0, True), ran
    assert json.loads(cli("runs", "--format", "json", "--state-dir", state, "show", RUN).out)["run"] == RUN


def test_nowhere_to_look_is_wrong_usage(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without runs and no word about where: what to say is said."""
    monkeypatch.chdir(tmp_path)
    for words in (("runs",), ("runs", "show", "last")):
        ran = cli(*words)
        assert ran.code == 2
        assert "--inventory FILE or --state-dir DIR" in ran.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--state-dir", "no"), "there is no such directory"),
        (("--inventory", "no.yaml"), "there is no such inventory"),
        (("show", "20270101"), "there is no run '20270101' here"),
        (("show", "2026112"), "2 runs begin with '2026112'"),
    ],
)
@pytest.mark.usefixtures("state")
def test_what_is_not_there_is_invalid_input(cli: Cli, words: tuple[str, ...], told: str) -> None:
    """Code 3 with the next thing to do."""
    ran = cli("runs", *words)

    assert ran.code == 3
    assert told in ran.err
    assert "hint:" in ran.err


def test_an_inventory_without_runs_has_none(cli: Cli, tmp_path: Path) -> None:
    """Before the first apply there is nothing, and that is no error."""
    (tmp_path / "cluster.yaml").write_text("")
    ran = cli("runs", "--inventory", tmp_path / "cluster.yaml")

    assert (ran.code, ran.out) == (0, "No runs yet.\n")


@pytest.mark.usefixtures("state")
def test_runs_can_be_narrowed(cli: Cli) -> None:
    """By fleet and by number; what is left out is counted."""
    assert "def456" not in cli("runs", "--fleet", "example").out
    ran = cli("runs", "--limit", "1")
    assert RUN not in ran.out
    assert "and 1 older run: --limit shows more of them" in ran.out
    document = json.loads(cli("runs", "--limit", "1", "--format", "json").out)
    assert (document["more"], len(document["runs"])) == (1, 1)


def test_results_go_into_files(cli: Cli, state: Path, tmp_path: Path) -> None:
    """With --output the list and the run go there, whole."""
    for words, mark in (((), "unfinished"), (("show", RUN), "applied and verified")):
        ran = cli("runs", *words, "--state-dir", state, "--output", tmp_path / "out")
        assert ran.out == ""
        assert mark in (tmp_path / "out").read_text()


@pytest.mark.usefixtures("state")
def test_a_run_that_died_says_what_it_had_in_hand(cli: Cli) -> None:
    """The command without an answer, and what to do next."""
    out = cli("runs", "show", "last").out

    assert "broke off; what it had in hand is not proven" in out
    assert "$ webadmin disable\n              (no answer was written down)" in out
    assert "In hand when it broke off, not proven\n  1 core1  bind webadmin" in out


def test_damage_is_shown_and_no_crash(cli: Cli, state: Path) -> None:
    """A hole in a journal is named with its line; a cut last line is said to be left out; both are listed."""
    path = state / "runs" / RUN / JOURNAL_FILE
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    assert "the last line of the journal was cut" in cli("runs", "show", RUN).out
    path.write_bytes(whole.replace(b'"steps":1', b'"steps":2'))
    ran = cli("runs", "show", RUN)
    assert ran.code == 0
    assert "the journal is damaged\nline 2: the line is damaged: its sum is wrong" in ran.out
    assert "damaged" in cli("runs").out
    assert json.loads(cli("runs", "show", RUN, "--format", "json").out)["record"]["fault"]["line"] == 2
    (state / "runs" / "empty").mkdir()
    assert cli("runs").code == 0


def test_times_are_local_in_text_and_utc_in_json(cli: Cli, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At night a person reads the clock on the wall, a program does not."""
    monkeypatch.setenv("TZ", "EET-2")
    time.tzset()
    try:
        text = cli("runs", "show", RUN, "--state-dir", state).out
        document = json.loads(cli("runs", "show", RUN, "--format", "json").out)
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()

    assert "2026-11-23 22:30:00 EET" in text
    assert document["record"]["started"] == "2026-11-23T20:30:00Z"


def test_nothing_is_written(cli: Cli, state: Path) -> None:
    """Looking changes nothing, also where one may not write."""
    before = {path: path.stat().st_mtime_ns for path in state.rglob("*")}
    for words in ((), ("show", RUN), ("show", RUN, "-v", "--format", "json")):
        assert cli("runs", *words).code == 0
    assert {path: path.stat().st_mtime_ns for path in state.rglob("*")} == before
    assert [path.name for path in state.iterdir()] == ["runs"]


@pytest.mark.usefixtures("state")
def test_runs_can_be_narrowed_to_what_they_touched(cli: Cli) -> None:
    """Only runs that began a step on a server are listed; roles and the like are no matter of journals."""
    there = json.loads(cli("runs", "--select", "server=core*", "--format", "json").out)
    nowhere = cli("runs", "--select", "server=edge1")
    wrong = cli("runs", "--select", "role=core")
    later = cli("runs", "--select", "label.site=oslo", "show", "last")

    assert [each["run"] for each in there["runs"]] == ["20261124T203000Z-def456"]
    assert (nowhere.code, nowhere.out) == (0, "No runs yet.\n")
    assert (wrong.code, later.code) == (2, 2)
    assert "server= and service= only" in wrong.err


@pytest.mark.usefixtures("state")
def test_one_run_can_be_narrowed_to_its_steps(cli: Cli) -> None:
    """Steps of other servers are left out, and that is said; a selection of nothing is wrong input."""
    text = cli("runs", "show", "last", "--select", "server=core1")
    before = cli("runs", "--select", "server=core1", "show", "last")
    nothing = cli("runs", "show", "last", "--select", "server=edge1")

    assert text.code == 0
    assert "Only server=core1: steps of others are left out" in text.out
    assert before.out == text.out
    assert nothing.code == 3
    assert "matches no step of run 20261124T203000Z-def456" in nothing.err
