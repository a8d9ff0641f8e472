"""Web administration is what people and the API come in by: what to say before it changes."""

from __future__ import annotations

from collections.abc import Iterator

from cmscert.model.plan import Notice, Rebind, Restart, Step
from cmscert.model.readings import ABSENT, Known, Unread
from cmscert.planning.case import Case


def admin_unprobed(case: Case) -> Iterator[Notice]:
    """Web administration changes, and its port does not tell today what it shows: only its screen can prove it."""
    changed = {step.server for step in case.steps if step.disturbs and _service(step) == "webadmin"}
    for sight in case.looked_at:
        served = sight.observed.served.get("webadmin", ABSENT)
        if sight.name in changed and not isinstance(served, Known):
            why = f"could not be probed ({served.why})" if isinstance(served, Unread) else "does not answer with TLS"
            message = f"its port {why}: after the change only the status screen tells whether it is well"
            yield Notice(server=sight.name, slot="webadmin", reason="admin-unprobed", message=message)


def _service(step: Step) -> str | None:
    return step.action.service if isinstance(step.action, Rebind | Restart) else None
