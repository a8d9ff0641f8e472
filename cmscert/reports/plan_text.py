"""The plan as an engineer wants to read it before a change: what differs and why, then the steps, then who notices."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from cmscert.mmp.typed import shown
from cmscert.model.plan import FLEET, Drift, Gate, Notice, Plan, Refusal, Step
from cmscert.model.services import ServiceTable
from cmscert.reports.paper import draw, heading, indented, labelled, phrase, words
from cmscert.reports.plain import counted, duration, listed, moment
from cmscert.reports.reasons import origin_told, until
from cmscert.reports.steps import phases, what
from cmscert.reports.summary import summarise

if TYPE_CHECKING:
    from rich.console import RenderableType

MOST_AFTER = 4


def plan_text(plan: Plan, table: ServiceTable, *, width: int = 80, colour: bool = False, verbose: bool = False) -> str:
    """Draw a plan. ``verbose`` adds the exact commands, the way back and every link."""
    parts: list[RenderableType] = [
        *_headline(plan),
        *unread_part(plan.unread),
        *_refusals(plan.refusals),
        *drift_part(plan.drift, plan.releases),
        *_steps(plan, table, verbose=verbose),
        *notices_part(plan.notices),
    ]
    return draw(*parts, width=width, colour=colour)


def _headline(plan: Plan) -> list[RenderableType]:
    summary = summarise(plan)
    what = "Plan for " if plan.rolls_back is None else f"Plan to take run {plan.rolls_back} back on "
    lines: list[RenderableType] = [
        phrase((what, "plain"), (plan.fleet, "title"), (f" · {moment(plan.made_at)}", "plain"))
    ]
    if plan.select:
        lines.append(words(f"Only {', '.join(plan.select)}", "warning"))
    if not summary.differences and not summary.steps:
        calm = "what could be read is as" if plan.unread else "all is as"
        calm = f"Nothing to do: {calm} {'wanted' if plan.rolls_back is None else 'before that run'}."
        kept = plan.rolls_back is not None and plan.refusals
        lines.append(words("Nothing can be taken back as it stands.", "warning") if kept else words(calm, "good"))
        return lines
    lines.append(
        words(
            f"{counted(summary.differences, 'difference')} on {counted(summary.servers, 'server')}"
            f" · {counted(summary.steps, 'step')} · {_outage(summary.disturbing, summary.seconds)}"
        )
    )
    return lines


def _outage(disturbing: int, seconds: int) -> str:
    if not disturbing:
        return "nobody notices anything"
    return f"{counted(disturbing, 'interruption')}, about {duration(seconds)} in all"


def unread_part(unread: tuple[tuple[str, str], ...]) -> list[RenderableType]:
    """List what could not be read: the report is incomplete then, and says so."""
    if not unread:
        return []
    rows = [(words(server, "server"), words(why, "error")) for server, why in unread]
    return [heading("Not read, so this is incomplete"), labelled(rows, indent=2)]


def _refusals(refusals: tuple[Refusal, ...]) -> list[RenderableType]:
    if not refusals:
        return []
    rows = []
    for refusal in refusals:
        lift = f"--allow {refusal.guard} lifts this" if refusal.liftable else "nothing lifts this"
        place = f"{refusal.server}: " if refusal.server else ""
        rows.append(
            (words(refusal.guard, "error"), phrase((f"{place}{refusal.message} ", "plain"), (f"({lift})", "quiet")))
        )
    return [heading("Refused as it stands"), labelled(rows, indent=2)]


def drift_part(drift: tuple[Drift, ...], releases: object = None) -> list[RenderableType]:
    """List differences by server and slot."""
    if not drift:
        return []
    parts: list[RenderableType] = [heading("What differs")]
    known = releases if isinstance(releases, dict) else {}
    ordered = sorted(drift, key=lambda each: (each.server, each.slot or ""))
    for server, of_server in groupby(ordered, key=lambda each: each.server):
        release = f" · release {known[server]}" if server in known else ""
        parts.append(phrase((server, "server"), (release, "quiet")))
        for slot, of_slot in groupby(of_server, key=lambda each: each.slot):
            parts.append(indented(words(slot or "the server itself", "slot"), 2))
            for each in of_slot:
                parts.extend(_difference(each))
    return parts


def difference(drift: Drift) -> Text:
    """Name a difference, and what there is to say of it."""
    remarks: list[str] = []
    if drift.severity != "error":
        remarks.append(drift.severity)
    if not drift.plannable:
        remarks.append("no step mends this")
    told = origin_told(drift)
    if told is not None:
        remarks.append(told)
    if drift.ignored is not None:
        remarks.append(f"left alone{until(drift)}: {drift.ignored}")
    if drift.ignore_ended is not None:
        remarks.append(f"no longer left alone: {drift.ignore_ended}")
    style = "quiet" if drift.ignored is not None else drift.severity
    return phrase((drift.reason, style), (f" ({', '.join(remarks)})" if remarks else "", "quiet"))


def _difference(drift: Drift) -> list[RenderableType]:
    rows = [
        (words("wanted", "quiet"), words(drift.wanted, "wanted")),
        (words("found", "quiet"), words(drift.found, "found")),
    ]
    return [indented(difference(drift), 4), labelled(rows, indent=6)]


def _steps(plan: Plan, table: ServiceTable, *, verbose: bool) -> list[RenderableType]:
    gates = {step.id: step for step in plan.steps if isinstance(step.action, Gate)}
    parts: list[RenderableType] = []
    label = max((len(step.id) for step in plan.steps if step.id not in gates), default=0)
    names = max((len(step.server) for step in plan.steps if step.server != FLEET), default=0)
    for title, steps in phases(plan.steps):
        parts.append(heading(title))
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(width=label, no_wrap=True, justify="right")
        grid.add_column(width=names, overflow="fold")
        grid.add_column(overflow="fold")
        for step in steps:
            grid.add_row(
                words(step.id, "quiet"), words(step.server, "server"), _told(step, gates, plan, table, verbose=verbose)
            )
        parts.append(indented(grid, 2))
    return parts


def _told(step: Step, gates: dict[str, Step], plan: Plan, table: ServiceTable, *, verbose: bool) -> Text:
    told = [words(line, "slot" if step.disturbs else "plain") for line in what(step.action)]
    if step.impact is not None:
        told.append(words(f"{step.impact.notices} · about {duration(step.impact.seconds)}", "warning"))
    if step.disturbs or verbose:
        told.extend(words(f"because {reason}", "quiet") for reason in step.because)
    after = _after(step, gates, verbose=verbose)
    if after:
        told.append(words(after, "quiet"))
    if verbose:
        told.extend(words(f"$ {line}", "command") for line in shown(step.action, step.server, plan, table))
    if verbose and step.undo is not None:
        told.extend(words(f"way back $ {line}", "quiet") for line in shown(step.undo, step.server, plan, table))
    return Text("\n").join(told)


def _after(step: Step, gates: dict[str, Step], *, verbose: bool) -> str:
    """Name the steps in front; a gate is the phase above, which the page shows by its order."""
    links = [link for link in step.after if link not in gates]
    return f"after {listed(links, most=None if verbose else MOST_AFTER)}" if links else ""


def notices_part(notices: tuple[Notice, ...]) -> list[RenderableType]:
    """List what changes nothing and has to be said."""
    if not notices:
        return []
    rows = []
    for notice in notices:
        place = " ".join(part for part in (notice.server, notice.slot) if part)
        rows.append((words("-", "quiet"), phrase((f"{place}: " if place else "", "server"), (notice.message, "plain"))))
    return [heading("To know"), labelled(rows, indent=2)]
