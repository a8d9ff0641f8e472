"""A whole run is taken back: every service serves what it served before, proven on a fleet that really runs."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cmscert.apply.runs import find_run, list_runs
from cmscert.lab.spec import Faults

Cli = Callable[..., Any]
MakeBench = Callable[..., Any]
FLEETS = ("single.yaml", "cluster.yaml", "legacy-2.9.yaml")
SHORT = 1.0


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a service a second to come up, where it would get a minute."""
    monkeypatch.setattr("cmscert.apply.turn._patience", lambda _: SHORT)


def runs_of(made: Any) -> tuple[str, ...]:  # noqa: ANN401 - the bench of conftest
    """Return the ids of a fleet's runs, oldest first."""
    return tuple(record.id for record in list_runs(made.folder / ".cmscert"))


def take_back(made: Any, cli: Cli, run: str, code: int = 0, *more: str) -> dict[str, Any]:  # noqa: ANN401 - same
    """Take a run back, hold the code, return the document."""
    ran = cli("rollback", run, "--state-dir", made.folder / ".cmscert", "--yes", "--format", "json", *more)
    assert ran.code == code, ran
    made.settled()
    return ran.document("run")


def applied(made: Any, cli: Cli) -> tuple[str, Any, Any]:  # noqa: ANN401 - same
    """Apply; return the run's id, and the fleet before and after."""
    before = made.state()
    assert cli("apply", made.inventory, "--yes").code == 0
    made.settled()
    return runs_of(made)[-1], before, made.state()


@pytest.fixture
def single(bench: MakeBench) -> Any:  # noqa: ANN401 - the bench of conftest
    """One server with old certificates, all services up."""
    return bench("single.yaml", "aged")


@pytest.mark.parametrize("fleet", FLEETS)
def test_apply_then_rollback_is_as_before(bench: MakeBench, cli: Cli, fleet: str) -> None:
    """After apply and rollback every binding, served leaf and enabled flag is as before; no link ever broke."""
    made = bench(fleet, "aged")
    run_id, before, after = applied(made, cli)
    assert after != before
    with made.watched() as watch:
        run = take_back(made, cli, run_id)

    assert run["result"] == "applied"
    assert made.state() == before
    assert watch.broken == []
    assert watch.together == []
    assert find_run(made.folder / ".cmscert", run["run"]).text("rolls_back") == run_id
    assert find_run(made.folder / ".cmscert", run["run"]).text("command") == "rollback"


def test_there_and_back_again(single: Any, cli: Cli) -> None:  # noqa: ANN401 - the bench of conftest
    """Done twice there is nothing to do; the rollback can be taken back, and the inventory is as wanted then."""
    first, before, after = applied(single, cli)
    second = take_back(single, cli, first)["run"]
    nothing = cli("rollback", first[:-2], "--inventory", single.inventory, "--yes")

    assert nothing.code == 0, nothing
    assert "Nothing to do: all is as before that run." in nothing.out
    assert single.state() == before
    take_back(single, cli, second)
    assert single.state() == after
    assert cli("plan", single.inventory, "--detailed-exitcode").code == 0


def test_what_is_shown_is_what_is_typed(single: Any, cli: Cli) -> None:  # noqa: ANN401 - the bench of conftest
    """The plan is shown with its commands and ways back, and those commands arrive, in that order."""
    first, _, _ = applied(single, cli)
    marks = single.marks()
    ran = cli("rollback", first, "--state-dir", single.folder / ".cmscert", "--yes", "-v")
    single.settled()
    shown = [line.strip().removeprefix("$ ") for line in ran.out.splitlines() if line.strip().startswith("$ ")]
    typed = [line for line in single.since(marks)["cms"] if "cmscert-lock" not in line]

    assert ran.code == 0, ran
    assert f"Plan to take run {first} back" in " ".join(ran.out.split())
    assert [line for line in shown if not line.startswith(("pki", "sftp"))] == typed
    assert "way back $ webadmin certs" in ran.out
    assert f"run {first} is taken back" in " ".join(ran.out.split())


