"""Starting states of a simulated fleet: what lies on every node, what is bound and what is loaded."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from cmscert.errors import LabError
from cmscert.lab.minting import Identity, Life
from cmscert.lab.pki import World
from cmscert.lab.placing import Fleet, Generation
from cmscert.lab.planting import Planted, plant
from cmscert.lab.sketch import LeafId, Sketch
from cmscert.lab.spec import NodeSpec
from cmscert.lab.standing import age, stand

SCENARIOS: Final = ("wanted", "aged", "new-ca", "fresh", "faults")
AGED_LEFT: Final = timedelta(days=20)
_AGE: Final = timedelta(days=70)


class Scene(NamedTuple):
    """The nodes, the files that the inventory names (by relative path), and the planted faults.

    ``database_faults`` are those of database clusters: no slot has them.
    """

    specs: list[NodeSpec]
    material: dict[str, bytes]
    faults: list[Planted]
    database_faults: list[Planted]


def build(sketch: Sketch, *, scenario: str, now: datetime, world: World, base_port: int = 0) -> Scene:
    """Describe the nodes of a fleet in one of ``SCENARIOS``.

    ``world`` is what the inventory wants. Node number i listens from ``base_port`` + 100 i on, SSH at 22 from there;
    with 0 the system chooses. Raises LabError for an unknown scenario or ports beyond 65535.
    """
    if scenario not in SCENARIOS:
        raise LabError(f"there is no scenario {scenario!r}", hint=f"choose one of {', '.join(SCENARIOS)}")
    fleet = Fleet(sketch, base_port=base_port)
    if scenario == "fresh":
        fleet.place(None)
        stand(fleet, None)
        return Scene(fleet.specs(), dict(world.material), [], [])
    generation = _generation(sketch, scenario, now=now, world=world)
    fleet.place(generation)
    stand(fleet, generation)
    if scenario != "faults":
        return Scene(fleet.specs(), dict(world.material), [], [])
    faults, database_faults = plant(fleet, world, now=now), age(fleet, world, now=now)
    return Scene(fleet.specs(), dict(world.material), faults, database_faults)


def _generation(sketch: Sketch, scenario: str, *, now: datetime, world: World) -> Generation:
    if scenario in ("wanted", "faults"):
        return Generation(world=world, leaves=world.leaves)
    life = Life(not_before=now - _AGE, not_after=now + AGED_LEFT)
    suffix = f"-{life.not_before.year}"
    if scenario == "new-ca":
        old = World.make(sketch, now=now, key_type=world.key_type, label="old", life=life)
        return Generation(world=old, leaves=old.leaves, suffix=suffix)
    leaves: dict[LeafId, Identity] = {}
    made: dict[str, Identity] = {}
    for certificate in sketch.certificates:
        # One certificate file is one certificate, whatever it is called in the inventory.
        place = certificate.certificate_path or repr(certificate.leaf_id)
        if place not in made:
            made[place] = world.issue(certificate, not_before=life.not_before, not_after=life.not_after)
        leaves[certificate.leaf_id] = made[place]
    return Generation(world=world, leaves=leaves, suffix=suffix)
