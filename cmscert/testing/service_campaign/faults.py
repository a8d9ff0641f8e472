"""What can go wrong, as values, and how it is drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

KILLS: Final = ("kill-before", "kill-during", "kill-after")
CUTS: Final = ("cut-before", "cut-during", "cut-after")
SPEAKING: Final = ("refuse", "late", "silent", "silent-undone", "garbage", "lie", "failure")
STORING: Final = ("store-full", "truncate", "short", "corrupt")
SERVING: Final = ("enable-fails", "no-start")
NODES: Final = ("reboot", "clock-jump")
DISK: Final = ("disk-full", "kill-at-disk")
STOPS: Final = ("stop-soft", "stop-hard")
KINDS: Final = (*KILLS, *CUTS, *SPEAKING, *STORING, *SERVING, *NODES, *DISK, *STOPS)

STARTING: Final = ("enable", "restart")


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """One thing that went over the wire to a server in a run without faults: the ``number``-th there, from 1."""

    server: str
    number: int
    what: str
    changes: bool

    @property
    def puts(self) -> bool:
        """Whether it uploads a file."""
        return self.what.startswith("put ")

    @property
    def starts(self) -> bool:
        """Whether it starts a service."""
        return any(word in STARTING for word in self.what.split()[1:2])


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """A run without faults: what went over the wire, and how often the disk was written to."""

    ops: tuple[Op, ...]
    writes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Happens at the ``at``-th thing that goes to ``server`` in a start, or at the ``at``-th write to the disk.

    ``size``: seconds that a server is gone or late or its clock jumps by, or how many times it refuses; what a kind
    makes of it stands in ``Process``. ``again``: it happens in the second start too.
    """

    kind: str
    server: str
    at: int
    size: float = 0.0
    again: bool = False

    def __str__(self) -> str:
        place = f"{self.server}:{self.at}" if self.server else f"write {self.at}"
        size = f" {self.size:g}" if self.size else ""
        return f"{self.kind}{size} at {place}{', twice' if self.again else ''}"


_SIZES: Final[Mapping[str, Sequence[float]]] = {
    **dict.fromkeys(CUTS, (0.0, 0.0, 5.0, 400.0)),
    "refuse": (1.0, 3.0, 40.0),
    "late": (5.0, 55.0),
    "reboot": (30.0, 200.0),
    "clock-jump": (-3600.0, 3600.0, -400 * 86400.0, 40 * 86400.0),
}
_FITTING: Final[Mapping[str, Callable[[Op], bool]]] = {
    **dict.fromkeys(STORING, lambda op: op.puts),
    **dict.fromkeys(SERVING, lambda op: op.starts),
    "kill-during": lambda op: op.puts,
    "cut-during": lambda op: op.puts,
    "lie": lambda op: op.changes,
    "failure": lambda op: op.changes,
}


def draw(dice: Random, course: Course) -> tuple[Fault, ...]:
    """Draw one fault, or two at once."""
    return tuple(_draw_one(dice, course) for _ in range(dice.choice((1, 1, 1, 2))))


def _draw_one(dice: Random, course: Course) -> Fault:
    kind = dice.choice(KINDS)
    if kind in DISK:
        return Fault(kind=kind, server="", at=dice.randint(1, max(1, course.writes)), size=dice.choice((0.0, 1.0, 2.0)))
    fitting = [op for op in course.ops if _FITTING.get(kind, _any)(op)]
    changing = [op for op in fitting if op.changes]
    op = dice.choice(changing if changing and dice.random() < 0.7 else fitting or list(course.ops))  # noqa: PLR2004 - most break what changes
    size = dice.choice(_SIZES.get(kind, (0.0,)))
    again = kind not in (*KILLS, *STOPS) and dice.random() < 0.15  # noqa: PLR2004 - a few last longer
    return Fault(kind=kind, server=op.server, at=op.number, size=size, again=again)


def _any(_op: Op) -> bool:
    return True
