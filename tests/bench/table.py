"""Draws what was measured: for a terminal, as JSON, and as the page of the documentation."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path

from tests.bench.measure import Figure, Outcome, Sample

BEGIN, END = "<!-- begin of what `make bench` writes -->", "<!-- end of what `make bench` writes -->"
HEAD = ("what", "reference in the same round", "ours", "reference", "value", "spread", "rounds", "limit", "")


def machine() -> str:
    """Say on what it was measured."""
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()} {platform.machine()}"


def amount(value: float | None, unit: str) -> str:
    """Write a number with its unit, three digits long."""
    return "" if value is None else f"{value:,.3g} {unit}" if value < 100 else f"{value:,.0f} {unit}"


def row(outcome: Outcome) -> tuple[str, ...]:
    """Return the cells of one line."""
    figure, (ours, reference), (low, high) = outcome.figure, outcome.medians(), outcome.spread
    unit = figure.unit if figure.reference is None else "times"
    limit = "" if figure.limit is None else f"{'≥' if figure.at_least else '≤'} {amount(figure.limit, unit)}"
    verdict = {None: "", True: "met", False: "NOT MET"}[outcome.met]
    value = amount(outcome.value, unit)
    spread = f"{low:.3g} to {high:.3g}"
    cells = (amount(ours, figure.unit), amount(reference, figure.unit))
    return (figure.what, figure.reference or "", *cells, value, spread, str(len(outcome.samples)), limit, verdict)


def as_markdown(outcomes: Iterable[Outcome]) -> str:
    """Return the table for the page."""
    lines = [" | ".join(HEAD).join(("| ", " |")), "|" + "---|" * len(HEAD)]
    lines += [" | ".join(row(outcome)).join(("| ", " |")) for outcome in outcomes]
    return "\n".join([f"Measured on: {machine()}.", "", *lines])


def as_json(outcomes: Iterable[Outcome]) -> str:
    """Return every sample, for machines."""
    rows = [
        {
            **asdict(outcome.figure),
            "value": outcome.value,
            "met": outcome.met,
            "samples": [[sample.ours, sample.reference] for sample in outcome.samples],
        }
        for outcome in outcomes
    ]
    return json.dumps({"machine": machine(), "figures": rows}, indent=2) + "\n"


def read_json(text: str) -> list[Outcome]:
    """Read back what ``as_json`` wrote."""
    names = [field.name for field in fields(Figure)]
    return [
        Outcome(Figure(**{name: row[name] for name in names}), [Sample(*pair) for pair in row["samples"]])
        for row in json.loads(text)["figures"]
    ]


def write_into(page: Path, outcomes: Iterable[Outcome], order: Sequence[str]) -> None:
    """Put the table between the two marks of a page, and every sample into the JSON beside it.

    Figures that were not measured this time stay as they were; ``order``: the names of all that there are.
    """
    beside = page.with_suffix(".json")
    known = {each.figure.name: each for each in (read_json(beside.read_text("utf-8")) if beside.exists() else ())}
    known |= {each.figure.name: each for each in outcomes}
    shown = [known[name] for name in order if name in known]
    beside.write_text(as_json(shown), encoding="utf-8")
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{as_markdown(shown)}\n\n{END}{after}", encoding="utf-8")
