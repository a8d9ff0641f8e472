"""``validate``: everything that can be checked without a server."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from cmscert.app.supplies import supplies_of
from cmscert.inventory.load import load
from cmscert.model.desired import WantedIdentity
from cmscert.model.validation import Validation


def validate(inventory: Path, *, now: datetime) -> Validation:
    """Load an inventory with all its material. Raises InputError with every fault."""
    loaded = load(inventory, now=now, supply=supplies_of)
    desired = loaded.desired
    slots = [slot for server in desired.servers for slot in server.slots]
    materials = [slot.material for slot in slots if isinstance(slot, WantedIdentity)]
    for database in desired.databases:
        materials += [*database.server.values(), *database.client.values()]
    return Validation(
        fleet=desired.fleet,
        inventory_sha256=desired.inventory_sha256,
        servers=len(desired.servers),
        slots=len(slots),
        certificates=len({one.leaf.sha256 for one in materials}),
        databases=len(desired.databases),
        warnings=loaded.warnings,
        unhandled=desired.unhandled,
        awaited=desired.awaited,
    )
