"""The end of a run in words: what was done, undone, failed and left, and what a person has to do."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.text import Text

from cmscert.model.events import Outcome, RunResult, StepResult
from cmscert.model.plan import Gate, Plan
from cmscert.reports.paper import Whole, draw, heading, labelled, phrase, words
from cmscert.reports.plain import counted
from cmscert.reports.plan_text import unread_part
from cmscert.reports.steps import gist

if TYPE_CHECKING:
    from rich.console import RenderableType

ENDINGS = {
    "applied": ("applied and verified", "good"),
    "rolled-back": ("failed; what failed is back as it was, and that was verified", "warning"),
    "neither": ("failed, and the fleet is neither old nor new", "error"),
    "interrupted": ("interrupted; the journal is whole", "warning"),
}

TITLES: tuple[tuple[Outcome, str, str], ...] = (
    ("failed", "Failed", "error"),
    ("left", "Left as it is, neither old nor new", "error"),
    ("undone", "Undone", "warning"),
    ("skipped", "Not started", "quiet"),
)


def run_text(
    result: RunResult | None, plan: Plan, *, width: int = 80, colour: bool = False, verbose: bool = False
) -> str:
    """Draw the result of a run; None when there was nothing to do. ``verbose`` lists the steps that were done too."""
    if result is None:
        return draw(
            words(f"Nothing to do on {plan.fleet}.", "good"), *unread_part(plan.unread), width=width, colour=colour
        )
    steps = {step.id: gist(step) for step in plan.steps if not isinstance(step.action, Gate)}
    shown = [each for each in result.steps if each.step in steps]
    ending, style = ENDINGS[result.result]
    if plan.rolls_back is not None and result.result == "applied":
        part = "" if plan.complete else " as far as it could be read"
        ending = f"run {plan.rolls_back} is taken back{part}, and that was verified"
    parts: list[RenderableType | Whole] = [phrase((f"Run {result.run}: ", "title"), (ending, style))]
    if result.why:
        parts.append(words(result.why, style))
    parts.append(words(_counts(shown)))
    titles = (("done", "Done", "good"), *TITLES) if verbose else TITLES
    for outcome, title, tone in titles:
        rows = [_row(each, steps[each.step], tone) for each in shown if each.outcome == outcome]
        if rows:
            parts.extend((heading(title), labelled(rows, indent=2)))
    parts.extend(unread_part(plan.unread))
    parts.extend(by_hand_part(result.by_hand))
    return draw(*parts, width=width, colour=colour)


def _counts(shown: list[StepResult]) -> str:
    count = Counter(each.outcome for each in shown)
    words_for = {"skipped": "not started", "left": "left as it is"}
    rest = ", ".join(f"{count[each]} {words_for.get(each, each)}" for each, _, _ in TITLES if count[each])
    return f"{counted(count['done'], 'step')} done" + (f", {rest}" if rest else "")


def _row(each: StepResult, what: str, tone: str) -> tuple[Text, Text]:
    return (
        words(f"{each.step} {each.server}", "server"),
        phrase((what, "plain"), (f": {each.why}" if each.why else "", tone)),
    )


def by_hand_part(by_hand: tuple[tuple[str, tuple[str, ...]], ...]) -> list[RenderableType | Whole]:
    """Draw what a person has to type, server by server; a line of it that is broken would be pasted as two."""
    if not by_hand:
        return []
    parts: list[RenderableType | Whole] = [heading("Type this by hand")]
    for server, commands in by_hand:
        parts.append(phrase(("on ", "plain"), (server, "server")))
        parts.extend(Whole(words(f"  {command}", "command")) for command in commands)
    return parts
