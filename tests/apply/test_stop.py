"""Runs that end early: a person, a full disk, a bug."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

import pytest

from cmscert.errors import JournalError, NodeError
from cmscert.model.events import Event, ReplyReceived, RunResult
from cmscert.model.observed import ObservedServer
from cmscert.model.plan import Step
from cmscert.testing.toy_run import ToyRun


async def test_a_stopped_service_is_bound_and_stays_stopped(toy: ToyRun) -> None:
    """Only the bindings change; nothing is started, nothing is probed."""
    node = toy.add("core1", "turn")
    node.services["turn"].enabled = False
    step = toy.bind("s1", "core1", "turn")
    result = await toy.run(replace(step, action=replace(step.action, stopped=True)))
    assert result.result == "applied"
    assert node.carried_out == ["turn certs new.key new.crt"]


async def test_soft_stop_finishes_what_is_in_hand(toy: ToyRun) -> None:
    """The step in hand is done and verified; the next one does not start."""
    toy.add("core1", "turn", "webadmin")

    def emit(event: Event) -> None:
        toy.events.append(event)
        if isinstance(event, ReplyReceived):
            toy.stop.soft()

    toy.emit = emit
    result = await toy.run(toy.bind("s1", "core1", "turn"), toy.bind("s2", "core1", "webadmin", ("s1",)))
    assert toy.outcomes(result) == {"s1": "done", "s2": "skipped"}
    assert (result.result, result.why) == ("interrupted", None)
    assert toy.events[-1].result == "interrupted"


async def test_soft_stop_in_the_last_step_is_no_interruption(toy: ToyRun) -> None:
    """Everything was done, so it was applied."""
    toy.add("core1", "turn")

    def emit(event: Event) -> None:
        if isinstance(event, ReplyReceived):
            toy.stop.soft()

    toy.emit = emit
    assert (await toy.run(toy.bind("s1", "core1", "turn"))).result == "applied"
    assert toy.stop.is_soft
    assert not toy.stop.is_hard


async def test_soft_stop_before_the_start_does_nothing(toy: ToyRun) -> None:
    """No step starts, and the journal says so."""
    node = toy.add("core1", "turn")
    toy.stop.soft()
    result = await toy.run(toy.bind("s1", "core1", "turn"))
    assert (result.result, toy.outcomes(result)) == ("interrupted", {"s1": "skipped"})
    assert node.session.heard == []


async def _hard(toy: ToyRun, *steps: Step, hang: str) -> RunResult:
    def emit(event: Event) -> None:
        toy.events.append(event)
        if getattr(event, "typed", None) == hang and event.kind == "command-sent":
            asyncio.get_running_loop().call_later(0.01, toy.stop.hard)

    toy.emit = emit
    return await toy.run(*steps)


@pytest.mark.parametrize("hang", ["turn disable", "turn enable"])
async def test_hard_stop_names_what_was_in_hand(toy: ToyRun, hang: str) -> None:
    """What cannot be proven done is left, with its way back; the journal has its last line."""
    node = toy.add("core1", "turn")
    node.faults[hang] = ["hang"]
    result = await _hard(toy, toy.bind("s1", "core1", "turn"), hang=hang)
    assert toy.outcomes(result) == {"s1": "left"}
    assert result.result == "interrupted"
    assert result.by_hand[0][0] == "core1"
    assert toy.events[-1].kind == "run-ended"


async def test_hard_stop_believes_what_reads_back_as_done(toy: ToyRun) -> None:
    """The last line was carried out although its answer never came."""
    node = toy.add("core1", "turn")
    carry_out = node._carry_out
    script = node.session.script

    def told(typed: str) -> str | NodeError | Callable[[], str | Awaitable[str]]:
        if typed == "turn enable":
            carry_out(typed)
            return _forever
        return script(typed)

    node.session.script = told
    result = await _hard(toy, toy.bind("s1", "core1", "turn"), hang="turn enable")
    assert toy.outcomes(result) == {"s1": "done"}
    assert result.result == "applied"


async def _forever() -> str:
    await asyncio.Event().wait()
    return ""


async def test_hard_stop_in_an_upload_disturbs_nobody(toy: ToyRun) -> None:
    """A cut upload is a failed step, not one that is left."""
    node = toy.add("core1", "turn")
    node.faults["more.crt"] = ["hang"]
    result = await _hard(
        toy,
        toy.put("s1", "core1", toy.new.certificate_pem, "more.crt"),
        toy.bind("s2", "core1", "turn", ("s1",)),
        hang="sftp put more.crt",
    )
    assert toy.outcomes(result) == {"s1": "failed", "s2": "skipped"}
    assert result.result == "interrupted"


async def test_hard_stop_in_the_way_back_leaves_the_step(toy: ToyRun) -> None:
    """The step that was being taken back is named, and so are those that were to follow."""
    node = toy.add("core1", "turn", "webadmin")
    node.faults["webadmin enable"] = ["failure"]
    node.faults["webadmin certs old.key old.crt"] = ["hang"]
    result = await _hard(
        toy,
        toy.bind("s1", "core1", "turn"),
        toy.bind("s2", "core1", "webadmin", ("s1",)),
        hang="webadmin certs old.key old.crt",
    )
    assert toy.outcomes(result) == {"s1": "left", "s2": "left"}
    assert "the way back was interrupted" in (result.steps[1].why or "")
    assert result.by_hand[0][1][0] == "webadmin disable"


async def test_hard_stop_does_not_wait_for_a_node_that_is_silent(toy: ToyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one look at what was in hand ends, too."""
    monkeypatch.setattr("cmscert.apply.turn.LAST_LOOK", 0.02)
    node = toy.add("core1", "turn")
    await toy.look()
    node.faults["turn enable"] = ["hang"]

    def emit(event: Event) -> None:
        toy.events.append(event)
        if getattr(event, "typed", None) == "turn enable":
            node.faults["turn"] = ["hang"]
            asyncio.get_running_loop().call_later(0.01, toy.stop.hard)

    toy.emit = emit
    result = await toy.run(toy.bind("s1", "core1", "turn"))
    assert toy.outcomes(result) == {"s1": "left"}


