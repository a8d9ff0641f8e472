"""From an inventory to a running lab: material, nodes, host keys, an inventory that points at them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cmscert.cli.program import program
from cmscert.cli.sketching import rewrite_inventory, sketch_of
from cmscert.inventory.load import read_outline
from cmscert.inventory.outline import Outline
from cmscert.lab.fleet import LabFleet
from cmscert.lab.pki import World, make_material, read_material, write_material
from cmscert.lab.scenario import Scene, build
from cmscert.lab.sketch import Sketch

FOLDER = ".cmscert-lab"
READY = "The lab is up."
PASSWORD = "lab"  # noqa: S105 - of simulated nodes


@dataclass(frozen=True, slots=True, kw_only=True)
class Laboratory:
    """Everything that is needed to start; ``folder`` holds the files, ``inventory`` is the one that reaches the lab."""

    outline: Outline
    sketch: Sketch
    scene: Scene
    folder: Path
    inventory: Path
    text: str

    async def run(self, stopped: asyncio.Event, say: Callable[[str], object]) -> None:
        """Start every node, write what is needed to reach them, say what to type, wait. Raises LabError."""
        async with LabFleet(self.scene.specs) as fleet:
            await fleet.settled()
            places = {name: (node.spec.bind, node.ssh_port) for name, node in fleet.nodes.items()}
            hosts = self.sketch.known_hosts or ("known_hosts",)
            keys = fleet.known_hosts().encode()
            rewritten = rewrite_inventory(self.text, places, dict(_call_bridges(fleet))).encode()
            write_material(self.folder, {**dict.fromkeys(hosts, keys), self.inventory.name: rewritten})
            for line in self.story(places):
                say(line)
            await stopped.wait()

    def story(self, places: dict[str, tuple[str, int]]) -> Iterator[str]:
        """Say what is wrong with the nodes, where they are, and what to type next."""
        for fault in self.scene.faults:
            yield f"  {fault.server} {fault.slot}: {fault.sentence}"
        if self.scene.faults:
            yield ""
        yield READY
        passwords = (server.login.password for server in self.outline.servers)
        names = sorted({ref.value[0] for ref in passwords if ref is not None and ref.kind == "env"})
        first = next(iter(places))
        address, port = places[first]
        user = next(server.login.user for server in self.outline.servers if server.name == first)
        ssh = f"-o UserKnownHostsFile={self.folder / (self.sketch.known_hosts or ('known_hosts',))[0]}"
        yield "In another terminal:"
        for name in names or ["CMS_PASSWORD"]:
            yield f"  export {name}={PASSWORD}"
        for verb in ("validate", "plan", "apply", "status", "drift"):
            yield f"  {program()} {verb} {self.inventory}"
        yield f"Look into {first} (password {PASSWORD}):"
        yield f"  ssh {ssh} -p {port} {user}@{address}"
        yield f"  sftp {ssh} -P {port} {user}@{address}"
        yield "Ctrl-C ends the lab."


def prepare(
    inventory: Path, *, scenario: str, folder: Path | None, base_port: int, now: datetime | None = None
) -> Laboratory:
    """Read an inventory and put the lab's material into its folder. Raises InputError and LabError."""
    moment = now or datetime.now(UTC)
    outline = read_outline(inventory)
    place = folder or Path(FOLDER) / outline.fleet
    sketch = sketch_of(outline)
    make_material(sketch, place, now=moment)
    world = World.make(sketch, now=moment, found=read_material(sketch, place))
    scene = build(sketch, scenario=scenario, now=moment, world=world, base_port=base_port)
    write_material(place, scene.material)
    return Laboratory(
        outline=outline,
        sketch=sketch,
        scene=scene,
        folder=place,
        inventory=place / inventory.name,
        text=inventory.read_text(encoding="utf-8-sig"),
    )


def make_pki(inventory: Path, *, fresh: bool, now: datetime | None = None) -> list[Path]:
    """Write the material that an inventory names, beside it; return what was written."""
    outline = read_outline(inventory)
    return make_material(sketch_of(outline), inventory.parent, now=now or datetime.now(UTC), fresh=fresh)


def _call_bridges(fleet: LabFleet) -> Iterator[tuple[str, int]]:
    for name, node in fleet.nodes.items():
        port = node.port("callbridge") if "callbridge" in node.spec.services else None
        if port is not None:
            yield name, port
