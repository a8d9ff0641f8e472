"""The plan for a merge request: small enough for a comment, and what devices say does nothing in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt

from cmscert.mmp.services import SERVICES
from cmscert.model.plan import Notice, Refusal
from cmscert.reports.markdown_page import MOST_BYTES
from cmscert.reports.plan_markdown import plan_markdown
from cmscert.testing.plans import database_plan, empty_plan, sample_plan

Golden = Callable[[str, str], None]
PARSER = MarkdownIt("commonmark").enable("table")
HOSTILE = "a|b `x` <script>alert(1)</script> @team [l](http://x) \x1b[2J"


def test_plan_reads_as_written(golden: Golden) -> None:
    """What is unread and refused comes first, then what differs, who notices, the steps by stage, what to know."""
    golden("plan.md", plan_markdown(sample_plan(), SERVICES))


def test_rebuild_of_a_cluster_reads_as_written(golden: Golden) -> None:
    """The stages of a cluster's rebuild have their headings and their commands."""
    golden("plan-database.md", plan_markdown(database_plan(), SERVICES))


def test_empty_plan_reads_as_written(golden: Golden) -> None:
    """A fleet that is as wanted is one heading."""
    golden("plan-empty.md", plan_markdown(empty_plan(), SERVICES))


def test_what_was_not_read_is_not_claimed() -> None:
    """Nothing to do is said of what could be read only."""
    page = plan_markdown(replace(empty_plan(), unread=(("edge2", "silent"),)), SERVICES)

    assert page.startswith("## Plan for `example`: nothing to do in what could be read\n")


def test_plan_that_takes_a_run_back_says_so() -> None:
    """A rollback and a selection are named."""
    page = plan_markdown(replace(sample_plan(), rolls_back="RUN", select=("server=core1",)), SERVICES)

    assert page.startswith("## Plan to take run `RUN` back on `example`: ")
    assert "· only `server=core1`" in page


def test_plan_that_disturbs_nobody_says_so() -> None:
    """Uploads alone are announced as such."""
    assert "### Who notices: nobody" in plan_markdown(replace(sample_plan(), steps=sample_plan().steps[:1]), SERVICES)


def test_hostile_words_do_nothing() -> None:
    """Pipes, backticks, tags, mentions and control characters of a device stay text."""
    plan = sample_plan()
    drift = tuple(replace(each, found=HOSTILE, wanted=HOSTILE) for each in plan.drift)
    evil = replace(plan, fleet=HOSTILE, drift=drift, unread=((HOSTILE, HOSTILE),), select=(HOSTILE,))
    page = plan_markdown(replace(evil, refusals=(Refusal(guard="x", message=HOSTILE),)), SERVICES)
    drawn = PARSER.render(page)

    assert "<script" not in page
    assert "<a " not in drawn
    assert "@team" not in page
    assert "\x1b" not in page


@pytest.mark.parametrize("number", [1, 60, 900])
def test_the_page_fits_a_comment(number: int) -> None:
    """However much there is, the page stays below the limit, and what has no room is counted."""
    plan = sample_plan()
    steps = tuple(
        replace(step, id=f"{turn}-{step.id}", after=tuple(f"{turn}-{link}" for link in step.after))
        for turn in range(number)
        for step in plan.steps
    )
    much = replace(
        plan,
        steps=steps,
        drift=plan.drift * number,
        notices=(Notice(message="m" * 400),) * number,
        refusals=plan.refusals * number,
        unread=plan.unread * number,
    )
    page = plan_markdown(much, SERVICES)

    assert len(page.encode()) <= MOST_BYTES
    assert page.count("<details>") == page.count("</details>")
    assert ("left out here" in page) == (number > 1)
    assert "### To know" in page
