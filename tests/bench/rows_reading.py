"""How long, and with how much processor, ``cmscert plan`` reads a fleet, against a bare script that asks the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial

from tests.bench.fleets import Fleet, running
from tests.bench.measure import Bench, Figure, Round, Sample
from tests.bench.processes import Programs, Run, programs

FLOOR = "floor"
SIDE_BY_SIDE = "floor with all commands of a server at once"
CPU_LIMIT, CERTIFICATES_LIMIT = 1.6, 0.1
WHOLE: dict[str, tuple[int, float, float]] = {
    "plan-50-100ms": (50, 0.1, 1.15),
    "plan-50-20ms": (50, 0.02, 1.30),
    "plan-200-20ms": (200, 0.02, 1.35),
    "plan-1000-0ms": (1000, 0.0, 1.40),
}
"""By name: how many servers, seconds before each answer, and how many times the floor's wall time is allowed."""


def asked_of(programs: Programs, fleet: Fleet) -> Run:
    """Plan once to learn what is asked of each server, and note that for the floor."""
    fleet.tell(forget=True)
    first = programs.plan(fleet.inventory)
    fleet.note_jobs(fleet.tell(asked=True))
    return first


def _certificates(programs: Programs, fleet: Fleet) -> Sample:
    told = json.loads(programs.script("counting.py", fleet.inventory, fleet.folder / "plan.json").told)
    return Sample(told["certificates"], told["all"])


@contextmanager
def _whole(name: str, count: int, delay: float) -> Iterator[Round]:
    with programs() as installed, running(count) as fleet:
        asked_of(installed, fleet)
        fleet.tell(delay=delay)

        def one_round() -> Mapping[str, Sample]:
            floor, ours = installed.floor(fleet.jobs), installed.plan(fleet.inventory)
            spread = installed.floor(fleet.jobs, "--side-by-side")
            return {
                f"{name}-wall": Sample(ours.wall, floor.wall),
                f"{name}-cpu": Sample(ours.cpu, floor.cpu),
                f"{name}-wall-side-by-side": Sample(ours.wall, spread.wall),
                f"{name}-certificates": _certificates(installed, fleet),
            }

        yield one_round


def _whole_figures(name: str, count: int, delay: float, limit: float) -> tuple[Figure, ...]:
    what = f"`plan`, {count:,} servers, {delay * 1000:g} ms before each answer"
    return (
        Figure(name=f"{name}-wall", what=f"{what}: wall", reference=FLOOR, unit="s", limit=limit),
        Figure(name=f"{name}-cpu", what=f"{what}: processor", reference=FLOOR, unit="s", limit=CPU_LIMIT),
        Figure(name=f"{name}-wall-side-by-side", what=f"{what}: wall", reference=SIDE_BY_SIDE, unit="s"),
        Figure(
            name=f"{name}-certificates",
            what=f"{what}: processor for certificates",
            reference="the whole of it",
            unit="s",
            limit=CERTIFICATES_LIMIT,
        ),
    )


@contextmanager
def _one() -> Iterator[Round]:
    with programs() as installed, ExitStack() as stack:
        one, fifty = (stack.enter_context(running(count, delay=0.1)) for count in (1, 50))

        def one_round() -> Mapping[str, Sample]:
            alone, ours = installed.plan(one.inventory), installed.plan(fifty.inventory)
            return {"plan-50-against-1": Sample(ours.wall, alone.wall)}

        yield one_round


@contextmanager
def _growth() -> Iterator[Round]:
    """One, fifty, a thousand servers: what each more costs."""
    with programs() as installed, ExitStack() as stack:
        fleets = {count: stack.enter_context(running(count)) for count in (1, 50, 1000)}
        many = fleets[1000]
        asked_of(installed, many)

        def one_round() -> Mapping[str, Sample]:
            ours = {count: installed.plan(fleet.inventory) for count, fleet in fleets.items()}
            many.tell(gate=True)
            held = json.loads(installed.floor(many.jobs).told)
            many.tell(gate=True)
            read = installed.read(many.inventory)
            each, floor = ((told["most"] - told["before"]) / 1000 for told in (read, held))
            return {
                "growth-cpu": Sample(_per_server(ours, 1000) * 1000, _per_server(ours, 50) * 1000),
                "growth-memory": Sample(each, floor),
                "growth-memory-alone": Sample(each),
                "memory-1000": Sample(ours[1000].memory / 1024),
            }

        yield one_round


def _per_server(runs: Mapping[int, Run], count: int) -> float:
    return (runs[count].cpu - runs[1].cpu) / (count - 1)


def _opened(name: str, count: int, delay: float) -> Callable[[], AbstractContextManager[Round]]:
    return partial(_whole, name, count, delay)


BENCHES = (
    *(
        Bench(name=name, figures=_whole_figures(name, *of), opened=_opened(name, of[0], of[1]))
        for name, of in WHOLE.items()
    ),
    Bench(
        name="plan-50-against-1",
        figures=(
            Figure(
                name="plan-50-against-1",
                what="`plan`, 50 servers, 100 ms before each answer: wall",
                reference="one server alone",
                unit="s",
                limit=1.3,
            ),
        ),
        opened=_one,
    ),
    Bench(
        name="growth",
        figures=(
            Figure(
                name="growth-cpu",
                what="`plan`, processor for each server more, up to 1,000",
                reference="up to 50",
                unit="ms",
                limit=1.15,
            ),
            Figure(
                name="growth-memory",
                what="reading, memory for each of 1,000 connections open at once",
                reference=FLOOR,
                unit="KiB",
                limit=1.5,
            ),
            Figure(
                name="growth-memory-alone",
                what="reading, memory for each of 1,000 connections open at once",
                unit="KiB",
                limit=160,
            ),
            Figure(
                name="memory-1000", what="`plan`, memory of the whole process, 1,000 servers", unit="MiB", limit=120
            ),
        ),
        opened=_growth,
    ),
)
