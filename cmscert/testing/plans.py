"""A plan that shows every kind of thing that a plan can hold, as an example and for the pictures of tests."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

from cmscert.model.database import DatabaseFiles
from cmscert.model.observed import Binding
from cmscert.model.plan import (
    FLEET,
    Action,
    BackupDatabase,
    CheckFiles,
    ClearDatabaseError,
    ConfigureDatabase,
    ConfirmPrimary,
    ConnectCluster,
    CopyFile,
    Drift,
    Gate,
    Impact,
    InitializeCluster,
    JoinCluster,
    LeaveCluster,
    MintDatabase,
    Notice,
    Plan,
    ProveCluster,
    PutFile,
    Rebind,
    Refusal,
    RemoveFiles,
    Restart,
    RestoreFile,
    SaveFile,
    Step,
    UpgradeSchema,
)

MOMENT = datetime(2026, 11, 23, 20, 30, tzinfo=UTC)
CRT = "join-20261120-1a2b3c4d.crt"
KEY = "join-20261120-5e6f7a8b.key"
CORP = "corp-9c0d1e2f.crt"
SHA = "0123456789abcdef" * 4


def empty_plan() -> Plan:
    """Return a plan that has nothing to do."""
    return Plan(
        made_at=MOMENT,
        tool_version="0.1.0",
        fleet="example",
        inventory_sha256=SHA,
        basis={"core1": SHA, "edge1": SHA},
        releases={"core1": "3.9", "edge1": "3.9"},
    )


def sample_plan() -> Plan:
    """Return a plan with drift of every severity, steps of every kind but databases', refusals and notices."""
    return Plan(
        made_at=MOMENT,
        tool_version="0.1.0",
        fleet="example",
        inventory_sha256=SHA,
        basis={"core1": SHA, "edge1": SHA},
        releases={"core1": "3.9", "edge1": "3.9"},
        basis_parts={"core1": {"release": SHA[:16], "slot webadmin": SHA[:16]}, "edge1": {"release": SHA[:16]}},
        unread=(("edge2", "no TCP connection to 10.0.0.22 port 22 within 10 s"),),
        drift=_drift(),
        steps=_steps(),
        refusals=(
            Refusal(
                guard="last-call-bridge",
                server="core1",
                message="no other call bridge of the fleet answers, so all calls end while this one restarts",
            ),
            Refusal(guard="unread-server", server="edge2", message="it could not be read", liftable=False),
        ),
        notices=(
            Notice(message="the password of admin expires on 2026-12-01", server="core1", reason="password-expires"),
            Notice(message="databases.main: a plan does not handle databases yet", reason="unhandled"),
        ),
    )


def database_plan() -> Plan:
    """Return a plan that rebuilds a cluster of two nodes and a client, with a step of every kind there is for that."""
    client = DatabaseFiles(client_key="dbclient.key", client_certificate="dbclient.crt", ca="dbca.crt")
    node = replace(client, server_key="dbserver.key", server_certificate="dbserver.crt")
    members = ("10.0.0.1", "10.0.0.2")
    mint = MintDatabase(
        ca="dbca",
        ca_common_name="example.com",
        server="dbserver",
        server_common_name="core1.example.com",
        server_sans=("core1.example.com", "core2.example.com"),
        client="dbclient",
        client_common_name="postgres",
    )
    actions: tuple[tuple[str, Action], ...] = (
        ("core1", mint),
        ("edge1", CopyFile(file="dbclient.key", source="core1")),
        ("core1", ClearDatabaseError()),
        ("core1", UpgradeSchema()),
        ("core1", BackupDatabase(name="main-20261123-203000")),
        ("core2", BackupDatabase(name="main-20261123-203000")),
        ("core1", ConfirmPrimary(database="main", server="core1")),
        ("edge1", LeaveCluster()),
        ("core2", LeaveCluster()),
        ("core1", LeaveCluster()),
        ("core1", ConfigureDatabase(files=node, interface="a")),
        ("core2", ConfigureDatabase(files=node, interface="a")),
        ("edge1", ConfigureDatabase(files=client, interface="a")),
        ("core1", InitializeCluster()),
        ("core2", JoinCluster(primary="10.0.0.1")),
        ("edge1", ConnectCluster(primary="10.0.0.1")),
        *((server, ProveCluster(database="main", members=members)) for server in ("core1", "core2", "edge1")),
    )
    outage = Impact(service="database", notices="calls on this server end", seconds=120)
    steps = tuple(
        Step(
            id=f"s{number:02}",
            server=server,
            slot=None,
            action=action,
            because=("the certificates of the cluster expire soon",),
            after=() if number == 1 else (f"s{number - 1:02}",),
            impact=outage if isinstance(action, LeaveCluster) else None,
        )
        for number, (server, action) in enumerate(actions, start=1)
    )
    servers = ("core1", "core2", "edge1")
    return replace(empty_plan(), basis=dict.fromkeys(servers, SHA), releases=dict.fromkeys(servers, "3.9"), steps=steps)


