"""A simulated fleet in a process of its own, that keeps what an ``apply`` did to it.

``python -m tests.bench.applying_lab FOLDER INVENTORY SCENARIO START ANSWER DELAYS``. A line on stdin asks for what was
seen; the end of stdin ends it. Every line on stdout is one JSON document, the first when all nodes answer.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cmscert.cli.laboratory import Laboratory, prepare
from cmscert.cli.sketching import rewrite_inventory
from cmscert.lab.fleet import LabFleet
from cmscert.lab.node import LabNode
from cmscert.lab.pki import write_material
from cmscert.lab.state import Machine

LOOK = 0.004
"""Seconds between two looks at the databases, from inside the lab."""


class _Counted(set[Any]):
    """The connections of a node, and how many there ever were."""

    ever = 0

    def add(self, element: Any, /) -> None:  # noqa: ANN401 - a set's own signature
        self.ever += 1
        super().add(element)


class _Outages(list[tuple[str, float]]):
    """The outages of a node; ``starts`` tells for each how long the service itself took to start."""

    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self.starts: list[float] = []
        self._begun: dict[str, float] = {}
        self._bring_up = machine.bring_up
        machine.bring_up = self._timed  # type: ignore[method-assign]  # the stop-watch
        machine.outages = self

    def append(self, outage: tuple[str, float], /) -> None:
        """Take a finished outage."""
        super().append(outage)
        self.starts.append(time.monotonic() - self._begun[outage[0]])

    def _timed(self, name: str) -> None:
        self._begun[name] = time.monotonic()
        self._bring_up(name)


async def serve(lab: Laboratory) -> None:
    """Run the fleet until stdin ends."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with LabFleet(lab.scene.specs) as fleet:
        await fleet.settled()
        for node in fleet.nodes.values():
            assert node.server is not None
            node.server.connections = _Counted()
            _Outages(node.machine)
        _publish(lab, fleet)
        parted = _Parted(fleet, {name for database in lab.sketch.databases for name in database.members})
        watch = asyncio.ensure_future(parted.watch())
        _say({"inventory": str(lab.inventory)})
        while await reader.readline():
            await fleet.settled()
            _say({"nodes": {name: _told(node) for name, node in fleet.nodes.items()}, "parted": parted.longest})
        watch.cancel()


class _Parted:
    """For how long the members of the databases were not one whole cluster in sync."""

    def __init__(self, fleet: LabFleet, members: set[str]) -> None:
        self._fleet = fleet
        self._members = members
        self.longest = 0.0

    async def watch(self) -> None:
        since: float | None = None
        while self._members:
            now = time.monotonic()
            if set(_whole(self._fleet)) == self._members:
                since = None
            else:
                since = since or now
                self.longest = max(self.longest, now - since)
            await asyncio.sleep(LOOK)


def _whole(fleet: LabFleet) -> Iterator[str]:
    """Yield the members, at rest, of clusters whose replicas hold every row."""
    for cluster in fleet.database.clusters():
        if cluster.replicas == cluster.in_sync:
            members = (cluster.primary, *cluster.replicas, *cluster.clients)
            yield from (name for name in members if fleet.database.node(name).pending is None)


def _starts(node: LabNode) -> list[float]:
    assert isinstance(node.outages, _Outages)
    return node.outages.starts


def _told(node: LabNode) -> dict[str, Any]:
    assert node.server is not None
    return {
        "outages": [(*outage, start) for outage, start in zip(node.outages, _starts(node), strict=True)],
        "history": node.history,
        "logins": getattr(node.server.connections, "ever", 0),
        "channels": node.server.opens,
    }


def _publish(lab: Laboratory, fleet: LabFleet) -> None:
    places = {name: (node.spec.bind, node.ssh_port) for name, node in fleet.nodes.items()}
    bridges = {
        name: node.port("callbridge") for name, node in fleet.nodes.items() if "callbridge" in node.spec.services
    }
    rewritten = rewrite_inventory(lab.text, places, {name: port for name, port in bridges.items() if port}).encode()
    write_material(lab.folder, {"known_hosts": fleet.known_hosts().encode(), lab.inventory.name: rewritten})


def _say(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Start what the command line names."""
    folder, inventory, scenario, start, answer, delays = sys.argv[1:]
    lab = prepare(Path(inventory), scenario=scenario, folder=Path(folder), base_port=0)
    for spec in lab.scene.specs:
        spec.start_delay, spec.answer_delay = float(start), float(answer)
        spec.faults.db_delay = json.loads(delays)
    asyncio.run(serve(lab))


if __name__ == "__main__":
    main()
