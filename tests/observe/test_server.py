"""A whole node, read from a script."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from cmscert.errors import AnswerTimeout, ConnectionLost, NodeError, NotACms, StoreRefused
from cmscert.mmp.services import SERVICES
from cmscert.model.desired import Bundle, WantedServer, WantedSlot
from cmscert.model.names import Release
from cmscert.model.observed import ObservedServer
from cmscert.model.readings import ABSENT, Absent, Known, Reading, Unread
from cmscert.observe.files import read_files
from cmscert.observe.server import observe_server
from cmscert.observe.services import Chain
from cmscert.planning.file_names import certificate_name, key_name
from cmscert.testing.ca import ThrowAwayCa
from cmscert.testing.fleets import identity, material, trusting
from cmscert.testing.recorded import NotTold, RecordedSession

MOMENT = datetime(2026, 11, 23, 20, 30, tzinfo=UTC)
CA = ThrowAwayCa.root()
NODE = CA.issue("core1.example.com", sans=["core1.example.com"])
OTHER = CA.issue("other.example.com", sans=["other.example.com"])
MATERIAL = material("node", NODE.certificate, NODE.chain)
LOST = ConnectionLost("core1", "the connection ended")

WEBADMIN = """\
Enabled                 : true
TLS listening interface : a
TLS listening port      : 443
Key file                : core.key
Certificate file        : core.crt
CA Bundle file          : ca.crt
HTTP redirect           : Disabled
STATUS                  : webadmin running
"""
CALLBRIDGE = """\
Listening interfaces  : a
Key file              : core.key
Certificate file      : core.crt
Address               : none
C2W trusted certs                   : ca.crt
Callbridge cluster trusted certs    : none
"""
USERS = "User  Role  Expiry  Status\nadmin  admin  2027-Mar-31  logged in\n"
BASE = {
    "version": "3.9.2",
    "date": "2026-11-23 20:31:40 UTC",
    "user list": USERS,
    "webadmin": WEBADMIN,
    "callbridge": CALLBRIDGE,
    "pki match core.key core.crt": "Key and certificate match",
}


class World:
    """A script, a store, probes and the wish; ``look`` reads it all."""

    def __init__(self) -> None:
        self.script: dict[str, Any] = dict(BASE)
        self.store: dict[str, bytes | NodeError] = {
            "core.key": b"never read",
            "core.crt": NODE.certificate_pem,
            "ca.crt": CA.bundle_pem,
            "notes.txt": b"",
        }
        self.slots: tuple[WantedSlot, ...] = (
            identity("webadmin", MATERIAL, Bundle(name="ca", certificates=CA.bundle)),
            trusting("callbridge/trust-c2w", Bundle(name="ca", certificates=CA.bundle)),
        )
        self.release: Release | None = Release(3, 9)
        self.served: Callable[[int], Reading[Chain]] = lambda _port: Known((NODE.certificate,))
        self.probed: list[int] = []
        self.session = RecordedSession(server="core1", script=self.script, store=self.store, seconds=2.0)

    async def look(
        self,
        *,
        extra: frozenset[str] = frozenset(),
        known: ObservedServer | None = None,
        database: bool = False,
    ) -> ObservedServer:
        """Observe the node."""

        async def probe(_address: str, port: int, _name: str) -> Reading[Chain]:
            self.probed.append(port)
            return self.served(port)

        wanted = WantedServer(
            name="core1", address="10.0.0.1", fqdn="core1.example.com", release=self.release, slots=self.slots
        )
        return await observe_server(
            self.session,
            wanted,
            table=SERVICES,
            probe=probe,
            clock=lambda: MOMENT,
            user="admin",
            known=known,
            extra=extra,
            database=database,
        )


@pytest.fixture
def world() -> World:
    """Give a node with everything in order."""
    return World()


async def test_everything_that_the_plan_needs_is_read_once(world: World) -> None:
    """Release, clock, expiry, files, screens, contents, matches, what is served; nothing twice; no key."""
    seen = await world.look()
    assert seen.reached == Known(value=True)
    assert seen.release == Known(Release(3, 9))
    assert seen.clock_skew == Known(101.0)  # one second of the two that the answer took is before the node's stamp
    assert seen.password_expires == Known(date(2027, 3, 31))
    assert seen.files == Known(("ca.crt", "core.crt", "core.key", "notes.txt"))
    assert set(seen.screens) == {"webadmin", "callbridge"}
    assert {
        name: reading.value.certificates for name, reading in seen.contents.items() if isinstance(reading, Known)
    } == {
        "core.crt": (NODE.certificate,),
        "ca.crt": CA.bundle,
    }
    assert seen.matches == {("core.key", "core.crt"): Known(value=True)}
    assert seen.served == {"webadmin": Known((NODE.certificate,))}
    assert world.probed == [443]
    assert len(world.session.heard) == len(set(world.session.heard))
    assert "core.key" not in world.session.typed("read")


async def test_questions_go_out_before_the_first_answer_is_used(world: World) -> None:
    """All commands and the list are one round; contents and matches are the next."""
    await world.look()
    kinds = [kind for kind, _ in world.session.heard]
    last_list = kinds.index("list")
    first_read = kinds.index("read")
    assert max(last_list, kinds.index("ask")) < first_read
    asked = world.session.typed("ask")
    assert set(asked[:5]) == {"version", "date", "user list", "webadmin", "callbridge"}


async def test_known_parts_of_the_same_run_are_taken_over(world: World) -> None:
    """Release, clock and expiry are not asked again; screens and files are."""
    first = await world.look()
    world.session.heard.clear()
    again = await world.look(known=first)
    assert again == first
    assert {"version", "date", "user list"}.isdisjoint(world.session.typed("ask"))
    assert "webadmin" in world.session.typed("ask")


async def test_extra_services_are_looked_at(world: World) -> None:
    """A trust that must accept somebody is read although the inventory names nothing in it here."""
    world.script["uploader"] = "Enabled : false\nCMS trust bundle : up.cer\n"
    world.script["turn"] = "Unknown command"
    seen = await world.look(extra=frozenset({"uploader", "turn", "xmpp"}))
    assert isinstance(seen.screen("uploader"), Known)
    assert seen.screen("turn") == ABSENT
    assert seen.screen("xmpp") == ABSENT  # release 3.9 does not have it
    assert seen.content("up.cer") == ABSENT
    assert "up.cer" not in world.session.typed("read")


def _others(world: World, answer: str = "Unknown command") -> set[str]:
    """Tell every other screen of release 3.9."""
    names = {
        "webbridge3",
        "turn",
        "recorder",
        "streamer",
        "uploader",
        "scheduler",
        "meetingapps",
        "tls sip",
        "tls ldap",
    }
    world.script |= dict.fromkeys(names, answer)
    return names


async def test_files_that_this_tool_named_make_it_look_at_all_services(world: World) -> None:
    """Before anything is removed it must be known what uses it; own files are read, own keys are not."""
    crt = certificate_name("node", OTHER.certificate, OTHER.certificate_pem)
    key = key_name("node", OTHER.certificate, OTHER.certificate.spki_sha256)
    world.store |= {crt: OTHER.certificate_pem, key: b"never read"}
    names = _others(world)
    world.script["turn"] = "Enabled : true\nTLS cert : core.crt\nTLS key : core.key\nTLS bundle : turn-ca.crt\n"
    world.store["turn-ca.crt"] = CA.bundle_pem
    seen = await world.look()
    assert names <= set(world.session.typed("ask"))
    assert isinstance(seen.screen("turn"), Known)
    assert isinstance(seen.content(crt), Known)
    assert isinstance(seen.content("turn-ca.crt"), Known)
    assert key not in world.session.typed("read")
    assert world.session.typed("read").count("core.crt") == 1
    assert "turn" not in seen.served


async def test_fixed_names_make_it_look_at_all_services_at_once(world: World) -> None:
    """Names in use are overwritten, so every user of them has to be known; one round is enough."""
    fixed = replace(MATERIAL, naming="fixed")
    world.slots = (identity("webadmin", fixed, Bundle(name="ca", certificates=CA.bundle)),)
    names = _others(world)
    seen = await world.look()
    assert names <= set(world.session.typed("ask"))
    assert seen.screen("recorder") == ABSENT
    first_read = [kind for kind, _ in world.session.heard].index("read")
    late = [what for kind, what in world.session.heard[first_read:] if kind == "ask"]
    assert late == ["pki match core.key core.crt"]


async def test_an_unknown_release_still_reads_the_screens(world: World) -> None:
    """The release is unread; screens are asked for all rows of a service, and read by the newest."""
    world.release = None
    world.script["version"] = "no number here"
    seen = await world.look()
    assert isinstance(seen.release, Unread)
    assert isinstance(seen.screen("webadmin"), Known)


async def test_another_release_than_the_inventory_says_counts(world: World) -> None:
    """The node's own word decides which screens a service has; those that were not asked are asked then."""
    world.release = Release(3, 9)
    world.script["version"] = "2.9.5"
    world.slots = (*world.slots, identity("xmpp", MATERIAL, Bundle(name="ca", certificates=CA.bundle)))
    world.script |= {"xmpp": "Unknown command", "xmpp cluster status": "Unknown command"}
    seen = await world.look()
    assert seen.release == Known(Release(2, 9))
    assert seen.screen("xmpp") == ABSENT


