"""Turns rich renderables into text of a given width, the same on every machine.

Nothing is read from the environment.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cmscert.reports.plain import safe

if TYPE_CHECKING:
    from rich.console import RenderableType

NARROWEST = 40

STYLES = {
    "title": "bold",
    "server": "bold cyan",
    "slot": "cyan",
    "error": "red",
    "warning": "yellow",
    "notice": "dim",
    "good": "green",
    "quiet": "dim",
    "wanted": "green",
    "found": "red",
    "command": "magenta",
    "plain": "",
}


@dataclass(frozen=True, slots=True)
class Whole:
    """A line that is never broken, however long: a place that people click on or paste."""

    text: Text


_TRAILING = re.compile(r"[ ]+((?:\x1b\[[0-9;]*m)*)$", re.MULTILINE)


def draw(*parts: RenderableType | Whole, width: int, colour: bool) -> str:
    """Render parts one below the other; lines carry no blanks at their end."""
    console = Console(
        file=io.StringIO(),
        width=max(width, NARROWEST),
        force_terminal=colour,
        color_system="standard" if colour else None,
        no_color=not colour,
        force_interactive=False,
        legacy_windows=False,
        markup=False,
        emoji=False,
        highlight=False,
        _environ={},
    )
    with console.capture() as capture:
        for part in parts:
            if isinstance(part, Whole):
                console.print(part.text, soft_wrap=True)
            else:
                console.print(part)
    return _TRAILING.sub(r"\1", capture.get())


def words(text: str, style: str = "plain") -> Text:
    """Make styled text of one line of foreign words, with control characters spelled out."""
    return Text(safe(text), style=STYLES[style], overflow="fold")


def phrase(*pieces: tuple[str, str]) -> Text:
    """Join (text, style) pieces to one text."""
    joined = Text(overflow="fold")
    for text, style in pieces:
        joined.append_text(words(text, style))
    return joined


def indented(part: RenderableType, by: int) -> Padding:
    """Move a part to the right."""
    return Padding(part, (0, 0, 0, by), expand=False)


def labelled(rows: list[tuple[Text, Text]], *, indent: int = 0, label: int | None = None) -> Padding:
    """Lay out label and text side by side; a long text goes on below itself, not below its label."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=label, no_wrap=True)
    grid.add_column(overflow="fold")
    for row in rows:
        grid.add_row(*row)
    return indented(grid, indent)


def heading(text: str) -> Text:
    """A section's heading, with an empty line above it."""
    return Text("\n").append_text(words(text, "title"))
