"""Whole runs on nodes in memory: what is proven, and what is not believed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from cmscert.apply.readback import FIRST_WAIT, LONGEST_WAIT, Shortfall, until_right
from cmscert.mmp.lines import lines
from cmscert.model.commands import Command, Reply
from cmscert.model.events import Event, ReplyReceived
from cmscert.model.plan import FLEET, Gate, Rebind, RemoveFiles, Step
from cmscert.model.readings import Reading, Unread
from cmscert.pki.certificate import Certificate
from cmscert.testing.fleets import MOMENT
from cmscert.testing.toy_node import ROWS, ToyNode, ToyService
from cmscert.testing.toy_run import ToyRun, plain

SLOTS = ("https", "c2w", "trust-c2w")


async def test_a_run_applies_and_proves_every_step(toy: ToyRun) -> None:
    """Uploads are read back, the check is asked, the service is bound anew and shows the new leaf."""
    node = toy.add("core1", "webadmin")
    del node.store["new.key"], node.store["new.crt"]
    result = await toy.run(
        toy.put("s1", "core1", toy.new.certificate_pem, "new.crt"),
        toy.put("s2", "core1", toy.new, "new.key"),
        toy.check("s3", "core1", ("s1", "s2"), bundle="ca.crt"),
        plain("s4", FLEET, Gate(opens="services"), ("s3",)),
        toy.bind("s5", "core1", "webadmin", ("s4",)),
        plain("s6", "core1", RemoveFiles(files=("old.crt", "old.key")), ("s5",)),
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


async def test_no_event_holds_key_bytes_or_a_turn_password(toy: ToyRun) -> None:
    """Neither the key that is uploaded nor the password on the turn screen reaches an event."""
    toy.add("edge1", "turn")
    result = await toy.run(toy.put("s1", "edge1", toy.new, "new.key"), toy.bind("s2", "edge1", "turn", ("s1",)))
    assert result.result == "applied"
    written = repr(toy.events)
    assert "PRIVATE KEY" not in written
    assert "not-to-be-seen" not in written


async def test_a_slow_service_is_waited_for(toy: ToyRun) -> None:
    """A port that is closed for a while after the start is probed again until it shows the new leaf."""
    node = toy.add("core1", "webadmin")
    node.slow = 3
    assert (await toy.run(toy.bind("s1", "core1", "webadmin"))).result == "applied"
    assert toy.waited == pytest.approx(3 * FIRST_WAIT)


async def test_a_screen_is_not_asked_while_a_port_comes_up(toy: ToyRun) -> None:
    """Once it is right it is kept for two seconds: what is waited for then is the port alone."""
    node = toy.add("core1", "webadmin")
    node.slow = 20
    await toy.look()
    node.session.heard.clear()
    assert (await toy.run(toy.bind("s1", "core1", "webadmin"))).result == "applied"
    assert node.session.typed("ask") == ("webadmin", "webadmin"), "before the change and after it"


def _webbridge(toy: ToyRun, *slots: str) -> Step:
    """Bind slots of a web bridge in one step."""
    steps = [toy.bind("s1", "core1", f"webbridge3/{slot}") for slot in slots]
    bound = tuple(each for step in steps if isinstance(step.action, Rebind) for each in step.action.bindings)
    was = tuple(each for step in steps if isinstance(step.undo, Rebind) for each in step.undo.bindings)
    return replace(
        steps[0],
        action=Rebind(service="webbridge3", bindings=bound),
        undo=Rebind(service="webbridge3", bindings=was),
    )


def _under_way(node: ToyNode) -> list[tuple[str, ...]]:
    """Note with every change which others have no answer yet."""
    under_way: list[str] = []
    most: list[tuple[str, ...]] = []
    do = node.session.do

    async def told(command: Command) -> Reply:
        under_way.append(command.typed)
        await asyncio.sleep(0)
        most.append(tuple(under_way))
        reply = await do(command)
        under_way.remove(command.typed)
        return reply

    node.session.do = told  # type: ignore[method-assign]  # looked at on its way
    return most


async def test_slots_are_bound_side_by_side_while_their_service_is_down(toy: ToyRun) -> None:
    """The lines between the stop and the start do not wait for each other's answers; the start waits for all."""
    node = toy.add("core1", *(f"webbridge3/{slot}" for slot in SLOTS))
    await toy.look()
    most = _under_way(node)
    assert (await toy.run(_webbridge(toy, *SLOTS))).result == "applied"
    assert most[0] == ("webbridge3 disable",)
    assert max(map(len, most)) == len(SLOTS)
    assert most[-1] == ("webbridge3 enable",)
    assert len(most) == 2 + len(SLOTS)


