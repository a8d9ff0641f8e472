"""What a status proves, and what it does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cmscert.apply.database_readback import is_silent, same_command, short_of
from cmscert.model.database import DatabaseFiles, DatabaseMember, DatabaseState
from cmscert.model.plan import (
    BackupDatabase,
    ClearDatabaseError,
    ConfigureDatabase,
    ConnectCluster,
    DatabaseAction,
    InitializeCluster,
    JoinCluster,
    LeaveCluster,
    ProveCluster,
    UpgradeSchema,
)

FILES = DatabaseFiles(client_key="c.key", client_certificate="c.crt", ca="ca.crt")
OTHER = replace(FILES, ca="old.crt")
ME = DatabaseMember(address="10.0.0.2", me=True, connected=True, role="replica", in_sync=True, text="Connected Replica")
FIRST = DatabaseMember(address="10.0.0.1", connected=True, role="primary", text="Connected Primary")
IN = DatabaseState(status="Enabled", standing=True, members=(FIRST, ME), files=FILES, interface="a")
AS_PRIMARY = replace(IN, members=(replace(FIRST, me=True),))
AS_CLIENT = replace(IN, members=(FIRST,))
OUT = DatabaseState(status="Disabled")
LEAVE, JOIN, CONNECT = LeaveCluster(), JoinCluster(primary="10.0.0.1"), ConnectCluster(primary="10.0.0.1")
CERTS = ConfigureDatabase(files=FILES, interface="a")
PROVE = ProveCluster(database="main", members=("10.0.0.1", "10.0.0.2"))
TYPED = "database cluster x"


def said(state: DatabaseState, outcome: str, typed: str = TYPED) -> DatabaseState:
    """Let a state show a last command."""
    return replace(state, last_command=typed, last_state=outcome)


GOOD: list[tuple[DatabaseAction, DatabaseState]] = [
    (LEAVE, OUT),
    (LEAVE, said(replace(OUT, status="Error"), "success")),
    (CERTS, OUT),
    (CERTS, replace(OUT, files=FILES, interface="a")),
    (InitializeCluster(), AS_PRIMARY),
    (InitializeCluster(), replace(AS_PRIMARY, files=DatabaseFiles())),
    (JOIN, IN),
    (CONNECT, AS_CLIENT),
    (CONNECT, replace(IN, members=(FIRST, DatabaseMember(address="10.0.0.4", me=True)))),
    (ClearDatabaseError(), IN),
    (ClearDatabaseError(), said(replace(IN, error="x"), "success")),
    (UpgradeSchema(), said(IN, "success")),
    (UpgradeSchema(), IN),
    (PROVE, IN),
    (BackupDatabase(name="x"), OUT),
]
SHORT: list[tuple[DatabaseAction, DatabaseState, str]] = [
    (LEAVE, IN, "it is still part of a cluster"),
    (LEAVE, replace(OUT, busy=True), "a database command is still at work"),
    (LEAVE, replace(said(OUT, "running"), busy=True), "database cluster x is still at work"),
    (LEAVE, replace(OUT, status="Enabled"), "its status says Enabled, and shows neither a cluster nor"),
    (LEAVE, said(replace(OUT, status="Error"), "success", "database cluster y"), "its status says Error"),
    (CERTS, IN, "it is part of a cluster, where certificates cannot change"),
    (CERTS, replace(OUT, files=FILES, interface="b"), "its database uses interface b, not a"),
    (CERTS, replace(OUT, files=OTHER, interface="a"), "works on c.key, c.crt, old.crt, not on c.key, c.crt, ca.crt"),
    (InitializeCluster(), OUT, "it is not part of a cluster yet"),
    (InitializeCluster(), AS_CLIENT, "its status does not show its own row"),
    (InitializeCluster(), IN, "it is no connected primary: Connected Replica"),
    (InitializeCluster(), replace(AS_PRIMARY, files=OTHER), "works on c.key, c.crt, old.crt"),
    (JOIN, AS_PRIMARY, "it is no connected replica: Connected Primary"),
    (JOIN, replace(IN, members=(FIRST, replace(ME, connected=False, text=""))), "it is no connected replica: replica"),
    (JOIN, replace(IN, members=(FIRST, replace(ME, in_sync=False))), "it is not in sync"),
    (JOIN, replace(IN, members=(FIRST, replace(ME, in_sync=None))), "it is not in sync"),
    (CONNECT, IN, "it is a node of the cluster and no client"),
    (CONNECT, replace(IN, members=()), "it shows no connected primary"),
    (ClearDatabaseError(), replace(IN, error="full"), "its status still shows: full"),
    (UpgradeSchema(), said(IN, "success", "database cluster y"), "its last command is database cluster y"),
    (PROVE, OUT, "it is not part of a cluster"),
    (PROVE, replace(IN, members=(ME,)), "it does not show one connected primary"),
    (PROVE, AS_PRIMARY, "it does not show 10.0.0.2"),
    (PROVE, replace(IN, members=(FIRST, replace(ME, connected=False, text=""))), "10.0.0.2 as: not connected"),
    (PROVE, replace(IN, members=(FIRST, replace(ME, role="other", text="Odd"))), "it shows 10.0.0.2 as: Odd"),
    (PROVE, replace(IN, members=(FIRST, replace(ME, in_sync=False))), "it shows 10.0.0.2 as not in sync"),
    (PROVE, replace(IN, files=OTHER), "works on c.key, c.crt, old.crt"),
]


@pytest.mark.parametrize(("action", "state"), GOOD)
def test_proven(action: DatabaseAction, state: DatabaseState) -> None:
    """A status that says plainly what it must proves a step."""
    assert short_of(action, state, TYPED, FILES, lambda row: row.address) is None


@pytest.mark.parametrize(("action", "state", "why"), SHORT)
def test_not_proven(action: DatabaseAction, state: DatabaseState, why: str) -> None:
    """What is missing, doubtful or another's is never good."""
    assert why in (short_of(action, state, TYPED, FILES, lambda row: row.address) or "")


def test_a_client_has_no_rows_to_prove() -> None:
    """A client must see the one primary; the nodes tell about themselves."""
    assert short_of(PROVE, AS_CLIENT, TYPED, FILES, None) is None
    assert short_of(PROVE, replace(AS_CLIENT, members=()), TYPED, FILES, None) is not None


@pytest.mark.parametrize(
    ("shown", "same"),
    [(None, False), ("database cluster x", True), ("Database  cluster X", True), ("database cluster x y", False)],
)
def test_the_same_command(shown: str | None, *, same: bool) -> None:
    """Case and blanks do not make another command."""
    assert same_command(shown, TYPED) is same


@pytest.mark.parametrize(("state", "silent"), [(OUT, True), (replace(OUT, files=FILES), True), (IN, False)])
def test_silence(state: DatabaseState, *, silent: bool) -> None:
    """A server in no cluster need not show what was set."""
    assert is_silent(state) is silent
