"""Whole runs on nodes in memory."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cmscert.errors import InputError, JournalError, StoreRefused, Unreachable
from cmscert.model.events import Event, ReplyReceived, StepEnded
from cmscert.model.observed import Binding
from cmscert.model.plan import (
    FLEET,
    Gate,
    Impact,
    PutFile,
    Rebind,
    RemoveFiles,
    Restart,
    RestoreFile,
    SaveFile,
    Step,
)
from cmscert.model.readings import Unread

Toy = Any  # the class of tests/apply/conftest.py, which cannot be imported from here


def _plain(step: str, server: str, action: Any, after: tuple[str, ...] = (), **more: Any) -> Step:
    return Step(id=step, server=server, slot=None, action=action, because=("test",), after=after, **more)


async def test_a_run_applies_and_proves_every_step(toy: Toy) -> None:
    """Uploads are read back, the check is asked, the service is bound anew and shows the new leaf."""
    node = toy.add("core1", "webadmin")
    del node.store["new.key"], node.store["new.crt"]
    result = await toy.run(
        toy.put("s1", "core1", toy.new.certificate_pem, "new.crt"),
        toy.put("s2", "core1", toy.new, "new.key"),
        toy.check("s3", "core1", ("s1", "s2"), bundle="ca.crt"),
        _plain("s4", FLEET, Gate(opens="services"), ("s3",)),
        toy.bind("s5", "core1", "webadmin", ("s4",)),
        _plain("s6", "core1", RemoveFiles(files=("old.crt", "old.key")), ("s5",)),
    )
    assert result.result == "applied"
    assert set(toy.outcomes(result).values()) == {"done"}
    assert node.services["webadmin"].loaded["webadmin"] == (toy.new.certificate,)
    assert node.store["new.key"] == toy.new.key_pem
    assert "old.crt" not in node.store
    assert node.carried_out == ["webadmin disable", "webadmin certs new.key new.crt", "webadmin enable"]
    assert [event.kind for event in toy.events][:2] == ["run-started", "step-started"]
    assert toy.events[-1].kind == "run-ended"
    assert toy.kinds("s5") == ["step-started", *["command-sent", "reply-received"] * 3, "step-ended"]


async def test_no_event_holds_key_bytes_or_a_turn_password(toy: Toy) -> None:
    """Neither the key that is uploaded nor the password on the turn screen reaches an event."""
    toy.add("edge1", "turn")
    result = await toy.run(toy.put("s1", "edge1", toy.new, "new.key"), toy.bind("s2", "edge1", "turn", ("s1",)))
    assert result.result == "applied"
    written = repr(toy.events)
    assert "PRIVATE KEY" not in written
    assert "not-to-be-seen" not in written


async def test_a_slow_service_is_waited_for(toy: Toy) -> None:
    """A port that is closed for a while after the start is probed again until it shows the new leaf."""
    node = toy.add("core1", "webadmin")
    node.slow = 3
    assert (await toy.run(toy.bind("s1", "core1", "webadmin"))).result == "applied"
    assert toy.waited == pytest.approx(0.25 + 0.5 + 1.0)


async def test_independent_servers_run_side_by_side(toy: Toy) -> None:
    """Two servers without a link between them are both in hand at once."""
    toy.add("edge1", "turn")
    toy.add("edge2", "turn")
    await toy.run(toy.bind("s1", "edge1", "turn"), toy.bind("s2", "edge2", "turn"))
    kinds = [(event.kind, event.step) for event in toy.events[1:-1]]
    assert kinds.index(("step-started", "s2")) < kinds.index(("step-ended", "s1"))


@pytest.mark.parametrize(
    ("typed", "fault", "why"),
    [
        ("webadmin disable", "failure", "'webadmin disable' was answered with FAILURE: it is refused"),
        ("webadmin disable", "cut", "the connection ended"),
        ("webadmin certs new.key new.crt", "failure", "FAILURE"),
        ("webadmin certs new.key new.crt", "lie", "webadmin is bound to old.key, old.crt, not to new.key, new.crt"),
        ("webadmin certs new.key new.crt", "cut", "the connection ended"),
        ("webadmin certs new.key new.crt", "lost", "the connection ended"),
        ("webadmin enable", "failure", "FAILURE"),
        ("webadmin enable", "lie", "webadmin is not running"),
        ("webadmin enable", "cut", "the connection ended; webadmin is not running"),
        ("webadmin enable", "garbage", "webadmin is not running"),
    ],
)
async def test_a_failed_change_is_taken_back(toy: Toy, typed: str, fault: str, why: str) -> None:
    """Whatever goes wrong with one line, the service is as before, proven, and the step that leans on it is skipped."""
    node = toy.add("core1", "webadmin")
    node.faults[typed] = [fault]
    result = await toy.run(
        toy.bind("s1", "core1", "webadmin"), _plain("s2", "core1", RemoveFiles(files=("old.crt",)), ("s1",))
    )
    assert toy.outcomes(result) == {"s1": "undone", "s2": "skipped"}
    assert result.result == "rolled-back"
    assert why in (result.steps[0].why or "")
    assert result.steps[1].why == "s1 on core1 failed"
    assert node.binding("webadmin").certificate == "old.crt"
    assert node.services["webadmin"].loaded["webadmin"] == (toy.old.certificate,)
    assert node.services["webadmin"].enabled
    assert result.by_hand == ()
    assert result.why is not None
    assert result.why.startswith("core1: s1 failed: ")


async def test_a_lost_answer_to_the_last_line_is_settled_by_reading(toy: Toy) -> None:
    """The connection ended after enable was carried out: screen and port prove the step done."""
    node = toy.add("core1", "webadmin")
    node.faults["webadmin enable"] = ["lost"]
    assert (await toy.run(toy.bind("s1", "core1", "webadmin"))).result == "applied"


async def test_a_lost_answer_to_a_restart_that_nothing_shows_is_a_failure(toy: Toy) -> None:
    """Equal bindings do not prove that a call bridge was restarted, when its certificate stays the same."""
    node = toy.add("core1", "callbridge", "callbridge/trust-c2w")
    node.faults["callbridge restart"] = ["lost"]
    result = await toy.run(toy.bind("s1", "core1", "callbridge/trust-c2w"))
    assert toy.outcomes(result) == {"s1": "undone"}
    assert "nothing tells whether callbridge was started again" in (result.steps[0].why or "")


async def test_a_lost_answer_to_a_restart_is_proven_by_the_port(toy: Toy) -> None:
    """The port shows the new leaf, so the restart was carried out."""
    node = toy.add("core1", "callbridge")
    node.faults["callbridge restart"] = ["lost"]
    assert (await toy.run(toy.bind("s1", "core1", "callbridge"))).result == "applied"


async def test_a_service_that_does_not_come_up_is_left_and_named(toy: Toy) -> None:
    """When neither the new nor the old pair lets the service start, a person gets the lines of the way back."""
    node = toy.add("core1", "webadmin")
    node.no_start.add("webadmin")
    result = await toy.run(toy.bind("s1", "core1", "webadmin"))
    assert toy.outcomes(result) == {"s1": "left"}
    assert result.result == "neither"
    assert "the way back failed" in (result.steps[0].why or "")
    assert result.by_hand == (("core1", ("webadmin disable", "webadmin certs old.key old.crt", "webadmin enable")),)
    assert toy.waited >= 40


async def test_a_port_that_shows_another_leaf_is_no_success(toy: Toy) -> None:
    """Bound and enabled, but the port shows something else: taken back; and when that cannot be proven, left."""
    node = toy.add("core1", "webadmin")
    await toy.look()

    async def other(_address: str, _port: int, _name: str) -> Any:
        return Unread("a TLS alert")

    node.probe = other
    result = await toy.run(toy.bind("s1", "core1", "webadmin"))
    assert result.result == "neither"
    assert "the port of webadmin: a TLS alert" in (result.steps[0].why or "")


async def test_the_old_leaf_on_the_port_is_no_success(toy: Toy) -> None:
    """A service that says enabled and still shows the old leaf has not loaded the new one."""
    node = toy.add("core1", "turn")
    node.faults["turn enable"] = ["lie"]
    node.faults["turn disable"] = ["lie"]
    result = await toy.run(toy.bind("s1", "core1", "turn"))
    assert toy.outcomes(result) == {"s1": "undone"}
    assert "the port of turn shows the certificate of CN=old.example.com" in (result.steps[0].why or "")


async def test_without_rollback_a_failed_change_is_left_for_inspection(toy: Toy) -> None:
    """Nothing is taken back, and the way back is told."""
    node = toy.add("core1", "webadmin", "turn")
    node.faults["webadmin enable"] = ["failure"]
    toy.rollback = False
    result = await toy.run(toy.bind("s1", "core1", "turn"), toy.bind("s2", "core1", "webadmin", ("s1",)))
    assert toy.outcomes(result) == {"s1": "done", "s2": "left"}
    assert result.result == "neither"
    assert result.by_hand[0][1][0] == "webadmin disable"


async def test_earlier_steps_of_the_failed_server_are_taken_back_newest_first(toy: Toy) -> None:
    """All services that the run changed on the failed server go back; the other server finishes."""
    node = toy.add("core1", "callbridge", "turn", "webadmin")
    toy.add("edge1", "turn")
    node.faults["webadmin enable"] = ["failure"]
    result = await toy.run(
        toy.bind("s1", "core1", "callbridge"),
        toy.bind("s2", "core1", "turn"),
        toy.bind("s3", "core1", "webadmin", ("s1", "s2")),
        toy.bind("s4", "edge1", "turn"),
    )
    assert toy.outcomes(result) == {"s1": "undone", "s2": "undone", "s3": "undone", "s4": "done"}
    ended = [event.step for event in toy.events if isinstance(event, StepEnded) and event.outcome == "undone"]
    assert ended == ["s3", "s2", "s1"]
    assert result.steps[0].why == "taken back because s3 failed"
    assert result.result == "rolled-back"


async def test_what_another_server_leans_on_stays(toy: Toy) -> None:
    """Trust that a done step elsewhere needs is kept when its server fails later."""
    node = toy.add("core1", "callbridge/trust-c2w", "webadmin")
    toy.add("edge1", "webbridge3/c2w")
    node.faults["webadmin enable"] = ["failure"]
    result = await toy.run(
        toy.bind("s1", "core1", "callbridge/trust-c2w"),
        toy.bind("s2", "edge1", "webbridge3/c2w", ("s1",)),
        toy.bind("s3", "core1", "webadmin", ("s2",)),
    )
    assert toy.outcomes(result) == {"s1": "done", "s2": "done", "s3": "undone"}
    assert node.binding("callbridge/trust-c2w").bundle == "ca2.crt"


async def test_trust_stays_when_the_identity_on_it_cannot_be_taken_back(toy: Toy) -> None:
    """The way back of a newer step failed, so the older one that it leans on is kept."""
    node = toy.add("core1", "callbridge/trust-c2w", "webadmin")
    await toy.look()
    node.no_start.add("webadmin")
    result = await toy.run(
        toy.bind("s1", "core1", "callbridge/trust-c2w"), toy.bind("s2", "core1", "webadmin", ("s1",))
    )
    assert toy.outcomes(result) == {"s1": "done", "s2": "left"}
    assert (result.steps[0].why or "").startswith("kept")


async def test_dependants_on_other_servers_of_what_is_taken_back_do_not_start(toy: Toy) -> None:
    """A step elsewhere that waits for two things is skipped when one of them is taken back."""
    node = toy.add("core1", "turn", "webadmin")
    toy.add("edge1", "turn")
    node.faults["webadmin enable"] = ["failure"]
    result = await toy.run(
        toy.bind("s1", "core1", "turn"),
        toy.bind("s2", "core1", "webadmin", ("s1",)),
        toy.bind("s3", "edge1", "turn", ("s1", "s2")),
        _plain("s4", "edge1", RemoveFiles(files=("old.crt",)), ("s3",)),
    )
    assert toy.outcomes(result) == {"s1": "undone", "s2": "undone", "s3": "skipped", "s4": "skipped"}


async def test_a_failed_upload_needs_no_way_back(toy: Toy) -> None:
    """A file that reads back otherwise fails the step; nothing was disturbed; no server's services are touched."""
    node = toy.add("core1", "webadmin")
    toy.add("edge1", "turn")
    node.faults["more.crt"] = ["lie"]
    result = await toy.run(
        toy.put("s1", "core1", toy.new.certificate_pem, "more.crt"),
        _plain("s2", FLEET, Gate(opens="services"), ("s1",)),
        toy.bind("s3", "edge1", "turn", ("s2",)),
        toy.bind("s4", "core1", "webadmin", ("s2",)),
    )
    assert toy.outcomes(result) == {"s1": "failed", "s2": "skipped", "s3": "skipped", "s4": "skipped"}
    assert result.steps[0].why == "more.crt holds other bytes than were uploaded"
    assert result.result == "rolled-back"


