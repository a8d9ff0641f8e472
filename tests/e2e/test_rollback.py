"""A whole run is taken back: every service serves what it served before, proven on a fleet that really runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cmscert.apply.runs import list_runs

Cli = Callable[..., Any]
MakeBench = Callable[..., Any]
FLEETS = ("single.yaml", "cluster.yaml", "legacy-2.9.yaml")


def runs_of(made: Any) -> tuple[str, ...]:  # noqa: ANN401 - the bench of conftest
    """Return the ids of a fleet's runs, oldest first."""
    return tuple(record.id for record in list_runs(made.folder / ".cmscert"))


def take_back(made: Any, cli: Cli, run: str, code: int = 0, *more: str) -> dict[str, Any]:  # noqa: ANN401 - same
    """Take a run back, hold the code, return the document."""
    ran = cli("rollback", run, "--state-dir", made.folder / ".cmscert", "--yes", "--format", "json", *more)
    assert ran.code == code, ran
    made.settled()
    return ran.document("run")


@pytest.mark.parametrize("fleet", FLEETS)
def test_apply_then_rollback_is_as_before(bench: MakeBench, cli: Cli, fleet: str) -> None:
    """After apply and rollback every binding, served leaf and enabled flag is as before, links never broke."""
    made = bench(fleet, "aged")
    before = made.state()
    assert cli("apply", made.inventory, "--yes").code == 0
    made.settled()
    assert made.state() != before
    with made.watched() as watch:
        run = take_back(made, cli, runs_of(made)[0])

    assert run["result"] == "applied"
    assert made.state() == before
    assert watch.broken == []
    assert watch.together == []
