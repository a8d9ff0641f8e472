"""What a simulated node is made of: plain values, given by whoever starts the lab."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

DatabaseRole = Literal["none", "primary", "replica", "client"]


@dataclass(kw_only=True)
class SlotSpec:
    """File names bound to a slot at the start; None means ``none``. Trust slots use ``bundle`` only."""

    key: str | None = None
    certificate: str | None = None
    bundle: str | None = None
    tag: str | None = None


@dataclass(kw_only=True)
class ServiceSpec:
    """A configured service at the start.

    ``slots``: by slot name (``webadmin``, ``webbridge3/https``, ``webbridge3/trust-c2w`` ...).
    ``loaded``: slots whose *loaded* files differ from the bound ones (a file was replaced and nobody restarted): slot
    name to the PEM bytes (key, certificate file) that were loaded at the last start; for a trust slot (empty, bundle).
    ``ports``: slot name to TCP port; 0 or missing lets the lab choose one, a negative one means that none is set.
    ``interfaces``: slot name to the names of the interfaces it listens on (``a b``); all of them are loopback here.
    ``settings``: label of a status row to its value, for rows that no certificate command changes (``Realm``).
    """

    enabled: bool = True
    slots: dict[str, SlotSpec] = field(default_factory=dict)
    loaded: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    interfaces: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)


@dataclass(kw_only=True)
class DatabaseSpec:
    """The database of a node at the start: by default there is no cluster, and nothing is configured.

    ``rows``: ids of the rows that it holds. ``files``: names bound, five (server key and certificate, client key and
    certificate, CA), three (without the server's) or none. ``loaded``: contents that the cluster works on (T-53) where
    they differ from those of ``files``. ``primary``: on a replica or client, the node whose cluster it belongs to.
    ``in_sync``: for a replica. ``last``: command and state (``Success``, ``Failed``) of the row ``Last command``.
    """

    role: DatabaseRole = "none"
    rows: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    loaded: tuple[bytes, ...] = ()
    interface: str | None = None
    primary: str | None = None
    in_sync: bool = True
    error: str | None = None
    last: tuple[str, str] | None = None


@dataclass(kw_only=True)
class Switches:
    """Behaviour that no source proves (grades [MEM], [INF], [UNK]). Change one to test the other way."""

    exec_channel: bool = True  # 1.3: exec is accepted (False: refused, only a shell works)
    sftp_same_connection: bool = True  # 1.3: S1 opens SFTP on a second connection; whether one would do is unknown
    max_channels: int | None = None  # 1.3: channel opens beyond this many at once are refused
    confirm_over_exec: bool = False  # 1.3: whether a capital Y is read from an exec channel's stdin
    words: str = "primary"  # 5.5: "primary" (Primary/Replica) or "master" (Master/Slave)
    set_replies: bool = False  # 4: configuration commands answer something instead of nothing
    match_wording: str = "default"  # 10.1: literal output of pki match and pki verify is unknown: default | terse | odd
    version_wording: str = "plain"  # 7: output of version is unknown: plain | labelled
    bundle_row_when_none: bool = False  # T-30: no row when no bundle is set; True prints "CA Bundle file : none"
    change_while_enabled: bool = True  # 4.4: certs commands are accepted while the service is enabled
    expired_fails_enable: bool = False  # 10.2: whether an expired certificate makes enable fail
    date_command: bool = True  # date is not in the fact sheet at all: False answers Unknown command
    extra_rows: bool = False  # unknown rows appear in status screens
    enable_wording: str = "remembered"  # 4: "sourced" prints only lines like T-20 to T-23 at enable and restart
    confirm_wording: str = "remembered"  # 5.3 [MEM]: remembered | short | odd
    refusal_wording: str = "plain"  # 10.3: how database commands are refused is unknown: plain | failure | silent
    progress_wording: str = "remembered"  # 5.4 [MEM]: (In progress) | plain: (Running) | quiet: no row until it is done
    unconfigured_wording: str = "short"  # 5.5 [MEM]: only what is set | long: empty rows too
    expired_wording: str = "row"  # 10.3, [S13b]: beside the file's name | error: a row ERROR | none
    sync_wording: str = "Sync'ing"  # 5.5 [MEM]: what stands in the brackets of a replica that is behind
    lost_wording: str = "Not Connected"  # 10.3: how a member that cannot be reached is shown is unknown
    member_names: str = "address"  # 5.5: members are shown by address | fqdn
    client_row: bool = False  # 10.3: whether a node that used connect shows a row of its own
    certs_copied_at: str = "certs"  # 5.5 [INF]: when the copies of T-53 are made: certs | start (join and its like)
    remove_destroys: bool = False  # 5.3 [MEM] says so; 5.7 needs the old primary's rows to outlive its remove
    remove_unbinds: bool = False  # 10.3: whether remove forgets the names given by certs
    database_restarts: bool = True  # 5.7 [MEM]: initialize, join and remove restart the call bridge
    promotes: bool = False  # 5.2: whether a replica takes over when the primary has been gone for a while
    old_algorithms: bool = False  # 1.9 [MEM]: only ssh-rsa with SHA-1 and diffie-hellman-group14-sha1 are offered


@dataclass(kw_only=True)
class Faults:
    """Faults on request. Counters count commands (exec or shell) of the node since its start, from 1.

    A command prefix is compared with the words as typed, single blanks between. ``late``, ``fail``, ``silent`` and
    ``lie`` also know ``put NAME``, ``get NAME`` and ``rm NAME`` of SFTP. A late or silent command is carried out.
    Work that a database command started looks at ``db_fail`` and ``db_hang`` when it is due, so both may change before.
    """

    refuse_channels: int = 0  # refuse this many channel opens, then accept
    refuse_every: int = 0  # refuse every n-th channel open
    cut_at: int | None = None  # cut the connection when the n-th command arrives, before carrying it out
    cut_after: int | None = None  # cut after carrying out the n-th command, before its answer
    late: dict[str, float] = field(default_factory=dict)  # command prefix to seconds of delay before the answer
    fail: dict[str, str] = field(default_factory=dict)  # command prefix to a FAILURE text; nothing is carried out
    silent: tuple[str, ...] = ()  # command prefixes that never answer
    lie: tuple[str, ...] = ()  # command prefixes that answer as if done, without doing
    garbage: tuple[str, ...] = ()  # command prefixes answered with control characters and invalid UTF-8
    store_full: bool = False  # every upload fails
    truncate_uploads: int | None = None  # uploads keep only this many bytes, and report success
    corrupt_uploads: bool = False  # one byte of every upload differs
    no_start: tuple[str, ...] = ()  # services that answer SUCCESS to enable/restart but do not listen
    reject_password: bool = False
    down: bool = False  # the node is off the network: no login, no database peer reaches it
    db_fail: tuple[str, ...] = ()  # prefixes of database commands whose work ends as (Failed)
    db_hang: tuple[str, ...] = ()  # prefixes of database commands whose work does not end
    db_delay: dict[str, float] = field(default_factory=dict)  # command prefix, or ``sync``, to the seconds it works
    db_behind: bool = False  # this replica gets no rows and never comes in sync


@dataclass(kw_only=True)
class NodeSpec:
    """One simulated node. ``address``: what it calls itself (inventory address); it listens on ``bind``."""

    name: str
    hostname: str
    address: str
    fqdn: str
    release: str = "3.9"
    user: str = "admin"
    password: str = "lab"  # noqa: S105 - a throw-away password of a simulated node
    authorized_keys: str | None = None
    password_expires: str = "2027-Mar-31"  # noqa: S105 - a date
    bind: str = "127.0.0.1"
    ssh_port: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    services: dict[str, ServiceSpec] = field(default_factory=dict)
    switches: Switches = field(default_factory=Switches)
    faults: Faults = field(default_factory=Faults)
    start_delay: float = 0.05  # seconds that a service takes to come up, and that a database command works
    clock_skew: float = 0.0  # seconds ahead of the real clock
    answer_delay: float = 0.0  # seconds before every answer
    database: DatabaseSpec = field(default_factory=DatabaseSpec)
    database_address: str | None = None  # where peers reach its database, if not at ``address``
    gateway: str = "none"  # the rest is what ``ipv4 a``, ``live.json`` and ``license`` tell
    prefixlen: str = "24"
    mac: str = "00:50:56:00:00:01"
    licence_expires: str = "2028-Apr-28"
