"""``status``, ``drift`` and ``plan`` as a page: the same facts, with what was asked for in front."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from cmscert.mmp.typed import shown
from cmscert.model.overview import Overview
from cmscert.model.plan import FLEET, Drift, Plan, Step
from cmscert.model.services import ServiceTable
from cmscert.reports.html.certificates import SOON_DAYS, Album, Detail, album_of
from cmscert.reports.html.lanes import lanes_of_plan
from cmscert.reports.html.page import render
from cmscert.reports.html.slots import ServerView, servers_of
from cmscert.reports.html.timeline import timeline_of
from cmscert.reports.html.tone import Tone
from cmscert.reports.plain import counted, day, duration, left
from cmscert.reports.reasons import origin_told, untold
from cmscert.reports.steps import phases, what
from cmscert.reports.summary import summarise

Lead = Literal["status", "drift", "plan", "merged"]
"""``merged``: drift as reports of shards told it; they hold no certificates."""

TITLES: dict[Lead, str] = {"status": "Status of", "drift": "Drift of", "plan": "Plan for", "merged": "Drift of"}
ORDER: dict[Lead, tuple[str, ...]] = {
    "status": ("expiries", "slots", "findings", "certificates", "servers"),
    "drift": ("findings", "expiries", "slots", "certificates", "servers"),
    "plan": ("steps", "findings", "expiries", "slots", "certificates", "servers"),
    "merged": ("findings",),
}
SECTIONS = {
    "slots": "Slots",
    "expiries": "Expiries",
    "findings": "Findings",
    "certificates": "Certificates",
    "servers": "Servers",
    "steps": "Steps",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A figure at a glance. ``more``: what to know about it."""

    label: str
    figure: str
    more: str
    tone: Tone


@dataclass(frozen=True, slots=True, kw_only=True)
class StepView:
    """A step with what is typed for it and on its way back."""

    step: Step
    what: tuple[str, ...]
    commands: tuple[str, ...]
    undo: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """What users of a server notice in all, by estimate."""

    server: str
    steps: int
    interruptions: int
    seconds: int
    notices: tuple[str, ...]


def fleet_page(overview: Overview, lead: Lead, table: ServiceTable) -> str:
    """Draw a fleet as one HTML file. ``lead``: which command asked; its matter comes first."""
    status, plan = overview.status, overview.plan
    album = album_of(status)
    servers = servers_of(overview, album)
    findings = sorted(overview.drift.findings, key=lambda each: (each.server, each.slot or "", each.reason))
    return render(
        "fleet.html.j2",
        title=f"{TITLES[lead]} {status.fleet}",
        lead=lead,
        sections=[(name, SECTIONS[name]) for name in ORDER[lead]],
        status=status,
        now=status.made_at,
        cards=_cards(overview, album, servers)[: 2 if lead == "merged" else None],
        servers=servers,
        album=album,
        timeline=timeline_of((*album.leaves, *album.authorities), status.made_at),
        soon=_soon(album, status.made_at),
        findings=[each for each in findings if each.ignored is None],
        ignored=[each for each in findings if each.ignored is not None],
        untold=untold(overview.drift.findings),
        told=origin_told,
        notices=overview.drift.notices,
        unread=overview.drift.unread or status.unread,
        plan=plan,
        lanes=lanes_of_plan(plan) if lead == "plan" else None,
        phases=_phases(plan, table) if lead == "plan" else [],
        outages=_outages(plan),
        anchors={server.name: server.anchor for server in servers} if "servers" in ORDER[lead] else {},
    )


def _cards(overview: Overview, album: Album, servers: tuple[ServerView, ...]) -> list[Card]:
    now = overview.status.made_at
    read = sum(server.unread is None for server in servers)
    away = len(servers) - read
    cards = [
        Card(
            label="Servers read",
            figure=f"{read} of {len(servers)}",
            more=f"{away} not read: this report is incomplete" if away else "all answered",
            tone="bad" if away else "good",
        ),
        _findings_card(overview.drift.findings),
        _next_card(album, now),
        _due_card(album, now),
    ]
    steps = _steps_card(overview.plan)
    return [*cards, steps] if steps is not None else cards


def _findings_card(findings: tuple[Drift, ...]) -> Card:
    loud = [each for each in findings if each.ignored is None]
    alone = len(findings) - len(loud)
    errors = sum(each.severity == "error" for each in loud)
    where = len({each.server for each in loud})
    more = f"{counted(errors, 'error')} among them, on {counted(where, 'server')}" if loud else "all is as wanted"
    if alone:
        more += f"; {alone} left alone"
    return Card(
        label="Findings", figure=str(len(loud)), more=more, tone="bad" if errors else "warn" if loud else "good"
    )


def _next_card(album: Album, now: datetime) -> Card:
    details = album.leaves
    if not details:
        return Card(label="Next expiry", figure="none", more="no certificate was read", tone="quiet")
    gone = [each for each in details if each.ends <= now]
    coming = [each for each in details if each.ends > now]
    if not coming:
        return Card(label="Next expiry", figure="over", more=f"{len(gone)} expired", tone="bad")
    first = coming[0]
    rest = (first.ends - now).days
    more = f"{first.name}, {left(first.ends, now)}" + (f"; {len(gone)} expired already" if gone else "")
    tone: Tone = "bad" if gone else "warn" if rest < SOON_DAYS else "good"
    return Card(label="Next expiry", figure=day(first.ends), more=more, tone=tone)


def _due_card(album: Album, now: datetime) -> Card:
    due = [each for each in album.leaves if each.due_at is not None and each.due_at <= now]
    horizon = now + timedelta(days=SOON_DAYS)
    soon = [each for each in album.leaves if each.due_at is not None and now < each.due_at <= horizon]
    more = f"{len(soon)} more within {SOON_DAYS} days"
    return Card(label="Due for renewal", figure=str(len(due)), more=more, tone="warn" if due else "good")


def _steps_card(plan: Plan) -> Card | None:
    summary = summarise(plan)
    if not summary.steps:
        return None
    more = f"{counted(summary.disturbing, 'interruption')}, about {duration(summary.seconds)} in all"
    return Card(
        label="Steps to put it right",
        figure=str(summary.steps),
        more=more if summary.disturbing else "nobody notices anything",
        tone="warn" if summary.disturbing else "good",
    )


def _soon(album: Album, now: datetime) -> list[Detail]:
    """Return the certificates that end first."""
    horizon = now + timedelta(days=90)
    return [each for each in album.leaves if each.ends <= horizon][:12]


def _phases(plan: Plan, table: ServiceTable) -> list[tuple[str, list[StepView]]]:
    gates = {step.id for step in plan.steps if step.server == FLEET}
    return [
        (
            title,
            [
                StepView(
                    step=step,
                    what=what(step.action),
                    commands=shown(step.action, step.server, plan, table),
                    undo=() if step.undo is None else shown(step.undo, step.server, plan, table),
                    after=tuple(name for name in step.after if name not in gates),
                )
                for step in steps
            ],
        )
        for title, steps in phases(plan.steps)
    ]


def _outages(plan: Plan) -> list[Outage]:
    found = []
    for server in sorted({step.server for step in plan.steps} - {FLEET}):
        steps = [step for step in plan.steps if step.server == server]
        impacts = [step.impact for step in steps if step.impact is not None]
        found.append(
            Outage(
                server=server,
                steps=len(steps),
                interruptions=len(impacts),
                seconds=sum(each.seconds for each in impacts),
                notices=tuple(dict.fromkeys(f"{each.service}: {each.notices}" for each in impacts)),
            )
        )
    return found
