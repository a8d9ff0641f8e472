"""SARIF, held against the schema that others validate it with."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft4Validator, FormatChecker

from cmscert.model.results import DriftReport
from cmscert.reports.plan_document import dump
from cmscert.reports.sarif import drift_sarif
from cmscert.testing.fleet_reports import OWN_LINE, ROLE_LINE, SERVER_LINE, many_findings, sample_drift

SCHEMA = json.loads((Path(__file__).parent / "schemas" / "sarif-2.1.0-rtm.5.json").read_text(encoding="utf-8"))


def run(report: DriftReport) -> Any:  # noqa: ANN401 - JSON
    """Write a report, hold it against the schema, and return its only run."""
    read = json.loads(dump(drift_sarif(report)))
    Draft4Validator(SCHEMA, format_checker=FormatChecker()).validate(read)
    [only] = read["runs"]
    return only


def place(location: Any) -> tuple[str, int, int]:  # noqa: ANN401 - JSON
    """Return file, line and column of a location."""
    physical = location["physicalLocation"]
    assert physical["artifactLocation"]["uriBaseId"] == "%SRCROOT%"
    region = physical["region"]
    return physical["artifactLocation"]["uri"], region["startLine"], region["startColumn"]


@pytest.mark.parametrize("number", [0, 200])
def test_any_number_of_findings_fits_the_schema(number: int) -> None:
    """A large report is as valid as an empty one."""
    assert len(run(many_findings(number))["results"]) == 2 * number


def test_a_finding_points_at_the_line_that_asks() -> None:
    """A slot of a role is shown at the role's line, and the server beside it; a server's own at the server."""
    results = run(sample_drift())["results"]
    file = "fleets/the%20example.yaml"

    assert place(results[0]["locations"][0]) == (file, ROLE_LINE, 5)
    [related] = results[0]["relatedLocations"]
    assert (place(related), related["message"]) == ((file, SERVER_LINE, 5), {"text": "server core1"})
    assert place(results[5]["locations"][0]) == (file, OWN_LINE, 5)
    assert "relatedLocations" not in results[5]
    assert results[0]["locations"][0]["logicalLocations"][0]["fullyQualifiedName"] == "example/core1/webadmin"


def test_what_nothing_asks_for_points_at_the_first_line() -> None:
    """Code scanning drops results without a place."""
    location = run(sample_drift())["results"][6]["locations"][0]

    assert location["physicalLocation"]["region"] == {"startLine": 1}


def test_without_a_file_there_is_no_physical_place() -> None:
    """A report that stands behind no file names servers and slots only, and is valid."""
    bare = run(replace(sample_drift(), file=None))

    assert [list(each) for each in bare["results"][0]["locations"]] == [["logicalLocations"]]
    assert "relatedLocations" not in bare["results"][0]
    assert "locations" not in bare["invocations"][0]["toolExecutionNotifications"][0]


def test_levels_follow_severity() -> None:
    """Errors, warnings and notices have their words in SARIF."""
    levels = [each["level"] for each in run(sample_drift())["results"]]

    assert levels == ["error", "warning", "warning", "warning", "warning", "error", "note"]


def test_origins_are_told() -> None:
    """A result says in words and as a property whether people or the inventory brought it about."""
    results = run(sample_drift())["results"]

    assert [each["properties"]["origin"] for each in results][:3] == ["server", "time", "inventory"]
    assert results[2]["message"]["text"].endswith("; the inventory asks for more since 2026-11-21 20:30 UTC")
    assert "cannot be told" not in results[6]["message"]["text"]


def test_rules_say_what_a_reason_means() -> None:
    """Every result has its rule, once, with the words of the reference."""
    only = run(sample_drift())
    rules = only["tool"]["driver"]["rules"]

    assert [rules[each["ruleIndex"]]["id"] for each in only["results"]] == [each["ruleId"] for each in only["results"]]
    assert len({rule["id"] for rule in rules}) == len(rules) == 4
    assert rules[0]["shortDescription"]["text"] == "Another certificate is bound than the wanted one."


def test_ignored_findings_are_suppressed_with_their_reason() -> None:
    """What the inventory leaves alone is in the log, and closed there."""
    results = run(sample_drift())["results"]

    assert [number for number, each in enumerate(results) if "suppressions" in each] == [5]
    [suppression] = results[5]["suppressions"]
    assert suppression["justification"] == "moved with CHG-1204 (until 2026-12-31)"
    assert "; no longer ignored: CHG-9 (until 2026-11-01)" in results[6]["message"]["text"]


def fingerprints(report: DriftReport) -> list[str]:
    """Return what GitHub knows findings by."""
    return [each["partialFingerprints"]["primaryLocationLineHash"] for each in run(report)["results"]]


def test_fingerprints_last() -> None:
    """The same finding on another day, with other days left and on a moved line, is the same finding."""
    report = sample_drift()
    later = replace(
        report,
        made_at=report.made_at + timedelta(days=1),
        asked=tuple(replace(each, place=replace(each.place, line=each.place.line + 7)) for each in report.asked),
        findings=tuple(replace(each, found="expires in 7 days") for each in report.findings),
    )

    assert fingerprints(later) == fingerprints(report)
    assert len(set(fingerprints(report))) == len(report.findings)
    assert set(fingerprints(replace(report, fleet="other"))).isdisjoint(fingerprints(report))


def test_what_could_not_be_read_is_told() -> None:
    """An unread server is a notification at its line, and the run did not succeed."""
    [invocation] = run(sample_drift())["invocations"]
    [notification] = invocation["toolExecutionNotifications"]

    assert invocation["executionSuccessful"] is False
    assert notification["message"]["text"].startswith("edge2 could not be read: no TCP connection")
    assert place(notification["locations"][0])[1] == 32
    assert run(replace(sample_drift(), unread=()))["invocations"][0]["executionSuccessful"] is True
