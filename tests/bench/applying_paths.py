"""How long a plan takes at least: the longest path through its graph, with nothing but what the lab itself takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Step = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What the lab takes, in seconds: until a service is up, until an answer, and for the work of database commands."""

    start: float
    answer: float
    database: Mapping[str, float]

    def of(self, step: Step) -> float:
        """Return what one step takes: its lines, one after the other, and what the last of them sets off."""
        lines = step["commands"]
        if not lines:
            return 0.0
        answers = self.answer * len(lines)
        work = self.of_work(step)
        return answers - self.answer + max(self.answer, work)

    def of_work(self, step: Step) -> float:
        """Return what a step sets off: a service that starts, or the work of a database."""
        last = step["commands"][-1]
        work = max((seconds for line, seconds in self.database.items() if last.startswith(line)), default=0.0)
        if last.startswith("database cluster join"):
            work += self.database.get("sync", 0.0)
        return work or (self.start if step["impact"] is not None else 0.0)


def steps_of(journal: Path) -> list[Step]:
    """Read the steps of a run."""
    document = json.loads((journal / "plan.json").read_text(encoding="utf-8"))
    steps: list[Step] = document["steps"]
    return steps


def longest_path(steps: list[Step], pace: Pace) -> float:
    """Return the seconds of the longest path; steps stand in an order that keeps to the graph."""
    ends: dict[str, float] = {}
    for step in steps:
        ends[step["id"]] = max((ends[before] for before in step["after"]), default=0.0) + pace.of(step)
    return max(ends.values(), default=0.0)


def longest_chain(steps: list[Step], pace: Pace) -> float:
    """Return the seconds from the first ``remove`` of a database to the end, along the longest chain of its work."""
    kinds = ("db-remove", "db-initialize", "db-join", "db-connect")
    ends: dict[str, float] = {}
    for step in steps:
        before = max((ends.get(name, 0.0) for name in step["after"]), default=0.0)
        ends[step["id"]] = before + (pace.of_work(step) if step["kind"] in kinds else 0.0)
    return max(ends.values(), default=0.0)
