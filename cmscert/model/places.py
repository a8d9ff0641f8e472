"""Where an inventory asks for what was compared, so that a report can point at the line."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A place in an inventory. ``line`` and ``column`` (in code points) count from 1; ``path``: the path of keys."""

    line: int
    column: int
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Something that was compared: a slot, a database member, or a server as a whole (``slot`` is None).

    ``place``: what asks for it, in a role where it comes from one. ``by``: the server that has the role, or the
    member's server; None where ``place`` is the server's own.
    """

    server: str
    slot: str | None
    place: Place
    by: Place | None = None
