"""A whole run, taken back: a plan like any other, made of what the run did and of what is there now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from cmscert.model.desired import Bundle, Desired, Material, WantedIdentity, WantedSlot, WantedTrust
from cmscert.model.observed import Binding, ObservedServer
from cmscert.model.plan import Plan
from cmscert.model.readings import Known
from cmscert.model.services import ServiceTable
from cmscert.model.unfinished import Touched
from cmscert.pki.certificate import Certificate
from cmscert.planning.basis import basis_of
from cmscert.planning.case import Case
from cmscert.planning.interrupted import Interruption
from cmscert.planning.make import Planned
from cmscert.planning.past import Past, Place, trails
from cmscert.planning.retrace import Retraced, retrace
from cmscert.planning.rollback_guards import Former, Verge, notices, refusals
from cmscert.planning.rollback_steps import draft_rollback
from cmscert.planning.sight import Sight, see
from cmscert.planning.stock import Stock, take_stock
from cmscert.planning.trust import Scope, find_views


def make_rollback(
    past: Past,
    observed: Mapping[str, ObservedServer],
    desired: Desired,
    *,
    table: ServiceTable,
    moment: datetime,
    tool_version: str,
    dead: frozenset[str] = frozenset(),
) -> Planned:
    """Plan the way back of a run. Deterministic: the same arguments give the same plan.

    ``observed``: by server name, for every server of ``desired``, which holds every server that the run touched; read
    as ``past.looking`` says. ``desired``: whose policy counts; what it wants does not. ``dead``: runs that are known to
    be over, whatever their lock files say.
    """
    sights = {server.name: see(server, observed[server.name], table) for server in desired.servers}
    retraced = retrace(past, sights)
    stock = take_stock(past, sights, retraced)
    steps, contents = draft_rollback(past, sights, desired.policy, retraced, stock)
    former = _former(past, sights, retraced, stock)
    goal = _as_wanted(sights, former)
    case = Case(
        desired=desired,
        sights=sights,
        unread=tuple(dict.fromkeys((*retraced.unread, *stock.unread))),
        drift=tuple(retraced.drift),
        views=find_views(goal, Scope(changing=frozenset(former))),
        moves={},
        steps=steps,
        moment=moment,
        dead=dead,
        mended={place: _mended(*place) for place in retraced.silent},
    )
    verge = Verge(case=case, past=past, retraced=retraced, stock=stock, former=former, goal=goal)
    bases = {name: basis_of(sight.observed) for name, sight in sights.items()}
    plan = Plan(
        made_at=moment,
        tool_version=tool_version,
        fleet=desired.fleet,
        inventory_sha256=desired.inventory_sha256,
        basis={name: digest for name, (digest, _) in bases.items()},
        basis_parts={name: parts for name, (_, parts) in bases.items()},
        unread=case.unread,
        drift=case.drift,
        steps=steps,
        refusals=refusals(verge),
        notices=notices(verge),
        releases={name: str(sight.release) for name, sight in sights.items() if sight.release is not None},
        rolls_back=past.run,
    )
    return Planned(plan=plan, contents=contents)


def _mended(server: str, service: str) -> Interruption:
    """A service that answers again when its step is done: others may stop then."""
    touched = Touched(server=server, service=service, run="", step="", served={service: ""})
    return Interruption(touched=touched, fate="start")


def _former(past: Past, sights: Mapping[str, Sight], retraced: Retraced, stock: Stock) -> Former:
    """Return every slot that is to hold again what it held before the run, by name or by content."""
    bound = trails(past)
    found: dict[Place, tuple[Binding, tuple[Certificate, ...]]] = {}
    for back in retraced.backs:
        sight = sights[back.step.server]
        for slot in back.switch.slots:
            trail = bound.get((sight.name, slot))
            binding = sight.binding(slot) if trail is None else trail.names[0]
            file = binding.certificate or binding.bundle or ""
            copied = retraced.restored.get((sight.name, file))
            found[sight.name, slot] = (
                binding,
                stock.certificates(sight, file, copy=None if copied is None else copied.copy),
            )
    restarted = {(back.step.server, back.switch.action.service) for back in retraced.backs}
    for server, sight in sights.items():
        for service, screen in sight.observed.screens.items():
            for slot, binding in screen.value.bindings.items() if isinstance(screen, Known) else ():
                file = binding.certificate or binding.bundle or ""
                copied = retraced.restored.get((server, file))
                if (server, slot) not in found and (copied is not None or (server, service) in restarted):
                    found[server, slot] = binding, stock.certificates(sight, file, copy=copied.copy if copied else None)
    return found


def _as_wanted(sights: Mapping[str, Sight], former: Former) -> dict[str, Sight]:
    """Return the fleet with what was bound before in place of what the inventory wants."""
    wanted: dict[str, list[WantedSlot]] = {name: [] for name in sights}
    for (server, _), (binding, held) in former.items():
        found = _wanted(sights[server], binding, held)
        wanted[server] += [found] if found is not None else []
    return {
        name: replace(sight, wanted=replace(sight.wanted, slots=tuple(wanted[name]))) for name, sight in sights.items()
    }


def _wanted(sight: Sight, binding: Binding, held: tuple[Certificate, ...]) -> WantedSlot | None:
    row = sight.slot(binding.slot)
    if row is None or (row.kind == "identity" and not held):
        return None
    if row.kind == "trust":
        return WantedTrust(slot=binding.slot, bundle=Bundle(name=binding.bundle or "", certificates=held))
    third = sight.certificates(binding.bundle)
    chain = held[1:] + tuple(crt for crt in third if row.third == "bundle" and crt not in held)
    return WantedIdentity(
        slot=binding.slot,
        material=Material(certificate=binding.certificate or "", leaf=held[0], chain=chain, spki=held[0].spki_sha256),
        file_certificates=held,
        bundle=Bundle(name=binding.bundle or "", certificates=third) if row.third == "trust" else None,
    )
