"""Which differences people made on a server, and which only the inventory has gained since."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from cmscert.mmp.services import SERVICES
from cmscert.model.desired import Awaited, Bundle, Desired, Minting, Policy
from cmscert.model.events import Outcome
from cmscert.model.names import Release
from cmscert.model.observed import Binding, ObservedServer
from cmscert.model.origin import Content, Origin, Proof, Proofs, ServerProofs
from cmscert.model.plan import Drift, Rebind, RemoveFiles, Step
from cmscert.model.readings import ABSENT, Known, Unread
from cmscert.planning.contents import MINTED, found_content, found_of_member, holds, wanted_of_member
from cmscert.planning.make import Planned, make_plan
from cmscert.planning.origin import AS_LEFT, BY_CONTENT, NEVER_RIGHT, NO_RUN, NOT_READ, Sides, judge, with_origins
from cmscert.planning.proving import BY_TIME, Ran, prove
from cmscert.planning.sight import see
from cmscert.testing.fleets import MOMENT, ToyFleet, identity, trusting
from cmscert.testing.toy_databases import ToyDatabases

from .conftest import Generation, after, cluster

RUN = "20261123T120000Z-abcdef"
Change = Callable[[ToyFleet, Generation, Generation], object]


def plan(desired: Desired, observed: Mapping[str, ObservedServer], select: tuple[str, ...] = ()) -> Planned:
    """Plan at the moment of the tests."""
    return make_plan(desired, observed, table=SERVICES, moment=MOMENT, tool_version="0", select=select)


@dataclass
class World:
    """A toy fleet on which runs happen; ``proofs`` are what they left."""

    fleet: ToyFleet
    proofs: Proofs = field(default_factory=Proofs)

    def run(
        self,
        ends: Callable[[Step], Outcome] = lambda _: "done",
        *,
        select: tuple[str, ...] = (),
        desired: Desired | None = None,
        rolls_back: str | None = None,
    ) -> dict[str, ObservedServer]:
        """Apply; return how the servers are afterwards, and hold that for the next look."""
        desired = desired or self.fleet.desired()
        observed = dict(self.fleet.observed())
        made = plan(desired, observed, select)
        outcomes = {step.id: ends(step) for step in made.plan.steps}
        ran = Ran(
            plan=replace(made.plan, rolls_back=rolls_back),
            outcomes=outcomes,
            desired=desired,
            observed=observed,
            contents=made.contents,
            run=RUN,
            at=MOMENT,
        )
        self.proofs = prove(ran, self.proofs, SERVICES)
        done = tuple(step for step in made.plan.steps if outcomes[step.id] == "done")
        return after(observed, replace(made, plan=replace(made.plan, steps=done)))

    def origins(self, observed: Mapping[str, ObservedServer] | None = None) -> dict[tuple[str, str | None, str], str]:
        """Look, and return where each difference comes from."""
        desired, seen = self.fleet.desired(), observed or self.fleet.observed()
        found = with_origins(plan(desired, seen).plan.drift, desired, seen, SERVICES, self.proofs)
        return {(each.server, each.slot, each.reason): each.origin.kind for each in found if each.origin is not None}


@pytest.fixture
def world(new: Generation) -> World:
    """A fleet that an apply has found as wanted."""
    made = World(cluster(new))
    made.run()
    return made


def by_hand(fleet: ToyFleet, new: Generation, old: Generation) -> None:
    """Bind another certificate on the server."""
    fleet.server("core1").hold("callbridge", (old.cluster.certificate,), bundle=new.ca.bundle)


def in_the_inventory(fleet: ToyFleet, new: Generation, old: Generation) -> None:
    """Ask for another certificate."""
    fleet.server("core1").wanted["callbridge"] = identity("callbridge", old.material("cluster"), new.corp)


def both(fleet: ToyFleet, new: Generation, old: Generation) -> None:
    """Ask for another certificate, and bind a third."""
    in_the_inventory(fleet, new, old)
    fleet.server("core1").hold("callbridge", (new.join.certificate,), bundle=new.ca.bundle)


def other_key(fleet: ToyFleet, _new: Generation, _old: Generation) -> None:
    """Put another key where the bound one is."""
    core = fleet.server("core1")
    core.keys[core.bound["callbridge"].key or ""] = "0" * 64


def closed(fleet: ToyFleet, _new: Generation, _old: Generation) -> None:
    """Let nothing answer on the port."""
    fleet.server("core1").served["callbridge"] = ABSENT


def unbound(fleet: ToyFleet, _new: Generation, _old: Generation) -> None:
    """Bind nothing."""
    fleet.server("core1").bound["callbridge"] = Binding(slot="callbridge")


def renamed(fleet: ToyFleet, new: Generation, old: Generation) -> None:
    """Bind the same content under another name, and ask for another certificate."""
    in_the_inventory(fleet, new, old)
    core = fleet.server("core1")
    core.files["hand.crt"] = core.files[core.bound["callbridge"].certificate or ""]
    core.keys["hand.key"] = core.keys[core.bound["callbridge"].key or ""]
    core.bound["callbridge"] = replace(core.bound["callbridge"], certificate="hand.crt", key="hand.key")


def more_trust(fleet: ToyFleet, new: Generation, old: Generation) -> None:
    """Let the inventory trust another CA too."""
    bundle = Bundle(name="corp", certificates=(*new.ca.bundle, *old.ca.bundle))
    fleet.server("core1").wanted["callbridge/trust-c2w"] = trusting("callbridge/trust-c2w", bundle)


def less_trust(fleet: ToyFleet, new: Generation, _old: Generation) -> None:
    """Bind a trust list that lacks the root."""
    fleet.server("core1").trust("callbridge/trust-c2w", new.ca.bundle[:-1])


def other_release(fleet: ToyFleet, _new: Generation, _old: Generation) -> None:
    """Upgrade the server."""
    seen = fleet.server("core1").observe()
    fleet.server("core1").overrides = {"release": Known(Release(3, 10)), "screens": seen.screens}


def new_slot(fleet: ToyFleet, new: Generation, _old: Generation) -> None:
    """Let the inventory name a slot that it did not name."""
    fleet.server("core1").wanted["callbridge/trust-branding"] = trusting("callbridge/trust-branding", new.corp)


TABLE: dict[str, tuple[Change, dict[tuple[str, str], str]]] = {
    "by hand": (by_hand, {("callbridge", "leaf-differs"): "server"}),
    "in the inventory": (in_the_inventory, {("callbridge", "leaf-differs"): "inventory"}),
    "both": (both, {("callbridge", "leaf-differs"): "server"}),
    "other key": (other_key, {("callbridge", "key-mismatch"): "server"}),
    "closed": (closed, {("callbridge", "not-answering"): "server"}),
    "unbound": (unbound, {("callbridge", "not-bound"): "server"}),
    "same content, other name": (renamed, {("callbridge", "leaf-differs"): "inventory"}),
    "more trust": (more_trust, {("callbridge/trust-c2w", "trust-lacks"): "inventory"}),
    "less trust": (less_trust, {("callbridge/trust-c2w", "trust-lacks"): "server"}),
    "other release": (other_release, {("", "release-differs"): "server"}),
    "new slot": (new_slot, {("callbridge/trust-branding", "trust-missing"): "inventory"}),
}


@pytest.mark.parametrize("name", TABLE)
def test_origins(name: str, world: World, new: Generation, old: Generation) -> None:
    """What changed on a server, and what only the inventory asks for since the last apply, are told apart."""
    change, wanted = TABLE[name]
    change(world.fleet, new, old)

    found = {(slot or "", reason): kind for (_, slot, reason), kind in world.origins().items()}

    assert found.items() >= wanted.items()
    assert set(found.values()) == set(wanted.values())


def test_time_is_nobody(new: Generation, aged: Generation) -> None:
    """A certificate that became due by itself was changed by nobody; one that was bound by hand was."""
    world = World(cluster(aged))
    world.run()
    calm = world.origins()
    world.fleet.server("core1").hold("callbridge", (aged.join.certificate,), bundle=aged.ca.bundle)
    touched = world.origins()
    world.fleet.server("core1").wanted["callbridge"] = identity("callbridge", new.material("cluster"), new.corp)

    assert set(calm.values()) == {"time"}
    assert touched["core1", "callbridge", "expires-soon"] == "server"
    assert touched["core2", "callbridge", "expires-soon"] == "time"
    assert world.origins()["core2", "callbridge", "expires-soon"] == "time"


def test_without_a_proof_it_cannot_be_told(world: World, new: Generation, old: Generation) -> None:
    """No journal, a damaged one, a run that broke off, a slot that was never right: each says why."""
    by_hand(world.fleet, new, old)
    desired, seen = world.fleet.desired(), world.fleet.observed()
    drift = plan(desired, seen).plan.drift
    core = world.proofs.servers["core1"]

    def why(proofs: Proofs) -> set[Origin | None]:
        return {each.origin for each in with_origins(drift, desired, seen, SERVICES, proofs)}

    broken = Proofs(servers={"core1": replace(core, open=RUN)})
    never = Proofs(servers={"core1": replace(core, slots={})})
    unseen = Proofs(servers={"core1": ServerProofs()})
    assert why(Proofs()) == {Origin(kind="unknown", why=NO_RUN)}
    assert why(Proofs(fault="it is damaged")) == {Origin(kind="unknown", why="it is damaged")}
    assert why(broken) == {Origin(kind="unknown", run=RUN, why=f"run {RUN} broke off here")}
    assert why(never) == why(unseen) == {Origin(kind="unknown", why=NEVER_RIGHT)}


def test_what_a_run_left_in_the_open_cannot_be_told(world: World) -> None:
    """A service that a run stopped is no work of people; a server that nobody wants is not known."""
    left = Drift(server="core1", slot="turn", reason="stopped-by-run", wanted="it runs", found="stopped")
    gone = replace(left, server="core9", reason="leaf-differs")
    desired, seen = world.fleet.desired(), world.fleet.observed()

    found = with_origins((left, gone), desired, seen, SERVICES, world.proofs)

    assert [each.origin for each in found] == [
        Origin(kind="unknown", why=AS_LEFT),
        Origin(kind="unknown", why=NO_RUN),
    ]


def test_what_is_not_issued_is_asked_for(world: World) -> None:
    """A certificate that an issuer still owes is a matter of the inventory, whatever the journal knows."""
    owed = Drift(server="core1", slot="turn", reason="not-issued", wanted="certificate join", found="asked for")

    [found] = with_origins((owed,), world.fleet.desired(), world.fleet.observed(), SERVICES, Proofs())

    assert found.origin == Origin(kind="inventory")


def test_an_apply_moves_the_proofs(new: Generation, old: Generation) -> None:
    """After a change of CA everything that was changed is proven anew, and what is wanted next is pending."""
    world = World(cluster(new, old))
    before = world.origins()
    seen = world.run()
    in_the_inventory(world.fleet, new, old)

    assert set(before.values()) == {"unknown"}
    assert world.origins(seen) == {("core1", "callbridge", "leaf-differs"): "inventory"}
    assert {proof.run for proof in world.proofs.servers["edge1"].slots.values()} == {RUN}


def test_a_service_that_went_back_keeps_its_proof(world: World, new: Generation, old: Generation) -> None:
    """What a failed run took back is as it was before it: still pending, not changed by people."""
    in_the_inventory(world.fleet, new, old)
    seen = world.run(lambda step: "undone" if isinstance(step.action, Rebind) else "done")

    assert world.origins(seen) == {("core1", "callbridge", "leaf-differs"): "inventory"}


def test_a_run_that_left_a_server_tells_nothing_of_it(world: World, new: Generation, old: Generation) -> None:
    """Where a way back failed, people and run cannot be told apart until the next apply; other servers can."""
    in_the_inventory(world.fleet, new, old)
    less_trust(world.fleet, new, old)
    world.fleet.server("core2").hold("callbridge", (new.join.certificate,), bundle=new.ca.bundle)
    seen = world.run(lambda step: "left" if step.server == "core1" else "skipped")
    found = world.origins(seen)
    mended = world.run()

    assert {kind for (server, *_), kind in found.items() if server == "core1"} == {"unknown"}
    assert {kind for (server, *_), kind in found.items() if server == "core2"} == {"server"}
    assert world.origins(mended) == {}
    assert world.proofs.servers["core1"].open is None


def test_what_a_run_did_not_finish_is_pending(new: Generation, old: Generation) -> None:
    """Trust that was only added to is as the run left it: nobody changed it, and the inventory asks for the rest."""
    world = World(cluster(new, old))
    bound: list[Rebind] = []

    def ends(step: Step) -> Outcome:
        if bound:
            return "skipped"
        bound.extend([step.action] if isinstance(step.action, Rebind) else [])
        return "done"

    found = world.origins(world.run(ends))

    slots = {binding.slot for binding in bound[0].bindings}
    assert {kind for (_, slot, _), kind in found.items() if slot in slots} >= {"inventory"}
    assert "server" not in found.values()


def test_a_removal_changes_no_proof(world: World, new: Generation, old: Generation) -> None:
    """A run whose last step failed has changed everything else."""
    world = World(cluster(new, old))
    seen = world.run(lambda step: "failed" if isinstance(step.action, RemoveFiles) else "done")

    assert world.origins(seen) == {}


def test_a_selection_proves_what_it_looked_after(world: World, new: Generation, old: Generation) -> None:
    """With --select others keep what they had; a slot that the inventory gained meanwhile is still a gain."""
    new_slot(world.fleet, new, old)
    whole = world.fleet.desired()
    core2 = replace(whole, servers=(whole.server("core2"),))
    before = world.proofs.servers["core1"]
    world.run(select=("server=core2",), desired=core2)
    fresh = World(world.fleet)
    fresh.run(select=("server=core2",), desired=core2)

    assert world.proofs.servers["core1"] == before
    assert world.origins() == {("core1", "callbridge/trust-branding", "trust-missing"): "inventory"}
    assert fresh.proofs.servers["core2"].named is None
    assert set(fresh.origins().values()) == {"unknown"}


def test_unreached_servers_keep_their_proofs(world: World) -> None:
    """A run that could not read a server says nothing of it; a slot that could not be read is not proven."""
    before = world.proofs.servers
    world.fleet.server("core1").unreachable = "no answer"
    edge = world.fleet.server("edge1").observe()
    blank = dict.fromkeys(edge.contents, Unread("no answer"))
    world.fleet.server("edge1").overrides = {"contents": blank}
    world.fleet.server("edge2").overrides = {"screens": {**edge.screens, "turn": Unread("no answer")}}
    world.proofs = Proofs(servers={"core1": before["core1"]})
    world.run()

    assert world.proofs.servers["core1"] == before["core1"]
    assert set(world.proofs.servers["edge1"].slots) == {"server"}
    assert "turn" not in world.proofs.servers["edge2"].slots


def test_a_roll_back_leaves_what_is_pending(world: World, new: Generation, old: Generation) -> None:
    """What a roll back bound again was changed by nobody: the inventory asks for more. Then people change it."""
    fleet = cluster(old, new)
    taken = World(fleet, world.proofs)
    seen = taken.run(rolls_back=RUN)  # it binds what ``old`` holds
    world.proofs = taken.proofs
    found = world.origins(seen)

    content = {kind for (_, _, reason), kind in found.items() if reason in BY_CONTENT}
    assert content == {"inventory"}
    assert set(world.origins().values()) == set()
    by_hand(world.fleet, new, old)
    assert set(world.origins().values()) == {"server"}


def test_a_roll_back_to_what_was_broken_cannot_be_told() -> None:
    """Where a run left something that was never as wanted, other faults in it may be older."""
    here = Content(file="a", bundle=None)
    proof = Proof(at=MOMENT, run=RUN, content=here, wanted=False)
    sides = Sides(wanted=Content(file="b"), found=here)

    assert judge("key-mismatch", proof, sides) == Origin(kind="unknown", at=MOMENT, run=RUN, why=AS_LEFT)
    assert judge("leaf-differs", proof, sides).kind == "inventory"
    assert judge("key-mismatch", replace(proof, wanted=True), sides).kind == "server"
    assert judge("leaf-differs", proof, replace(sides, found=None)).why == NOT_READ


def test_a_bundle_that_nobody_wanted_is_of_no_matter() -> None:
    """Where the inventory gives a slot no bundle, one that is bound there changes nothing."""
    assert holds(Content(file="a", bundle="x"), Content(file="a"))
    assert not holds(Content(file="a"), Content(file="a", bundle="x"))
    assert not holds(Content(file="b"), Content(file="a"))


def test_what_changed_and_cannot_be_read_is_proven_no_more(world: World) -> None:
    """A slot that a run bound to a file that nobody has read has no proof."""
    desired = world.fleet.desired()
    blind = dict(world.fleet.observed())
    step = Step(
        id="s1",
        server="core1",
        slot="callbridge",
        because=(),
        action=Rebind(service="callbridge", bindings=(Binding(slot="callbridge", key="x.key", certificate="x.crt"),)),
    )
    seen = blind["core1"]
    files = seen.files.value if isinstance(seen.files, Known) else ()
    blind["core1"] = replace(seen, files=Known((*files, "x.crt", "x.key")))
    ran = Ran(
        plan=replace(plan(desired, world.fleet.observed()).plan, steps=(step,)),
        outcomes={"s1": "done"},
        desired=desired,
        observed=blind,
        contents={},
        run=RUN,
        at=MOMENT,
    )

    assert "callbridge" in world.proofs.servers["core1"].slots
    assert "callbridge" not in prove(ran, world.proofs, SERVICES).servers["core1"].slots


def test_a_release_is_proven_when_it_is_the_wanted_one(new: Generation, old: Generation) -> None:
    """A server of another release than wanted has no proof of it; one of which none is wanted neither."""
    world = World(cluster(new))
    other_release(world.fleet, new, old)
    desired = world.fleet.desired()
    servers = tuple(replace(each, release=None) if each.name == "core2" else each for each in desired.servers)
    world.run(desired=replace(desired, servers=servers))

    assert [name for name, each in world.proofs.servers.items() if "server" in each.slots] == ["edge1", "edge2"]


def test_what_is_awaited_is_named(world: World) -> None:
    """A slot whose certificate was not issued yet was named by the inventory, and never as wanted."""
    owed = Awaited(server="core1", slot="turn", certificate="join", why="asked for")
    bare = replace(world.fleet.desired(), awaited=(owed,), policy=Policy())
    world.run(desired=bare)

    named = world.proofs.servers["core1"].named
    assert named is not None
    assert "turn" in named


def test_reasons_are_of_one_kind() -> None:
    """No reason comes both with time and with the inventory."""
    assert not BY_TIME & BY_CONTENT


def finished(planned: Planned, toys: ToyDatabases, observed: Mapping[str, ObservedServer], outcome: Outcome) -> Ran:
    """Return a run on databases whose steps, but for the backups, all ended the same way."""
    return Ran(
        plan=planned.plan,
        outcomes={step.id: "done" if step.action.kind == "db-backup" else outcome for step in planned.plan.steps},
        desired=toys.desired(),
        observed=observed,
        contents=planned.contents,
        run=RUN,
        at=MOMENT,
    )


async def test_databases(tmp_path: Path) -> None:
    """A rebuilt cluster is proven; then other material in the inventory is pending, and other material on it is not."""
    toys = ToyDatabases(folder=tmp_path)
    before, planned = await toys.observe(), await toys.plan()
    await toys.apply(planned)
    after_all = await toys.observe()
    proofs = prove(finished(planned, toys, before, "done"), Proofs(), SERVICES)
    desired = toys.desired()
    [database] = desired.databases
    swapped = dict.fromkeys(database.members, database.server["core1"])
    more = replace(desired, databases=(replace(database, client=swapped),))

    def kinds(wanted: Desired, seen: Mapping[str, ObservedServer], known: Proofs = proofs) -> set[tuple[str, str]]:
        drift = with_origins(plan(wanted, seen).plan.drift, wanted, seen, SERVICES, known)
        return {(each.reason, each.origin.kind) for each in drift if each.origin is not None}

    assert kinds(desired, after_all) == set()
    assert kinds(more, after_all) == {("database-client-differs", "inventory")}
    assert kinds(desired, before) >= {("database-client-differs", "server"), ("expires-soon", "server")}
    unread = prove(finished(await toys.plan(), toys, after_all, "done"), Proofs(), SERVICES)
    assert unread.servers["core2"].slots == proofs.servers["core2"].slots


async def test_a_rebuild_that_stops_proves_nothing(tmp_path: Path) -> None:
    """Backups alone change nothing; once a member has left, what was proven of it holds no more."""
    toys = ToyDatabases(folder=tmp_path)
    before, planned = await toys.observe(), await toys.plan()
    known = prove(finished(planned, toys, before, "done"), Proofs(), SERVICES)
    halted = prove(finished(planned, toys, before, "skipped"), known, SERVICES)
    part = finished(planned, toys, before, "done")
    last = planned.plan.steps[-1].id
    broken = prove(replace(part, outcomes={**part.outcomes, last: "failed"}), known, SERVICES)

    assert halted.servers["core2"].slots == known.servers["core2"].slots
    assert "database/main" not in broken.servers["core2"].slots


async def test_material_that_cms_makes_has_no_content(tmp_path: Path) -> None:
    """Of minted material only what is not as wanted is told, and that is a matter of the server."""
    toys = ToyDatabases(folder=tmp_path)
    desired, seen = toys.desired(), await toys.observe()
    [database] = desired.databases
    minting = Minting(
        server="core1", ca="dbca", ca_common_name="ca", server_certificate="s", server_common_name="core1.example.com"
    )
    sight = see(desired.server("core1"), seen["core1"], SERVICES)
    blank = replace(sight, observed=replace(sight.observed, contents={}))
    nothing = replace(sight, observed=replace(sight.observed, database=ABSENT))
    minted = replace(database, minting=minting)

    assert wanted_of_member(minted, "core1") == found_of_member(minted, sight) == MINTED
    assert found_of_member(minted, nothing) is None
    assert found_of_member(database, blank) is None
    assert found_of_member(database, sight) is not None


def test_what_was_not_read_has_no_content(world: World) -> None:
    """A service without a screen, and a slot with a file that was not read, hold nothing that can be compared."""
    desired, edge = world.fleet.desired(), world.fleet.server("edge1").observe()
    sight = see(desired.server("edge1"), edge, SERVICES)
    no_screen = replace(sight, observed=replace(edge, screens={}))
    no_files = replace(sight, observed=replace(edge, contents={}))

    assert found_content(no_screen, "turn") is None
    assert found_content(no_files, "turn") is None
