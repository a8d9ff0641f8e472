"""A plan file that somebody made up: nothing of it is typed, written or read that the tool would not do by itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]
Document = dict[str, Any]
Craft = Callable[[Document], object]
HOSTILE = (
    "../../x.crt",
    "/etc/passwd",
    "a b;reboot",
    'a" reboot',
    "a\nreboot",
    "-rf",
    "--help",
    "\u202ecrt.x",
    "a\0",
    "",
)


@pytest.fixture(scope="module")
def stage(shared_bench: Callable[..., Any], cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Document]:
    """A server with old certificates, and the plan that puts it right."""
    bench = shared_bench("single.yaml", "aged")
    file = tmp_path_factory.mktemp("plans") / "p.json"
    assert cli("plan", bench.inventory, "--save", file).code == 0
    return bench, json.loads(file.read_text())


def first(document: Document, kind: str) -> Document:
    """Return the first step of a kind."""
    return next(step for step in document["steps"] if step["kind"] == kind)


def rename(kind: str, key: str, name: str) -> Craft:
    """Put another file name into the first action of a kind."""
    return lambda document: first(document, kind)["action"].update({key: name})


CRAFTS: dict[str, Craft] = {
    **{f"an upload as {name!r}": rename("put", "file", name) for name in HOSTILE},
    "another command shown": lambda document: first(document, "bind")["commands"].append("reboot"),
    "another command undone": lambda document: first(document, "bind")["undo"]["commands"].append("reboot"),
    "no commands": lambda document: first(document, "bind").update(commands=[]),
    "an action that nobody knows": lambda document: first(document, "bind")["action"].update(kind="shell"),
    "a key of an action that nobody knows": lambda document: first(document, "put")["action"].update(
        source="/etc/passwd"
    ),
    "content by another name": lambda document: first(document, "put")["action"].update(content="file:/etc/shadow"),
    "a service that nobody knows": lambda document: first(document, "bind")["action"].update(service="reboot; x"),
    "a server that is not there": lambda document: first(document, "put").update(server="other"),
    "a server with a path": lambda document: first(document, "put").update(server="../../x"),
    "a fleet with a path": lambda document: document.update(fleet="../../x"),
    "removal of what is in use": lambda document: document["steps"].append(
        {
            **first(document, "put"),
            "id": "s99",
            "kind": "remove",
            "commands": ["sftp rm all-2026.key"],
            "action": {"kind": "remove", "files": ["all-2026.key"]},
        }
    ),
    "fewer steps": lambda document: document["steps"].pop(),
    "other releases": lambda document: document["releases"].update(cms="2.9"),
    "no refusals": lambda document: document.update(basis={}, refusals=[]),
    "another moment": lambda document: document.update(made_at="2031-01-01T00:00:00Z"),
    "a selector with a path": lambda document: document.update(select=["server=../../x"]),
}


@pytest.mark.parametrize("craft", CRAFTS)
def test_a_crafted_plan_is_refused(stage: tuple[Any, Document], cli: Cli, tmp_path: Path, craft: str) -> None:
    """Invalid (3) or stale (7), in one sentence that no terminal acts on; no server hears of it, no file appears."""
    bench, plan = stage
    document = json.loads(json.dumps(plan))
    CRAFTS[craft](document)
    file = tmp_path / "p.json"
    file.write_text(json.dumps(document))
    marks, before = bench.marks(), set(bench.folder.parent.rglob("*"))
    ran = cli("apply", bench.inventory, "--plan", file, "--yes", "-v", "--state-dir", tmp_path / "state")

    assert ran.code in (3, 7), ran
    assert not any(bench.since(marks).values())
    assert set(bench.folder.parent.rglob("*")) - before == set()
    assert all(char == "\n" or char.isprintable() for char in ran.out + ran.err)
    assert not list(tmp_path.rglob("journal.jsonl"))


def test_two_keys_of_one_name(stage: tuple[Any, Document], cli: Cli, tmp_path: Path) -> None:
    """A reviewer may see the one, the program take the other: such a file is refused."""
    bench, plan = stage
    text = json.dumps(plan)
    file = tmp_path / "p.json"
    file.write_text(text.replace('"commands": [', '"commands": ["reboot"], "commands": [', 1))
    ran = cli("apply", bench.inventory, "--plan", file, "--yes")

    assert ran.code == 3, ran
    assert "a key stands twice" in ran.err


def test_the_plan_as_it_was_is_taken(stage: tuple[Any, Document], cli: Cli, tmp_path: Path) -> None:
    """What the crafts were made of is a good plan: without a terminal it is shown, and not confirmed."""
    bench, plan = stage
    file = tmp_path / "p.json"
    file.write_text(json.dumps(plan))
    ran = cli("apply", bench.inventory, "--plan", file, "--state-dir", tmp_path / "state")

    assert ran.code == 7, ran
    assert "there is no terminal to ask on" in ran.err
