"""Files that a rollback needs: what is gone, what is put again, and what was overwritten under its name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cmscert.model.desired import Bundle
from cmscert.model.observed import Binding
from cmscert.model.plan import (
    CheckFiles,
    PutFile,
    Rebind,
    Restart,
    RestoreFile,
    SaveFile,
)
from cmscert.model.readings import Known, Unread
from cmscert.pki.pem import to_pem
from cmscert.testing.fleets import ToyFleet, identity, trusting

from .conftest import CORES, Generation, after, cluster
from .taken_back import RUN, Ran, changes, copies, fixed, guards, puts_of, ran, same


def before_of(made: Ran, slot: str, server: str) -> Binding:
    """Return what was bound to a slot before the run."""
    step = made.step(slot, server)
    assert isinstance(step.undo, Rebind)
    return next(binding for binding in step.undo.bindings if binding.slot == slot)


@pytest.mark.parametrize("part", ["key", "certificate", "bundle"])
def test_files_gone(part: str, new: Generation, aged: Generation) -> None:
    """A file that is not in the store any more cannot be bound again, and nothing lifts that."""
    made = ran(cluster(new, aged)).do()
    name = getattr(before_of(made, "turn", "edge1"), part)

    (refusal,) = made.lose("edge1", name).back().plan.refusals
    assert (refusal.guard, refusal.liftable) == ("files-gone", False)
    assert refusal.message == f"{name} is not in the store any more"


def test_other_bytes_than_before(new: Generation, aged: Generation) -> None:
    """A file that was bound before and holds other bytes now is as good as gone."""
    made = ran(cluster(new, aged)).do()
    name = before_of(made, "turn", "edge1").certificate or ""

    (refusal,) = made.write("edge1", name).back().plan.refusals
    assert refusal.message == f"{name} holds other bytes than before run {RUN}"


def test_a_pair_that_is_none_any_more(new: Generation, aged: Generation) -> None:
    """The server says that a key does not belong to its certificate any more."""
    made = ran(cluster(new, aged)).do()
    bound = before_of(made, "turn", "edge1")
    made.show("edge1", matches={**made.now["edge1"].matches, (bound.key, bound.certificate): Known(value=False)})

    (refusal,) = made.back().plan.refusals
    assert refusal.message == f"{bound.key} does not belong to {bound.certificate} any more"


def test_kept_files_are_put_again(new: Generation, aged: Generation) -> None:
    """Public files that the run's directory keeps are put again, and checked after that; others are not believed."""
    made = ran(cluster(new, aged)).do()
    bound = before_of(made, "turn", "edge1")
    names = [name for name in (bound.certificate, bound.bundle) if name is not None]
    files = cluster(new, aged).server("edge1").files
    kept = {("edge1", name): to_pem(files[name]) for name in names}
    made.lose("edge1", *names)
    made.more["kept"] = kept

    planned = made.back()
    puts = {step.action.file: step for step in planned.plan.steps if isinstance(step.action, PutFile)}
    check = next(
        step
        for step in planned.plan.steps
        if isinstance(step.action, CheckFiles) and step.action.certificate == bound.certificate
    )
    assert planned.plan.refusals == ()
    assert {(put.action.file, put.action.role) for put in puts.values()} == {  # type: ignore[union-attr]
        (names[0], "certificate"),
        (names[1], "bundle"),
    }
    assert {put.id for put in puts.values()} <= set(check.after)
    assert set(planned.contents.values()) == set(kept.values())
    made.more["kept"] = dict.fromkeys(kept, to_pem(new.ca.bundle[:1]))
    assert set(guards(made.back().plan)) == {"files-gone"}
    made.more.update(kept=dict.fromkeys(kept, b"damaged"), held={})
    assert set(guards(made.back().plan)) == {"files-gone"}


def test_a_copy_that_is_gone(new: Generation, aged: Generation) -> None:
    """Without its copy a certificate is put again when the run's directory keeps it; a key cannot be had."""
    made = ran(fixed(new, aged)).do()
    name, copy = next((name, copy) for name, copy in copies(made).items() if name.endswith(".crt"))
    made.lose("core1", copy)
    (refusal,) = made.back().plan.refusals
    assert refusal.guard == "files-gone"
    assert copy in refusal.message

    made.more["kept"] = {("core1", name): to_pem((aged.cluster.certificate,))}
    planned = made.back()
    put = next(step for step in planned.plan.steps if isinstance(step.action, PutFile))
    assert planned.plan.refusals == ()
    assert isinstance(put.action, PutFile)
    assert put.action.overwrites
    assert isinstance(put.undo, RestoreFile)
    assert same(made.taken_back(), made.before)
    key = next(copy for copy in copies(made).values() if copy.endswith(".key"))
    assert "files-gone" in guards(made.lose("core1", key).back().plan)


def test_a_copy_with_other_bytes(new: Generation, aged: Generation) -> None:
    """A copy that somebody overwrote is none."""
    made = ran(fixed(new, aged)).do()
    copy = next(copy for copy in copies(made).values() if copy.endswith(".crt"))

    plan = made.write("core1", copy).back().plan
    assert any("holds other bytes than it saved" in refusal.message for refusal in plan.refusals)


