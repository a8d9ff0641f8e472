"""Runs as people and machines read them: a list, and one run with all that was typed and answered."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from cmscert.apply.runs import RunRecord
from cmscert.errors import Fault
from cmscert.model.events import (
    Asked,
    CommandSent,
    Event,
    Outcome,
    ReplyReceived,
    RunEnded,
    RunStarted,
    StepEnded,
    StepStarted,
)
from cmscert.model.plan import FLEET
from cmscert.reports.plan_document import dump
from cmscert.reports.progress import line_of
from cmscert.reports.runs_document import run_record_document, runs_document
from cmscert.reports.runs_text import run_record_text, runs_text
from cmscert.reports.schemas import report_schemas
from cmscert.reports.story import story_of
from cmscert.testing.plans import sample_plan

Golden = Callable[[str, str], None]
RUN = "20261123T203000Z-7f3a21"
BEGIN = datetime(2026, 11, 23, 20, 30, tzinfo=UTC)
LONDON = timezone(timedelta(0), "GMT")
HELSINKI = timezone(timedelta(hours=2), "EET")
HEADER: dict[str, object] = {
    "user": "operator",
    "machine": "desk1",
    "pid": 4711,
    "tool_version": "0.1.0",
    "fleet": "example",
    "command": "apply",
    "rolls_back": None,
    "select": ["server=core1", "server=edge1"],
    "allow": ["last-call-bridge"],
    "inventory": "cluster.yaml",
    "inventory_path": "../cluster.yaml",
    "revision": {"commit": "0123456789abcdef0123456789abcdef01234567", "dirty": True},
}


class Clock:
    """A clock that moves a second at every look."""

    def __init__(self) -> None:
        self.seconds = 0

    def __call__(self) -> datetime:
        """Return the next moment."""
        self.seconds += 1
        return BEGIN + timedelta(seconds=self.seconds)


def step(
    clock: Clock, name: str, server: str, *typed: tuple[str, str], outcome: Outcome | None = "done", **more: object
) -> Iterator[Event]:
    """Yield the events of a step in which each command gets its answer; without an outcome it breaks off."""
    undoing = bool(more.get("undoing"))
    yield StepStarted(at=clock(), step=name, server=server, what="bind webadmin", undoing=undoing)
    for command, answer in typed:
        yield CommandSent(at=clock(), step=name, server=server, typed=command)
        yield ReplyReceived(at=clock(), step=name, server=server, typed=command, shown=answer, seconds=3.2)
        yield Asked(at=clock(), server=server, typed="webadmin", shown="Enabled: true\nKey file: x", seconds=0.1)
    if outcome is not None:
        why = more.get("why")
        yield StepEnded(
            at=clock(), step=name, server=server, outcome=outcome, why=why if isinstance(why, str) else None
        )


def events(result: str) -> tuple[Event, ...]:
    """Return the events of a run with that result; ``unfinished`` breaks off in a step."""
    clock = Clock()
    told: list[Event] = [
        RunStarted(at=clock(), run=RUN, fleet="example", steps=11),
        Asked(at=clock(), server="core1", typed="sftp ls", shown="a.crt\nb.crt", seconds=0.1),
        StepStarted(at=clock(), step="s06", server=FLEET, what="gate: services"),
        StepEnded(at=clock(), step="s06", server=FLEET, outcome="done"),
        *step(clock, "s01", "core1", ("sftp put join.crt", "")),
        *step(clock, "s07", "core1", ("webadmin disable", ""), ("webadmin enable", "SUCCESS: one\r\nSUCCESS: two\n")),
    ]
    if result == "applied":
        return (*told, RunEnded(at=clock(), run=RUN, result="applied"))
    if result == "unfinished":
        return (
            *told,
            *step(clock, "s08", "edge1", ("webbridge3 disable", ""), outcome=None),
            CommandSent(at=clock(), step="s08", server="edge1", typed="webbridge3 enable"),
        )
    told += step(clock, "s08", "edge1", ("webbridge3 disable", "FAILURE: no"), outcome="failed", why="it said no")
    told += step(clock, "s08", "edge1", ("webbridge3 enable", "\x1b[31mno"), outcome="left", why="no", undoing=True)
    told.append(StepEnded(at=clock(), step="s10", server="edge1", outcome="skipped", why="s08 on edge1 failed"))
    by_hand = (("edge1", ("webbridge3 disable", "webbridge3 enable")),)
    told.append(RunEnded(at=clock(), run=RUN, result="neither", why="edge1: s08 failed: it said no", by_hand=by_hand))
    return tuple(told)


def record(result: str = "applied", **changes: object) -> RunRecord:
    """Return a run."""
    values: dict[str, object] = {"id": RUN, "folder": Path("runs") / RUN, "header": HEADER, "events": events(result)}
    return RunRecord(**{**values, **changes})  # type: ignore[arg-type]  # as RunRecord has them


def damaged() -> RunRecord:
    """Return a run whose journal holds next to nothing."""
    fault = Fault(file="x/journal.jsonl", line=1, message="the line is damaged: its sum is wrong", reason="journal")
    return record(header={}, events=(), fault=fault)


def check(name: str, document: object) -> None:
    """Hold a document, as it comes back from its text, against its schema."""
    assert isinstance(document, dict)
    Draft202012Validator(report_schemas()[name]).validate(json.loads(dump(document)))


ALL = {
    "applied": record(),
    "neither": record("neither"),
    "unfinished": record("unfinished", torn=True),
    "damaged": damaged(),
}


@pytest.mark.parametrize("width", [80, 120])
def test_list_reads_as_written(golden: Golden, width: int) -> None:
    """Newest first as given, each with its result; wide terminals are told who, how long and from which revision."""
    back = record(header={**HEADER, "command": "rollback", "rolls_back": RUN, "revision": None})
    runs = (*ALL.values(), back)
    text = runs_text(runs, more=3, zone=HELSINKI, width=width)

    golden(f"runs-{width}.txt", text)
    assert max(map(len, text.splitlines())) <= width
    check("runs", runs_document(runs, more=3, fleet="example"))


def test_no_runs_are_said() -> None:
    """An empty list is a sentence and a document."""
    assert runs_text((), more=0) == "No runs yet.\n"
    check("runs", runs_document((), more=0))


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", ["applied", "neither", "unfinished", "damaged"])
def test_one_run_reads_as_written(golden: Golden, name: str, width: int) -> None:
    """Who and when, every step with what was typed and answered, the result, what was left, what to do."""
    text = run_record_text(
        ALL[name],
        None if name == "damaged" else sample_plan(),
        files=("saved/core1/join.crt",),
        zone=LONDON,
        width=width,
        verbose=width > 80,
    )

    golden(f"runs-show-{name}-{width}.txt", text)
    assert max(map(len, text.splitlines())) <= width
    assert "\x1b" not in text


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("planned", [True, False])
def test_one_run_fits_the_schema_of_runs(name: str, *, planned: bool) -> None:
    """A run that is shown is a run document with its record, whatever state it is in."""
    document = run_record_document(ALL[name], sample_plan() if planned else None, files=("saved/core1/x.crt",))

    check("run", document)
    assert document["result"] == ("unfinished" if name == "damaged" else name)


def test_steps_of_a_run_that_broke_off() -> None:
    """What it had in hand is left, what never began is not started, what was done is done."""
    document = run_record_document(ALL["unfinished"], sample_plan())
    rows = document["steps"]
    assert isinstance(rows, list)
    outcomes = {row["id"]: row["outcome"] for row in rows}

    assert (outcomes["s07"], outcomes["s08"], outcomes["s10"]) == ("done", "left", "skipped")
    assert "s06" not in outcomes


def test_what_was_settled_needs_nothing_more() -> None:
    """A run whose rest a later one put right says which, and no longer what to do."""
    for by, told in (
        ("20261124T203000Z-aaaaaa", "settled with run 20261124T203000Z-aaaaaa: nothing"),
        ("", "settled: nothing"),
    ):
        over = record("unfinished", settled=by)
        text = run_record_text(over, None)
        assert told in text
        assert "Next" not in text
        check("run", run_record_document(over, None))


def test_a_run_that_goes_on_is_said_to() -> None:
    """Of a run that goes on now nobody says that it broke off."""
    assert "goes on now" in run_record_text(ALL["unfinished"], None, live=True)
    assert "running" in runs_text((ALL["unfinished"],), more=0, live={RUN})
    assert run_record_document(ALL["unfinished"], None, live=True)["result"] == "running"


def test_moments_of_documents_are_utc() -> None:
    """Journals written elsewhere are told in UTC, with Z."""
    east = tuple(event for event in events("applied") if event.kind == "run-started")
    moved = RunStarted(at=east[0].at.astimezone(HELSINKI), run=RUN, fleet="example", steps=1)
    document = run_record_document(record(events=(moved,)), None)["record"]

    assert isinstance(document, dict)
    assert document["started"] == "2026-11-23T20:30:01Z"


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"user": 1, "revision": 7, "select": "x", "pid": "x", "command": ""},
        {"revision": {"commit": 3}, "allow": [1]},
        {"revision": {"commit": "abc", "dirty": False}},
    ],
)
def test_odd_headers_are_read_over(header: dict[str, object]) -> None:
    """A header that another release wrote, or nobody, leaves gaps and no crash."""
    odd = record(header=header, events=())

    check("runs", runs_document((odd,), more=0))
    check("run", run_record_document(odd, None))
    assert RUN in runs_text((odd,), more=0, width=120)
    assert "never" in run_record_text(odd, None)


def test_refused_ends_in_words() -> None:
    """Every result of a journal has words, also the one that apply itself never shows."""
    told = RunEnded(at=BEGIN, run=RUN, result="refused")
    assert "refused" in run_record_text(record(events=(told,)), None)


def test_answers_without_their_questions_are_kept() -> None:
    """What a damaged journal still has is shown: an answer, an end, a question in no step."""
    at = BEGIN
    loose = (
        ReplyReceived(at=at, step="s1", server="core1", typed="webadmin", shown="yes", seconds=0.0),
        CommandSent(at=at, step="s1", server="core1", typed="webadmin enable"),
        StepEnded(at=at, step="s1", server="core1", outcome="failed", why="no"),
    )
    story = story_of(record(events=loose))

    assert [(each.typed, each.shown) for each in story.besides] == [("webadmin", "yes"), ("webadmin enable", None)]
    text = run_record_text(record(events=loose), None, verbose=True)
    assert "Besides" in text
    assert "s1 core1" in text


def test_questions_are_for_those_who_want_them() -> None:
    """Progress shows a question with -v only, on one line."""
    asked = Asked(at=BEGIN, server="core1", typed="webadmin", shown="Enabled: true\nx", seconds=0.1)
    assert line_of(asked) is None
    assert line_of(asked, verbose=True) == "core1: ? webadmin > Enabled: true x"
