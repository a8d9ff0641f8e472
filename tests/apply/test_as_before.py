"""Code 8 is for what is proven to be as before: what was unbound, half shown, or cannot be shown at all."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cmscert.errors import Unreachable
from cmscert.model.observed import Binding
from cmscert.model.plan import Impact, Rebind, Restart, Step
from cmscert.model.readings import Known, Reading
from cmscert.model.services import Service
from cmscert.pki.certificate import Certificate
from cmscert.testing.toy_node import ToyNode, ToyService
from cmscert.testing.toy_run import ToyRun, plain


def bare(toy: ToyRun, service: str, *, enabled: bool = True) -> ToyNode:
    """Add a node with a service that has nothing bound, and does not start on nothing."""
    node = toy.add("core1", service)
    node.services[service] = ToyService(enabled=enabled)
    node.picky.add(service)
    return node


def first(toy: ToyRun, service: str, *, stopped: bool = False) -> Step:
    """Bind a pair where nothing was bound."""
    step = toy.bind("s1", "core1", service)
    assert isinstance(step.action, Rebind)
    return replace(
        step,
        action=replace(step.action, stopped=stopped),
        impact=None if stopped else step.impact,
        undo=Rebind(service=service, bindings=(Binding(slot=service),), stopped=stopped),
    )


@pytest.mark.parametrize("service", ["callbridge", "webadmin", "turn"])
@pytest.mark.parametrize("fault", ["failure", "lie", "cut"])
async def test_a_first_set_up_that_fails_is_as_before(toy: ToyRun, service: str, fault: str) -> None:
    """Nothing was bound, so nothing starts on the way back, and that is as before."""
    node = bare(toy, service)
    verb = "restart" if service == "callbridge" else "enable"
    node.faults[f"{service} {verb}"] = [fault]
    if service == "callbridge":  # its screen does not tell whether it runs: only a port could
        node.faults[f"{service} {verb}"] = ["failure"]
    result = await toy.run(first(toy, service))
    assert toy.outcomes(result) == {"s1": "undone"}
    assert result.result == "rolled-back"
    assert result.by_hand == ()
    assert node.binding(service) == Binding(slot=service)
    assert service not in node.services[service].loaded


async def test_a_first_set_up_of_a_stopped_service_is_unbound_again(toy: ToyRun) -> None:
    """A stopped service is neither started by the change nor by its way back."""
    node = bare(toy, "turn", enabled=False)
    node.faults["turn certs new.key new.crt"] = ["lie"]
    result = await toy.run(first(toy, "turn", stopped=True))
    assert (result.result, toy.outcomes(result)) == ("rolled-back", {"s1": "undone"})
    assert not node.services["turn"].enabled
    assert node.carried_out == ["turn certs none"]


async def test_a_bare_service_whose_port_answers_now_is_not_as_before(toy: ToyRun) -> None:
    """It did not answer before; when it does after the way back, it still holds the new pair: left."""
    node = bare(toy, "turn")
    await toy.look()

    async def stays(_address: str, _port: int, _name: str) -> Reading[tuple[Certificate, ...]]:
        return Known((toy.new.certificate,))

    node.faults["turn enable"] = ["failure"]
    node.picky.clear()
    node.probe = stays
    result = await toy.run(first(toy, "turn"))
    assert result.result == "neither"
    assert "the port of turn answers, and did not before" in (result.steps[0].why or "")
    assert result.by_hand == (("core1", ("turn disable", "turn certs none", "turn enable")),)


async def test_a_port_that_was_silent_may_show_what_is_bound_again(toy: ToyRun) -> None:
    """A service that did not run on its old pair, and does after the way back, is no worse than before."""
    node = toy.add("core1", "turn")
    node.slow = 0
    loaded = node.services["turn"].loaded.pop("turn")
    node.faults["turn enable"] = ["failure"]
    result = await toy.run(toy.bind("s1", "core1", "turn"))
    assert result.result == "rolled-back"
    assert node.services["turn"].loaded["turn"] == loaded


async def test_a_start_that_is_refused_with_something_bound_is_a_failure(toy: ToyRun) -> None:
    """Only where nothing is bound a refused start is as before."""
    node = toy.add("core1", "turn")
    node.faults["turn enable"] = ["failure", "failure"]
    assert (await toy.run(toy.bind("s1", "core1", "turn"))).result == "neither"


def lagging(node: ToyNode, looks: int) -> None:
    """Let the screens show half of what was bound for some looks: the new key beside the old certificate."""
    screen, left = node._screen, [looks]

    def half(row: Service, words: tuple[str, ...]) -> str:
        service = node.services[row.name]
        bound = dict(service.bound)
        if left[0] and any(slot.key == "new.key" for slot in bound.values()):
            left[0] -= 1
            service.bound = {name: replace(slot, certificate="old.crt") for name, slot in bound.items()}
        text = screen(row, words)
        service.bound = bound
        return text

    node._screen = half


async def test_a_screen_that_shows_half_is_looked_at_again(toy: ToyRun) -> None:
    """A screen that is slow is given a moment; the change is done when it shows the whole."""
    node = toy.add("core1", "turn")
    lagging(node, 3)
    assert (await toy.run(toy.bind("s1", "core1", "turn"))).result == "applied"
    assert 0 < toy.waited < 3


async def test_a_screen_that_goes_on_showing_half_fails_soon(toy: ToyRun) -> None:
    """After a few seconds half is what is bound: the way back begins, long before a port would be given up."""
    node = toy.add("core1", "turn")
    lagging(node, 100)
    result = await toy.run(toy.bind("s1", "core1", "turn"))
    assert result.result == "rolled-back"
    assert "turn is bound to new.key, old.crt, not to new.key, new.crt" in (result.steps[0].why or "")
    assert toy.waited < 10


async def test_a_way_back_that_no_screen_shows_is_not_called_verified(toy: ToyRun) -> None:
    """Going forward an untold slot is a remark; on the way back it means that nobody knows: 9, with the lines."""
    node = toy.add("core1", "callbridge", "callbridge/trust-ucm")
    node.faults["callbridge restart"] = ["failure"]
    result = await toy.run(toy.bind("s1", "core1", "callbridge/trust-ucm"))
    assert result.result == "neither"
    assert "the screen does not show callbridge/trust-ucm: nothing proves it" in (result.steps[0].why or "")
    assert result.by_hand == (("core1", ("callbridge ucm certs ca.crt", "callbridge restart")),)


async def test_a_way_back_without_a_connection_is_left(toy: ToyRun) -> None:
    """When the server is gone nothing is verified: 9, and the lines of the way back are told in their order."""
    node = toy.add("core1", "turn", "webadmin")
    await toy.look()

    async def gone(*_: object) -> None:
        raise Unreachable("core1", "no TCP connection")

    def emit(event: object) -> None:
        toy.events.append(event)
        if getattr(event, "typed", None) == "webadmin enable":
            node.session.ask = node.session.do = node.session.list_files = gone

    toy.emit = emit
    result = await toy.run(toy.bind("s1", "core1", "turn"), toy.bind("s2", "core1", "webadmin"))
    assert toy.outcomes(result) == {"s1": "left", "s2": "left"}
    assert result.result == "neither"
    assert result.by_hand == (
        (
            "core1",
            (
                *("webadmin disable", "webadmin certs old.key old.crt", "webadmin enable"),
                *("turn disable", "turn certs old.key old.crt", "turn enable"),
            ),
        ),
    )


async def test_a_restart_without_a_way_back_is_typed_again_by_hand(toy: ToyRun) -> None:
    """There is nothing to bind back; what a person can do is to let the service load its files once more."""
    node = toy.add("core1", "turn")
    node.faults["turn enable"] = ["failure"]
    step = plain("s1", "core1", Restart(service="turn"), impact=Impact(service="turn", notices="a test", seconds=1))
    result = await toy.run(step)
    assert (result.result, toy.outcomes(result)) == ("neither", {"s1": "left"})
    assert result.by_hand == (("core1", ("turn disable", "turn enable")),)


def _shared(toy: ToyRun) -> tuple[Step, Step]:
    """Bind trust of tls without a restart, and then the call bridge with the one restart that loads both."""
    tls = toy.bind("s1", "core1", "tls/trust-sip")
    assert isinstance(tls.action, Rebind)
    carried = replace(tls, action=replace(tls.action, stopped=True), impact=None)
    return carried, toy.bind("s2", "core1", "callbridge", ("s1",))


async def test_one_restart_loads_trust_and_certificate(toy: ToyRun) -> None:
    """The call bridge goes down once for both."""
    node = toy.add("core1", "callbridge", "tls/trust-sip")
    assert (await toy.run(*_shared(toy))).result == "applied"
    assert node.carried_out == ["tls sip trust ca2.crt", "callbridge certs new.key new.crt", "callbridge restart"]


async def test_trust_that_shared_a_restart_is_loaded_on_its_way_back(toy: ToyRun) -> None:
    """When the call bridge fails both go back, and the old trust is loaded by a restart of its own."""
    node = toy.add("core1", "callbridge", "tls/trust-sip")
    node.faults["callbridge restart"] = ["failure"]
    result = await toy.run(*_shared(toy))
    assert toy.outcomes(result) == {"s1": "undone", "s2": "undone"}
    assert node.carried_out[-2:] == ["tls sip trust ca.crt", "callbridge restart"]
    assert node.binding("tls/trust-sip").bundle == "ca.crt"


async def test_trust_that_somebody_changed_is_not_bound_over(toy: ToyRun) -> None:
    """Also a change that starts nothing is made only where all is as the plan leans on."""
    node = toy.add("core1", "callbridge", "tls/trust-sip")
    await toy.look()
    node.holds("tls/trust-sip", bundle="colleague.crt")
    result = await toy.run(*_shared(toy))
    assert node.carried_out == []
    assert "tls/trust-sip is bound to colleague.crt now, and was to ca.crt" in (result.steps[0].why or "")
