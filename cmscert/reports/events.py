"""Events as facts for a structured log."""

from __future__ import annotations

from dataclasses import asdict

from cmscert.model.events import Event
from cmscert.reports.plain import stamp
from cmscert.reports.plan_document import Document


def event_facts(event: Event) -> Document:
    """Return an event's fields but its kind; the moment as text."""
    facts = asdict(event)
    del facts["kind"]
    return {**facts, "at": stamp(event.at)}
