"""The plan as Markdown, for those who review a change: a comment on a merge request, a pipeline's summary."""

from __future__ import annotations

from collections.abc import Sequence

from cmscert.mmp.typed import shown
from cmscert.model.plan import FLEET, Drift, Gate, Notice, Plan, Refusal, Step
from cmscert.model.services import ServiceTable
from cmscert.reports.markdown_page import OPEN_ROWS, Page, code, ignore_ended
from cmscert.reports.plain import counted, duration, moment
from cmscert.reports.steps import phases, what
from cmscert.reports.summary import Summary, summarise

MOST_OF_UNREAD = 5_000
MOST_OF_REFUSALS = 8_000
MOST_OF_DRIFT = 14_000
MOST_OF_IMPACT = 8_000
MOST_OF_NOTICES = 5_000
MOST_OF_IGNORED = 3_000
LEAST = 1_500
"""Bytes below which no further phase is begun."""

FEW = 8


def plan_markdown(plan: Plan, table: ServiceTable) -> str:
    """Write a plan as a page of at most 60,000 bytes: what differs, who notices, the steps, what refuses."""
    page = Page()
    summary = summarise(plan)
    what = "Plan for" if plan.rolls_back is None else f"Plan to take run {code(plan.rolls_back)} back on"
    page.add(f"## {what} {code(plan.fleet)}: {_verdict(plan, summary)}")
    only = f" · only {', '.join(map(code, plan.select[:FEW]))}" if plan.select else ""
    page.add(f"{moment(plan.made_at)} · cmscert {code(plan.tool_version)}{only}")
    _unread(page, plan.unread)
    _refusals(page, plan.refusals)
    _differences(page, plan.drift)
    _impact(page, plan, summary)
    _steps(page, plan, table, kept=MOST_OF_NOTICES * bool(plan.notices))
    _notices(page, plan.notices)
    return str(page)


def _verdict(plan: Plan, summary: Summary) -> str:
    if not summary.differences and not summary.steps:
        return "nothing to do" if plan.complete else "nothing to do in what could be read"
    differences = f"{counted(summary.differences, 'difference')} on {counted(summary.servers, 'server')}"
    return f"{differences}, {counted(summary.steps, 'step')}" + (", refused as it stands" if plan.refusals else "")


def _unread(page: Page, unread: tuple[tuple[str, str], ...]) -> None:
    if unread:
        page.add(f"### Not read, so this is incomplete: {len(unread)}")
        rows = [(code(server), code(why)) for server, why in unread]
        page.table(("Server", "Why"), rows, noun="line", room=MOST_OF_UNREAD)


def _refusals(page: Page, refusals: tuple[Refusal, ...]) -> None:
    if refusals:
        page.add(f"### Refused as it stands: {len(refusals)}")
        rows = [(code(each.guard), _or_none(each.server), code(each.message), _lift(each)) for each in refusals]
        page.table(("Guard", "Server", "Why", "Lifted by"), rows, noun="refusal", room=MOST_OF_REFUSALS)


def _or_none(text: str | None) -> str:
    return "" if text is None else code(text)


def _lift(refusal: Refusal) -> str:
    return code(f"--allow {refusal.guard}") if refusal.liftable else "nothing"


def _differences(page: Page, drift: tuple[Drift, ...]) -> None:
    columns = ("Server", "Slot", "Reason", "Wanted", "Found")
    pending = [each for each in drift if each.ignored is None]
    ignored = [each for each in drift if each.ignored is not None]
    if pending:
        page.add(f"### What differs: {len(pending)}")
        rows = [(*_where(each), code(each.wanted), code(each.found) + ignore_ended(each)) for each in pending]
        page.table(columns, rows, noun="difference", room=MOST_OF_DRIFT)
    if ignored:
        page.add(f"### Ignored by the inventory: {len(ignored)}")
        left = [
            (*_where(each), code(each.found), code(each.ignored or ""), each.ignored_until or "") for each in ignored
        ]
        more = (*columns[:3], "Found", "Why it is ignored", "Until")
        page.table(more, left, noun="line", room=MOST_OF_IGNORED, shown=0)


def _where(drift: Drift) -> tuple[str, str, str]:
    remarks = [drift.severity] * (drift.severity != "error") + ["no step mends this"] * (not drift.plannable)
    return (
        code(drift.server),
        "" if drift.slot is None else code(drift.slot),
        code(drift.reason) + (f" ({', '.join(remarks)})" if remarks else ""),
    )


def _impact(page: Page, plan: Plan, summary: Summary) -> None:
    disturbing = [step for step in plan.steps if step.impact is not None]
    if not summary.steps:
        return
    if not disturbing:
        page.add("### Who notices: nobody")
        return
    page.add(
        f"### Who notices: {counted(summary.disturbing, 'interruption')}, about {duration(summary.seconds)} in all"
    )
    rows = [
        (code(step.id), code(step.server), code(step.impact.service), code(step.impact.notices), _about(step))
        for step in disturbing
        if step.impact is not None
    ]
    page.table(("Step", "Server", "Service", "What", "About"), rows, noun="interruption", room=MOST_OF_IMPACT)


def _about(step: Step) -> str:
    return "" if step.impact is None else duration(step.impact.seconds)


def _steps(page: Page, plan: Plan, table: ServiceTable, *, kept: int) -> None:
    gates = frozenset(step.id for step in plan.steps if isinstance(step.action, Gate))
    stages = phases(plan.steps)
    for number, (title, steps) in enumerate(stages):
        room = page.room - kept
        if room < LEAST:
            left = sum(len(rest) for _, rest in stages[number:])
            page.add(f"{counted(left, 'more step')} left out here: `--format text` has all.")
            return
        page.add(f"### Stage {number + 1}: {title}")
        rows = [_row(step, plan, table, gates) for step in steps]
        columns = ("Step", "Server", "What", "Typed", "After")
        page.table(columns, rows, noun="step", room=room - LEAST // 2, shown=OPEN_ROWS)


def _row(step: Step, plan: Plan, table: ServiceTable, gates: frozenset[str]) -> Sequence[str]:
    links = [link for link in step.after if link not in gates]
    after = ", ".join(map(code, links[:FEW])) + (f" and {len(links) - FEW} more" if len(links) > FEW else "")
    server = "" if step.server == FLEET else code(step.server)
    return (
        code(step.id),
        server,
        "<br>".join(map(code, what(step.action))),
        "<br>".join(map(code, shown(step.action, step.server, plan, table))),
        after,
    )


def _notices(page: Page, notices: tuple[Notice, ...]) -> None:
    if notices:
        page.add(f"### To know: {len(notices)}")
        rows = [(_or_none(each.server), _or_none(each.slot), code(each.reason), code(each.message)) for each in notices]
        page.table(("Server", "Slot", "Notice", "What"), rows, noun="notice", room=MOST_OF_NOTICES, shown=0)