async def test_hard_stop_before_anything_is_sent_skips(toy: ToyRun) -> None:
    """A step that only looked at the server so far has changed nothing."""
    node = toy.add("core1", "turn")
    await toy.look()
    node.faults["turn"] = ["hang"]

    def emit(event: Event) -> None:
        toy.events.append(event)
        asyncio.get_running_loop().call_later(0.01, toy.stop.hard)

    toy.emit = emit
    result = await toy.run(toy.bind("s1", "core1", "turn"))
    assert toy.outcomes(result) == {"s1": "skipped"}


async def test_a_cancelled_run_still_writes_its_last_line(toy: ToyRun) -> None:
    """Whoever cancels the task from outside gets the cancellation back, after the journal is whole."""
    node = toy.add("core1", "turn")
    node.faults["turn disable"] = ["hang"]
    await toy.look()
    task = asyncio.ensure_future(toy.run(toy.bind("s1", "core1", "turn")))
    await toy.until(lambda: node.session.typed("do"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert toy.events[-1].kind == "run-ended"
    assert toy.events[-1].result == "interrupted"


@pytest.mark.parametrize("full_at", range(1, 9))
async def test_nothing_is_sent_once_the_journal_cannot_be_written(toy: ToyRun, full_at: int) -> None:
    """A full disk stops the run: no later event, no later command, on no server."""
    first = toy.add("core1", "turn")
    second = toy.add("core2", "turn")
    written: list[Event] = []

    def emit(event: Event) -> None:
        if len(written) + 1 >= full_at:
            raise JournalError("the journal cannot be written: no space left", hint="make room")
        written.append(event)

    toy.emit = emit
    with pytest.raises(JournalError, match="no space left"):
        await toy.run(toy.bind("s1", "core1", "turn"), toy.bind("s2", "core2", "turn"))
    intended = [(event.server, event.typed) for event in written if event.kind == "command-sent"]
    done = [("core1", typed) for typed in first.session.typed("do")]
    done += [("core2", typed) for typed in second.session.typed("do")]
    assert set(done) <= set(intended)


async def test_a_full_disk_names_what_was_under_way(toy: ToyRun) -> None:
    """The message tells which step is not verified."""
    toy.add("core1", "turn")

    def emit(event: Event) -> None:
        if event.kind == "reply-received":
            raise JournalError("the journal cannot be written: no space left")

    toy.emit = emit
    with pytest.raises(JournalError, match="under way and not verified: s1 on core1"):
        await toy.run(toy.bind("s1", "core1", "turn"))


async def test_a_bug_ends_the_run_without_a_last_line(toy: ToyRun) -> None:
    """Something unforeseen in one step cancels the others and is raised: the journal says that it was not finished."""
    node = toy.add("core1", "turn")
    other = toy.add("core2", "turn")
    other.faults["turn disable"] = ["hang"]
    del node.services["turn"].bound["turn"]
    node.session.script = lambda _typed: None
    toy.observed["core1"] = (await _seen(toy))["core1"]
    with pytest.raises(AssertionError, match="core1 was not told what to answer"):
        await toy.run(toy.bind("s1", "core1", "turn"), toy.bind("s2", "core2", "turn"))
    assert toy.events[-1].kind != "run-ended"


async def _seen(toy: ToyRun) -> Mapping[str, ObservedServer]:
    fresh = type(toy)()
    fresh.add("core1", "turn")
    await fresh.look()
    return fresh.observed


async def test_a_full_disk_while_everything_is_ended_is_told(toy: ToyRun) -> None:
    """The last look after a hard stop cannot be written down: that is raised, not swallowed."""
    node = toy.add("core1", "turn")
    node.faults["turn disable"] = ["hang"]

    def emit(event: Event) -> None:
        if toy.stop.is_hard:
            raise JournalError("the journal cannot be written: no space left")
        if event.kind == "command-sent":
            asyncio.get_running_loop().call_later(0.01, toy.stop.hard)

    toy.emit = emit
    with pytest.raises(JournalError, match="no space left"):
        await toy.run(toy.bind("s1", "core1", "turn"))


async def test_a_second_cancellation_leaves_what_was_in_hand(toy: ToyRun) -> None:
    """Cut off even in the last look, a step is left: nobody knows how it ended."""
    node = toy.add("core1", "turn")
    node.faults["turn enable"] = ["hang"]
    await toy.look()
    task = asyncio.ensure_future(toy.run(toy.bind("s1", "core1", "turn")))
    await toy.until(lambda: "turn enable" in node.session.typed("do"))
    node.faults["turn"] = ["hang"]
    task.cancel()
    await toy.until(lambda: not node.faults["turn"])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert toy.events[-1].kind == "run-ended"
    assert toy.events[-1].result == "interrupted"