def test_a_killed_run_is_taken_back(single: Any, program: Callable[..., Any], cli: Cli) -> None:  # noqa: ANN401 - same
    """A process that was killed between two binds leaves a service off; rollback starts it on its old names."""
    before = single.state()
    process: list[subprocess.Popen[str]] = []
    single.on("cms", "webbridge3 https certs", lambda: os.kill(process[0].pid, signal.SIGKILL))
    process.append(program("apply", single.inventory, "--yes"))
    process[0].communicate(timeout=60)
    single.settled()
    assert process[0].returncode == -signal.SIGKILL
    assert not single.node("cms").up("webbridge3")
    run = take_back(single, cli, runs_of(single)[0])

    assert run["result"] == "applied"
    assert single.state() == before
    notices = {
        notice["reason"] for notice in cli("plan", single.inventory, "--format", "json").document("plan")["notices"]
    }
    assert "unfinished-run" not in notices


def test_a_killed_rollback_goes_on(single: Any, program: Callable[..., Any], cli: Cli) -> None:  # noqa: ANN401 - same
    """A rollback that was killed is continued by the same command."""
    first, before, _ = applied(single, cli)
    process: list[subprocess.Popen[str]] = []
    single.on("cms", "turn certs", lambda: os.kill(process[0].pid, signal.SIGKILL))
    process.append(program("rollback", first, "--state-dir", single.folder / ".cmscert", "--yes"))
    process[0].communicate(timeout=60)
    single.settled()
    assert not single.node("cms").up("turn")
    take_back(single, cli, first)

    assert single.state() == before


def test_a_rollback_that_fails_is_taken_back(single: Any, cli: Cli) -> None:  # noqa: ANN401 - the bench of conftest
    """When a step of it fails the code is 8, and the server is as the run left it."""
    first, _, after = applied(single, cli)
    node = single.node("cms")
    single.on("cms", "webadmin enable", lambda: node.faults.fail.update({"webadmin enable": "no"}))
    single.on("cms", "webadmin certs", node.faults.fail.clear)
    single.on("cms", "webadmin certs", node.faults.fail.clear)
    run = take_back(single, cli, first, 8)

    assert run["result"] == "rolled-back"
    assert run["by_hand"] == []
    assert single.state() == after


def test_a_rollback_that_cannot_be_taken_back(single: Any, cli: Cli) -> None:  # noqa: ANN401 - same
    """When its way back fails as well the code is 9, and the lines that are told give what the run left."""
    first, _, after = applied(single, cli)
    node = single.node("cms")
    single.on("cms", "webadmin enable", lambda: node.faults.fail.update({"webadmin enable": "no"}))
    run = take_back(single, cli, first, 9)
    (hand,) = run["by_hand"]

    assert hand["commands"][-1] == "webadmin enable"
    node.faults = Faults()
    for line in hand["commands"]:
        single.typed("cms", line)
    single.settled()
    assert single.state()["cms"]["webadmin"] == after["cms"]["webadmin"]
    shown = cli("runs", "show", "last", "--inventory", single.inventory)
    assert "webadmin enable" in shown.out.partition("Type this by hand")[2]


def broken_off(made: Any, cli: Cli) -> tuple[str, Path]:  # noqa: ANN401 - the bench of conftest
    """Apply, and cut the end of the journal off as a killed process would; return the run and its folder."""
    name, _, _ = applied(made, cli)
    folder = made.folder / ".cmscert" / "runs" / name
    journal = folder / "journal.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:-1]))
    return name, folder


def test_a_dead_run_stays_until_it_is_taken_back(single: Any, cli: Cli) -> None:  # noqa: ANN401 - same
    """A dead run that is too old to be kept is there for its rollback, is settled then, and goes with the next run."""
    single.inventory.write_text(single.inventory.read_text() + "\npolicy: {keep_runs: {count: 1}}\n")
    name, folder = broken_off(single, cli)
    back = take_back(single, cli, name)
    settled = (folder / "settled.json").exists()
    take_back(single, cli, back["run"])

    assert back["result"] == "applied"
    assert settled
    assert not folder.exists()


def test_a_note_that_cannot_be_written(single: Any, cli: Cli) -> None:  # noqa: ANN401 - the bench of conftest
    """What the next run has to hear of once more changes nothing about how this one ended."""
    name, folder = broken_off(single, cli)
    (folder / "settled.json").mkdir()
    ran = cli("rollback", name, "--state-dir", folder.parent.parent, "--yes")

    assert ran.code == 0, ran
    assert "settled.json: cannot be written" in ran.err
    assert "the next run will speak of that run again" in ran.err


