"""Is a database as a step leaves it? Decided by its status alone (law 14); what is not plain is never good."""

from __future__ import annotations

from collections.abc import Callable

from cmscert.model.database import DatabaseFiles, DatabaseMember, DatabaseState
from cmscert.model.plan import (
    ClearDatabaseError,
    ConfigureDatabase,
    ConnectCluster,
    DatabaseAction,
    InitializeCluster,
    JoinCluster,
    LeaveCluster,
    ProveCluster,
    UpgradeSchema,
)

Named = Callable[[DatabaseMember], str]
"""A row of the asked node's screen to the server that it is about, or to its address when that is nobody's."""

NOT_SHOWN = "its status does not show files and interface before the server is in a cluster"


def same_command(shown: str | None, typed: str) -> bool:
    """Tell whether ``Last command`` is the one that was typed."""
    return shown is not None and shown.casefold().split() == typed.casefold().split()


def short_of(
    action: DatabaseAction, state: DatabaseState, typed: str, files: DatabaseFiles, named: Named | None
) -> str | None:
    """Say what is missing after an action; None when the status proves that it is done.

    ``typed``: the action's last line. ``files``: those that the server must work on. ``named``: None on a client, which
    has no rows of its own to be in sync.
    """
    if state.busy:
        return f"{state.last_command or 'a database command'} is still at work"
    match action:
        case LeaveCluster():
            return _short_of_leaving(state, typed)
        case ConfigureDatabase():
            return _short_of_files(state, action)
        case ClearDatabaseError() | UpgradeSchema():
            return _short_of_mending(state, typed, upgrade=isinstance(action, UpgradeSchema))
        case InitializeCluster() | JoinCluster() | ConnectCluster():
            short = _short_of_standing(action, state)
        case ProveCluster():
            short = _short_of_whole(action, state, named)
        case _:
            return None
    return short or _other_files(state, files)


def _short_of_leaving(state: DatabaseState, typed: str) -> str | None:
    if state.standing:
        return "it is still part of a cluster"
    proven = same_command(state.last_command, typed) and state.last_state == "success"
    if not proven and state.status.casefold() in {"enabled", "error"}:
        return f"its status says {state.status}, and shows neither a cluster nor that there is none"
    return None


def _short_of_files(state: DatabaseState, action: ConfigureDatabase) -> str | None:
    if state.standing:
        return "it is part of a cluster, where certificates cannot change"
    if state.interface not in (None, action.interface):
        return f"its database uses interface {state.interface}, not {action.interface}"
    return _other_files(state, action.files)


def is_silent(state: DatabaseState) -> bool:
    """Tell whether a status shows nothing of what ``certs`` and ``localnode`` set: it need not, outside a cluster."""
    return not state.files.names or state.interface is None


def _other_files(state: DatabaseState, files: DatabaseFiles) -> str | None:
    if not state.files.names or state.files == files:
        return None
    return f"its database works on {', '.join(state.files.names)}, not on {', '.join(files.names)}"


def _short_of_mending(state: DatabaseState, typed: str, *, upgrade: bool) -> str | None:
    ours = same_command(state.last_command, typed)
    if ours and state.last_state == "success":
        return None
    if state.error is not None:
        return f"its status still shows: {state.error}"
    if upgrade and state.last_command is not None and not ours:
        return f"its last command is {state.last_command}"
    return None


def _short_of_standing(action: InitializeCluster | JoinCluster | ConnectCluster, state: DatabaseState) -> str | None:
    if not state.standing:
        return "it is not part of a cluster yet"
    if isinstance(action, ConnectCluster):
        return _short_of_client(state)
    me = state.me
    if me is None:
        return "its status does not show its own row"
    right = "primary" if isinstance(action, InitializeCluster) else "replica"
    if not me.connected or me.role != right:
        return f"it is no connected {right}: {me.text or me.role}"
    return f"it is not in sync: {me.text or me.role}" if right == "replica" and me.in_sync is not True else None


def _short_of_client(state: DatabaseState) -> str | None:
    if state.me is not None and state.me.role != "other":  # whether a client has a row is unknown ([UNK] 5.5)
        return f"it is a node of the cluster and no client: {state.me.text or state.me.role}"
    return None if state.primaries else "it shows no connected primary"


def _short_of_whole(action: ProveCluster, state: DatabaseState, named: Named | None) -> str | None:
    """``members`` are names here, as ``named`` gives them."""
    if not state.standing:
        return "it is not part of a cluster"
    if len(state.primaries) != 1:
        return "it does not show one connected primary"
    rows = {named(row): row for row in state.members} if named is not None else {}
    shorts = (_short_of_row(name, rows.get(name)) for name in action.members) if named is not None else ()
    return next(filter(None, shorts), None)


def _short_of_row(name: str, row: DatabaseMember | None) -> str | None:
    if row is None:
        return f"it does not show {name}"
    if not row.connected or row.role == "other":
        return f"it shows {name} as: {row.text or 'not connected'}"
    if row.role == "replica" and row.in_sync is not True:
        return f"it shows {name} as not in sync: {row.text or row.role}"
    return None
