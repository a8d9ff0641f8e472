"""``status --watch`` in a real terminal, against a fleet that changes meanwhile."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from typing import Any

import pexpect
import pytest

Cli = Callable[..., Any]
MakeBench = Callable[..., Any]
PATIENCE = 60.0
CLEAR = "\x1b[H\x1b[2J"


def terminal(*words: object, lines: int = 200, **more: str) -> pexpect.spawn[str]:
    """Type a command line on a terminal of 80 columns, whose size no variable hides."""
    variables = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    return pexpect.spawn(
        sys.executable,
        ["-m", "cmscert", *map(str, words)],
        env={**variables, "CMS_PASSWORD": "lab", "NO_COLOR": "1", **more},
        encoding="utf-8",
        timeout=PATIENCE,
        dimensions=(lines, 80),
    )


def view(child: pexpect.spawn[str]) -> str:
    """Wait for a view, and return it."""
    child.expect(r"\d\d:\d\d:\d\d UTC, again in 1 s, Ctrl-C ends this")
    shown: str = child.before or ""
    return shown.replace("\r\n", "\n")


@pytest.fixture
def made(bench: MakeBench) -> Any:  # noqa: ANN401 - the bench of conftest
    """One server with old certificates."""
    return bench("single.yaml", "aged")


def test_views_follow_what_happens(made: Any) -> None:  # noqa: ANN401 - same
    """A server that goes away is shown and tried again; Ctrl-C ends it well."""
    node = made.node("cms")
    child = terminal("status", made.inventory, "--watch", "1")
    first = view(child)
    second = view(child)
    node.faults.down = True
    gone = view(child)
    while "Not read" not in gone:
        gone = view(child)
    node.faults.down = False
    back = view(child)
    while "Not read" in back:
        back = view(child)
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()

    assert child.exitstatus == 0
    assert first.startswith(CLEAR + "Status of single")
    assert all(len(line) <= 80 for line in second.replace(CLEAR, "").split("\n"))
    assert "webbridge3/https" in back
    assert "Traceback" not in (child.before or "")


def test_a_low_terminal_shows_what_fits(made: Any) -> None:  # noqa: ANN401 - same
    """What has no room is counted; a terminal that knows no codes gets none."""
    child = terminal("status", made.inventory, "--watch", "1", lines=12, TERM="dumb")
    shown = view(child)
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()

    assert child.exitstatus == 0
    assert "\x1b" not in shown
    assert len(shown.split("\n")) == 11
    assert re.search(r"… \d+ more lines: ", shown)


def test_an_inventory_that_breaks_meanwhile(made: Any) -> None:  # noqa: ANN401 - same
    """Whoever edits the inventory while it is watched sees the fault, and then the fleet again."""
    text = made.inventory.read_text()
    child = terminal("status", made.inventory, "--watch", "1")
    view(child)
    made.inventory.write_text("version: 7\n")
    while "version" not in view(child):
        pass
    made.inventory.write_text(text)
    while "Status of single" not in view(child):
        pass
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()

    assert child.exitstatus == 0


@pytest.mark.parametrize(
    "more",
    [(), ("--format", "json"), ("--output", "file"), ("--store",), ("--watch", "0.5"), ("--watch", "soon")],
    ids=" ".join,
)
def test_without_a_terminal_it_is_wrong_usage(made: Any, cli: Cli, more: tuple[str, ...]) -> None:  # noqa: ANN401 - same
    """Pipes, files, other formats and intervals that are none are refused before anything is connected to."""
    before = len(made.node("cms").history)
    ran = cli("status", made.inventory, "--watch", *more)

    assert ran.code == 2
    assert ran.out == "" or ran.document("error")["reason"] == "usage"
    assert len(made.node("cms").history) == before


def test_another_format_is_wrong_usage_on_a_terminal_too(made: Any) -> None:  # noqa: ANN401 - same
    """Only text is drawn in place."""
    child = terminal("status", made.inventory, "--watch", "--format", "json")
    child.expect("--watch draws text on a terminal")
    child.expect(pexpect.EOF)
    child.close()

    assert child.exitstatus == 2