@pytest.mark.parametrize(("fault", "outcome"), [("lost", "done"), ("cut", "failed")])
async def test_a_lost_upload_is_settled_by_reading(toy: Toy, fault: str, outcome: str) -> None:
    """The store tells whether an upload arrived whose answer was lost."""
    node = toy.add("core1")
    node.faults["more.crt"] = [fault]
    result = await toy.run(toy.put("s1", "core1", toy.new.certificate_pem, "more.crt"))
    assert toy.outcomes(result) == {"s1": outcome}


async def test_a_key_that_cannot_be_read_back_is_believed_when_it_is_listed(toy: Toy) -> None:
    """Some nodes may not give keys out; pki match proves the key in the next step."""
    node = toy.add("core1")
    session = node.session
    put = session.on_put

    async def hide(name: str, content: bytes) -> Any:
        await put(name, content)
        return StoreRefused("core1", "no permission")

    session.on_put = hide
    result = await toy.run(toy.put("s1", "core1", toy.new, "more.key"))
    assert toy.outcomes(result) == {"s1": "done"}
    assert result.steps[0].why == "more.key cannot be read back"
    result = await toy.run(toy.put("s1", "core1", toy.new.certificate_pem, "more.crt"))
    assert toy.outcomes(result) == {"s1": "failed"}


