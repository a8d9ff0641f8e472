"""One run as evidence: who and when, what was bound before and after, every step with what was typed and answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cmscert.model.plan import FLEET, Plan, Step
from cmscert.reports.html.evidence import changes_of
from cmscert.reports.html.lanes import lanes_of_run
from cmscert.reports.html.page import render
from cmscert.reports.html.tone import OUTCOMES, Mark, Tone
from cmscert.reports.plain import duration, moment
from cmscert.reports.result_text import ENDINGS
from cmscert.reports.steps import gist
from cmscert.reports.story import Exchange, Story, Turn, state_of, story_of

if TYPE_CHECKING:
    from cmscert.apply.before import ServerBefore
    from cmscert.apply.runs import RunRecord

STATES = {
    "running": Mark(word="goes on now", tone="busy"),
    "unfinished": Mark(word="broke off; what it had in hand is not proven", tone="bad"),
    "damaged": Mark(word="the journal is damaged", tone="bad"),
}
TONES: dict[str, Tone] = {"good": "good", "warning": "warn", "error": "bad"}
NOT_ENDED = Mark(word="not ended", tone="bad")
NEVER = Mark(word="not started", tone="quiet")


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnView:
    """A step as it was done. ``calm``: it needs no second look; ``sent`` and ``asked``: what was said."""

    turn: Turn
    what: str
    mark: Mark
    took: str

    @property
    def exchanges(self) -> list[Exchange]:
        """What was typed and asked, in order."""
        return self.turn.exchanges

    @property
    def opened(self) -> bool:
        """Whether the page shows it open: it did not go well."""
        return self.mark.tone == "bad" or self.turn.undoing


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """A step that did not end well, or was never begun."""

    step: str
    server: str
    what: str
    mark: Mark
    why: str


def run_page(
    record: RunRecord,
    plan: Plan | None,
    *,
    before: Mapping[str, ServerBefore] | None,
    files: tuple[str, ...] = (),
    live: bool = False,
) -> str:
    """Draw one run as one HTML file.

    ``plan``, ``before``: None where they cannot be read. ``files``: what the run kept. ``live``: it goes on now.
    """
    story = story_of(record)
    steps = {step.id: step for step in plan.steps if step.server != FLEET} if plan is not None else {}
    last = record.events[-1].at if record.events else None
    lanes = lanes_of_run(story, record.started, last) if record.started is not None and last is not None else None
    return render(
        "run.html.j2",
        title=f"Run {record.id}",
        record=record,
        mark=_ending(record, live=live),
        facts=list(_facts(record, story)),
        plan=plan,
        changes=changes_of(plan, record.events, before) if plan is not None else [],
        lanes=lanes,
        turns=[_turn(turn, steps) for turn in story.turns],
        besides=story.besides,
        rest=_rest(record, story, steps),
        by_hand=record.end.by_hand if record.end is not None else (),
        files=files,
        unread=plan.unread if plan is not None else (),
    )


def _ending(record: RunRecord, *, live: bool) -> Mark:
    state = STATES.get(state_of(record, live=live))
    if state is not None:
        return state
    word, tone = ENDINGS.get(record.result or "", (record.result or "", "warning"))
    return Mark(word=word, tone=TONES.get(tone, "warn"))


def _facts(record: RunRecord, story: Story) -> Iterator[tuple[str, str]]:
    yield "fleet", record.fleet or "?"
    yield "command", _command(record)
    yield "by", f"{record.text('user') or '?'} on {record.text('machine') or '?'}"
    yield "started", moment(record.started) if record.started is not None else "never"
    if record.started is not None and record.ended is not None:
        yield "took", duration(max(0.0, (record.ended - record.started).total_seconds()))
    yield "inventory", _inventory(record)
    yield "cmscert", record.text("tool_version") or "?"
    planned = next((event.steps for event in record.events if event.kind == "run-started"), 0)
    count = story.counts()
    yield "steps", f"{count['done']} of {planned} done"
    if record.settled is not None:
        yield "settled", f"nothing of it is left to do{f', by run {record.settled}' if record.settled else ''}"


def _command(record: RunRecord) -> str:
    words = [record.text("command") or "apply"]
    if record.text("rolls_back"):
        words.append(f"of run {record.text('rolls_back')}")
    words += [f"--select {each}" for each in record.select]
    words += [f"--allow {each}" for each in record.texts("allow")]
    return " ".join(words)


def _inventory(record: RunRecord) -> str:
    revision = record.header.get("revision")
    said = record.text("inventory") or "?"
    if isinstance(revision, dict):
        said += f", commit {revision.get('commit')}" + ("" if revision.get("dirty") is False else " and changes")
    return said


def _turn(turn: Turn, steps: Mapping[str, Step]) -> TurnView:
    what = gist(steps[turn.step]) if turn.step in steps else turn.what
    took = "" if turn.ended is None else duration((turn.ended - turn.started).total_seconds())
    return TurnView(
        turn=turn,
        what=f"way back of: {what}" if turn.undoing else what,
        mark=OUTCOMES[turn.outcome] if turn.outcome is not None else NOT_ENDED,
        took=took,
    )


def _rest(record: RunRecord, story: Story, steps: Mapping[str, Step]) -> list[Rest]:
    """List what did not end as planned, and what was never begun."""
    what = {turn.step: turn.what for turn in story.turns} | {name: gist(step) for name, step in steps.items()}
    hand = {turn.step for turn in story.in_hand}
    rows = [
        Rest(step=turn.step, server=turn.server, what=what[turn.step], mark=NOT_ENDED, why="the run broke off in it")
        for turn in story.in_hand
    ]
    for name, end in story.ends.items():
        if end.outcome != "done" and name not in hand:
            mark = OUTCOMES[end.outcome]
            rows.append(Rest(step=name, server=end.server, what=what.get(name, ""), mark=mark, why=end.why or ""))
    if record.unfinished and record.fault is None:
        begun = {*story.ends, *hand}
        rows += [
            Rest(step=name, server=step.server, what=what[name], mark=NEVER, why="")
            for name, step in steps.items()
            if name not in begun
        ]
    return rows