def test_a_rollback_of_fixed_names_taken_back_without_its_copy(new: Generation, aged: Generation) -> None:
    """What a rollback restored is overwritten again from the copy that it made, or else from what its run kept."""
    second = ran(fixed(new, aged)).do().again().do()
    name, copy = next((name, copy) for name, copy in copies(second).items() if name.endswith(".crt"))
    second.lose("core1", copy)
    second.more["kept"] = {("core1", name): to_pem((new.cluster.certificate,))}

    planned = second.back()
    assert planned.plan.refusals == ()
    assert any(isinstance(step.action, PutFile) and step.action.role == "certificate" for step in planned.plan.steps)


def test_killed_between_two_files(new: Generation, aged: Generation) -> None:
    """A key that was overwritten alone comes back before anything is restarted; nothing had loaded it."""
    made = ran(fixed(new, aged))
    steps = [step.id for step in made.planned.plan.steps]
    key = next(
        step for step in made.planned.plan.steps if isinstance(step.action, PutFile) and step.action.role == "key"
    )
    made.do(*steps[: steps.index("services") + 1]).do(key.id)

    plan = made.back().plan
    assert isinstance(key.action, PutFile)
    assert [step.action.file for step in plan.steps if isinstance(step.action, RestoreFile)] == [key.action.file]
    assert changes(plan) == []


def test_killed_in_the_middle_of_a_file(new: Generation, aged: Generation) -> None:
    """A file that was overwritten in part is brought back, whatever is in it."""
    made = ran(fixed(new, aged))
    steps = [step.id for step in made.planned.plan.steps]
    crt = next(
        step for step in made.planned.plan.steps if isinstance(step.action, PutFile) and step.action.role != "key"
    )
    assert isinstance(crt.action, PutFile)
    made.do(*steps[: steps.index("services") + 1]).begin(crt.id).write("core1", crt.action.file, b"-----BEG")

    plan = made.back().plan
    assert plan.refusals == ()
    assert [step.action.file for step in plan.steps if isinstance(step.action, RestoreFile)] == [crt.action.file]


def test_it_loaded_what_was_put_under_it(new: Generation, aged: Generation) -> None:
    """A service that came up by itself on the new file has to load the old one."""
    made = ran(fixed(new, aged))
    steps = [step.id for step in made.planned.plan.steps]
    made.do(*steps[: steps.index("services") + 1]).do(*puts_of(made))
    assert changes(made.back().plan) == []

    made.show("core1", served={**made.now["core1"].served, "webadmin": Known((new.cluster.certificate,))})
    assert changes(made.back().plan) == [("core1", "webadmin")]


def test_somebody_overwrote_it_since(new: Generation, aged: Generation) -> None:
    """A file with bytes that are neither old nor new was changed since; one that cannot be read is named."""
    made = ran(fixed(new, aged)).do()
    name = next(name for name in copies(made) if name.endswith(".crt"))

    assert "changed-since" in guards(made.write("core1", name).back().plan)
    made.show("core1", contents={**made.now["core1"].contents, name: Unread("it hung up")})
    assert ("core1", f"{name}: it could not be read") in made.back().plan.unread


def test_a_key_that_the_journal_tells_is_back(new: Generation, aged: Generation) -> None:
    """Keys are not read: the journal tells that one was taken back, or its certificate does."""
    made = ran(fixed(new, aged)).do()
    first = made.back()
    made.now = after(made.now, first)
    assert made.back().plan.steps == ()
    made.outcomes.update(dict.fromkeys(puts_of(made), "undone"))
    made.show("core1", matches={})
    assert made.back().plan.steps == ()


def test_used_by_another_service_since(new: Generation, aged: Generation) -> None:
    """A file that another service uses since the run is not overwritten under it without a word."""
    made = ran(fixed(new, aged)).do()
    bound = made.now["core1"].screen("webadmin")
    assert isinstance(bound, Known)
    made.bind("core1", replace(bound.value.binding("webadmin"), slot="turn"))

    assert set(guards(made.back().plan)) == {"shared-file"}
    made.more["seen"] = frozenset()
    assert made.back().plan.refusals == ()


def shared(new: Generation, old: Generation) -> Ran:
    """Two servers with fixed names, whose call bridges and XMPP servers share files and trust each other's leaves."""
    fleet = ToyFleet()
    for name in CORES:
        core = fleet.server(name, "2.9")
        wanted = new.material(f"node:{name}", naming="fixed")
        for slot in ("callbridge", "xmpp"):
            core.wanted[slot] = identity(slot, wanted, new.corp)
            core.hold(slot, (old.nodes[name].certificate,), bundle=new.ca.bundle)
            core.bound[slot] = replace(core.bound["callbridge"], slot=slot)
        for slot in ("callbridge/trust-cluster", "xmpp/trust-cluster"):
            leaves = Bundle(name="leaves", certificates=tuple(new.nodes[each].certificate for each in CORES))
            core.wanted[slot] = trusting(slot, leaves, leaves_of=slot.partition("/")[0])
            core.trust(slot, tuple(old.nodes[each].certificate for each in CORES))
    return ran(fleet)


