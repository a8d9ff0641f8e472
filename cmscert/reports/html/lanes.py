"""Swim-lanes: a lane for each server, with the steps of a plan by estimate, or those of a run as they were."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from cmscert.model.plan import FLEET, Gate, LeaveCluster, Plan, ProveCluster, Step
from cmscert.reports.html.tone import OUTCOMES
from cmscert.reports.plain import counted, duration
from cmscert.reports.steps import gist
from cmscert.reports.story import Story

WIDTH = 960
LEFT = 132
RIGHT = 16
TOP = 30
LANE = 28
BOTTOM = 26
QUIET_SECONDS = 2.0
"""Estimate for a step that nobody notices: an upload or a check took half a second to two seconds."""

TICKS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800)
MOST_TICKS = 8
LETTER = 6.2
THINNEST = 2.0
LONGEST_NAME = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A step in its lane. ``kind``: how it is drawn. ``text``: what fits into it."""

    x: float
    width: float
    y: float
    height: int
    kind: str
    title: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A server."""

    server: str
    label: str
    y: float
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lanes:
    """The drawing. ``ticks``: (x, label). ``down``: (x, width) of the time without database. ``told``: in words."""

    lanes: tuple[Lane, ...]
    ticks: tuple[tuple[float, str], ...]
    down: tuple[tuple[float, float], ...]
    told: str
    width: int = WIDTH
    left: int = LEFT
    top: int = TOP

    @property
    def base(self) -> int:
        """Where the lanes end."""
        return TOP + LANE * len(self.lanes)

    @property
    def height(self) -> int:
        """Height of the drawing."""
        return self.base + BOTTOM


@dataclass(frozen=True, slots=True, kw_only=True)
class _Span:
    server: str
    begin: float
    end: float
    kind: str
    name: str
    title: str


def lanes_of_plan(plan: Plan) -> Lanes | None:
    """Draw when each step comes if each takes as long as is estimated; None where there are no steps."""
    times = schedule(plan.steps)
    spans = [
        _Span(
            server=step.server,
            begin=times[step.id][0],
            end=times[step.id][1],
            kind="disturbs" if step.disturbs else "calm",
            name=step.id,
            title=_title(step),
        )
        for step in plan.steps
        if step.server != FLEET
    ]
    down = _down(plan.steps, times)
    whole = max((end for _, end in times.values()), default=0.0)
    told = f"{counted(len(spans), 'step')}, about {duration(whole)} from the first to the last, by estimate."
    return _draw(spans, down, told)


def lanes_of_run(story: Story, begun: datetime, ended: datetime) -> Lanes | None:
    """Draw when each step was done; None where none was begun."""
    spans = [
        _Span(
            server=turn.server,
            begin=(turn.started - begun).total_seconds(),
            end=((turn.ended or ended) - begun).total_seconds(),
            kind="undoing" if turn.undoing else turn.outcome or "left",
            name=turn.step,
            title=(
                f"{turn.step} {'way back of ' if turn.undoing else ''}{turn.what}: "
                f"{OUTCOMES[turn.outcome].word if turn.outcome else 'not ended'}"
            ),
        )
        for turn in story.turns
    ]
    whole = max((span.end for span in spans), default=0.0)
    told = f"{counted(len(spans), 'step')} in {duration(whole)}."
    return _draw(spans, (), told)


def schedule(steps: Iterable[Step]) -> dict[str, tuple[float, float]]:
    """Estimate when steps begin and end, in seconds: after what they wait for, one at a time on a server."""
    times: dict[str, tuple[float, float]] = {}
    free: dict[str, float] = {}
    for step in steps:
        waits = max((times[name][1] for name in step.after if name in times), default=0.0)
        if isinstance(step.action, Gate):
            times[step.id] = (waits, waits)
            continue
        begin = max(waits, free.get(step.server, 0.0))
        end = begin + (QUIET_SECONDS if step.impact is None else max(float(step.impact.seconds), QUIET_SECONDS))
        times[step.id] = (begin, end)
        free[step.server] = end
    return times


def _down(steps: tuple[Step, ...], times: Mapping[str, tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Return when a database cluster is down: from the first server that leaves to the proof that it is whole."""
    found: dict[str | None, list[float]] = {}
    for step in steps:
        if isinstance(step.action, LeaveCluster):
            found.setdefault(step.slot, []).append(times[step.id][0])
        elif isinstance(step.action, ProveCluster) and step.slot in found:
            found[step.slot].append(times[step.id][1])
    return tuple((min(each), max(each)) for each in found.values())


def _title(step: Step) -> str:
    impact = f" ({step.impact.notices}, about {duration(step.impact.seconds)})" if step.impact is not None else ""
    return f"{step.id} {gist(step)}{impact}"


def _draw(spans: list[_Span], down: tuple[tuple[float, float], ...], told: str) -> Lanes | None:
    if not spans:
        return None
    whole = max(1.0, *(span.end for span in spans))
    scale = (WIDTH - LEFT - RIGHT) / whole
    names = list(dict.fromkeys(span.server for span in spans))
    lanes = []
    for number, name in enumerate(sorted(names)):
        y = TOP + LANE * number
        bars = tuple(_bar(span, scale, y) for span in spans if span.server == name)
        label = name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
        lanes.append(Lane(server=name, label=label, y=y, bars=bars))
    return Lanes(
        lanes=tuple(lanes),
        ticks=_ticks(whole, scale),
        down=tuple((round(LEFT + a * scale, 1), round((b - a) * scale, 1)) for a, b in down),
        told=told,
    )


def _bar(span: _Span, scale: float, y: float) -> Bar:
    width = max(THINNEST, (span.end - span.begin) * scale - 1)
    low = span.kind == "calm"
    return Bar(
        x=round(min(LEFT + span.begin * scale, WIDTH - THINNEST), 1),
        width=round(width, 1),
        y=y + 10 if low else y + 4,
        height=8 if low else 20,
        kind=span.kind,
        title=span.title,
        text=span.name if not low and width > LETTER * (len(span.name) + 1) else "",
    )


def _ticks(whole: float, scale: float) -> tuple[tuple[float, str], ...]:
    every = next((each for each in TICKS if whole / each <= MOST_TICKS), round(whole / MOST_TICKS))
    return tuple((round(LEFT + at * scale, 1), duration(at)) for at in range(0, int(whole) + 1, every))
