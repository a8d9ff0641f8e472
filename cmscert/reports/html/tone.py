"""How something stands, in a word and a tone: no report says anything by colour alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Tone = Literal["good", "warn", "bad", "quiet", "busy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A word and its tone."""

    word: str
    tone: Tone


OUTCOMES = {
    "done": Mark(word="done", tone="good"),
    "failed": Mark(word="failed", tone="bad"),
    "undone": Mark(word="undone", tone="warn"),
    "left": Mark(word="left as it is", tone="bad"),
    "skipped": Mark(word="not started", tone="quiet"),
}