async def test_an_upload_that_vanishes_fails(toy: Toy) -> None:
    """A file that is not there after its upload is a failed step."""
    node = toy.add("core1")
    read = node.session.read_file

    async def gone(name: str) -> Any:
        return None if name == "more.crt" else await read(name)

    node.session.read_file = gone
    result = await toy.run(toy.put("s1", "core1", toy.new.certificate_pem, "more.crt"))
    assert result.steps[0].why == "more.crt is not in the store after the upload"


@pytest.mark.parametrize(
    ("answer", "outcome", "why"),
    [
        ("Key and certificate do not match", "failed", "the server says no to 'pki match new.key new.crt'"),
        ("FAILURE: mismatch", "failed", "'pki match new.key new.crt' was answered with FAILURE: mismatch"),
        ("%%%", "done", "the answer to 'pki match new.key new.crt' is not understood"),
        ("Unknown command", "done", "the answer to 'pki match new.key new.crt' is not understood"),
    ],
)
async def test_a_check_fails_on_a_clear_no_only(toy: Toy, answer: str, outcome: str, why: str) -> None:
    """The wording of pki match is unknown: what is unclear is proven by the service later."""
    node = toy.add("core1")
    node.answers["pki match new.key new.crt"] = answer
    result = await toy.run(toy.check("s1", "core1"))
    assert (result.steps[0].outcome, result.steps[0].why) == (outcome, why)


