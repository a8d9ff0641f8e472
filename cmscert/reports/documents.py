"""The JSON documents of run, drift, status, validate and error. Their schemas stand in ``cmscert.reports.schemas``.

Strings of these are for reading only, so control characters are spelled out (see ``cmscert.reports.plain``).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from datetime import datetime
from typing import get_args

from cmscert.errors import CmscertError, Fault, InputError, NodeError
from cmscert.model.database import DatabaseState
from cmscert.model.desired import WantedIdentity, WantedSlot
from cmscert.model.events import Outcome, RunResult
from cmscert.model.observed import Binding
from cmscert.model.origin import UNTOLD
from cmscert.model.plan import Drift, Gate, Plan
from cmscert.model.readings import Known, Reading
from cmscert.model.results import DatabaseStatus, DriftReport, FleetStatus, ServerStatus, SlotStatus
from cmscert.model.validation import Validation
from cmscert.pki.certificate import Certificate
from cmscert.reports.plain import days_left, reading_word, safe_document, stamp
from cmscert.reports.plan_document import Document, drift_row, unread_rows

RUN_FORMAT = "cmscert.run/1"
DRIFT_FORMAT = "cmscert.drift/1"
STATUS_FORMAT = "cmscert.status/1"
VALIDATE_FORMAT = "cmscert.validate/1"
ERROR_FORMAT = "cmscert.error/1"


def made(document: Document) -> Document:
    """Spell out control characters in every string of a document."""
    harmless = safe_document(document)
    assert isinstance(harmless, dict)  # noqa: S101 - a mapping goes in, a mapping comes out
    return harmless


def run_document(result: RunResult | None, plan: Plan) -> Document:
    """Write down a run. ``result`` is None when there was nothing to do."""
    steps = {step.id: step for step in plan.steps}
    outcomes = () if result is None else result.steps
    count = Counter(each.outcome for each in outcomes if not _is_gate(steps.get(each.step)))
    return made(
        {
            "format": RUN_FORMAT,
            "run": None if result is None else result.run,
            "fleet": plan.fleet,
            "result": "nothing-to-do" if result is None else result.result,
            "why": None if result is None else result.why,
            "unread": unread_rows(plan.unread),
            "steps": [
                {
                    "id": each.step,
                    "server": each.server,
                    "slot": steps[each.step].slot if each.step in steps else None,
                    "kind": steps[each.step].action.kind if each.step in steps else None,
                    "outcome": each.outcome,
                    "why": each.why,
                }
                for each in outcomes
            ],
            "by_hand": [
                {"server": server, "commands": list(commands)}
                for server, commands in (() if result is None else result.by_hand)
            ],
            "summary": {outcome: count[outcome] for outcome in get_args(Outcome)},
            "record": None,
        }
    )


def _is_gate(step: object) -> bool:
    return isinstance(getattr(step, "action", None), Gate)


def drift_document(report: DriftReport) -> Document:
    """Write down a drift report."""
    return made(
        {
            "format": DRIFT_FORMAT,
            "made_at": stamp(report.made_at),
            "fleet": report.fleet,
            "inventory_sha256": report.inventory_sha256,
            "select": list(report.select),
            "complete": report.complete,
            "unread": unread_rows(report.unread),
            "findings": [finding_row(drift) for drift in report.findings],
            "notices": [asdict(notice) for notice in report.notices],
            "inventory": report.file,
            "asked": [asdict(each) for each in report.asked],
            "outside": [{"server": server, "slot": slot} for server, slot in report.outside],
            "summary": {
                "servers": report.servers,
                "slots": report.slots,
                "findings": len(report.alarming),
                "ignored": len(report.findings) - len(report.alarming),
            },
        }
    )


def finding_row(drift: Drift) -> Document:
    """Write down a difference and where it comes from."""
    origin = drift.origin or UNTOLD
    return {
        **drift_row(drift),
        "origin": origin.kind,
        "origin_since": None if origin.at is None else stamp(origin.at),
        "origin_run": origin.run,
        "origin_why": origin.why,
    }


def validate_document(validation: Validation) -> Document:
    """Write down that an inventory holds together; one that does not is an error document."""
    return made(
        {
            "format": VALIDATE_FORMAT,
            "fleet": validation.fleet,
            "inventory_sha256": validation.inventory_sha256,
            "valid": True,
            "warnings": [fault_row(fault) for fault in validation.warnings],
            "unhandled": [asdict(each) for each in validation.unhandled],
            "awaited": [asdict(each) for each in validation.awaited],
            "summary": {
                "servers": validation.servers,
                "slots": validation.slots,
                "certificates": validation.certificates,
                "databases": validation.databases,
            },
        }
    )


def fault_row(fault: Fault) -> Document:
    """Write down one fault of an input with its place."""
    return asdict(fault)


def error_document(error: CmscertError, code: int) -> Document:
    """Write down why there is no result. ``code`` is the exit code."""
    return made(
        {
            "format": ERROR_FORMAT,
            "code": code,
            "reason": "input" if isinstance(error, InputError) else str(getattr(error, "reason", "error")),
            "server": error.server if isinstance(error, NodeError) else None,
            "message": error.message,
            "hint": error.hint,
            "faults": [fault_row(fault) for fault in error.faults] if isinstance(error, InputError) else [],
        }
    )


def plain_error_document(*, code: int, reason: str, message: str, hint: str | None = None) -> Document:
    """Write down a failure that is no ``CmscertError``: wrong usage, an interrupt, a bug."""
    return made(
        {
            "format": ERROR_FORMAT,
            "code": code,
            "reason": reason,
            "server": None,
            "message": message,
            "hint": hint,
            "faults": [],
        }
    )


def status_document(status: FleetStatus) -> Document:
    """Write down every certificate of the fleet."""
    return made(
        {
            "format": STATUS_FORMAT,
            "made_at": stamp(status.made_at),
            "fleet": status.fleet,
            "inventory_sha256": status.inventory_sha256,
            "select": list(status.select),
            "complete": not status.unread,
            "unread": unread_rows(status.unread),
            "servers": [_server(server, status.made_at) for server in status.servers],
            "findings": [finding_row(drift) for drift in status.findings],
            "notices": [asdict(notice) for notice in status.notices],
            "journal": status.journal,
        }
    )


def _server(server: ServerStatus, now: datetime) -> Document:
    return {
        "server": server.server,
        "reached": server.unread is None,
        "release": str(server.release.value) if isinstance(server.release, Known) else None,
        "clock_skew": round(server.clock_skew.value, 1) if isinstance(server.clock_skew, Known) else None,
        "password_expires": (
            server.password_expires.value.isoformat() if isinstance(server.password_expires, Known) else None
        ),
        "slots": [_slot(slot, now) for slot in server.slots],
        "database": None if server.database is None else _database(server.database, now),
    }


def _database(database: DatabaseStatus, now: datetime) -> Document:
    return {
        "database": database.database,
        "wanted": database.wanted,
        "role": database.role,
        "state": _read(database.state, _database_state),
        "files": [
            {
                "use": file.use,
                "certificate": file.certificate,
                "key": file.key,
                "on_disk": _read(file.on_disk, lambda chain: [certificate_row(each, now) for each in chain]),
            }
            for file in database.files
        ],
    }


def _database_state(state: DatabaseState) -> Document:
    return {
        "status": state.status,
        "error": state.error,
        "standing": state.standing,
        "busy": state.busy,
        "expired": state.expired,
        "members": [
            {
                "address": member.address,
                "me": member.me,
                "connected": member.connected,
                "role": member.role,
                "in_sync": member.in_sync,
            }
            for member in state.members
        ],
        "node_in_use": state.node_in_use,
        "interface": state.interface,
        "last_command": state.last_command,
        "last_state": state.last_state,
    }


def _slot(slot: SlotStatus, now: datetime) -> Document:
    return {
        "slot": slot.slot,
        "wanted": _wanted(slot.wanted),
        "bound": _read(slot.bound, _binding),
        "on_disk": _read(slot.on_disk, lambda chain: [certificate_row(each, now) for each in chain]),
        "served": _read(slot.served, lambda chain: [certificate_row(each, now) for each in chain]),
        "due_at": None if slot.due_at is None else stamp(slot.due_at),
        "ahead": list(slot.ahead),
    }


def _wanted(wanted: WantedSlot | None) -> Document | None:
    if wanted is None:
        return None
    if isinstance(wanted, WantedIdentity):
        return {
            "certificate": wanted.material.certificate,
            "bundle": wanted.bundle.name if wanted.bundle else None,
            "sha256": wanted.material.leaf.sha256,
        }
    return {"certificate": None, "bundle": wanted.bundle.name, "sha256": None}


def _read(reading: Reading[object], show: object) -> Document:
    assert callable(show)  # noqa: S101 - private, called above only
    if isinstance(reading, Known):
        return {"reading": "known", "why": None, "value": show(reading.value)}
    return {"reading": reading.kind, "why": reading_word(reading) if reading.kind == "unread" else None, "value": None}


def _binding(binding: Binding) -> Document:
    return {"key": binding.key, "certificate": binding.certificate, "bundle": binding.bundle, "tag": binding.tag}


def certificate_row(certificate: Certificate, now: datetime) -> Document:
    """Write down a certificate; ``now`` tells the days that are left."""
    return {
        "common_name": certificate.common_name,
        "subject": certificate.subject,
        "names": list(certificate.names),
        "issuer": certificate.issuer,
        "serial": f"{certificate.serial:x}",
        "not_before": stamp(certificate.not_before),
        "not_after": stamp(certificate.not_after),
        "days_left": days_left(certificate.not_after, now),
        "key": f"{certificate.key_type} {certificate.key_bits}",
        "eku": None if certificate.ekus is None else list(certificate.ekus),
        "ca": certificate.is_ca,
        "sha256": certificate.sha256,
    }
