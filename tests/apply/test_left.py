"""Services that an earlier run stopped are started, and have to answer where they answered before."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from cmscert.model.desired import Desired, LookedAt
from cmscert.model.plan import Impact, Restart, Step
from cmscert.testing.toy_node import ToyNode
from cmscert.testing.toy_run import ToyRun, plain


@dataclass(kw_only=True)
class LeftRun(ToyRun):
    """A toy run that knows whether the web admin answered before it was stopped."""

    answered: bool = True

    def desired(self) -> Desired:
        """Return what is wanted, and what is looked at."""
        desired = super().desired()
        look = (LookedAt(slot="webadmin", answered=self.answered),)
        return replace(desired, servers=tuple(replace(server, looked_at=look) for server in desired.servers))


def stopped(run: LeftRun) -> ToyNode:
    """Add a node whose web admin was stopped when its new files were bound."""
    node = run.add("core1", "webadmin")
    node.holds("webadmin", key="new.key", certificate="new.crt")
    node.services["webadmin"].enabled = False
    return node


def start() -> Step:
    """Return the step that starts it, and starts it again as its way back."""
    impact = Impact(service="webadmin", notices="a test", seconds=1)
    again = Restart(service="webadmin")
    return plain("s1", "core1", again, impact=impact, undo=again)


@pytest.mark.parametrize("answered", [True, False])
async def test_started_service_is_proven(answered: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """A service that comes up is proven, by its port where that answered before."""
    run = LeftRun(answered=answered)
    node = stopped(run)
    result = await run.run(start())

    assert run.outcomes(result) == {"s1": "done"}
    assert node.services["webadmin"].enabled
    assert node.carried_out == ["webadmin disable", "webadmin enable"]


async def test_started_service_whose_port_stays_closed_is_not_done() -> None:
    """A service that says it runs, and does not answer where it answered before, is not done."""
    run = LeftRun()
    node = stopped(run)
    node.slow = 10_000
    result = await run.run(start())

    assert run.outcomes(result) == {"s1": "left"}
    assert result.by_hand == (("core1", ("webadmin disable", "webadmin enable")),)


async def test_started_service_that_shows_another_leaf_is_not_done() -> None:
    """What is bound has to be served, not only something."""
    run = LeftRun()
    node = stopped(run)
    node.store["new.crt"] = run.old.certificate_pem
    await run.look()
    node.store["new.crt"] = run.new.certificate_pem
    result = await run.run(start())

    assert run.outcomes(result) == {"s1": "left"}
