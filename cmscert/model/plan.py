"""The plan: data that can be saved, reviewed, compared and applied later (laws 3, 5, 9, 12).

No callables, no key bytes, no passwords, no command texts: a step holds an *action*, and ``cmscert.mmp.lines`` turns an
action into what is typed, for the view, the runbook and the executor alike (law 4).
Contents of files are named, never carried: ``sha256:<hex>`` of the bytes, or ``spki:<hex>`` of a key's public half.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from cmscert.model.database import DatabaseFiles
from cmscert.model.observed import Binding
from cmscert.model.origin import Origin

PLAN_FORMAT = "cmscert.plan/1"
MOST_BYTES = 40_000_000
MOST_VALUES = 1_000_000
"""About 23,000 steps. Without a limit on values, 20 MB of empty lists would take 10 GB and two minutes."""
Severity = Literal["error", "warning", "notice"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One named difference between wanted and found. ``slot`` is None for facts of the server as a whole.

    ``plannable`` is False for what no step can mend (a certificate that is right but due). ``ignored``: why
    ``policy.ignore`` leaves it alone; ``ignored_until``: the last day of that (ISO), None where there is none.
    ``ignore_ended``: why it was left alone once, and until when, where that is over. ``origin``: None in a plan, which
    does not ask.
    """

    server: str
    slot: str | None
    reason: str
    wanted: str
    found: str
    severity: Severity = "error"
    plannable: bool = True
    ignored: str | None = None
    ignored_until: str | None = None
    ignore_ended: str | None = None
    origin: Origin | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutFile:
    """Upload a file. ``overwrites``: the name is in use (``naming: fixed``)."""

    file: str
    content: str
    role: Literal["certificate", "key", "bundle"]
    overwrites: bool = False
    kind: Literal["put"] = "put"


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveFile:
    """Copy a file of the store under a second name, on the node, before it is overwritten (``naming: fixed``)."""

    file: str
    saved_as: str
    kind: Literal["save"] = "save"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreFile:
    """The way back of an overwriting ``put``: the saved copy under its old name again."""

    file: str
    saved_as: str
    kind: Literal["restore"] = "restore"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckFiles:
    """Let the node check what was uploaded: ``pki match``, and ``pki verify`` where there is a bundle."""

    key: str
    certificate: str
    bundle: str | None = None
    kind: Literal["check"] = "check"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebind:
    """Bind files to slots of one service and make the service load them.

    ``stopped``: the bindings change, nothing is started: the service is not running now and stays so, or the next step
    restarts what loads them (``tls``).
    ``restores``: overwritten files to copy back before the service is started again (only in a way back).
    """

    service: str
    bindings: tuple[Binding, ...]
    stopped: bool = False
    restores: tuple[RestoreFile, ...] = ()
    kind: Literal["bind"] = "bind"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """Make a service load the files that are bound to it already. ``tags``: which ones, where a service has tags."""

    service: str
    restores: tuple[RestoreFile, ...] = ()
    tags: tuple[str, ...] = ()
    kind: Literal["restart"] = "restart"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """A point that nothing passes before everything in front of it is done, on every server; nothing is typed.

    ``opens``: ``services`` (all material is uploaded and checked) or ``removal`` (every change is verified).
    """

    opens: Literal["services", "removal"]
    kind: Literal["gate"] = "gate"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveFiles:
    """Remove old files that this tool named; always last."""

    files: tuple[str, ...]
    kind: Literal["remove"] = "remove"


@dataclass(frozen=True, slots=True, kw_only=True)
class MintDatabase:
    """Let the CA built into CMS make a CA, and a server and a client pair that it signs; basenames are new."""

    ca: str
    ca_common_name: str
    server: str
    server_common_name: str
    server_sans: tuple[str, ...]
    client: str
    client_common_name: str
    kind: Literal["db-mint"] = "db-mint"


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyFile:
    """Copy a file from another server's store, under the same name; its bytes pass through memory only."""

    file: str
    source: str
    kind: Literal["copy"] = "copy"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupDatabase:
    """Make a backup on the node and fetch both of its files, ``NAME.bak`` and ``NAME.json`` ([S16])."""

    name: str
    kind: Literal["db-backup"] = "db-backup"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmPrimary:
    """Look once more, right before the first node leaves: ``server`` (the inventory's name) must still be primary."""

    database: str
    server: str
    kind: Literal["db-primary"] = "db-primary"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveCluster:
    """Take the node out of its cluster. On a node with a database its copy of the rows is gone then (facts 5.3)."""

    kind: Literal["db-remove"] = "db-remove"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigureDatabase:
    """Give a node that is in no cluster its files and its interface; ``files`` has no server pair on a client."""

    files: DatabaseFiles
    interface: str
    kind: Literal["db-certs"] = "db-certs"


