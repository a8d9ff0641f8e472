"""A member of a database cluster, read from a script."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cmscert.errors import ConnectionLost, NodeError
from cmscert.mmp.services import SERVICES
from cmscert.model.database import DatabaseState
from cmscert.model.desired import WantedServer
from cmscert.model.names import Release
from cmscert.model.observed import ObservedServer
from cmscert.model.readings import ABSENT, NOT_ASKED, Known, Reading, Unread
from cmscert.observe.database import read_database
from cmscert.observe.server import observe_server
from cmscert.observe.services import Chain
from cmscert.testing.ca import ThrowAwayCa
from cmscert.testing.recorded import RecordedSession

MOMENT = datetime(2026, 11, 23, 20, 30, tzinfo=UTC)
CA = ThrowAwayCa.root("DB CA")
SERVER = CA.issue("core1.example.com", sans=["core1.example.com"])
CLIENT = CA.issue("postgres")
STATUS = "database cluster status"

# The layout of T-50.
SCREEN = """\
Status                   : Enabled

Nodes:
    10.48.36.61          : Connected Primary
    10.48.36.118 (me)    : Connected Replica ( In Sync )
Node in use              : 10.48.36.61

Interface                : a

Certificates
  Server Key             : s.key
  Server Certificate     : s.crt
  Client Key             : c.key
  Client Certificate     : c.crt
  CA Certificate         : ca.crt

Last command             : 'database cluster join 10.48.36.61' (Success)
"""
BASE: dict[str, str | NodeError] = {
    "version": "3.9.2",
    "date": "2026-11-23 20:30:00 UTC",
    "user list": "User  Role  Expiry  Status\nadmin  admin  2027-Mar-31  logged in\n",
    "pki match s.key s.crt": "Key and certificate match",
    "pki match c.key c.crt": "Key and certificate do not match",
    STATUS: SCREEN,
}


@pytest.fixture
def session() -> RecordedSession:
    """A replica without any other service."""
    store: dict[str, bytes | NodeError] = {
        "s.key": b"never read",
        "c.key": b"never read",
        "s.crt": SERVER.certificate_pem,
        "c.crt": CLIENT.certificate_pem,
        "ca.crt": CA.bundle_pem,
    }
    return RecordedSession(server="core1", script=dict(BASE), store=store)


async def look(session: RecordedSession, *, database: bool = True) -> ObservedServer:
    """Observe the node."""

    async def probe(_address: str, _port: int, _name: str) -> Reading[Chain]:
        return ABSENT

    wanted = WantedServer(name="core1", address="10.48.36.118", fqdn="core1.example.com", release=Release(3, 9))
    return await observe_server(
        session, wanted, table=SERVICES, probe=probe, clock=lambda: MOMENT, user="admin", database=database
    )


async def test_a_member_is_read_in_the_same_two_rounds(session: RecordedSession) -> None:
    """The status comes with the first questions, bound certificates and pairs with the second; a key is never read."""
    seen = await look(session)

    assert isinstance(seen.database, Known)
    assert seen.database.value.standing
    assert {name: reading.value.certificates for name, reading in seen.contents.items()} == {
        "s.crt": (SERVER.certificate,),
        "c.crt": (CLIENT.certificate,),
        "ca.crt": CA.bundle,
    }
    assert seen.matches == {("s.key", "s.crt"): Known(value=True), ("c.key", "c.crt"): Known(value=False)}
    assert session.typed("read") == ("s.crt", "c.crt", "ca.crt")
    assert session.typed("ask").count(STATUS) == 1
    kinds = [kind for kind, _ in session.heard]
    assert session.heard.index(("ask", STATUS)) < kinds.index("read")


async def test_a_client_has_one_pair(session: RecordedSession) -> None:
    """What is not bound is neither read nor matched, and neither is a pair of which a file is missing."""
    session.script[STATUS] = "\n".join(line for line in SCREEN.split("\n") if "Server" not in line)
    del session.store["c.key"]

    seen = await look(session)

    assert (set(seen.contents), seen.matches) == ({"c.crt", "ca.crt"}, {})


async def test_nothing_is_asked_of_others(session: RecordedSession) -> None:
    """A server that is no member is not asked about a database."""
    seen = await look(session, database=False)

    assert seen.database == NOT_ASKED
    assert STATUS not in session.typed("ask")


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        ("Unknown command", ABSENT),
        ("%%%", Unread("the answer to database cluster status shows no row that is known")),
        (ConnectionLost("core1", "the connection ended"), Unread("the connection ended")),
    ],
)
async def test_what_cannot_be_read_says_so(
    session: RecordedSession, answer: str | NodeError, wanted: Reading[DatabaseState]
) -> None:
    """A command that is not known, noise and silence are told apart; nothing is read on the strength of them."""
    session.script[STATUS] = answer

    seen = await look(session)

    assert (seen.database, seen.contents, seen.matches) == (wanted, {}, {})
    assert await read_database(session) == wanted


async def test_a_status_proves_a_meeting_server(session: RecordedSession) -> None:
    """A release that cannot be read does not make it something else, when its database answers."""
    session.script["version"] = "%%%"
    session.script["webadmin"] = "%%%"

    async def probe(_address: str, _port: int, _name: str) -> Reading[Chain]:
        return ABSENT

    wanted = WantedServer(name="core1", address="10.48.36.118", fqdn="core1.example.com")
    seen = await observe_server(
        session,
        wanted,
        table=tuple(row for row in SERVICES if row.name == "webadmin"),
        probe=probe,
        clock=lambda: MOMENT,
        user="admin",
        extra=frozenset({"webadmin"}),
        database=True,
    )

    assert isinstance(seen.database, Known)
