"""Drift as JUnit XML, for CI servers that show test results: one suite a server, one case a slot.

The shape is what the schema of Jenkins' xUnit plugin allows. It has no ``file`` and ``line``, as others have, so places
stand in the message of a failure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any
from xml.etree import ElementTree as ET

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from cmscert.model.places import Asked
from cmscert.model.plan import Drift
from cmscert.model.results import DriftReport
from cmscert.reports.plain import safe, stamp
from cmscert.reports.reasons import origin_told, until, untold

SERVER_CASE = "server"
UNPROVEN = "not proven: not everything of this server could be read"


def drift_junit(report: DriftReport) -> str:
    """Write a drift report as JUnit XML.

    An error: what could not be read. A failure: a finding. Skipped: an ignored finding, and a slot without findings on
    a server of which something could not be read: nobody has seen that it is right.
    """
    whole: Any = JUnitXml(name=safe(f"Drift of {report.fleet}"))  # junitparser has types for half of its methods
    for server, view in _by_server(report).items():
        whole.append(_suite(report, server, view))
    whole.update_statistics()
    return _drawn(whole.tostring())


def _drawn(xml: bytes) -> str:
    """Put every element on a line of its own, in ASCII: whatever the encoding of stdout, it can be written there."""
    root = ET.fromstring(xml)  # noqa: S314 - written right above
    for attribute in ("skipped", "time"):  # the plugin's schema has the first on suites only; nothing is timed
        root.attrib.pop(attribute, None)
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="us-ascii", xml_declaration=True)
    return text.decode("ascii") + "\n"


@dataclass(slots=True)
class _View:
    """What a report says about one server."""

    asked: list[Asked] = field(default_factory=list)
    findings: list[Drift] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


def _by_server(report: DriftReport) -> dict[str, _View]:
    """Take a report apart: servers in the inventory's order, then those that only a finding names."""
    views: dict[str, _View] = {}
    for asked in report.asked:
        views.setdefault(asked.server, _View()).asked.append(asked)
    for server, why in report.unread:
        views.setdefault(server, _View()).unread.append(why)
    for drift in report.findings:
        views.setdefault(drift.server, _View()).findings.append(drift)
    return views


def _suite(report: DriftReport, server: str, view: _View) -> TestSuite:
    suite = TestSuite(name=safe(server))
    suite.timestamp = report.made_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    suite.add_property("fleet", safe(report.fleet))
    suite.add_property("made_at", stamp(report.made_at))
    suite.add_property("inventory_sha256", report.inventory_sha256)
    for selected in report.select:
        suite.add_property("select", safe(selected))
    for line in untold(view.findings):
        suite.add_property("origin", safe(line))
    suite.add_testcases(list(_cases(report, server, view)))
    return suite


def _cases(report: DriftReport, server: str, view: _View) -> Iterator[TestCase]:
    asked = {each.slot: each for each in view.asked}
    found: dict[str | None, list[Drift]] = {None: [], **{slot: [] for slot in asked}}
    for drift in view.findings:
        found.setdefault(drift.slot, []).append(drift)
    for slot, findings in found.items():
        case = TestCase(name=safe(slot or SERVER_CASE), classname=safe(f"{report.fleet}.{server}"))
        place = _place(report, asked.get(slot))
        if slot is None and view.unread:
            case.result = [_error(view.unread), *_results(findings, place)]
        else:
            case.result = list(_results(findings, place)) or [Skipped(message=UNPROVEN)] * bool(view.unread)
        yield case


def _error(unread: list[str]) -> Error:
    error = Error(message=safe("; ".join(unread)), type_="unread")
    error.text = "\n".join(safe(why) for why in unread)
    return error


def _results(findings: list[Drift], place: str) -> Iterator[Failure | Skipped]:
    """Make one failure of all findings of a slot: GitLab shows the first of a case only."""
    alarming = [drift for drift in findings if drift.ignored is None]
    left = [drift for drift in findings if drift.ignored is not None]
    if alarming:
        reasons = ", ".join(drift.reason for drift in alarming)
        failure = Failure(message=f"{reasons}{f' ({place})' if place else ''}", type_=alarming[0].reason)
        failure.text = "\n".join((*map(_told, alarming), *map(_told, left)))
        yield failure
    elif left:
        skipped = Skipped(
            message=safe("; ".join(f"{drift.reason} ignored{until(drift)}: {drift.ignored}" for drift in left))
        )
        skipped.text = "\n".join(map(_told, left))
        yield skipped


def _told(drift: Drift) -> str:
    lines = [f"{drift.reason} ({drift.severity})", f"wanted: {drift.wanted}", f"found:  {drift.found}"]
    told = origin_told(drift)
    lines += [f"origin: {told}"] * (told is not None)
    lines += [f"ignored{until(drift)}: {drift.ignored}"] * (drift.ignored is not None)
    lines += [f"no longer ignored: {drift.ignore_ended}"] * (drift.ignore_ended is not None)
    return "\n  ".join(map(safe, lines))


def _place(report: DriftReport, asked: Asked | None) -> str:
    return "" if asked is None or report.file is None else safe(f"{report.file}:{asked.place.line}")
