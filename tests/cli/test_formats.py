"""Reports for machines through the command line: stdout carries the report and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from junitparser import JUnitXml
from markdown_it import MarkdownIt
from prometheus_client.parser import text_string_to_metric_families

Cli = Callable[..., Any]
MakeRig = Callable[..., Any]


def names(text: str) -> set[str]:
    """Return the names of the metrics in a text."""
    return {family.name for family in text_string_to_metric_families(text)}


def is_junit(text: str) -> bool:
    """Tell whether a text is one JUnit document."""
    whole = JUnitXml.fromstring(text.encode())
    return [suite.name for suite in whole] == ["cms"] and whole.failures > 0


def is_sarif(text: str) -> bool:
    """Tell whether a text is one SARIF document whose findings have lines."""
    results = json.loads(text)["runs"][0]["results"]
    lines = [each["locations"][0]["physicalLocation"]["region"]["startLine"] for each in results]
    return bool(lines) and min(lines) > 1


def is_markdown(text: str) -> bool:
    """Tell whether a text begins with a heading and holds a table."""
    drawn = MarkdownIt("commonmark").enable("table").render(text)
    return drawn.startswith("<h2>") and "<table>" in drawn


def is_prometheus(text: str) -> bool:
    """Tell whether every line of a text is a metric."""
    return {"cmscert_certificate_not_after_seconds", "cmscert_build_info"} <= names(text)


DRIFT = {"junit": is_junit, "sarif": is_sarif, "markdown": is_markdown, "prometheus": is_prometheus}
SAID = {
    "junit": "no TCP",
    "sarif": "cms could not be read",
    "markdown": "### Not read: 1",
    "prometheus": 'state="unread"} 1',
}
STATUS = {"markdown": is_markdown, "prometheus": is_prometheus}


@pytest.mark.parametrize("form", DRIFT)
def test_stdout_of_drift_is_the_report(cli: Cli, rig: MakeRig, form: str) -> None:
    """Whatever is said on stderr, stdout is one document that others can read, and the exit code stays."""
    ran = cli("drift", rig().inventory, "--format", form, "-v", "--log-format", "json")

    assert ran.code == 6
    assert DRIFT[form](ran.out)
    assert ran.err


@pytest.mark.parametrize("form", STATUS)
def test_stdout_of_status_is_the_report(cli: Cli, rig: MakeRig, form: str) -> None:
    """The same holds for status."""
    ran = cli("status", rig().inventory, "--format", form, "-v", "--log-format", "json")

    assert ran.code == 0
    assert STATUS[form](ran.out)
    assert ran.err


@pytest.mark.parametrize("form", DRIFT)
def test_a_server_that_is_down_is_in_the_report(cli: Cli, rig: MakeRig, form: str) -> None:
    """A report is written of what could be read, and the exit code says that something could not."""
    lab = rig()
    lab.stop()
    ran = cli("drift", lab.inventory, "--format", form)

    assert ran.code == 4
    assert SAID[form] in ran.out
    assert "cms" in ran.err


@pytest.mark.parametrize("form", DRIFT)
def test_without_a_report_stdout_is_empty(cli: Cli, tmp_path: Path, form: str) -> None:
    """An inventory that cannot be read gives words on stderr alone: a reader of reports gets nothing to misread."""
    ran = cli("drift", tmp_path / "no.yaml", "--format", form)

    assert (ran.code, ran.out) == (3, "")
    assert "no such file" in ran.err


def test_metrics_are_written_whole_and_tell_of_the_last_run(cli: Cli, rig: MakeRig, tmp_path: Path) -> None:
    """The collector finds a whole file or the one before; after an apply it says how that ended."""
    inventory = rig().inventory
    folder = tmp_path / "textfile"
    folder.mkdir()
    file = folder / "cmscert.prom"

    assert cli("drift", inventory, "--format", "prometheus", "--output", file).out == ""
    before = file.stat().st_ino
    assert "cmscert_last_run" not in file.read_text()
    assert cli("apply", inventory, "--yes").code == 0
    assert cli("drift", inventory, "--format", "prometheus", "--output", file).code == 0
    assert file.stat().st_ino != before
    assert list(folder.iterdir()) == [file]
    assert 'cmscert_last_run_result{fleet="single",result="applied"} 1.0' in file.read_text()
    assert "cmscert_last_run_ended_seconds" in cli("status", inventory, "--format", "prometheus").out
    file.unlink()
    assert cli("drift", tmp_path / "no.yaml", "--format", "prometheus", "--output", file).code == 3
    assert not file.exists()


def test_the_store_has_no_such_forms(cli: Cli, rig: MakeRig) -> None:
    """What a form is not made for is wrong usage."""
    ran = cli("status", rig(start=False).inventory, "--store", "--format", "markdown")

    assert (ran.code, ran.out) == (2, "")
    assert "--format markdown does not go with --store" in ran.err


PEOPLE = {"markdown": ("## Plan for `single`: 8 differences", "### Who notices"), "runbook": ("[ ] 1 of ", "way back")}


@pytest.mark.parametrize("form", PEOPLE)
def test_a_plan_for_people_keeps_codes_and_the_saved_plan(cli: Cli, rig: MakeRig, tmp_path: Path, form: str) -> None:
    """A plan to review or to type by hand ends with the codes of any plan, and is saved like any other."""
    lab = rig()
    saved = tmp_path / "p.json"
    ran = cli("plan", lab.inventory, "--format", form, "--detailed-exitcode", "--save", saved)

    assert ran.code == 5
    assert all(said in ran.out for said in PEOPLE[form])
    assert cli("apply", lab.inventory, "--plan", saved, "--yes").code == 0
    assert cli("plan", lab.inventory, "--format", form, "--detailed-exitcode").code == 0
    lab.stop()
    assert cli("plan", lab.inventory, "--format", form).code == 4


def test_a_plan_that_could_not_be_read_back_is_not_saved(
    cli: Cli, rig: MakeRig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan larger than what is read back ends as wrong input, says what to do, and no file is written."""
    monkeypatch.setattr("cmscert.model.plan.MOST_VALUES", 10)
    ran = cli("plan", rig().inventory, "--save", tmp_path / "p.json")

    assert (ran.code, ran.out) == (3, "")
    assert "larger than what can be read back" in ran.err
    assert "--select" in ran.err
    assert not (tmp_path / "p.json").exists()


def test_a_runbook_names_the_material_at_hand(cli: Cli, rig: MakeRig) -> None:
    """Each upload says which files of this machine it is made of, and no key stands on the page."""
    lab = rig()
    page = " ".join(cli("plan", lab.inventory, "--format", "runbook").out.split())

    assert "write these PEM blocks into " in page
    assert f", from {lab.inventory.parent}/pki/" in page
    assert "as PEM without a passphrase" in page
    assert "BEGIN" not in page
