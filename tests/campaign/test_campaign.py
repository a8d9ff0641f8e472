"""The campaign itself: it repeats, everything that it draws comes to pass, and its checks notice what they must."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import pytest

from cmscert.lab.node import LabNode
from cmscert.testing.service_campaign import __main__ as program
from cmscert.testing.service_campaign import checks, play
from cmscert.testing.service_campaign.cases import SETTINGS
from cmscert.testing.service_campaign.faults import KINDS, Fault, draw
from cmscert.testing.service_campaign.play import case_of, course_of
from cmscert.testing.service_campaign.tally import MEANINGS, Tally, figures
from cmscert.testing.service_campaign.theatre import Theatre

QUIET = 40_000
"""A seed that is not among those of the other files."""


def test_a_seed_repeats() -> None:
    """The same seed draws the same case, and it ends the same."""
    once, again = play.play(QUIET), play.play(QUIET)

    assert once.case == again.case
    assert [start.code for start in once.starts] == [start.code for start in again.starts]
    assert str(once.case).endswith(f"--seed {QUIET}")


def test_every_inventory_is_played() -> None:
    """All example inventories are among the settings, those with databases in three states of them."""
    inventories = {path.name for path in (Path(__file__).parents[2] / "inventories").glob("*.yaml")}

    assert {setting.inventory for _, setting in SETTINGS} == inventories
    assert {setting.database for _, setting in SETTINGS if setting.inventory == "cluster.yaml"} == {
        "out",
        "standing",
        "aged",
    }


def test_every_kind_is_drawn() -> None:
    """Each kind of fault is drawn, where it can come to pass, and the page says what it means."""
    course = course_of(SETTINGS[0][1])
    dice = Random(1)  # noqa: S311 - a die for tests
    drawn = Counter(fault.kind for _ in range(600) for fault in draw(dice, course))

    assert set(drawn) == set(KINDS) == set(MEANINGS)
    assert max(op.number for op in course.ops) > 40
    assert course.writes > 40


def spoilt(monkeypatch: pytest.MonkeyPatch, spoil: object) -> str | None:
    """Play a case without faults, with something done to the fleet or the disk before the last checks."""
    real = checks.in_the_end

    def after(theatre: Theatre) -> None:
        spoil(theatre)  # type: ignore[operator]  # a function
        real(theatre)

    monkeypatch.setattr(checks, "in_the_end", after)
    monkeypatch.setattr(play, "draw", lambda _dice, _course: ())
    return play.play(seed_of("single.yaml")).wrong


def seed_of(inventory: str) -> int:
    """Return a seed whose case plays on an inventory."""
    return next(seed for seed in range(QUIET, QUIET + 100) if case_of(seed).setting.inventory == inventory)


def node_of(theatre: Theatre) -> LabNode:
    """Return the only node."""
    return theatre.fleet.node("cms")


@pytest.mark.parametrize(
    ("spoil", "wrong"),
    [
        (lambda _theatre: None, None),
        (lambda theatre: node_of(theatre).machine.take_down("webadmin"), "in the end down: cms webadmin"),
        (lambda theatre: node_of(theatre).machine.services["turn"].slots.clear(), "another certificate is bound"),
        (lambda theatre: node_of(theatre).files.update({"cmscert-lock-x.crt": b""}), "marks are left"),
        (lambda theatre: (theatre.state / "note").write_text("canary-of-turn"), "a secret stands in note"),
        (lambda theatre: theatre.said.append("-----BEGIN PRIVATE KEY-----"), "a secret was said"),
        (lambda theatre: tear(theatre.state), "torn"),
        (lambda theatre: setattr(theatre.starts[-1], "code", 8), "not settled"),
    ],
)
def test_checks_notice(monkeypatch: pytest.MonkeyPatch, spoil: object, wrong: str | None) -> None:
    """A case without faults is right, and each thing that is spoilt in it is found."""
    found = spoilt(monkeypatch, spoil)

    assert (found is None) == (wrong is None)
    assert (wrong or "") in (found or "")


def tear(state: Path) -> None:
    """Cut the end of the first journal."""
    journal = min(state.glob("runs/*/journal.jsonl"))
    journal.write_bytes(journal.read_bytes()[:-5])


def test_figures_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cases are counted by inventory and fault, and the page is written only when all went as promised."""
    page = tmp_path / "page.md"
    monkeypatch.setattr(
        "sys.argv", ["campaign", "--first", str(QUIET), "--cases", "3", "--workers", "1", "--write", str(page)]
    )

    assert program.main() == 0
    assert page.read_text() in capsys.readouterr().out
    assert "3 cases" in page.read_text()
    assert figures(Tally()).startswith("0 cases")


def test_one_case_is_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With a seed, that case is played and told start by start."""
    monkeypatch.setattr("sys.argv", ["campaign", "--seed", str(QUIET)])

    assert program.main() == 0
    assert "start 1:" in capsys.readouterr().out


def test_a_fault_says_itself() -> None:
    """A fault names what happens, where and how often."""
    assert str(Fault(kind="refuse", server="cms", at=3, size=40, again=True)) == "refuse 40 at cms:3, twice"
    assert str(Fault(kind="disk-full", server="", at=3)) == "disk-full at write 3"
