"""What reading does on the wire: round trips, how long a dead node is waited for, whether the event loop stalls."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.fleets import Fleet, running
from tests.bench.measure import Bench, Figure, Round, Sample
from tests.bench.processes import Programs, programs

TRIP = 0.1
KEEPALIVE = 3
NODE = "core00000"
DEAD = "core00004"


def _asked(fleet: Fleet) -> tuple[int, dict[str, Any]]:
    """Return how many commands the one node was asked, and its job for the script."""
    asked: dict[str, Any] = fleet.tell(asked=True)[NODE]
    return len(asked["commands"]), asked


def _script(installed: Programs, fleet: Fleet, wired: Path, job: dict[str, Any]) -> float:
    """Return the seconds that one thing after another takes, typed at a prompt."""
    login = {"known_hosts": str(wired.with_name("known_hosts")), "user": "admin", "password": "lab"}
    path = fleet.folder / "script.json"
    path.write_text(json.dumps({**job, **login}), encoding="utf-8")
    told: float = json.loads(installed.script("prompt_script.py", path).told)["wall"]
    return told


@contextmanager
def _trips() -> Iterator[Round]:
    with programs() as installed, running(1) as fleet:
        told = fleet.tell(wire=TRIP)
        wired, port = Path(told["inventory"]), told["ports"][NODE]

        def one_round() -> Mapping[str, Sample]:
            fleet.tell(channels=None, forget=True)
            wide = installed.read(wired)["wall"]
            commands, asked = _asked(fleet)
            fleet.tell(channels=2)
            narrow = installed.read(wired)["wall"]
            fleet.tell(channels=1)
            single = installed.read(wired)["wall"]
            fleet.tell(channels=None)
            script = _script(installed, fleet, wired, {**asked, "port": port})
            return {
                "trips-side-by-side": Sample(wide / TRIP),
                "trips-one-at-a-time": Sample(narrow / TRIP - commands),
                "trips-one-channel": Sample(single / TRIP - commands),
                "trips-script": Sample(script / TRIP - commands),
                "trips-commands": Sample(commands),
            }

        yield one_round


@contextmanager
def _dead() -> Iterator[Round]:
    with programs() as installed, running(10, keepalive=KEEPALIVE) as fleet:

        def one_round() -> Mapping[str, Sample]:
            fleet.tell(forget=True)
            alive = installed.read(Path(fleet.tell(wire=0.02)["inventory"]))["over"]
            fleet.tell(forget=True)
            told = installed.read(Path(fleet.tell(wire=0.02, dead=DEAD)["inventory"]))
            others = {name: seconds for name, seconds in told["over"].items() if name != DEAD}
            return {
                "dead-given-up": Sample(told["over"][DEAD], KEEPALIVE),
                "dead-others": Sample(max(others.values()), max(alive[name] for name in others)),
            }

        yield one_round


@contextmanager
def _loop() -> Iterator[Round]:
    with programs() as installed, running(1000) as fleet:

        def one_round() -> Mapping[str, Sample]:
            told = installed.read(fleet.inventory)
            return {
                "stall-1000": Sample(told["stall"] * 1000),
                "connect-1000": Sample(median(told["connect"])),
            }

        yield one_round


BENCHES = (
    Bench(
        name="trips",
        figures=(
            Figure(
                name="trips-side-by-side",
                what="round trips of `plan` on one node",
                unit="round trips",
                limit=20,
            ),
            Figure(
                name="trips-one-at-a-time",
                what="round trips beside those of the commands: `plan`, a node that lets one command run at a time",
                unit="round trips",
                limit=12,
            ),
            Figure(
                name="trips-one-channel",
                what="round trips beside those of the commands: `plan`, a node with one channel",
                unit="round trips",
            ),
            Figure(
                name="trips-script",
                what="round trips beside those of the commands: a script at the prompt, one thing after another",
                unit="round trips",
            ),
            Figure(name="trips-commands", what="commands that this node was asked", unit="commands"),
        ),
        opened=_trips,
    ),
    Bench(
        name="dead",
        figures=(
            Figure(
                name="dead-given-up",
                what="a node that goes dead is given up",
                reference="its keepalive budget",
                unit="s",
                limit=1.25,
            ),
            Figure(
                name="dead-others",
                what="the nine others are read, with a dead node among them",
                reference="with none",
                unit="s",
            ),
        ),
        opened=_dead,
    ),
    Bench(
        name="loop",
        figures=(
            Figure(name="stall-1000", what="longest stall of the event loop, 1,000 servers", unit="ms", limit=200),
            Figure(name="connect-1000", what="half of the log-ins, 1,000 servers", unit="s", limit=0.5),
        ),
        opened=_loop,
    ),
)
