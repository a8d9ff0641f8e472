"""What a node will read like after a step: the executor compares a fresh reading with this (law 6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from cmscert.model.database import DatabaseState
from cmscert.model.observed import Binding, ObservedServer, StoredFile
from cmscert.model.plan import (
    Action,
    CheckFiles,
    ConfigureDatabase,
    ConnectCluster,
    CopyFile,
    DatabaseAction,
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
    Step,
)
from cmscert.model.readings import NOT_ASKED, Absent, Known, Reading
from cmscert.pki.certificate import Certificate
from cmscert.pki.pem import read_certificates


def predict(observed: ObservedServer, step: Step, contents: Mapping[str, bytes]) -> ObservedServer:
    """Return the node as it must read once the step is done.

    ``contents``: public bytes by content id (``sha256:…``). Keys are not predicted by content, only by name.
    """
    return predict_action(observed, step.action, contents)


def predict_action(observed: ObservedServer, action: Action, contents: Mapping[str, bytes]) -> ObservedServer:
    """Return the node as it must read after one action; also used for a step's way back."""
    after = observed
    if isinstance(action, DatabaseAction):
        return _clustered(observed, action)
    match action:
        case PutFile():
            after = _put(observed, action, contents)
        case SaveFile():
            after = _copied(observed, action.file, action.saved_as)
        case RestoreFile():
            after = _copied(observed, action.saved_as, action.file)
        case CheckFiles():
            pair = (action.key, action.certificate)
            after = replace(observed, matches={**observed.matches, pair: Known(value=True)})
        case Rebind():
            after = _rebound(_restored(observed, action.restores), action)
        case Restart():
            after = _loaded(_restored(observed, action.restores), action.service)
        case RemoveFiles():
            after = _removed(observed, action.files)
        case _:
            pass  # a gate changes nothing
    return after


def _clustered(observed: ObservedServer, action: DatabaseAction) -> ObservedServer:
    """Whether a node stands in a cluster, and on which files; who else does is proven at the end, not predicted."""
    state = observed.database.value if isinstance(observed.database, Known) else DatabaseState()
    match action:
        case CopyFile(file=file):
            return _listed(observed, file)
        case MintDatabase():
            for name in (action.ca, action.server, action.client):
                for ending in ("key", "crt"):
                    observed = _listed(observed, f"{name}.{ending}")
            return observed
        case ConfigureDatabase(files=files, interface=interface):
            state = replace(state, files=files, interface=interface, standing=False)
        case LeaveCluster():
            state = replace(state, standing=False)
        case InitializeCluster() | JoinCluster() | ConnectCluster():
            state = replace(state, standing=True)
        case _:
            return observed  # backups and looks change nothing that is read
    return replace(observed, database=Known(state))


@lru_cache(maxsize=1024)  # the same bytes go to many servers
def _certificates_in(content: bytes) -> tuple[Certificate, ...]:
    return read_certificates(content, file="upload")


def _put(observed: ObservedServer, action: PutFile, contents: Mapping[str, bytes]) -> ObservedServer:
    observed = _listed(observed, action.file)
    if action.role == "key":
        return replace(observed, matches={pair: m for pair, m in observed.matches.items() if pair[0] != action.file})
    certificates = _certificates_in(contents[action.content])
    stored = StoredFile(name=action.file, sha256=action.content.removeprefix("sha256:"), certificates=certificates)
    return replace(observed, contents={**observed.contents, action.file: Known(stored)})


def _copied(observed: ObservedServer, source: str, copy: str) -> ObservedServer:
    observed = _listed(observed, copy)
    content = observed.contents.get(source)
    if not isinstance(content, Known):
        return observed
    return replace(observed, contents={**observed.contents, copy: Known(replace(content.value, name=copy))})


def _restored(observed: ObservedServer, restores: tuple[RestoreFile, ...]) -> ObservedServer:
    for restore in restores:
        observed = _copied(observed, restore.saved_as, restore.file)
    return observed


def _listed(observed: ObservedServer, name: str) -> ObservedServer:
    if not isinstance(observed.files, Known) or name in observed.files.value:
        return observed
    return replace(observed, files=Known(tuple(sorted({*observed.files.value, name}))))


def _removed(observed: ObservedServer, names: tuple[str, ...]) -> ObservedServer:
    files = observed.files
    if isinstance(files, Known):
        files = Known(tuple(name for name in files.value if name not in names))
    return replace(
        observed, files=files, contents={name: file for name, file in observed.contents.items() if name not in names}
    )


def _rebound(observed: ObservedServer, action: Rebind) -> ObservedServer:
    screen = observed.screen(action.service)
    if not isinstance(screen, Known):
        return observed
    bindings = {**screen.value.bindings, **{binding.slot: binding for binding in action.bindings}}
    state = replace(screen.value, bindings=bindings)
    observed = replace(observed, screens={**observed.screens, action.service: Known(state)})
    return observed if action.stopped else _loaded(observed, action.service)


def _loaded(observed: ObservedServer, service: str) -> ObservedServer:
    """The service runs and serves what is bound now, where its port answered before."""
    screen = observed.screen(service)
    if not isinstance(screen, Known):
        return observed
    if screen.value.enabled is False:
        state = replace(screen.value, enabled=True)
        observed = replace(observed, screens={**observed.screens, service: Known(state)})
    served = dict(observed.served)
    for slot, binding in screen.value.bindings.items():
        if slot in served and not isinstance(served[slot], Absent):
            served[slot] = _chain_of(observed, binding)
    return replace(observed, served=served)


def _chain_of(observed: ObservedServer, binding: Binding) -> Reading[tuple[Certificate, ...]]:
    content = observed.contents.get(binding.certificate or "")
    return Known(content.value.certificates) if isinstance(content, Known) else NOT_ASKED
