"""The pages for people in a real browser, judged by html-validate and axe, which others wrote."""

from __future__ import annotations

import json
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from cmscert.mmp.services import SERVICES
from cmscert.reports.html.fleet import fleet_page
from cmscert.reports.html.run import run_page
from cmscert.testing.overviews import HOSTILE, fleet_overview, hostile_overview, sample_before, sample_record
from cmscert.testing.plans import sample_plan

HERE = Path(__file__).parent
PATIENCE = 110.0
LOOKED_AT = ("status", "plan", "hostile", "run")
pytestmark = [pytest.mark.slow, pytest.mark.judge("npm"), pytest.mark.timeout(PATIENCE + 10)]
in_chromium = pytest.mark.judge("chromium")


@cache
def pages() -> dict[str, str]:
    """Draw one page of each kind, one of a hostile fleet, and one of a large one."""
    fleet = fleet_overview()
    return {
        "status": fleet_page(fleet, "status", SERVICES),
        "plan": fleet_page(fleet, "plan", SERVICES),
        "hostile": fleet_page(hostile_overview(), "plan", SERVICES),
        "run": run_page(
            sample_record("neither", HOSTILE), sample_plan(), before=sample_before(), files=("saved/core1/x.crt",)
        ),
        "large-status": fleet_page(fleet_overview(50), "status", SERVICES),
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Write every page into a file of its own."""
    folder = tmp_path_factory.mktemp("pages")
    written = {name: folder / f"{name}.html" for name in pages()}
    for name, file in written.items():
        file.write_text(pages()[name], encoding="utf-8")
    return {name: str(file) for name, file in written.items()}


def node(script: str, *words: str, stdin: str = "") -> Any:  # noqa: ANN401 - whatever JSON it prints
    """Run a script with Node.js; return the JSON that it prints."""
    done = subprocess.run(
        ["node", str(HERE / script), *words],
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def seen(files: dict[str, str]) -> dict[str, Any]:
    """Return what a browser saw of the pages; it is started once."""
    told: dict[str, Any] = node("look.mjs", stdin=json.dumps({"browser": shutil.which("chromium"), "pages": files}))
    return told


def test_pages_are_valid(files: dict[str, str]) -> None:
    """html-validate finds nothing in them, neither against the standard nor for people who do not see."""
    found = node("validate.mjs", *(files[name] for name in LOOKED_AT))

    assert found == {files[name]: [] for name in LOOKED_AT}


@in_chromium
@pytest.mark.parametrize("name", LOOKED_AT)
def test_axe_finds_nothing(seen: dict[str, Any], name: str) -> None:
    """With everything open, light and dark, on paper and on a small screen, nothing shuts anybody out."""
    found = seen["looks"][name]["axe"]

    assert found == {mode: [] for mode in found}
    assert {"light", "dark"} <= set(found)


@in_chromium
@pytest.mark.parametrize("name", LOOKED_AT)
def test_nothing_leaves_and_nothing_is_obeyed(seen: dict[str, Any], name: str) -> None:
    """No request, no breach of the policy, no error, and no dialog that a server has asked for."""
    look = seen["looks"][name]

    assert (look["requests"], look["violations"], look["errors"], look["dialogs"]) == ([], [], [], [])


@in_chromium
@pytest.mark.parametrize("name", LOOKED_AT)
def test_pages_fit_small_screens_and_dark_rooms(seen: dict[str, Any], name: str) -> None:
    """At 400 pixels nothing but tables and drawings moves sideways, and the page follows the wish for dark."""
    look = seen["looks"][name]

    assert look["sideways"] == 0
    assert look["background"]["light"] != look["background"]["dark"]


@in_chromium
@pytest.mark.parametrize("name", ["used", "large"])
def test_the_table_is_sorted_with_the_keyboard(seen: dict[str, Any], name: str) -> None:
    """Enter and space on a heading sort by it, up and down, which is also told; empty cells come last."""
    used = seen[name]
    up, down = ([int(day) for day in used[way]["days"] if day] for way in ("up", "down"))

    assert used["unsorted"] is None
    assert (used["up"]["sort"], used["down"]["sort"]) == ("ascending", "descending")
    assert up == sorted(up)
    assert down == sorted(down, reverse=True)
    assert used["up"]["days"][-1] == used["down"]["days"][-1] == ""


@in_chromium
@pytest.mark.parametrize(("name", "rows"), [("used", 1), ("large", 11)])
def test_the_table_is_searched(seen: dict[str, Any], name: str, rows: int) -> None:
    """Every word counts, names of certificates too, and the number of rows that are left is announced."""
    used = seen[name]
    whole = used["all"]["rows"]

    assert used["all"]["told"] == f"{whole} rows"
    assert len(used["searched"]["rows"]) == rows
    assert used["searched"]["told"] == f"{rows} of {whole} rows"
    assert used["named"] == 3
    assert set(used["loud"]["states"]) == {"differs", "due", "expired", "not read"} & set(used["loud"]["states"])


@in_chromium
def test_the_keyboard_reaches_everything(seen: dict[str, Any]) -> None:
    """The first stop skips to the content, and a link to a certificate opens it and goes there."""
    used = seen["used"]

    assert (used["first"], used["skipped"], used["unfolded"]) == ("Skip to the content", "main", True)


@in_chromium
def test_paper_has_everything_open(seen: dict[str, Any]) -> None:
    """What is folded is open on paper and folded again afterwards; what can only be clicked is left out."""
    used = seen["used"]

    assert used["shut"] == used["shutAfterPrint"] > 0
    assert (used["shutOnPaper"], used["navOnPaper"]) == (0, False)
    assert used["paper"] > 0


@in_chromium
def test_pages_need_no_script(seen: dict[str, Any]) -> None:
    """Where scripts are off, all is there to read, and nothing to click that would not work."""
    assert seen["plain"] == {"rows": seen["used"]["all"]["rows"], "tools": 0}
