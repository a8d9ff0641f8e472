"""What is typed for each action: the lines of the view, the runbook and the executor."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cmscert.mmp.lines import lines
from cmscert.mmp.services import SERVICES
from cmscert.model.commands import Effect
from cmscert.model.database import DatabaseFiles
from cmscert.model.names import Release
from cmscert.model.observed import Binding
from cmscert.model.plan import (
    Action,
    BackupDatabase,
    CheckFiles,
    ClearDatabaseError,
    ConfigureDatabase,
    ConfirmPrimary,
    ConnectCluster,
    CopyFile,
    Gate,
    InitializeCluster,
    JoinCluster,
    LeaveCluster,
    MintDatabase,
    ProveCluster,
    PutFile,
    Rebind,
    RemoveFiles,
    Restart,
    RestoreFile,
    SaveFile,
    UpgradeSchema,
)
from cmscert.model.services import IdentitySlot, Service, rows_for

NEW = rows_for(SERVICES, Release(3, 9))
OLD = rows_for(SERVICES, Release(2, 9))
BACK = RestoreFile(file="a.crt", saved_as="a-saved.crt")


CLIENT_FILES = DatabaseFiles(client_key="c.key", client_certificate="c.crt", ca="ca.crt")
NODE_FILES = replace(CLIENT_FILES, server_key="s.key", server_certificate="s.crt")


def _identity(slot: str, bundle: str | None = None, tag: str | None = None) -> Binding:
    return Binding(slot=slot, key="a.key", certificate="a.crt", bundle=bundle, tag=tag)


def _typed(action: Action, row: Service | None) -> list[str]:
    return [line.text for line in lines(action, row)]


@pytest.mark.parametrize(
    ("action", "typed"),
    [
        (PutFile(file="a.crt", content="sha256:00", role="certificate"), ["sftp put a.crt"]),
        (SaveFile(file="a.crt", saved_as="b.crt"), ["sftp get a.crt b.crt", "sftp put b.crt"]),
        (BACK, ["sftp get a-saved.crt a.crt", "sftp put a.crt"]),
        (CheckFiles(key="a.key", certificate="a.crt"), ["pki match a.key a.crt"]),
        (
            CheckFiles(key="a.key", certificate="a.crt", bundle="ca.crt"),
            ["pki match a.key a.crt", "pki verify a.crt ca.crt"],
        ),
        (RemoveFiles(files=("a.crt", "b c.crt")), ["sftp rm a.crt", 'sftp rm "b c.crt"']),
        (Gate(opens="services"), []),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_actions_on_files_need_no_row(action: Action, typed: list[str]) -> None:
    """Transfers are named as what a person would type; checks are commands that only read."""
    assert _typed(action, None) == typed
    for line in lines(action, None):
        assert (line.command is None) == line.text.startswith("sftp ")
        assert line.command is None or line.command.effect is Effect.READ


@pytest.mark.parametrize(
    ("action", "typed"),
    [
        (
            BackupDatabase(name="before-1"),
            ["backup snapshot before-1", "sftp get before-1.bak", "sftp get before-1.json"],
        ),
        (
            MintDatabase(
                ca="ca-1",
                ca_common_name="example.com",
                server="s-1",
                server_common_name="a.example.com",
                server_sans=("b.example.com",),
                client="c-1",
                client_common_name="postgres",
            ),
            [
                "pki selfsigned ca-1 CN:example.com",
                "pki csr s-1 CN:a.example.com subjectAltName:a.example.com,b.example.com",
                "pki csr c-1 CN:postgres",
                "pki sign s-1 ca-1",
                "pki sign c-1 ca-1",
            ],
        ),
        (CopyFile(file="c-1.key", source="core1"), ["sftp get c-1.key (on core1)", "sftp put c-1.key"]),
        (ConfirmPrimary(database="main", server="core1"), ["database cluster status"]),
        (LeaveCluster(), ["database cluster remove"]),
        (
            ConfigureDatabase(files=NODE_FILES, interface="a"),
            ["database cluster certs s.key s.crt c.key c.crt ca.crt", "database cluster localnode a"],
        ),
        (
            ConfigureDatabase(files=CLIENT_FILES, interface="b"),
            ["database cluster certs c.key c.crt ca.crt", "database cluster localnode b"],
        ),
        (InitializeCluster(), ["database cluster initialize"]),
        (JoinCluster(primary="10.0.0.1"), ["database cluster join 10.0.0.1"]),
        (ConnectCluster(primary="2001:db8::1"), ["database cluster connect 2001:db8::1"]),
        (ClearDatabaseError(), ["database cluster clear_error"]),
        (UpgradeSchema(), ["database cluster upgrade_schema"]),
        (ProveCluster(database="main", members=("10.0.0.1",)), ["database cluster status"]),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_a_database_cluster_is_changed_as_documented(action: Action, typed: list[str]) -> None:
    """The commands of the TechNote, in its order; only looking at the status reads."""
    assert _typed(action, None) == typed
    for line in lines(action, None):
        reads = line.text == "database cluster status"
        assert (line.command is None) == line.text.startswith("sftp ")
        assert line.command is None or (line.command.effect is Effect.READ) == reads


@pytest.mark.parametrize(
    ("row", "action", "typed"),
    [
        (
            NEW["webadmin"],
            Rebind(service="webadmin", bindings=(_identity("webadmin", "ca.crt"),)),
            ["webadmin disable", "webadmin certs a.key a.crt ca.crt", "webadmin enable"],
        ),
        (
            NEW["webadmin"],
            Rebind(service="webadmin", bindings=(_identity("webadmin"),), stopped=True),
            ["webadmin certs a.key a.crt"],
        ),
        (
            NEW["callbridge"],
            Rebind(
                service="callbridge",
                bindings=(_identity("callbridge", "ca.crt"), Binding(slot="callbridge/trust-c2w", bundle="w.crt")),
            ),
            ["callbridge certs a.key a.crt ca.crt", "callbridge trust c2w w.crt", "callbridge restart"],
        ),
        (
            NEW["callbridge"],
            Rebind(service="callbridge", bindings=(Binding(slot="callbridge/trust-cluster"),), stopped=True),
            ["callbridge trust cluster none"],
        ),
        (
            NEW["webbridge3"],
            Rebind(
                service="webbridge3",
                bindings=(_identity("webbridge3/https"), Binding(slot="webbridge3/c2w", key="half.key")),
                restores=(BACK,),
            ),
            [
                "webbridge3 disable",
                "sftp get a-saved.crt a.crt",
                "sftp put a.crt",
                "webbridge3 https certs a.key a.crt",
                "webbridge3 c2w certs none",
                "webbridge3 enable",
            ],
        ),
        (
            NEW["callbridge"],
            Restart(service="callbridge", restores=(BACK,)),
            ["sftp get a-saved.crt a.crt", "sftp put a.crt", "callbridge restart"],
        ),
        (NEW["turn"], Restart(service="turn"), ["turn disable", "turn enable"]),
        (
            NEW["recorder"],
            Rebind(service="recorder", bindings=(_identity("recorder", "ca.crt"),)),
            ["recorder disable", "recorder sip certs a.key a.crt ca.crt", "recorder enable"],
        ),
        (
            OLD["recorder"],
            Rebind(
                service="recorder", bindings=(_identity("recorder"), Binding(slot="recorder/trust", bundle="cb.crt"))
            ),
            ["recorder disable", "recorder certs a.key a.crt", "recorder trust cb.crt", "recorder enable"],
        ),
        (
            NEW["tls"],
            Rebind(service="tls", bindings=(Binding(slot="tls/trust-sip", bundle="sip.crt"),)),
            ["tls sip trust sip.crt", "callbridge restart"],
        ),
        (NEW["tls"], Restart(service="tls"), ["callbridge restart"]),
        (
            OLD["loadbalancer"],
            Rebind(service="loadbalancer", bindings=(_identity("loadbalancer", "trust.crt", "edge"),)),
            ["loadbalancer disable edge", "loadbalancer auth edge a.key a.crt trust.crt", "loadbalancer enable edge"],
        ),
        (
            OLD["trunk"],
            Restart(service="trunk", tags=("a", "b")),
            ["trunk disable a", "trunk disable b", "trunk enable a", "trunk enable b"],
        ),
    ],
)
def test_a_service_is_rebound_and_restarted_as_its_row_says(row: Service, action: Action, typed: list[str]) -> None:
    """Disable, restore, bind, enable; or bind and restart; or bind alone where the service is stopped and stays so."""
    assert _typed(action, row) == typed
    for line in lines(action, row):
        assert line.command is None or (line.command.effect is Effect.CHANGE and line.command.typed == line.text)


@pytest.mark.parametrize(
    ("row", "action", "message"),
    [
        (None, Restart(service="turn"), "row of service turn"),
        (NEW["webadmin"], Restart(service="turn"), "row of service turn"),
        (OLD["callbridge"], Rebind(service="callbridge", bindings=(Binding(slot="callbridge/trust-ucm"),)), "no slot"),
        (
            NEW["webbridge3"],
            Rebind(service="webbridge3", bindings=(_identity("webbridge3/c2w", "ca.crt"),)),
            "no third file",
        ),
        (OLD["trunk"], Rebind(service="trunk", bindings=(_identity("trunk"),)), "needs the tag"),
        (None, JoinCluster(primary="10.0.0.1\nY"), "cannot be typed"),
        (None, PutFile(file="a.crt\nreboot", content="sha256:00", role="certificate"), "cannot be typed"),
        (
            NEW["turn"],
            Rebind(service="turn", bindings=(Binding(slot="turn", key='a" ; reboot', certificate="a.crt"),)),
            "cannot be typed",
        ),
    ],
)
def test_what_does_not_fit_is_not_typed(row: Service | None, action: Action, message: str) -> None:
    """A wrong row, an unknown slot, a third file where there is none, a hostile name: all are refused."""
    with pytest.raises(ValueError, match=message):
        lines(action, row)


@pytest.mark.parametrize("row", SERVICES, ids=lambda row: f"{row.name}-{row.since}")
def test_every_slot_of_the_table_can_be_bound_and_unbound(row: Service) -> None:
    """Each slot has its line with files and its line with ``none``, between the lines that load them."""
    for slot in row.slots:
        identity = isinstance(slot, IdentitySlot)
        tag = "edge" if isinstance(slot, IdentitySlot) and slot.tagged else None
        bound = _identity(slot.name, tag=tag) if identity else Binding(slot=slot.name, bundle="ca.crt")
        typed = _typed(Rebind(service=row.name, bindings=(bound, Binding(slot=slot.name, tag=tag))), row)
        middle = typed[1:-1] if row.via == "cycle" else typed[:-1]
        assert [line.split()[-1] for line in middle] == ["a.crt" if identity else "ca.crt", "none"]
