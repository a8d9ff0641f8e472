"""Large inventories: how long they take to be read, and how planning grows with the fleet."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import yaml

from cmscert.cli.main import SELDOM
from cmscert.inventory.load import read_outline
from tests.bench.inventories import inventory, renewed
from tests.bench.measure import Bench, Figure, Round, Sample

ROOT = Path(__file__).parents[2]
READ, GROWN = 1_000, 10_000


@contextmanager
def _reading() -> Iterator[Round]:
    """Both sides look for garbage as seldom as the program does: more often, the C loader alone takes longer."""
    threshold = gc.get_threshold()
    gc.set_threshold(SELDOM)
    with TemporaryDirectory() as name:
        text, path = inventory(READ), Path(name) / "inventory.yaml"
        path.write_text(text, encoding="utf-8")

        def one_round() -> Mapping[str, Sample]:
            begun = perf_counter()
            yaml.load(text, Loader=yaml.CSafeLoader)
            loaded = perf_counter()
            read_outline(path)
            return {"inventory-read": Sample((perf_counter() - loaded) * 1000, (loaded - begun) * 1000)}

        yield one_round
    gc.set_threshold(*threshold)


@contextmanager
def _planning() -> Iterator[Round]:
    with TemporaryDirectory() as name:
        small, large = (renewed(Path(name) / str(servers), servers) for servers in (READ, GROWN))

        def one_round() -> Mapping[str, Sample]:
            few, many = _planned(small), _planned(large)
            return {
                "planning-time": Sample(many["read"] + many["plan"]),
                "planning-processor": Sample(sum(many["processor"].values())),
                "planning-memory": Sample(many["mebibytes"]),
                "planning-per-server": Sample(_each(many), _each(few)),
            }

        yield one_round


def _each(told: Mapping[str, Any]) -> float:
    return float(told["processor"]["plan"] / told["servers"] * 1000)


def _planned(path: Path) -> dict[str, Any]:
    words = [sys.executable, "-m", "tests.bench.planning_client", str(path)]
    done = subprocess.run(words, cwd=ROOT, env=os.environ, capture_output=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


BENCHES = (
    Bench(
        name="inventory",
        figures=(
            Figure(
                name="inventory-read",
                what="an inventory of 1,000 servers (30,000 lines) to checked values with places",
                reference="PyYAML's C loader alone",
                unit="ms",
                limit=2,
            ),
        ),
        opened=_reading,
    ),
    Bench(
        name="planning",
        figures=(
            Figure(
                name="planning-time",
                what="10,000 servers with 40 certificates, all renewed: inventory read and planned in one process",
                unit="s",
                limit=15,
            ),
            Figure(name="planning-processor", what="the same: processor", unit="s"),
            Figure(name="planning-memory", what="the same: the largest size of that process", unit="MiB", limit=600),
            Figure(
                name="planning-per-server",
                what="planning, processor for each of 10,000 servers",
                reference="for each of 1,000",
                unit="ms",
            ),
        ),
        opened=_planning,
        warm_up=0,
    ),
)
