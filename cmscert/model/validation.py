"""The result of ``validate``: apart from the other results, so that what knows no plans loads none."""

from __future__ import annotations

from dataclasses import dataclass

from cmscert.errors import Fault
from cmscert.model.desired import Awaited, Unhandled


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """An inventory that holds together, counted. ``warnings``: findings that no source makes an error."""

    fleet: str
    inventory_sha256: str
    servers: int
    slots: int
    certificates: int
    databases: int = 0
    warnings: tuple[Fault, ...] = ()
    unhandled: tuple[Unhandled, ...] = ()
    awaited: tuple[Awaited, ...] = ()
