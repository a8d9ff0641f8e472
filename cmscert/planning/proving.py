"""What a run left, slot by slot, so that a later look can tell what people changed from what the inventory gained.

A slot is proven when nothing differs in it once the run is over: predictions are what was read back (law 6).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from cmscert.model.desired import Desired, WantedDatabase
from cmscert.model.events import Outcome
from cmscert.model.names import service_of
from cmscert.model.observed import ObservedServer
from cmscert.model.origin import Content, Proof, Proofs, ServerProofs
from cmscert.model.plan import BackupDatabase, DatabaseAction, Drift, Plan, Rebind, Step
from cmscert.model.readings import Known
from cmscert.model.services import ServiceTable
from cmscert.planning.contents import found_content, wanted_content, wanted_of_member
from cmscert.planning.drift import content_unread, find_drift
from cmscert.planning.predict import predict
from cmscert.planning.sight import Sight, see

SERVER = "server"
"""Stands for the server as a whole where slots have their names."""

BY_TIME = frozenset({"expires-soon", "expired", "database-due", "database-expired"})
"""Reasons that come with time, without anybody doing anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A plan that is over. ``outcomes``: how its steps ended. ``run``: None where it had nothing to do.

    ``desired``: what was wanted, as selected. ``observed`` and ``contents``: what the plan was made from, and the
    public bytes of its uploads.
    """

    plan: Plan
    outcomes: Mapping[str, Outcome]
    desired: Desired
    observed: Mapping[str, ObservedServer]
    contents: Mapping[str, bytes]
    run: str | None
    at: datetime

    def done(self, server: str) -> tuple[Step, ...]:
        """Return the steps of a server that were done."""
        return tuple(step for step in self.plan.steps if step.server == server and self.outcomes.get(step.id) == "done")


def prove(ran: Ran, before: Proofs, table: ServiceTable) -> Proofs:
    """Return the proofs of a fleet after a run; servers and slots that it did not look after keep theirs."""
    servers = dict(before.servers)
    for wanted in ran.desired.servers:
        observed = ran.observed[wanted.name]
        if not isinstance(observed.reached, Known):
            continue
        old = servers.get(wanted.name) or ServerProofs()
        if any(step.server == wanted.name and ran.outcomes.get(step.id) == "left" for step in ran.plan.steps):
            servers[wanted.name] = ServerProofs(slots=old.slots, named=old.named, open=ran.run)
            continue
        for step in ran.done(wanted.name):
            observed = predict(observed, step, ran.contents)
        sight = see(wanted, observed, table)
        slots = {} if old.open is not None else dict(old.slots)
        for slot, proof in _found(ran, sight):
            slots.pop(slot, None)
            if proof is not None:
                slots[slot] = proof
        servers[wanted.name] = ServerProofs(slots=slots, named=_named(ran, sight, old))
    return Proofs(servers=servers)


def _found(ran: Ran, sight: Sight) -> Iterator[tuple[str, Proof | None]]:
    """Yield the proofs of slots that were changed, or are as wanted; None where nothing is proven any more."""
    touched = {
        binding.slot
        for step in ran.done(sight.name)
        if isinstance(step.action, Rebind)
        for binding in step.action.bindings
    }
    for slot in sorted(touched):
        content = found_content(sight, slot)
        yield slot, None if content is None else _proof(ran, content, wanted=False)
    drift = find_drift(sight, ran.desired.policy, ran.at)
    differs = {each.slot for each in drift if each.reason not in BY_TIME}
    for wanted in sight.wanted.slots:
        seen = sight.state(service_of(wanted.slot)) is not None and not content_unread(sight, wanted)
        if seen and sight.release is not None and wanted.slot not in differs:
            yield wanted.slot, _proof(ran, wanted_content(wanted))
    if sight.wanted.release is not None and sight.observed.release == Known(sight.wanted.release):
        yield SERVER, _proof(ran, Content(file=str(sight.wanted.release)))
    for database in (each for each in ran.desired.databases if sight.name in each.members):
        yield from _of_database(ran, database, sight.name)


def _of_database(ran: Ran, database: WantedDatabase, server: str) -> Iterator[tuple[str, Proof | None]]:
    """Judge a member: it had no difference, or every step on its cluster was done."""
    slot = f"database/{database.name}"
    steps = [step for step in ran.plan.steps if step.slot == slot and isinstance(step.action, DatabaseAction)]
    done = [step for step in steps if ran.outcomes.get(step.id) == "done"]
    differs = [each for each in ran.plan.drift if _is_about(each, server, slot) and each.reason not in BY_TIME]
    unread = any(name == server for name, _ in ran.plan.unread)
    if (steps and len(done) == len(steps)) or not (steps or differs or unread):
        yield slot, _proof(ran, wanted_of_member(database, server))
    elif any(step.server == server and not isinstance(step.action, BackupDatabase) for step in done):
        yield slot, None


def _is_about(drift: Drift, server: str, slot: str) -> bool:
    return drift.server == server and drift.slot == slot


def _proof(ran: Ran, content: Content, *, wanted: bool = True) -> Proof:
    return Proof(at=ran.at, run=ran.run, content=content, wanted=wanted)


def _named(ran: Ran, sight: Sight, old: ServerProofs) -> frozenset[str] | None:
    """Return the slots that the inventory is known to have named on a server."""
    if ran.plan.rolls_back is not None:
        return old.named
    slots = {slot.slot for slot in sight.wanted.slots}
    slots |= {SERVER} if sight.wanted.release is not None else set()
    slots |= {each.slot for each in ran.desired.awaited if each.server == sight.name}
    slots |= {f"database/{each.name}" for each in ran.desired.databases if sight.name in each.members}
    if not ran.plan.select:
        return frozenset(slots)
    return None if old.named is None else old.named | slots
