"""What a run leaves for whoever looks at night: who, where from, every command and answer, and the state before."""

from __future__ import annotations

import json
import re
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]
MakeBench = Callable[..., Any]
GIT = ["git", "-c", "user.name=me", "-c", "user.email=me@example.com"]


def folder_of(bench: Any) -> Path:  # noqa: ANN401 - the bench of conftest
    """Return the folder of the only run."""
    (folder,) = (bench.folder / ".cmscert" / "runs").iterdir()
    return Path(folder)


def first_of(bench: Any) -> str:  # noqa: ANN401 - the bench of conftest
    """Return the id of the oldest run; two of one second are told apart by their plans' moments."""
    plans = (bench.folder / ".cmscert" / "runs").glob("*/plan.json")
    return min(plans, key=lambda plan: json.loads(plan.read_text())["made_at"]).parent.name


@pytest.mark.judge("git")
def test_the_journal_tells_the_whole_run(bench: MakeBench, cli: Cli) -> None:
    """Header, state before, every change that reached the server, and every question with its answer."""
    made = bench("single.yaml", "aged")
    (made.folder / ".gitignore").write_text("*\n!*.yaml\n")
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*GIT, *words], cwd=made.folder, check=True, timeout=20)
    marks = made.marks()
    ran = cli("apply", made.inventory, "--yes", "--select", "service=webadmin")
    changed = made.since(marks)["cms"]
    told = cli("runs", "show", "last", "--inventory", made.inventory, "--format", "json").document("run")
    record, observed = told["record"], json.loads((folder_of(made) / "observed.json").read_text())
    typed = [event["typed"] for event in record["events"] if event["kind"] == "command-sent"]
    asked = [event for event in record["events"] if event["kind"] == "asked"]

    assert ran.code == 0, ran
    assert (told["result"], told["summary"]["done"], record["state"]) == ("applied", len(told["steps"]), "ended")
    assert record["revision"]["dirty"] is False
    assert re.fullmatch("[0-9a-f]{40}", record["revision"]["commit"])
    assert (record["select"], record["inventory_path"]) == (["service=webadmin"], f"../{made.inventory.name}")
    assert not [value for value in record.values() if isinstance(value, str) and value.startswith("/")]
    assert [line for line in changed if line.startswith("webadmin")] == [
        line for line in typed if line.startswith("webadmin")
    ]
    assert sum(line.startswith("put ") for line in changed) == sum(line.startswith("sftp put") for line in typed)
    assert {"webadmin", "sftp ls"} <= {event["typed"] for event in asked}
    assert all(event["shown"] for event in asked)
    before = observed["servers"]["cms"]["services"]["webadmin"]["bindings"]["webadmin"]
    assert before["certificate"] == "all-2026.crt"
    assert "all-2026.crt" in observed["servers"]["cms"]["files"]


def test_fixed_names_leave_what_they_overwrote(bench: MakeBench, cli: Cli) -> None:
    """The old certificate comes into the folder of the run, its key does not, and nobody else can read it."""
    made = bench("single.yaml", "aged")
    made.edit(("  all:\n", "  all:\n    naming: fixed\n"))
    old = made.node("cms").files["all-2026.crt"]
    ran = cli("apply", made.inventory, "--yes")
    saved = folder_of(made) / "saved" / "cms"

    assert ran.code == 0, ran
    assert (saved / "all-2026.crt").read_bytes() == old
    assert not [path for path in saved.iterdir() if path.suffix == ".key" or b"PRIVATE" in path.read_bytes()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in saved.iterdir()} == {0o600}
    assert "saved/cms/all-2026.crt" in cli("runs", "show", "last", "--inventory", made.inventory).out


def test_what_failed_is_found_again(bench: MakeBench, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that left a service behind shows the answer that did it, the way back, and what to type."""
    monkeypatch.setattr("cmscert.apply.turn._patience", lambda _: 0.3)
    made = bench("single.yaml", "aged")
    made.node("cms").faults.fail = {"turn enable": "the port is taken"}
    ran = cli("apply", made.inventory, "--yes", "--format", "json", "--select", "service=turn")
    result = ran.document("run")
    text = cli("runs", "show", "last", "--inventory", made.inventory).out
    told = cli("runs", "show", "last", "--inventory", made.inventory, "--format", "json").document("run")

    assert ran.code == 9, ran
    assert "FAILURE: the port is taken" in text
    assert "way back of: bind turn: LEFT AS IT IS" in text
    assert text.index("Type this by hand\non cms\n") < text.index("  turn enable", text.index("Type this by hand"))
    for key in ("run", "fleet", "result", "why", "by_hand", "unread", "summary"):
        assert told[key] == result[key], key
    kept = ("id", "server", "slot", "kind", "outcome")
    steps = [{key: step[key] for key in kept} for step in result["steps"] if step["kind"] != "gate"]
    assert [{key: step[key] for key in kept} for step in told["steps"]] == steps


def test_a_killed_run_is_told_as_one(bench: MakeBench, cli: Cli, program: Callable[..., Any]) -> None:
    """Killed at a command, the run is listed as unfinished, and what it had in hand is named."""
    made = bench("single.yaml", "aged")
    with program("apply", made.inventory, "--yes", "--select", "service=webadmin") as process:
        made.on("cms", "webadmin certs", process.kill)
        process.communicate(timeout=60)
    listed = cli("runs", "--inventory", made.inventory)
    text = cli("runs", "show", "last", "--inventory", made.inventory).out

    assert process.returncode == -9
    assert "unfinished" in listed.out
    assert "broke off" in text
    assert "In hand when it broke off, not proven" in text
    assert "$ webadmin certs" in text
    again = cli("apply", made.inventory, "--yes", "--select", "service=webadmin")
    assert again.code == 0, again
    assert "settled with run" in cli("runs", "show", first_of(made), "--inventory", made.inventory).out


def test_old_runs_go_when_a_new_one_ends(bench: MakeBench, cli: Cli) -> None:
    """The inventory says how many stay; the newest stays, and the one that could not be finished."""
    made = bench("single.yaml", "aged")
    made.inventory.write_text(made.inventory.read_text() + "\npolicy: {keep_runs: {count: 1}}\n")
    node = made.node("cms")
    files = dict(node.files)
    for _ in range(3):
        assert cli("apply", made.inventory, "--yes", "--select", "service=webadmin").code == 0
        node.files.clear()
        node.files.update(files)
        made.typed("cms", "webadmin certs all-2026.key all-2026.crt corp-ca-2026.crt")
    listed = json.loads(cli("runs", "--inventory", made.inventory, "--format", "json").out)

    assert len(listed["runs"]) == 1
    assert listed["runs"][0]["result"] == "applied"
