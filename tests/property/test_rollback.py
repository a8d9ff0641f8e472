"""Whatever a run did, however far it came, and wherever its rollback breaks: in the end all services are as before it.

Fleets of every example inventory in memory. A run is applied, whole or with an accident at any point; then it is taken
back, with an accident or without, again and again until there is nothing to do. Then every service has the names of
before bound, the same bytes under them, serves what it served, and is on or off as it was.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from cmscert.app.ports import Ports
from cmscert.app.rollback import RollbackOptions, rollback
from cmscert.app.running import ApplyResult, Talk
from cmscert.apply.runs import list_runs
from cmscert.mmp.services import SERVICES
from cmscert.model.plan import Plan
from cmscert.reports.plan_document import plan_document
from cmscert.testing.service_campaign import play
from cmscert.testing.service_campaign.cases import STARTS, Case, Start
from cmscert.testing.service_campaign.faults import Fault, Op
from cmscert.testing.service_campaign.process import Process
from cmscert.testing.service_campaign.seen import Snapshot, snapshot
from cmscert.testing.service_campaign.stage import Setting, stage_of
from cmscert.testing.service_campaign.theatre import Theatre
from cmscert.testing.timeless import TimelessLoop

SCHEMA = Path(__file__).parents[2] / "schemas" / "plan.schema.json"
LOCK_ENDS = 1200.0
"""Seconds after which nobody heeds the lock file of a run that is over."""

MOST = 5
"""How often the rollback is started at most."""

SETTINGS = (
    Setting(inventory="single.yaml"),
    Setting(inventory="single.yaml", scenario="new-ca"),
    Setting(inventory="legacy-2.9.yaml"),
    Setting(inventory="legacy-2.9.yaml", scenario="new-ca"),
    Setting(inventory="cluster.yaml", aged=("core1", "edge1")),
    Setting(inventory="cluster.yaml", scenario="new-ca"),
)
KINDS = ("kill-before", "kill-during", "kill-after", "cut-before", "cut-after", "failure", "lie", "silent", "truncate")


class Back(Theatre):
    """A theatre whose operator takes a run back, once one is named."""

    run: str | None = None
    allow: tuple[str, ...] = ()

    def work(self, process: Process, ports: Ports, talk: Talk) -> Coroutine[Any, Any, ApplyResult]:
        """Return what a start does."""
        if self.run is None:
            return super().work(process, ports, talk)
        options = RollbackOptions(inventory=self.stage.inventory, state_dir=self.state, allow=self.allow)
        return rollback(self.run, ports, talk, now=self.loop.clock(), stop=process.stop, options=options)


@dataclass(kw_only=True)
class Story:
    """What happened: the fleet before the run, after it, and in the end; the plans and the codes of the rollback."""

    first: Snapshot
    left: Snapshot
    last: Snapshot
    ops: tuple[Op, ...]
    starts: tuple[Start, ...]

    @property
    def plans(self) -> list[Plan]:
        """The plans of the rollback."""
        return [start.plan for start in self.starts if start.plan is not None and start.plan.rolls_back is not None]

    def told(self) -> str:
        """Say in a line what came out of every start."""
        return "; ".join(map(str, self.starts))


def tell(
    setting: Setting, applied: tuple[Fault, ...] = (), taken_back: tuple[Fault, ...] = (), *allow: str
) -> Story | None:
    """Apply and take back until there is nothing to do; None when nothing was journalled."""
    case = Case(seed=1, setting=setting, faults=(), pauses=(1.0,) * STARTS, rollback=True, by_hand=False)
    stage = stage_of(setting.inventory, databases=setting.database != "out")
    stories: list[Story] = []

    async def run(loop: TimelessLoop, folder: Path) -> list[Start]:
        theatre = Back(case, stage, loop, folder)
        theatre.allow = allow
        async with theatre.fleet:
            await theatre.begin()
            await theatre.start(applied)
            await theatre.quiet()
            left = snapshot(theatre.fleet)
            runs = list_runs(theatre.state)
            if not runs:
                return theatre.starts
            theatre.run = runs[0].id
            ops: tuple[Op, ...] = ()
            for number in range(MOST):
                process = await theatre.start(() if number else taken_back)
                ops = ops or tuple(process.ops)
                await theatre.quiet()
                if theatre.starts[-1].settled and "foreign-lock" not in theatre.starts[-1].guards:
                    break
                await asyncio.sleep(LOCK_ENDS)
            last = snapshot(theatre.fleet)
            stories.append(Story(first=theatre.first, left=left, last=last, ops=ops, starts=tuple(theatre.starts)))
        return theatre.starts

    play._staged(run)
    return stories[0] if stories else None


@lru_cache(maxsize=16)
def course(setting: Setting) -> tuple[Op, ...]:
    """Return what goes over the wire when a whole run is taken back."""
    story = tell(setting)
    assert story is not None
    return story.ops


def differences(story: Story) -> list[str]:
    """Say what is not as before."""
    return [
        f"{' '.join(place)}: {seen} and now {story.last[place]}"
        for place, seen in story.first.items()
        if seen != story.last[place]
    ]


def accident(draw: Any, ops: tuple[Op, ...]) -> Fault:  # noqa: ANN401 - hypothesis calls it so
    """Draw something that goes wrong where something is changed."""
    kind = draw(st.sampled_from(KINDS))
    fitting = [op for op in ops if op.changes and (op.puts or kind not in ("kill-during", "truncate"))]
    op = draw(st.sampled_from(fitting or [op for op in ops if op.changes]))
    return Fault(kind=kind, server=op.server, at=op.number)


@st.composite
def tales(draw: st.DrawFn) -> tuple[Setting, tuple[Fault, ...], tuple[Fault, ...]]:
    """Draw a fleet, and what breaks while it is changed and while that is taken back."""
    setting = draw(st.sampled_from(SETTINGS))
    first = (accident(draw, play.course_of(setting).ops),) if draw(st.booleans()) else ()
    second = (accident(draw, course(setting)),) if draw(st.booleans()) or not first else ()
    return setting, first, second


@pytest.mark.unwatched
@pytest.mark.slow
@settings(max_examples=80, deadline=None, derandomize=True)
@given(tale=tales())
def test_in_the_end_all_is_as_before(tale: tuple[Setting, tuple[Fault, ...], tuple[Fault, ...]]) -> None:
    """Names, bytes, served leaves and what is on are as before the run, and nothing is to do any more."""
    setting, first, second = tale
    story = tell(setting, first, second)
    if story is None:
        event("nothing was begun")
        return
    event("; ".join(str(start.code) for start in story.starts[1:]))
    assert story.starts[-1].code == 0, story.told()
    assert story.starts[-1].settled, story.told()
    assert differences(story) == [], story.told()


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_whole_runs(setting: Setting) -> None:
    """A whole run is taken back at the first go, with a plan whose document is one, and then there is nothing to do."""
    story = tell(setting)

    assert story is not None
    assert story.left != story.first
    assert [start.code for start in story.starts] == [0, 0, 0], story.told()
    assert differences(story) == []
    document = plan_document(story.plans[0], SERVICES)
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(json.loads(json.dumps(document)))
    assert [plan.steps for plan in story.plans[1:]] == [()]


@pytest.mark.parametrize("inventory", ["single.yaml", "legacy-2.9.yaml", "cluster.yaml"])
def test_a_first_set_up(inventory: str) -> None:
    """What held nothing before holds nothing again, shows nothing, and is on or off as it was."""
    story = tell(Setting(inventory=inventory, scenario="fresh"))

    assert story is not None
    assert story.starts[-1].settled, story.told()
    # The lab knows whether a call bridge is enabled; nothing tells it and nothing says it (T-31).
    differ = [text for text in differences(story) if " callbridge: " not in text]
    assert differ == []
    assert all(
        (story.last[place].bound, story.last[place].up, story.last[place].leaves) == (seen.bound, seen.up, seen.leaves)
        for place, seen in story.first.items()
    )


def test_what_was_broken_before_stays() -> None:
    """Services that were broken before keep what the run gave them; all others go back."""
    story = tell(Setting(inventory="single.yaml", scenario="faults"), (), (), "cannot-go-back", "peer-refused")

    assert story is not None
    told = [refusal.message for plan in story.plans for refusal in plan.refusals if refusal.guard == "cannot-go-back"]
    stays = {place for place in story.first for message in told if message.startswith(f"{place[1]} stays")}
    assert story.starts[-1].settled, story.told()
    assert stays
    for place, seen in story.first.items():
        expected = story.left[place] if place in stays else seen
        assert (story.last[place].bound, story.last[place].up) == (expected.bound, expected.up), place


@pytest.mark.parametrize(
    "setting",
    [
        Setting(inventory="cluster.yaml", aged=("core4",), database="aged"),
        Setting(inventory="issued.yaml", database="aged"),
    ],
    ids=str,
)
def test_databases_stay(setting: Setting) -> None:
    """A database that was rebuilt is not taken back, and has to be acknowledged; services are."""
    refused = tell(setting)
    story = tell(setting, (), (), "database-stays")

    assert refused is not None
    assert story is not None
    assert refused.starts[-1].guards == {"database-stays"}
    assert refused.last == refused.left
    assert differences(story) == []
    assert story.starts[-1].settled