async def test_on_the_way_back_one_line_follows_the_other(toy: ToyRun) -> None:
    """Where something has failed already, nothing is tried that no source vouches for."""
    node = toy.add("core1", *(f"webbridge3/{slot}" for slot in SLOTS))
    node.faults["webbridge3 enable"] = ["failure"]
    await toy.look()
    most = _under_way(node)
    assert (await toy.run(_webbridge(toy, *SLOTS))).result == "rolled-back"
    assert max(map(len, most[5:])) == 1


@pytest.mark.parametrize(("losses", "result"), [(1, "applied"), (2, "rolled-back")])
async def test_what_was_lost_beside_others_is_bound_once_more(toy: ToyRun, losses: int, result: str) -> None:
    """Nobody knows whether a server takes changes side by side: one that did not gets them one by one, once."""
    node = toy.add("core1", *(f"webbridge3/{slot}" for slot in SLOTS))
    await toy.look()
    node.faults[typed(_webbridge(toy, "c2w"))] = ["lie"] * losses
    most = _under_way(node)
    assert (await toy.run(_webbridge(toy, *SLOTS))).result == result
    assert [len(each) for each in most[:10]] == [1, 3, 3, 3, 1, 1, 1, 1, 1, 1]


async def test_one_slot_that_is_not_bound_is_not_tried_again(toy: ToyRun) -> None:
    """It had no neighbour that could be to blame."""
    node = toy.add("core1", *(f"webbridge3/{slot}" for slot in SLOTS))
    node.faults[typed(_webbridge(toy, "c2w"))] = ["lie"]
    assert (await toy.run(_webbridge(toy, "c2w"))).result == "rolled-back"


async def test_every_answer_of_lines_that_were_sent_at_once_is_written_down(toy: ToyRun) -> None:
    """One that fails fails the step; what the others answered stands in the journal nevertheless."""
    node = toy.add("core1", *(f"webbridge3/{slot}" for slot in SLOTS))
    node.faults[typed(_webbridge(toy, "https"))] = ["failure"]
    assert toy.outcomes(await toy.run(_webbridge(toy, *SLOTS))) == {"s1": "undone"}
    answered = [event.typed for event in toy.events if isinstance(event, ReplyReceived)]
    assert typed(_webbridge(toy, "c2w")) in answered
    assert typed(_webbridge(toy, "trust-c2w")) in answered
    assert "webbridge3 enable" in answered, "on the way back"


def typed(step: Step) -> str:
    """Return the one line that binds."""
    assert isinstance(step.action, Rebind)
    return lines(step.action, ROWS["webbridge3"])[1].text


