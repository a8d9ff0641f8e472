"""Drift says whether people made it on the server or only the inventory has gained it, on a fleet that really runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from typing import Any

import pytest

from cmscert.lab.spec import NodeSpec

Cli = Callable[..., Any]
MakeBench = Callable[..., Any]
Found = dict[tuple[str | None, str], str]


def drift_of(made: Any, cli: Cli, *more: object) -> Found:  # noqa: ANN401 - the bench of conftest
    """Return where each finding comes from, by slot and reason."""
    report = cli("drift", made.inventory, "--format", "json", *more).document("drift")
    return {(each["slot"], each["reason"]): each["origin"] for each in report["findings"]}


def put_by_hand(made: Any) -> None:  # noqa: ANN401 - the bench of conftest
    """Bind an old pair on the server, as somebody would."""
    for line in (
        "callbridge certs old.key old.crt",
        "callbridge restart",
    ):
        made.typed("cms", line)
    made.settled()


@pytest.fixture
def applied(bench: MakeBench, cli: Cli) -> Any:  # noqa: ANN401 - same
    """One server that an apply has just put right; a pair of last year lies in its store under another name."""

    def keep_old(specs: dict[str, NodeSpec]) -> None:
        files = specs["cms"].files
        files |= {"old.key": files["all-2026.key"], "old.crt": files["all-2026.crt"]}

    made = bench("single.yaml", "aged", change=keep_old)
    ran = cli("apply", made.inventory, "--yes")
    assert ran.code == 0, ran
    made.settled()
    return made


def test_people_inventory_and_no_journal(applied: Any, cli: Cli) -> None:  # noqa: ANN401 - same
    """Nothing at first; then what was typed, then what the inventory asks for; without the journal nobody knows."""
    calm = drift_of(applied, cli)
    applied.edit(("trust:\n          c2w: corp\n        port", "port"), ("bundle: corp\n        port", "port"))
    pending = drift_of(applied, cli)
    told = cli("drift", applied.inventory)
    put_by_hand(applied)
    by_hand = drift_of(applied, cli)
    status = cli("status", applied.inventory, "--format", "json").document("status")
    shutil.rmtree(applied.folder / ".cmscert")
    untold = cli("drift", applied.inventory)

    assert calm == {}
    assert set(pending.values()) == {"inventory"}
    assert "the inventory asks for more since" in told.out
    assert by_hand["callbridge", "leaf-differs"] == "server"
    assert set(drift_of(applied, cli).values()) == {"unknown"}
    assert "cannot be told" in " ".join(untold.out.split())
    assert json.dumps(status).count("PRIVATE") == 0


def test_what_has_nothing_to_do_proves_too(applied: Any, cli: Cli) -> None:  # noqa: ANN401 - same
    """An apply that finds all as wanted knows as much as one that changed something."""
    shutil.rmtree(applied.folder / ".cmscert")
    nothing = cli("apply", applied.inventory, "--yes")
    put_by_hand(applied)
    found = drift_of(applied, cli)

    assert nothing.code == 0
    assert "Nothing to do" in nothing.out
    assert found["callbridge", "leaf-differs"] == "server"
    assert not (applied.folder / ".cmscert" / "runs").exists()


def test_a_rollback_leaves_what_is_pending(applied: Any, cli: Cli) -> None:  # noqa: ANN401 - same
    """After a rollback nobody changed anything: the inventory asks for what was taken back."""
    back = cli("rollback", "last", "--inventory", applied.inventory, "--yes")
    applied.settled()
    found = drift_of(applied, cli)

    assert back.code == 0, back
    assert {kind for (_, reason), kind in found.items() if reason not in {"expires-soon", "expired"}} == {"inventory"}
    assert {kind for (_, reason), kind in found.items() if reason in {"expires-soon", "expired"}} <= {"time"}
