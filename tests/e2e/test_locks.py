"""One writer per fleet, with real processes on a simulated fleet."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pexpect
import pytest

from cmscert.lab.node import LabNode
from cmscert.model.marker import GRACE, Marker, is_marker, marker_content, marker_name

Cli = Callable[..., Any]
Program = Callable[..., subprocess.Popen[str]]
MakeBench = Callable[..., Any]
RUN = "20261123T215900Z-ffffff"
PATIENCE = 60.0


@pytest.fixture
def made(bench: MakeBench) -> Any:  # noqa: ANN401 - the bench of conftest
    """One server with old certificates, all services up; they take half a second to start."""
    return bench("single.yaml", "aged", change=lambda specs: setattr(specs["cms"], "start_delay", 0.5))


def locks(node: LabNode) -> list[str]:
    """Return the lock files of a node."""
    return sorted(filter(is_marker, node.files))


def foreign(made: Any, *, left: timedelta = timedelta(minutes=10), run: str = RUN) -> str:  # noqa: ANN401 - the bench of conftest
    """Let the server carry the lock file of a run on another machine."""
    now = datetime.now(UTC)
    marker = Marker(
        file=marker_name(run), fleet="single", owner="bob", machine="desk3", run=run, since=now, until=now + left
    )
    made.node("cms").files[marker.file] = marker_content(marker)
    return marker.file


def until(true: Callable[[], object]) -> None:
    """Wait for something."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def terminal(*words: object) -> pexpect.spawn[str]:
    """Type a command line on a terminal."""
    return pexpect.spawn(
        sys.executable,
        ["-m", "cmscert", *map(str, words)],
        env={**os.environ, "CMS_PASSWORD": "lab"},
        encoding="utf-8",
        timeout=PATIENCE,
    )


@pytest.mark.parametrize("turn", range(3))
def test_two_machines_at_the_same_moment(made: Any, program: Program, tmp_path: Path, turn: int) -> None:  # noqa: ANN401 - the bench of conftest
    """Of two that begin at the same moment with state directories of their own one runs, and the other ends with 7."""
    node = made.node("cms")
    runs = [
        program("apply", made.inventory, "--yes", "--state-dir", tmp_path / f"state{turn}{number}")
        for number in range(2)
    ]
    told = [each.communicate(timeout=PATIENCE) for each in runs]
    codes = [each.returncode for each in runs]

    assert sorted(codes) == [0, 7], told
    refused = told[codes.index(7)][1]
    assert "nothing was changed" in refused
    assert len([line for line in node.history if line == "webadmin enable"]) <= 1
    assert locks(node) == []


def test_two_on_one_machine(made: Any, cli: Cli, program: Program) -> None:  # noqa: ANN401 - the bench of conftest
    """The second on one machine is told who the first is, before it connects to anything."""
    first = program("apply", made.inventory, "--yes")
    until(lambda: locks(made.node("cms")))
    listed = cli("lock", "list", made.inventory, "--format", "json").document("locks")
    second = cli("apply", made.inventory, "--yes")
    assert first.wait(PATIENCE) == 0
    for stream in (first.stdout, first.stderr):
        assert stream is not None
        stream.close()

    assert second.code == 7
    assert f"pid {first.pid}" in second.err
    (lock,) = listed["locks"]
    assert (lock["state"], lock["pid"], lock["command"]) == ("held", first.pid, "apply")
    assert listed["servers"] is None


def test_killed_and_taken_over(made: Any, cli: Cli, program: Program, tmp_path: Path) -> None:  # noqa: ANN401 - the bench of conftest
    """After kill -9 another machine is refused until the lock expires, this one takes over at once, and both say so."""
    node = made.node("cms")
    first = program("apply", made.inventory, "--yes")
    until(lambda: any(line.startswith("put all-") for line in node.history))
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=PATIENCE)
    (left,) = locks(node)
    made.settled()

    elsewhere = cli("apply", made.inventory, "--yes", "--state-dir", tmp_path / "else")
    assert elsewhere.code == 7
    assert "foreign-lock" in elsewhere.err
    assert cli("lock", "list", made.inventory).out.count("died with it") == 1
    noticed = json.loads(cli("plan", made.inventory, "--format", "json").out)["notices"]
    assert [each["reason"] for each in noticed if "lock" in each["reason"]] == ["expired-lock"]

    again = cli("apply", made.inventory, "--yes")
    assert again.code == 0, again
    assert "is taken over: it has died" in again.err
    assert left.removeprefix("cmscert-lock-").removesuffix(".crt") in again.err
    assert locks(node) == []
    assert cli("lock", "list", made.inventory).out == "Nobody holds a lock on this machine.\n"


