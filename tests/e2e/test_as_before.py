"""What is taken back is as it was: after a first set-up, and in time where people come in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

Cli = Callable[..., Any]
MakeBench = Callable[..., Any]


def rolled_back(made: Any, cli: Cli) -> dict[str, Any]:  # noqa: ANN401 - the bench of conftest
    """Apply, and hold that it ends with 8."""
    ran = cli("apply", made.inventory, "--yes", "--format", "json")
    assert ran.code == 8, ran
    made.settled()
    run: dict[str, Any] = ran.document("run")
    return run


def test_first_set_up_that_fails(bench: MakeBench, cli: Cli) -> None:
    """Services that had nothing bound have nothing bound again, and that is 8: nothing started before either."""
    made = bench("single.yaml", "fresh")
    before = made.state()
    node = made.node("cms")
    made.on("cms", "callbridge restart", lambda: node.faults.fail.update({"callbridge restart": "no"}))
    made.on("cms", "callbridge restart", node.faults.fail.clear)
    run = rolled_back(made, cli)

    assert "undone" in {step["outcome"] for step in run["steps"] if step["kind"] == "bind"}
    assert run["by_hand"] == []
    assert made.state() == before


@pytest.mark.slow
def test_nobody_is_locked_out(bench: MakeBench, cli: Cli) -> None:
    """When web administration does not come up on its new certificate, the old one is served again within 30 s."""
    made = bench("single.yaml", "aged")
    node = made.node("cms")
    before = made.state()["cms"]["webadmin"]
    seen: list[float] = []

    def bound() -> None:
        seen.append(time.monotonic())
        node.faults.no_start = ("webadmin",)
        made.on("cms", "webadmin disable", lambda: setattr(node.faults, "no_start", ()))

    made.on("cms", "webadmin certs", bound)
    watched = threading.Thread(target=_await_old, args=(made, before["loaded"]["webadmin"], seen))
    watched.start()
    run = rolled_back(made, cli)
    watched.join(60)

    assert "webadmin" in run["why"]
    assert made.state()["cms"]["webadmin"] == before
    assert seen[1] - seen[0] < 30


def _await_old(made: Any, old: Any, seen: list[float]) -> None:  # noqa: ANN401 - the bench of conftest
    """Note when the old certificate is served again after the new one was bound."""
    node = made.node("cms")
    end = time.monotonic() + 100
    while time.monotonic() < end and (not seen or not node.up("webadmin") or node.served("webadmin") != old):
        time.sleep(0.02)
    seen.append(time.monotonic())
