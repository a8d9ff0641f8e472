"""Runs in words: a list, and one run as somebody wants to read it at night. Times are local, as given by ``zone``."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from cmscert.apply.runs import RunRecord
from cmscert.model.events import Outcome
from cmscert.model.plan import FLEET, Plan, Step
from cmscert.reports.paper import Whole, draw, heading, indented, labelled, phrase, words
from cmscert.reports.plain import counted, duration, listed
from cmscert.reports.plan_text import unread_part
from cmscert.reports.progress import OUTCOMES
from cmscert.reports.result_text import ENDINGS, TITLES, by_hand_part
from cmscert.reports.runs_document import result_word
from cmscert.reports.steps import gist
from cmscert.reports.story import Exchange, State, Story, Turn, state_of, story_of

if TYPE_CHECKING:
    from rich.console import RenderableType

WIDE = 110
"""Columns from which on a list shows all that it has."""

TONES = {"applied": "good", "rolled-back": "warning", "interrupted": "warning", "refused": "warning", "running": "slot"}
STATES: dict[State, tuple[str, str]] = {
    "running": ("goes on now", "slot"),
    "unfinished": ("broke off; what it had in hand is not proven", "error"),
    "damaged": ("the journal is damaged", "error"),
}
COUNTED: dict[Outcome, str] = {"skipped": "not started", "left": "left as it is"}
OUTCOME_TONES = {"done": "good", "failed": "error", "undone": "warning", "left": "error", "skipped": "quiet"}
NOTICEABLE = 2.0
"""Seconds from which on it is said how long something took."""

COMMIT = 12
"""Letters of a commit that are shown."""


def runs_text(
    runs: tuple[RunRecord, ...],
    *,
    more: int,
    live: Collection[str] = (),
    zone: tzinfo | None = None,
    width: int = 80,
    colour: bool = False,
) -> str:
    """Draw a list of runs as they come. ``more``: older ones beyond the limit. ``zone``: None for this machine's."""
    if not runs:
        return draw(words("No runs yet."), width=width, colour=colour)
    wide = width >= WIDE
    grid = Table.grid(padding=(0, 2, 0, 0))
    for _ in ("run", "started"):
        grid.add_column(no_wrap=True)
    for _ in ("fleet", "result", "by"):
        grid.add_column(overflow="fold")
    titles = ["Run", "Started", "Fleet", "Result", "By", "Took", "Revision", "Steps"]
    grid.add_row(*(words(title, "title") for title in titles[: None if wide else 4]))
    for record in runs:
        grid.add_row(*_row(record, live=record.id in live, zone=zone)[: None if wide else 4])
    parts: list[RenderableType] = [grid]
    if more:
        parts.extend((Text(""), words(f"and {counted(more, 'older run')}: --limit shows more of them", "quiet")))
    return draw(*parts, width=width, colour=colour)


def _row(record: RunRecord, *, live: bool, zone: tzinfo | None) -> list[Text]:
    state, result = state_of(record, live=live), result_word(record, live=live)
    shown = "damaged" if state == "damaged" else result
    what = "" if record.text("command") in {None, "apply"} else f" ({record.text('command')})"
    done = story_of(record).counts()["done"]
    return [
        words(record.id, "server"),
        words(_when(record.started, zone) if record.started else "?"),
        words(record.fleet or "?"),
        phrase((shown, TONES.get(shown, "error")), (what, "quiet")),
        words(_by(record)),
        words(_took(record)),
        words(_revision(record), "quiet"),
        words(f"{done} of {_planned(record)}"),
    ]


def _when(at: datetime, zone: tzinfo | None) -> str:
    return at.astimezone(zone).strftime("%Y-%m-%d %H:%M %Z")


def _by(record: RunRecord) -> str:
    return f"{record.text('user') or '?'} on {record.text('machine') or '?'}"


def _took(record: RunRecord) -> str:
    if record.started is None or record.ended is None:
        return ""
    return duration(max(0.0, (record.ended - record.started).total_seconds()))


def _planned(record: RunRecord) -> int:
    return next((event.steps for event in record.events if event.kind == "run-started"), 0)


