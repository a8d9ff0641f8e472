"""Random plans with random faults: what must hold whatever happens."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from cmscert.apply.progress import is_quiet
from cmscert.model.events import CommandSent, StepEnded, StepStarted
from cmscert.model.plan import FLEET, Gate, Rebind, Step
from cmscert.testing.toy_run import ToyRun

SLOTS = ("callbridge", "turn", "webadmin", "callbridge/trust-c2w")
FAULTS = ("cut", "lost", "failure", "lie", "garbage")


@dataclass(frozen=True)
class Wish:
    """One step of a random plan: where, what, which earlier steps it waits for, what goes wrong in which line."""

    server: int
    kind: str
    after: tuple[int, ...]
    fault: str | None
    line: int
    back_fault: str | None


@st.composite
def wishes(draw: st.DrawFn) -> list[Wish]:
    """Draw a plan; a step waits only for earlier ones, so there is no circle."""
    size = draw(st.integers(1, 9))
    found = []
    for position in range(size):
        after = draw(st.lists(st.integers(0, position - 1), max_size=3, unique=True)) if position else []
        found.append(
            Wish(
                server=draw(st.integers(0, 2)),
                kind=draw(st.sampled_from([*SLOTS, "put", "gate"])),
                after=tuple(after),
                fault=draw(st.one_of(st.none(), st.none(), st.sampled_from(FAULTS))),
                line=draw(st.integers(0, 2)),
                back_fault=draw(st.one_of(st.none(), st.none(), st.none(), st.sampled_from(FAULTS))),
            )
        )
    return found


def build(toy: ToyRun, plan: list[Wish]) -> list[Step]:
    """Make nodes, steps and faults. A slot is bound once per server: later wishes for it become uploads."""
    nodes = [toy.add(f"core{number}", *SLOTS) for number in range(3)]
    steps: list[Step] = []
    bound: set[tuple[int, str]] = set()
    for position, wish in enumerate(plan):
        step, server = f"s{position}", f"core{wish.server}"
        after = tuple(f"s{before}" for before in wish.after)
        if wish.kind == "gate":
            gate = Gate(opens="services")
            steps.append(Step(id=step, server=FLEET, slot=None, action=gate, because=(), after=after))
        elif wish.kind == "put" or (wish.server, wish.kind) in bound:
            steps.append(toy.put(step, server, toy.new.certificate_pem, f"{step}.crt", after))
            if wish.fault in {"cut", "lost", "lie"}:
                nodes[wish.server].faults[f"{step}.crt"] = [wish.fault]
        else:
            bound.add((wish.server, wish.kind))
            made = toy.bind(step, server, wish.kind, after)
            steps.append(made)
            for action, fault in ((made.action, wish.fault), (made.undo, wish.back_fault)):
                texts = typed(action)
                if fault is not None:
                    nodes[wish.server].faults.setdefault(texts[min(wish.line, len(texts) - 1)], []).append(fault)
    return steps


def typed(action: Rebind) -> list[str]:
    """What is typed for a rebind, spelled out here so that the test does not ask the code under test."""
    service, binding = action.service, action.bindings[0]
    words = {"callbridge/trust-c2w": "callbridge trust c2w"}.get(binding.slot, f"{service} certs")
    bind = f"{words} {' '.join(binding.files)}"
    return (
        [bind, f"{service} restart"] if service == "callbridge" else [f"{service} disable", bind, f"{service} enable"]
    )


@settings(max_examples=150, deadline=None)
@given(plan=wishes(), rollback=st.booleans())
def test_invariants_hold_for_every_plan(plan: list[Wish], rollback: bool) -> None:  # noqa: FBT001 - drawn
    """Order is kept, servers do one thing at a time, nothing is sent unwritten, and every ending is true."""
    toy = ToyRun(rollback=rollback)
    steps = build(toy, plan)
    result = asyncio.run(toy.run(*steps))
    outcomes = toy.outcomes(result)
    check_order(toy, steps)
    check_written(toy)
    check_endings(toy, steps, outcomes, rollback=rollback)
    told = set(outcomes.values())
    assert (result.result == "applied") == (told <= {"done"})
    assert (result.result == "neither") == ("left" in told)
    assert all(result.steps[position].why for position, outcome in enumerate(outcomes.values()) if outcome != "done")


def check_order(toy: ToyRun, steps: list[Step]) -> None:
    """No step starts before all that it waits for are done; beside each other on a server is only what is quiet.

    A way back does not wait for what is quiet.
    """
    links = {step.id: step.after for step in steps}
    quiet = {step.id for step in steps if is_quiet(step)}
    done: set[str] = set()
    busy: dict[str, set[str]] = {step.server: set() for step in steps}
    for event in toy.events:
        if isinstance(event, StepStarted):
            assert event.undoing or done >= set(links[event.step])
            if not busy[event.server] <= quiet or (event.step not in quiet and not event.undoing):
                assert not busy[event.server], f"{event.step} started beside {busy[event.server]}"
            busy[event.server].add(event.step)
        elif isinstance(event, StepEnded):
            busy[event.server].discard(event.step)
            if event.outcome == "done":
                done.add(event.step)
            else:
                done.discard(event.step)
    assert not any(busy.values())


def check_written(toy: ToyRun) -> None:
    """Every change that a server heard was written down before, in the same order."""
    for name, node in toy.nodes.items():
        intended = [event.typed for event in toy.events if isinstance(event, CommandSent) and event.server == name]
        heard = [
            f"sftp put {what}" if kind == "put" else what for kind, what in node.session.heard if kind in {"do", "put"}
        ]
        assert heard == intended


def check_endings(toy: ToyRun, steps: list[Step], outcomes: dict[str, str], *, rollback: bool) -> None:
    """Done means new, undone means old, and a failed change of a service never just stays failed."""
    for step in steps:
        outcome = outcomes[step.id]
        if isinstance(step.action, Gate) or step.slot is None:
            assert outcome in {"done", "failed", "skipped"}
            continue
        assert outcome in ({"done", "undone", "left", "skipped"} if rollback else {"done", "left", "skipped"})
        node = toy.nodes[step.server]
        bound = node.binding(step.slot).files
        if outcome == "done":
            assert bound == step.action.bindings[0].files
        elif outcome in {"undone", "skipped"}:
            assert bound == step.undo.bindings[0].files
        if outcome == "done" and "trust" not in step.slot:
            assert node.services[step.action.service].loaded[step.slot] == (toy.new.certificate,)
        if outcome == "undone" and "trust" not in step.slot:
            assert node.services[step.action.service].loaded[step.slot] == (toy.old.certificate,)
