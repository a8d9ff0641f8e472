"""Counts what came out of many cases, and draws the page with the figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from cmscert.testing.service_campaign.cases import Played
from cmscert.testing.service_campaign.faults import KINDS

MEANINGS: Final = {
    "kill-before": "the process is killed before a command is carried out",
    "kill-during": "the process is killed in an upload: a part of the file is there",
    "kill-after": "the process is killed after a command was carried out, before its answer",
    "kill-at-disk": "the process is killed at a write to the journal: nothing, half or all of the line is there",
    "cut-before": "the connection is cut before a command is carried out, for nothing, 5 or 400 seconds",
    "cut-during": "the connection is cut in an upload",
    "cut-after": "the connection is cut after a command was carried out, before its answer",
    "refuse": "the node refuses 1, 3 or 40 channels",
    "late": "the answer takes 5 or 55 seconds",
    "silent": "a command is carried out and never answered",
    "silent-undone": "a command is neither carried out nor answered",
    "garbage": "the answer is noise",
    "lie": "a command or an upload answers as if done, and is not",
    "failure": "a command answers FAILURE, an upload is refused",
    "store-full": "the node's store is full from one upload on",
    "truncate": "the store keeps half an upload, and says that all is well",
    "short": "the store keeps half an upload, and says so",
    "corrupt": "one bit of an upload differs",
    "enable-fails": "enable or restart answers FAILURE",
    "no-start": "enable or restart answers SUCCESS, and the service does not listen",
    "reboot": "the node reboots: gone for 30 or 200 seconds, then what is enabled comes up",
    "clock-jump": "the node's clock jumps: an hour back or ahead, 400 days back, 40 days ahead",
    "disk-full": "the operator's disk is full at a write to the journal: nothing, half or all of the line is there",
    "stop-soft": "somebody presses Ctrl-C",
    "stop-hard": "somebody presses Ctrl-C twice",
}


@dataclass(kw_only=True)
class Tally:
    """Figures of cases. ``faults``: by inventory and kind; ``codes``: exit codes of all starts, None for killed."""

    cases: int = 0
    seconds: float = 0.0
    faults: Counter[tuple[str, str]] = field(default_factory=Counter)
    met: Counter[str] = field(default_factory=Counter)
    inventories: Counter[str] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)
    codes: Counter[int | None] = field(default_factory=Counter)
    starts: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def count(self, played: Played) -> None:
        """Count a case."""
        name = played.case.setting.inventory
        self.cases += 1
        self.seconds += played.seconds
        self.inventories[name] += 1
        self.faults.update((name, fault.kind) for fault in played.case.faults)
        self.met.update(
            fault.kind for fault in played.case.faults if any(fault in start.met for start in played.starts)
        )
        self.endings[played.ending] += 1
        self.codes.update(start.code for start in played.starts)
        self.starts[len(played.starts)] += 1
        if played.wrong is not None:
            self.wrong.append(str(played))

    def add(self, other: Tally) -> None:
        """Take over the figures of another."""
        self.cases += other.cases
        self.seconds += other.seconds
        for name in ("faults", "met", "inventories", "endings", "codes", "starts"):
            getattr(self, name).update(getattr(other, name))
        self.wrong += other.wrong


def figures(tally: Tally) -> str:
    """Draw the tables."""
    names = sorted(tally.inventories)
    faults = [
        (f"`{kind}`", MEANINGS[kind], *(str(tally.faults[name, kind]) for name in names), str(tally.met[kind]))
        for kind in KINDS
    ]
    codes = sorted(tally.codes, key=lambda code: -1 if code is None else code)
    each = f"{1000 * tally.seconds / max(1, tally.cases):.0f} ms of CPU a case"
    return "\n".join(
        (
            f"{tally.cases:,} cases, {tally.codes.total():,} starts, {each}; {len(tally.wrong)} not as promised.",
            "",
            *_table(("fault", "what happens", *names, "came to pass"), faults),
            "",
            *_table(("in the end", "cases"), ((end, f"{count:,}") for end, count in tally.endings.most_common())),
            "",
            *_table(
                ("starts until it settled", "cases"), ((str(n), f"{tally.starts[n]:,}") for n in sorted(tally.starts))
            ),
            "",
            *_table(
                ("exit code of a start", "starts"),
                (("killed" if code is None else str(code), f"{tally.codes[code]:,}") for code in codes),
            ),
            "",
        )
    )


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    titles = tuple(head)
    lines = (f"| {' | '.join(row)} |" for row in rows)
    return [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}", *lines]


def page(tally: Tally) -> str:
    """Draw the page."""
    return figures(tally)