def _drift() -> tuple[Drift, ...]:
    return (
        Drift(
            server="core1",
            slot="callbridge/trust-c2w",
            reason="trust-lacks",
            wanted="Example Issuing CA 2026 (77aa88bb), Example Root CA (11cc22dd)",
            found="Example Issuing CA (99ee00ff), Example Root CA (11cc22dd)",
        ),
        Drift(
            server="core1",
            slot="webadmin",
            reason="expires-soon",
            wanted="more than a third of its life left",
            found="core1.example.com, issued by Example Issuing CA, until 2026-12-01 (8 days left)",
            severity="warning",
            plannable=False,
        ),
        Drift(
            server="core1",
            slot=None,
            reason="clock-skew",
            wanted="at most 300 s away",
            found="412 s ahead",
            severity="warning",
            plannable=False,
            ignored="NTP is being moved, CHG-1204",
            ignored_until="2026-12-31",
        ),
        Drift(
            server="edge1",
            slot="webbridge3/https",
            reason="certificate-differs",
            wanted="join.example.com, issued by Example Issuing CA, until 2027-11-20 (1a2b3c4d)",
            found="join.example.com, issued by Example Issuing CA, until 2026-12-01 (0badcafe)",
            ignore_ended="CHG-9 (until 2026-11-01)",
        ),
    )


def _steps() -> tuple[Step, ...]:
    return (
        _put("s01", "core1", CORP, "bundle", ("callbridge/trust-c2w lacks Example Issuing CA 2026",)),
        Step(
            id="s02",
            server="edge1",
            slot="webbridge3/https",
            action=SaveFile(file="join.crt", saved_as="join-before.crt"),
            because=("join.crt is overwritten",),
        ),
        _put("s03", "edge1", CRT, "certificate", ("certificate-differs",)),
        _put("s04", "edge1", KEY, "key", ("certificate-differs",)),
        Step(
            id="s05",
            server="edge1",
            slot="webbridge3/https",
            action=CheckFiles(key=KEY, certificate=CRT, bundle=CORP),
            because=("what was uploaded is checked before it is used",),
            after=("s03", "s04"),
        ),
        Step(
            id="s06",
            server=FLEET,
            slot=None,
            action=Gate(opens="services"),
            because=("uploads disturb nobody",),
            after=("s01", "s02", "s03", "s04", "s05"),
        ),
        *_disturbing(),
        Step(
            id="s10",
            server="edge1",
            slot=None,
            action=RemoveFiles(files=("join-20250101-00112233.crt", "join-20250101-44556677.key")),
            because=("older than the 2 revisions that stay",),
            after=("s08",),
        ),
    )


def _disturbing() -> tuple[Step, ...]:
    return (
        Step(
            id="s07",
            server="core1",
            slot="callbridge/trust-c2w",
            action=Rebind(service="callbridge", bindings=(Binding(slot="callbridge/trust-c2w", bundle=CORP),)),
            because=("callbridge/trust-c2w lacks Example Issuing CA 2026",),
            after=("s06",),
            impact=Impact(service="callbridge", notices="calls on this server end", seconds=45),
            undo=Rebind(service="callbridge", bindings=(Binding(slot="callbridge/trust-c2w", bundle="corp.crt"),)),
        ),
        Step(
            id="s08",
            server="edge1",
            slot="webbridge3/https",
            action=Rebind(service="webbridge3", bindings=(Binding(slot="webbridge3/https", key=KEY, certificate=CRT),)),
            because=("webbridge3/https: certificate-differs",),
            after=("s06", "s07"),
            impact=Impact(service="webbridge3", notices="browser calls through this server end", seconds=20),
            undo=Rebind(
                service="webbridge3",
                bindings=(Binding(slot="webbridge3/https", key="join.key", certificate="join.crt"),),
                restores=(RestoreFile(file="join.crt", saved_as="join-before.crt"),),
            ),
        ),
        Step(
            id="s09",
            server="edge1",
            slot="turn",
            action=Restart(service="turn"),
            because=("turn serves the old certificate although the file was replaced",),
            after=("s01", "s02", "s03", "s04", "s05", "s08"),
            impact=Impact(service="turn", notices="media through this TURN server stops", seconds=15),
            undo=Restart(service="turn"),
        ),
    )


def _put(
    step: str, server: str, file: str, role: Literal["certificate", "key", "bundle"], because: tuple[str, ...]
) -> Step:
    prefix = "spki" if role == "key" else "sha256"
    return Step(
        id=step,
        server=server,
        slot=None,
        action=PutFile(file=file, content=f"{prefix}:{SHA}", role=role),
        because=because,
    )
