"""``rollback``: takes a whole run back, with a plan like any other: shown, refused or confirmed, run, verified.

What a run did stands in its directory; what is there now, the servers tell. Of the inventory only addresses, logins and
policies count: it may have changed since, and its certificates need not be at hand.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from cmscert import __version__
from cmscert.app.apply import agreed
from cmscert.app.fleet import PARALLEL, Sighted, entries, observe, reach, sight
from cmscert.app.holding import dead_runs, on_this_machine
from cmscert.app.inventory import Chosen
from cmscert.app.plan import missed
from cmscert.app.plan_file import load_plan
from cmscert.app.ports import Ports
from cmscert.app.running import ApplyResult, Running, Talk, World, writer_for
from cmscert.app.runs import state_dir_for
from cmscert.app.unfinished import find_unfinished
from cmscert.apply.before import read_observed
from cmscert.apply.disk import open_regular
from cmscert.apply.journal import PLAN_FILE
from cmscert.apply.runs import LEAVES, RunRecord, find_run, list_runs
from cmscert.apply.saved import SAVED, is_public
from cmscert.apply.stop import Stop
from cmscert.errors import Fault, InputError, NodeError
from cmscert.inventory.load import Loaded, read_outline
from cmscert.inventory.outline import Outline
from cmscert.mmp.services import SERVICES
from cmscert.mmp.typed import typed
from cmscert.model.desired import Desired, LookedAt, WantedServer
from cmscert.model.events import CommandSent, Event, Outcome, StepEnded
from cmscert.model.plan import Plan
from cmscert.model.unfinished import Unfinished
from cmscert.planning.make import Planned
from cmscert.planning.past import Past, Place, looking
from cmscert.planning.rollback import make_rollback

LARGEST_SAVED = 1 << 20
"""Bytes of a kept file; certificates are far smaller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackOptions:
    """What a person may choose.

    ``inventory``: None stands for the one that the run went by. ``state_dir``: None stands for ``.cmscert`` beside
    ``inventory``, or in the working folder. ``allow``: guards to lift.
    """

    inventory: Path | None = None
    state_dir: Path | None = None
    allow: tuple[str, ...] = ()
    parallel: int = PARALLEL
    rollback: bool = True


async def rollback(
    name: str, ports: Ports, talk: Talk, *, now: datetime, stop: Stop, options: RollbackOptions
) -> ApplyResult:
    """Take a run back, by its id or the beginning of it.

    Raises InputError and SecretError before any connection; LockHeld, GuardRefused and NotConfirmed before any change;
    JournalError when the journal cannot be opened.
    """
    state_dir, found = _found(name, options)
    fleet = read_past(found).plan.fleet
    writer = writer_for(fleet, ports.clock(), command="rollback", allow=options.allow)
    run = Running(
        ports=ports,
        talk=talk,
        stop=stop,
        writer=writer,
        inventory=options.inventory or _inventory_of(found, state_dir),
        state_dir=state_dir,
        rollback=options.rollback,
        rolls_back=found.id,
    )
    with on_this_machine(state_dir, writer, ports):
        record, later = _told_now(found, state_dir)
        past = _remembered(record, later, find_unfinished(state_dir, fleet, own=writer.run))
        chosen = _choose(run.inventory, past)
        entry = entries(chosen.loaded.logins, chosen.fleet.servers, chosen.folder)
        dead = dead_runs(state_dir, fleet, writer.machine)
        async with reach(entry, ports.writer, parallel=options.parallel) as reached:
            sighted = await observe(reached, chosen.fleet, entry, ports)
            planned = _planned(past, chosen, sighted, now, dead)
            if planned.plan.complete and not planned.plan.refusals:
                planned = replace(planned, settles=_settles(record, later))
            return await agreed(chosen, planned, World(reached, sighted), run)


@dataclass(frozen=True, slots=True, kw_only=True)
class WayBack:
    """The plan that takes a run back.

    ``failures``: why servers could not be read. ``kept``: where what it uploads lies, as ``material_at_hand`` says it.
    """

    plan: Plan
    failures: Mapping[str, NodeError]
    kept: Mapping[str, tuple[str, ...]]


