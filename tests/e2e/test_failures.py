"""When a step fails: the service is as it was and 8, or the exact commands are told and 9; the others finish."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cmscert.apply.journal import read_journal
from cmscert.lab.spec import Faults

Cli = Callable[..., Any]
MakeBench = Callable[..., Any]
SHORT = 1.0


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a service a second to come up, where it would get a minute."""
    monkeypatch.setattr("cmscert.apply.turn._patience", lambda _: SHORT)


@pytest.fixture
def made(bench: MakeBench) -> Any:  # noqa: ANN401 - the bench of conftest
    """One server with old certificates, all services up."""
    return bench("single.yaml", "aged")


def journal_of(made: Any) -> Any:  # noqa: ANN401 - the bench of conftest
    """Read the only journal of a fleet; it has to be whole."""
    (run,) = (made.folder / ".cmscert" / "runs").iterdir()
    journal = read_journal(run / "journal.jsonl")
    assert not journal.torn
    assert journal.events[-1].kind == "run-ended"
    return journal


def failing(made: Any, cli: Cli, code: int, *more: str) -> dict[str, Any]:  # noqa: ANN401 - the bench of conftest
    """Apply, hold the code, return the run; the result and the journal say the same."""
    ran = cli("apply", made.inventory, "--yes", "--format", "json", *more)
    assert ran.code == code, ran
    made.settled()
    run: dict[str, Any] = ran.document("run")
    assert run["result"] == {0: "applied", 8: "rolled-back", 9: "neither"}[code]
    assert journal_of(made).events[-1].result == run["result"]
    return run


def outcome(run: dict[str, Any], kind: str) -> set[str]:
    """Return how the steps of a kind ended."""
    return {step["outcome"] for step in run["steps"] if step["kind"] == kind}


def failed_once(made: Any, cli: Cli, start: str, faults: Faults) -> dict[str, Any]:  # noqa: ANN401 - the bench of conftest
    """Let a fault hold for one command, and hold that all is as it was afterwards."""
    before = made.state()
    node = made.node("cms")

    def begin() -> None:
        node.faults = faults
        made.on("cms", "", end)

    def end() -> None:
        node.faults = Faults()

    made.on("cms", start, begin)
    run = failing(made, cli, 8)
    assert made.state() == before
    assert run["by_hand"] == []
    return run


def test_failure_at_enable(made: Any, cli: Cli) -> None:  # noqa: ANN401 - the bench of conftest
    """A service that says FAILURE when it is enabled serves its old certificate again."""
    run = failed_once(made, cli, "webbridge3 enable", Faults(fail={"webbridge3 enable": "no"}))

    assert "FAILURE: no" in run["why"]
    assert outcome(run, "bind") == {"undone", "skipped"}


def test_success_but_not_listening(made: Any, cli: Cli) -> None:  # noqa: ANN401 - the bench of conftest
    """SUCCESS without a listening port is no success: the service is taken back."""
    failed_once(made, cli, "webbridge3 enable", Faults(no_start=("webbridge3",)))


def test_command_that_lies(made: Any, cli: Cli) -> None:  # noqa: ANN401 - the bench of conftest
    """A set command that says nothing and does nothing is found out by reading back."""
    failed_once(made, cli, "turn certs", Faults(lie=("turn certs",)))


def test_a_slot_that_misses_its_binding_beside_others(made: Any, cli: Cli) -> None:  # noqa: ANN401 - the bench of conftest
    """Where several slots are bound at once and one does not take, they are bound once more, one by one."""
    node = made.node("cms")

    def once(line: str) -> None:
        made.on("cms", line, lambda: setattr(node, "faults", Faults()))
        node.faults = Faults(lie=("webbridge3 https certs",))

    made.on("cms", "webbridge3 https certs", lambda: once("webbridge3 enable"))
    run = failing(made, cli, 0)

    assert outcome(run, "bind") == {"done"}


def test_failure_at_a_set_command(made: Any, cli: Cli) -> None:  # noqa: ANN401 - the bench of conftest
    """A set command that fails is followed by the way back."""
    failed_once(made, cli, "turn certs", Faults(fail={"turn certs": "no such key"}))


def test_garbage_for_an_answer(made: Any, cli: Cli) -> None:  # noqa: ANN401 - the bench of conftest
    """A change that is answered with control characters and nonsense is judged by what is read back."""
    node = made.node("cms")
    made.on("cms", "turn certs", lambda: setattr(node, "faults", Faults(garbage=("turn certs",))))
    run = failing(made, cli, 0)

    assert outcome(run, "bind") == {"done"}


def test_connection_cut_before_a_command(made: Any, cli: Cli) -> None:  # noqa: ANN401 - the bench of conftest
    """A connection that is cut in the middle of a service leaves nobody stopped."""
    before = made.state()
    node = made.node("cms")
    made.on("cms", "webbridge3 c2w certs", lambda: setattr(node.faults, "cut_at", len(node.commands)))
    failing(made, cli, 8)

    assert made.state() == before


