"""A command line for the MMP, as a value. Built only by ``cmscert.mmp.grammar``, which owns the quoting rules."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Effect(StrEnum):
    """What a command may do. ``ReadSession`` takes READ only (law 1)."""

    READ = "read"
    CHANGE = "change"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command line.

    ``typed`` is sent and shown (no command of this tool holds a secret). ``confirms``: the device asks and wants a
    capital Y ([S13b]), so a pty shell is needed. ``masks_reply``: the answer holds passwords (``turn``, T-34) and is
    never logged or journalled.
    """

    typed: str
    effect: Effect
    confirms: bool = False
    masks_reply: bool = False

    def __str__(self) -> str:
        return self.typed


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back: cleaned text without echo and prompt, and how long it took in seconds."""

    command: Command
    text: str
    seconds: float

    @property
    def shown(self) -> str:
        """The text for logs and journals."""
        return "(not shown: holds passwords)" if self.command.masks_reply else self.text