def test_two_services_and_their_trust(new: Generation, old: Generation) -> None:
    """Files come back after the last restart on what they hold now, and before the first on what they held before."""
    made = shared(new, old).do()

    steps = made.back().plan.steps
    assert same(made.taken_back(), made.before)
    for name in CORES:
        mine = [step for step in steps if step.server == name]
        restores = [at for at, step in enumerate(mine) if isinstance(step.action, RestoreFile)]
        loads = [at for at, step in enumerate(mine) if {"callbridge", "xmpp"} & set((step.slot or "").split(", "))]
        trusts = [at for at, step in enumerate(mine) if "trust" in (step.slot or "") and at not in loads]
        assert any(at < min(restores) for at in trusts)
        assert max(restores) < min(loads)


def until(made: Ran, server: str, slot: str) -> Ran:
    """Carry everything out that stands in front of a step."""
    steps = made.planned.plan.steps
    at = next(
        number
        for number, step in enumerate(steps)
        if step.server == server and step.slot == slot and isinstance(step.action, Rebind | Restart)
    )
    return made.do(*(step.id for step in steps[:at]))


def test_a_service_whose_turn_had_not_come(new: Generation, old: Generation) -> None:
    """Files come back before a service is restarted that has not loaded the new ones; its trust goes back after it."""
    made = until(shared(new, old), "core1", "xmpp")

    mine = [step for step in made.back().plan.steps if step.server == "core1"]
    restores = [at for at, step in enumerate(mine) if isinstance(step.action, RestoreFile)]
    xmpp = [at for at, step in enumerate(mine) if "xmpp" in (step.slot or "")]
    assert same(made.taken_back(), made.before)
    assert restores
    assert max(restores) < min(xmpp)


def test_a_torn_pair_comes_first(new: Generation, old: Generation) -> None:
    """While a key and a certificate under a service do not fit, nothing on that server is restarted."""
    made = until(shared(new, old), "core1", "xmpp")
    bound = made.now["core1"].screen("xmpp")
    assert isinstance(bound, Known)
    pair = (bound.value.binding("xmpp").key, bound.value.binding("xmpp").certificate)
    made.show("core1", matches={**made.now["core1"].matches, pair: Known(value=False)})

    mine = [step for step in made.back().plan.steps if step.server == "core1"]
    restores = [at for at, step in enumerate(mine) if isinstance(step.action, RestoreFile)]
    assert max(restores) < min(at for at, step in enumerate(mine) if isinstance(step.action, Rebind | Restart))


def test_a_port_tells_of_overwritten_files_too(new: Generation, aged: Generation) -> None:
    """A call bridge that shows its old leaf, on files that are as before, has loaded them."""
    made = ran(fixed(new, aged, "callbridge"))
    made.begin(made.step("callbridge", "core1", "restart").id)
    made.outcomes.update(dict.fromkeys(puts_of(made), "undone"))

    assert made.back().plan.steps == ()


def test_a_copy_is_made_once(new: Generation, aged: Generation) -> None:
    """Back and forth again: a copy that is in the store already is not made a second time."""
    made = ran(fixed(new, aged)).do()
    for _ in range(2):
        made = made.again().do()

    assert not any(isinstance(step.action, SaveFile) for step in made.back().plan.steps)
    assert same(made.taken_back(), made.fleet.observed())


def test_files_are_as_before_and_the_service_is_not(new: Generation, old: Generation) -> None:
    """Any restart loads files that are back already, so the first one binds what belongs to them."""
    fleet = fixed(new, old, "callbridge")
    core = fleet.server("core1")
    core.hold("callbridge", (old.cluster.certificate,), bundle=old.ca.bundle)
    core.wanted["callbridge/trust-c2w"] = trusting("callbridge/trust-c2w", new.corp)
    core.trust("callbridge/trust-c2w", old.ca.bundle)
    edge = fleet.server("edge1")
    edge.wanted["webbridge3/c2w"] = identity("webbridge3/c2w", new.material("node:edge1"))
    edge.hold("webbridge3/c2w", old.nodes["edge1"].certificate and (old.nodes["edge1"].certificate, *old.ca.bundle))
    made = ran(fleet).do()
    assert len([step for step in made.planned.plan.steps if step.server == "core1" and step.disturbs]) == 2
    assert same(made.taken_back(), made.before)
    held = dict(made.before["core1"].contents)
    made.show("core1", contents={**made.now["core1"].contents, **held})
    made.outcomes.update(dict.fromkeys(puts_of(made), "undone"))

    plan = made.back().plan
    mine = [step for step in plan.steps if step.server == "core1" and isinstance(step.action, Rebind | Restart)]
    assert isinstance(mine[0].action, Rebind)
    assert {binding.slot for binding in mine[0].action.bindings} == {"callbridge", "callbridge/trust-c2w"}
    assert same(made.taken_back(), made.before)
