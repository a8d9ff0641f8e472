"""Where a slot is probed, and what is reported of several ports."""

from __future__ import annotations

import pytest

from cmscert.errors import AnswerTimeout
from cmscert.mmp.services import SERVICES
from cmscert.model.desired import WantedIdentity, WantedServer
from cmscert.model.names import Release
from cmscert.model.observed import Binding, Listen, ServiceState
from cmscert.model.readings import ABSENT, Known, Reading, Unread
from cmscert.model.services import IdentitySlot, rows_for
from cmscert.observe.services import Chain, places, read_served, read_state, tags, worst
from cmscert.testing.ca import ThrowAwayCa
from cmscert.testing.fleets import identity, material
from cmscert.testing.recorded import RecordedSession

ROWS = rows_for(SERVICES, Release(3, 9))
CA = ThrowAwayCa.root()
OLD = CA.issue("old.example.com", sans=["old.example.com"]).full_chain
NEW = CA.issue("new.example.com", sans=["new.example.com"]).full_chain
RIGHT = (NEW[0].sha256,)


def wanted(slot: str, *, address: str | None = None, port: int | None = None) -> WantedIdentity:
    """Want a certificate in a slot."""
    made = material("node", NEW[0], NEW[1:])
    return WantedIdentity(slot=slot, material=made, file_certificates=NEW, address=address, port=port)


def state(service: str, *, enabled: bool | None = True, **listens: tuple[Listen, ...]) -> Reading[ServiceState]:
    """Make a screen; slots are named with an underscore for the slash."""
    ports = {slot.replace("_", "/"): ports for slot, ports in listens.items()}
    return Known(ServiceState(service=service, enabled=enabled, listens=ports))


def listen(port: int, interface: str = "a") -> Listen:
    """Make a port of a screen."""
    return Listen(interface=interface, port=port)


@pytest.mark.parametrize(
    ("slot", "screen", "want", "expected"),
    [
        ("webadmin", state("webadmin", webadmin=(listen(443),)), wanted("webadmin"), (("10.0.0.1", 443),)),
        ("webadmin", state("webadmin"), wanted("webadmin"), (("10.0.0.1", 445),)),
        ("webadmin", Unread("no answer"), wanted("webadmin"), (("10.0.0.1", 445),)),
        ("webadmin", state("webadmin"), wanted("webadmin", port=8443), (("10.0.0.1", 8443),)),
        ("webadmin", state("webadmin"), wanted("webadmin", address="10.9.9.9"), (("10.9.9.9", 445),)),
        ("webadmin", state("webadmin", enabled=False), wanted("webadmin", port=8443), ABSENT),
        ("webadmin", ABSENT, wanted("webadmin"), ABSENT),
        ("turn", state("turn"), wanted("turn"), ()),
        ("turn", state("turn", turn=()), wanted("turn"), ()),
        ("xmpp", state("xmpp"), wanted("xmpp", port=5222), ()),
        (
            "webbridge3/https",
            state("webbridge3", webbridge3_https=(listen(445), listen(445, "b"), listen(446, "b"))),
            wanted("webbridge3/https"),
            (("10.0.0.1", 445), ("10.0.0.1", 446)),
        ),
        ("webadmin", state("webadmin", webadmin=(listen(8443, "lo"),)), wanted("webadmin"), ()),
    ],
)
def test_where_a_slot_is_probed(
    slot: str, screen: Reading[ServiceState], want: WantedIdentity, expected: object
) -> None:
    """Inventory before screen before default; stopped and missing services are Absent; some slots cannot be seen."""
    rows = ROWS | rows_for(SERVICES, Release(2, 9)) if slot == "xmpp" else ROWS
    row = rows[slot.partition("/")[0]].slot(slot)
    assert isinstance(row, IdentitySlot)
    assert places(row, screen, want, "10.0.0.1") == expected


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        ((), ABSENT),
        ((ABSENT, Unread("slow")), Unread("slow")),
        ((Unread("slow"), Known(NEW), ABSENT), Known(NEW)),
        ((Known(NEW), Known(OLD)), Known(OLD)),
        ((Known(NEW), Known(())), Known(())),
    ],
)
def test_the_worst_of_several_ports_is_reported(readings: tuple[Reading[Chain], ...], expected: object) -> None:
    """A port that shows another leaf comes first; a closed one beside a right one may be another interface's."""
    assert worst(readings, RIGHT) == expected


def test_without_a_known_file_the_first_port_counts() -> None:
    """Nothing says which leaf is right."""
    assert worst((Known(OLD), Known(NEW)), ()) == Known(OLD)


async def test_a_screen_that_does_not_come_is_unread() -> None:
    """The reason has no server name in front: whoever shows it knows the server."""
    session = RecordedSession(server="core1", script={"webadmin": AnswerTimeout("core1", "no answer in 60 s")})
    assert await read_state(session, ROWS["webadmin"]) == Unread("no answer in 60 s")


async def test_a_screen_is_read() -> None:
    """Names, state and port of T-30's layout."""
    text = "Enabled : true\nTLS listening port : 443\nKey file : a.key\nCertificate file : a.crt\n"
    read = await read_state(RecordedSession(server="core1", script={"webadmin": text}), ROWS["webadmin"])
    assert isinstance(read, Known)
    assert read.value.binding("webadmin") == Binding(slot="webadmin", key="a.key", certificate="a.crt")


async def test_only_wanted_slots_with_a_port_are_probed_by_name() -> None:
    """The server's name goes into the handshake; a slot that is not asked for is left out."""
    probed: list[tuple[str, int, str]] = []

    async def probe(address: str, port: int, name: str) -> Reading[Chain]:
        probed.append((address, port, name))
        return Known(NEW)

    server = WantedServer(
        name="edge1",
        address="10.0.0.1",
        fqdn="edge1.example.com",
        slots=(wanted("webbridge3/https"), wanted("webbridge3/c2w"), wanted("webadmin")),
    )
    screen = state("webbridge3", webbridge3_https=(listen(445),))
    assert await read_served(ROWS["webbridge3"], screen, server, probe=probe) == {"webbridge3/https": (Known(NEW),)}
    assert probed == [("10.0.0.1", 445, "edge1.example.com")]
    assert await read_served(ROWS["webbridge3"], screen, server, probe=probe, slots=()) == {}


def test_tags_are_found_by_service() -> None:
    """Only identity slots have them."""
    slots = (identity("loadbalancer", material("node", NEW[0], NEW[1:]), tag="edge"), wanted("webadmin"))
    assert tags(WantedServer(name="e", address="a", fqdn="f", slots=slots)) == {"loadbalancer": "edge"}
