"""Unmistakable secrets, looked for in every byte that the program writes or shows."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]
MakeBench = Callable[..., Any]
PASSWORD = "Canary-Ssh-4f1d0c"  # noqa: S105 - what is looked for
TURN = "Canary-Turn-9b27ae"
OLD_KEY_LINES = 3


@dataclass
class Hunt:
    """A fleet with marked secrets, and everything that was said about it."""

    bench: Any
    cli: Cli
    canaries: dict[str, bytes]
    said: dict[str, bytes] = field(default_factory=dict)

    def run(self, *words: object, code: int | None = None, password: str = PASSWORD) -> Any:  # noqa: ANN401 - what the cli returns
        """Run a command and keep what it says."""
        ran = self.cli(*words, env={"CMS_PASSWORD": password})
        self.said[" ".join(map(str, words))] = (ran.out + ran.err).encode()
        if code is not None:
            assert ran.code == code, ran
        return ran

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Yield every file below the fleet's folder that is not the operator's own material."""
        own = self.bench.folder / "pki"
        for path in self.bench.folder.parent.rglob("*"):
            if path.is_file() and own not in path.parents:
                yield str(path), path.read_bytes()

    def hits(self) -> list[str]:
        """Return where any canary stands."""
        places = [*self.said.items(), *self.files()]
        return [f"{name} in {place}" for place, text in places for name, mark in self.canaries.items() if mark in text]


