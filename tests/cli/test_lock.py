"""``cmscert lock`` on one machine: who holds a fleet, and what a run that died left."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from cmscert.apply import lock as lock_module
from cmscert.apply.lock import Record, locked, read_record, write_record

Cli = Callable[..., Any]
RUN = "20261123T220000Z-0a1b2c"
DEAD = Record(
    fleet="dead",
    owner="ann",
    machine=platform.node(),
    pid=os.getpid(),
    run=RUN,
    since=datetime(2026, 11, 23, 22, 0, tzinfo=UTC),
    command="apply",
)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a working folder with the locks of a run that died and of one that left something."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lock_module, "ATTEMPT", 0.05)
    state = tmp_path / ".cmscert"
    (state / "locks").mkdir(parents=True)
    write_record(state, DEAD)
    write_record(state, replace(DEAD, fleet="left", left=(RUN,), ended=True))
    return state


@pytest.fixture
def live(state: Path) -> Any:  # noqa: ANN401 - a generator
    """Hold two fleets: one says who it is, the other does not."""
    with ExitStack() as stack:
        for fleet in ("live", "nameless"):
            stack.enter_context(locked(state, fleet))
        write_record(state, replace(DEAD, fleet="live", command="rollback"))
        yield state


def document(ran: Any) -> dict[str, Any]:  # noqa: ANN401 - what cli returns
    """Read stdout as a document that fits its schema."""
    read: dict[str, Any] = json.loads(ran.out)
    schema = Path(__file__).parents[2] / "schemas" / "locks.schema.json"
    Draft202012Validator(json.loads(schema.read_text())).validate(read)
    return read


@pytest.mark.usefixtures("live")
def test_every_state_is_told(cli: Cli) -> None:
    """A list says of each fleet who has it, or had it, and what that means."""
    ran = cli("lock", "list")

    assert ran.code == 0
    told = " ".join(ran.out.split())
    who = f"ann on {platform.node()} since 2026-11-23 22:00:00 UTC"
    assert f"dead: {who} (cmscert apply, pid {os.getpid()}, run {RUN}) died with it" in told
    assert "ended, and may have left lock files on servers" in told
    assert f"live: {who} (cmscert rollback" in told
    assert "nameless: a process that does not say who it is holds it now" in told


@pytest.mark.usefixtures("live")
def test_every_state_in_a_document(cli: Cli) -> None:
    """The document has the same, with null for what is not known."""
    read = document(cli("lock", "list", "--format", "json"))

    states = {each["fleet"]: each["state"] for each in read["locks"]}
    assert states == {"dead": "dead", "left": "left", "live": "held", "nameless": "held"}
    assert read["locks"][-1]["owner"] is None
    assert (read["servers"], read["unread"], read["released"], read["removed"]) == (None, [], [], [])


def test_places_can_be_named(cli: Cli, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state directory, or the inventory beside it, from anywhere; nothing there is nobody."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    assert cli("lock", "list").out == "Nobody holds a lock on this machine.\n"
    assert "died with it" in cli("lock", "list", "--state-dir", state).out
    assert "died with it" in cli("lock", "list", tmp_path / "fleet.yaml").out


def test_released(cli: Cli, state: Path) -> None:
    """What runs left that are over is forgotten, one fleet or all, and that is told."""
    assert cli("lock", "release", "--fleet", "left").out.startswith("released: left\ndead: ann")
    ran = cli("lock", "release", "--format", "json")

    assert ran.code == 0
    assert document(ran)["released"] == ["dead"]
    assert read_record(state, "dead") is None
    assert cli("lock", "release").out == "Nobody holds a lock on this machine.\n"


def test_living_lock_is_never_released(cli: Cli, live: Path) -> None:
    """A lock that a process holds stays, and so do all others then."""
    ran = cli("lock", "release")

    assert ran.code == 7
    assert f"live is being changed by ann on {platform.node()}" in ran.err
    assert read_record(live, "live") is not None
    assert read_record(live, "dead") is not None


@pytest.mark.parametrize("words", [("list", "--nodes"), ("release", "--nodes", "--yes")])
def test_servers_come_from_an_inventory(cli: Cli, words: tuple[str, ...]) -> None:
    """Without an inventory nobody knows which servers to ask."""
    ran = cli("lock", *words)

    assert ran.code == 2
    assert "--nodes needs an INVENTORY" in ran.err


def test_help_says_what_is_asked(cli: Cli) -> None:
    """Help tells that no server is asked unless somebody wants it."""
    assert "unless --nodes is given" in " ".join(cli("lock", "list", "--help").out.split())