async def way_back(name: str, ports: Ports, *, now: datetime, options: RollbackOptions) -> WayBack:
    """Plan the way back of a run, as ``rollback`` does, through sessions that cannot write; no lock is taken.

    Raises InputError and SecretError.
    """
    state_dir, found = _found(name, options)
    record, later = _told_now(found, state_dir)
    fleet = read_past(record).plan.fleet
    past = _remembered(record, later, find_unfinished(state_dir, fleet))
    chosen = _choose(options.inventory or _inventory_of(found, state_dir), past)
    entry = entries(chosen.loaded.logins, chosen.fleet.servers, chosen.folder)
    sighted = await sight(entry, ports.reader, chosen.fleet, ports, parallel=options.parallel)
    made = _planned(past, chosen, sighted, now, dead_runs(state_dir, fleet, platform.node()))
    kept = {
        f"sha256:{sha256(content).hexdigest()}": (f"{record.folder / SAVED / server / file}, as it is",)
        for (server, file), content in past.kept.items()
    }
    return WayBack(plan=made.plan, failures=missed(chosen, sighted), kept=kept)


def _told_now(found: RunRecord, state_dir: Path) -> tuple[RunRecord, tuple[RunRecord, ...]]:
    """Read a run, and those on its fleet after it, once nobody changes the fleet any more."""
    records = list_runs(state_dir, fleet=found.fleet)
    place = [each.id for each in records].index(found.id)
    return records[place], records[place + 1 :]


def _remembered(record: RunRecord, later: tuple[RunRecord, ...], unfinished: Unfinished) -> Past:
    """Put together what the run did, what later ones changed, and what any of them left unproven."""
    changed: list[tuple[str, frozenset[Place]]] = []
    for each in later:
        with suppress(InputError):  # one that cannot be read is not named, that is all
            changed.append((each.id, read_past(each).changed()))
    return replace(read_past(record), later=tuple(changed), left=unfinished.touched, torn=unfinished.torn)


def _settles(record: RunRecord, later: tuple[RunRecord, ...]) -> tuple[str, ...]:
    """Return the runs that nobody has to hear of again: this one, and rollbacks of it that died."""
    mine = (record, *(each for each in later if each.text("rolls_back") == record.id))
    return tuple(each.id for each in mine if each.result in LEAVES)


def _planned(past: Past, chosen: Chosen, sighted: Sighted, now: datetime, dead: frozenset[str]) -> Planned:
    planned = make_rollback(
        past,
        sighted.observed,
        chosen.fleet,
        table=SERVICES,
        moment=now,
        tool_version=__version__,
        dead=dead,
    )
    plan = planned.plan
    try:
        for step in plan.steps:
            for action in (step.action, step.undo or step.action):
                typed(action, step.server, plan, SERVICES)
    except ValueError as error:
        message = f"the plan of run {past.run} holds what cannot be typed: {error}"
        raise InputError([Fault(message=message, reason="plan")]) from error
    return planned


def _found(name: str, options: RollbackOptions) -> tuple[Path, RunRecord]:
    """Find a run, and the directory that it is in. Raises InputError."""
    state_dir = state_dir_for(options.state_dir, options.inventory, working=Path())
    if state_dir is None:
        fault = Fault(message="there are no runs in the working folder", reason="run")
        raise InputError([fault], hint="name the inventory with --inventory, or the journals with --state-dir")
    return state_dir, find_run(state_dir, name, inventory=None if options.inventory is None else options.inventory.name)


