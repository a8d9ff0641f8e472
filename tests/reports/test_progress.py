from __future__ import annotations

import io
import re
from collections.abc import Callable
from datetime import timedelta

from cmscert.model.events import CommandSent, Event, ReplyReceived, RunEnded, RunStarted, StepEnded, StepStarted
from cmscert.model.plan import FLEET
from cmscert.reports.paper import draw
from cmscert.reports.progress import LiveProgress, PlainProgress
from cmscert.testing.plans import MOMENT

Golden = Callable[[str, str], None]


def story() -> list[Event]:
    """Tell a run that fails on one server."""
    at = [MOMENT + timedelta(seconds=number) for number in range(20)]
    return [
        RunStarted(at=at[0], run="r1", fleet="example", steps=3),
        StepStarted(at=at[1], step="s06", server=FLEET, what="gate"),
        StepEnded(at=at[1], step="s06", server=FLEET, outcome="done"),
        StepStarted(at=at[2], step="s07", server="core1", what="bind callbridge"),
        CommandSent(at=at[2], step="s07", server="core1", typed="callbridge restart"),
        ReplyReceived(
            at=at[3], step="s07", server="core1", typed="callbridge restart", shown="SUCCESS\x1b[2J", seconds=1.0
        ),
        StepEnded(at=at[4], step="s07", server="core1", outcome="done"),
        StepStarted(at=at[5], step="s08", server="edge1", what="bind webbridge3"),
        ReplyReceived(at=at[6], step="s08", server="edge1", typed="webbridge3 enable", shown="", seconds=1.0),
        StepEnded(at=at[7], step="s08", server="edge1", outcome="failed", why="port 443 does not answer"),
        StepStarted(at=at[8], step="s08", server="edge1", what="bind webbridge3", undoing=True),
        StepEnded(at=at[9], step="s08", server="edge1", outcome="undone"),
        StepEnded(at=at[9], step="s09", server="edge1", outcome="skipped", why="s08 failed"),
        StepEnded(at=at[10], step="s11", server="edge9", outcome="left", why="silence"),
        RunEnded(at=at[11], run="r1", result="rolled-back", why="s08 failed"),
        RunEnded(at=at[11], run="r1", result="applied"),
    ]


def test_plain_lines(golden: Golden) -> None:
    """Without a terminal each event that matters is a line with its time."""
    stream = io.StringIO()
    with PlainProgress(stream) as progress:
        for event in story():
            progress(event)

    golden("progress.txt", stream.getvalue())


def test_verbose_plain_lines_show_commands(golden: Golden) -> None:
    """With -v commands and answers are lines as well, harmless ones."""
    stream = io.StringIO()
    with PlainProgress(stream, verbose=True) as progress:
        for event in story():
            progress(event)

    golden("progress-verbose.txt", stream.getvalue())
    assert "\x1b" not in stream.getvalue()


SPINNING = re.compile("[⠀-⣿]")  # which of its dots a spinner shows is a matter of the moment


def pictures() -> list[str]:
    """Draw the living table after every event."""
    clock = iter(float(number) for number in range(1000))
    live = LiveProgress(io.StringIO(), {"core1": 1, "edge1": 3, FLEET: 1}, timer=lambda: next(clock))
    drawn = []
    for event in story():
        live(event)
        drawn.append(SPINNING.sub("⠋", draw(live.table(), width=70, colour=False)))
    return drawn


def test_live_table(golden: Golden) -> None:
    """On a terminal there is a line for each server with its count, its step and its time."""
    golden("progress-live.txt", "".join(f"-- {number}\n{text}" for number, text in enumerate(pictures())))


def test_live_table_is_drawn_on_a_terminal() -> None:
    """The living table writes to its stream while it is open and leaves the last picture there."""
    stream = io.StringIO()
    with LiveProgress(stream, {"core1": 1}, colour=False, width=70) as live:
        for event in story():
            live(event)

    assert "core1" in stream.getvalue()
    assert "done" in stream.getvalue()


def test_live_table_of_an_interrupted_run() -> None:
    """A server whose last steps were not started says so, and does not count them."""
    live = LiveProgress(io.StringIO(), {"core1": 3}, timer=lambda: 0.0)
    live(StepStarted(at=MOMENT, step="1", server="core1", what="bind turn"))
    live(StepEnded(at=MOMENT, step="1", server="core1", outcome="done"))
    for step in ("2", "3"):
        live(StepEnded(at=MOMENT, step=step, server="core1", outcome="skipped", why="interrupted"))

    assert draw(live.table(), width=70, colour=False).split() == ["core1", "1/3", "2", "not", "started"]


def test_live_table_keeps_what_was_left() -> None:
    """A step that could not be taken back stays in the picture, whatever goes back after it."""
    live = LiveProgress(io.StringIO(), {"core1": 2}, timer=lambda: 0.0)
    live(StepEnded(at=MOMENT, step="1", server="core1", outcome="done"))
    live(StepEnded(at=MOMENT, step="2", server="core1", outcome="left", why="silence"))
    live(StepStarted(at=MOMENT, step="1", server="core1", what="bind turn", undoing=True))
    live(StepEnded(at=MOMENT, step="1", server="core1", outcome="undone"))

    assert "core1 0/2 2 LEFT AS IT IS: silence" in draw(live.table(), width=70, colour=False)
