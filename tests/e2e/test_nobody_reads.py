"""Whoever watched a run goes away: a pipe ends, a terminal is closed. The run ends well, and its code is true."""

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

Bench = Any
Cli = Callable[..., Any]
Program = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def made(bench: Callable[..., Bench]) -> Bench:
    """One server with old certificates, all services up."""
    return bench("single.yaml", "aged")


@pytest.fixture
def fails(made: Bench) -> Bench:
    """One server on which web administration says FAILURE once when it is enabled."""
    node = made.node("cms")

    def begin() -> None:
        node.faults = Faults(fail={"webadmin enable": "no"})
        made.on("cms", "", end)

    def end() -> None:
        node.faults = Faults()

    made.on("cms", "webadmin enable", begin)
    return made


def all_up(made: Bench) -> bool:
    """Tell whether every service runs."""
    made.settled()
    return all(service["up"] for service in made.state()["cms"].values())


def result(made: Bench) -> str:
    """Return how the only run ended, as its journal tells."""
    (run,) = (made.folder / ".cmscert" / "runs").iterdir()
    return str(read_journal(run / "journal.jsonl").events[-1].result)  # type: ignore[union-attr]  # it is the end


def test_progress_that_nobody_reads(made: Bench, program: Program) -> None:
    """Progress into a pipe that ends does not end the run."""
    reader, writer = os.pipe()
    made.on("cms", "turn disable", lambda: os.close(reader))
    run = program("apply", made.inventory, "--yes", stderr=writer)
    os.close(writer)
    run.communicate(timeout=90)

    assert run.returncode == 0
    assert result(made) == "applied"
    assert all_up(made)


def test_result_that_nobody_reads(fails: Bench, program: Program) -> None:
    """The code is that of the run also when its result cannot be shown any more."""
    reader, writer = os.pipe()
    fails.on("cms", "turn disable", lambda: os.close(reader))
    run = program("apply", fails.inventory, "--yes", stdout=writer)
    os.close(writer)
    err = run.communicate(timeout=90)[1]

    assert run.returncode == 8, err
    assert result(fails) == "rolled-back"
    assert "the result cannot be shown" in err
    assert all_up(fails)


def test_result_that_cannot_be_written(fails: Bench, cli: Cli) -> None:
    """A file for the result that cannot be written weighs less than how the run ended."""
    ran = cli("apply", fails.inventory, "--yes", "--output", fails.folder / "none" / "result.txt")

    assert ran.code == 8, ran
    assert "result.txt" in ran.err
    assert "journal: " in ran.err


def test_plan_that_nobody_reads(made: Bench, program: Program) -> None:
    """A plan that cannot be shown, to nobody or on a full disk, is not applied, and that is told by the code."""
    reader, writer = os.pipe()
    os.close(reader)
    with Path("/dev/full").open("w") as full:
        runs = [program("apply", made.inventory, "--yes", stdout=writer)]
        os.close(writer)
        errors = [runs[0].communicate(timeout=90)[1]]
        runs.append(program("apply", made.inventory, "--yes", stdout=full))
        errors.append(runs[1].communicate(timeout=90)[1])

    assert [run.returncode for run in runs] == [7, 7], errors
    assert all("nothing was changed: the plan cannot be shown" in error for error in errors)
    assert not (made.folder / ".cmscert" / "runs").exists()


def test_closed_terminal(made: Bench, program: Program) -> None:
    """A terminal that is closed ends the run as Ctrl-C does: the service in hand is finished, the others stay."""
    started: list[subprocess.Popen[str]] = []
    made.on("cms", "turn disable", lambda: started[0].send_signal(signal.SIGHUP))
    started.append(program("apply", made.inventory, "--yes"))
    err = started[0].communicate(timeout=90)[1]

    assert started[0].returncode == 130, err
    assert result(made) == "interrupted"
    assert all_up(made)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_ended_before_the_run(made: Bench, program: Program, number: signal.Signals) -> None:
    """A pipeline that is cancelled while the fleet is being taken leaves no lock file on a server."""
    started: list[subprocess.Popen[str]] = []
    made.on("cms", "put cmscert-lock", lambda: started[0].send_signal(number))
    started.append(program("apply", made.inventory, "--yes"))
    err = started[0].communicate(timeout=90)[1]

    assert started[0].returncode == 130, err
    assert "interrupted: nothing was changed" in err
    assert not any(name.startswith("cmscert-lock") for name in made.node("cms").files)


def test_closed_terminal_that_does_not_matter(made: Bench, program: Program) -> None:
    """A run that was started with nohup goes on."""
    started: list[subprocess.Popen[str]] = []
    made.on("cms", "turn disable", lambda: started[0].send_signal(signal.SIGHUP))
    ignored = program("apply", made.inventory, "--yes", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    started.append(ignored)
    err = ignored.communicate(timeout=90)[1]

    assert ignored.returncode == 0, err
    assert result(made) == "applied"
