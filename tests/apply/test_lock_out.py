"""Web administration is what people come in by: its old pair is back within 30 s, whatever goes wrong with the new."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from cmscert.model.events import CommandSent, ReplyReceived, RunResult
from cmscert.model.plan import Impact, Step
from cmscert.model.readings import ABSENT, Known, Reading, Unread
from cmscert.pki.certificate import Certificate
from cmscert.testing.timeless import TimelessLoop, run_timeless
from cmscert.testing.toy_node import ToyNode
from cmscert.testing.toy_run import ToyRun

PROMISED = 30.0


def timed(break_it: Callable[[ToyRun, ToyNode], object], *, seconds: int = 10) -> tuple[ToyRun, RunResult, float]:
    """Change webadmin while something is wrong; return how long it took from the binding to the old pair's start.

    Time passes only while everybody waits. ``seconds``: what the plan says that webadmin takes.
    """
    loop = TimelessLoop()
    toy = ToyRun()
    toy.sleep, toy.clock = asyncio.sleep, loop.clock  # type: ignore[method-assign]  # this loop's time

    async def go() -> RunResult:
        node = toy.add("core1", "webadmin")
        await toy.look()
        break_it(toy, node)
        step = toy.bind("s1", "core1", "webadmin")
        return await toy.run(replace(step, impact=Impact(service="webadmin", notices="a test", seconds=seconds)))

    result = run_timeless(loop, go())
    bound = next(event.at for event in toy.events if isinstance(event, CommandSent) and " new.key" in event.typed)
    started = [
        event.at for event in toy.events if isinstance(event, ReplyReceived) and event.typed == "webadmin enable"
    ]
    return toy, result, (started[-1] - bound).total_seconds()


def _silent_port(toy: ToyRun, node: ToyNode) -> None:
    """The new certificate is bound and loaded; the port answers with the old one only."""

    async def probe(_address: str, _port: int, _name: str) -> Reading[tuple[Certificate, ...]]:
        loaded = node.services["webadmin"].loaded["webadmin"]
        return Known(loaded) if loaded == (toy.old.certificate,) else ABSENT

    node.probe = probe  # type: ignore[method-assign]  # what is wrong


def _slow_port(_toy: ToyRun, node: ToyNode) -> None:
    """Every look at the port takes its whole time-out."""
    shown = node.probe

    async def probe(address: str, port: int, name: str) -> Reading[tuple[Certificate, ...]]:
        if node.binding("webadmin").certificate == "old.crt":
            return await shown(address, port, name)
        await asyncio.sleep(5)
        return Unread("no answer in time")

    node.probe = probe  # type: ignore[method-assign]  # what is wrong


def _late_screen(_toy: ToyRun, node: ToyNode) -> None:
    """The status screen never comes once the new pair is bound."""
    ask = node.session.ask

    async def late(command: object) -> object:
        if str(command) == "webadmin" and node.binding("webadmin").certificate == "new.crt":
            await asyncio.Event().wait()
        return await ask(command)  # type: ignore[arg-type]  # the session's own

    node.session.ask = late  # type: ignore[method-assign,assignment]  # what is wrong


WRONG = {
    "port": _silent_port,
    "slow port": _slow_port,
    "hanging screen": _late_screen,
    "enable hangs": lambda _, node: node.faults.update({"webadmin enable": ["hang"]}),
    "enable lies": lambda _, node: node.faults.update({"webadmin enable": ["lie"]}),
    "enable is cut": lambda _, node: node.faults.update({"webadmin enable": ["cut"]}),
    "enable fails": lambda _, node: node.faults.update({"webadmin enable": ["failure"]}),
    "certs lies": lambda _, node: node.faults.update({"webadmin certs new.key new.crt": ["lie"]}),
    "certs hangs": lambda _, node: node.faults.update({"webadmin certs new.key new.crt": ["hang"]}),
}


@pytest.mark.parametrize("seconds", [1, 10, 600])
@pytest.mark.parametrize("what", WRONG)
def test_the_old_pair_is_back_in_time(what: str, seconds: int) -> None:
    """From the binding of the new pair to the start with the old one it takes less than 30 s."""
    toy, result, took = timed(WRONG[what], seconds=seconds)

    assert result.result == "rolled-back", result
    assert took < PROMISED
    assert toy.nodes["core1"].binding("webadmin").certificate == "old.crt"
    assert toy.nodes["core1"].services["webadmin"].loaded["webadmin"] == (toy.old.certificate,)
    assert toy.nodes["core1"].services["webadmin"].enabled


def test_the_reason_names_how_long_it_was_waited() -> None:
    """A change that is cut off in the middle of a line says so."""
    _, result, _ = timed(WRONG["enable hangs"])
    assert result.steps[0].why == "webadmin was not proven to be well within 20 s"


def test_other_services_get_the_time_that_they_take() -> None:
    """Only web administration is bounded: a call bridge may take minutes to come up."""
    loop = TimelessLoop()
    toy = ToyRun()
    toy.sleep, toy.clock = asyncio.sleep, loop.clock  # type: ignore[method-assign]  # this loop's time

    async def go() -> RunResult:
        node = toy.add("core1", "turn")
        await toy.look()
        node.slow = 80
        step: Step = toy.bind("s1", "core1", "turn")
        return await toy.run(replace(step, impact=Impact(service="turn", notices="a test", seconds=60)))

    assert run_timeless(loop, go()).result == "applied"
    assert loop.time() > PROMISED
