"""A process of its own that reads an inventory, is given what was read of its servers, and plans; prints what it took.

``python -m tests.bench.planning_client INVENTORY``
"""

from __future__ import annotations

import gc
import json
import resource
import sys
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter, process_time

from cmscert.cli.main import SELDOM
from cmscert.inventory.load import load
from cmscert.mmp.services import SERVICES
from cmscert.model.desired import Desired, WantedIdentity
from cmscert.model.observed import ObservedServer
from cmscert.pki.certificate import Certificate
from cmscert.pki.pem import read_certificates
from cmscert.planning.make import make_plan
from cmscert.testing.fleets import ToyServer
from cmscert.testing.inventories import NOW
from tests.bench.inventories import BEFORE


def recorded(desired: Desired, old: Mapping[str, tuple[Certificate, ...]]) -> dict[str, ObservedServer]:
    """Return servers that hold the certificates of before, by name; their trust is as wanted."""
    found = {}
    for server in desired.servers:
        toy = ToyServer(name=server.name)
        for slot in server.slots:
            if isinstance(slot, WantedIdentity):
                chain = old[slot.material.certificate]
                held = chain[: len(slot.file_certificates)]
                toy.hold(slot.slot, held, bundle=slot.bundle.certificates if slot.bundle is not None else ())
            else:
                toy.trust(slot.slot, slot.bundle.certificates)
        found[server.name] = toy.observe()
    return found


def before(folder: Path) -> dict[str, tuple[Certificate, ...]]:
    """Return the predecessors of all certificates, by name, each with its chain."""
    chain = [one for name in ("issuing", "root") for one in _read(folder / f"pki/{name}-ca.crt")]
    leaves = {path.stem: _read(path) for path in (folder / BEFORE).iterdir()}
    return {name: (*leaf, *chain) for name, leaf in leaves.items()}


def _read(path: Path) -> tuple[Certificate, ...]:
    return read_certificates(path.read_bytes(), file=path.name)


def _clocks() -> tuple[float, float]:
    return perf_counter(), process_time()


def _since(begun: tuple[float, float]) -> tuple[float, float]:
    """Return the seconds since then, and those of them in which the processor worked for this process."""
    return perf_counter() - begun[0], process_time() - begun[1]


def main() -> int:
    """Plan once."""
    gc.set_threshold(SELDOM)
    inventory = Path(sys.argv[1])
    begun = _clocks()
    loaded = load(inventory, now=NOW)
    read = _since(begun)
    observed = recorded(loaded.desired, before(inventory.parent))
    begun = _clocks()
    planned = make_plan(loaded.desired, observed, table=SERVICES, moment=NOW, tool_version="bench")
    took = _since(begun)
    told = {
        "servers": len(loaded.desired.servers),
        "read": read[0],
        "plan": took[0],
        "processor": {"read": read[1], "plan": took[1]},
        "steps": len(planned.plan.steps),
        "mebibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    sys.stdout.write(json.dumps(told) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