def test_another_machine_holds_it(made: Any, cli: Cli) -> None:  # noqa: ANN401 - the bench of conftest
    """Plan and drift tell who holds the fleet; apply refuses by name and changes nothing; lifted, it takes over."""
    file = foreign(made)
    marks = made.marks()

    for words in (("plan",), ("drift",)):
        ran = cli(*words, made.inventory, "--format", "json")
        (notice,) = [each for each in json.loads(ran.out)["notices"] if each["reason"] == "foreign-lock"]
        assert f"run {RUN} of bob on desk3" in notice["message"]
    refused = cli("apply", made.inventory, "--yes")
    assert refused.code == 7
    assert "--allow foreign-lock" in refused.err
    assert made.since(marks) == {}
    assert locks(made.node("cms")) == [file]

    ran = cli("apply", made.inventory, "--yes", "--allow", "foreign-lock")
    assert ran.code == 0, ran
    assert f"run {RUN} of bob on desk3 is taken over" in ran.err
    assert locks(made.node("cms")) == []


def test_expired_lock_of_another_machine(made: Any, cli: Cli) -> None:  # noqa: ANN401 - the bench of conftest
    """A lock that has expired by the server's clock refuses nobody."""
    foreign(made, left=-GRACE - timedelta(seconds=5))
    ran = cli("apply", made.inventory, "--yes")

    assert ran.code == 0, ran
    assert "To know" in ran.out
    assert "is taken over: it has expired" in ran.err
    assert locks(made.node("cms")) == []


def test_lock_that_comes_while_the_plan_is_read(made: Any) -> None:  # noqa: ANN401 - the bench of conftest
    """Somebody who began while a person still read the plan wins; the answer yes comes too late."""
    child = terminal("apply", made.inventory)
    child.expect_exact("Type yes:")
    foreign(made)
    child.sendline("yes")
    child.expect_exact("carries the lock of bob on desk3")
    child.expect(pexpect.EOF)
    child.close()

    assert child.exitstatus == 7


def test_files_that_change_while_the_plan_is_read(made: Any) -> None:  # noqa: ANN401 - the bench of conftest
    """When files came while a person still read the plan, it is stale."""
    child = terminal("apply", made.inventory)
    child.expect_exact("Type yes:")
    made.node("cms").files["new.crt"] = b"new"
    child.sendline("yes")
    child.expect_exact("files changed since the plan was made: cms: new.crt is new")
    child.expect(pexpect.EOF)
    child.close()

    assert child.exitstatus == 7
    assert locks(made.node("cms")) == []


def test_listed_from_the_servers(made: Any, cli: Cli, tmp_path: Path) -> None:  # noqa: ANN401 - the bench of conftest
    """With --nodes the lock files on the servers are listed, and servers are only read."""
    foreign(made)
    foreign(made, run="20261123T215900Z-000000", left=timedelta(hours=-1))
    made.node("cms").files[marker_name("20261123T215900Z-000001")] = b"\x1b[2J"
    marks = made.marks()
    ran = cli("lock", "list", made.inventory, "--nodes", "--format", "json", "--state-dir", tmp_path)

    assert ran.code == 0, ran
    assert [each["state"] for each in ran.document("locks")["servers"]] == ["expired", "unreadable", "held"]
    text = cli("lock", "list", made.inventory, "--nodes", "--state-dir", tmp_path).out
    assert "bob on desk3" in text
    assert "it counts no more" in text
    assert "it is not whole" in " ".join(text.split())
    assert "\x1b" not in text
    assert made.since(marks) == {}