async def test_a_check_whose_answer_is_lost_fails(toy: Toy) -> None:
    """No answer is no yes."""
    node = toy.add("core1")
    node.faults["pki match new.key new.crt"] = ["cut"]
    assert toy.outcomes(await toy.run(toy.check("s1", "core1"))) == {"s1": "failed"}


async def test_an_unknown_change_command_fails(toy: Toy) -> None:
    """A server that does not know a command has not carried it out."""
    node = toy.add("core1", "webadmin")
    node.answers["webadmin disable"] = "Unknown command"
    result = await toy.run(toy.bind("s1", "core1", "webadmin"))
    assert "'webadmin disable' is not known to this server" in (result.steps[0].why or "")
    assert result.result == "neither"


async def test_a_failed_removal_leaves_everything_else_done(toy: Toy) -> None:
    """Old files that stay are named with the lines that remove them; no service goes back."""
    node = toy.add("core1", "webadmin")
    node.faults["old.key"] = ["cut"]
    result = await toy.run(
        toy.bind("s1", "core1", "webadmin"), _plain("s2", "core1", RemoveFiles(files=("old.crt", "old.key")), ("s1",))
    )
    assert toy.outcomes(result) == {"s1": "done", "s2": "left"}
    assert result.steps[1].why == "the connection ended; old.key is still in the store"
    assert result.by_hand == (("core1", ("sftp rm old.crt", "sftp rm old.key")),)


@pytest.mark.parametrize("how", ["rebound", "stopped", "unread", "gone", "unread before"])
async def test_a_server_that_changed_since_the_plan_is_not_disturbed(toy: Toy, how: str) -> None:
    """Bindings and state of the services are read again right before the first change; nothing is sent when they differ."""
    node = toy.add("core1", "webadmin", "turn")
    await toy.look()
    match how:
        case "rebound":
            node.holds("turn", key="new.key", certificate="new.crt")
        case "stopped":
            node.services["turn"].enabled = False
        case "unread":
            node.answers["turn"] = "%%%"
        case "gone":
            node.answers["turn"] = "Unknown command"
        case _:
            seen = toy.observed["core1"]
            toy.observed["core1"] = replace(seen, screens={**seen.screens, "turn": Unread("no answer")})
    result = await toy.run(toy.bind("s1", "core1", "webadmin"), toy.bind("s2", "core1", "turn"))
    assert toy.outcomes(result) == {"s1": "failed", "s2": "skipped"}
    assert node.carried_out == []
    assert result.result == "rolled-back"
    assert (result.steps[0].why or "").startswith("turn ")


