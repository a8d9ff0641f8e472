"""One action of a plan as what is typed. The view, the runbook and the executor all call ``lines`` (law 4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from cmscert.mmp.commands import pki_match, pki_verify
from cmscert.mmp.csr import Request, csr_command
from cmscert.mmp.database import (
    DATABASE_STATUS,
    backup_files,
    backup_snapshot,
    database_certs,
    database_clear_error,
    database_connect,
    database_initialize,
    database_join,
    database_localnode,
    database_remove,
    database_upgrade_schema,
    pki_selfsigned,
    pki_sign,
)
from cmscert.mmp.grammar import command, quoted
from cmscert.model.commands import Command, Effect
from cmscert.model.observed import Binding, material_like
from cmscert.model.plan import (
    Action,
    BackupDatabase,
    CheckFiles,
    ConfigureDatabase,
    ConnectCluster,
    CopyFile,
    DatabaseAction,
    Gate,
    JoinCluster,
    MintDatabase,
    PutFile,
    Rebind,
    RemoveFiles,
    Restart,
    RestoreFile,
    SaveFile,
)
from cmscert.model.services import IdentitySlot, Service

_ALONE: Final[Mapping[str, Command]] = {
    "db-remove": database_remove(),
    "db-initialize": database_initialize(),
    "db-clear-error": database_clear_error(),
    "db-upgrade-schema": database_upgrade_schema(),
    "db-primary": DATABASE_STATUS,
    "db-prove": DATABASE_STATUS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line as shown. ``command`` is what is sent; None for a file transfer, which the session does itself.

    ``binding``: what it binds, where a running service is stopped for it: lines of that kind do not lean on each other.
    """

    text: str
    command: Command | None = None
    binding: Binding | None = None


def lines(action: Action, row: Service | None) -> tuple[Line, ...]:
    """Return what is typed for an action, in order.

    ``row`` is the service's row for Rebind and Restart, and is not looked at otherwise. Raises ValueError when a name
    cannot be typed, or when the row does not fit the action.
    """
    if isinstance(action, Rebind | Restart):
        return tuple(_switching(action, row))
    if isinstance(action, DatabaseAction):
        return tuple(_clustering(action))
    return () if isinstance(action, Gate) else tuple(_plain(action))


def _plain(action: PutFile | SaveFile | RestoreFile | CheckFiles | RemoveFiles) -> Iterator[Line]:
    match action:
        case PutFile():
            yield _transfer("put", action.file)
        case SaveFile():
            yield _transfer("get", action.file, f" {quoted(action.saved_as)}")
            yield _transfer("put", action.saved_as)
        case RestoreFile():
            yield _transfer("get", action.saved_as, f" {quoted(action.file)}")
            yield _transfer("put", action.file)
        case CheckFiles():
            yield _shown(pki_match(action.key, action.certificate))
            if action.bundle is not None:
                yield _shown(pki_verify(action.certificate, action.bundle))
        case _:
            for name in action.files:
                yield _transfer("rm", name)


def _clustering(action: DatabaseAction) -> Iterator[Line]:
    match action:
        case MintDatabase():
            yield from _minting(action)
        case CopyFile():
            yield _transfer("get", action.file, f" (on {action.source})")
            yield _transfer("put", action.file)
        case BackupDatabase():
            yield _shown(backup_snapshot(action.name))
            for name in backup_files(action.name):
                yield _transfer("get", name)
        case ConfigureDatabase():
            yield _shown(database_certs(action.files))
            yield _shown(database_localnode(action.interface))
        case JoinCluster():
            yield _shown(database_join(action.primary))
        case ConnectCluster():
            yield _shown(database_connect(action.primary))
        case _:
            yield _shown(_ALONE[action.kind])


def _minting(action: MintDatabase) -> Iterator[Line]:
    """Procedure section 2, steps 2 to 6."""
    yield _shown(pki_selfsigned(action.ca, action.ca_common_name))
    names = dict.fromkeys((action.server_common_name, *action.server_sans)) if action.server_sans else ()
    requests = (
        Request(basename=action.server, common_name=action.server_common_name, sans=tuple(names)),
        Request(basename=action.client, common_name=action.client_common_name),
    )
    for request in requests:
        yield _shown(csr_command(request, ()))
    for request in requests:
        yield _shown(pki_sign(request.basename, action.ca))


def _switching(action: Rebind | Restart, row: Service | None) -> Iterator[Line]:
    if row is None or row.name != action.service:
        raise ValueError(f"the row of service {action.service} is needed to say what is typed")
    bindings = action.bindings if isinstance(action, Rebind) else ()
    tags = _tags(bindings) if isinstance(action, Rebind) else action.tags
    stopped = isinstance(action, Rebind) and action.stopped
    if row.via == "cycle" and not stopped:
        yield from _switched(row, "disable", tags)
    for restore in action.restores:
        yield from _plain(restore)
    for binding in bindings:
        yield replace(_bound(binding, row), binding=binding if row.via == "cycle" and not stopped else None)
    if not stopped:
        yield from _switched(row, "enable" if row.via == "cycle" else "restart", tags)


def _tags(bindings: tuple[Binding, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(binding.tag for binding in bindings if binding.tag is not None))


def _transfer(verb: str, name: str, place: str = "") -> Line:
    """A file is written and removed only under a name of certificate material.

    A store takes more than that: ``USER.pub`` would be a way in by SSH, ``cms.lic`` and ``upgrade.img`` more yet (facts
    1.9, 2), and under ``naming: fixed`` a name comes from a screen.
    """
    typed = quoted(name)
    if verb != "get" and (not material_like(name) or name.lower().endswith(".csr")):
        raise ValueError("the name of a file that is written is not one of a certificate, a key or a bundle")
    return Line(text=f"sftp {verb} {typed}{place}")


def _shown(sent: Command) -> Line:
    return Line(text=sent.typed, command=sent)


def _typed(*words: str) -> Line:
    return _shown(command(*words, effect=Effect.CHANGE))


def _switched(row: Service, verb: str, tags: tuple[str, ...]) -> Iterator[Line]:
    service = row.restart_of or row.name
    if not tags:
        yield _typed(service, verb)
    for tag in tags:
        yield _typed(service, verb, tag)  # [MEM] load balancers and trunks are switched by their tag


def _bound(binding: Binding, row: Service) -> Line:
    slot = row.slot(binding.slot)
    if slot is None:
        raise ValueError(f"service {row.name} has no slot {binding.slot} in this release")
    if not isinstance(slot, IdentitySlot):
        return _typed(*slot.bind, binding.bundle or "none")
    if slot.tagged and binding.tag is None:
        raise ValueError(f"slot {slot.name} needs the tag of the one that is meant")
    if slot.third is None and binding.bundle is not None:
        raise ValueError(f"slot {slot.name} takes no third file")
    words = tuple((binding.tag or "") if word == "{tag}" else word for word in slot.bind)
    if binding.key is None or binding.certificate is None:
        return _typed(*words, "none")  # half of a pair cannot be typed, and serves nothing
    return _typed(*words, *binding.files)
