"""The plan as numbered steps to type by hand: for the night when a person must do what ``apply`` would do.

Text of 80 columns for paper. What is typed comes from ``cmscert.mmp`` alone, as it does for the executor (law 4).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from textwrap import wrap

from cmscert.mmp.lines import lines
from cmscert.mmp.typed import row_of, shown
from cmscert.model.plan import FLEET, Action, Gate, Plan, PutFile, Rebind, RestoreFile, Step
from cmscert.model.services import ServiceTable
from cmscert.reports.expecting import expected
from cmscert.reports.plain import counted, duration, listed, moment, safe
from cmscert.reports.reasons import until
from cmscert.reports.steps import GATES, phases, what
from cmscert.reports.summary import summarise

Material = Mapping[str, tuple[str, ...]]

WIDTH = 80
DIGEST = 16
RULES = (
    "Log in to each server by SSH for the commands, and by SFTP with the same account for lines that begin with sftp.",
    "Keep the order. Tick each step when what it has to show is there, not when it was typed.",
    "SUCCESS is not proof. A command that only sets something answers nothing when it works.",
    "A line that begins with FAILURE ends the step: type its way back, and stop.",
    "A screen is proof, and what a port serves is more proof.",
    "The screen of turn shows a password in clear. Keep it out of tickets and photographs.",
    "Type nothing while cmscert applies to this fleet, and let nobody apply meanwhile.",
)
PROOF = "Afterwards cmscert plan has nothing to do. If it has, it says what is missing."
BACK = "Afterwards cmscert rollback {run} --format markdown has nothing to do. If it has, it says what is missing."


def runbook(plan: Plan, table: ServiceTable, *, material: Material | None = None) -> str:
    """Write a plan down for somebody who types it.

    ``material``: by content of the plan (``sha256:…``, ``spki:…``), what it is made of on this machine.
    """
    parts = [*_header(plan), *_stops(plan)]
    if any(not isinstance(step.action, Gate) for step in plan.steps):
        parts += ["", *_title("Before you begin")]
        proof = PROOF if plan.rolls_back is None else BACK.format(run=plan.rolls_back)
        for rule in (*RULES, proof):
            parts += _wrapped(rule, first="- ", other="  ")
        parts += _steps(plan, table, material or {})
    return "\n".join(line.rstrip() for line in (*parts, *_besides(plan))) + "\n"


def _besides(plan: Plan) -> Iterator[str]:
    """Say what nobody types anything for: notices, and what the inventory leaves alone."""
    alone = [each for each in plan.drift if each.ignored is not None]
    told = [(each.server, each.slot, f"{each.reason}{until(each)}: {each.ignored}") for each in alone]
    notices = [(each.server, each.slot, each.message) for each in plan.notices]
    for title, rows in (("To know", notices), ("Left alone, as the inventory asks", told)):
        if rows:
            yield from ("", *_title(title))
        for server, slot, message in rows:
            place = " ".join(part for part in (server, slot) if part)
            yield from _wrapped(f"{place}: {message}" if place else message, first="- ", other="  ")


def _header(plan: Plan) -> list[str]:
    summary = summarise(plan)
    back = "" if plan.rolls_back is None else f", which takes run {plan.rolls_back} back"
    found = [*_wrapped(f"Runbook for {plan.fleet}{back}"), "=" * WIDTH]
    found += _wrapped(f"made         {moment(plan.made_at)} by cmscert {plan.tool_version}", other=" " * 13)
    found += _wrapped(f"inventory    sha256 {plan.inventory_sha256[:DIGEST]}", other=" " * 13)
    if plan.select:
        found += _wrapped(f"only         {', '.join(plan.select)}", other=" " * 13)
    interruptions = (
        f"{counted(summary.disturbing, 'interruption')}, about {duration(summary.seconds)} in all"
        if summary.disturbing
        else "nobody notices anything"
    )
    found += _wrapped(f"to do        {counted(summary.steps, 'step')}, {interruptions}", other=" " * 13)
    found += ["", *_wrapped("It holds for the servers as they were read then:")]
    for server, digest in sorted(plan.basis.items()):
        release = f"release {plan.releases[server]}, " if server in plan.releases else ""
        found += _wrapped(f"{server}  {release}basis {digest[:DIGEST]}", first="  ", other="    ")
    if summary.steps:
        found += _wrapped(
            "When one of them has changed since, its basis is another: make this page again right before you begin."
        )
    else:
        found += ["", *_wrapped("Nothing to type." if plan.complete else "Nothing to type in what could be read.")]
    return found


def _stops(plan: Plan) -> list[str]:
    found: list[str] = []
    if plan.unread:
        found += ["", *_title("Not read, so this is incomplete")]
        for server, why in plan.unread:
            found += _wrapped(f"{server}: {why}", first="- ", other="  ")
    if plan.refusals:
        found += ["", *_title("DO NOT BEGIN: refused as it stands")]
        for each in plan.refusals:
            place = f"{each.server}: " if each.server else ""
            lift = "go on only when that is meant" if each.liftable else "nothing lifts this"
            found += _wrapped(f"{each.guard}: {place}{each.message} ({lift})", first="- ", other="  ")
    return found


def _steps(plan: Plan, table: ServiceTable, material: Material) -> Iterator[str]:
    shown = {step.id for step in plan.steps if not isinstance(step.action, Gate)}
    gates = {title: gate for gate, title in _opened(plan)}
    total = len(shown)
    number = 0
    for title, steps in phases(plan.steps):
        yield ""
        yield from _title(title)
        if steps[0].id in gates:
            yield from _wrapped(f"STOP. Go on only when this is so: {gates[steps[0].id]}.")
        for step in steps:
            number += 1
            yield ""
            yield from _step(step, plan, table, material, f"{number} of {total}")


def _opened(plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield (what a gate asks for, the first step behind it)."""
    asked: str | None = None
    for step in plan.steps:
        if isinstance(step.action, Gate):
            asked = GATES[step.action.opens]
        elif asked is not None:
            yield asked, step.id
            asked = None


