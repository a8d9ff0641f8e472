"""What is asked: commands that only read."""

from __future__ import annotations

from typing import Final

from cmscert.mmp.grammar import command
from cmscert.model.commands import Command, Effect
from cmscert.model.services import Service

VERSION: Final = command("version", effect=Effect.READ)
"""[S14] it shows the running release; its wording is unknown."""

DATE: Final = command("date", effect=Effect.READ)
"""[MEM] the fact sheet knows no such command: a server may answer that it does not either."""

USER_LIST: Final = command("user", "list", effect=Effect.READ)
"""[S1]"""

PKI_LIST: Final = command("pki", "list", effect=Effect.READ)
"""T-11."""

_SHOWS_PASSWORDS: Final = frozenset({"turn"})  # T-34


def status(row: Service) -> Command:
    """Return the command that shows a service's status screen; the ``turn`` screen holds a password (T-34)."""
    return _screen(row, row.status)


def statuses(row: Service) -> tuple[Command, ...]:
    """Return the commands for all screens of a service, in the order in which ``read_screen`` takes their texts."""
    return tuple(_screen(row, words) for words in (row.status, *row.more_status))


def _screen(row: Service, words: tuple[str, ...]) -> Command:
    return command(*words, effect=Effect.READ, masks_reply=row.name in _SHOWS_PASSWORDS)


def pki_match(key: str, certificate: str) -> Command:
    """Return ``pki match``: do a key and a certificate of the store belong together? [MEM]; raises ValueError."""
    return command("pki", "match", key, certificate, effect=Effect.READ)


def pki_verify(certificate: str, bundle: str) -> Command:
    """Return ``pki verify``: does a certificate chain up to a bundle? [MEM]; raises ValueError."""
    return command("pki", "verify", certificate, bundle, effect=Effect.READ)
