"""Pages in GitHub's and GitLab's Markdown that stay below the size of a comment, and words that do nothing in them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from cmscert.model.plan import Drift
from cmscert.reports.plain import counted, safe

MOST_BYTES: Final = 60_000
"""GitHub takes 65,536 characters as a comment; what a pipeline puts around the page needs room too."""

OPEN_ROWS: Final = 25
LONGEST: Final = 300
_FRAME: Final = 400
_PLAIN = re.compile(r"[^\\`|<>&]+")
_KEPT = re.compile(r"[A-Za-z0-9 ,.()/=+\-·…]")


def code(text: str) -> str:
    """Show a text as it is: nothing of it becomes a link, a mention, a column or a tag; an overlong one is cut."""
    shown = safe(text)
    shown = shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…"
    if _PLAIN.fullmatch(shown) and shown == shown.strip():
        return f"`{shown}`"
    return f"<code>{''.join(char if _KEPT.match(char) else f'&#{ord(char)};' for char in shown)}</code>"


def ignore_ended(drift: Drift) -> str:
    """Say behind what was found that it was left alone once."""
    return "" if drift.ignore_ended is None else f"<br>no longer left alone: {code(drift.ignore_ended)}"


class Page:
    """A page that is filled from the top."""

    def __init__(self, *, most: int = MOST_BYTES) -> None:
        self.parts: list[str] = []
        self.room = most

    def __str__(self) -> str:
        """Return the page."""
        return "\n\n".join(self.parts) + "\n"

    def add(self, block: str) -> None:
        """Add a block that is known to be small."""
        self.room -= len(block.encode()) + 2
        self.parts.append(block)

    def table(
        self, columns: Sequence[str], rows: Sequence[Sequence[str]], *, noun: str, room: int, shown: int = OPEN_ROWS
    ) -> None:
        """Add a table of at most ``room`` bytes: the first rows open, others folded, and those without room counted.

        Cells are Markdown.
        """
        header = f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}"
        lines = [f"\n| {' | '.join(row)} |" for row in rows]
        fitting = _fitting(lines, min(room, self.room) - 2 * len(header.encode()) - _FRAME)
        if open_ := lines[: min(shown, fitting)]:
            self.add(header + "".join(open_))
        if folded := lines[shown:fitting]:
            summary = _counted(len(lines) - shown, noun, more=bool(shown))
            self.add(f"<details><summary>{summary}</summary>\n\n{header}{''.join(folded)}\n\n</details>")
        if fitting < len(lines):
            self.add(
                f"{_counted(len(lines) - fitting, noun, more=fitting > 0)} left out here: `--format text` has all."
            )


def _fitting(lines: list[str], room: int) -> int:
    for number, line in enumerate(lines):
        room -= len(line.encode())
        if room < 0:
            return number
    return len(lines)


def _counted(number: int, noun: str, *, more: bool) -> str:
    return counted(number, f"more {noun}" if more else noun)
