"""A whole plan before anybody says yes: what guards and notices look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from cmscert.model.desired import Desired, Policy
from cmscert.model.plan import Drift, Step
from cmscert.model.unfinished import NOTHING_UNFINISHED, Unfinished
from cmscert.planning.interrupted import Interruption
from cmscert.planning.peers import Place
from cmscert.planning.sight import Sight
from cmscert.planning.trust import Move, View


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is wanted, what was seen, and the steps between.

    ``dead``: runs that are known to be over. ``unfinished``: what runs left that did not come to a good end.
    ``interruptions``: what becomes of the services among that; ``mended``: those that this plan starts or loads again,
    by (server, service). ``held``: the servers that the run will keep to itself; None stands for every one.
    """

    desired: Desired
    sights: Mapping[str, Sight]
    unread: tuple[tuple[str, str], ...]
    drift: tuple[Drift, ...]
    views: tuple[View, ...]
    moves: Mapping[Place, Move]
    steps: tuple[Step, ...]
    moment: datetime
    dead: frozenset[str] = frozenset()
    unfinished: Unfinished = NOTHING_UNFINISHED
    interruptions: tuple[Interruption, ...] = ()
    mended: Mapping[Place, Interruption] = field(default_factory=dict)
    held: frozenset[str] | None = None

    @property
    def policy(self) -> Policy:
        """The inventory's policy."""
        return self.desired.policy

    @property
    def changed(self) -> tuple[str, ...]:
        """Servers with at least one step of their own, in order."""
        return tuple(dict.fromkeys(step.server for step in self.steps if step.server in self.sights))

    @property
    def disturbed(self) -> tuple[str, ...]:
        """Servers on which a service is stopped, in order."""
        return tuple(dict.fromkeys(step.server for step in self.steps if step.disturbs))

    @property
    def looked_at(self) -> tuple[Sight, ...]:
        """Servers that were reached and of which something is wanted."""
        return tuple(
            sight for sight in self.sights.values() if sight.wanted.slots and sight.observed.reached.kind == "known"
        )
