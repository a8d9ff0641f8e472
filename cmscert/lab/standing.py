"""Database clusters that stand when the lab starts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from cmscert.lab import minting
from cmscert.lab.minting import Identity
from cmscert.lab.pki import World
from cmscert.lab.placing import Fleet, Generation
from cmscert.lab.planting import EXPIRING_LEFT, LIFE, Planted
from cmscert.lab.sketch import DatabaseSketch, LeafId
from cmscert.lab.spec import DatabaseSpec

ROWS: Final = tuple(f"row-{number:03}" for number in range(1, 41))
"""What the primary of every cluster holds, and the replicas with it."""


def stand(fleet: Fleet, generation: Generation | None) -> None:
    """Let every cluster stand with the certificates of a generation; None configures nothing.

    Before there is a cluster, the first primary holds the rows, and every other node a row of its own.
    """
    for database in fleet.sketch.databases:
        for server in database.members:
            if generation is not None:
                _join(fleet, database, server, generation)
            elif server == database.primary:
                fleet.node(server).database = DatabaseSpec(rows=ROWS)
            else:
                fleet.node(server).database = DatabaseSpec(rows=(f"{server}-001",))


def age(fleet: Fleet, world: World, *, now: datetime) -> list[Planted]:
    """Let every cluster stand with certificates of the same CA that expire soon; say so of every member."""
    faults: list[Planted] = []
    not_after = now + EXPIRING_LEFT
    for database in fleet.sketch.databases:
        names = (database.server, database.client)
        older: Mapping[LeafId, Identity] = {
            certificate.leaf_id: world.issue(certificate, not_before=not_after - LIFE, not_after=not_after)
            for certificate in fleet.sketch.certificates
            if certificate.name in names
        }
        generation = Generation(world=world, leaves=older, suffix=f"-{(not_after - LIFE).year}")
        for server in database.members:
            _join(fleet, database, server, generation)
            sentence = f"the certificates of the database cluster expire in {EXPIRING_LEFT.days} days"
            faults.append(Planted(server=server, slot="database", kind="expires-soon", sentence=sentence))
    return faults


def _join(fleet: Fleet, database: DatabaseSketch, server: str, generation: Generation) -> None:
    def put(name: str) -> tuple[str, str]:
        identity = generation.leaves[fleet.sketch.leaf_of(name, server)]
        stem = f"{name}{generation.suffix}"
        return (
            fleet.put(server, f"{stem}.key", identity.key_pem),
            fleet.put(server, f"{stem}.crt", identity.leaf_pem),
        )

    client = server in database.clients
    ca = minting.pem(generation.world.bundle(database.ca))
    replica_of = None if server == database.primary else database.primary
    verb = "connect" if client else "join"
    line = "initialize" if replica_of is None else f"{verb} {_address(fleet, replica_of)}"
    fleet.node(server).database = DatabaseSpec(
        role="client" if client else "replica" if replica_of else "primary",
        rows=() if client else ROWS,
        files=(
            *(() if client else put(database.server)),
            *put(database.client),
            fleet.put(server, f"{database.ca}{generation.suffix}.crt", ca),
        ),
        interface=database.interface,
        primary=replica_of,
        last=(f"database cluster {line}", "Success"),
    )


def _address(fleet: Fleet, server: str) -> str:
    node = fleet.node(server)
    return node.database_address or node.address
