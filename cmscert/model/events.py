"""What happens while a plan is applied. Journal and reports read these; nothing else crosses from apply to a view."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Outcome = Literal["done", "failed", "undone", "left", "skipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """The journal is open, nothing is sent yet. ``steps``: how many there are, without gates."""

    at: datetime
    run: str
    fleet: str
    steps: int
    kind: Literal["run-started"] = "run-started"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted:
    """The intention is on disk. ``undoing`` is True on the way back."""

    at: datetime
    step: str
    server: str
    what: str
    undoing: bool = False
    kind: Literal["step-started"] = "step-started"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandSent:
    """A command, upload or removal is about to be sent; on disk before the first byte leaves."""

    at: datetime
    step: str
    server: str
    typed: str
    kind: Literal["command-sent"] = "command-sent"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyReceived:
    """What came back, masked where it holds passwords."""

    at: datetime
    step: str
    server: str
    typed: str
    shown: str
    seconds: float
    kind: Literal["reply-received"] = "reply-received"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question that changes nothing, and its answer, masked where it holds passwords. Questions belong to no step."""

    at: datetime
    server: str
    typed: str
    shown: str
    seconds: float
    kind: Literal["asked"] = "asked"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEnded:
    """How a step ended and why. ``left`` means: the way back failed too, or was not taken."""

    at: datetime
    step: str
    server: str
    outcome: Outcome
    why: str | None = None
    kind: Literal["step-ended"] = "step-ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded:
    """The last line of a whole journal. ``by_hand``: as in ``RunResult``."""

    at: datetime
    run: str
    result: Literal["applied", "rolled-back", "neither", "interrupted", "refused"]
    why: str | None = None
    by_hand: tuple[tuple[str, tuple[str, ...]], ...] = ()
    kind: Literal["run-ended"] = "run-ended"


Event = RunStarted | StepStarted | CommandSent | ReplyReceived | Asked | StepEnded | RunEnded


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """How one step ended."""

    step: str
    server: str
    outcome: Outcome
    why: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """How a run ended.

    ``by_hand``: (server, command lines) that a person has to type when the result is ``neither``, in that order; a
    server stands there more than once where others come in between (a database cluster).
    """

    run: str
    result: Literal["applied", "rolled-back", "neither", "interrupted"]
    steps: tuple[StepResult, ...]
    by_hand: tuple[tuple[str, tuple[str, ...]], ...] = ()
    why: str | None = None
