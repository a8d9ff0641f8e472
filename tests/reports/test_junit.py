"""JUnit XML, read back by junitparser and held against a schema."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import xmlschema
from junitparser import Error, Failure, JUnitXml, Skipped, TestCase

from cmscert.model.results import DriftReport
from cmscert.reports.junit import UNPROVEN, drift_junit
from cmscert.testing.fleet_reports import MOMENT, ROLE_LINE, SHA, many_findings, sample_drift

SCHEMA = xmlschema.XMLSchema(str(Path(__file__).parent / "schemas" / "junit.xsd"))


def read(report: DriftReport) -> JUnitXml:
    """Write a report, hold it against the schema, and read it back."""
    text = drift_junit(report)
    SCHEMA.validate(text)
    assert text.isascii()
    return JUnitXml.fromstring(text.encode())


def cases(report: DriftReport) -> dict[tuple[str, str], TestCase]:
    """Return the cases by server and slot."""
    return {(suite.name, case.name): case for suite in read(report) for case in suite}


def test_a_suite_a_server_and_a_case_a_slot() -> None:
    """Every slot that was compared is a case of its server, in the inventory's order; what else is found comes last."""
    assert list(cases(sample_drift())) == [
        ("core1", "server"),
        ("core1", "webadmin"),
        ("core1", "callbridge"),
        ("core1", "database/main"),
        ("edge1", "server"),
        ("edge1", "turn"),
        ("edge2", "server"),
        ("edge2", "turn"),
        ("edge9", "server"),
        ("edge9", "recorder"),
    ]


def test_counts_are_those_of_the_cases() -> None:
    """The numbers that a CI server shows first fit what stands below."""
    whole = read(sample_drift())

    assert (whole.tests, whole.failures, whole.errors) == (10, 4, 1)
    core1 = next(iter(whole))
    assert (core1.tests, core1.failures, core1.errors, core1.skipped) == (4, 3, 0, 0)
    assert core1.timestamp == f"{MOMENT:%Y-%m-%dT%H:%M:%S}"
    properties = {each.name: each.value for each in core1.properties()}
    assert properties == {
        "fleet": "example",
        "made_at": "2026-11-23T20:30:00Z",
        "inventory_sha256": SHA,
        "select": "server=*",
    }


def test_a_slot_as_wanted_has_passed() -> None:
    """What was read and is right is a case without a result."""
    assert cases(sample_drift())["core1", "callbridge"].is_passed


def test_findings_of_a_slot_are_one_failure() -> None:
    """A failure names all reasons and the line that asks for the slot, and says what is wanted and found."""
    [failure] = cases(sample_drift())["core1", "webadmin"].result

    assert isinstance(failure, Failure)
    assert failure.type == "leaf-differs"
    assert failure.message == f"leaf-differs, expires-soon (fleets/the example.yaml:{ROLE_LINE})"
    assert failure.text == (
        "leaf-differs (error)\n  wanted: the new one\n  found:  the old one\n"
        "  origin: changed on the server since 2026-11-21 20:30 UTC\n"
        "expires-soon (warning)\n  wanted: renewed from 2026-11-02\n  found:  expires in 8 days\n"
        "  origin: by time alone"
    )


def test_an_ignored_finding_is_skipped_with_its_reason() -> None:
    """What the inventory leaves alone fails nobody and is not silent; control characters are spelled out."""
    [skipped] = cases(sample_drift())["edge1", "turn"].result

    assert isinstance(skipped, Skipped)
    assert skipped.message == "leaf-differs ignored until 2026-12-31: moved with CHG-1204"
    assert r"found:  \x1b[31m|`</td><script>" in skipped.text


def test_an_ignored_finding_beside_another_stays_a_failure() -> None:
    """A slot with both fails, and the failure tells of the ignored one too."""
    report = sample_drift()
    both = (report.findings[0], replace(report.findings[1], ignored="later"))
    [failure] = cases(replace(report, findings=both))["core1", "webadmin"].result

    assert isinstance(failure, Failure)
    assert failure.message.startswith("leaf-differs (")
    assert failure.text.endswith("ignored: later")


def test_an_ignore_that_has_ended_is_told() -> None:
    """A finding that was ignored once fails again, and says why it was left alone until when."""
    [failure] = cases(sample_drift())["edge9", "recorder"].result

    assert isinstance(failure, Failure)
    assert failure.text.endswith("no longer ignored: CHG-9 (until 2026-11-01)")


def test_what_cannot_be_told_is_said_once() -> None:
    """Where nobody can tell who made a difference, the suite of its server says why."""
    suites = {each.name: each for each in read(sample_drift())}

    [said] = [each.value for each in suites["edge9"].properties() if each.name == "origin"]
    assert said.endswith("cannot be told: no apply on this server is in the journal here.")
    assert [each for each in suites["core1"].properties() if each.name == "origin"] == []


def test_an_unread_server_is_an_error_and_proves_nothing() -> None:
    """What could not be read is an error, and no slot of that server has passed."""
    found = cases(sample_drift())
    [error] = found["edge2", "server"].result

    assert isinstance(error, Error)
    assert (error.type, error.message) == ("unread", "no TCP connection to 10.0.0.22 port 22 within 10 s")
    assert [(type(each), each.message) for each in found["edge2", "turn"].result] == [(Skipped, UNPROVEN)]


def test_a_server_can_be_unread_in_part_and_differ() -> None:
    """Several things unread are one error, beside what was found; a slot with a finding fails all the same."""
    report = sample_drift()
    unread = (("core1", "recorder: no answer"), ("core1", "turn: no answer"))
    found = cases(replace(report, unread=unread))

    error, failure = found["core1", "server"].result
    assert error.message == "recorder: no answer; turn: no answer"
    assert isinstance(failure, Failure)
    assert found["core1", "webadmin"].is_failure
    assert found["core1", "callbridge"].is_skipped


def test_a_report_without_places_names_none() -> None:
    """Without positions a failure names its reasons alone."""
    bare = replace(sample_drift(), asked=(), file=None)

    assert cases(bare)["core1", "webadmin"].result[0].message == "leaf-differs, expires-soon"


@pytest.mark.parametrize("number", [0, 300])
def test_any_number_of_findings_fits_the_schema(number: int) -> None:
    """A large report is as valid as an empty one."""
    read(replace(many_findings(number), asked=()))


def test_the_same_report_gives_the_same_bytes() -> None:
    """Nothing in it depends on when it is written."""
    assert drift_junit(sample_drift()) == drift_junit(sample_drift())