def _fixed(toy: Toy) -> tuple[Step, ...]:
    """Same-name mode: save, overwrite, restart, with the ways back that a plan holds."""
    restore = RestoreFile(file="old.crt", saved_as="old-saved.crt")
    put = replace(toy.put("s2", "core1", toy.new.certificate_pem, "old.crt", ("s1",)), undo=restore)
    return (
        _plain("s1", "core1", SaveFile(file="old.crt", saved_as="old-saved.crt")),
        replace(put, action=replace(put.action, overwrites=True)),
        _plain(
            "s3",
            "core1",
            Restart(service="webadmin"),
            ("s2",),
            impact=Impact(service="webadmin", notices="a test", seconds=1),
            undo=Restart(service="webadmin", restores=(restore,)),
        ),
    )


async def test_same_names_are_saved_overwritten_and_loaded(toy: Toy) -> None:
    """The old bytes are kept under a second name, and the port shows the new leaf after the restart."""
    node = toy.add("core1", "webadmin")
    result = await toy.run(*_fixed(toy))
    assert result.result == "applied"
    assert node.store["old-saved.crt"] == toy.old.certificate_pem
    assert node.services["webadmin"].loaded["webadmin"] == (toy.new.certificate,)


async def test_same_names_go_back_with_their_service(toy: Toy) -> None:
    """When the restart fails, the saved bytes are back under the old name and the old leaf is served."""
    node = toy.add("core1", "webadmin")
    node.faults["webadmin enable"] = ["failure"]
    result = await toy.run(*_fixed(toy))
    assert toy.outcomes(result) == {"s1": "done", "s2": "undone", "s3": "undone"}
    assert node.store["old.crt"] == toy.old.certificate_pem
    assert node.services["webadmin"].loaded["webadmin"] == (toy.old.certificate,)
    assert node.session.typed("put").count("old.crt") == 2  # the overwriting, and one way back for both steps


async def test_an_overwriting_upload_that_fails_is_taken_back(toy: Toy) -> None:
    """A cut upload over a file in use is undone from the saved copy, though no service was disturbed yet."""
    node = toy.add("core1", "webadmin")
    node.faults["old.crt"] = ["lie"]
    result = await toy.run(*_fixed(toy))
    assert toy.outcomes(result) == {"s1": "done", "s2": "undone", "s3": "skipped"}
    assert node.store["old.crt"] == toy.old.certificate_pem


async def test_a_file_that_cannot_be_saved_stops_the_server(toy: Toy) -> None:
    """There is nothing to save, so nothing is overwritten."""
    node = toy.add("core1", "webadmin")
    await toy.look()
    del node.store["old.crt"]
    result = await toy.run(*_fixed(toy))
    assert toy.outcomes(result) == {"s1": "failed", "s2": "skipped", "s3": "skipped"}
    assert result.steps[0].why == "there is no file old.crt to copy"


async def test_a_disturbing_step_without_a_way_back_is_left(toy: Toy) -> None:
    """The plan said there is none; the result says so again."""
    node = toy.add("core1", "webadmin")
    node.faults["webadmin enable"] = ["failure"]
    result = await toy.run(replace(toy.bind("s1", "core1", "webadmin"), undo=None))
    assert result.steps[0].outcome == "left"
    assert "the plan holds no way back for it" in (result.steps[0].why or "")
    assert result.by_hand == ()


async def test_a_stopped_service_is_bound_and_stays_stopped(toy: Toy) -> None:
    """Only the bindings change; nothing is started, nothing is probed."""
    node = toy.add("core1", "turn")
    node.services["turn"].enabled = False
    step = toy.bind("s1", "core1", "turn")
    result = await toy.run(replace(step, action=replace(step.action, stopped=True)))
    assert result.result == "applied"
    assert node.carried_out == ["turn certs new.key new.crt"]


async def test_a_way_back_survives_a_second_cut(toy: Toy) -> None:
    """A way back whose connection is lost is sent once more, whole, after the server can be read again."""
    node = toy.add("core1", "webadmin")
    node.faults["webadmin enable"] = ["failure"]
    node.faults["webadmin certs old.key old.crt"] = ["cut"]
    result = await toy.run(toy.bind("s1", "core1", "webadmin"))
    assert toy.outcomes(result) == {"s1": "undone"}


async def test_a_way_back_that_is_cut_twice_is_left(toy: Toy) -> None:
    """Two cuts in the way back: the lines are told."""
    node = toy.add("core1", "webadmin")
    node.faults["webadmin enable"] = ["failure"]
    node.faults["webadmin certs old.key old.crt"] = ["cut", "cut"]
    result = await toy.run(toy.bind("s1", "core1", "webadmin"))
    assert toy.outcomes(result) == {"s1": "left"}


