"""What happens while a plan is applied: plain lines anywhere, a living table on a terminal. Both read events only."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from cmscert.model.events import Asked, CommandSent, Event, ReplyReceived, RunEnded, RunStarted, StepEnded, StepStarted
from cmscert.model.plan import FLEET
from cmscert.reports.plain import duration, safe

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live

OUTCOMES = {"done": "done", "failed": "FAILED", "undone": "undone", "left": "LEFT AS IT IS", "skipped": "not started"}


def line_of(event: Event, *, verbose: bool = False) -> str | None:
    """Write an event as one line; None for what only ``verbose`` shows."""
    match event:
        case RunStarted():
            return f"run {event.run} on fleet {event.fleet}"
        case StepStarted():
            word = "undoing" if event.undoing else "starting"
            return None if event.server == FLEET else f"{event.server}: {event.step} {word}: {safe(event.what)}"
        case CommandSent() | ReplyReceived() | Asked():
            return _exchange(event) if verbose else None
        case StepEnded():
            why = f": {safe(event.why)}" if event.why else ""
            return None if event.server == FLEET else f"{event.server}: {event.step} {OUTCOMES[event.outcome]}{why}"
        case RunEnded():
            why = f": {safe(event.why)}" if event.why else ""
            return f"run {event.run} {event.result}{why}"


def _exchange(event: CommandSent | ReplyReceived | Asked) -> str:
    if isinstance(event, CommandSent):
        return f"{event.server}: {event.step} $ {safe(event.typed)}"
    text = safe(event.shown.strip()) or "(no answer)"
    if isinstance(event, Asked):
        return f"{event.server}: ? {safe(event.typed)} > {text}"
    return f"{event.server}: {event.step} > {text}"


class PlainProgress:
    """Writes a line for each event; every line begins with the time of day (UTC)."""

    def __init__(self, stream: TextIO, *, verbose: bool = False) -> None:
        self._stream = stream
        self._verbose = verbose

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is held open."""

    def say(self, text: str) -> None:
        """Write a remark between the lines."""
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def __call__(self, event: Event) -> None:
        """Take an event."""
        line = line_of(event, verbose=self._verbose)
        if line is not None:
            self._stream.write(f"{event.at:%H:%M:%S} {line}\n")
            self._stream.flush()


@dataclass(slots=True, kw_only=True)
class _Server:
    steps: int
    done: set[str] = field(default_factory=set)
    skipped: int = 0
    left: str = ""
    doing: str = "waiting"
    since: float | None = None
    style: str = "dim"


class LiveProgress:
    """A line for each server: how far it is, what it does, since when. ``steps``: number of steps by server."""

    def __init__(
        self,
        stream: TextIO,
        steps: Mapping[str, int],
        *,
        colour: bool = True,
        width: int | None = None,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.spinner import Spinner

        self._timer = timer
        self._servers = {server: _Server(steps=number) for server, number in steps.items() if server != FLEET}
        self._title = ""
        self._spinner = Spinner("dots")
        self._console = Console(file=stream, force_terminal=True, no_color=not colour, width=width, highlight=False)
        self._live: Live = Live(console=self._console, get_renderable=self.table, refresh_per_second=8)

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Draw the last picture and leave it on the screen."""
        self._live.stop()

    def say(self, text: str) -> None:
        """Write a remark above the picture."""
        self._console.print(safe(text), markup=False)

    def __call__(self, event: Event) -> None:
        """Take an event; the picture is drawn anew some times a second."""
        match event:
            case RunStarted() | RunEnded():
                self._title = line_of(event) or ""
            case StepStarted(server=server) if server != FLEET:
                row = self._row(server)
                row.doing = f"{'undo ' if event.undoing else ''}{event.step} {safe(event.what)}"
                row.since, row.style = self._timer(), "yellow" if event.undoing else "cyan"
            case StepEnded(server=server) if server != FLEET:
                self._ended(self._row(server), event)
            case _:
                pass

    def _row(self, server: str) -> _Server:
        return self._servers.setdefault(server, _Server(steps=0))

    def _ended(self, row: _Server, event: StepEnded) -> None:
        row.since = None
        row.done.discard(event.step)
        match event.outcome:
            case "done":
                row.done.add(event.step)
                row.doing, row.style = ("done", "green") if len(row.done) >= row.steps else ("waiting", "dim")
            case "undone":
                row.doing, row.style = (row.left, "red") if row.left else (f"{event.step} undone", "yellow")
            case "skipped":
                row.skipped += 1
                if row.style not in {"red", "yellow"}:  # that tells why
                    row.doing, row.style = f"{row.skipped} not started", "dim"
            case _:
                row.doing, row.style = f"{event.step} {OUTCOMES[event.outcome]}: {safe(event.why or '')}", "red"
                row.left = row.doing if event.outcome == "left" else row.left

    def table(self) -> Group:
        """Draw the picture of this moment."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 1, 0, 0))
        grid.add_column(width=1)
        for _ in ("server", "count"):
            grid.add_column(no_wrap=True)
        grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        grid.add_column(justify="right", no_wrap=True)
        now = self._timer()
        for server, row in self._servers.items():
            elapsed = duration(now - row.since) if row.since is not None else ""
            mark = Text("✓" if row.style == "green" else " ", row.style)
            grid.add_row(
                mark if row.since is None else self._spinner,
                Text(safe(server), "bold"),
                f"{min(len(row.done), row.steps)}/{row.steps}",
                Text(row.doing, row.style),
                elapsed,
            )
        return Group(Text(self._title, no_wrap=True, overflow="ellipsis"), grid)
