"""The database cluster as one of its members shows it, and the certificate files that it works on."""

from __future__ import annotations

from collections.abc import Iterator

from cmscert.mmp.database import DATABASE_STATUS
from cmscert.mmp.database_status import read_database_status
from cmscert.model.database import DatabaseState
from cmscert.model.readings import Known, Reading
from cmscert.observe.asking import Ear, attempt
from cmscert.observe.files import is_key
from cmscert.transport.session import ReadSession


async def read_database(session: ReadSession) -> Reading[DatabaseState]:
    """Ask one member afresh. Absent: it does not know the command. Never raises NodeError."""
    asked = await attempt(session.ask(DATABASE_STATUS))
    return read_database_status(asked.value.text) if isinstance(asked, Known) else asked


async def hear_database(ear: Ear) -> Reading[DatabaseState]:
    """Read what the member answers within one look; it is asked once."""
    text = await ear.text(DATABASE_STATUS)
    return read_database_status(text.value) if isinstance(text, Known) else text


def database_files(state: Reading[DatabaseState]) -> tuple[str, ...]:
    """Return the bound files that hold certificates, never those of keys."""
    if not isinstance(state, Known):
        return ()
    files = state.value.files
    every = (files.server_certificate, files.client_certificate, files.ca)
    return tuple(dict.fromkeys(name for name in every if name is not None and not is_key(name)))


def database_pairs(state: Reading[DatabaseState]) -> Iterator[tuple[str, str]]:
    """Yield the bound (key, certificate) pairs that are whole."""
    if isinstance(state, Known):
        files = state.value.files
        for key, certificate in (
            (files.server_key, files.server_certificate),
            (files.client_key, files.client_certificate),
        ):
            if key is not None and certificate is not None:
                yield key, certificate
