"""Bookkeeping of steps."""

from __future__ import annotations

from dataclasses import replace

from cmscert.apply.progress import Progress, faults_of, is_quiet
from cmscert.model.plan import FLEET, CheckFiles, Gate, PutFile, RemoveFiles, Step


def step(name: str, server: str, *after: str) -> Step:
    """Make a step that does not matter."""
    action = Gate(opens="services") if server == FLEET else RemoveFiles(files=())
    return Step(id=name, server=server, slot=None, action=action, because=(), after=after)


def ids(steps: tuple[Step, ...]) -> list[str]:
    """Name steps."""
    return [each.id for each in steps]


def test_one_step_a_server_in_the_order_of_the_plan() -> None:
    """Ready steps of one server wait for each other, those of others do not."""
    progress = Progress((step("a", "x"), step("b", "x"), step("c", "y")))
    assert ids(progress.take()) == ["a", "c"]
    assert progress.take() == ()
    progress.mark("c", "done")
    progress.release(progress.steps["c"])
    assert progress.take() == ()
    progress.mark("a", "done")
    progress.release(progress.steps["a"])
    assert ids(progress.take()) == ["b"]


def test_what_disturbs_nobody_stands_beside_each_other() -> None:
    """Uploads under new names and checks start at once; what could disturb waits for all of them, and they for it."""
    puts = [
        replace(step(name, "x"), action=PutFile(file=f"{name}.crt", content="sha256:0", role="certificate"))
        for name in ("a", "b", "d")
    ]
    check = replace(step("c", "x", "a"), action=CheckFiles(key="a.key", certificate="a.crt"))
    progress = Progress((puts[0], puts[1], check, step("r", "x"), puts[2]))
    assert ids(progress.take()) == ["a", "b"]
    progress.mark("a", "done")
    progress.release(puts[0])
    assert ids(progress.take()) == ["c"]
    for each in (puts[1], check):
        progress.mark(each.id, "done")
        assert progress.take() == ()
        progress.release(each)
    assert ids(progress.take()) == ["r"]
    assert progress.take() == ()
    progress.release(progress.steps["r"])
    assert ids(progress.take()) == ["d"]


def test_an_upload_over_a_file_in_use_takes_its_turn() -> None:
    """It has a way back, so nothing goes on beside it."""
    over = PutFile(file="a.crt", content="sha256:0", role="certificate", overwrites=True)
    assert not is_quiet(replace(step("a", "x"), action=over))
    assert not is_quiet(step("g", FLEET))


def test_a_step_waits_for_all_its_links_even_when_one_is_named_twice() -> None:
    """Links count once each."""
    progress = Progress((step("a", "x"), step("b", "y"), step("c", "z", "a", "b", "a")))
    assert ids(progress.take()) == ["a", "b"]
    progress.mark("a", "done")
    assert progress.take() == ()
    progress.mark("b", "done")
    assert ids(progress.take()) == ["c"]


def test_a_skipped_step_is_never_taken() -> None:
    """What was skipped while it stood in the queue is passed over."""
    progress = Progress((step("a", "x"), step("b", "x")))
    progress.mark("a", "skipped", "why")
    assert ids(progress.take()) == ["b"]
    assert progress.why["a"] == "why"


def test_a_failure_reaches_everything_behind_it_through_gates() -> None:
    """Gates carry a failure on to every server."""
    progress = Progress((step("a", "x"), step("g", FLEET, "a"), step("b", "y", "g"), step("c", "y")))
    progress.take()
    assert ids(progress.waiting_behind(("a",))) == ["g", "b"]
    assert ids(progress.waiting_on("y")) == ["b"]
    assert ids(progress.all_waiting()) == ["g", "b"]


def test_a_gate_is_no_need() -> None:
    """Only a real link makes a step of another server lean on one."""
    progress = Progress((step("a", "x"), step("g", FLEET, "a"), step("b", "y", "g"), step("c", "z", "a")))
    for name in ("a", "g", "b"):
        progress.mark(name, "running")
        progress.mark(name, "done")
    assert not progress.needed_elsewhere(progress.steps["a"])
    progress.mark("c", "running")
    assert progress.needed_elsewhere(progress.steps["a"])
    assert not progress.left_behind(progress.steps["a"])
    progress.mark("c", "left")
    assert progress.left_behind(progress.steps["a"])


def test_faults_of_a_plan_are_told_all_at_once() -> None:
    """Circles, links to nowhere, ids twice, servers that nobody knows; a gate needs no server."""
    assert faults_of((step("a", "x"), step("g", FLEET, "a")), ["x"]) == ()
    faults = faults_of((step("a", "x", "b"), step("b", "x", "a"), step("c", "y", "d"), step("c", "x")), ["x"])
    text = " | ".join(fault.message for fault in faults)
    for part in ("c stands in the plan more than once", "after d", "changes y", "wait for each other: a, b, a"):
        assert part in text
