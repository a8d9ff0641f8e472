"""Pages for people from the command line: into a file or a pipe, with the exit codes of the other forms."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]
MakeRig = Callable[..., Any]
ROOT = Path(__file__).parents[2]


def test_every_command_draws_its_page(cli: Cli, rig: MakeRig, tmp_path: Path) -> None:
    """Status, drift and plan end as they do without a page; a run is told with what was before it and after."""
    lab = rig()
    pages = {}
    for words, code in ((("status",), 0), (("drift",), 6), (("plan", "--detailed-exitcode"), 5)):
        file = tmp_path / f"{words[0]}.html"
        ran = cli(*words, lab.inventory, "--format", "html", "--output", file)
        assert (ran.code, ran.out) == (code, ""), ran
        pages[words[0]] = file.read_text(encoding="utf-8")
    assert cli("apply", lab.inventory, "--yes").code == 0
    shown = cli("runs", "show", "last", "--inventory", lab.inventory, "--format", "html")

    titles = {name: page.partition("<title>")[2].partition("</title>")[0] for name, page in pages.items()}
    assert titles == {"status": "Status of single", "drift": "Drift of single", "plan": "Plan for single"}
    assert shown.code == 0
    assert shown.out.startswith("<!DOCTYPE html>\n")
    assert "applied and verified" in shown.out
    assert "read back at" in shown.out
    for page in (*pages.values(), shown.out):
        assert str(lab.folder) not in page


def test_a_saved_plan_goes_with_its_page(cli: Cli, rig: MakeRig, tmp_path: Path) -> None:
    """`--save` keeps the very plan that the page shows."""
    lab = rig()
    ran = cli("plan", lab.inventory, "--format", "html", "--output", tmp_path / "p.html", "--save", tmp_path / "p.json")

    assert ran.code == 0
    assert "to apply exactly this" in ran.err
    assert cli("apply", lab.inventory, "--plan", tmp_path / "p.json", "--yes").code == 0


@pytest.mark.parametrize("words", [("validate",), ("status", "--store")])
def test_no_page_where_there_is_none(cli: Cli, rig: MakeRig, words: tuple[str, ...]) -> None:
    """Commands without a page say so as wrong usage."""
    assert cli(*words, rig(start=False).inventory, "--format", "html").code == 2


def test_what_was_before_a_run_may_be_lost(cli: Cli, rig: MakeRig) -> None:
    """A run whose state before cannot be read any more is shown without it."""
    lab = rig()
    assert cli("apply", lab.inventory, "--yes").code == 0
    (observed,) = lab.inventory.parent.glob(".cmscert/runs/*/observed.json")
    observed.write_text("{}")
    shown = cli("runs", "show", "last", "--inventory", lab.inventory, "--format", "html")

    assert shown.code == 0
    assert "not known" in shown.out


@pytest.mark.slow
def test_the_wheel_holds_what_pages_are_made_of(tmp_path: Path) -> None:
    """Templates, script and style are installed with the program."""
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path], cwd=ROOT, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    inside = {Path(name).name for name in zipfile.ZipFile(wheel).namelist()}

    assert {each.name for each in (ROOT / "cmscert" / "reports" / "html" / "templates").iterdir()} <= inside
