"""What a bench is made of: figures, samples, rounds, and what came of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table.

    ``name``: what it is called on the command line. ``what``: what is measured. ``reference``: what it is measured
    against in the same round, None when the figure stands alone. ``limit``: what it must not exceed, as a ratio where
    there is a reference (``unit`` is then that of both samples), else in ``unit``. ``at_least``: the limit is a floor.
    """

    name: str
    what: str
    reference: str | None = None
    unit: str
    limit: float | None = None
    at_least: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """What one round measured, in the unit of its figure; the reference in the same round, taken right beside it."""

    ours: float
    reference: float | None = None

    @property
    def value(self) -> float:
        """What is held against the limit."""
        return self.ours if self.reference is None else self.ours / self.reference


Round = Callable[[], Mapping[str, Sample]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Some figures that come out of one experiment.

    ``opened``: sets the experiment up (servers, files), and gives what plays one round: ours and the reference in
    turn, a sample for every figure.
    """

    name: str
    figures: tuple[Figure, ...]
    opened: Callable[[], AbstractContextManager[Round]]
    warm_up: int = 1
    rounds: int | None = None  # where fewer or more than the command line asks for make sense


@dataclass(slots=True)
class Outcome:
    """What the rounds of one figure say."""

    figure: Figure
    samples: list[Sample] = field(default_factory=list)

    @property
    def value(self) -> float:
        """The median of the rounds."""
        return median(sample.value for sample in self.samples)

    @property
    def spread(self) -> tuple[float, float]:
        """The smallest and the largest of the rounds."""
        values = [sample.value for sample in self.samples]
        return min(values), max(values)

    @property
    def met(self) -> bool | None:
        """Whether the median keeps the limit; None without one."""
        if self.figure.limit is None:
            return None
        return self.value >= self.figure.limit if self.figure.at_least else self.value <= self.figure.limit

    def medians(self) -> tuple[float, float | None]:
        """Return ours and the reference, each as the median of its own."""
        references = [sample.reference for sample in self.samples if sample.reference is not None]
        return median(sample.ours for sample in self.samples), median(references) if references else None


def play(bench: Bench, rounds: int) -> list[Outcome]:
    """Set one experiment up and play its rounds."""
    outcomes = {figure.name: Outcome(figure) for figure in bench.figures}
    with bench.opened() as one_round:
        for _ in range(bench.warm_up):
            one_round()
        for _ in range(bench.rounds or rounds):
            for name, sample in one_round().items():
                outcomes[name].samples.append(sample)
    return list(outcomes.values())
