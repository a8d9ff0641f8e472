"""Members of a database cluster in status: as text, and as a document."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from cmscert.model.database import DatabaseMember, DatabaseState
from cmscert.model.plan import ClearDatabaseError, JoinCluster, LeaveCluster, Step
from cmscert.model.readings import ABSENT, Known, Reading, Unread
from cmscert.model.results import DatabaseFile, DatabaseStatus, FleetStatus, ServerStatus
from cmscert.pki.certificate import Certificate
from cmscert.reports.documents import status_document
from cmscert.reports.fleet_text import status_text
from cmscert.reports.steps import phases
from cmscert.testing.plans import MOMENT, SHA, database_plan

Golden = Callable[[str, str], None]
Make = Callable[..., Certificate]
SCHEMA = json.loads((Path(__file__).parents[2] / "schemas" / "status.schema.json").read_text())
BLANK = Unread("not asked")


def member(name: str, database: DatabaseStatus) -> ServerStatus:
    """Make a server with nothing but a database."""
    return ServerStatus(
        server=name, unread=None, release=BLANK, clock_skew=BLANK, password_expires=BLANK, database=database
    )


def row(address: str, *, me: bool = False, role: str = "replica", sync: bool | None = True) -> DatabaseMember:
    """Make a row of a node."""
    return DatabaseMember(address=address, me=me, connected=True, role=role, in_sync=sync)


def state(me: int | None = None, **changes: object) -> DatabaseState:
    """Make the state of a cluster of two nodes, as one of them or a client sees it."""
    rows = (row("10.0.0.1", me=me == 1, role="primary", sync=None), row("10.0.0.2", me=me == 2))
    whole = DatabaseState(
        status="Enabled",
        standing=True,
        members=rows,
        node_in_use="10.0.0.1",
        interface="a",
        last_command="database cluster join 10.0.0.1",
        last_state="success",
    )
    return replace(whole, **changes)


@pytest.fixture
def fleet(certificate: Make) -> FleetStatus:
    """Members in every state."""
    issuing = certificate("DB CA", days=2000, ca=True)
    files = (
        DatabaseFile(use="server", certificate="s.crt", key="s.key", on_disk=Known((certificate("dbserver", days=8),))),
        DatabaseFile(use="client", certificate="c.crt", key=None, on_disk=Known((certificate("postgres"),))),
        DatabaseFile(use="ca", certificate="ca.crt", key=None, on_disk=Known((issuing,))),
    )
    node = DatabaseStatus(database="main", wanted="node", state=Known(state(1)), files=files)
    behind = state(2, members=(state().members[0], row("10.0.0.2", me=True, sync=False)))
    lost = state(2, members=(DatabaseMember(address="10.0.0.2", me=True, role="replica", in_sync=False),))
    odd = state(2, members=(DatabaseMember(address="10.0.0.2", me=True),))
    torn = (replace(files[1], on_disk=Unread("cut off")),)
    client = replace(node, wanted="client", files=())

    def of(reading: Reading[DatabaseState]) -> DatabaseStatus:
        return replace(node, state=reading, files=())

    servers = (
        member("core1", node),
        member("core2", replace(node, state=Known(state(2)), files=torn)),
        member("core3", of(Known(behind))),
        member("core4", of(Known(lost))),
        member("core5", of(Known(odd))),
        member("core6", of(Known(DatabaseState(status="Disabled")))),
        member("core7", of(Known(state(2, busy=True, expired=True, error="Couldn't upgrade the schema")))),
        member("core8", of(ABSENT)),
        member("core9", of(Unread("no answer within 60 s"))),
        member("edge1", replace(client, state=Known(state()))),
        member("edge2", replace(client, state=Known(state(members=(DatabaseMember(address="10.0.0.9", me=True),))))),
        member("edge3", replace(client, state=Known(state(2)))),
    )
    return FleetStatus(made_at=MOMENT, fleet="example", inventory_sha256=SHA, servers=servers)


def test_members_read_as_written(golden: Golden, fleet: FleetStatus) -> None:
    """Status tells for every member what it is, whether in sync, and the certificates that it works on."""
    golden("status-database.txt", status_text(fleet))


def test_members_are_written_down(fleet: FleetStatus) -> None:
    """The document fits its schema and has the role of every member."""
    document = status_document(fleet)
    Draft202012Validator(SCHEMA).validate(document)
    databases = [server["database"] for server in json.loads(json.dumps(document))["servers"]]

    assert [database["role"] for database in databases] == [
        "primary",
        *["replica"] * 3,
        "unclear",
        "none",
        "replica",
        *["unclear"] * 2,
        *["client"] * 2,
        "replica",
    ]
    assert databases[0]["files"][0]["on_disk"]["value"][0]["days_left"] == 8
    assert databases[8]["state"] == {"reading": "unread", "why": "not read: no answer within 60 s", "value": None}


def test_the_heading_says_what_it_means() -> None:
    """A rebuild is an outage, a first build is none, and a node that joins changes no more than itself."""
    steps = database_plan().steps

    def titles(*left_out: type) -> list[str]:
        return [title for title, _ in phases(tuple(step for step in steps if not isinstance(step.action, left_out)))]

    def named(*kinds: str) -> list[str]:
        kept: tuple[Step, ...] = tuple(step for step in steps if step.action.kind in kinds)
        return [title for title, _ in phases(kept)]

    assert "down from here" in titles(ClearDatabaseError)[-1]
    assert titles(LeaveCluster)[-1] == "Build the database cluster, in this order"
    assert named(JoinCluster(primary="x").kind) == ["Change members of the database cluster, in this order"]