def test_connection_cut_after_a_command(made: Any, cli: Cli) -> None:  # noqa: ANN401 - the bench of conftest
    """A command whose answer is lost is not sent again: the way back is, and it is proven."""
    before = made.state()
    node = made.node("cms")
    made.on("cms", "webbridge3 disable", lambda: setattr(node.faults, "cut_after", len(node.commands)))
    failing(made, cli, 8)

    assert made.state() == before


def test_last_answer_lost(made: Any, cli: Cli) -> None:  # noqa: ANN401 - the bench of conftest
    """When only the answer to the last command is lost, reading back proves the step done."""
    node = made.node("cms")
    made.on("cms", "webbridge3 enable", lambda: setattr(node.faults, "cut_after", len(node.commands)))
    failing(made, cli, 0)

    assert cli("plan", made.inventory, "--detailed-exitcode").code == 0


BAD_UPLOADS = [
    Faults(truncate_uploads=100),
    Faults(corrupt_uploads=True),
    Faults(store_full=True),
    Faults(fail={"put all-": "no"}),
]


@pytest.mark.parametrize("faults", BAD_UPLOADS, ids=["truncated", "corrupted", "full", "refused"])
def test_bad_uploads_disturb_nobody(made: Any, cli: Cli, faults: Faults) -> None:  # noqa: ANN401 - the bench of conftest
    """An upload that does not read back as sent ends the run before any service is touched."""
    before = made.state()
    node = made.node("cms")
    if faults.fail:
        node.faults = faults
    made.on("cms", "put all-", lambda: setattr(node, "faults", faults))
    run = failing(made, cli, 8)

    assert outcome(run, "put") >= {"failed"}
    assert outcome(run, "bind") == {"skipped"}
    assert made.node("cms").outages == []
    assert made.state() == before


def test_no_room_for_the_lock(made: Any, cli: Cli) -> None:  # noqa: ANN401 - the bench of conftest
    """A server that takes not even the lock file of a run is left as it is, and nothing is sent elsewhere."""
    before, marks = made.state(), made.marks()
    made.node("cms").faults = Faults(store_full=True)

    ran = cli("apply", made.inventory, "--yes")

    assert ran.code == 4, ran
    assert "no space left" in ran.err
    assert made.since(marks) == {}
    assert made.state() == before


def test_silence(made: Any, cli: Cli) -> None:  # noqa: ANN401 - the bench of conftest
    """A command that is never answered is given up after the inventory's time-out; the service comes back."""
    made.edit(
        ("port: ", "timeout: {answer: 1}\n      port: "), ("        timeout: {answer: 1}\n      port", "        port")
    )
    failed_once(made, cli, "webbridge3 disable", Faults(silent=("webbridge3 disable",)))


def test_late_answer(made: Any, cli: Cli) -> None:  # noqa: ANN401 - the bench of conftest
    """An answer that only takes its time is waited for."""
    made.node("cms").faults.late = {"webbridge3 enable": 0.5, "put": 0.1}
    failing(made, cli, 0)


def test_way_back_that_fails_too(made: Any, cli: Cli) -> None:  # noqa: ANN401 - the bench of conftest
    """When the way back fails as well the code is 9, and the commands that are told are those that mend it."""
    before = made.state()
    node = made.node("cms")
    made.on("cms", "webbridge3 enable", lambda: node.faults.fail.update({"webbridge3 enable": "no"}))
    ran = cli("apply", made.inventory, "--yes")

    assert ran.code == 9, ran
    assert "neither old nor new" in ran.out
    _, _, told = ran.out.partition("Type this by hand")
    lines = [line.strip() for line in told.splitlines() if line.startswith("  ")]
    assert lines[0] == "webbridge3 disable"
    assert lines[-1] == "webbridge3 enable"
    assert not node.up("webbridge3")
    assert journal_of(made).events[-1].result == "neither"
    node.faults = Faults()
    for line in lines:
        made.typed("cms", line)
    made.settled()
    assert made.state() == before


def test_without_rollback(made: Any, cli: Cli) -> None:  # noqa: ANN401 - the bench of conftest
    """With --no-rollback the failed service stays as it is, 9, and the commands of the way back are told."""
    node = made.node("cms")
    made.on("cms", "webbridge3 enable", lambda: node.faults.fail.update({"webbridge3 enable": "no"}))
    run = failing(made, cli, 9, "--no-rollback")

    assert outcome(run, "bind") >= {"left"}
    assert "undone" not in outcome(run, "bind")
    (by_hand,) = run["by_hand"]
    assert by_hand["server"] == "cms"
    assert by_hand["commands"][-1] == "webbridge3 enable"
    assert [line for line in node.commands if line == "webbridge3 enable"] == ["webbridge3 enable"]