def _revision(record: RunRecord) -> str:
    revision = record.header.get("revision")
    if not isinstance(revision, dict):
        return ""
    changed = "" if revision.get("dirty") is False else " and changes"
    return f"{str(revision.get('commit'))[:COMMIT]}{changed}"


def run_record_text(  # noqa: PLR0913 - each is one thing that a person may want otherwise
    record: RunRecord,
    plan: Plan | None,
    *,
    files: tuple[str, ...] = (),
    live: bool = False,
    select: tuple[str, ...] = (),
    zone: tzinfo | None = None,
    width: int = 80,
    colour: bool = False,
    verbose: bool = False,
) -> str:
    """Draw one run: who and when, every step with what was typed and answered, how it ended, and what was left.

    ``plan``: None where it cannot be read. ``files``: what the run kept. ``select``: what this was narrowed to.
    ``verbose``: with questions that change nothing.
    """
    story = story_of(record)
    steps = {step.id: step for step in plan.steps if step.server != FLEET} if plan is not None else {}
    parts: list[RenderableType | Whole] = [*_head(record, live=live), *_facts(record, story, zone)]
    if select:
        parts.append(words(f"Only {', '.join(select)}: steps of others are left out", "warning"))
    if story.turns:
        parts.append(heading("What was done"))
        broken = "in hand" if live else "BROKE OFF"
        parts.extend(_turn(turn, steps.get(turn.step), zone, broken, verbose=verbose) for turn in story.turns)
    if verbose and story.besides:
        parts.extend((heading("Besides"), _timed(list(_exchanges(story.besides, verbose=True)), zone)))
    parts.extend(_left(record, story, steps, live=live))
    if plan is not None:
        parts.extend(unread_part(plan.unread))
    parts.extend(by_hand_part(record.end.by_hand if record.end else ()))
    parts.extend(_next(record, files, live=live))
    return draw(*parts, width=width, colour=colour)


def _head(record: RunRecord, *, live: bool) -> list[RenderableType]:
    state = state_of(record, live=live)
    ending, style = STATES.get(state) or ENDINGS.get(record.result or "", (record.result or "", "warning"))
    parts: list[RenderableType] = [phrase((f"Run {record.id}: ", "title"), (ending, style))]
    if record.fault is not None:
        place = f"line {record.fault.line}: " if record.fault.line else ""
        parts.append(words(f"{place}{record.fault.message}; what stands before it follows", "error"))
    if record.torn:
        parts.append(words("the last line of the journal was cut while it was written, and is left out", "warning"))
    if record.end is not None and record.end.why:
        parts.append(words(record.end.why, style))
    if record.settled is not None:
        by = f" with run {record.settled}" if record.settled else ""
        parts.append(words(f"settled{by}: nothing of it is left to do", "good"))
    return parts


