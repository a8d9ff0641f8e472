"""The database of one node: its rows, what it is configured with, what it is doing (facts section 5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from cmscert.errors import LabError
from cmscert.lab.database_files import FIVE, THREE, Copies
from cmscert.lab.grammar import starts
from cmscert.lab.spec import DatabaseRole, NodeSpec

Work = Literal["initialize", "join", "connect", "remove", "upgrade_schema"]
SYNC: Final = "sync"
"""What a delay of the copying calls it, in place of a command prefix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """Work that a command has started. ``line``: as ``Last command`` shows it; ``due``: when it ends."""

    work: Work
    line: str
    due: datetime
    address: str = ""


@dataclass(eq=False, slots=True, kw_only=True)
class Cluster:
    """Nodes that belong together, by name. ``primary`` is None once it has left; ``members`` have a database.

    ``headless_since``: since when no primary is there that others can reach.
    """

    members: list[str]
    clients: list[str]
    primary: str | None
    headless_since: datetime | None = None


def _nothing(*_: str) -> None:
    """Do nothing: a database that stands alone has no call bridge and no syslog."""


class DatabaseNode:
    """State only; ``DatabaseNetwork`` moves it on. ``rows`` may be read and written by tests at any time.

    ``files``: the node's uploaded files, whoever changes them. ``restart`` is called where the call bridge restarts,
    ``note`` with what the watcher writes to syslog (T-53).
    """

    def __init__(self, spec: NodeSpec) -> None:
        given = spec.database
        self.spec = spec
        self.files: dict[str, bytes] = dict(spec.files)
        self.restart: Callable[[], None] = _nothing
        self.note: Callable[[str], None] = _nothing
        self.restarts = 0
        self.rows: list[str] = list(given.rows)
        self.role: DatabaseRole = "none"
        self.cluster: Cluster | None = None
        self.names = given.files
        self.copies = self._first_copies()
        self.interface = given.interface
        self.error = given.error
        self.last = given.last
        self.pending: Pending | None = None
        self.synced = True
        self.sync_due: datetime | None = None

    @property
    def name(self) -> str:
        """The node's name in the fleet."""
        return self.spec.name

    @property
    def address(self) -> str:
        """Where peers reach the database."""
        return self.spec.database_address or self.spec.address

    @property
    def standing(self) -> bool:
        """Whether the node belongs to a cluster, or is about to."""
        return self.role != "none" or (self.pending is not None and self.pending.work != "remove")

    def copy_files(self) -> None:
        """Take copies of the bound files as they are now; leaves what is there when one is missing."""
        if self.names and all(name in self.files for name in self.names):
            self.copies = Copies.of([self.files[name] for name in self.names])

    def seconds(self, line: str) -> timedelta:
        """Return how long the work of a command takes."""
        asked = [seconds for prefix, seconds in self.spec.faults.db_delay.items() if starts(line.split(), prefix)]
        return timedelta(seconds=max(asked, default=self.spec.start_delay))

    def hangs(self) -> bool:
        """Tell whether the work at hand does not end."""
        return self.pending is not None and _named(self.pending.line, self.spec.faults.db_hang)

    def fails(self, line: str) -> bool:
        """Tell whether the work of a command is to fail."""
        return _named(line, self.spec.faults.db_fail)

    def abandon(self) -> None:
        """Give up the work at hand, as a reboot does [MEM]."""
        if self.pending is not None:
            self.last, self.pending = (self.pending.line, "Failed"), None

    def leave(self) -> None:
        """Belong to no cluster."""
        self.role, self.cluster = "none", None
        self.synced, self.sync_due = True, None

    def _first_copies(self) -> Copies | None:
        given = self.spec.database
        if len(given.files) not in (0, THREE, FIVE) or (given.loaded and len(given.loaded) != len(given.files)):
            raise LabError(
                f"{self.spec.name}: a database has five files, or three where it only connects",
                hint="give them in the order of `database cluster certs`",
            )
        missing = [name for name in given.files if name not in self.files and not given.loaded]
        if missing:
            raise LabError(f"{self.spec.name}: no file {missing[0]}", hint="add it to the node's files")
        contents = given.loaded or [self.files[name] for name in given.files]
        return Copies.of(contents) if contents else None


def _named(line: str, prefixes: tuple[str, ...]) -> bool:
    return any(starts(line.split(), prefix) for prefix in prefixes)
