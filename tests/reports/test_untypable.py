"""A plan that holds names which nobody could type is drawn in every form, with the names spelled out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from cmscert.mmp.services import SERVICES
from cmscert.model.overview import Overview
from cmscert.model.plan import Plan, Rebind
from cmscert.reports.html.fleet import fleet_page
from cmscert.reports.plan_document import dump, plan_document
from cmscert.reports.plan_markdown import plan_markdown
from cmscert.reports.plan_text import plan_text
from cmscert.reports.runbook import runbook
from cmscert.testing.fleet_reports import sample_drift, sample_status
from cmscert.testing.plans import sample_plan

NAME = "old\x1b[31m\u202e.crt"


def hostile_plan() -> Plan:
    """Return a plan whose ways back would bind a file of a name that a hostile server showed."""
    steps = []
    for step in sample_plan().steps:
        undo = step.undo
        if isinstance(undo, Rebind):
            undo = replace(undo, bindings=tuple(replace(each, bundle=NAME) for each in undo.bindings))
        steps.append(replace(step, undo=undo))
    return replace(sample_plan(), steps=tuple(steps))


def page(plan: Plan) -> str:
    """Draw the page of a plan."""
    return fleet_page(Overview(status=sample_status(), drift=sample_drift(), plan=plan), "plan", SERVICES)


FORMS: dict[str, Callable[[Plan], str]] = {
    "text": lambda plan: plan_text(plan, SERVICES, verbose=True, width=200),
    "markdown": lambda plan: plan_markdown(plan, SERVICES),
    "runbook": lambda plan: runbook(plan, SERVICES),
    "html": page,
    "json": lambda plan: dump(plan_document(plan, SERVICES)),
}


@pytest.mark.parametrize("form", FORMS)
def test_it_is_drawn(form: str) -> None:
    """Nothing stops, and nothing of the name reaches a terminal or a browser as it is."""
    drawn = FORMS[form](hostile_plan())

    assert "\x1b" not in drawn
    assert "\u202e" not in drawn
    if form != "markdown":  # which shows no ways back
        assert "cannot be typed" in drawn


def test_the_names_are_spelled_out() -> None:
    """Whoever reads the plan sees which name it is."""
    text = plan_text(hostile_plan(), SERVICES, verbose=True, width=200)
    steps = json.loads(dump(plan_document(hostile_plan(), SERVICES)))["steps"]

    assert r"old\x1b[31m\u202e.crt" in text
    assert any(NAME in line for step in steps if step["undo"] for line in step["undo"]["commands"])