def test_changed_since(single: Any, cli: Cli) -> None:  # noqa: ANN401 - the bench of conftest
    """What a later run changed is refused by its name; lifted, it goes back all the way."""
    first, before, _ = applied(single, cli)
    files = single.node("cms").bound("turn")
    single.typed("cms", "turn disable")
    single.typed("cms", f"turn certs {files.key} {files.certificate}")
    single.typed("cms", "turn enable")
    single.settled()
    refused = cli("rollback", first, "--inventory", single.inventory, "--yes")

    assert refused.code == 7, refused
    assert "neither as before run" in refused.err
    take_back(single, cli, first, 0, "--allow", "changed-since")
    assert single.state() == before


def test_its_plan_is_no_plan_for_apply(single: Any, cli: Cli) -> None:  # noqa: ANN401 - the bench of conftest
    """The plan of a rollback stands in its journal, and apply refuses it: it is not made of the inventory."""
    first, before, _ = applied(single, cli)
    second = take_back(single, cli, first)["run"]
    plan = single.folder / ".cmscert" / "runs" / second / "plan.json"
    ran = cli("apply", single.inventory, "--plan", plan, "--yes")

    assert ran.code == 7
    assert f"cmscert rollback {first}" in ran.err
    assert single.state() == before


def test_no_certificate_of_the_inventory_is_needed(single: Any, cli: Cli) -> None:  # noqa: ANN401 - same
    """Addresses, logins and policies are enough: the material may be gone."""
    first, before, _ = applied(single, cli)
    for path in (single.folder / "pki").iterdir():
        path.unlink()
    assert cli("plan", single.inventory).code == 3
    take_back(single, cli, first)

    assert single.state() == before


def test_somebody_has_to_say_yes(single: Any, cli: Cli) -> None:  # noqa: ANN401 - the bench of conftest
    """Without a terminal and without --yes nothing is changed."""
    first, _, after = applied(single, cli)
    ran = cli("rollback", first, "--inventory", single.inventory)

    assert ran.code == 7
    assert "--yes" in ran.err
    assert single.state() == after


def test_a_server_that_is_away(bench: MakeBench, cli: Cli) -> None:
    """A server that cannot be reached refuses, with 4; lifted, the others go back, and the code stays 4."""
    made = bench("cluster.yaml", "aged")
    first, before, after = applied(made, cli)
    made.node("edge2").faults.down = True
    refused = cli("rollback", first, "--inventory", made.inventory, "--yes")
    assert refused.code == 4, refused
    assert "unread-server" in refused.err
    assert made.state() == after
    take_back(made, cli, first, 4, "--allow", "unread-server", "--allow", "last-call-bridge")
    now = made.state()

    assert now["edge2"] == after["edge2"]
    assert now["edge1"] == before["edge1"]


@pytest.mark.parametrize("presses", [1, 2])
def test_interrupted(single: Any, program: Callable[..., Any], cli: Cli, presses: int) -> None:  # noqa: ANN401 - same
    """SIGINT ends it after the service in hand with 130; the same command goes on from there."""
    first, before, _ = applied(single, cli)
    node = single.node("cms")
    node.faults.late = {"webbridge3 enable": 1.5}
    process: list[subprocess.Popen[str]] = []
    single.on("cms", "webbridge3 enable", lambda: os.kill(process[0].pid, signal.SIGINT))
    process.append(program("rollback", first, "--state-dir", single.folder / ".cmscert", "--yes"))
    with process[0] as running:
        assert running.stderr is not None
        for line in running.stderr:
            if presses > 1 and "Ctrl-C again stops now" in line:
                os.kill(running.pid, signal.SIGINT)
        running.wait(60)

    assert running.returncode in ({130} if presses == 1 else {130, 9})
    node.faults.late = {}
    single.settled()
    take_back(single, cli, first)
    assert single.state() == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nosuch",), "there is no run 'nosuch'"),
        (("last", "--inventory", "nowhere.yaml"), "no such inventory"),
        (("last", "--state-dir", "nowhere"), "no such directory"),
    ],
)
def test_what_is_not_there(single: Any, cli: Cli, words: tuple[str, ...], told: str) -> None:  # noqa: ANN401 - same
    """A run, an inventory or a state directory that is not there is invalid input."""
    applied(single, cli)
    place = () if len(words) > 1 else ("--inventory", str(single.inventory))
    ran = cli("rollback", *words, *place, "--yes")

    assert ran.code == 3, ran
    assert told in ran.err