def read_past(record: RunRecord) -> Past:
    """Read what a run did. Raises InputError for a journal or plan that cannot be trusted to the end."""
    if record.fault is not None:
        raise InputError(
            [record.fault], hint="what it did after that is not known: look at the servers with cmscert status"
        )
    plan = load_plan(record.folder / PLAN_FILE)
    past = Past(run=record.id, plan=plan, outcomes=_outcomes(plan, record.events))
    try:
        before = read_observed(record.folder)
    except InputError:  # of a release that did not write it: contents are compared with the copies alone
        before = {}
    services = [(name, service) for name, each in before.items() for service in each.services.values()]
    return replace(
        past,
        held={(name, file): sha256 for name, each in before.items() for file, sha256 in each.contents.items()},
        bound={(name, slot): binding for name, service in services for slot, binding in service.bindings.items()},
        seen=frozenset(before),
        answered=frozenset((name, slot) for name, each in before.items() for slot in each.served),
        kept=_kept(record.folder, past.servers),
    )


def _outcomes(plan: Plan, events: tuple[Event, ...]) -> dict[str, Outcome | None]:
    """Say of every step of which anything was sent how it ended."""
    known = {step.id for step in plan.steps}
    outcomes: dict[str, Outcome | None] = {}
    for event in events:
        if isinstance(event, CommandSent) and event.step in known:
            outcomes[event.step] = None
        elif isinstance(event, StepEnded) and event.step in outcomes:
            outcomes[event.step] = event.outcome
    return outcomes


def _kept(run: Path, servers: tuple[str, ...]) -> Mapping[Place, bytes]:
    """Read the public files that the run saved; what is no regular file, or too large, is none of them."""
    found: dict[Place, bytes] = {}
    for server in servers:
        folder = run / SAVED / server
        if folder.name != server:  # a plan of somebody else's making may name other places
            continue
        for path in sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else ():
            try:
                with open_regular(path) as file:
                    content = file.read(LARGEST_SAVED + 1)
            except OSError:
                continue
            if len(content) <= LARGEST_SAVED and is_public(path.name, content):
                found[server, path.name] = content
    return found


def _inventory_of(record: RunRecord, state_dir: Path) -> Path:
    """Find the inventory that a run went by, from where its journal is."""
    path, name = record.text("inventory_path"), record.text("inventory")
    found = state_dir / path if path is not None else state_dir.parent / name if name is not None else None
    if found is None or not found.is_file():
        said = f"the inventory of run {record.id} is not at {found}" if found else f"run {record.id} names no inventory"
        raise InputError([Fault(message=said, reason="inventory")], hint="name it with --inventory FILE")
    return found


def _choose(inventory: Path, past: Past) -> Chosen:
    """Take addresses, logins and policies of an inventory, and let what the run touched be looked at.

    Raises InputError for an inventory of another fleet, or without a server that the run touched.
    """
    outline = read_outline(inventory)
    fault = None
    if outline.fleet != past.plan.fleet:
        fault = f"run {past.run} changed fleet {past.plan.fleet}, this is the inventory of {outline.fleet}"
    changed = frozenset(past.servers)
    missing = sorted(changed - {server.name for server in outline.servers})
    if missing and fault is None:
        fault = f"run {past.run} changed {', '.join(missing)}, which this inventory does not name any more"
    if fault is not None:
        raise InputError(
            [Fault(file=str(inventory), message=fault, reason="inventory")],
            hint="name the inventory of that time with --inventory FILE",
        )
    fleet = looking(past, _desired(outline))
    touched = replace(fleet, servers=tuple(server for server in fleet.servers if server.name in changed))
    logins = {server.name: server.login for server in outline.servers}
    loaded = Loaded(desired=_desired(outline), keys={}, logins=logins, warnings=(), outline=outline)
    return Chosen(loaded=loaded, desired=touched, fleet=fleet, folder=inventory.parent, select=())


def _desired(outline: Outline) -> Desired:
    """Want nothing, and look at everything that the inventory names."""
    servers = tuple(
        WantedServer(
            name=server.name,
            address=server.address,
            fqdn=server.fqdn,
            release=server.release,
            roles=server.roles,
            labels=server.labels,
            looked_at=tuple(
                LookedAt(slot=slot.slot, tag=slot.tag, address=slot.address, port=slot.port) for slot in server.slots
            ),
        )
        for server in outline.servers
    )
    return Desired(fleet=outline.fleet, servers=servers, policy=outline.policy, inventory_sha256=outline.sha256)
