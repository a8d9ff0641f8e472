"""Database clusters of the lab in memory: files, nodes, and a clock that only tests move."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from cmscert.lab import minting
from cmscert.lab.minting import Authority, Life
from cmscert.lab.spec import DatabaseSpec, NodeSpec

NOW: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
FIVE: Final = ("dbserver.key", "dbserver.crt", "dbclient.key", "dbclient.crt", "dbca.crt")
THREE: Final = FIVE[2:]
ROWS: Final = ("r1", "r2", "r3", "r4")


@dataclass(slots=True)
class MovedClock:
    """Tells aware UTC; moves only when it is told to."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        """Tell the time."""
        return self.now

    def pass_by(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)


@lru_cache
def _authority(name: str) -> Authority:
    life = Life(not_before=NOW - timedelta(days=365), not_after=NOW + timedelta(days=3650))
    return minting.make_authority(name, key=minting.new_key("ec"), signer=None, life=life)


@lru_cache
def _contents(ca: str, client_name: str, days_left: int) -> tuple[bytes, ...]:
    authority = _authority(ca)
    life = Life(not_before=NOW - timedelta(days=90), not_after=NOW + timedelta(days=days_left))
    server, client = (
        minting.make_identity(name, (), key=minting.new_key("ec"), authority=authority, life=life)
        for name in ("core1.example.com", client_name)
    )
    files = (server.key_pem, server.leaf_pem, client.key_pem, client.leaf_pem)
    return (*files, minting.pem([authority.certificate]))


def database_files(
    *, ca: str = "dbca", client_name: str = "postgres", days_left: int = 60, names: tuple[str, ...] = FIVE
) -> dict[str, bytes]:
    """Return five files by name, the same contents for the same arguments."""
    return dict(zip(names, _contents(ca, client_name, days_left), strict=True))


def database_node(number: int, *, database: DatabaseSpec | None = None, **fields: Any) -> NodeSpec:  # noqa: ANN401 - whatever NodeSpec takes
    """Return ``core<number>`` at 10.0.0.<10 + number>; its commands work for one second, unless said otherwise."""
    given: Mapping[str, Any] = {
        "name": f"core{number}",
        "hostname": f"core{number}",
        "address": f"10.0.0.{10 + number}",
        "fqdn": f"core{number}.example.com",
        "start_delay": 1.0,
        "files": database_files(),
    }
    return NodeSpec(database=database or DatabaseSpec(), **{**given, **fields})


def standing_cluster(*, nodes: int = 3, clients: int = 1) -> list[NodeSpec]:
    """Return a cluster with core1 as its primary, the other nodes as replicas, the last ones as clients."""
    specs = [database_node(1, database=DatabaseSpec(role="primary", rows=ROWS, files=FIVE, interface="a"))]
    for number in range(2, nodes + 1):
        replica = DatabaseSpec(role="replica", rows=ROWS, files=FIVE, interface="a", primary="core1")
        specs.append(database_node(number, database=replica))
    for number in range(nodes + 1, nodes + clients + 1):
        client = DatabaseSpec(role="client", files=THREE, interface="a", primary="core1")
        specs.append(database_node(number, database=client))
    return specs
