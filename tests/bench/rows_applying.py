"""What an ``apply`` costs: how long services are down, how long a database is in pieces, how long all of it takes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cmscert.cli.laboratory import make_pki
from tests.bench.applying_paths import Pace, Step, longest_chain, longest_path, steps_of
from tests.bench.measure import Bench, Figure, Round, Sample

INVENTORIES = Path(__file__).parents[2] / "inventories"
ENVIRONMENT = {"CMS_PASSWORD": "lab"}
ROUND_TRIPS = 3
SERVICES = ("webadmin", "callbridge", "webbridge3", "turn", "webbridge", "xmpp", "loadbalancer", "recorder")
OUTAGE = Pace(start=0.5, answer=0.1, database={})
ROLLING = Pace(start=4.0, answer=0.1, database={})
REBUILD = Pace(
    start=0.1,
    answer=0.1,
    database={
        "database cluster remove": 5.0,
        "database cluster initialize": 8.0,
        "database cluster join": 6.0,
        "sync": 6.0,
        "database cluster connect": 5.0,
    },
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """One ``apply``, seen from the lab and from its journal."""

    seconds: float
    journal: Mapping[str, float]
    nodes: Mapping[str, Mapping[str, Any]]
    parted: float
    steps: list[Step]


def _applied(made: Path, scenario: str, pace: Pace, *words: str) -> Applied:
    """Start a lab on material that was made before, apply to it once, and return what was seen."""
    with TemporaryDirectory() as name:
        folder = Path(name) / "fleet"
        shutil.copytree(made, folder)
        lab = subprocess.Popen(
            _lab(folder, folder / "inventory.yaml", scenario, pace),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert lab.stdin is not None
        assert lab.stdout is not None
        try:
            inventory = json.loads(lab.stdout.readline())["inventory"]
            result = Path(name) / "journal.json"
            began = time.perf_counter()
            run = subprocess.run(
                [sys.executable, "-m", "tests.bench.applying_client", str(result), "apply", inventory, "--yes", *words],
                env={**os.environ, **ENVIRONMENT},
                capture_output=True,
                text=True,
                check=False,
            )
            seconds = time.perf_counter() - began
            if run.returncode:
                raise RuntimeError(f"apply ended with {run.returncode}:\n{run.stdout}{run.stderr}")
            lab.stdin.write("told\n")
            lab.stdin.flush()
            seen = json.loads(lab.stdout.readline())
            (journal,) = (folder / ".cmscert" / "runs").iterdir()
            return Applied(
                seconds=seconds,
                journal=json.loads(result.read_text()),
                nodes=seen["nodes"],
                parted=seen["parted"],
                steps=steps_of(journal),
            )
        finally:
            lab.stdin.close()
            lab.wait()


def _lab(folder: Path, inventory: Path, scenario: str, pace: Pace) -> list[str]:
    words = (folder, inventory, scenario, pace.start, pace.answer, json.dumps(pace.database))
    return [sys.executable, "-m", "tests.bench.applying_lab", *map(str, words)]


@contextmanager
def _material(*texts: str) -> Iterator[list[Path]]:
    """Make the PKI of inventories once: keys take their time."""
    with TemporaryDirectory() as name:
        folders = []
        for at, text in enumerate(texts):
            folder = Path(name) / str(at)
            folder.mkdir()
            inventory = folder / "inventory.yaml"
            inventory.write_text(text, encoding="utf-8")
            make_pki(inventory, fresh=False)
            folders.append(folder)
        yield folders


def _without_databases(text: str) -> str:
    """Leave the clusters out: a rebuild restarts call bridges too."""
    return re.sub(r"(?m)^databases:.*\n(?:[ #].*\n|\n)*", "", text)


def twelve() -> str:
    """Return the inventory of six cores and six edges, of which one at a time may be down."""
    text = _without_databases((INVENTORIES / "cluster.yaml").read_text(encoding="utf-8"))
    server = '  {name}: {{address: 10.0.0.{at}, fqdn: {name}.example.com, release: "3.9", roles: [{role}]}}\n'
    cores = "".join(server.format(name=f"core{at}", at=10 + at, role="core") for at in range(1, 7))
    edges = "".join(server.format(name=f"edge{at}", at=20 + at, role="edge") for at in range(1, 7))
    return re.sub(r"(?m)^servers:\n(?:  .*\n)*", f"servers:\n{cores}{edges}", text)


@contextmanager
def _outages() -> Iterator[Round]:
    names = ("cluster.yaml", "legacy-2.9.yaml", "single.yaml")
    with _material(*(_without_databases((INVENTORIES / name).read_text(encoding="utf-8")) for name in names)) as made:

        def one_round() -> Mapping[str, Sample]:
            found: dict[str, list[Sample]] = {name: [] for name in SERVICES}
            for folder in made:
                # Where there is one call bridge only, nobody stands in for it.
                applied = _applied(folder, "new-ca", OUTAGE, "--allow", "last-call-bridge")
                for node in applied.nodes.values():
                    for service, seconds, start in node["outages"]:
                        found[service].append(Sample(seconds, start + ROUND_TRIPS * OUTAGE.answer))
            return {f"outage-{name}": max(found[name], key=lambda each: each.value) for name in SERVICES}

        yield one_round


@contextmanager
def _rebuild() -> Iterator[Round]:
    with _material((INVENTORIES / "cluster.yaml").read_text(encoding="utf-8")) as (folder,):

        def one_round() -> Mapping[str, Sample]:
            words = ("--select", "service=database", "--allow", "database-rebuild")
            applied = _applied(folder, "aged", REBUILD, *words)
            late = sum(_late(node["history"]) for node in applied.nodes.values())
            return {
                "rebuild": Sample(applied.parted, longest_chain(applied.steps, REBUILD)),
                "rebuild-late": Sample(late),
            }

        yield one_round


def _late(history: list[str]) -> int:
    """Count what could have been done before the first ``remove`` of a node, and was not."""
    at = history.index("database cluster remove") if "database cluster remove" in history else len(history)
    return sum(line.startswith(("put ", "pki ", "backup ")) and "cmscert-lock" not in line for line in history[at:])


@contextmanager
def _whole() -> Iterator[Round]:
    with _material(twelve()) as (folder,):

        def one_round() -> Mapping[str, Sample]:
            applied = _applied(folder, "aged", ROLLING)
            counts = [_counted(node["history"]) for node in applied.nodes.values()]
            return {
                "apply-12": Sample(applied.seconds, longest_path(applied.steps, ROLLING)),
                "apply-12-journal": Sample(100 * applied.journal["seconds"] / applied.seconds),
                "apply-12-disk": Sample(100 * applied.journal["waited"] / applied.seconds),
                "apply-12-logins": Sample(max(node["logins"] for node in applied.nodes.values())),
                "apply-12-commands": Sample(max(commands for commands, _ in counts)),
                "apply-12-changes-twice": Sample(max(twice for _, twice in counts)),
            }

        yield one_round


def _counted(history: list[str]) -> tuple[int, int]:
    """Return how many lines a node got, and how many of those that change something came more than once."""
    lines = [line for line in history if "cmscert-lock" not in line]
    changes = Counter(line for line in lines if _changes(line))
    return len(lines), sum(times - 1 for times in changes.values())


def _changes(line: str) -> bool:
    words = line.split()
    verbs = ("certs", "trust", "enable", "disable", "restart", "auth")
    return words[0] in ("put", "rm") or any(word in verbs for word in words[1:])


def _outage(service: str) -> Figure:
    return Figure(
        name=f"outage-{service}",
        what=f"`apply` of the inventories: the worst outage of {service}, every answer 100 ms late",
        reference="how long the lab took to start it, + 3 round trips",
        unit="s",
        limit=1.0,
    )


_ROLLING = "`apply` of 12 servers in rolling order"


def _bench(name: str, opened: Callable[[], AbstractContextManager[Round]], *figures: Figure) -> Bench:
    return Bench(name=name, figures=figures, opened=opened, warm_up=0)


BENCHES = (
    _bench("outages", _outages, *map(_outage, SERVICES)),
    _bench(
        "rebuild",
        _rebuild,
        Figure(
            name="rebuild",
            what="`apply` of the cluster: how long the database is in pieces",
            reference="the lab's own durations along the longest chain",
            unit="s",
            limit=1.15,
        ),
        Figure(name="rebuild-late", what="uploads, checks and backups after the first `remove`", unit="lines", limit=0),
    ),
    _bench(
        "apply-12",
        _whole,
        Figure(
            name="apply-12",
            what=f"{_ROLLING}, the whole process",
            reference="the longest path of its plan at the lab's durations",
            unit="s",
            limit=1.2,
        ),
        Figure(name="apply-12-journal", what=f"{_ROLLING}: time that all wait for the journal", unit="%", limit=1),
        Figure(name="apply-12-disk", what=f"{_ROLLING}: time that a server waits for the disk, others go on", unit="%"),
        Figure(name="apply-12-logins", what=f"{_ROLLING}: logins on one server", unit="logins", limit=1),
        Figure(name="apply-12-commands", what=f"{_ROLLING}: most lines and transfers on one server", unit="lines"),
        Figure(name="apply-12-changes-twice", what=f"{_ROLLING}: changes that were sent twice", unit="lines", limit=0),
    ),
)
