"""Where a case plays: an inventory with its material, and the fleets that it starts from. Made once a process."""

from __future__ import annotations

import atexit
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Final

from cryptography import x509

from cmscert.cli.sketching import rewrite_inventory, sketch_of
from cmscert.inventory.load import read_outline
from cmscert.lab import material
from cmscert.lab.fleet import LabFleet
from cmscert.lab.pki import World, write_material
from cmscert.lab.scenario import build
from cmscert.lab.sketch import Sketch, SlotSketch
from cmscert.lab.spec import Faults, NodeSpec
from cmscert.testing.databases import NOW

INVENTORIES: Final = Path(__file__).parents[3] / "inventories"
PASSWORDS: Final = {"CMS_PASSWORD": "canary-of-the-log-in", "CMSCERT_STORE_PASSPHRASE": "canary-of-the-store"}
TURN_PASSWORD: Final = "canary-of-turn"  # noqa: S105 - of simulated nodes, to be looked for
_FIRST_PORT: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a case starts from.

    ``scenario``: one of the lab's. ``aged``: for the scenario ``aged``, the servers that are; none stands for all.
    ``database``: left out of the inventory, standing as wanted, or in the state of the scenario.
    """

    inventory: str
    scenario: str = "aged"
    aged: tuple[str, ...] = ()
    database: str = "out"

    def __str__(self) -> str:
        return " ".join(filter(None, (self.inventory, self.scenario, "+".join(self.aged), f"database-{self.database}")))


@dataclass(frozen=True, eq=False, kw_only=True)
class Stage:
    """An inventory in a folder with all it names. ``secrets``: what must never be written down."""

    inventory: Path
    sketch: Sketch
    world: World
    secrets: tuple[bytes, ...]
    databases: bool

    def specs(self, setting: Setting) -> list[NodeSpec]:
        """Describe the nodes of a case; nobody else has them."""
        specs = list(map(_copied, _scene(self, setting.scenario)))
        if not setting.aged and setting.database != "standing":
            return specs
        wanted = {spec.name: _copied(spec) for spec in _scene(self, "wanted")}
        for spec in specs:
            right = wanted[spec.name]
            if setting.database == "standing":
                spec.database = right.database
                spec.files |= {name: right.files[name] for name in right.database.files}
            if setting.aged and spec.name not in setting.aged:
                spec.services, spec.files = right.services, {**spec.files, **right.files}
        return specs

    def unmet(self, fleet: LabFleet, unproven: frozenset[tuple[str, str]] = frozenset()) -> list[str]:
        """Return the slots that do not hold what the inventory wants, as the lab knows it; empty when all do.

        ``unproven``: services, by server, whose trust may be bound and not loaded.
        """
        return [
            f"{slot.server} {slot.slot}: {why}"
            for slot in self.sketch.slots
            if self._at_hand(slot) and (why := _differs(self, slot, fleet, unproven)) is not None
        ]

    def _at_hand(self, slot: SlotSketch) -> bool:
        """Tell whether the operator has all certificates of a service: what issuers owe is not bound, nor its trust."""
        mine = (each for each in self.sketch.slots if (each.server, each.service) == (slot.server, slot.service))
        leaves = [each.certificate for each in mine if each.certificate is not None]
        return all(self.sketch.certificate(leaf).certificate_path is not None for leaf in leaves)


def _copied(spec: NodeSpec) -> NodeSpec:
    """Copy a description, with all that a node may change."""
    services = {
        name: replace(service, slots={slot: replace(files) for slot, files in service.slots.items()})
        for name, service in spec.services.items()
    }
    return replace(spec, files=dict(spec.files), services=services, faults=Faults(), switches=replace(spec.switches))


@lru_cache
def _scene(stage: Stage, scenario: str) -> list[NodeSpec]:
    scene = build(stage.sketch, scenario=scenario, now=NOW, world=stage.world, base_port=_FIRST_PORT)
    for spec in scene.specs:
        if "turn" in spec.services:
            spec.services["turn"].settings["Password"] = TURN_PASSWORD
    return scene.specs


@lru_cache
def stage_of(name: str, *, databases: bool) -> Stage:
    """Return the stage of an example inventory, with or without the databases that it names."""
    folder = Path(tempfile.mkdtemp(prefix="cmscert-campaign-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    inventory = folder / name
    text = (INVENTORIES / name).read_text(encoding="utf-8")
    if not databases:
        text = re.sub(r"(?m)^databases:.*\n(?:[ #].*\n|\n)*", "", text)
    inventory.write_text(text, encoding="utf-8")
    sketch = sketch_of(read_outline(inventory))
    world = World.make(sketch, now=NOW, key_type="ec")
    hosts = dict.fromkeys(sketch.known_hosts or ("known_hosts",), b"")
    write_material(folder, {**world.material, **hosts})
    stage = Stage(inventory=inventory, sketch=sketch, world=world, secrets=_secrets(world), databases=databases)
    specs = _scene(stage, "wanted")
    places = {spec.name: (spec.address, 22) for spec in specs}
    bridges = {spec.name: spec.services["callbridge"].ports["callbridge"] for spec in specs if _bridges(spec)}
    inventory.write_text(rewrite_inventory(text, places, bridges), encoding="utf-8")
    return stage


def _bridges(spec: NodeSpec) -> bool:
    return "callbridge" in spec.services and "callbridge" in spec.services["callbridge"].ports


def _secrets(world: World) -> tuple[bytes, ...]:
    """Return a line of every private key, and the passwords."""
    keys = [content for content in world.material.values() if b"PRIVATE KEY" in content]
    lines = [max(content.splitlines()[2:-1], key=len) for content in keys]
    words = (*PASSWORDS.values(), TURN_PASSWORD, "PRIVATE KEY")
    return (*lines, *(word.encode() for word in words))


def _differs(stage: Stage, slot: SlotSketch, fleet: LabFleet, unproven: frozenset[tuple[str, str]]) -> str | None:
    node = fleet.node(slot.server)
    files, up = node.bound(slot.slot), node.up(slot.service)
    wanted = _pile(stage, slot)
    if slot.certificate is None:
        if wanted is None:
            return None
        held = {node.loaded_trust(slot.slot)} if up and (slot.server, slot.service) not in unproven else set()
        held.add(tuple(map(material.der, _certificates(node.files, files.bundle))))
        return None if all(set(each) == wanted for each in held) else "it trusts others than wanted"
    leaf = material.der(stage.world.leaves[slot.certificate].certificate)
    bound = [material.der(each) for each in _certificates(node.files, files.certificate)]
    if bound[:1] != [leaf]:
        return "another certificate is bound"
    if files.key is None or not material.fits(node.files.get(files.key, b""), node.files[files.certificate or ""]):
        return "its key is not bound"
    if up and node.loaded_leaf(slot.slot) not in (leaf, None):
        return "it serves another certificate"
    bundle = {material.der(each) for each in _certificates(node.files, files.bundle)}
    return None if wanted is None or bundle == wanted else "another bundle is bound"


def _pile(stage: Stage, slot: SlotSketch) -> set[bytes] | None:
    """Return the certificates of a slot's bundle or trust list; None where it has none, or nobody has them yet."""
    names = (*((slot.bundle,) if slot.bundle and not slot.full_chain else ()), *slot.trust)
    found = {material.der(each) for name in names for each in stage.world.bundle(name)}
    if slot.leaves_of is not None:
        leaves = [
            each.certificate for each in stage.sketch.slots if each.certificate and each.belongs_to(slot.leaves_of)
        ]
        if any(stage.sketch.certificate(leaf).certificate_path is None for leaf in leaves):
            return None
        found |= {material.der(stage.world.leaves[leaf].certificate) for leaf in leaves}
    return found or None


def _certificates(files: Mapping[str, bytes], name: str | None) -> tuple[x509.Certificate, ...]:
    try:
        return material.certificates(files[name or ""]) if name in files else ()
    except (KeyError, material.UnreadableError):
        return ()
