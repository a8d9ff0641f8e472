"""A step in words. What is typed for it comes from ``cmscert.mmp.typed``, as it does for the executor (law 4)."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter

from cmscert.model.observed import Binding
from cmscert.model.plan import (
    Action,
    BackupDatabase,
    CheckFiles,
    ClearDatabaseError,
    ConfigureDatabase,
    ConfirmPrimary,
    ConnectCluster,
    CopyFile,
    DatabaseAction,
    Gate,
    InitializeCluster,
    JoinCluster,
    LeaveCluster,
    MintDatabase,
    ProveCluster,
    PutFile,
    Rebind,
    RemoveFiles,
    Restart,
    RestoreFile,
    SaveFile,
    Step,
    UpgradeSchema,
)

GATES = {
    "services": "every file is up and checked on every server before the first service is touched",
    "removal": "every change is verified before old files are removed",
}


def what(action: Action) -> tuple[str, ...]:  # noqa: PLR0911 - one line for each kind of action
    """Say in a few words what an action does, a line for each thing."""
    match action:
        case PutFile():
            return (f"put {action.role} {action.file}" + (" over the old one" if action.overwrites else ""),)
        case SaveFile():
            return (f"save {action.file} as {action.saved_as}",)
        case RestoreFile():
            return (f"bring {action.saved_as} back as {action.file}",)
        case CheckFiles():
            return (f"check {action.certificate} with its key" + (" and bundle" if action.bundle else ""),)
        case Rebind():
            return tuple(_bound(binding) for binding in action.bindings)
        case Restart():
            return (f"restart {action.service}, so that it loads its files anew",)
        case RemoveFiles():
            return tuple(f"remove {file}" for file in action.files)
        case Gate():
            return (GATES[action.opens],)
        case _:
            return _cluster(action)


def _cluster(action: DatabaseAction) -> tuple[str, ...]:  # noqa: C901, PLR0911 - one line for each kind of action
    match action:
        case MintDatabase():
            return (f"make {action.ca}, {action.server} and {action.client} with the CA built into CMS",)
        case CopyFile():
            return (f"copy {action.file} from {action.source}",)
        case BackupDatabase():
            return (f"back up as {action.name} and fetch both files",)
        case ConfirmPrimary():
            return (f"look once more whether {action.server} is the primary of {action.database}",)
        case LeaveCluster():
            return ("leave the database cluster",)
        case ConfigureDatabase():
            names = (action.files.server_certificate, action.files.client_certificate, action.files.ca)
            shown = ", ".join(name for name in names if name is not None)
            return (f"set the database certificates: {shown}", f"database on interface {action.interface}")
        case InitializeCluster():
            return ("begin the new database cluster with the rows of this server",)
        case JoinCluster():
            return (f"join the database cluster of {action.primary}, whose rows replace those of this server",)
        case ConnectCluster():
            return (f"connect to the database cluster of {action.primary}",)
        case ClearDatabaseError():
            return ("clear the error of the database cluster",)
        case UpgradeSchema():
            return ("upgrade the schema of the database",)
        case ProveCluster():
            return (f"prove that {action.database} is whole: {', '.join(action.members)}",)


def _bound(binding: Binding) -> str:
    if not binding.files:
        return f"unbind {binding.slot}"
    names = [name for name in (binding.certificate, binding.bundle) if name is not None]
    return f"bind {binding.slot}: {', '.join(names)}"


def gist(step: Step) -> str:
    """Say in one line what a step does, for progress and results."""
    match step.action:
        case Rebind() | Restart() as action:
            return f"{action.kind} {action.service}"
        case _ as action:
            return what(action)[0] if what(action) else action.kind


OUTAGE = "The database cluster is down from here until it is built anew: call bridges have no database meanwhile"
BUILD = "Build the database cluster, in this order"
REBUILD = "Change members of the database cluster, in this order"
MEND = "Mend the database cluster"
PHASES = {
    "put": "Upload and check: nobody notices",
    "save": "Upload and check: nobody notices",
    "restore": "Upload and check: nobody notices",
    "check": "Upload and check: nobody notices",
    "bind": "Change services, once every file is up and checked",
    "restart": "Change services, once every file is up and checked",
    "db-mint": "Upload and check: nobody notices",
    "copy": "Upload and check: nobody notices",
    "db-backup": "Look at the database cluster and back it up: nobody notices",
    "db-primary": "Look at the database cluster and back it up: nobody notices",
    "db-remove": REBUILD,
    "db-certs": REBUILD,
    "db-initialize": REBUILD,
    "db-join": REBUILD,
    "db-connect": REBUILD,
    "db-clear-error": MEND,
    "db-upgrade-schema": MEND,
    "db-prove": REBUILD,
    "remove": "Clean up, once every change is verified: nobody notices",
}


def phases(steps: tuple[Step, ...]) -> list[tuple[str, tuple[Step, ...]]]:
    """Cut a plan's steps, in their order, into runs of one phase; gates end a phase and are not steps to show.

    What is put or restored behind the gate overwrites a file in use: it belongs to the change of its service.
    """
    titled: list[tuple[str, Step]] = []
    clusters = _clusters(steps)
    opened = False
    for step in steps:
        if isinstance(step.action, Gate):
            opened = True
            continue
        behind = opened and isinstance(step.action, PutFile | RestoreFile | CheckFiles)
        title = PHASES["bind" if behind else step.action.kind]
        titled.append((clusters[step.slot] if title == REBUILD else title, step))
    return [(phase, tuple(step for _, step in run)) for phase, run in groupby(titled, key=itemgetter(0))]


def _clusters(steps: tuple[Step, ...]) -> dict[str | None, str]:
    """Say, by slot, what the steps of a cluster mean for those who use it."""
    kinds: dict[str | None, set[str]] = {}
    for step in steps:
        kinds.setdefault(step.slot, set()).add(step.action.kind)
    return {
        slot: REBUILD if "db-initialize" not in found else OUTAGE if "db-remove" in found else BUILD
        for slot, found in kinds.items()
    }