async def test_waits_grow_with_the_time_that_is_spent() -> None:
    """Each is a share of what has passed, between the first and the longest."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def never() -> Shortfall:
        return Shortfall(why="not yet")

    short = await until_right(never, patience=100, sleep=sleep, clock=lambda: MOMENT)
    assert short is not None
    assert slept[0] == FIRST_WAIT
    assert slept[-1] == LONGEST_WAIT
    assert slept == sorted(slept)
    assert all(wait <= max(FIRST_WAIT, sum(slept[:at]) / 16) for at, wait in enumerate(slept))


async def test_independent_servers_run_side_by_side(toy: ToyRun) -> None:
    """Two servers without a link between them are both in hand at once."""
    toy.add("edge1", "turn")
    toy.add("edge2", "turn")
    await toy.run(toy.bind("s1", "edge1", "turn"), toy.bind("s2", "edge2", "turn"))
    kinds = [(event.kind, getattr(event, "step", None)) for event in toy.events[1:-1]]
    assert kinds.index(("step-started", "s2")) < kinds.index(("step-ended", "s1"))


async def test_a_lost_answer_to_the_last_line_is_settled_by_reading(toy: ToyRun) -> None:
    """The connection ended after enable was carried out: screen and port prove the step done."""
    node = toy.add("core1", "webadmin")
    node.faults["webadmin enable"] = ["lost"]
    assert (await toy.run(toy.bind("s1", "core1", "webadmin"))).result == "applied"


async def test_a_lost_answer_to_a_restart_that_nothing_shows_is_a_failure(toy: ToyRun) -> None:
    """Equal bindings do not prove that a call bridge was restarted, when its certificate stays the same."""
    node = toy.add("core1", "callbridge", "callbridge/trust-c2w")
    node.faults["callbridge restart"] = ["lost"]
    result = await toy.run(toy.bind("s1", "core1", "callbridge/trust-c2w"))
    assert toy.outcomes(result) == {"s1": "undone"}
    assert "nothing tells whether callbridge was started again" in (result.steps[0].why or "")


async def test_a_lost_answer_to_a_restart_is_proven_by_the_port(toy: ToyRun) -> None:
    """The port shows the new leaf, so the restart was carried out."""
    node = toy.add("core1", "callbridge")
    node.faults["callbridge restart"] = ["lost"]
    assert (await toy.run(toy.bind("s1", "core1", "callbridge"))).result == "applied"


async def test_a_port_that_shows_another_leaf_is_no_success(toy: ToyRun) -> None:
    """Bound and enabled, but the port shows something else: taken back; and when that cannot be proven, left."""
    node = toy.add("core1", "webadmin")
    await toy.look()

    async def other(_address: str, _port: int, _name: str) -> Reading[tuple[Certificate, ...]]:
        return Unread("a TLS alert")

    node.probe = other
    result = await toy.run(toy.bind("s1", "core1", "webadmin"))
    assert result.result == "neither"
    assert "the port of webadmin: a TLS alert" in (result.steps[0].why or "")


async def test_the_old_leaf_on_the_port_is_no_success(toy: ToyRun) -> None:
    """A service that says enabled and still shows the old leaf has not loaded the new one."""
    node = toy.add("core1", "turn")
    node.faults["turn enable"] = ["lie"]
    node.faults["turn disable"] = ["lie"]
    result = await toy.run(toy.bind("s1", "core1", "turn"))
    assert toy.outcomes(result) == {"s1": "undone"}
    assert "the port of turn shows the certificate of CN=old.example.com" in (result.steps[0].why or "")


@pytest.mark.parametrize(("fault", "outcome"), [("lost", "done"), ("cut", "failed")])
async def test_a_lost_upload_is_settled_by_reading(toy: ToyRun, fault: str, outcome: str) -> None:
    """The store tells whether an upload arrived whose answer was lost."""
    node = toy.add("core1")
    node.faults["more.crt"] = [fault]
    result = await toy.run(toy.put("s1", "core1", toy.new.certificate_pem, "more.crt"))
    assert toy.outcomes(result) == {"s1": outcome}


async def test_an_upload_that_vanishes_fails(toy: ToyRun) -> None:
    """A file that is not there after its upload is a failed step."""
    node = toy.add("core1")
    read = node.session.read_file

    async def gone(name: str) -> bytes | None:
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
async def test_a_check_fails_on_a_clear_no_only(toy: ToyRun, answer: str, outcome: str, why: str) -> None:
    """The wording of pki match is unknown: what is unclear is proven by the service later."""
    node = toy.add("core1")
    node.answers["pki match new.key new.crt"] = answer
    result = await toy.run(toy.check("s1", "core1"))
    assert (result.steps[0].outcome, result.steps[0].why) == (outcome, why)


async def test_a_check_whose_answer_is_lost_fails(toy: ToyRun) -> None:
    """No answer is no yes."""
    node = toy.add("core1")
    node.faults["pki match new.key new.crt"] = ["cut"]
    assert toy.outcomes(await toy.run(toy.check("s1", "core1"))) == {"s1": "failed"}


async def test_an_unknown_change_command_fails(toy: ToyRun) -> None:
    """A server that does not know a command has not carried it out."""
    node = toy.add("core1", "webadmin")
    node.answers["webadmin disable"] = "Unknown command"
    result = await toy.run(toy.bind("s1", "core1", "webadmin"))
    assert "'webadmin disable' is not known to this server" in (result.steps[0].why or "")
    assert result.result == "neither"


async def test_a_failed_removal_leaves_everything_else_done(toy: ToyRun) -> None:
    """Old files that stay are named with the lines that remove them; no service goes back."""
    node = toy.add("core1", "webadmin")
    node.faults["old.key"] = ["cut"]
    result = await toy.run(
        toy.bind("s1", "core1", "webadmin"), plain("s2", "core1", RemoveFiles(files=("old.crt", "old.key")), ("s1",))
    )
    assert toy.outcomes(result) == {"s1": "done", "s2": "left"}
    assert result.steps[1].why == "the connection ended; old.key is still in the store"
    assert result.by_hand == (("core1", ("sftp rm old.crt", "sftp rm old.key")),)


async def test_tls_trust_is_loaded_by_a_call_bridge_restart(toy: ToyRun) -> None:
    """The call bridge restarts, so its port is looked at as well, and shows what it showed before."""
    node = toy.add("core1", "callbridge", "tls/trust-sip")
    node.slow = 1
    assert (await toy.run(toy.bind("s1", "core1", "tls/trust-sip"))).result == "applied"
    assert node.carried_out == ["tls sip trust ca2.crt", "callbridge restart"]
    assert toy.waited == pytest.approx(FIRST_WAIT)


async def test_a_slot_that_the_screen_never_showed_is_told(toy: ToyRun) -> None:
    """Nothing proves the binding, before and after alike: done, with a remark."""
    toy.add("core1", "callbridge", "callbridge/trust-ucm")
    result = await toy.run(toy.bind("s1", "core1", "callbridge/trust-ucm"))
    assert (result.result, result.steps[0].why) == ("applied", "the screen does not show callbridge/trust-ucm")


def _answer_after(toy: ToyRun, typed: str, change: Callable[[], object]) -> None:
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
async def test_a_screen_that_does_not_prove_the_change_is_a_failure(toy: ToyRun, screen: str, why: str) -> None:
    """Silence, noise and gaps in the screen are no success."""
    node = toy.add("core1", "turn")
    _answer_after(toy, "turn enable", lambda: node.answers.setdefault("turn", screen))
    result = await toy.run(toy.bind("s1", "core1", "turn"))
    assert why in (result.steps[0].why or "")
    assert result.result == "neither"


async def test_a_port_that_shows_an_empty_chain_is_no_success(toy: ToyRun) -> None:
    """A handshake without a certificate proves nothing."""
    node = toy.add("core1", "turn")
    load_files = node.load

    def load(service: ToyService) -> None:
        load_files(service)
        service.loaded["turn"] = ()

    node.load = load
    result = await toy.run(toy.bind("s1", "core1", "turn"))
    assert "the port of turn shows nothing, not what is bound" in (result.steps[0].why or "")


async def test_a_service_that_was_never_read_is_not_called_done(toy: ToyRun) -> None:
    """Without an earlier screen there is no prediction, so nothing can equal it."""
    toy.add("core1", "turn")
    await toy.look()
    toy.observed["core1"] = replace(toy.observed["core1"], screens={})
    result = await toy.run(replace(toy.bind("s1", "core1", "turn"), impact=None, undo=None))
    assert result.steps[0].why == "changed since the plan was made: turn was not read when the plan was made"
    assert toy.outcomes(result) == {"s1": "failed"}


async def test_an_empty_plan_is_applied(toy: ToyRun) -> None:
    """There is nothing to do, and that is done."""
    assert (await toy.run()).result == "applied"
