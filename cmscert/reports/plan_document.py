"""The plan as a JSON document (``cmscert.plan/1``). ``cmscert.app.plan_file`` reads it back.

``action`` and ``undo.action`` hold what a step is; ``commands``, ``kind`` and ``summary`` are for readers
and follow from it. Strings stand as they are (JSON escapes every control character), so that writing and reading give
the same value.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict

from cmscert.mmp.typed import shown
from cmscert.model.plan import Drift, Plan, Step
from cmscert.model.services import ServiceTable
from cmscert.reports.plain import stamp
from cmscert.reports.summary import summarise

Document = dict[str, object]


def plan_document(plan: Plan, table: ServiceTable) -> Document:
    """Write a plan down as JSON values, in the contract's order of keys."""
    return {
        "format": plan.format,
        "made_at": stamp(plan.made_at),
        "tool_version": plan.tool_version,
        "fleet": plan.fleet,
        "inventory_sha256": plan.inventory_sha256,
        "select": list(plan.select),
        "rolls_back": plan.rolls_back,
        "basis": dict(sorted(plan.basis.items())),
        "basis_parts": {name: dict(sorted(parts.items())) for name, parts in sorted(plan.basis_parts.items())},
        "releases": dict(sorted(plan.releases.items())),
        "complete": plan.complete,
        "unread": unread_rows(plan.unread),
        "drift": [drift_row(drift) for drift in plan.drift],
        "steps": [_step(step, plan, table) for step in plan.steps],
        "refusals": [asdict(refusal) for refusal in plan.refusals],
        "notices": [asdict(notice) for notice in plan.notices],
        "summary": asdict(summarise(plan)),
    }


def unread_rows(unread: tuple[tuple[str, str], ...]) -> list[Document]:
    """Write down what could not be read."""
    return [{"server": server, "why": why} for server, why in unread]


def drift_row(drift: Drift) -> Document:
    """Write down one difference, as a plan knows it."""
    row = asdict(drift)
    del row["origin"]
    return row


def _step(step: Step, plan: Plan, table: ServiceTable) -> Document:
    undo = None
    if step.undo is not None:
        undo = {"commands": list(shown(step.undo, step.server, plan, table)), "action": asdict(step.undo)}
    return {
        "id": step.id,
        "server": step.server,
        "slot": step.slot,
        "kind": step.action.kind,
        "commands": list(shown(step.action, step.server, plan, table)),
        "because": list(step.because),
        "after": list(step.after),
        "impact": None if step.impact is None else asdict(step.impact),
        "undo": undo,
        "action": asdict(step.action),
    }


def dump(document: Mapping[str, object]) -> str:
    """Write a document as text: the same values give the same bytes, and nothing but ASCII."""
    return json.dumps(document, indent=2, ensure_ascii=True) + "\n"
