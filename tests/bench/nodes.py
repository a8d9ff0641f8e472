"""The servers of a bench, in a process of their own: the product's lab, as many nodes as the inventory names.

Takes orders on stdin, one JSON object a line, and answers each with a line: ``delay`` (seconds before each answer),
``channels`` (most at once on a connection, null for any number), ``forget`` (what was asked so far), ``asked`` (tell
it), ``wire`` (put a wire of so many seconds a round trip before each node, and write an inventory that leads through
it; ``dead`` names a node whose wire goes dead at its first command), ``gate`` (let no node answer before there is a
connection to every node, once), ``keys`` (public keys that may log in). Ends with its stdin.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from shutil import copytree
from tempfile import mkdtemp
from typing import Any

import asyncssh

from cmscert.cli.laboratory import Laboratory, prepare
from cmscert.cli.sketching import rewrite_inventory
from cmscert.lab import minting
from cmscert.lab.fleet import LabFleet
from cmscert.lab.node import LabNode
from cmscert.lab.sketch import KeyType
from tests.bench.wire import Wire

DIFFERENT_KEYS = 16


def draw_keys_from_a_pool() -> None:
    """Let servers share a few RSA keys: a thousand of them take minutes to make, and cost the same to use."""
    make, pool = minting.new_key, list[minting.Key]()
    drawn = 0

    def new_key(kind: KeyType, bits: int | None = None) -> minting.Key:
        nonlocal drawn
        if kind != "rsa" or bits is not None:
            return make(kind, bits)
        if len(pool) < DIFFERENT_KEYS:
            pool.append(make(kind, bits))
        drawn += 1
        return pool[drawn % len(pool)]

    minting.new_key = new_key


class Logins(set[asyncssh.SSHServerConnection]):
    """The open connections of a node, which counts how many there have been."""

    count = 0

    def add(self, connection: asyncssh.SSHServerConnection) -> None:
        """Count one."""
        self.count += 1
        super().add(connection)


class Gate:
    """Keeps answers back until every node has a connection."""

    def __init__(self, fleet: LabFleet) -> None:
        self._fleet = fleet
        self._open = asyncio.Event()
        self._linger = LabNode.linger

    def close(self) -> None:
        """Keep answers back, until all are there."""
        gate, linger = self, self._linger
        self._open.clear()

        async def wait(node: LabNode, words: list[str]) -> None:
            if all(each.server is not None and each.server.connections for each in gate._fleet.nodes.values()):
                gate._open.set()
                LabNode.linger = linger  # type: ignore[method-assign]
            await gate._open.wait()
            await linger(node, words)

        LabNode.linger = wait  # type: ignore[assignment, method-assign]


def laboratory(folder: Path) -> Laboratory:
    """Prepare the nodes, each at an address of its own."""
    draw_keys_from_a_pool()
    lab = prepare(
        folder / "inventory.yaml", scenario="wanted", folder=folder / "lab", base_port=0, now=datetime.now(UTC)
    )
    for number, spec in enumerate(lab.scene.specs):
        spec.bind = f"127.1.{number // 200}.{number % 200 + 1}"
    return lab


def obey(fleet: LabFleet, order: Mapping[str, Any]) -> object:
    """Do what is asked and return what there is to tell."""
    told: dict[str, object] = {}
    for name, node in fleet.nodes.items():
        assert node.server is not None
        node.spec.answer_delay = order.get("delay", node.spec.answer_delay)
        node.switches.max_channels = order.get("channels", node.switches.max_channels)
        node.spec.authorized_keys = order.get("keys", node.spec.authorized_keys)
        if order.get("forget"):
            for record in (node.commands, node.transfers, node.history, node.audit):
                record.clear()
            node.server.connections = Logins(node.server.connections)
        if order.get("asked"):
            told[name] = {
                "address": node.spec.bind,
                "port": node.ssh_port,
                "commands": list(node.commands),
                "files": [each.removeprefix("get ") for each in node.transfers if each.startswith("get ")],
                "logins": getattr(node.server.connections, "count", 0),
            }
    used = getrusage(RUSAGE_SELF)
    return told if order.get("asked") else {"cpu": used.ru_utime + used.ru_stime}


async def wire(lab: Laboratory, fleet: LabFleet, delay: float, dead: str | None) -> object:
    """Put wires before all nodes; return the inventory that reaches them so."""
    places, known = dict[str, tuple[str, int]](), list[str]()
    for name, node in fleet.nodes.items():
        assert node.server is not None
        cut = partial(bool, node.commands) if name == dead else bool
        port = await Wire(node.spec.bind, node.ssh_port, delay=delay, dead=cut).open()
        places[name] = (node.spec.bind, port)
        known.append(f"[{node.spec.bind}]:{port} {node.server.host_key}\n")
    folder = Path(mkdtemp(dir=lab.folder.parent))
    copytree(lab.folder, folder, dirs_exist_ok=True)
    write(lab, fleet, folder, places, "".join(known))
    return {"inventory": str(folder / lab.inventory.name), "ports": {name: port for name, (_, port) in places.items()}}


def write(
    lab: Laboratory, fleet: LabFleet, folder: Path, places: Mapping[str, tuple[str, int]], known_hosts: str
) -> None:
    """Write the inventory that reaches the nodes at ``places``, and their host keys."""
    bridges = {
        name: node.port("callbridge") for name, node in fleet.nodes.items() if "callbridge" in node.spec.services
    }
    probed = {name: port for name, port in bridges.items() if port is not None}
    (folder / lab.inventory.name).write_text(rewrite_inventory(lab.text, places, probed), encoding="utf-8")
    (folder / "known_hosts").write_text(known_hosts, encoding="utf-8")


async def serve(folder: Path) -> None:
    """Run the nodes until nobody gives orders any more."""
    lab = laboratory(folder)
    loop = asyncio.get_running_loop()
    async with LabFleet(lab.scene.specs) as fleet:
        await fleet.settled()
        places = {name: (node.spec.bind, node.ssh_port) for name, node in fleet.nodes.items()}
        write(lab, fleet, lab.folder, places, fleet.known_hosts())
        gate = Gate(fleet)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            order = json.loads(line)
            told = obey(fleet, order)
            if order.get("gate"):
                gate.close()
            if "wire" in order:
                told = await wire(lab, fleet, order["wire"], order.get("dead"))
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
