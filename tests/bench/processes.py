"""Whole processes, measured: how long, how much processor, how much memory."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from tests.bench.fleets import PASSWORD
from tests.bench.installed import installed

FLOOR = Path(__file__).with_name("floor.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one process took. ``wall`` and ``cpu`` in seconds, ``memory``: its largest, in KiB; ``told``: its stdout."""

    wall: float
    cpu: float
    memory: float
    told: str


def run(words: Sequence[str | Path], *, codes: Sequence[int] = (0,)) -> Run:
    """Run a process to its end. Raises RuntimeError when it ends with another code than ``codes``."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    with TemporaryDirectory() as folder, (Path(folder) / "out").open("w+b") as out:
        begun = perf_counter()
        process = subprocess.Popen(words, env={**own, "CMS_PASSWORD": PASSWORD}, stdout=out, stderr=out)
        _, status, used = os.wait4(process.pid, 0)
        wall = perf_counter() - begun
        process.returncode = code = os.waitstatus_to_exitcode(status)
        out.seek(0)
        told = out.read().decode(errors="replace")
    if code not in codes:
        raise RuntimeError(f"{words} ended with {code}: {told[-2000:]}")
    return Run(wall=wall, cpu=used.ru_utime + used.ru_stime, memory=used.ru_maxrss, told=told)


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """What is measured: the program as a user has it, and scripts of the bench with the same Python."""

    python: Path
    program: Path

    def plan(self, inventory: Path, *more: str) -> Run:
        """Run ``cmscert plan``; a fleet that is not as wanted, or a server that cannot be read, is no failure here."""
        return run([self.program, "plan", inventory, *more], codes=(0, 4))

    def floor(self, jobs: Path, *more: str) -> Run:
        """Run the floor."""
        return run([self.python, FLOOR, jobs, *more])

    def read(self, inventory: Path, *more: str) -> dict[str, Any]:
        """Read a fleet as ``plan`` does, and return what ``reading_client.py`` tells."""
        told: dict[str, Any] = json.loads(self.script("reading_client.py", inventory, *more).told)
        return told

    def script(self, name: str, *words: str | Path) -> Run:
        """Run a script of this folder that uses the program's modules."""
        return run([self.python, Path(__file__).with_name(name), *words])


@contextmanager
def programs() -> Iterator[Programs]:
    """Install the program for as long as it is measured."""
    with TemporaryDirectory(prefix="cmscert-bench-") as folder:
        python, program = installed(Path(folder))
        yield Programs(python=python, program=program)
