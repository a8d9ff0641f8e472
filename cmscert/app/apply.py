"""``apply``: plan, or take a saved plan; show it, then refuse or ask; run it.

A saved plan is applied only when everything it was made from is still so (law 5): tool, inventory, what every server
shows, and the steps that follow from these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from cmscert import __version__
from cmscert.app.fleet import PARALLEL, entries, observe, reach
from cmscert.app.holding import on_this_machine
from cmscert.app.inventory import Chosen, choose
from cmscert.app.plan import compare, members_of, missed, recall, state_dir_of
from cmscert.app.plan_file import load_plan
from cmscert.app.ports import Ports
from cmscert.app.proofs import keep_proofs
from cmscert.app.running import ApplyResult, Running, Talk, World, carry_out, ran, writer_for
from cmscert.app.unfinished import looking_at, settle_runs
from cmscert.apply.stop import Stop
from cmscert.errors import GuardRefused, JournalError, NodeError, NotConfirmed, StalePlan
from cmscert.model.observed import ObservedServer
from cmscert.model.plan import Gate, Plan, Refusal, Step
from cmscert.planning.basis import moved
from cmscert.planning.make import Planned

STALE_HINT = "make a new plan with cmscert plan --save, and have it reviewed again"

MOST_TOLD = 4
"""Differences of one server that are told; the rest is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyOptions:
    """What a person may choose.

    ``allow``: guards to lift. ``saved``: a plan file. ``state_dir``: None stands for ``.cmscert`` beside the inventory.
    """

    select: tuple[str, ...] = ()
    saved: Path | None = None
    allow: tuple[str, ...] = ()
    parallel: int = PARALLEL
    rollback: bool = True
    state_dir: Path | None = None


async def apply(
    inventory: Path, ports: Ports, talk: Talk, *, now: datetime, stop: Stop, options: ApplyOptions
) -> ApplyResult:
    """Plan, show, ask, run.

    Raises InputError and SecretError before any connection; StalePlan, GuardRefused and NotConfirmed before any
    change; JournalError when the journal cannot be opened.
    """
    saved = None if options.saved is None else load_plan(options.saved)
    chosen = choose(inventory, now=now, select=options.select if saved is None else saved.select)
    if saved is not None:
        check_basis(saved, chosen)
    state_dir = state_dir_of(chosen, options.state_dir)
    writer = writer_for(chosen.fleet.fleet, ports.clock(), command="apply", allow=options.allow)
    run = Running(
        ports=ports,
        talk=talk,
        stop=stop,
        writer=writer,
        inventory=inventory,
        state_dir=state_dir,
        rollback=options.rollback,
    )
    with on_this_machine(state_dir, writer, ports):
        recalled = recall(chosen, state_dir, own=writer.run)
        chosen = replace(chosen, fleet=looking_at(chosen.fleet, recalled.unfinished, chosen.loaded.desired))
        entry = entries(chosen.loaded.logins, chosen.fleet.servers, chosen.folder)
        async with reach(entry, ports.writer, parallel=options.parallel) as reached:
            sighted = await observe(reached, chosen.fleet, entry, ports, members=members_of(chosen))
            planned = compare(chosen, sighted, now, recalled)
            if saved is not None:
                then = compare(chosen, sighted, saved.made_at, recalled)
                planned = check_saved(saved, planned, then, sighted.observed)
            world = World(reached, sighted)
            return await agreed(chosen, planned, world, run)


async def agreed(chosen: Chosen, planned: Planned, world: World, run: Running) -> ApplyResult:
    """Show a plan, refuse or ask, and carry it out. Raises GuardRefused, NotConfirmed and what ``carry_out`` does."""
    failures = missed(chosen, world.sighted)
    run.talk.show(planned.plan)
    refuse(planned.plan.refusals, run.writer.allow, failures)
    if not any(not isinstance(step.action, Gate) for step in planned.plan.steps):
        _settle(planned, run)
        if planned.plan.rolls_back is None:
            keep_proofs(run.state_dir, ran(chosen, planned, world, run, None), run.ports.note, own=run.writer.run)
        return ApplyResult(plan=planned.plan, result=None, failures=failures)
    if not await run.talk.confirm(planned.plan):
        raise NotConfirmed("nothing was changed: the plan was not confirmed")
    done = await carry_out(chosen, planned, world, run)
    if done.result is not None and done.result.result == "applied":
        _settle(planned, run)
    return done


