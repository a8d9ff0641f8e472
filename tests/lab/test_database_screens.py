"""``database cluster status`` is laid out as the two screens that are sourced; every other wording has its switch."""

from __future__ import annotations

from pathlib import Path

import pytest

from cmscert.lab.database import DatabaseNetwork
from cmscert.lab.database_commands import say
from cmscert.lab.database_node import DatabaseNode
from cmscert.lab.spec import DatabaseSpec, NodeSpec, Switches
from cmscert.testing.databases import FIVE, THREE, MovedClock, database_files, database_node, standing_cluster

FOLDER = Path(__file__).parent / "database_screens"
STATUS = "database cluster status"
JOIN = "database cluster join 10.0.0.11"


def network(*specs: NodeSpec) -> DatabaseNetwork:
    """Nodes with a clock that stands still until the test moves it."""
    return DatabaseNetwork(map(DatabaseNode, specs), clock=MovedClock())


def body(name: str) -> str:
    """What the device printed."""
    return (FOLDER / f"{name}.txt").read_text(encoding="utf-8").partition("\n---\n")[2]


def rows(number: int, specs: list[NodeSpec], **switches: object) -> list[str]:
    """The screen of core<number>, with some switches."""
    specs[number - 1].switches = Switches(**switches)  # type: ignore[arg-type]  # the tables below are right
    return say(network(*specs), f"core{number}", STATUS).splitlines()


@pytest.mark.parametrize(
    ("name", "addresses", "files", "last", "error"),
    [
        (
            "replica-in-sync",
            ("10.48.36.61", "10.48.36.118", "10.48.36.182"),
            (
                "dbclusterserver.key",
                "dbclusterserver.cer",
                "dbclusterclient.key",
                "dbclusterclient.cer",
                "vngtpRootca.cer",
            ),
            ("database cluster join 10.48.36.61", "Success"),
            None,
        ),
        (
            "error-of-the-schema",
            ("10.48.54.75", "10.48.54.76", "10.48.54.119"),
            ("dbclusterServer.key", "dbserver.cer", "dbclusterClient.key", "dbclient.cer", "Root.cer"),
            ("database cluster upgrade_schema", "Failed"),
            "Couldn't upgrade the schema",
        ),
    ],
)
def test_sourced_screens(
    name: str, addresses: tuple[str, ...], files: tuple[str, ...], last: tuple[str, str], error: str | None
) -> None:
    """A replica in such a cluster prints byte for byte what the page shows."""
    specs = [
        database_node(
            number,
            address=address,
            files=database_files(names=files),
            database=DatabaseSpec(
                role="primary" if number == 1 else "replica",
                files=files,
                interface="a",
                primary="core1",
                last=last,
                error=error,
            ),
        )
        for number, address in enumerate(addresses, 1)
    ]
    assert say(network(*specs), "core3", STATUS) == body(name)


def test_a_node_without_anything() -> None:
    """Nothing configured: one row, or all of them empty where the switch says so."""
    assert rows(1, [database_node(1)]) == ["Status                   : Disabled"]
    assert rows(1, [database_node(1)], unconfigured_wording="long") == [
        "Status                   : Disabled",
        "",
        "Nodes                    : None found",
        "",
        "Interface                : none",
        "",
        "Certificates",
        "  Server Key             : none",
        "  Server Certificate     : none",
        "  Client Key             : none",
        "  Client Certificate     : none",
        "  CA Certificate         : none",
    ]


@pytest.mark.parametrize("wording", ["short", "long"])
def test_files_without_a_cluster(wording: str) -> None:
    """Names that are bound are told before any cluster stands: three on a node that will only connect."""
    spec = database_node(1, database=DatabaseSpec(files=THREE, interface="b"))
    shown = rows(1, [spec], unconfigured_wording=wording)
    assert shown[-6:] == [
        "Interface                : b",
        "",
        "Certificates",
        "  Client Key             : dbclient.key",
        "  Client Certificate     : dbclient.crt",
        "  CA Certificate         : dbca.crt",
    ]


def test_old_words() -> None:
    """2.x says master and slave ([S16], [S27])."""
    shown = rows(2, standing_cluster(), words="master")
    assert shown[3:6] == [
        "    10.0.0.11            : Connected Master",
        "    10.0.0.12 (me)       : Connected Slave ( In Sync )",
        "    10.0.0.13            : Connected Slave ( In Sync )",
    ]


