"""How long the program takes before it has done anything, against a Python that does nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from cmscert.testing.inventories import Folder
from tests.bench.installed import installed, seconds
from tests.bench.measure import Bench, Figure, Round, Sample

REFERENCE = "python -c pass"
CLUSTER = Path(__file__).parents[2] / "inventories" / "cluster.yaml"
TURNS = 5
"""A start takes so little that one alone says nothing: in every round each is taken so many times, in turn."""

STARTS: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "start-help": (("--help",), {}),
    "start-version": (("--version",), {}),
    "start-completion": (
        (),
        {"_CMSCERT_COMPLETE": "bash_complete", "COMP_WORDS": "cmscert plan --f", "COMP_CWORD": "2"},
    ),
}
WHAT = {
    "start-help": "`cmscert --help`",
    "start-version": "`cmscert --version`",
    "start-completion": "completing `cmscert plan --f`",
    "start-validate": "`cmscert validate inventories/cluster.yaml`",
}


@contextmanager
def _opened() -> Iterator[Round]:
    with TemporaryDirectory() as name:
        python, program = installed(Path(name) / "installed")
        inventory = Path(name) / "inventory.yaml"
        shutil.copy(CLUSTER, inventory)
        Folder(Path(name)).mint()
        starts = {**STARTS, "start-validate": (("validate", str(inventory)), {})}

        def one_round() -> Mapping[str, Sample]:
            return {name: _compared(python, program, *start) for name, start in starts.items()}

        yield one_round


def _compared(python: Path, program: Path, words: tuple[str, ...], environment: Mapping[str, str]) -> Sample:
    ours = reference = 0.0
    for _ in range(TURNS):
        reference += seconds([python, "-c", "pass"])
        ours += seconds([program, *words], environment)
    return Sample(ours / TURNS * 1000, reference / TURNS * 1000)


BENCHES = (
    Bench(
        name="start",
        figures=tuple(
            Figure(name=name, what=what, reference=REFERENCE, unit="ms", limit=30 if name == "start-validate" else 6)
            for name, what in WHAT.items()
        ),
        opened=_opened,
    ),
)