def _settle(planned: Planned, run: Running) -> None:
    """Note of earlier runs that nothing of them is left to do; that it cannot be noted is no fault of this run."""
    try:
        settle_runs(run.state_dir, planned.settles, by=run.writer.run, at=run.ports.clock())
    except JournalError as error:
        run.ports.say(f"{error.message}; {error.hint}")


def refuse(
    refusals: tuple[Refusal, ...], allow: tuple[str, ...], failures: Mapping[str, NodeError] | None = None
) -> None:
    """Raise GuardRefused when a guard holds that nobody lifted.

    ``failures``: why servers could not be read; what mends that comes before what goes on without them.
    """
    held = [refusal for refusal in refusals if not refusal.liftable or refusal.guard not in allow]
    if not held:
        return
    told = "; ".join(f"{each.server + ': ' if each.server else ''}{each.message} ({each.guard})" for each in held)
    lifts = list(dict.fromkeys(f"--allow {each.guard}" for each in held if each.liftable))
    fixed = list(dict.fromkeys(each.guard for each in held if not each.liftable))
    hint = f"if that is meant: {' '.join(lifts)}" if lifts and not fixed else f"nothing lifts {', '.join(fixed)}"
    mends = dict.fromkeys(error.hint for error in (failures or {}).values() if error.hint)
    more = f"more: cmscert explain {held[0].guard}"
    raise GuardRefused(f"nothing was changed: {told}", hint="; ".join([*mends, hint, more]))


def check_basis(saved: Plan, chosen: Chosen) -> None:
    """Raise StalePlan unless tool and inventory are those that the plan was made with."""
    desired = chosen.loaded.desired
    if saved.rolls_back is not None:
        raise StalePlan(
            f"the plan takes run {saved.rolls_back} back, it is not made of the inventory",
            hint=f"cmscert rollback {saved.rolls_back} plans that anew",
        )
    if saved.fleet != desired.fleet:
        raise StalePlan(
            f"the plan is for fleet {saved.fleet}, the inventory for {desired.fleet}", hint="take the right inventory"
        )
    if saved.tool_version != __version__:
        raise StalePlan(
            f"the plan was made by cmscert {saved.tool_version}, this is {__version__}: their steps may differ",
            hint=STALE_HINT,
        )
    if saved.inventory_sha256 != desired.inventory_sha256:
        raise StalePlan(
            "the inventory, or a certificate that it names, has changed since the plan was made", hint=STALE_HINT
        )


def check_saved(
    saved: Plan, fresh: Planned, then: Planned, observed: Mapping[str, ObservedServer] | None = None
) -> Planned:
    """Hold a saved plan against what the servers show. Raises StalePlan, naming the servers that differ and how.

    ``fresh`` is the plan of this moment, whose guards and notices count; ``then`` the one at the saved plan's moment,
    whose steps must be the saved ones.
    """
    basis = then.plan.basis
    others = sorted(name for name in saved.basis.keys() | basis.keys() if saved.basis.get(name) != basis.get(name))
    if others:
        told = [f"{name}: {_how(saved, name, then.plan, (observed or {}).get(name))}" for name in others]
        between = "\n  " if len(told) > 1 else " "
        raise StalePlan(between.join(["no longer as the plan was made from:", *told]), hint=STALE_HINT)
    if saved.steps != then.plan.steps:
        both = (*saved.steps, *then.plan.steps)
        differ = sorted({each.server for each in both if not _in_both(each, saved, then.plan)})
        raise StalePlan(f"{', '.join(differ) or 'the fleet'}: other steps follow than the plan's", hint=STALE_HINT)
    if saved.releases != then.plan.releases:
        raise StalePlan("the servers' releases are not those that the plan names", hint=STALE_HINT)
    # Nothing of the file is believed beyond this: what is shown and typed is what was made here and found equal.
    shown = replace(then.plan, refusals=fresh.plan.refusals, notices=fresh.plan.notices, unread=fresh.plan.unread)
    return replace(then, plan=shown)


def _how(saved: Plan, server: str, then: Plan, observed: ObservedServer | None) -> str:
    if server not in saved.basis or server not in then.basis:
        return f"the plan was made {'without' if server in then.basis else 'with'} it"
    said = () if observed is None else moved(saved, server, observed)
    more = f", and {len(said) - MOST_TOLD} more" if len(said) > MOST_TOLD else ""
    return ", ".join(said[:MOST_TOLD]) + more if said else "other things were read from it"


def _in_both(step: Step, one: Plan, other: Plan) -> bool:
    return step in one.steps and step in other.steps
