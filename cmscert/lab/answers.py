"""What a command answers, and what it does: apart, so that a lying node can answer without doing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

Ask = Callable[[str], Awaitable[str | None]]
"""Print a question and return the line typed, None when there is nobody to ask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The lines of an answer; ``effect`` is what the command does."""

    lines: Sequence[str] = ()
    effect: Callable[[], None] | None = None

    @property
    def text(self) -> str:
        """The answer with LF line ends; empty for no lines, as most set commands answer (T-22)."""
        return "".join(f"{line}\n" for line in self.lines)


UNKNOWN: Final = Outcome(lines=("Unknown command",))
"""[S1]: the answer starts so; the rest of the sentence is unknown."""


def usage(*words: str) -> Outcome:
    """Answer a command with wrong arguments; the text is unknown (facts 10.5)."""
    return Outcome(lines=("Usage:", f"  {' '.join(words)}"))