@pytest.mark.parametrize(("row", "count"), [(False, 3), (True, 4)])
def test_a_client(*, row: bool, count: int) -> None:
    """A node that used connect sees the nodes and which one it uses; a row of its own only by the switch."""
    shown = rows(4, standing_cluster(), client_row=row)
    nodes = [line for line in shown if line.startswith("    ")]
    assert len(nodes) == count
    assert ("    10.0.0.14 (me)       : Connected" in nodes) == row
    assert "Node in use              : 10.0.0.11" in shown


def test_a_client_of_nobody() -> None:
    """A client whose primary is gone is not connected."""
    fleet = network(*standing_cluster())
    fleet.down.add("core1")
    fleet.node("core4").spec.switches = Switches(client_row=True, lost_wording="Unreachable")
    shown = say(fleet, "core4", STATUS)
    assert "    10.0.0.11            : Unreachable\n" in shown
    assert "    10.0.0.14 (me)       : Not Connected\n" in shown
    assert "Node in use              : none\n" in shown


def test_names_instead_of_addresses() -> None:
    """Members may be told by FQDN; a label that is too long pushes its colon."""
    shown = rows(2, standing_cluster(), member_names="fqdn")
    assert "    core1.example.com    : Connected Primary" in shown
    assert "    core2.example.com (me): Connected Replica ( In Sync )" in shown
    assert "Node in use              : core1.example.com" in shown


@pytest.mark.parametrize(
    ("wording", "status", "last"),
    [
        ("remembered", "Status                   : Attaching", f"Last command             : '{JOIN}' (In progress)"),
        ("plain", "Status                   : Disabled", f"Last command             : '{JOIN}' (Running)"),
        ("quiet", "Status                   : Disabled", "  CA Certificate         : dbca.crt"),
    ],
)
def test_work_in_progress(wording: str, status: str, last: str) -> None:
    """Three ways to tell that a join is not done yet."""
    joining = database_node(2, database=DatabaseSpec(files=FIVE, interface="a"), switches=Switches())
    joining.switches.progress_wording = wording
    fleet = network(*standing_cluster(nodes=1, clients=0), joining)
    say(fleet, "core2", JOIN, reply="Y")
    shown = say(fleet, "core2", STATUS).splitlines()
    assert (shown[0], shown[-1]) == (status, last)


@pytest.mark.parametrize(
    ("wording", "rows_with_expired"),
    [
        (
            "row",
            ["  Server Certificate     : dbserver.crt (expired)", "  Client Certificate     : dbclient.crt (expired)"],
        ),
        ("error", ["ERROR                    : Certificate has expired"]),
        ("none", []),
    ],
)
def test_expired(wording: str, rows_with_expired: list[str]) -> None:
    """[S13b] says that the screen shows it; three guesses how."""
    specs = standing_cluster()
    for spec in specs:
        spec.files = database_files(days_left=-1)
    shown = rows(2, specs, expired_wording=wording)
    assert [row for row in shown if "expired" in row] == rows_with_expired
    assert f"Status                   : {'Error' if wording == 'error' else 'Enabled'}" in shown


@pytest.mark.parametrize(
    ("line", "number", "answer"),
    [
        (
            "database cluster initialize",
            2,
            (
                "WARNING!!!\nAre you sure you wish to initialize this node as a new database cluster? (Y/n)\n"
                "The contents of this node's database will become the master version of the database in the new "
                "cluster.\n\nInitialization started...\n"
            ),
        ),
        (
            JOIN,
            2,
            (
                "WARNING!!!\nAre you sure you wish to attach this node to an existing database cluster? (Y/n)\n"
                "The contents of this node's database will be destroyed!\n\nAttachment started...\n"
            ),
        ),
        (
            "database cluster remove",
            1,
            (
                "WARNING!!!\nAre you sure you wish to detach this node from the database cluster? (Y/n)\n"
                "The contents of this node's database will be destroyed!\n\nRemoval started...\n"
            ),
        ),
    ],
)
def test_questions(line: str, number: int, answer: str) -> None:
    """The wording that is remembered, and two others; connect asks nothing and says nothing."""
    starts = {"remembered": answer.partition("\n\n")[0], "short": "Are you sure? (Y/n)", "odd": "Type Y in capitals"}
    for wording, start in starts.items():
        free = database_node(2, database=DatabaseSpec(files=FIVE, interface="a"))
        fleet = network(*standing_cluster(nodes=1, clients=0), free)
        fleet.node(f"core{number}").spec.switches.confirm_wording = wording
        said = say(fleet, f"core{number}", line, reply="Y")
        assert said.startswith(start)
        assert said.partition("\n\n")[2] == answer.partition("\n\n")[2]
    fleet = network(*standing_cluster(nodes=1, clients=0), database_node(2, database=free.database))
    assert say(fleet, "core2", "database cluster connect 10.0.0.11") == ""
