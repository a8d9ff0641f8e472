"""The plan to type by hand: on paper, complete, and never another text than the executor sends."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from cmscert.mmp.services import SERVICES
from cmscert.mmp.typed import typed
from cmscert.model.observed import Binding
from cmscert.model.plan import FLEET, Action, Gate, Notice, Plan, PutFile, Rebind, RemoveFiles, Restart, RestoreFile
from cmscert.model.services import Service
from cmscert.reports.expecting import expected
from cmscert.reports.runbook import runbook
from cmscert.testing.plans import CRT, SHA, database_plan, empty_plan, sample_plan

Golden = Callable[[str, str], None]
MATERIAL = {
    f"sha256:{SHA}": ("join.example.com, until 2027-11-20 (1a2b3c4d), from pki/join.crt", "Example Issuing CA"),
    f"spki:{SHA}": ("the key in pki/join.key, as PEM without a passphrase",),
}


def webbridge3() -> Service:
    """Return the last row of the web bridge."""
    return next(row for row in reversed(SERVICES) if row.name == "webbridge3")


def test_plan_reads_as_written(golden: Golden) -> None:
    """Each step has its server, what is typed, what must show, who notices, and the way back."""
    golden("runbook.txt", runbook(sample_plan(), SERVICES, material=MATERIAL))


def test_rebuild_of_a_cluster_reads_as_written(golden: Golden) -> None:
    """The steps on a database cluster are there too, with what is asked and what has to be waited for."""
    golden("runbook-database.txt", runbook(database_plan(), SERVICES))


def test_empty_plan_reads_as_written(golden: Golden) -> None:
    """A fleet that is as wanted gives nothing to type, and still says of when that is."""
    golden("runbook-empty.txt", runbook(empty_plan(), SERVICES))


@pytest.mark.parametrize("plan", [sample_plan(), database_plan()])
def test_every_line_of_the_executor_is_there(plan: Plan) -> None:
    """Everything that would be sent stands there, in its order, and so does every way back."""
    page = re.sub(r"\n {16}\(all of it in one line\)", "", runbook(plan, SERVICES))
    page = re.sub(r"\n {16}(?!\()", " ", page)
    lines = [line for step in plan.steps for line in typed(step.action, step.server, plan, SERVICES)]
    backs = [line for step in plan.steps if step.undo for line in typed(step.undo, step.server, plan, SERVICES)]
    shown = re.findall(r"\$ (.*)", page)

    assert sorted(shown) == sorted([*lines, *backs])
    assert [line for line in shown if line in lines][: len(lines)] != []


@pytest.mark.parametrize("plan", [sample_plan(), database_plan(), empty_plan()])
def test_it_fits_the_paper(plan: Plan) -> None:
    """No line is wider than 80 columns, and none ends in blanks."""
    lines = runbook(plan, SERVICES, material=MATERIAL).splitlines()

    assert max(map(len, lines)) <= 80
    assert [line for line in lines if line != line.rstrip()] == []


def test_steps_are_numbered_without_gates() -> None:
    """Gates are where one stops; they are no steps and have no number."""
    plan = sample_plan()
    page = runbook(plan, SERVICES)
    steps = [step for step in plan.steps if not isinstance(step.action, Gate)]

    assert re.findall(r"^\[ \] (\d+) of 9", page, re.MULTILINE) == [str(number + 1) for number in range(len(steps))]
    assert page.count("STOP. Go on only when this is so") == 1


def test_it_says_what_it_leaves_out_and_takes_back() -> None:
    """A selection, a rollback, what was not read, and what no server told."""
    plan = replace(empty_plan(), select=("server=core1",), rolls_back="RUN", unread=(("x", "silent"),), releases={})
    page = runbook(replace(plan, notices=(Notice(message="m", server="x", slot="turn"),)), SERVICES)

    assert "Runbook for example, which takes run RUN back" in page
    assert "only         server=core1" in page
    assert "Nothing to type in what could be read." in page
    assert "- x turn: m" in page


def test_device_text_cannot_steer_the_printer() -> None:
    """Control characters in anything that a device said are spelled out."""
    page = runbook(replace(sample_plan(), unread=(("x", "\x1b[2J\x07\u202e"),)), SERVICES)

    assert not any(ord(char) < 0x20 and char != "\n" for char in page)
    assert "\u202e" not in page


@pytest.mark.parametrize(
    ("action", "said"),
    [
        (PutFile(file=CRT, content="sha256:", role="certificate", overwrites=True), "it is the new one"),
        (RestoreFile(file="a.crt", saved_as="b.crt"), "it is the old one"),
        (RemoveFiles(files=("a.crt",)), "pki list shows it no more"),
        (Rebind(service="webbridge3", bindings=(Binding(slot="webbridge3/https"),)), "webbridge3/https: none"),
        (
            Rebind(service="webbridge3", bindings=(Binding(slot="webbridge3/https"),), stopped=True),
            "nothing is started",
        ),
        (Restart(service="webbridge3"), "port 443 unless it was set otherwise serves"),
    ],
)
def test_what_proves_a_step(action: Action, said: str) -> None:
    """Each kind of step says what must be seen after it."""
    assert said in " ".join(expected(action, webbridge3()))


def test_a_gate_proves_nothing() -> None:
    """Nothing is typed at a gate, so nothing is to be seen; nor of a service that the release does not have."""
    assert expected(Gate(opens="services"), None) == ()
    assert expected(Restart(service="turn"), None) == ()


def test_a_step_back_of_a_file_is_told() -> None:
    """A way back that only copies a file says when the service loads it."""
    [first, *_] = sample_plan().steps
    step = replace(first, undo=RestoreFile(file="a.crt", saved_as="b.crt"), server=FLEET)
    page = runbook(replace(sample_plan(), steps=(step,)), SERVICES)

    assert "the service that uses it loads it when it is started again" in page