@pytest.mark.parametrize("form", ["markdown", "runbook"])
def test_the_way_back_on_paper_changes_nothing(single: Any, cli: Cli, form: str) -> None:  # noqa: ANN401 - same
    """The plan of a rollback is written down without a question, a lock or a journal, and is what a rollback types."""
    run, _, after = applied(single, cli)
    state = single.folder / ".cmscert"
    before = {path: path.stat().st_mtime_ns for path in state.rglob("*")}
    marks = single.marks()
    page = cli("rollback", run, "--state-dir", state, "--format", form)
    on_paper = single.since(marks)
    kept = {path: path.stat().st_mtime_ns for path in state.rglob("*")}
    refused = cli("rollback", run, "--state-dir", state, "--format", form, "--yes")
    at_last = single.state()
    take_back(single, cli, run)
    typed = [line for line in single.since(marks)["cms"] if not line.startswith(("rm ", "put "))]

    assert page.code == 0, page
    assert (on_paper, kept, at_last) == ({}, before, after)
    assert run in page.out
    assert typed
    assert all(line in page.out for line in typed)
    assert refused.code == 2
    assert "changes nothing" in refused.err
    assert "cmscert plan has nothing to do" not in page.out


def test_the_way_back_of_a_server_that_is_away(single: Any, cli: Cli) -> None:  # noqa: ANN401 - same
    """What cannot be read is named on the page, and the code says that it is not whole."""
    run, *_ = applied(single, cli)
    single.node("cms").faults.down = True
    page = cli("rollback", run, "--state-dir", single.folder / ".cmscert", "--format", "markdown")

    assert page.code == 4
    assert "Not read, so this is incomplete" in page.out


def test_what_could_not_be_taken_back_is_not_forgotten(bench: MakeBench, program: Callable[..., Any], cli: Cli) -> None:
    """A server that was away while a dead run was taken back is still known: the next apply starts what is off."""
    made = bench("cluster.yaml", "aged")
    process: list[subprocess.Popen[str]] = []
    made.on("core3", "webadmin certs", lambda: os.kill(process[0].pid, signal.SIGKILL))
    process.append(program("apply", made.inventory, "--yes", "--select", "service=webadmin"))
    process[0].communicate(timeout=90)
    made.settled()
    made.node("core3").faults = Faults(down=True)
    take_back(made, cli, runs_of(made)[-1], 4, "--allow", "unread-server")
    made.node("core3").faults = Faults()
    off = not made.node("core3").up("webadmin")
    again = cli("apply", made.inventory, "--yes", "--select", "service=webadmin")
    made.settled()

    assert off
    assert again.code == 0, again
    assert made.node("core3").up("webadmin")


@pytest.mark.parametrize("command", ["rollback", "apply"])
def test_going_on_fails_once(single: Any, program: Callable[..., Any], cli: Cli, command: str) -> None:  # noqa: ANN401 - same
    """A service that a dead run stopped is up on its old names when going on fails. That is proven: code 8."""
    process: list[subprocess.Popen[str]] = []
    single.on("cms", "turn disable", lambda: process[0].send_signal(signal.SIGKILL))
    process.append(program("apply", single.inventory, "--yes", "--select", "service=turn"))
    process[0].communicate(timeout=60)
    single.settled()
    stopped = single.state()["cms"]["turn"]
    node = single.node("cms")

    def begin() -> None:
        node.faults = Faults(fail={"turn enable": "no"})
        single.on("cms", "", end)

    def end() -> None:
        node.faults = Faults()

    single.on("cms", "turn enable", begin)
    words = [runs_of(single)[-1], "--state-dir", single.folder / ".cmscert"] if command == "rollback" else []
    ran = cli(command, *(words or [single.inventory, "--select", "service=turn"]), "--yes", "--format", "json")
    single.settled()
    turn = single.state()["cms"]["turn"]

    assert not stopped["up"]
    assert ran.code == 8, ran
    assert turn["up"]
    assert turn["bound"] == stopped["bound"]
