from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from cmscert.mmp.services import SERVICES
from cmscert.model.observed import Binding
from cmscert.model.plan import Drift, Rebind
from cmscert.reports.plan_text import plan_text
from cmscert.reports.steps import gist, what
from cmscert.testing.plans import database_plan, empty_plan, sample_plan

Golden = Callable[[str, str], None]
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def test_plan_reads_as_written(golden: Golden) -> None:
    """A plan tells what is unread and refused, what differs, the steps, and who notices, in 80 columns."""
    golden("plan.txt", plan_text(sample_plan(), SERVICES))


def test_verbose_plan_shows_what_is_typed(golden: Golden) -> None:
    """With -v every step shows its exact commands and its way back."""
    golden("plan-verbose.txt", plan_text(sample_plan(), SERVICES, width=100, verbose=True))


def test_rebuild_of_a_cluster_reads_as_written(golden: Golden) -> None:
    """The steps on a database cluster are told in words and, with -v, as what is typed."""
    golden("plan-database.txt", plan_text(database_plan(), SERVICES, width=100, verbose=True))


def test_empty_plan_says_so(golden: Golden) -> None:
    """A fleet that is as wanted gets one sentence."""
    golden("plan-empty.txt", plan_text(empty_plan(), SERVICES))


def test_empty_but_unread_plan_does_not_claim_all() -> None:
    """Nothing to do is said of what could be read only."""
    text = plan_text(replace(empty_plan(), unread=(("edge2", "silent"),)), SERVICES)

    assert "what could be read is as wanted" in text
    assert "all is as wanted" not in text


def test_selection_is_named() -> None:
    """A plan for a part of the fleet says which part."""
    assert "Only server=core1, service=turn" in plan_text(
        replace(empty_plan(), select=("server=core1", "service=turn")), SERVICES
    )


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_no_line_is_wider_than_the_page(width: int) -> None:
    """Every line fits the width that was asked for, and none ends in blanks."""
    lines = plan_text(sample_plan(), SERVICES, width=width, verbose=True).splitlines()

    assert max(map(len, lines)) <= width
    assert [line for line in lines if line != line.rstrip()] == []


def test_colour_changes_no_word() -> None:
    """With colour the words are the same as without."""
    plain = plan_text(sample_plan(), SERVICES)
    coloured = plan_text(sample_plan(), SERVICES, colour=True)

    assert coloured != plain
    assert [line.rstrip() for line in COLOUR.sub("", coloured).splitlines()] == plain.splitlines()


def test_nothing_of_the_environment_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that terminal libraries look at change nothing."""
    before = plan_text(sample_plan(), SERVICES)
    for name, value in (("COLUMNS", "33"), ("FORCE_COLOR", "1"), ("TERM", "dumb"), ("LANG", "C")):
        monkeypatch.setenv(name, value)

    assert plan_text(sample_plan(), SERVICES) == before


def test_device_text_cannot_steer_the_terminal() -> None:
    """Control characters in anything that a device said are spelled out."""
    evil = Drift(
        server="core1",
        slot="webadmin",
        reason="x",
        wanted="\x1b[2J\x07 \u202e \r\n gone",
        found="[bold]kept[/bold]",
    )
    text = plan_text(replace(empty_plan(), drift=(evil,)), SERVICES)

    assert not any(ord(char) < 0x20 and char != "\n" for char in text)
    assert "\u202e" not in text
    assert "\\x1b[2J\\x07" in text
    assert "[bold]kept[/bold]" in text


def test_plan_that_disturbs_nobody_says_so() -> None:
    """Uploads alone are announced as such."""
    plan = replace(sample_plan(), steps=sample_plan().steps[:1])

    assert "nobody notices anything" in plan_text(plan, SERVICES)


def test_emptied_slot_is_unbound() -> None:
    """A binding without files is told as unbinding."""
    action = Rebind(service="turn", bindings=(Binding(slot="turn"),))

    assert what(action) == ("unbind turn",)


def test_gist_is_one_line_for_every_kind() -> None:
    """Each step of a plan has a gist for progress lines."""
    gists = [gist(step) for plan in (sample_plan(), database_plan()) for step in plan.steps]

    assert all(gists)
    assert not any("\n" in line for line in gists)
