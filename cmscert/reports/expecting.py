"""What a person must see after a step before the next one may begin.

The device's words are not promised: most of them are not documented.
"""

from __future__ import annotations

from collections.abc import Iterator

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
    PutFile,
    Rebind,
    RemoveFiles,
    Restart,
    RestoreFile,
    SaveFile,
    UpgradeSchema,
)
from cmscert.model.services import IdentitySlot, Service

STATUS = "database cluster status"
LISTED = "pki list"


def expected(action: Action, row: Service | None) -> tuple[str, ...]:
    """Say what proves an action, a sentence for each thing; ``row``: as in ``cmscert.mmp.lines.lines``."""
    if isinstance(action, Rebind | Restart):
        return () if row is None else tuple(_service(action, row))
    if isinstance(action, DatabaseAction):
        return tuple(_database(action))
    return () if isinstance(action, Gate) else tuple(_files(action))


def _files(action: PutFile | SaveFile | RestoreFile | CheckFiles | RemoveFiles) -> Iterator[str]:
    match action:
        case PutFile() if action.overwrites:
            yield f"{LISTED} still shows {action.file}; get it back by SFTP and compare: it is the new one"
        case PutFile():
            yield f"{LISTED} shows {action.file}"
        case SaveFile():
            yield f"{LISTED} shows {action.file} and {action.saved_as}"
        case RestoreFile():
            yield f"{LISTED} shows {action.file}; get it back by SFTP and compare: it is the old one"
        case CheckFiles():
            yield "the key is said to match the certificate" + (
                ", and the certificate to be verified" if action.bundle is not None else ""
            )
            yield "anything else: do not go on, the files are not what they should be"
        case _:
            yield f"{LISTED} shows {'none of them any' if len(action.files) > 1 else 'it no'} more"


def _service(action: Rebind | Restart, row: Service) -> Iterator[str]:
    screens = " or ".join(" ".join(words) for words in (row.status, *row.more_status))
    bindings = action.bindings if isinstance(action, Rebind) else ()
    for binding in bindings:
        yield f"{screens} shows for {binding.slot}: {_bound(binding)}"
    stopped = isinstance(action, Rebind) and action.stopped
    service = row.restart_of or row.name
    if stopped:
        yield f"nothing is started: {service} stays as it is until a later step, or as it was"
        return
    verb = "enable" if row.via == "cycle" else "restart"
    yield f"{service} {verb} answers with SUCCESS lines and no FAILURE, and {screens} shows it enabled: not proof yet"
    bound = {binding.slot for binding in bindings if binding.files}
    for slot in row.slots:
        if isinstance(slot, IdentitySlot) and slot.listens and (slot.name in bound or isinstance(action, Restart)):
            port = f"port {slot.default_port} unless it was set otherwise" if slot.default_port else "its TLS port"
            yield f"proof: {port} serves the wanted certificate of {slot.name} (openssl s_client -connect ADDRESS:PORT)"


def _bound(binding: Binding) -> str:
    if not binding.files:
        return "none"
    named = (("key", binding.key), ("certificate", binding.certificate), ("bundle", binding.bundle))
    return ", ".join(f"{use} {file}" for use, file in named if file is not None)


def _database(action: DatabaseAction) -> Iterator[str]:  # noqa: C901 - one sentence for each kind of action
    match action:
        case MintDatabase():
            pairs = (f"{name}.key and {name}.crt" for name in (action.ca, action.server, action.client))
            yield f"{LISTED} shows {', '.join(pairs)}"
        case CopyFile():
            yield f"{LISTED} shows {action.file}; then remove the copy from this machine"
        case BackupDatabase():
            yield f"{action.name}.bak and {action.name}.json are on this machine and not empty; the first holds keys"
        case ConfirmPrimary():
            yield f"{action.server} is the primary of {action.database}"
            yield "if another one is, or none: stop, and make this page again"
        case LeaveCluster():
            yield f"{STATUS} shows no cluster; wait until it does"
        case ConfigureDatabase():
            yield f"both commands answer without FAILURE; {STATUS} shows the files where it shows files"
        case InitializeCluster():
            yield f"{STATUS} shows this server as primary, connected, and no error; wait until it does"
            yield "type it on this server only: the rows of every other one are replaced by those of this one"
        case JoinCluster():
            yield f"{STATUS} shows this server connected and in sync with {action.primary}; that can take 15 minutes"
        case ConnectCluster():
            yield f"{STATUS} shows this server connected to {action.primary}"
        case ClearDatabaseError():
            yield f"{STATUS} shows no error"
        case UpgradeSchema():
            yield f"{STATUS} shows the command as its last one, done, and no error"
        case _:
            yield f"{', '.join(action.members)}: each is shown as connected and in sync, one of them as primary"
