"""Where a difference comes from, and the proofs by which that is told.

A proof is what a run, or an apply that had nothing to do, left in a slot: digests of certificates, no file names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

OriginKind = Literal["server", "inventory", "time", "unknown"]
"""``server``: it was changed there. ``inventory``: the server is as it was left, and the inventory asks for more.
``time``: nobody changed anything. ``unknown``: that cannot be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a difference comes from.

    ``at`` and ``run``: when the slot was last proven, and by which run; both None where it never was, ``run`` also
    where nothing had to be done. ``why``: why it cannot be told.
    """

    kind: OriginKind
    at: datetime | None = None
    run: str | None = None
    why: str | None = None


UNTOLD = Origin(kind="unknown")
"""Nobody asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a slot holds, in digests of certificates. ``file``: in the order of the file; ``bundle``: as a set.

    None where the slot has no such file, or none is wanted.
    """

    file: str | None = None
    bundle: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a slot was left with. ``wanted``: that was what the inventory asked for; else the run did not get so far.

    ``at``: aware UTC. ``run``: None where nothing had to be done.
    """

    at: datetime
    content: Content
    run: str | None = None
    wanted: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerProofs:
    """The proofs of one server, by slot.

    ``named``: the slots that the inventory named when all of the server was last looked after; None before that.
    ``open``: the run that did not come to its end on this server, None when none did.
    """

    slots: Mapping[str, Proof] = field(default_factory=dict)
    named: frozenset[str] | None = None
    open: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proofs:
    """The proofs of a fleet, by server. ``fault``: why there are none; None where runs simply left none yet."""

    servers: Mapping[str, ServerProofs] = field(default_factory=dict)
    fault: str | None = None
