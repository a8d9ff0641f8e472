"""The whole way through the command line, on simulated servers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pexpect
import pytest
from jsonschema import Draft202012Validator

from cmscert.cli.commands import demo
from cmscert.reports.schemas import report_schemas

Cli = Callable[..., Any]
MakeRig = Callable[..., Any]


def document(name: str, text: str) -> dict[str, Any]:
    """Read one JSON document and hold it against its schema."""
    read: dict[str, Any] = json.loads(text)
    Draft202012Validator(report_schemas()[name]).validate(read)
    return read


def test_from_faults_to_nothing_to_do(cli: Cli, rig: MakeRig) -> None:
    """Validate, drift, save a plan, apply exactly that, see it on the wire, plan again and find nothing."""
    inventory = rig().inventory
    saved = inventory.parent / "p.json"

    assert cli("validate", inventory).code == 0
    assert cli("drift", inventory).code == 6
    plan = cli("plan", inventory, "--detailed-exitcode", "--save", saved)
    assert plan.code == 5
    assert "8 differences on 1 server" in plan.out
    assert f"cmscert apply {inventory} --plan {saved}" in plan.err
    applied = cli("apply", inventory, "--plan", saved, "--yes")
    assert applied.code == 0, applied
    assert "applied and verified" in applied.out
    assert "journal: " in applied.err
    assert "the same" in cli("status", inventory).out
    again = cli("plan", inventory, "--detailed-exitcode")
    assert (again.code, "Nothing to do: all is as wanted." in again.out) == (0, True)
    assert cli("drift", inventory).code == 0
    nothing = cli("apply", inventory)
    assert (nothing.code, "Nothing to do on single." in nothing.out) == (0, True)


def test_documents_of_the_whole_way(cli: Cli, rig: MakeRig) -> None:
    """With --format json stdout holds one document that fits its schema, whatever else is said on stderr."""
    inventory = rig().inventory

    document("validate", cli("validate", inventory, "--format", "json").out)
    document("drift", cli("drift", inventory, "--format", "json", "-v").out)
    document("status", cli("status", inventory, "--format", "json", "--log-format", "json").out)
    plan = document("plan", cli("plan", inventory, "--format", "json").out)
    applied = cli("apply", inventory, "--yes", "--format", "json", "--log-format", "json")
    run = document("run", applied.out)
    assert run["summary"]["done"] == plan["summary"]["steps"]
    assert "Upload and check" in applied.err
    events = [json.loads(line)["event"] for line in applied.err.splitlines() if line.startswith("{")]
    assert "step-ended" in events
    assert document("run", cli("apply", inventory, "--format", "json").out)["result"] == "nothing-to-do"


def test_verbose_apply_shows_what_is_typed(cli: Cli, rig: MakeRig, tmp_path: Path) -> None:
    """With -v the progress lines show every command; --output keeps the result, and the plan goes to stderr."""
    inventory = rig().inventory
    result = tmp_path / "result.txt"
    ran = cli("apply", inventory, "--yes", "-v", "--output", result, "--state-dir", tmp_path / "state")

    assert ran.code == 0
    assert ran.out == ""
    assert "$ webbridge3 disable" in ran.err
    assert "Upload and check" in ran.err
    assert "applied and verified" in result.read_text()
    assert len(list((tmp_path / "state" / "runs").iterdir())) == 1
    assert not (inventory.parent / ".cmscert").exists()


def test_same_state_gives_the_same_bytes(cli: Cli, rig: MakeRig) -> None:
    """Two plans of one state differ in their moment only."""
    inventory = rig().inventory
    one, other = (json.loads(cli("plan", inventory, "--format", "json").out) for _ in range(2))

    assert one.pop("made_at") <= other.pop("made_at")
    assert one == other


def test_nothing_secret_and_no_local_path_in_a_plan(cli: Cli, rig: MakeRig, tmp_path: Path) -> None:
    """A plan holds no key, no password, no folder of this machine."""
    text = cli("plan", rig().inventory, "--format", "json", "-v").out

    assert "PRIVATE" not in text
    assert "BEGIN" not in text
    assert str(tmp_path) not in text


def test_selection_narrows_every_step(cli: Cli, rig: MakeRig) -> None:
    """A selected plan touches what was selected, and says so."""
    inventory = rig().inventory
    plan = json.loads(cli("plan", inventory, "--format", "json", "--select", "service=webadmin").out)

    assert {drift["slot"] for drift in plan["drift"]} == {"webadmin"}
    assert plan["select"] == ["service=webadmin"]
    nothing = cli("plan", inventory, "--select", "server=nope")
    assert (nothing.code, "matches nothing in fleet single" in nothing.err) == (3, True)


def test_saved_selection_is_applied_as_saved(cli: Cli, rig: MakeRig, tmp_path: Path) -> None:
    """A saved plan of a part applies to that part."""
    inventory = rig().inventory
    saved = tmp_path / "p.json"
    cli("plan", inventory, "--select", "service=webadmin", "--save", saved)

    assert cli("apply", inventory, "--plan", saved, "--yes").code == 0
    left = json.loads(cli("plan", inventory, "--format", "json").out)
    assert "webadmin" not in {drift["slot"] for drift in left["drift"]}
    assert left["drift"]


def test_without_a_terminal_yes_is_needed(cli: Cli, rig: MakeRig) -> None:
    """Apply shows the plan, then refuses with 7 when there is nobody to ask."""
    ran = cli("apply", rig().inventory)

    assert ran.code == 7
    assert "What differs" in ran.out
    assert "--yes" in ran.err


def test_stale_plans_are_refused(cli: Cli, rig: MakeRig, tmp_path: Path) -> None:
    """A plan is refused with 7 when the servers, the inventory or the tool are no longer those it was made with."""
    made = rig()
    saved = tmp_path / "p.json"
    cli("plan", made.inventory, "--save", saved)
    plan = json.loads(saved.read_text())

    def refused(**changes: object) -> str:
        saved.write_text(json.dumps({**plan, **changes}))
        ran = cli("apply", made.inventory, "--plan", saved, "--yes")
        assert ran.code == 7, ran
        return str(ran.err)

    assert "made by cmscert 0.0.1" in refused(tool_version="0.0.1")
    assert "fleet other" in refused(fleet="other")
    assert "the inventory, or a certificate" in refused(inventory_sha256="0" * 64)
    assert "cms: other things were read from it" in refused(basis={"cms": "0" * 64})
    assert "cms: the plan was made without it" in refused(basis={})
    assert "other steps follow" in refused(steps=plan["steps"][:-1])
    assert "other steps follow" in refused(made_at="2026-01-01T00:00:00Z", steps=[])


def test_failed_step_is_taken_back(cli: Cli, rig: MakeRig) -> None:
    """A service that does not come up is bound to its old files again: exit code 8, and the report says so."""
    made = rig(scenario="aged")
    plan = json.loads(cli("plan", made.inventory, "--format", "json").out)
    new = next(line for step in plan["steps"] for line in step["commands"] if line.startswith("webbridge3 c2w certs"))
    made.spec("cms").faults.fail = {new: "FAILURE: no"}
    ran = cli("apply", made.inventory, "--yes", "--format", "json")

    run = document("run", ran.out)
    assert (ran.code, run["result"]) == (8, "rolled-back")
    assert "FAILED" in ran.err


def test_failure_without_way_back_is_9(cli: Cli, rig: MakeRig) -> None:
    """With --no-rollback a failed service stays as it is: exit code 9, and the report says what to type."""
    made = rig(start=False)
    made.spec("cms").faults.fail = {"webbridge3 c2w certs": "FAILURE: no"}
    made.start()
    ran = cli("apply", made.inventory, "--yes", "--no-rollback")

    assert ran.code == 9, ran
    assert "neither old nor new" in ran.out
    assert "Type this by hand" in ran.out


def test_journal_that_cannot_be_opened_refuses(cli: Cli, rig: MakeRig, tmp_path: Path) -> None:
    """Without a journal nothing is sent: exit code 7."""
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "state" / "runs").symlink_to(tmp_path / "elsewhere")
    ran = cli("apply", rig().inventory, "--yes", "--state-dir", tmp_path / "state")

    assert ran.code == 7, ran
    assert "journal" in ran.err


def terminal(rig: Any, *words: object, **environment: str) -> pexpect.spawn:  # noqa: ANN401 - the rig of conftest
    """Type a command line on a terminal."""
    return pexpect.spawn(
        sys.executable,
        ["-m", "cmscert", *map(str, words)],
        env={**os.environ, "CMS_PASSWORD": "lab", "TERM": "xterm-256color", **environment},
        dimensions=(50, 100),
        encoding="utf-8",
        timeout=60,
        cwd=str(rig.folder),
    )


def test_apply_on_a_terminal_asks_and_shows_progress(rig: MakeRig) -> None:
    """On a terminal apply asks, takes yes, and shows a living line for each server."""
    made = rig()
    child = terminal(made, "apply", made.inventory)
    child.expect("to single\\? Type yes: ")
    child.sendline("yes")
    child.expect("applied and verified")
    child.expect(pexpect.EOF)
    child.close()

    assert child.exitstatus == 0


def test_no_on_a_terminal_is_refused(rig: MakeRig) -> None:
    """Anything but yes changes nothing: exit code 7."""
    made = rig()
    child = terminal(made, "apply", made.inventory, NO_COLOR="1")
    child.expect("Type yes: ")
    child.sendline("no")
    child.expect("was not confirmed")
    child.expect(pexpect.EOF)
    child.close()

    assert child.exitstatus == 7


def test_ctrl_c_at_the_question_changes_nothing(rig: MakeRig) -> None:
    """Ctrl-C before the run ends the process at once: exit code 130."""
    made = rig()
    child = terminal(made, "apply", made.inventory)
    child.expect("Type yes: ")
    child.sendintr()
    child.expect("nothing was changed")
    child.expect(pexpect.EOF)
    child.close()

    assert child.exitstatus == 130


@pytest.mark.parametrize("said", [("services in hand",), ("services in hand", "stopping now")], ids=len)
def test_ctrl_c_in_a_run(rig: MakeRig, cli: Cli, said: tuple[str, ...]) -> None:
    """Ctrl-C once finishes the service in hand, twice stops now; the journal is whole and the code is 130 or 9."""
    made = rig(start=False)
    made.spec("cms").faults.late = {"webbridge3 enable": 3.0}
    made.start()
    child = terminal(made, "apply", made.inventory, "--yes", "-v", "--no-color")
    child.expect(r"cms: \d+ \$ webbridge3 enable\r\n")
    for words in said:
        child.sendintr()
        child.expect(words)
    child.expect(pexpect.EOF)
    child.close()
    journal = next((made.folder / ".cmscert" / "runs").iterdir()) / "journal.jsonl"

    assert child.exitstatus in ({130} if len(said) == 1 else {130, 9})
    assert json.loads(journal.read_text().splitlines()[-1])["event"]["kind"] == "run-ended"
    made.spec("cms").faults.late = {}
    assert cli("apply", made.inventory, "--yes").code == 0


def test_lab_up_tells_what_to_type(tmp_path: Path) -> None:
    """``lab up`` makes its folder, says what to type next, and ends on Ctrl-C with 0."""
    source = Path(__file__).parents[2] / "inventories" / "single.yaml"
    child = pexpect.spawn(
        sys.executable,
        ["-m", "cmscert", "lab", "up", str(source), "--base-port", "0", "--scenario", "wanted"],
        encoding="utf-8",
        timeout=60,
        cwd=str(tmp_path),
        dimensions=(50, 200),
    )
    child.expect("The lab is up.")
    child.expect_exact("cmscert plan .cmscert-lab/single/single.yaml")
    child.expect("Ctrl-C ends the lab")
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()

    assert child.exitstatus == 0
    assert (tmp_path / ".cmscert-lab" / "single" / "known_hosts").exists()


def test_lab_pki_makes_material_once(cli: Cli, tmp_path: Path) -> None:
    """``lab pki`` writes what an inventory names beside it, and leaves it alone the second time."""
    inventory = tmp_path / "single.yaml"
    inventory.write_text((Path(__file__).parents[2] / "inventories" / "single.yaml").read_text())
    first = cli("lab", "pki", inventory)

    assert first.code == 0
    assert str(tmp_path / "pki" / "cms.crt") in first.out.split()
    assert cli("lab", "pki", inventory).out == ""
    assert cli("validate", inventory).code == 0


@pytest.mark.slow
def test_demo_tells_the_whole_story(tmp_path: Path) -> None:
    """``cmscert demo`` ends with 0 only if every part did what it should, and says what to type next."""
    done = subprocess.run(
        [sys.executable, "-m", "cmscert", "demo", "--folder", str(tmp_path / "demo")],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("$ cmscert") == 6
    assert "applied and verified" in done.stdout
    assert "Nothing to do: all is as wanted." in done.stdout
    assert done.stdout.rstrip().endswith("--plan p.json")


def test_demo_inventory_is_the_checkouts() -> None:
    """Outside of a wheel the demo uses the inventory that everybody can read."""
    assert demo.demo_inventory() == (Path(__file__).parents[2] / "inventories" / "cluster.yaml").read_text()


def test_demo_that_goes_wrong_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    """A part that ends otherwise than it should makes the demo fail, and the lab is ended all the same."""
    single = Path(demo.__file__).parents[3] / "inventories" / "single.yaml"
    monkeypatch.setattr(demo, "demo_inventory", single.read_text)
    monkeypatch.setattr(demo, "story", lambda _: iter([("It fails", ["validate", "no-such.yaml"], 0)]))

    assert cli("demo", "--folder", tmp_path).code == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_demo_whose_lab_ends_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    """A lab that cannot start ends the demo with its reason."""
    monkeypatch.setattr(demo, "demo_inventory", lambda: "version: 1\n")
    ran = cli("demo", "--folder", tmp_path)

    assert ran.code == 3
    assert "the lab ended with exit code 3" in ran.err
