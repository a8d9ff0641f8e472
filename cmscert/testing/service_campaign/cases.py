"""Cases as values: what they start from, what goes wrong in them, and what came out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from cmscert.app.running import ApplyResult
from cmscert.cli.exit_codes import REFUSED
from cmscert.errors import CmscertError
from cmscert.model.plan import Plan
from cmscert.testing.service_campaign.faults import Fault
from cmscert.testing.service_campaign.seen import Snapshot
from cmscert.testing.service_campaign.stage import Setting

STARTS: Final = 8
"""How often the tool is started at most, the faulty starts included."""

PAUSES: Final = (1.0, 90.0, 3600.0)
"""Seconds between two starts."""

DRAWN_PAUSES: Final = 3
"""How many of them are drawn; after these, whoever starts it waits the longest."""

ALLOW: Final = ("database-rebuild",)

SETTINGS: Final[tuple[tuple[int, Setting], ...]] = (
    (36, Setting(inventory="single.yaml")),
    (12, Setting(inventory="single.yaml", scenario="new-ca")),
    (8, Setting(inventory="single.yaml", scenario="faults")),
    (6, Setting(inventory="single.yaml", scenario="fresh")),
    (5, Setting(inventory="legacy-2.9.yaml", aged=("core1",))),
    (4, Setting(inventory="legacy-2.9.yaml", aged=("edge1",))),
    (3, Setting(inventory="legacy-2.9.yaml")),
    (2, Setting(inventory="legacy-2.9.yaml", scenario="new-ca")),
    (2, Setting(inventory="legacy-2.9.yaml", scenario="faults")),
    (1, Setting(inventory="legacy-2.9.yaml", scenario="fresh")),
    (3, Setting(inventory="cluster.yaml", aged=("core1", "core2"))),
    (4, Setting(inventory="cluster.yaml", aged=("edge1",))),
    (2, Setting(inventory="cluster.yaml", aged=("core3", "edge2"), database="standing")),
    (1, Setting(inventory="cluster.yaml", scenario="new-ca")),
    (1, Setting(inventory="cluster.yaml", scenario="faults")),
    (2, Setting(inventory="cluster.yaml", aged=("core4",), database="aged")),
    (1, Setting(inventory="cluster.yaml", scenario="fresh", database="aged")),
    (7, Setting(inventory="issued.yaml", database="aged")),
)
"""What cases start from, and how often each is drawn out of a hundred: small fleets are quicker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Everything about a case follows from its seed."""

    seed: int
    setting: Setting
    faults: tuple[Fault, ...]
    pauses: tuple[float, ...]
    rollback: bool
    by_hand: bool

    def __str__(self) -> str:
        faults = " and ".join(map(str, self.faults)) or "nothing"
        more = "" if self.rollback else ", --no-rollback"
        return (
            f"seed {self.seed}: {self.setting}: {faults}{more}\n"
            f"again with: python -m cmscert.testing.service_campaign --seed {self.seed}"
        )


@dataclass(kw_only=True)
class Start:
    """How one start ended. ``code``: None when the process was killed.

    ``unproven``: services by server that answered a start, and did not start: where they show the same certificate
    before and after, nobody can tell.
    """

    code: int | None
    met: frozenset[Fault]
    unproven: frozenset[tuple[str, str]] = frozenset()
    made: ApplyResult | None = None
    error: CmscertError | None = None
    plan: Plan | None = None
    guards: frozenset[str] = frozenset()
    changes: tuple[str, ...] = ()
    before: Snapshot = field(default_factory=dict)
    after: Snapshot = field(default_factory=dict)

    @property
    def settled(self) -> bool:
        """Whether there was nothing to do, or nothing that may be done."""
        return (self.code == 0 and self.made is not None and self.made.result is None) or (
            self.code == REFUSED and self.error is not None
        )

    def __str__(self) -> str:
        if self.code is None:
            return "killed"
        told = self.error.message if self.error is not None else ""
        if self.made is not None:
            told = "nothing to do" if self.made.result is None else f"{self.made.result.result}: {self.made.result.why}"
        return f"{self.code} {told}"


@dataclass(frozen=True, kw_only=True)
class Played:
    """A case that was played. ``wrong``: None when everything is as promised."""

    case: Case
    starts: tuple[Start, ...]
    seconds: float
    wrong: str | None = None

    @property
    def ending(self) -> str:
        """The end in a word or two."""
        last = self.starts[-1] if self.starts else None
        if self.wrong is not None or last is None:
            return "wrong"
        return f"refused: {', '.join(sorted(last.guards))}" if last.code == REFUSED else "as wanted"

    def __str__(self) -> str:
        told = "\n".join(f"  start {number}: {start}" for number, start in enumerate(self.starts, 1))
        return f"{self.case}\n{told}\n{self.wrong or ''}"
