"""A saved plan is applied as it was reviewed, or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]
MakeBench = Callable[..., Any]


@pytest.fixture(scope="module")
def fleet(shared_bench: MakeBench) -> Any:  # noqa: ANN401 - the bench of conftest
    """A cluster with old certificates; every test leaves it as it found it."""
    return shared_bench("cluster.yaml", "aged")


@pytest.fixture(scope="module")
def saved(fleet: Any, cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ANN401 - the bench of conftest
    """A plan of that cluster."""
    file = tmp_path_factory.mktemp("saved") / "p.json"
    assert cli("plan", fleet.inventory, "--save", file, "--detailed-exitcode").code == 5
    return file


def refused(fleet: Any, cli: Cli, plan: Path, *parts: str, code: int = 7, inventory: Path | None = None) -> None:  # noqa: ANN401 - the bench of conftest
    """Hold that a plan is refused, and that nothing is sent that changes anything."""
    marks = fleet.marks()
    ran = cli("apply", inventory or fleet.inventory, "--plan", plan, "--yes")
    assert ran.code == code, ran
    assert [part for part in parts if part not in ran.err] == [], ran.err
    assert fleet.since(marks) == {}
    if code == 3:
        assert fleet.marks() == marks


def altered(saved: Path, folder: Path, alter: Callable[[dict[str, Any]], object]) -> Path:
    """Write a copy of a plan that somebody edited."""
    plan = json.loads(saved.read_text())
    alter(plan)
    file = folder / "edited.json"
    file.write_text(json.dumps(plan))
    return file


def test_unchanged_fleet_takes_the_saved_plan(bench: MakeBench, cli: Cli, tmp_path: Path) -> None:
    """The saved plan does exactly what it says, and is stale once it is done."""
    made = bench("single.yaml", "faults")
    file = tmp_path / "p.json"
    cli("plan", made.inventory, "--save", file)
    plan = json.loads(file.read_text())
    marks = made.marks()
    run = cli("apply", made.inventory, "--plan", file, "--yes", "--format", "json").document("run")
    promised = [line for step in plan["steps"] for line in step["commands"]]

    assert run["result"] == "applied"
    assert [step["id"] for step in run["steps"]] == [step["id"] for step in plan["steps"]]
    typed = [line.removeprefix("sftp ") for line in promised if not line.startswith(("pki ", "sftp get "))]
    assert made.since(marks)["cms"] == typed
    refused(made, cli, file, "no longer as the plan was made from")


def test_same_state_and_moment_give_the_same_bytes(fleet: Any, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN401 - the bench of conftest
    """With the moment fixed, two plans of one state are the same to the byte."""
    from cmscert.app import clock

    moment = clock.utc_now()
    monkeypatch.setattr(clock, "utc_now", lambda: moment)
    one, other = (cli("plan", fleet.inventory, "--format", "json").out for _ in range(2))

    assert one
    assert one == other


def test_inventory_changed(fleet: Any, cli: Cli, saved: Path, tmp_path: Path) -> None:  # noqa: ANN401 - the bench of conftest
    """After a change of the inventory the plan is stale, and nobody is asked anything."""
    shutil.copytree(fleet.folder, tmp_path / "desk")
    inventory = tmp_path / "desk" / fleet.inventory.name
    text = inventory.read_text()
    inventory.write_text(text.replace("keep_revisions: 2", "keep_revisions: 3"))
    assert inventory.read_text() != text
    refused(fleet, cli, saved, "the inventory, or a certificate", "plan --save", inventory=inventory)


def test_certificate_changed(fleet: Any, cli: Cli, saved: Path, tmp_path: Path) -> None:  # noqa: ANN401 - the bench of conftest
    """New material under the same names in the inventory makes the plan stale too."""
    shutil.copytree(fleet.folder, tmp_path / "desk")
    (tmp_path / "desk" / "pki" / "root-ca.crt").write_bytes((fleet.folder / "pki" / "root-ca.crt").read_bytes() * 2)
    inventory = tmp_path / "desk" / fleet.inventory.name
    ran = cli("apply", inventory, "--plan", saved, "--yes")
    assert ran.code in (3, 7), ran


def test_other_inventory(fleet: Any, cli: Cli, saved: Path, tmp_path: Path) -> None:  # noqa: ANN401 - the bench of conftest
    """A plan for another fleet is refused by name."""
    shutil.copytree(fleet.folder, tmp_path / "desk")
    inventory = tmp_path / "desk" / fleet.inventory.name
    inventory.write_text(inventory.read_text().replace("fleet: example", "fleet: other"))
    refused(fleet, cli, saved, "fleet example", "other", inventory=inventory)


def test_binding_changed_on_a_node(fleet: Any, cli: Cli, saved: Path) -> None:  # noqa: ANN401 - the bench of conftest
    """When somebody bound something else meanwhile, the plan is stale and names slot and files."""
    turn = fleet.node("edge2").machine.services["turn"].slots["turn"]
    before = turn.certificate
    turn.certificate = fleet.node("edge2").bound("webadmin").certificate
    try:
        refused(
            fleet,
            cli,
            saved,
            "edge2: turn is bound to ",
            f" {turn.certificate}, ",
            f"now, and was to {turn.key}, {before}",
        )
    finally:
        turn.certificate = before


def test_file_changed_on_a_node(fleet: Any, cli: Cli, saved: Path) -> None:  # noqa: ANN401 - the bench of conftest
    """When a bound file holds something else meanwhile, the plan is stale and names the file."""
    node = fleet.node("core2")
    name = node.bound("webadmin").certificate
    before = node.files[name]
    node.files[name] = before + b"\n"
    try:
        refused(fleet, cli, saved, f"core2: {name} holds other bytes")
    finally:
        node.files[name] = before


def test_service_stopped_on_a_node(fleet: Any, cli: Cli, saved: Path) -> None:  # noqa: ANN401 - the bench of conftest
    """When a service was disabled meanwhile, the plan is stale and names the service."""
    state = fleet.node("edge1").machine.services["turn"]
    state.enabled = False
    try:
        refused(fleet, cli, saved, "edge1: turn is stopped now")
    finally:
        state.enabled = True


def test_file_removed_on_a_node(fleet: Any, cli: Cli, saved: Path) -> None:  # noqa: ANN401 - the bench of conftest
    """When a file came or went meanwhile, the plan is stale and names it; a marker of a run is no such file."""
    node = fleet.node("core3")
    before = node.files.copy()
    node.files["colleague.crt"] = node.files.pop("ca.crt", b"")
    try:
        refused(fleet, cli, saved, "core3: files in the store were added: colleague.crt")
    finally:
        node.files.clear()
        node.files.update(before)


def _drop_last(plan: dict[str, Any]) -> None:
    plan["steps"].pop()


def _other_file(plan: dict[str, Any]) -> None:
    step = next(step for step in plan["steps"] if step["kind"] == "bind")
    step["action"]["bindings"][0]["key"] = "other.key"


def _other_commands(plan: dict[str, Any]) -> None:
    step = next(step for step in plan["steps"] if step["kind"] == "bind")
    step["commands"] = ["database cluster remove"]


def _other_way_back(plan: dict[str, Any]) -> None:
    step = next(step for step in plan["steps"] if step["undo"])
    step["undo"]["commands"] = []


def _other_order(plan: dict[str, Any]) -> None:
    step = next(step for step in plan["steps"] if step["kind"] == "bind")
    step["after"] = []


def _no_impact(plan: dict[str, Any]) -> None:
    step = next(step for step in plan["steps"] if step["impact"])
    step["impact"] = None


@pytest.mark.parametrize("alter", [_drop_last, _other_order, _no_impact])
def test_edited_steps(fleet: Any, cli: Cli, saved: Path, tmp_path: Path, alter: Callable[..., object]) -> None:  # noqa: ANN401 - the bench of conftest
    """A plan whose steps were edited is refused: other steps follow from what the servers show."""
    refused(fleet, cli, altered(saved, tmp_path, alter), "other steps follow")


@pytest.mark.parametrize("alter", [_other_file, _other_commands, _other_way_back])
def test_edited_commands(fleet: Any, cli: Cli, saved: Path, tmp_path: Path, alter: Callable[..., object]) -> None:  # noqa: ANN401 - the bench of conftest
    """A plan whose commands are not those of its steps is no plan: 3, with the place, and no server hears of it."""
    refused(fleet, cli, altered(saved, tmp_path, alter), "edited.json: steps.", "commands", code=3)


def test_moment_moved(fleet: Any, cli: Cli, saved: Path, tmp_path: Path) -> None:  # noqa: ANN401 - the bench of conftest
    """A plan with another basis is refused."""
    file = altered(saved, tmp_path, lambda plan: plan["basis"].update(core1="0" * 64))
    refused(fleet, cli, file, "no longer as the plan was made from: core1: other things were read from it")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "JSON"),
        ("not json", "JSON"),
        ("[1, 2", "JSON"),
        ("[]", ""),
        ('{"format": "cmscert.plan/2"}', "cmscert.plan/"),
        ('{"format": "cmscert.run/1"}', "cmscert.plan/"),
        ('{"format": "cmscert.plan/1"}', ""),
    ],
)
def test_no_plan_at_all(fleet: Any, cli: Cli, tmp_path: Path, text: str, part: str) -> None:  # noqa: ANN401 - the bench of conftest
    """What is no plan of this format is 3, names the file, and no server hears of it."""
    file = tmp_path / "broken.json"
    file.write_text(text)
    refused(fleet, cli, file, "broken.json", part, code=3)


def test_plan_that_is_missing(fleet: Any, cli: Cli, tmp_path: Path) -> None:  # noqa: ANN401 - the bench of conftest
    """A plan file that is not there, or is a directory, is not taken."""
    for place in (tmp_path / "no-such.json", tmp_path):
        ran = cli("apply", fleet.inventory, "--plan", place, "--yes")
        assert ran.code in (2, 3), ran
        assert place.name in ran.err
