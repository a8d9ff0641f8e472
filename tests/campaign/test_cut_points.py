"""A run is killed at every point where something leaves it; the next one reaches what is wanted."""

from __future__ import annotations

import os

import pytest

from cmscert.model.plan import Notice
from cmscert.testing.service_campaign.cases import STARTS, Case, Played
from cmscert.testing.service_campaign.faults import Fault, Op
from cmscert.testing.service_campaign.play import course_of, play_case
from cmscert.testing.service_campaign.stage import Setting

ALL = os.environ.get("CMSCERT_EVERY_CUT") == "1"
"""Every point of every setting, in a quarter of an hour; otherwise every n-th of the larger ones."""

SETTINGS = (
    (Setting(inventory="single.yaml"), 1),
    (Setting(inventory="single.yaml", scenario="new-ca"), 1),
    (Setting(inventory="single.yaml", scenario="faults"), 2),
    (Setting(inventory="legacy-2.9.yaml", scenario="new-ca"), 9),
    (Setting(inventory="cluster.yaml", scenario="new-ca"), 23),
    (Setting(inventory="cluster.yaml", aged=("core1", "edge1")), 7),
    (Setting(inventory="issued.yaml", database="aged"), 11),
)


def killed(setting: Setting, kind: str, op: Op) -> Played:
    """Play a run that is killed at one point, and the runs after it."""
    fault = Fault(kind=kind, server=op.server, at=op.number)
    return play_case(
        Case(seed=-2, setting=setting, faults=(fault,), pauses=(60.0,) * STARTS, rollback=True, by_hand=False)
    )


@pytest.mark.slow
@pytest.mark.parametrize(("setting", "every"), SETTINGS, ids=[str(setting) for setting, _ in SETTINGS])
def test_second_run_finishes_whatever_the_first_left(setting: Setting, every: int) -> None:
    """Wherever a run dies, the next one needs nobody: all is as wanted, what was up is up, nothing stays to tell."""
    points = [op for op in course_of(setting).ops if op.changes][:: 1 if ALL else every]
    wrong = []
    for op in points:
        for kind in ("kill-before", "kill-after", *(("kill-during",) if op.puts else ())):
            played = killed(setting, kind, op)
            if played.wrong or [start.code for start in played.starts[:2]] != [None, 0]:
                wrong.append(f"{op.what}: {played}")
            elif any(notice.reason in ("unfinished-run", "left-by-run") for notice in _last(played)):
                wrong.append(f"{op.what}: told for ever: {played}")

    assert not wrong, "\n\n".join(wrong)


def _last(played: Played) -> tuple[Notice, ...]:
    last = played.starts[-1].plan
    return () if last is None or len(played.starts) == 2 else last.notices
