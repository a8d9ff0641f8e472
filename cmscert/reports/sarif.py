"""Drift as SARIF 2.1.0, for code scanning: each finding at the line of the inventory that asks for what is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import sha256
from urllib.parse import quote

from cmscert import __version__
from cmscert.model.places import Asked, Place
from cmscert.model.plan import Drift
from cmscert.model.results import DriftReport
from cmscert.reports.documents import made
from cmscert.reports.plain import stamp
from cmscert.reports.plan_document import Document
from cmscert.reports.reasons import meaning, origin_told, origin_word, until

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
ROOT = "%SRCROOT%"
FINGERPRINT = "cmscertDrift/v1"
LEVELS = {"error": "error", "warning": "warning", "notice": "note"}


def drift_sarif(report: DriftReport) -> Document:
    """Write a drift report as a SARIF log of one run; what could not be read is a notification of that run.

    A finding keeps its fingerprint as long as server, slot and reason stay the same, whatever days are left.
    """
    reasons = {reason: number for number, reason in enumerate(dict.fromkeys(drift.reason for drift in report.findings))}
    map_ = _Map(report)
    run: Document = {
        "tool": {"driver": _driver(reasons)},
        "automationDetails": {"id": f"cmscert/drift/{report.fleet}/"},
        "columnKind": "unicodeCodePoints",
        "invocations": [_invocation(report, map_)],
        "results": [
            {"ruleIndex": reasons[drift.reason], **_result(drift, map_), "partialFingerprints": fingerprints}
            for drift, fingerprints in _named(report)
        ],
    }
    return made({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]})


class _Map:
    """Where things stand in the inventory; code scanning drops what points nowhere, so line 1 is better than none."""

    def __init__(self, report: DriftReport) -> None:
        self.fleet = report.fleet
        self.file = report.file
        self.asked = {(each.server, each.slot): each for each in report.asked}

    def find(self, server: str, slot: str | None) -> Asked | None:
        """Return what asks for a slot; the server as a whole where nothing asks for the slot."""
        return self.asked.get((server, slot)) or self.asked.get((server, None))

    def physical(self, place: Place | None) -> Document:
        """Point at a place, as a member of a location."""
        if self.file is None:
            return {}
        region = {"startLine": 1} if place is None else {"startLine": place.line, "startColumn": place.column}
        return {
            "physicalLocation": {"artifactLocation": {"uri": quote(self.file), "uriBaseId": ROOT}, "region": region}
        }


def _driver(reasons: Iterable[str]) -> Document:
    return {
        "name": "cmscert",
        "version": __version__,
        "semanticVersion": __version__,
        "rules": [
            {
                "id": reason,
                "shortDescription": {"text": meaning(reason)},
                "fullDescription": {"text": meaning(reason)},
                "help": {"text": f"{meaning(reason)} See `{reason}` in docs/reference/reasons.md."},
                "properties": {"tags": ["certificates", "drift"]},
            }
            for reason in reasons
        ],
    }


def _invocation(report: DriftReport, map_: _Map) -> Document:
    notifications = []
    for server, why in report.unread:
        asked = map_.find(server, None)
        physical = map_.physical(None if asked is None else asked.place)
        message = {"text": f"{server} could not be read: {why}"}
        notifications.append({"level": "error", "message": message, **({"locations": [physical]} if physical else {})})
    return {
        "executionSuccessful": report.complete,
        "endTimeUtc": stamp(report.made_at),
        "toolExecutionNotifications": notifications,
    }


def _result(drift: Drift, map_: _Map) -> Document:
    asked = map_.find(drift.server, drift.slot)
    parts = [map_.fleet, drift.server, *([drift.slot] if drift.slot is not None else [])]
    logical = {"name": parts[-1], "fullyQualifiedName": "/".join(parts), "kind": "resource"}
    physical = map_.physical(None if asked is None else asked.place)
    result: Document = {
        "ruleId": drift.reason,
        "level": LEVELS[drift.severity],
        "message": {"text": _message(drift)},
        "locations": [{**physical, "logicalLocations": [logical]}],
        "properties": {
            "server": drift.server,
            "slot": drift.slot,
            "wanted": drift.wanted,
            "found": drift.found,
            "origin": origin_word(drift),
        },
    }
    if asked is not None and asked.by is not None and physical:
        message = {"text": f"server {asked.server}"}
        result["relatedLocations"] = [{"id": 1, **map_.physical(asked.by), "message": message}]
    if drift.ignored is not None:
        result["suppressions"] = [
            {"kind": "external", "status": "accepted", "justification": f"{drift.ignored}{_last_day(drift)}"}
        ]
    return result


def _message(drift: Drift) -> str:
    where = drift.server if drift.slot is None else f"{drift.slot} on {drift.server}"
    told = origin_told(drift)
    since = "" if told is None else f"; {told}"
    ended = "" if drift.ignore_ended is None else f"; no longer ignored: {drift.ignore_ended}"
    return f"{where}: {drift.reason}: wanted {drift.wanted}, found {drift.found}{since}{ended}"


def _last_day(drift: Drift) -> str:
    return f" ({until(drift).strip()})" if until(drift) else ""


def _named(report: DriftReport) -> Iterator[tuple[Drift, Document]]:
    """Yield findings with fingerprints for life: with the line that one points at, GitHub would take it for a new one.

    A slot can have one reason twice (both certificates of a database are due): these are counted.
    """
    seen: Counter[str] = Counter()
    for drift in report.findings:
        parts = (report.fleet, drift.server, drift.slot or "", drift.reason)
        identity = sha256("\0".join(parts).encode()).hexdigest()
        seen[identity] += 1
        number = f"{identity}:{seen[identity]}"
        yield drift, {FINGERPRINT: number, "primaryLocationLineHash": number[48:]}
