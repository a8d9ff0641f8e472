"""The PostgreSQL cluster inside CMS: what its status screen tells (facts section 5), and what a run has to remember."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

MemberRole = Literal["primary", "replica", "other"]
CommandState = Literal["success", "failed", "running", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseMember:
    """A row under ``Nodes:``. ``in_sync`` is None where it does not say (a primary).

    ``text``: the row's right side, as shown; it is no part of equality, because 2.x says Master and Slave (facts 5.5).
    """

    address: str
    me: bool = False
    connected: bool = False
    role: MemberRole = "other"
    in_sync: bool | None = None
    text: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseFiles:
    """File names under ``Certificates``; None where a row is missing or says none."""

    server_key: str | None = None
    server_certificate: str | None = None
    client_key: str | None = None
    client_certificate: str | None = None
    ca: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names bound, without gaps."""
        every = (self.server_key, self.server_certificate, self.client_key, self.client_certificate, self.ca)
        return tuple(name for name in every if name is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseState:
    """``database cluster status``, read (T-50, T-51).

    ``status``: the word behind ``Status`` (``Enabled``, ``Error``, ``Disabled`` ...). ``error``: what stands behind
    ``ERROR``. ``standing``: whether this server is part of a cluster now, as node or client. ``busy``: one still works.
    ``last_command``: as typed; ``last_state``: behind it in brackets. ``expired``: the screen says so of a certificate.
    """

    status: str = ""
    error: str | None = None
    standing: bool = False
    busy: bool = False
    members: tuple[DatabaseMember, ...] = ()
    node_in_use: str | None = None
    interface: str | None = None
    files: DatabaseFiles = field(default_factory=DatabaseFiles)
    last_command: str | None = None
    last_state: CommandState = "unknown"
    expired: bool = False

    @property
    def me(self) -> DatabaseMember | None:
        """The row of the server that was asked; None on a client."""
        return next((member for member in self.members if member.me), None)

    @property
    def primaries(self) -> tuple[DatabaseMember, ...]:
        """Rows that say connected primary."""
        return tuple(member for member in self.members if member.role == "primary" and member.connected)


@dataclass(frozen=True, slots=True, kw_only=True)
class FormerPrimary:
    """Who held the data when a rebuild began: on disk before the first ``remove``, until the cluster is verified."""

    database: str
    server: str
    at: datetime
    status: str
