"""Which step may start, and what a failure takes with it. Pure bookkeeping: it sends nothing and waits for nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from heapq import heappop, heappush
from typing import Literal

from cmscert.errors import Fault
from cmscert.model.plan import CheckFiles, Gate, PutFile, Step

Status = Literal["waiting", "running", "done", "failed", "undoing", "undone", "left", "skipped"]

_LEANING: frozenset[Status] = frozenset({"running", "done", "undoing", "left"})


def faults_of(steps: tuple[Step, ...], servers: Iterable[str]) -> tuple[Fault, ...]:
    """Return what is wrong with a plan's links: ids twice, links to nowhere, circles, servers without a session."""
    faults: list[Fault] = []
    ids = [step.id for step in steps]
    known = frozenset(ids)
    faults += [_fault(f"step {twice} stands in the plan more than once") for twice in sorted(_twice(ids))]
    for step in steps:
        faults += [
            _fault(f"step {step.id} comes after {before}, which is not in the plan")
            for before in step.after
            if before not in known
        ]
    places = frozenset(servers)
    for server in sorted({step.server for step in steps if not isinstance(step.action, Gate)} - places):
        faults.append(_fault(f"the plan changes {server}, and there is no session to it"))
    try:
        TopologicalSorter({step.id: step.after for step in steps}).prepare()
    except CycleError as error:
        faults.append(_fault(f"steps wait for each other: {', '.join(error.args[1])}"))
    return tuple(faults)


def _twice(ids: list[str]) -> list[str]:
    return [name for name, times in Counter(ids).items() if times > 1]


def _fault(message: str) -> Fault:
    return Fault(message=message, reason="plan")


def is_quiet(step: Step) -> bool:
    """Tell whether a step disturbs nobody and has nothing to take back: uploads under new names, and checks."""
    new = isinstance(step.action, PutFile) and not step.action.overwrites
    return (new or isinstance(step.action, CheckFiles)) and step.undo is None and not step.disturbs


class Progress:
    """The state of every step of a run. The steps must be free of faults (``faults_of``)."""

    def __init__(self, steps: tuple[Step, ...]) -> None:
        self.steps = {step.id: step for step in steps}
        self.status: dict[str, Status] = dict.fromkeys(self.steps, "waiting")
        self.why: dict[str, str | None] = dict.fromkeys(self.steps)
        self.finished: list[str] = []
        self._position = {step.id: position for position, step in enumerate(steps)}
        self._followers: dict[str, list[str]] = {step.id: [] for step in steps}
        self._unmet = {step.id: len(set(step.after)) for step in steps}
        self._ready: dict[str, list[tuple[int, str]]] = {}
        self._busy: set[str] = set()
        self._quiet: Counter[str] = Counter()
        for step in steps:
            for before in set(step.after):
                self._followers[before].append(step.id)
            if not step.after:
                self._queue(step.id)

    def take(self, may: Callable[[Step], bool] | None = None) -> tuple[Step, ...]:
        """Return the steps that start now, in the plan's order, and mark them as running.

        On one server they take turns, but for those that disturb nobody: these stand beside each other.
        ``may``: which steps may start at all.
        """
        taken: list[Step] = []
        for server, queue in self._ready.items():
            while (step := self._first(queue)) is not None and self._fits(step) and (may is None or may(step)):
                heappop(queue)
                taken.append(step)
                if is_quiet(step):
                    self._quiet[server] += 1
                else:
                    self._busy.add(server)
        taken.sort(key=lambda step: self._position[step.id])
        for step in taken:
            self.status[step.id] = "running"
        return tuple(taken)

    def release(self, step: Step) -> None:
        """The step's turn is over: what had to wait for it may start."""
        if is_quiet(step):
            self._quiet[step.server] -= 1
        else:
            self._busy.discard(step.server)

    def _first(self, queue: list[tuple[int, str]]) -> Step | None:
        while queue and self.status[queue[0][1]] != "waiting":
            heappop(queue)
        return self.steps[queue[0][1]] if queue else None

    def _fits(self, step: Step) -> bool:
        return step.server not in self._busy and (is_quiet(step) or not self._quiet[step.server])

    def mark(self, step_id: str, status: Status, why: str | None = None) -> None:
        """Write down how a step stands; a step that is done lets its followers start."""
        first_time = status == "done" and self.status[step_id] == "running"
        self.status[step_id] = status
        self.why[step_id] = why
        if first_time:
            self.finished.append(step_id)
            for follower in self._followers[step_id]:
                self._unmet[follower] -= 1
                if not self._unmet[follower]:
                    self._queue(follower)

    def waiting_behind(self, step_ids: Iterable[str]) -> tuple[Step, ...]:
        """Return all steps that have not started and would lean on these, directly or through others."""
        found = {name for name in self._behind(step_ids, through_gates=True) if self.status[name] == "waiting"}
        return self._in_order(found)

    def waiting_on(self, server: str) -> tuple[Step, ...]:
        """Return all steps of a server that have not started."""
        return self._in_order(
            step.id for step in self.steps.values() if step.server == server and self.status[step.id] == "waiting"
        )

    def all_waiting(self) -> tuple[Step, ...]:
        """Return all steps that have not started."""
        return self._in_order(name for name, status in self.status.items() if status == "waiting")

    def needed_elsewhere(self, step: Step) -> bool:
        """Tell whether a step of another server that was begun leans on this one; gates are no needs, but moments."""
        return any(
            self.steps[name].server != step.server and self.status[name] in _LEANING
            for name in self._behind((step.id,), through_gates=False)
        )

    def left_behind(self, step: Step) -> bool:
        """Tell whether a step that leans on this one could not be taken back."""
        return any(self.status[name] == "left" for name in self._behind((step.id,), through_gates=False))

    def _behind(self, step_ids: Iterable[str], *, through_gates: bool) -> Iterator[str]:
        seen: set[str] = set()
        open_ends = list(step_ids)
        while open_ends:
            for follower in self._followers[open_ends.pop()]:
                gate = isinstance(self.steps[follower].action, Gate)
                if follower not in seen and (through_gates or not gate):
                    seen.add(follower)
                    open_ends.append(follower)
                    yield follower

    def _queue(self, step_id: str) -> None:
        step = self.steps[step_id]
        heappush(self._ready.setdefault(step.server, []), (self._position[step_id], step_id))

    def _in_order(self, names: Iterable[str]) -> tuple[Step, ...]:
        return tuple(self.steps[name] for name in sorted(names, key=self._position.__getitem__))
