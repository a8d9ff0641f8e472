"""What a process says: exit codes and their precedence, documents, widths, colours, who is asked."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pexpect
import pytest

Cli = Callable[..., Any]
MakeBench = Callable[..., Any]
ESCAPE = "\x1b"


@pytest.fixture(scope="module")
def aged(shared_bench: MakeBench) -> Any:  # noqa: ANN401 - the bench of conftest
    """A cluster with old certificates; no test of this module changes it."""
    return shared_bench("cluster.yaml", "aged")


@pytest.fixture(scope="module")
def wanted(shared_bench: MakeBench) -> Any:  # noqa: ANN401 - the bench of conftest
    """A single server that is as wanted."""
    return shared_bench("single.yaml", "wanted")


CODES = [
    (["validate", "INVENTORY"], 0),
    (["plan", "INVENTORY"], 0),
    (["plan", "INVENTORY", "--detailed-exitcode"], 5),
    (["drift", "INVENTORY"], 6),
    (["status", "INVENTORY"], 0),
    (["apply", "INVENTORY"], 7),
    (["apply", "INVENTORY", "--yes", "--plan", "NOTHING"], 3),
    (["plan", "NOTHING"], 3),
    (["plan", "INVENTORY", "--select", "server=nobody"], 3),
    (["plan", "INVENTORY", "--select", "nobody"], 2),
    (["plan"], 2),
    (["nonsense"], 2),
]


@pytest.mark.parametrize(("words", "code"), CODES, ids=lambda each: " ".join(each) if isinstance(each, list) else None)
def test_exit_codes(aged: Any, cli: Cli, words: list[str], code: int) -> None:  # noqa: ANN401 - the bench of conftest
    """Each end has its code."""
    places = {"INVENTORY": str(aged.inventory), "NOTHING": "/no/such/file"}
    assert cli(*(places.get(word, word) for word in words)).code == code


@pytest.mark.parametrize(
    "words", [["plan", "--detailed-exitcode"], ["drift"], ["apply"], ["apply", "--yes"], ["status"]], ids=" ".join
)
def test_unread_server_outweighs_what_else_holds(aged: Any, cli: Cli, words: list[str]) -> None:  # noqa: ANN401 - the bench of conftest
    """4 comes before 5, 6 and 7, and what could be read is still told."""
    aged.node("edge2").faults.reject_password = True
    try:
        ran = cli(words[0], aged.inventory, *words[1:])
    finally:
        aged.node("edge2").faults.reject_password = False

    assert ran.code == 4
    assert "core1" in ran.out
    assert "edge2" in ran.err


def test_wrong_input_outweighs_nothing_on_the_wire(aged: Any, cli: Cli, tmp_path: Path) -> None:  # noqa: ANN401 - the bench of conftest
    """What is wrong on paper is told before anybody is connected to, so it is 3 whatever the servers would say."""
    marks = aged.marks()
    broken = tmp_path / "broken.yaml"
    broken.write_text(aged.inventory.read_text().replace("address: 127.0.0.1", "adress: 127.0.0.1", 1))
    ran = cli("plan", broken)

    assert ran.code == 3
    assert "did you mean address" in ran.err
    assert aged.marks() == marks


def test_failed_run_outweighs_an_unread_server(bench: MakeBench, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """8 and 9 come before 4."""
    monkeypatch.setattr("cmscert.apply.turn._patience", lambda _: 0.3)
    made = bench("cluster.yaml", "faults")
    made.node("edge2").faults.reject_password = True
    node = made.node("core3")
    made.on("core3", "webadmin certs", lambda: node.faults.fail.update({"webadmin certs": "no"}))
    made.on("core3", "webadmin certs", node.faults.fail.clear)
    allow = ("--allow", "unread-server", "--select", "server=core3", "--select", "server=edge2")
    eight = cli("apply", made.inventory, "--yes", *allow)
    node.faults.fail["webadmin enable"] = "no"
    nine = cli("apply", made.inventory, "--yes", *allow)

    assert (eight.code, nine.code) == (8, 9), (eight, nine)


def test_bug_is_one(aged: Any, cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:  # noqa: ANN401 - the bench of conftest
    """What nobody foresaw is 1, and names the file that tells where it was."""

    def stumble(*_: object, **__: object) -> None:
        raise RuntimeError("stumbled")

    monkeypatch.setattr("cmscert.app.plan.compare", stumble)
    ran = cli("plan", aged.inventory, "--state-dir", tmp_path / "state", "--format", "json")

    assert ran.code == 1
    (report,) = (tmp_path / "state").iterdir()
    assert str(report) in ran.err
    assert ran.document("error")["code"] == 1


DOCUMENTS = [
    ("validate", ["validate"]),
    ("plan", ["plan", "-v"]),
    ("drift", ["drift", "--log-format", "json"]),
    ("status", ["status", "-v", "--log-format", "json"]),
    ("error", ["apply"]),
    ("error", ["plan", "--select", "server=nobody"]),
]


@pytest.mark.parametrize(
    ("name", "words"), DOCUMENTS, ids=lambda each: " ".join(each) if isinstance(each, list) else each
)
def test_stdout_holds_one_document(aged: Any, cli: Cli, name: str, words: list[str]) -> None:  # noqa: ANN401 - the bench of conftest
    """With --format json stdout is one document that fits its schema, and everything else is on stderr."""
    ran = cli(words[0], aged.inventory, "--format", "json", *words[1:])
    ran.document(name)
    if "--log-format" in words:
        assert [json.loads(line) for line in ran.err.splitlines()]


def test_nothing_to_do_is_a_document_too(wanted: Any, cli: Cli) -> None:  # noqa: ANN401 - the bench of conftest
    """Apply with nothing to do needs no yes, and says so in a run document."""
    ran = cli("apply", wanted.inventory, "--format", "json")

    assert ran.code == 0
    assert ran.document("run")["result"] == "nothing-to-do"
    assert not (wanted.folder / ".cmscert" / "runs").exists()


def test_json_into_a_file(aged: Any, cli: Cli, tmp_path: Path) -> None:  # noqa: ANN401 - the bench of conftest
    """With --output stdout is empty and the file holds the document."""
    ran = cli("plan", aged.inventory, "--format", "json", "--output", tmp_path / "plan.json")

    assert ran.out == ""
    ran.out = (tmp_path / "plan.json").read_text()
    assert ran.document("plan")["fleet"] == "example"


def on_terminal(columns: int, *words: object, answer: str | None = None, **environment: str) -> tuple[int, str]:
    """Run the real program on a terminal of a width; return its code and all that it showed."""
    without_size = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    child = pexpect.spawn(
        sys.executable,
        ["-m", "cmscert", *map(str, words)],
        env={**without_size, "CMS_PASSWORD": "lab", "TERM": "xterm-256color", **environment},
        dimensions=(40, columns),
        encoding="utf-8",
        timeout=60,
    )
    if answer is not None:
        child.expect("Type yes: ")
        child.sendline(answer)
    shown = (child.before or "") + child.read()
    child.close()
    return child.exitstatus, shown


TERMINALS = [
    (80, ["plan", "-v", "--no-color"], {}),
    (80, ["status", "--no-color"], {}),
    (80, ["drift"], {"NO_COLOR": "1"}),
    (120, ["plan", "-v"], {"NO_COLOR": "1"}),
    (120, ["status"], {"NO_COLOR": "1"}),
    (80, ["plan", "-v"], {}),
]


@pytest.mark.parametrize(("columns", "words", "environment"), TERMINALS, ids=str)
def test_terminal_width_and_colour(
    aged: Any,  # noqa: ANN401 - the bench of conftest
    columns: int,
    words: list[str],
    environment: dict[str, str],
) -> None:
    """No line is longer than the terminal, and without colour no escape code is shown."""
    plain = "--no-color" in words or "NO_COLOR" in environment
    code, shown = on_terminal(columns, words[0], aged.inventory, *words[1:], **environment)

    assert code in (0, 6)
    assert (ESCAPE in shown) is not plain
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in shown.split("\r\n")]
    assert len(lines) > 20
    assert [line for line in lines if len(line) > columns] == []
    if columns > 80:
        assert any(len(line) > 80 for line in lines)


def test_piped_output_is_plain_and_narrow(aged: Any, cli: Cli) -> None:  # noqa: ANN401 - the bench of conftest
    """Without a terminal there is no colour, and no line is longer than 80."""
    for words in (["plan", "-v"], ["status"], ["drift"]):
        out = cli(words[0], aged.inventory, *words[1:]).out
        assert ESCAPE not in out
        assert [line for line in out.splitlines() if len(line) > 80] == []


def test_yes_on_a_terminal(bench: MakeBench) -> None:
    """On a terminal the plan is shown, the question asked, and yes applies; no escape code with --no-color."""
    made = bench("single.yaml", "faults")
    code, shown = on_terminal(80, "apply", made.inventory, answer="no")
    assert (code, "was not confirmed" in shown) == (7, True)
    code, shown = on_terminal(80, "apply", made.inventory, "--no-color", answer="yes")
    assert code == 0, shown
    assert "applied and verified" in shown


def test_without_a_terminal_nobody_is_asked(aged: Any, program: Callable[..., Any]) -> None:  # noqa: ANN401 - the bench of conftest
    """Without a terminal apply shows the plan and ends with 7, however long a yes waits on its stdin."""
    marks = aged.marks()
    read, write = os.pipe()
    os.write(write, b"yes\n")
    with program("apply", aged.inventory, stdin=read) as process:
        out, err = process.communicate(timeout=60)
    os.close(read)
    os.close(write)

    assert process.returncode == 7
    assert "What differs" in out
    assert "--yes" in err
    assert aged.since(marks) == {}