def _facts(record: RunRecord, story: Story, zone: tzinfo | None) -> list[RenderableType]:
    revision = _revision(record)
    rows = [
        ("fleet", record.fleet or "?"),
        ("command", _command(record)),
        ("by", f"{_by(record)}, cmscert {record.text('tool_version') or '?'}"),
        ("started", record.started.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %Z") if record.started else "never"),
        ("took", _took(record) or "no end was written down"),
        ("inventory", f"{record.text('inventory') or '?'}" + (f", commit {revision}" if revision else "")),
        ("steps", _counts(story, _planned(record))),
    ]
    return [labelled([(words(label, "quiet"), words(text)) for label, text in rows])]


def _command(record: RunRecord) -> str:
    what = [record.text("command") or "apply"]
    if record.text("rolls_back"):
        what.append(f"of run {record.text('rolls_back')}")
    what.extend(f"--select {each}" for each in record.select)
    what.extend(f"--allow {each}" for each in record.texts("allow"))
    return " ".join(what)


def _counts(story: Story, planned: int) -> str:
    count = story.counts()
    count["left"] -= len(story.in_hand)
    told = [f"{count[each]} {COUNTED.get(each, each)}" for each, _, _ in TITLES if count[each]]
    hand = [f"{len(story.in_hand)} in hand"] if story.in_hand else []
    return listed([f"{count['done']} of {planned} done", *told, *hand])


def _turn(turn: Turn, step: Step | None, zone: tzinfo | None, broken: str, *, verbose: bool) -> RenderableType:
    what = gist(step) if step is not None else turn.what
    ended = OUTCOMES[turn.outcome] if turn.outcome is not None else broken
    tone = OUTCOME_TONES[turn.outcome] if turn.outcome is not None else "error"
    took = "" if turn.ended is None else _noticeable((turn.ended - turn.started).total_seconds())
    title = phrase(
        (f"{turn.step} ", "plain"),
        (turn.server, "server"),
        (f" {'way back of: ' if turn.undoing else ''}{what}: ", "plain"),
        (f"{ended}{took}", tone),
        (f": {turn.why}" if turn.why else "", tone),
    )
    shown = [each for each in turn.exchanges if verbose or not each.asks]
    return _timed([(turn.started, title), *_exchanges(shown, verbose=verbose)], zone)


def _exchanges(exchanges: list[Exchange], *, verbose: bool) -> Iterator[tuple[datetime | None, RenderableType]]:
    """Yield what was typed and asked, with the lines of the answers below; ``verbose``: and when."""
    for each in exchanges:
        typed = phrase(
            ("? " if each.asks else "$ ", "quiet"),
            (each.typed, "command"),
            (_noticeable(each.seconds or 0.0), "quiet"),
        )
        yield each.at if verbose else None, indented(typed, 2)
        if each.shown is None:
            yield None, indented(words("(no answer was written down)", "error"), 4)
            continue
        for line in each.shown.splitlines():
            if line.strip():
                yield None, indented(words(line.rstrip(), "quiet"), 4)


def _timed(rows: list[tuple[datetime | None, RenderableType]], zone: tzinfo | None) -> RenderableType:
    """Put the time of day in front of lines, where it is another than above."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, width=8)
    grid.add_column(overflow="fold")
    before = ""
    for at, text in rows:
        clock = before if at is None else at.astimezone(zone).strftime("%H:%M:%S")
        grid.add_row(words("" if clock == before else clock, "quiet"), text)
        before = clock
    return grid


def _noticeable(seconds: float) -> str:
    return f" ({duration(seconds)})" if seconds >= NOTICEABLE else ""


def _left(record: RunRecord, story: Story, steps: dict[str, Step], *, live: bool) -> list[RenderableType]:
    """List what did not end well, and what never began."""
    what = {turn.step: turn.what for turn in story.turns} | {name: gist(step) for name, step in steps.items()}
    parts: list[RenderableType] = []
    if story.in_hand:
        rows = [_line(turn.step, turn.server, what[turn.step], None, "error") for turn in story.in_hand]
        title = "In hand" if live else "In hand when it broke off, not proven"
        parts.extend((heading(title), labelled(rows, indent=2)))
    hand = {turn.step for turn in story.in_hand}
    for outcome, title, tone in TITLES:
        rows = [
            _line(name, end.server, what.get(name, ""), end.why, tone)
            for name, end in story.ends.items()
            if end.outcome == outcome and name not in hand
        ]
        if outcome == "skipped" and record.unfinished and record.fault is None:
            begun = {*story.ends, *hand}
            rows += [
                _line(name, step.server, what[name], None, tone) for name, step in steps.items() if name not in begun
            ]
        if rows:
            parts.extend((heading(title), labelled(rows, indent=2)))
    return parts


def _line(step: str, server: str, what: str, why: str | None, tone: str) -> tuple[Text, Text]:
    said = phrase((what, "plain"), (f": {why}" if why and what else why or "", tone))
    return words(f"{step} {server}", "server"), said


def _next(record: RunRecord, files: tuple[str, ...], *, live: bool) -> list[RenderableType]:
    parts: list[RenderableType] = []
    if files:
        parts.extend((heading("Kept in its folder"), *(indented(words(name), 2) for name in files)))
    leaves = state_of(record, live=live) in {"unfinished", "damaged"} or record.result in {"neither", "interrupted"}
    if leaves and record.settled is None:
        inventory = record.text("inventory") or "INVENTORY"
        said = f"cmscert plan {inventory} reads the servers and says what is left to do; apply goes on from there."
        parts.extend((heading("Next"), indented(words(said), 2)))
    return parts