def test_what_is_left_is_done_by_the_next_run(made: Any, cli: Cli) -> None:  # noqa: ANN401 - the bench of conftest
    """After a failure the next run does what is left, and the uploads that are there already are not sent again."""
    failed_once(made, cli, "webbridge3 enable", Faults(fail={"webbridge3 enable": "no"}))
    marks = made.marks()
    assert cli("apply", made.inventory, "--yes").code == 0
    sent = made.since(marks)["cms"]
    assert not [line for line in sent if line.startswith("put ") and line.endswith(".crt")]
    assert cli("plan", made.inventory, "--detailed-exitcode").code == 0


def test_independent_servers_finish(bench: MakeBench, cli: Cli) -> None:
    """One server's failure stops what depends on it; servers that do not finish their steps."""
    made = bench("cluster.yaml", "faults")
    before = made.state()
    node = made.node("core3")
    made.on("core3", "webadmin certs", lambda: node.faults.fail.update({"webadmin certs": "no"}))
    made.on("core3", "webadmin certs", node.faults.fail.clear)
    run = failing(made, cli, 8)
    ended = {(step["server"], step["kind"]): step["outcome"] for step in run["steps"]}
    after = made.state()

    assert ended["core3", "bind"] in ("undone", "failed")
    assert {ended[server, "bind"] for server in ("core1", "core2", "core4", "edge1")} == {"done"}
    assert after["core3"]["webadmin"]["bound"] == before["core3"]["webadmin"]["bound"]
    drift = cli("drift", made.inventory, "--format", "json").document("drift")
    assert {finding["server"] for finding in drift["findings"]} == {"core3"}


def test_failed_call_bridge_stops_the_next(bench: MakeBench, cli: Cli) -> None:
    """When a call bridge fails, the others of its cluster are not touched."""
    made = bench("cluster.yaml", "aged")
    node = made.node("core1")
    made.on("core1", "callbridge restart", lambda: node.faults.fail.update({"callbridge restart": "no"}))
    made.on("core1", "callbridge restart", node.faults.fail.clear)
    failing(made, cli, 8)

    assert [
        line for name in ("core2", "core3", "core4") for line in made.node(name).commands if "restart" in line
    ] == []
    assert all(made.node(name).up("callbridge") for name in ("core1", "core2", "core3", "core4"))


@pytest.mark.parametrize("presses", [1, 2])
def test_interrupted(made: Any, program: Callable[..., Any], cli: Cli, presses: int) -> None:  # noqa: ANN401 - the bench of conftest
    """SIGINT once ends after the service in hand with 130; twice ends at once with 130 or 9; the journal is whole."""
    node = made.node("cms")
    node.faults.late = {"webbridge3 enable": 1.5}
    process: list[subprocess.Popen[str]] = []
    made.on("cms", "webbridge3 enable", lambda: os.kill(process[0].pid, signal.SIGINT))
    process.append(program("apply", made.inventory, "--yes"))
    err: list[str] = []
    with process[0] as running:
        assert running.stderr is not None
        for line in running.stderr:
            err.append(line)
            if presses > 1 and "Ctrl-C again stops now" in line:
                os.kill(running.pid, signal.SIGINT)
        running.wait(30)
    journal = journal_of(made)

    assert "stopping when the services in hand are done" in "".join(err)
    assert ("stopping now" in "".join(err).replace("again stops now", "")) is (presses > 1)
    assert running.returncode in ({130} if presses == 1 else {130, 9}), err
    assert journal.events[-1].result == ("interrupted" if running.returncode == 130 else "neither")
    made.settled()
    if presses == 1:
        assert node.up("webbridge3")
        assert not [line for line in node.commands if line.startswith("webadmin certs")]
    node.faults.late = {}
    assert cli("apply", made.inventory, "--yes").code == 0


def test_killed(made: Any, program: Callable[..., Any], cli: Cli) -> None:  # noqa: ANN401 - the bench of conftest
    """A process that is killed leaves a journal that says what was in hand, and the next run goes on."""
    node = made.node("cms")
    process: list[subprocess.Popen[str]] = []
    made.on("cms", "turn certs", lambda: os.kill(process[0].pid, signal.SIGKILL))
    process.append(program("apply", made.inventory, "--yes"))
    process[0].communicate(timeout=60)
    (run,) = (made.folder / ".cmscert" / "runs").iterdir()
    journal = read_journal(Path(run) / "journal.jsonl")

    assert process[0].returncode == -signal.SIGKILL
    assert journal.events[-1].kind == "command-sent"
    assert journal.events[-1].typed == node.commands[-1]
    made.settled()
    made.typed("cms", "turn enable")
    made.settled()
    assert cli("apply", made.inventory, "--yes").code == 0
