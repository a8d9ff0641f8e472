"""Whether a difference was made on the server, or only the inventory asks for more than it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from cmscert.model.desired import Desired
from cmscert.model.observed import ObservedServer
from cmscert.model.origin import Content, Origin, Proof, Proofs, ServerProofs
from cmscert.model.plan import Drift
from cmscert.model.services import ServiceTable
from cmscert.planning.contents import found_content, found_of_member, holds, wanted_content, wanted_of_member
from cmscert.planning.proving import BY_TIME, SERVER
from cmscert.planning.sight import Sight, see

BY_RUNS = frozenset({"stopped-by-run", "load-unproven", "upload-unproven"})
"""Differences that a run left which broke off."""

BY_CONTENT = frozenset(
    {
        "leaf-differs",
        "chain-differs",
        "chain-order",
        "names-missing",
        "bundle-missing",
        "bundle-differs",
        "bundle-order",
        "trust-missing",
        "trust-lacks",
        "trust-exceeds",
        "release-differs",
        "database-server-differs",
        "database-client-differs",
        "database-ca-differs",
    }
)
"""Reasons that a change of the inventory, or of its material, can bring about; others need a change of the server."""

NO_RUN = "no apply on this server is in the journal here"
NEVER_RIGHT = "no apply has left this as wanted yet"
AS_LEFT = "it was so already when the last apply ended"
NOT_READ = "what is there could not be read whole"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """A slot, or a server as a whole: what it is to hold now, and what it holds."""

    wanted: Content | None
    found: Content | None


def with_origins(
    drift: tuple[Drift, ...],
    desired: Desired,
    observed: Mapping[str, ObservedServer],
    table: ServiceTable,
    proofs: Proofs,
) -> tuple[Drift, ...]:
    """Say of every difference where it comes from. ``desired``: what was compared."""
    sights = {server.name: see(server, observed[server.name], table) for server in desired.servers}
    return tuple(replace(each, origin=_origin(each, desired, sights.get(each.server), proofs)) for each in drift)


def _origin(drift: Drift, desired: Desired, sight: Sight | None, proofs: Proofs) -> Origin:
    if drift.reason == "not-issued":
        return Origin(kind="inventory")
    server = proofs.servers.get(drift.server)
    if proofs.fault is not None or server is None or sight is None:
        return Origin(kind="unknown", why=proofs.fault or NO_RUN)
    broken = server.open
    if broken is not None or drift.reason in BY_RUNS:
        return Origin(kind="unknown", run=broken, why=f"run {broken} broke off here" if broken else AS_LEFT)
    proof = server.slots.get(drift.slot or SERVER)
    if proof is None:
        return _unproven(drift, server)
    return judge(drift.reason, proof, _place(drift, desired, sight))


def _unproven(drift: Drift, server: ServerProofs) -> Origin:
    gained = server.named is not None and (drift.slot or SERVER) not in server.named
    return Origin(kind="inventory") if gained else Origin(kind="unknown", why=NEVER_RIGHT)


def _place(drift: Drift, desired: Desired, sight: Sight) -> Sides:
    if drift.slot is None:
        return Sides(wanted=Content(file=str(sight.wanted.release)), found=Content(file=drift.found))
    database = next((each for each in desired.databases if drift.slot == f"database/{each.name}"), None)
    if database is not None:
        return Sides(wanted=wanted_of_member(database, sight.name), found=found_of_member(database, sight))
    slot = sight.wanted.slot(drift.slot)
    return Sides(wanted=None if slot is None else wanted_content(slot), found=found_content(sight, drift.slot))


def judge(reason: str, proof: Proof, place: Sides) -> Origin:
    """Hold what is wanted and found against what was proven last."""
    told = Origin(kind="server", at=proof.at, run=proof.run)
    if place.found is None:
        return replace(told, kind="unknown", why=NOT_READ)
    if not holds(place.found, proof.content):
        return told
    if reason in BY_TIME:
        return replace(told, kind="time")
    if reason in BY_CONTENT:
        asks_more = not proof.wanted or place.wanted != proof.content
        return replace(told, kind="inventory") if asks_more else told
    return told if proof.wanted else replace(told, kind="unknown", why=AS_LEFT)
