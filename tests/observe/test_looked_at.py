"""What is read although nothing is wanted of it: a rollback looks at what a run touched."""

from __future__ import annotations

from datetime import UTC, datetime

from cmscert.mmp.services import SERVICES
from cmscert.model.desired import LookedAt, WantedServer
from cmscert.model.names import Release
from cmscert.model.observed import Binding, ObservedServer
from cmscert.model.readings import Known, Reading, Unread
from cmscert.observe.server import observe_server
from cmscert.observe.services import Chain
from cmscert.testing.ca import ThrowAwayCa
from cmscert.testing.recorded import RecordedSession

CA = ThrowAwayCa.root()
OLD, NEW = (CA.issue("core1.example.com", sans=["core1.example.com"]) for _ in range(2))
WEBADMIN = """\
Enabled                 : true
TLS listening interface : a
TLS listening port      : 443
Key file                : new.key
Certificate file        : new.crt
CA Bundle file          : none
"""
SCRIPT = {
    "version": "3.9.2",
    "date": "2026-11-23 20:31:40 UTC",
    "user list": "User  Role  Expiry  Status\nadmin  admin  2027-Mar-31  logged in\n",
    "webadmin": WEBADMIN,
    "pki match new.key new.crt": "Key and certificate match",
    "pki match old.key old.crt": "Key and certificate match",
}


async def look(*bindings: Binding, port: int | None = None) -> tuple[ObservedServer, list[int], RecordedSession]:
    """Observe a node of which nothing is wanted; return what was read, the ports probed, and the session."""
    store = {
        "old.key": b"",
        "old.crt": OLD.certificate_pem,
        "new.key": b"",
        "new.crt": NEW.certificate_pem,
        "ü.key": b"",
    }
    session = RecordedSession(server="core1", script=SCRIPT, store=store)
    ports: list[int] = []

    async def probe(_address: str, port: int, _name: str) -> Reading[Chain]:
        ports.append(port)
        return Known((NEW.certificate,))

    seen = await observe_server(
        session,
        WantedServer(
            name="core1",
            address="10.0.0.1",
            fqdn="core1.example.com",
            release=Release(3, 9),
            looked_at=(LookedAt(slot="webadmin", port=port, bindings=bindings),),
        ),
        table=SERVICES,
        probe=probe,
        clock=lambda: datetime(2026, 11, 23, 20, 30, tzinfo=UTC),
        user="admin",
    )
    return seen, ports, session


async def test_what_was_bound_before_is_read_too() -> None:
    """Screen, port and both pairs are read; of the files that were bound, keys are never."""
    seen, ports, session = await look(Binding(slot="webadmin", key="old.key", certificate="old.crt"))

    assert isinstance(seen.screen("webadmin"), Known)
    assert {name for name, content in seen.contents.items() if isinstance(content, Known)} == {"old.crt", "new.crt"}
    assert seen.matches == dict.fromkeys((("new.key", "new.crt"), ("old.key", "old.crt")), Known(value=True))
    assert seen.served == {"webadmin": Known((NEW.certificate,))}
    assert ports == [443]
    assert set(session.typed("read")) == {"old.crt", "new.crt"}


async def test_a_place_to_probe_may_be_given() -> None:
    """The port that is given comes before that of the screen."""
    _, ports, _ = await look(port=8443)

    assert ports == [8443]


async def test_names_that_cannot_be_typed_are_not_asked_about() -> None:
    """A pair of which a name cannot be typed is unread; nothing else suffers."""
    seen, _, _ = await look(Binding(slot="webadmin", key="ü.key", certificate="old.crt"))

    assert isinstance(seen.matches["ü.key", "old.crt"], Unread)
    assert seen.matches["new.key", "new.crt"] == Known(value=True)