async def test_the_log_tells_the_clock_where_date_is_unknown(world: World) -> None:
    """The last line of the log is about as old as the last answer."""
    world.script["date"] = "Unknown command"
    line = "2026-11-23T20:29:0{n}.000 local0.info core1 cli: User admin issued command < version>: permission granted\n"
    world.store["log"] = "".join(line.format(n=n) for n in (1, 4)).encode()
    seen = await world.look()
    assert isinstance(seen.clock_skew, Known)
    assert seen.clock_skew.value == pytest.approx(-55.0)
    assert world.session.typed("tail") == ("log",)


@pytest.mark.parametrize("log", [None, b"nothing", StoreRefused("core1", "no permission")])
async def test_a_clock_that_nothing_tells_is_unread(world: World, log: bytes | NodeError | None) -> None:
    """Neither date nor log: the reason is told."""
    world.script["date"] = AnswerTimeout("core1", "no answer")
    if log is not None:
        world.store["log"] = log
    seen = await world.look()
    assert isinstance(seen.clock_skew, Unread)


async def test_one_lost_answer_makes_one_reading_unread(world: World) -> None:
    """The rest is read all the same (law 2)."""
    world.script |= {
        "version": LOST,
        "user list": LOST,
        "callbridge": LOST,
        "pki match core.key core.crt": LOST,
    }
    world.store["ca.crt"] = StoreRefused("core1", "no permission")
    seen = await world.look()
    assert seen.reached == Known(value=True)
    assert seen.release == Unread("the connection ended")
    assert seen.password_expires == Unread("the connection ended")
    assert seen.screen("callbridge") == Unread("the connection ended")
    assert seen.matches == {("core.key", "core.crt"): Unread("the connection ended")}
    assert seen.content("ca.crt") == Unread("no permission")
    assert isinstance(seen.content("core.crt"), Known)