async def test_the_way_back_waits_until_the_server_can_be_read(toy: Toy) -> None:
    """A server that reboots is waited for before its way back is sent."""
    node = toy.add("core1", "webadmin")
    node.faults["webadmin enable"] = ["failure"]
    listed = node.session.list_files
    tries = iter(range(10))
    await toy.look()

    async def rebooting() -> Any:
        if next(tries) < 3:
            raise Unreachable("core1", "no TCP connection")
        return await listed()

    node.session.list_files = rebooting
    result = await toy.run(toy.bind("s1", "core1", "webadmin"))
    assert toy.outcomes(result) == {"s1": "undone"}
    assert toy.waited > 1


async def test_soft_stop_finishes_what_is_in_hand(toy: Toy) -> None:
    """The step in hand is done and verified; the next one does not start."""
    toy.add("core1", "turn", "webadmin")

    def emit(event: Event) -> None:
        toy.events.append(event)
        if isinstance(event, ReplyReceived):
            toy.stop.soft()

    toy.emit = emit
    result = await toy.run(toy.bind("s1", "core1", "turn"), toy.bind("s2", "core1", "webadmin", ("s1",)))
    assert toy.outcomes(result) == {"s1": "done", "s2": "skipped"}
    assert (result.result, result.why) == ("interrupted", "interrupted")
    assert toy.events[-1].result == "interrupted"


async def test_soft_stop_in_the_last_step_is_no_interruption(toy: Toy) -> None:
    """Everything was done, so it was applied."""
    toy.add("core1", "turn")

    def emit(event: Event) -> None:
        if isinstance(event, ReplyReceived):
            toy.stop.soft()

    toy.emit = emit
    assert (await toy.run(toy.bind("s1", "core1", "turn"))).result == "applied"
    assert toy.stop.is_soft
    assert not toy.stop.is_hard


async def test_soft_stop_before_the_start_does_nothing(toy: Toy) -> None:
    """No step starts, and the journal says so."""
    node = toy.add("core1", "turn")
    toy.stop.soft()
    result = await toy.run(toy.bind("s1", "core1", "turn"))
    assert (result.result, toy.outcomes(result)) == ("interrupted", {"s1": "skipped"})
    assert node.session.heard == []


async def _hard(toy: Toy, *steps: Step, hang: str) -> Any:
    def emit(event: Event) -> None:
        toy.events.append(event)
        if getattr(event, "typed", None) == hang and event.kind == "command-sent":
            asyncio.get_running_loop().call_later(0.01, toy.stop.hard)

    toy.emit = emit
    return await toy.run(*steps)


@pytest.mark.parametrize("hang", ["turn disable", "turn enable"])
async def test_hard_stop_names_what_was_in_hand(toy: Toy, hang: str) -> None:
    """What cannot be proven done is left, with its way back; the journal has its last line."""
    node = toy.add("core1", "turn")
    node.faults[hang] = ["hang"]
    result = await _hard(toy, toy.bind("s1", "core1", "turn"), hang=hang)
    assert toy.outcomes(result) == {"s1": "left"}
    assert result.result == "interrupted"
    assert result.by_hand[0][0] == "core1"
    assert toy.events[-1].kind == "run-ended"


async def test_hard_stop_believes_what_reads_back_as_done(toy: Toy) -> None:
    """The last line was carried out although its answer never came."""
    node = toy.add("core1", "turn")
    carry_out = node._carry_out
    script = node.session.script

    def told(typed: str) -> Any:
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


async def test_hard_stop_in_an_upload_disturbs_nobody(toy: Toy) -> None:
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


async def test_hard_stop_in_the_way_back_leaves_the_step(toy: Toy) -> None:
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


