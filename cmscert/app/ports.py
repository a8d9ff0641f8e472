"""The doors to the outside that a use case needs, as one value, so that a test can hand in others."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from cmscert.app.clock import utc_now
from cmscert.model.login import Login
from cmscert.transport.credentials import Credentials
from cmscert.transport.known_hosts import KnownHosts
from cmscert.transport.session import Probe, ReadSession, WriteSession

OpenReader = Callable[[Login, Credentials, KnownHosts], AbstractAsyncContextManager[ReadSession]]
OpenWriter = Callable[[Login, Credentials, KnownHosts], AbstractAsyncContextManager[WriteSession]]


class Note(Protocol):
    """Takes a remark for the log: an event in a few words, and its facts."""

    def __call__(self, event: str, /, **facts: object) -> None:
        """Take a remark."""
        ...


def no_note(event: str, /, **facts: object) -> None:
    """Drop a remark."""


def silent(text: str) -> None:
    """Say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """``reader`` and ``writer`` open sessions, ``probe`` looks at a TLS port, ``clock`` tells the time.

    ``note`` takes remarks for the log; ``say`` is given what whoever started it should see in any case.
    """

    reader: OpenReader
    writer: OpenWriter
    probe: Probe
    clock: Callable[[], datetime] = utc_now
    note: Note = no_note
    say: Callable[[str], None] = silent


def live_ports(note: Note = no_note, say: Callable[[str], None] = silent) -> Ports:
    """Return the real ones: SSH, TLS, the machine's clock."""
    from cmscert.transport.ssh import connect, connect_reader
    from cmscert.transport.tls import probe

    return Ports(reader=connect_reader, writer=connect, probe=probe, note=note, say=say)