async def test_a_list_that_cannot_be_read_leaves_contents_readable(world: World) -> None:
    """Bound files are read without it; whether a key is there is unread, so nothing is compared."""
    world.session.listing = StoreRefused("core1", "no SFTP")
    seen = await world.look()
    assert seen.files == Unread("no SFTP")
    assert isinstance(seen.content("core.crt"), Known)
    assert seen.matches == {("core.key", "core.crt"): Unread("the list of files could not be read")}


async def test_a_node_that_answers_nothing_is_not_reached(world: World) -> None:
    """Every question ends in an error: one reason, no readings."""
    world.script = dict.fromkeys(BASE, LOST)
    world.session = RecordedSession(server="core1", script=world.script, listing=LOST, store={})
    seen = await world.look()
    assert seen == ObservedServer(name="core1", reached=Unread("the connection ended"))


async def test_something_else_than_a_cms_is_named(world: World) -> None:
    """Answers without a release and without a screen: another device, or another system."""
    world.script |= dict.fromkeys(BASE, "-bash: command not found")
    with pytest.raises(NotACms, match="core1: something answers") as told:
        await world.look()
    assert told.value.hint is not None


async def test_a_node_that_answers_no_command_but_lists_files_is_no_stranger(world: World) -> None:
    """Without any answer nothing says that it is not a CMS."""
    world.script |= dict.fromkeys(BASE, LOST)
    seen = await world.look()
    assert isinstance(seen.release, Unread)
    assert isinstance(seen.screen("webadmin"), Unread)


