"""The JSON documents of ``cmscert runs``: a list, and one run with every event of its journal."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from typing import get_args

from cmscert.apply.runs import RunRecord
from cmscert.model.events import Event, Outcome
from cmscert.model.plan import FLEET, Plan
from cmscert.reports.documents import RUN_FORMAT, fault_row, made
from cmscert.reports.plain import stamp
from cmscert.reports.plan_document import Document, unread_rows
from cmscert.reports.story import BROKE_OFF, NEVER, Story, state_of, story_of

RUNS_FORMAT = "cmscert.runs/1"


def runs_document(
    runs: tuple[RunRecord, ...], *, more: int, fleet: str | None = None, live: Collection[str] = ()
) -> Document:
    """Write down runs, as they come. ``more``: runs beyond the limit. ``live``: ids of runs that go on now."""
    return made(
        {
            "format": RUNS_FORMAT,
            "fleet": fleet,
            "more": more,
            "runs": [_row(record, live=record.id in live) for record in runs],
        }
    )


def _row(record: RunRecord, *, live: bool) -> Document:
    count = story_of(record).counts()
    return {
        "run": record.id,
        "fleet": record.fleet,
        "result": result_word(record, live=live),
        "why": record.end.why if record.end else None,
        **_who(record, live=live),
        "summary": {outcome: count[outcome] for outcome in get_args(Outcome)},
    }


def result_word(record: RunRecord, *, live: bool) -> str:
    """Say how a run ended, or that it did not."""
    return record.result or ("running" if state_of(record, live=live) == "running" else "unfinished")


def _who(record: RunRecord, *, live: bool) -> Document:
    pid, revision = record.header.get("pid"), record.header.get("revision")
    return {
        "state": state_of(record, live=live),
        "command": record.text("command"),
        "rolls_back": record.text("rolls_back"),
        "settled": record.settled,
        "started": None if record.started is None else stamp(record.started),
        "ended": None if record.ended is None else stamp(record.ended),
        "user": record.text("user"),
        "machine": record.text("machine"),
        "pid": pid if isinstance(pid, int) else None,
        "tool_version": record.text("tool_version"),
        "inventory": record.text("inventory"),
        "inventory_path": record.text("inventory_path"),
        "revision": _revision(revision),
        "select": list(record.select),
        "allow": list(record.texts("allow")),
        "torn": record.torn,
        "fault": None if record.fault is None else fault_row(record.fault),
    }


def _revision(value: object) -> Document | None:
    if not isinstance(value, dict) or not isinstance(value.get("commit"), str):
        return None
    return {"commit": value["commit"], "dirty": value.get("dirty") is not False}


def run_record_document(
    record: RunRecord, plan: Plan | None, *, files: tuple[str, ...] = (), live: bool = False
) -> Document:
    """Write down one run: the keys of ``run_document``, and ``record``.

    ``plan``: None where the run's plan cannot be read. ``files``: what the run kept. ``live``: it goes on now.
    """
    story = story_of(record)
    count = story.counts()
    return made(
        {
            "format": RUN_FORMAT,
            "run": record.id,
            "fleet": record.fleet or "",
            "result": result_word(record, live=live),
            "why": record.end.why if record.end else None,
            "unread": unread_rows(() if plan is None else plan.unread),
            "steps": _steps(story, plan),
            "by_hand": [
                {"server": server, "commands": list(commands)}
                for server, commands in (record.end.by_hand if record.end else ())
            ],
            "summary": {outcome: count[outcome] for outcome in get_args(Outcome)},
            "record": {
                **_who(record, live=live),
                "files": list(files),
                "events": [_event(event) for event in record.events],
            },
        }
    )


def _steps(story: Story, plan: Plan | None) -> list[Document]:
    """List every step of the plan, or of the journal where there is no plan."""
    ends, hand = story.ends, {turn.step: turn for turn in story.in_hand}
    known = {step.id: step for step in plan.steps if step.server != FLEET} if plan is not None else {}
    names = dict.fromkeys([*known, *(turn.step for turn in story.turns), *ends])
    servers = {turn.step: turn.server for turn in story.turns} | {name: end.server for name, end in ends.items()}
    rows: list[Document] = []
    for name in names:
        outcome, why = "skipped", NEVER
        if name in hand:
            outcome, why = "left", BROKE_OFF
        elif name in ends:
            outcome, why = ends[name].outcome, ends[name].why or ""
        step = known.get(name)
        rows.append(
            {
                "id": name,
                "server": servers[name] if step is None else step.server,
                "slot": None if step is None else step.slot,
                "kind": None if step is None else step.action.kind,
                "outcome": outcome,
                "why": why or None,
            }
        )
    return rows


def _event(event: Event) -> Document:
    return {**asdict(event), "at": stamp(event.at)}