def _step(step: Step, plan: Plan, table: ServiceTable, material: Material, number: str) -> Iterator[str]:
    server = "" if step.server == FLEET else f" · on {step.server}"
    yield from _wrapped(f"[ ] {number} · step {step.id}{server}", other="    ")
    for line in what(step.action):
        yield from _told("what", line)
    yield from _told("why", listed(step.because))
    links = [link for link in step.after if not _is_gate(link, plan)]
    if links:
        yield from _told("after", f"step {listed(links)}")
    if step.impact is not None:
        yield from _told("notices", f"{step.impact.notices}, for about {duration(step.impact.seconds)}")
    if isinstance(step.action, PutFile):
        yield from _material(step.action, material)
    yield from _typed("type", step.action, step.server, plan, table)
    row = row_of(step.action, step.server, plan, table)
    for line in expected(step.action, row):
        yield from _told("expect", line)
    if step.undo is not None:
        yield from _typed("way back", step.undo, step.server, plan, table)
    elif step.disturbs:
        yield from _told("way back", "none: go on forward; what this page says under To know may say more")


def _is_gate(link: str, plan: Plan) -> bool:
    return any(step.id == link and isinstance(step.action, Gate) for step in plan.steps)


def _material(action: PutFile, material: Material) -> Iterator[str]:
    parts = material.get(action.content, ())
    kind, _, digest = action.content.partition(":")
    named = f"sha256 {digest[:DIGEST]}" if kind == "sha256" else f"public half {digest[:DIGEST]}"
    if not parts:
        yield from _told("local", f"the {action.role} with {named}, under the name {action.file}")
        return
    if len(parts) == 1:
        yield from _told("local", f"take {parts[0]}, under the name {action.file} ({named})", whole=True)
        return
    yield from _told("local", f"write these PEM blocks into {action.file} first, in this order ({named}):")
    for part in parts:
        yield from _told("", part, whole=True)


def _typed(label: str, action: Action, server: str, plan: Plan, table: ServiceTable) -> Iterator[str]:
    """Show what is typed, each line whole or told to be one line; a transfer tells what is done on which side."""
    row = row_of(action, server, plan, table)
    try:
        every = lines(action, row)
    except ValueError:
        for text in shown(action, server, plan, table):
            yield from _told(label, text)
        return
    for number, line in enumerate(every):
        whole = wrap(safe(line.text), WIDTH - 16, break_on_hyphens=False, break_long_words=False) or [""]
        yield from _lead(label if not number else "", f"$ {whole[0]}")
        for rest in whole[1:]:
            yield from _lead("", f"  {rest}")
        if len(whole) > 1:
            yield from _lead("", "  (all of it in one line)")
        if line.command is not None and line.command.confirms:
            yield from _lead("", "  (if it asks: answer with a capital Y)")
    if isinstance(action, Rebind) and action.restores and label == "way back":
        yield from _told("", "put the copy back under the old name while the service is down")
    if isinstance(action, RestoreFile):
        yield from _told("", "the service that uses it loads it when it is started again")


def _told(label: str, text: str, *, whole: bool = False) -> Iterator[str]:
    """Lay out a text beside its label; ``whole``: no word is broken, however long, since it is a path to copy."""
    shown = wrap(safe(text), WIDTH - 14, break_on_hyphens=False, break_long_words=not whole)
    for number, line in enumerate(shown or [""]):
        yield from _lead(label if not number else "", line)


def _lead(label: str, text: str) -> Iterator[str]:
    yield f"    {label:<10}{text}"


def _title(text: str) -> Iterator[str]:
    shown = wrap(text, WIDTH)
    yield from shown
    yield "-" * len(shown[-1])


def _wrapped(text: str, *, first: str = "", other: str = "") -> list[str]:
    return wrap(safe(text), WIDTH, initial_indent=first, subsequent_indent=other, break_on_hyphens=False)