@dataclass(frozen=True, slots=True, kw_only=True)
class InitializeCluster:
    """Make the node's rows the truth of a new cluster; only ever on the former primary, or in a first build."""

    kind: Literal["db-initialize"] = "db-initialize"


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinCluster:
    """Make the node a replica of ``primary``, an address; its own rows are overwritten ([S2])."""

    primary: str
    kind: Literal["db-join"] = "db-join"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectCluster:
    """Let a node without a database use the cluster of ``primary``, an address."""

    primary: str
    kind: Literal["db-connect"] = "db-connect"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearDatabaseError:
    """Let the node forget the error that its status shows (T-51)."""

    kind: Literal["db-clear-error"] = "db-clear-error"


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradeSchema:
    """Bring the schema to the release of the software, on the primary ([S26])."""

    kind: Literal["db-upgrade-schema"] = "db-upgrade-schema"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProveCluster:
    """Look at the end: the node must show every one of ``members`` (addresses) connected and in sync."""

    database: str
    members: tuple[str, ...]
    kind: Literal["db-prove"] = "db-prove"


DatabaseAction = (
    MintDatabase
    | CopyFile
    | BackupDatabase
    | ConfirmPrimary
    | LeaveCluster
    | ConfigureDatabase
    | InitializeCluster
    | JoinCluster
    | ConnectCluster
    | ClearDatabaseError
    | UpgradeSchema
    | ProveCluster
)
Action = PutFile | SaveFile | RestoreFile | CheckFiles | Rebind | Restart | RemoveFiles | Gate | DatabaseAction
Undo = Rebind | Restart | RestoreFile

FLEET = "*"
"""The server of a gate: it belongs to none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """What users notice while a step runs, and for how many seconds (an estimate)."""

    service: str
    notices: str
    seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step.

    ``after``: ids of steps that must be done and verified first. ``undo``: the way back, computed at planning time;
    None where the step disturbs nothing, or where there is none (a notice says so).
    """

    id: str
    server: str
    slot: str | None
    action: Action
    because: tuple[str, ...]
    after: tuple[str, ...] = ()
    impact: Impact | None = None
    undo: Undo | None = None

    @property
    def disturbs(self) -> bool:
        """Whether a service stops answering while the step runs."""
        return self.impact is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A guard that holds.

    ``guard`` is the name that ``--allow`` takes; ``liftable`` is False where nothing lifts it.
    """

    guard: str
    message: str
    server: str | None = None
    liftable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """No change, but something to say."""

    message: str
    server: str | None = None
    slot: str | None = None
    reason: str = "notice"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What differs and the ordered steps that put it right.

    ``rolls_back``: the run that the steps take back; None for a plan that goes by the inventory.
    ``basis``: server → digest of what was observed. ``basis_parts``: server → part → short digest, to say
    which part has moved; only ``basis`` decides. ``unread``: (server, why). ``complete`` is False when anything that
    was needed could not be read.
    """

    made_at: datetime
    tool_version: str
    fleet: str
    inventory_sha256: str
    basis: Mapping[str, str]
    select: tuple[str, ...] = ()
    rolls_back: str | None = None
    unread: tuple[tuple[str, str], ...] = ()
    drift: tuple[Drift, ...] = ()
    steps: tuple[Step, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    notices: tuple[Notice, ...] = ()
    releases: Mapping[str, str] = field(default_factory=dict)
    basis_parts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    format: str = PLAN_FORMAT

    @property
    def complete(self) -> bool:
        """Whether everything that was needed could be read."""
        return not self.unread
