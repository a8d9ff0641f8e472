"""The mark of a run that a node itself carries: who changes the fleet now, for whoever comes from another machine."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """A lock file of the node's store, read. ``until``: by the node's own clock; aware UTC.

    ``file``: its name in the store.
    """

    file: str
    fleet: str
    owner: str
    machine: str
    run: str
    since: datetime
    until: datetime