def key_marks(name: str, pem: bytes) -> dict[str, bytes]:
    """Take lines from the middle of a key: the beginning of every PKCS#8 key is the same."""
    lines = pem.split(b"\n")[1:-2]
    middle = lines[len(lines) // 2 :] if len(lines) > OLD_KEY_LINES else lines[1:]
    return {f"{name} line {at}": line for at, line in enumerate(middle) if len(line) > 20}


@pytest.fixture
def hunt(bench: MakeBench, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Hunt:
    """A single server with old certificates, whose passwords and keys are marked."""
    monkeypatch.setattr("cmscert.apply.turn._patience", lambda _: 0.5)

    def mark(specs: dict[str, Any]) -> None:
        for spec in specs.values():
            spec.password = PASSWORD
            spec.services["turn"].settings.update({"Password": TURN})

    made = bench("single.yaml", "aged", change=mark)
    canaries = {"the login's password": PASSWORD.encode(), "the TURN password": TURN.encode()}
    for path in (made.folder / "pki").glob("*.key"):
        canaries |= key_marks(path.name, path.read_bytes())
    for node in made.fleet.nodes.values():
        for name, content in node.files.items():
            if name.endswith(".key"):
                canaries |= key_marks(f"{name} on {node.name}", content)
    return Hunt(made, cli, canaries)


def test_there_is_something_to_find(hunt: Hunt) -> None:
    """The hunt is no empty one: the canaries stand where they should, and a hit would be seen."""
    key = next((hunt.bench.folder / "pki").glob("*.key")).read_bytes()
    assert TURN in hunt.bench.typed("cms", "turn")
    assert len(hunt.canaries) > 10
    hunt.said["planted"] = key
    assert hunt.hits()
    hunt.said["planted"] = PASSWORD.encode()
    assert hunt.hits() == ["the login's password in planted"]


def test_no_secret_in_anything_that_is_said_or_written(hunt: Hunt, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command, failing and succeeding, in text and JSON, with logs, plan, journal and bug report: no hit."""
    inventory, node, folder = hunt.bench.inventory, hunt.bench.node("cms"), hunt.bench.folder
    reading = [["validate"], ["plan", "-v"], ["status", "-v"], ["drift", "-v"]]
    for words in reading:
        hunt.run(words[0], inventory, *words[1:])
        json = [word for word in words[1:] if words[0] != "validate"]
        hunt.run(words[0], inventory, "--format", "json", *json)
    hunt.run("plan", inventory, "-v", "--log-format", "json", "--save", folder / "p.json", code=0)
    hunt.run("plan", inventory, code=4, password=f"{PASSWORD}-wrong")
    hunt.run("apply", inventory, "--yes", code=4, password=f"{PASSWORD}-wrong")
    node.faults.garbage = ("turn",)
    hunt.run("status", inventory, "-v", "--log-format", "json")
    node.faults.garbage = ()
    hunt.bench.on("cms", "turn enable", lambda: node.faults.fail.update({"turn enable": "no"}))
    hunt.bench.on("cms", "turn enable", node.faults.fail.clear)
    hunt.run("apply", inventory, "--yes", "-v", "--log-format", "json", "--format", "json", code=8)
    hunt.bench.on("cms", "turn enable", lambda: node.faults.fail.update({"turn enable": "no"}))
    hunt.run("apply", inventory, "--yes", "-v", code=9)
    node.faults.fail.clear()
    hunt.bench.typed("cms", "turn enable")
    hunt.bench.settled()

    def stumble(*_: object, **__: object) -> None:
        raise RuntimeError(PASSWORD, TURN, (folder / "pki" / "cms.key").read_bytes())

    with monkeypatch.context() as broken:
        broken.setattr("cmscert.app.plan.compare", stumble)
        hunt.run("plan", inventory, "-v", "--state-dir", folder / ".cmscert", code=1)
    hunt.run("apply", inventory, "--yes", "-v", "--log-format", "json", code=0)
    hunt.run("plan", inventory, "--detailed-exitcode", code=0)

    assert any("cmscert-bug-" in place for place, _ in hunt.files())
    assert sum("journal.jsonl" in place for place, _ in hunt.files()) == 3
    assert any(b"turn certs" in text for place, text in hunt.files() if "journal.jsonl" in place)
    assert hunt.hits() == []


def test_private_folders(hunt: Hunt) -> None:
    """Journals and plans of runs are for their owner alone."""
    hunt.run("apply", hunt.bench.inventory, "--yes", code=0)
    state = hunt.bench.folder / ".cmscert"
    modes = {path.relative_to(state): path.stat().st_mode & 0o077 for path in (state, *state.rglob("*"))}

    assert len(modes) >= 4
    assert set(modes.values()) == {0}


@pytest.mark.judge("procps")
def test_no_secret_in_the_process_list(hunt: Hunt, program: Callable[..., Any]) -> None:
    """While it runs, and while it asks for a password by a command, the process list shows no secret."""
    script = hunt.bench.folder / "pki" / "password"
    script.write_text(f"#!/bin/sh\necho {PASSWORD}\n")
    script.chmod(0o700)
    hunt.bench.edit(("    env: CMS_PASSWORD", f"    command: [{script}]"))
    listed: list[bytes] = []

    def look() -> None:
        listed.append(subprocess.run(["ps", "-efww"], capture_output=True, check=True, timeout=20).stdout)

    for start in ("version", "turn certs", "webbridge3 enable"):
        hunt.bench.on("cms", start, look)
    with program("apply", hunt.bench.inventory, "--yes", "-v") as process:
        out, err = process.communicate(timeout=60)

    assert process.returncode == 0, err
    assert len(listed) == 3
    assert all(b"cmscert" in text for text in listed)
    hunt.said = {"the process list": b"".join(listed), "apply": (out + err).encode()}
    assert hunt.hits() == []


def test_reports_of_crashes_hold_no_values(hunt: Hunt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash in the middle of a run tells places, never values."""

    def stumble(*_: object, **__: object) -> None:
        raise ValueError(f"the password is {PASSWORD}")

    monkeypatch.setattr("cmscert.apply.turn.send", stumble)
    ran = hunt.run("apply", hunt.bench.inventory, "--yes", "-v", "--state-dir", tmp_path / "state")

    assert ran.code in (1, 9), ran
    assert hunt.hits() == []
