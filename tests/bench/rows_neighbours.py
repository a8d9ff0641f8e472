"""How long the whole process of ``cmscert plan`` takes against neighbours that read the same screens.

They are installed, in fixed versions, into an environment of their own that is kept in the user's cache. Each is used
in the quickest way it has; what each asks stands in ``tests/bench/neighbours``. None of them reads the files that
``plan`` reads, nor understands an answer.
"""

from __future__ import annotations

import json
import os
import subprocess
import venv
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.fleets import Fleet, running
from tests.bench.measure import Bench, Figure, Round, Sample
from tests.bench.processes import Programs, Run, programs, run
from tests.bench.rows_reading import asked_of

FOLDER = Path(__file__).with_name("neighbours")
PINS = FOLDER / "requirements.txt"
SERVERS = 50
DELAYS = {"20ms": 0.02, "100ms": 0.1}
TIMES = {"ansible": {"20ms": 10.0, "100ms": 5.0}, "nornir": {"20ms": 1.8, "100ms": 1.25}}
TIMES["pyinfra"] = {"20ms": 3.5, "100ms": 2.5}
"""How many times faster ``plan`` has to be."""
ANSIBLE_CPU = 20
WORDS = {
    "ansible": "Ansible `raw`, 50 forks, commands only",
    "nornir": "Nornir with Netmiko, 50 workers, commands only",
    "pyinfra": "pyinfra's API, 50 at a time, commands only",
}


def environment() -> Path:
    """Return the neighbours' environment, made where it is not there yet."""
    mark = sha256(PINS.read_bytes()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "cmscert-bench" / f"neighbours-{mark}"
    done = folder / "installed"
    if not done.exists():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([folder / "bin" / "pip", "install", "--quiet", "--requirement", PINS], check=True)
        done.touch()
    return folder / "bin"


def ansible(binaries: Path, jobs: Path) -> Run:
    """Let Ansible ask; each time from a folder of its own, so that it finds no connection of the last time."""
    with TemporaryDirectory(prefix="cmscert-bench-") as folder:
        run([binaries / "python", FOLDER / "ansible_screens.py", jobs, folder])
        settings = f"ANSIBLE_CONFIG={folder}/ansible.cfg"
        words: list[str | Path] = ["env", settings, binaries / "ansible-playbook", f"{folder}/screens.json"]
        told = run([binaries / "python", FOLDER / "whole.py", *words])
        return replace(told, **json.loads(told.told.splitlines()[-1]))


def script(name: str, binaries: Path, jobs: Path) -> Run:
    """Let one of the scripts ask."""
    return run([binaries / "python", FOLDER / name, jobs])


NEIGHBOURS: Mapping[str, Callable[[Path, Path], Run]] = {
    "ansible": ansible,
    "nornir": partial(script, "nornir_screens.py"),
    "pyinfra": partial(script, "pyinfra_screens.py"),
}


@contextmanager
def _opened(delay: str) -> Iterator[Round]:
    binaries = environment()
    with programs() as installed, running(SERVERS) as fleet:
        asked_of(installed, fleet)
        for name in NEIGHBOURS:
            _ask_the_same(fleet, name, binaries)
        fleet.tell(delay=DELAYS[delay])

        def one_round() -> Mapping[str, Sample]:
            samples = {}
            for name in NEIGHBOURS:
                samples.update(_compared(installed, fleet, name, binaries, f"{name}-{delay}"))
            return samples

        yield one_round


def _ask_the_same(fleet: Fleet, name: str, binaries: Path) -> None:
    """Let a neighbour ask once. Raises RuntimeError unless the servers were asked what ``plan`` asks them."""
    expected = _commands(fleet)
    fleet.tell(forget=True)
    NEIGHBOURS[name](binaries, fleet.jobs)
    if _commands(fleet) != expected:
        raise RuntimeError(f"{name} did not ask what cmscert plan asks")


def _commands(fleet: Fleet) -> dict[str, Counter[str]]:
    return {name: Counter(asked["commands"]) for name, asked in fleet.tell(asked=True).items()}


def _compared(programs: Programs, fleet: Fleet, name: str, binaries: Path, figure: str) -> dict[str, Sample]:
    theirs, ours = NEIGHBOURS[name](binaries, fleet.jobs), programs.plan(fleet.inventory)
    samples = {f"{figure}-wall": Sample(ours.wall, theirs.wall)}
    if name == "ansible":
        samples[f"{figure}-cpu"] = Sample(ours.cpu, theirs.cpu)
    return samples


def _figures(delay: str) -> Iterator[Figure]:
    what = f"`plan`, {SERVERS} servers, {DELAYS[delay] * 1000:g} ms before each answer"
    for name, times in TIMES.items():
        figure, reference = f"{name}-{delay}", WORDS[name]
        yield Figure(name=f"{figure}-wall", what=f"{what}: wall", reference=reference, unit="s", limit=1 / times[delay])
        if name == "ansible":
            limit = 1 / ANSIBLE_CPU
            yield Figure(name=f"{figure}-cpu", what=f"{what}: processor", reference=reference, unit="s", limit=limit)


def _bench(delay: str) -> Callable[[], AbstractContextManager[Round]]:
    return partial(_opened, delay)


BENCHES = tuple(
    Bench(name=f"neighbours-{delay}", figures=tuple(_figures(delay)), opened=_bench(delay), warm_up=0)
    for delay in DELAYS
)
