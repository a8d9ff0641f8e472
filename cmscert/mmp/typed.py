"""A plan's actions as the text that is typed, found by the release of their server (law 4)."""

from __future__ import annotations

from cmscert.mmp.lines import lines
from cmscert.model.names import Release
from cmscert.model.plan import Action, Plan, Rebind, Restart
from cmscert.model.services import Service, ServiceTable, rows_for


def row_of(action: Action, server: str, plan: Plan, table: ServiceTable) -> Service | None:
    """Find the table's row for an action's service in the release of its server; None for what needs no service."""
    if not isinstance(action, Rebind | Restart):
        return None
    release = Release.parse(plan.releases.get(server, ""))
    return None if release is None else rows_for(table, release).get(action.service)


def typed(action: Action, server: str, plan: Plan, table: ServiceTable) -> tuple[str, ...]:
    """Return what is typed for an action of a plan; raises ValueError when it cannot be typed."""
    return tuple(line.text for line in lines(action, row_of(action, server, plan, table)))


def shown(action: Action, server: str, plan: Plan, table: ServiceTable) -> tuple[str, ...]:
    """Return what is typed, for a page; where nobody could type it, the names that stand in the way, as they are.

    A server may show any name as bound. Such a plan is refused before anything is sent; it must be seen all the same.
    """
    try:
        return typed(action, server, plan, table)
    except ValueError as error:
        bindings = action.bindings if isinstance(action, Rebind) else ()
        names = ", ".join(dict.fromkeys(name for binding in bindings for name in binding.files))
        return (f"(cannot be typed: {error}{f': {names}' if names else ''})",)
