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
    """Draw the page about the campaign, figures included."""
    return _PAGE.format(figures=figures(tally))


_PAGE: Final = """\
# What breaks, and what comes out

`make campaign` applies plans to simulated fleets while things break, and checks what is promised. Each case follows
from a number, its seed: an example inventory, a state of its servers, one or two faults, and where they strike.
`apply` runs with the faults, and then again without them until there is nothing left to do. Everything is the real
code but for SSH and TLS, which end in the memory of simulated servers, and for the clock, which moves only while
everybody waits; a killed process sends and writes nothing any more, whatever its code would still do. A few cases are
played once more by real processes that die by SIGKILL, against simulated servers on loopback
(`tests/e2e/test_killed.py`).

After every start: the exit code is one that is promised, and means what it says on the servers (0: as wanted; 7:
nothing was changed; 8: the services that were taken back are as before; 9: there is something to do by hand, and in
half of these cases it is typed, after which every service is up). No row of a database is lost, and there are never
two clusters. In the end: all is as the inventory wants it, every service that ran runs and shows a certificate that
belongs there, every journal can be read, no password and no key stands in a file of the state directory, an event, a
plan or a message. Where a guard refuses, the fault must explain it, and once that is mended the next start finishes.

`make test` plays 2,000 cases, `make campaign` 20,000 and writes this page. A case that fails prints its seed:

    python -m cmscert.testing.service_campaign --seed 1234

## Figures

{figures}
## What is not promised

* A service that answers `SUCCESS` to a restart and does not restart shows that only where its certificate changes.
  Where just its trust does, nobody can tell.
* A service without a port that begins with TLS (`xmpp`, `loadbalancer`) is believed by its status screen.
* A service that runs, though the key and certificate bound to it do not belong together, cannot be taken back to
  that: it stays down, and the commands to type by hand do not start it either. The next `apply` does.
* Where names are fixed, several services may share files. What no service came to load is put back; but when one
  service is taken back and another that shares its files was already done, that one stands before files that may no
  longer belong together, and would not come back after a reboot before the next `apply`. Should it be a call bridge,
  that `apply` may refuse to stop another one until a person lifts the guard (`--allow last-call-bridge`).
* A server whose clock has jumped is refused until somebody sets it right, or lifts the guard.
"""
