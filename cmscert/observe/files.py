"""Certificate files of the store. Private keys are never read: whoever reads only needs to know their names."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable

from cmscert.errors import InputError, NodeError
from cmscert.model.observed import ServiceState, StoredFile
from cmscert.model.readings import ABSENT, Known, Reading, Unread
from cmscert.observe.asking import together, why
from cmscert.pki.pem import read_certificates
from cmscert.planning.file_names import own_kind
from cmscert.transport.session import ReadSession


def is_key(name: str) -> bool:
    """Tell whether a name is that of a private key."""
    return name.lower().endswith(".key")


def bound_files(state: Reading[ServiceState]) -> tuple[str, ...]:
    """Return the certificate and bundle files that a screen names."""
    if not isinstance(state, Known):
        return ()
    names = (name for bound in state.value.bindings.values() for name in (bound.certificate, bound.bundle))
    return tuple(dict.fromkeys(name for name in names if name is not None and not is_key(name)))


def own_files(listed: Iterable[str]) -> tuple[str, ...]:
    """Return the files that this tool named (contract, "Names on the node"), keys included."""
    return tuple(name for name in listed if own_kind(name) is not None)


def parse(name: str, data: bytes) -> StoredFile:
    """Parse a file; what holds no certificate that can be read has none."""
    try:
        certificates = read_certificates(data, file=name)
    except InputError:
        certificates = ()
    return StoredFile(name=name, sha256=hashlib.sha256(data).hexdigest(), certificates=certificates)


async def read_files(
    session: ReadSession, names: Iterable[str], *, listed: Collection[str] | None = None
) -> dict[str, Reading[StoredFile]]:
    """Read files, all at once, each once. What a known list of the store does not have is Absent without asking."""
    wanted = tuple(dict.fromkeys(names))
    readings = await together(*(_read(session, name, listed) for name in wanted))
    return dict(zip(wanted, readings, strict=True))


async def _read(session: ReadSession, name: str, listed: Collection[str] | None) -> Reading[StoredFile]:
    if listed is not None and name not in listed:
        return ABSENT
    try:
        data = await session.read_file(name)
    except NodeError as error:
        return Unread(why(error))
    return ABSENT if data is None else Known(parse(name, data))
