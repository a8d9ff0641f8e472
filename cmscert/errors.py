"""The one error tree.

Only ``cmscert.cli`` turns an error into an exit code. Messages are lower case, one sentence, name the server or the
file, and say the next thing to do (``hint``)::

    CmscertError
    ├── InputError                 bad inventory, certificate, key, bundle or plan file; carries every fault at once
    ├── NodeError                  a server could not be read
    │   ├── Unreachable            no TCP connection, or none in time
    │   ├── HostKeyRefused         the host key is unknown or has changed
    │   ├── LoginRefused           the server did not accept the user, password or key
    │   ├── NotACms                something answers, but it is not the command line of a CMS
    │   ├── ConnectionLost         the connection ended while an answer was awaited
    │   ├── AnswerTimeout          no answer in time
    │   ├── UnexpectedAnswer       an answer that nobody foresaw: the run on this server stops
    │   └── StoreRefused           the file store refused to read, write or remove
    ├── RefusedError               nothing was changed: a guard, a lock, a stale plan, no confirmation
    │   ├── GuardRefused
    │   ├── StalePlan
    │   ├── LockHeld
    │   └── NotConfirmed
    ├── SecretError                a secret reference could not be resolved
    ├── IssuerError                an issuer did not answer, refused, or delivered what cannot be used
    ├── JournalError               the journal could not be written: nothing more is sent
    └── LabError                   the simulated fleet could not be started
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from datetime import timedelta

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong with an input, with its place.

    ``line`` and ``column`` count from 1; ``path`` is the path of keys (``servers.core1.address``).
    """

    message: str
    file: str | None = None
    line: int | None = None
    column: int | None = None
    path: str | None = None
    reason: str = "invalid"
    severity: Severity = "error"

    @property
    def place(self) -> str:
        """``file:line:column``, leaving out what is unknown."""
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)

    def __str__(self) -> str:
        """Draw ``file:line:column: path: message``, leaving out what is unknown."""
        return ": ".join(part for part in (self.place, self.path, self.message) if part)


class CmscertError(Exception):
    """Root of everything that this package raises on purpose."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InputError(CmscertError):
    """An inventory, certificate, key, bundle or plan file is wrong; all faults are carried at once."""

    def __init__(self, faults: tuple[Fault, ...] | list[Fault], *, hint: str | None = None) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults), hint=hint)


class NodeError(CmscertError):
    """A server could not be read."""

    reason = "unreadable"

    def __init__(self, server: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(f"{server}: {message}", hint=hint)
        self.server = server


class Unreachable(NodeError):
    """No TCP connection to the server, or none in time."""

    reason = "unreachable"


class HostKeyRefused(NodeError):
    """The host key is unknown or differs from the one in ``known_hosts``."""

    reason = "host-key"


class LoginRefused(NodeError):
    """The server did not accept the user, password or key."""

    reason = "login"


class NotACms(NodeError):
    """Something answers, but not the command line of a CMS."""

    reason = "not-a-cms"


class ConnectionLost(NodeError):
    """The connection ended while an answer was awaited; a command may or may not have been carried out."""

    reason = "connection-lost"


class AnswerTimeout(NodeError):
    """No answer in time; a command may or may not have been carried out."""

    reason = "timeout"


class UnexpectedAnswer(NodeError):
    """An answer that nobody foresaw."""

    reason = "unexpected-answer"


class StoreRefused(NodeError):
    """The file store refused to read, write or remove a file."""

    reason = "store"


class RefusedError(CmscertError):
    """Nothing was changed, on purpose."""

    reason = "refused"


class GuardRefused(RefusedError):
    """A guard holds and no ``--allow`` lifts it."""

    reason = "guard"


class StalePlan(RefusedError):
    """The saved plan no longer fits the inventory or the servers."""

    reason = "stale-plan"


class LockHeld(RefusedError):
    """Somebody else is changing this fleet."""

    reason = "lock"


class NotConfirmed(RefusedError):
    """Nobody said yes."""

    reason = "not-confirmed"


class SecretError(CmscertError):
    """A secret reference could not be resolved."""

    reason = "secret"


class IssuerError(CmscertError):
    """An issuer did not answer, refused, or delivered what cannot be used; other certificates go on.

    ``certificate``: as people call it (``node for core1``). ``told``: the message without certificate and issuer, for
    where both are said anyway. ``wait``: how long the issuer asks to be left alone. ``delivered``: it answered, and
    what it answered cannot be used, so that it has to be asked from the start.
    """

    reason = "issuer"

    def __init__(
        self,
        certificate: str,
        issuer: str,
        message: str,
        *,
        hint: str | None = None,
        wait: timedelta | None = None,
        delivered: bool = False,
    ) -> None:
        super().__init__(f"{certificate}: issuer {issuer}: {message}", hint=hint)
        self.certificate = certificate
        self.issuer = issuer
        self.told = message
        self.wait = wait
        self.delivered = delivered


class JournalError(CmscertError):
    """The journal could not be written: nothing more is sent."""

    reason = "journal"


class LabError(CmscertError):
    """The simulated fleet could not be started."""

    reason = "lab"