def test_released_on_the_servers(made: Any, cli: Cli) -> None:  # noqa: ANN401 - the bench of conftest
    """Lock files are removed from the servers once that was confirmed, and nothing else is written."""
    file = foreign(made)
    before = set(made.node("cms").files)

    unasked = cli("lock", "release", made.inventory, "--nodes")
    assert unasked.code == 7
    assert file in unasked.err
    assert locks(made.node("cms")) == [file]
    ran = cli("lock", "release", made.inventory, "--nodes", "--yes", "--format", "json")
    assert ran.code == 0, ran
    assert [each["file"] for each in ran.document("locks")["removed"]] == [file]
    assert before - set(made.node("cms").files) == {file}
    none = cli("lock", "release", made.inventory, "--nodes")
    assert (none.code, none.out) == (0, "Nobody holds a lock on this machine, nor on a server.\n")


@pytest.mark.parametrize(("answer", "code", "stays"), [("yes", 0, 0), ("no", 7, 1)])
def test_release_asks(made: Any, answer: str, code: int, stays: int) -> None:  # noqa: ANN401 - the bench of conftest
    """On a terminal the removal is asked for."""
    foreign(made)
    child = terminal("lock", "release", made.inventory, "--nodes")
    child.expect_exact("Remove 1 lock file? Type yes:")
    child.sendline(answer)
    child.expect(pexpect.EOF)
    child.close()

    assert child.exitstatus == code
    assert len(locks(made.node("cms"))) == stays


def test_living_run_is_never_released(made: Any, cli: Cli, program: Program) -> None:  # noqa: ANN401 - the bench of conftest
    """While a process of this machine holds the fleet, neither its lock nor the lock files are given back."""
    first = program("apply", made.inventory, "--yes")
    until(lambda: locks(made.node("cms")))
    codes = [
        cli("lock", "release", made.inventory).code,
        cli("lock", "release", made.inventory, "--nodes", "--yes").code,
    ]
    assert first.wait(PATIENCE) == 0
    for stream in (first.stdout, first.stderr):
        assert stream is not None
        stream.close()

    assert codes == [7, 7]


def test_server_that_cannot_be_asked(made: Any, cli: Cli) -> None:  # noqa: ANN401 - the bench of conftest
    """A server that does not answer is told, and the code is 4; so is one that keeps the file."""
    foreign(made)
    made.node("cms").faults.fail = {"rm": "no"}
    kept = cli("lock", "release", made.inventory, "--nodes", "--yes")
    assert kept.code == 4, kept
    made.stop()
    ran = cli("lock", "list", made.inventory, "--nodes", "--format", "json")

    assert ran.code == 4
    assert [each["server"] for each in ran.document("locks")["unread"]] == ["cms"]


def test_loser_is_gone_when_its_lock_is(made: Any, program: Program) -> None:  # noqa: ANN401 - the bench of conftest
    """Ctrl-C in a run takes its lock file away."""
    node = made.node("cms")
    node.faults.late = {"webadmin": 1.0}
    first = program("apply", made.inventory, "--yes")
    until(lambda: any(line.startswith("put all-") for line in node.history))
    first.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        first.communicate(timeout=PATIENCE)

    assert first.returncode in (0, 130)
    assert locks(node) == []


def test_locks_of_some_servers(bench: MakeBench, cli: Cli) -> None:
    """With --select only those servers are asked, and only their lock files go; without --nodes it is wrong usage."""
    made = bench("cluster.yaml", "aged")
    now = datetime.now(UTC)
    for name in ("core1", "core2"):
        marker = Marker(
            file=marker_name(RUN),
            fleet="example",
            owner="bob",
            machine="desk3",
            run=RUN,
            since=now,
            until=now + timedelta(minutes=10),
        )
        made.node(name).files[marker.file] = marker_content(marker)
    marks = {name: len(node.history) for name, node in made.fleet.nodes.items()}
    words = (made.inventory, "--nodes", "--select", "server=core1")
    listed = cli("lock", "list", *words, "--format", "json").document("locks")
    released = cli("lock", "release", *words, "--yes")
    wrong = cli("lock", "list", made.inventory, "--select", "server=core1")

    assert [each["server"] for each in listed["servers"]] == ["core1"]
    assert released.code == 0, released
    assert locks(made.node("core1")) == []
    assert locks(made.node("core2")) == [marker_name(RUN)]
    assert len(made.node("core2").history) == marks["core2"]
    assert wrong.code == 2
    assert "it goes with --nodes" in wrong.err