async def test_missing_and_half_bound_pairs_are_not_compared(world: World) -> None:
    """The command pki match is asked only when both files are there and both are bound."""
    del world.store["core.key"]
    assert (await world.look()).matches == {}
    other = World()
    other.script["webadmin"] = WEBADMIN.replace("core.key", "none")
    assert (await other.look()).matches == {}


async def test_a_file_without_certificates_is_read_as_such(world: World) -> None:
    """What cannot be parsed holds none; its bytes are known."""
    world.store["core.crt"] = b"rubbish"
    reading = (await world.look()).content("core.crt")
    assert isinstance(reading, Known)
    assert reading.value.certificates == ()


async def test_a_key_bound_as_a_certificate_is_not_read(world: World) -> None:
    """Whatever a screen says, a key file stays on the node."""
    world.script["webadmin"] = WEBADMIN.replace("core.crt", "core.key")
    world.script["pki match core.key core.key"] = "no match"
    await world.look()
    assert "core.key" not in world.session.typed("read")


async def test_a_name_that_cannot_be_typed_is_never_typed(world: World) -> None:
    """A hostile screen cannot make the tool run a second command."""
    world.script["webadmin"] = WEBADMIN.replace("core.key", 'core"; reboot.key')
    world.store['core"; reboot.key'] = b""
    seen = await world.look()
    assert all("reboot" not in typed for typed in world.session.typed("ask"))
    assert not any(isinstance(reading, Known) for reading in seen.matches.values())


async def test_stopped_services_are_absent_on_the_wire(world: World) -> None:
    """A disabled service is not probed."""
    world.script["webadmin"] = WEBADMIN.replace(": true", ": false")
    seen = await world.look()
    assert seen.served == {"webadmin": Absent()}
    assert world.probed == []


async def test_a_node_without_wishes_is_looked_at(world: World) -> None:
    """Only release, clock, expiry and files are of interest then."""
    world.slots = ()
    world.script["version"] = "odd"
    seen = await world.look()
    assert seen.screens == {}
    assert isinstance(seen.files, Known)


async def test_an_untold_question_fails_the_test(world: World) -> None:
    """A bug is not a reading: it ends everything at once."""
    del world.script["callbridge"]
    with pytest.raises(NotTold):
        await world.look()


async def test_files_are_read_once_each() -> None:
    """Names that are not in a known list are Absent without asking."""
    session = RecordedSession(server="core1", store={"a.crt": NODE.certificate_pem})
    read = await read_files(session, ["a.crt", "a.crt", "b.crt"], listed=["a.crt"])
    assert list(read) == ["a.crt", "b.crt"]
    assert read["b.crt"] == ABSENT
    assert session.typed("read") == ("a.crt",)
    assert (await read_files(session, ["b.crt"]))["b.crt"] == ABSENT


@pytest.mark.parametrize("turns", range(6))
async def test_a_look_that_is_broken_off_leaves_nothing_behind(world: World, turns: int) -> None:
    """Whenever it is cancelled, no question is left that nobody awaits: Python would complain on the screen."""
    looking = asyncio.ensure_future(world.look(database=True))
    for _ in range(turns):
        await asyncio.sleep(0)
    with warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always")
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        gc.collect()

    assert [str(each.message) for each in complaints] == []