async def test_hard_stop_does_not_wait_for_a_node_that_is_silent(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
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


async def test_hard_stop_before_anything_is_sent_skips(toy: Toy) -> None:
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


async def test_a_cancelled_run_still_writes_its_last_line(toy: Toy) -> None:
    """Whoever cancels the task from outside gets the cancellation back, after the journal is whole."""
    node = toy.add("core1", "turn")
    node.faults["turn disable"] = ["hang"]
    await toy.look()
    task = asyncio.ensure_future(toy.run(toy.bind("s1", "core1", "turn")))
    while not node.session.typed("do"):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert toy.events[-1].kind == "run-ended"
    assert toy.events[-1].result == "interrupted"


@pytest.mark.parametrize("full_at", range(1, 9))
async def test_nothing_is_sent_once_the_journal_cannot_be_written(toy: Toy, full_at: int) -> None:
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


async def test_a_full_disk_names_what_was_under_way(toy: Toy) -> None:
    """The message tells which step is not verified."""
    toy.add("core1", "turn")

    def emit(event: Event) -> None:
        if event.kind == "reply-received":
            raise JournalError("the journal cannot be written: no space left")

    toy.emit = emit
    with pytest.raises(JournalError, match="under way and not verified: s1 on core1"):
        await toy.run(toy.bind("s1", "core1", "turn"))


async def test_a_bug_ends_the_run_without_a_last_line(toy: Toy) -> None:
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


async def _seen(toy: Toy) -> Any:
    fresh = type(toy)()
    fresh.add("core1", "turn")
    await fresh.look()
    return fresh.observed


async def test_a_plan_that_does_not_fit_is_refused_before_anything_is_sent(toy: Toy) -> None:
    """All faults at once: links, servers, contents, keys, names that cannot be typed, services that are not there."""
    node = toy.add("core1", "turn")
    bad = toy.put("s1", "core1", b"x", "x.crt", ("nowhere",))
    with pytest.raises(InputError) as told:
        await toy.run(bad, toy.bind("s2", "core9", "turn"), toy.bind("s2", "core1", "turn"))
    assert {fault.message for fault in told.value.faults} == {
        "step s2 stands in the plan more than once",
        "step s1 comes after nowhere, which is not in the plan",
        "the plan changes core9, and there is no session to it",
    }
    with pytest.raises(InputError, match="steps wait for each other"):
        await toy.run(toy.bind("s1", "core1", "turn", ("s2",)), toy.bind("s2", "core1", "turn", ("s1",)))
    with pytest.raises(InputError) as told:
        await toy.run(
            _plain("s1", "core1", PutFile(file="a.crt", content="sha256:00", role="certificate")),
            _plain("s2", "core1", PutFile(file="a.key", content="spki:00", role="key")),
            _plain("s3", "core1", PutFile(file='a".key', content="spki:00", role="key")),
            _plain("s4", "core1", Restart(service="xmpp")),
            replace(toy.bind("s5", "core1", "turn"), undo=Rebind(service="turn", bindings=(Binding(slot="no"),))),
        )
    messages = "\n".join(fault.message for fault in told.value.faults)
    for part in ("content of a.crt", "key for a.key", "step s3", "service xmpp", "no slot no"):
        assert part in messages
    assert node.session.heard == []


async def test_contents_are_held_against_their_names(toy: Toy) -> None:
    """Bytes that are not what the plan names are never uploaded."""
    toy.add("core1")
    step = toy.put("s1", "core1", b"x", "x.crt")
    toy.contents = dict.fromkeys(toy.contents, b"y")
    with pytest.raises(InputError, match="the content of x.crt is not at hand as the plan names it"):
        await toy.run(step)


async def test_the_release_of_the_plan_counts_where_the_node_does_not_tell(toy: Toy) -> None:
    """Rows come from the node's own release, else from the plan's; without both no service can be changed."""
    toy.add("core1", "turn")
    await toy.look()
    toy.observed["core1"] = replace(toy.observed["core1"], release=Unread("odd"))
    with pytest.raises(InputError, match="the row of service turn is needed"):
        await toy.run(toy.bind("s1", "core1", "turn"))
    toy.releases["core1"] = "3.9"
    assert (await toy.run(toy.bind("s1", "core1", "turn"))).result == "applied"


async def test_tls_trust_is_loaded_by_a_call_bridge_restart(toy: Toy) -> None:
    """The call bridge restarts, so its port is looked at as well, and shows what it showed before."""
    node = toy.add("core1", "callbridge", "tls/trust-sip")
    node.slow = 1
    assert (await toy.run(toy.bind("s1", "core1", "tls/trust-sip"))).result == "applied"
    assert node.carried_out == ["tls sip trust ca2.crt", "callbridge restart"]
    assert toy.waited == pytest.approx(0.25)


async def test_a_slot_that_the_screen_never_showed_is_told(toy: Toy) -> None:
    """Nothing proves the binding, before and after alike: done, with a remark."""
    toy.add("core1", "callbridge", "callbridge/trust-ucm")
    result = await toy.run(toy.bind("s1", "core1", "callbridge/trust-ucm"))
    assert (result.result, result.steps[0].why) == ("applied", "the screen does not show callbridge/trust-ucm")


def _answer_after(toy: Toy, typed: str, change: Any) -> None:
    """Change a node when a line is about to be sent."""

    def emit(event: Event) -> None:
        toy.events.append(event)
        if event.kind == "command-sent" and event.typed == typed:
            change()

    toy.emit = emit


SCREEN = "Enabled : true\nTLS port : {port}\nTLS cert : new.crt\nTLS key : new.key\nTLS bundle : none\n"


@pytest.mark.parametrize(
    ("screen", "why"),
    [
        ("Unknown command", "the server does not know turn any more"),
        ("%%%", "the answer to turn shows no row that is known"),
        (SCREEN.format(port="none"), "the port of turn answered before and is not shown any more"),
        (SCREEN.format(port=447).replace("Enabled : true", ""), "turn is shown without its state"),
        (SCREEN.format(port=447).replace("new.crt", "none"), "turn is bound to new.key, not to new.key, new.crt"),
        (SCREEN.format(port=447).replace("new.", "none."), "turn is bound to none.key, none.crt, not to"),
    ],
)
async def test_a_screen_that_does_not_prove_the_change_is_a_failure(toy: Toy, screen: str, why: str) -> None:
    """Silence, noise and gaps in the screen are no success."""
    node = toy.add("core1", "turn")
    _answer_after(toy, "turn enable", lambda: node.answers.setdefault("turn", screen))
    result = await toy.run(toy.bind("s1", "core1", "turn"))
    assert why in (result.steps[0].why or "")
    assert result.result == "neither"


async def test_a_port_that_shows_an_empty_chain_is_no_success(toy: Toy) -> None:
    """A handshake without a certificate proves nothing."""
    node = toy.add("core1", "turn")
    load_files = node.load

    def load(service: Any) -> None:
        load_files(service)
        service.loaded["turn"] = ()

    node.load = load
    result = await toy.run(toy.bind("s1", "core1", "turn"))
    assert "the port of turn shows nothing, not what is bound" in (result.steps[0].why or "")


async def test_a_service_that_was_never_read_is_not_called_done(toy: Toy) -> None:
    """Without an earlier screen there is no prediction, so nothing can equal it."""
    toy.add("core1", "turn")
    await toy.look()
    toy.observed["core1"] = replace(toy.observed["core1"], screens={})
    result = await toy.run(replace(toy.bind("s1", "core1", "turn"), impact=None, undo=None))
    assert result.steps[0].why == "the screen of turn was not read before"
    assert toy.outcomes(result) == {"s1": "failed"}


async def test_a_removal_that_cannot_be_proven_is_left(toy: Toy) -> None:
    """The list of files could not be read, so nobody knows whether they are gone."""
    node = toy.add("core1")
    await toy.look()
    node.session.on_remove = lambda _name: None
    node.session.listing = Unreachable("core1", "no TCP connection")
    result = await toy.run(_plain("s1", "core1", RemoveFiles(files=("old.crt",))))
    assert (result.steps[0].outcome, result.steps[0].why) == ("left", "no TCP connection")


async def test_a_saved_copy_that_cannot_be_compared_is_put_back_anyway(toy: Toy) -> None:
    """When the store does not tell what an overwritten file holds, the way back is sent."""
    node = toy.add("core1", "webadmin")
    node.faults["old.crt"] = ["lie"]
    read = node.session.read_file
    times = iter(range(10))

    async def refuse(name: str) -> Any:
        if name == "old.crt" and next(times) == 2:  # after the saving and the look at the upload
            raise StoreRefused("core1", "busy")
        return await read(name)

    await toy.look()
    node.session.read_file = refuse
    result = await toy.run(*_fixed(toy)[:2])
    assert toy.outcomes(result) == {"s1": "done", "s2": "undone"}


async def test_a_full_disk_while_everything_is_ended_is_told(toy: Toy) -> None:
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


async def test_a_second_cancellation_leaves_what_was_in_hand(toy: Toy) -> None:
    """Cut off even in the last look, a step is left: nobody knows how it ended."""
    node = toy.add("core1", "turn")
    node.faults["turn enable"] = ["hang"]
    await toy.look()
    task = asyncio.ensure_future(toy.run(toy.bind("s1", "core1", "turn")))
    while "turn enable" not in node.session.typed("do"):
        await asyncio.sleep(0)
    node.faults["turn"] = ["hang"]
    task.cancel()
    while node.faults["turn"]:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert toy.events[-1].kind == "run-ended"
    assert toy.events[-1].result == "interrupted"


async def test_an_empty_plan_is_applied(toy: Toy) -> None:
    """There is nothing to do, and that is done."""
    assert (await toy.run()).result == "applied"
