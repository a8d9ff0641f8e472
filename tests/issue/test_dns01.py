"""TXT records are published by a program or by DNS updates, and waited for."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import dns.rcode
import pytest
from dns.asyncresolver import Resolver
from dns.resolver import NoResolverConfiguration

from cmscert.issue.dns01 import Hook, NotPublished, TextRecord
from cmscert.issue.dns_update import Updates
from cmscert.issue.dns_watch import Watch
from cmscert.model.secret import Secret
from cmscert.testing.name_server import KEY, KEY_NAME, NameServer

RECORD = TextRecord(domain="a.example.com", name="_acme-challenge.a.example.com", value="Zf3k_x-1")
OTHER = replace(RECORD, value="other")


@pytest.fixture
def server() -> Iterator[NameServer]:
    """A name server of example.com."""
    with NameServer() as started:
        yield started


@pytest.fixture
def updates(server: NameServer) -> Updates:
    """What publishes through it."""
    return Updates(server="127.0.0.1", port=server.port, key_name=KEY_NAME, key=Secret(KEY), seconds=5)


async def refused(work: object) -> NotPublished:
    """Return the error that publishing ends with."""
    with pytest.raises(NotPublished) as caught:
        await work  # type: ignore[misc]  # a coroutine
    assert "\n" not in caught.value.message
    return caught.value


Program = Callable[..., Hook]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Return a function that makes a hook of a few lines of Python."""

    def make(text: str, **more: object) -> Hook:
        (tmp_path / "hook.py").write_text(textwrap.dedent(text))
        return Hook(words=(sys.executable, "hook.py", "-v"), folder=tmp_path, **more)  # type: ignore[arg-type]  # the test's

    return make


async def test_what_a_hook_is_told(program: Program, tmp_path: Path) -> None:
    """The act, the domain, the name and the value stand behind its own arguments, and in variables."""
    text = "import json, os, sys; open(sys.argv[2], 'w').write(json.dumps([sys.argv[1:], dict(os.environ)]))"
    hook = program(text, environment={"TOKEN": Secret("s.1234")})
    await hook.present(RECORD)
    await hook.cleanup(RECORD)

    for act in ("present", "cleanup"):
        words, variables = json.loads((tmp_path / act).read_text())
        assert words == ["-v", act, RECORD.domain, RECORD.name, RECORD.value]
        told = {name: value for name, value in variables.items() if name.startswith("CMSCERT_")}
        assert told == {
            "CMSCERT_ACTION": act,
            "CMSCERT_DOMAIN": RECORD.domain,
            "CMSCERT_NAME": RECORD.name,
            "CMSCERT_VALUE": RECORD.value,
        }
        assert variables["TOKEN"] == "s.1234"  # noqa: S105 - no secret


async def test_a_hook_that_fails(program: Program) -> None:
    """Its last words are told, with the domain and without its secrets."""
    text = "import os, sys; sys.exit('no zone for ' + sys.argv[3] + ' with ' + os.environ['TOKEN'])"
    error = await refused(program(text, environment={"TOKEN": Secret("s.1234")}).present(RECORD))

    assert error.message.startswith("present for a.example.com: python")
    assert error.message.endswith("no zone for a.example.com with ********")


async def test_a_hook_that_hangs(program: Program) -> None:
    """It is ended after its time."""
    error = await refused(program("import time; time.sleep(600)", seconds=0.5).cleanup(RECORD))

    assert "did not end within 0.5 s" in error.message


@pytest.mark.parametrize("zone", ["example.com", None])
async def test_updates(server: NameServer, updates: Updates, zone: str | None) -> None:
    """Values are added and removed one by one: a wildcard and its parent share a name."""
    updates = replace(updates, zone=zone)
    await updates.present(RECORD)
    await updates.present(OTHER)
    assert server.records == {RECORD.name: {RECORD.value, OTHER.value}}
    await updates.cleanup(RECORD)

    assert server.records == {RECORD.name: {OTHER.value}}


async def test_updates_follow_an_alias(server: NameServer, updates: Updates) -> None:
    """Where the name is a CNAME, the record is put where it leads."""
    server.aliases[RECORD.name] = "a.proofs.example.com"
    await updates.present(RECORD)

    assert server.records == {"a.proofs.example.com": {RECORD.value}}


@pytest.mark.parametrize(
    ("change", "words", "hint"),
    [
        ({"key": Secret("b3RoZXI=")}, "does not accept the TSIG signature: the peer didn't like the sig", "key_name"),
        ({"key_name": "nobody.example.com"}, "the TSIG signature: the peer didn't know the key we used", "key_name"),
        (
            {"zone": "example.org"},
            "refused to update _acme-challenge.a.example.com in zone example.org.: NOTAUTH",
            "zone",
        ),
        ({"key": Secret("no base64!")}, "the TSIG key is not base64", "as the name server has it"),
        ({"port": 1}, "cannot be reached", "check server"),
        ({"server": "nowhere.invalid"}, "cannot be reached", "check server"),
    ],
)
async def test_updates_that_fail(updates: Updates, change: dict[str, object], words: str, hint: str) -> None:
    """Every reason is told with what to do, and no key is shown."""
    error = await refused(replace(updates, **{"zone": "example.com", **change}).present(RECORD))  # type: ignore[arg-type]  # of its fields

    assert words in error.message
    assert hint in str(error.hint)
    assert "no base64!" not in error.message


async def test_updates_that_are_refused(server: NameServer, updates: Updates) -> None:
    """A server whose policy forbids the record says so."""
    server.refuses = dns.rcode.REFUSED
    error = await refused(updates.present(RECORD))
    server.refuses = dns.rcode.SERVFAIL
    other = await refused(updates.present(RECORD))

    assert "127.0.0.1 refused to update _acme-challenge.a.example.com in zone example.com.: REFUSED" in error.message
    assert "policy" in str(error.hint)
    assert "SERVFAIL" in other.message


async def test_no_zone(updates: Updates) -> None:
    """A server that holds no zone of the name is told as such."""
    elsewhere = TextRecord(domain="a.example.org", name="_acme-challenge.a.example.org", value="x")
    error = await refused(updates.present(elsewhere))

    assert error.message == "127.0.0.1 holds no zone that _acme-challenge.a.example.org is in"


async def test_a_silent_server(server: NameServer, updates: Updates) -> None:
    """A server that does not answer holds nobody up for ever."""
    server.deaf = True
    error = await refused(replace(updates, seconds=0.3).present(RECORD))

    assert "did not answer within 0.3 s" in error.message


async def test_an_answer_that_is_none(updates: Updates, server: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no DNS message is told as such."""
    monkeypatch.setattr(server, "answer", lambda wire: wire[:2] + b"\xff")
    error = await refused(updates.present(RECORD))
    monkeypatch.setattr(server, "answer", lambda wire: wire[:2] + b"\xa8\x05" + bytes(8))
    unsigned = await refused(replace(updates, zone="example.com").cleanup(RECORD))

    assert "gave an answer that cannot be used" in error.message
    assert "cannot be used" in unsigned.message


def test_updates_show_no_secret(updates: Updates) -> None:
    """The publisher does not show its key."""
    assert KEY not in repr(updates)


def machine(server: NameServer) -> Callable[[], Resolver]:
    """Return a machine whose resolver is the name server."""

    def make() -> Resolver:
        resolver = Resolver(configure=False)
        resolver.nameservers = ["127.0.0.1"]
        resolver.port = server.port
        return resolver

    return make


def nowhere() -> Resolver:
    """Make a resolver on a machine that has none."""
    raise NoResolverConfiguration


async def test_waits_until_seen(server: NameServer) -> None:
    """The record is asked for until it is there, not for a fixed time."""
    server.records[RECORD.name] = {RECORD.value, "another"}
    server.shows_after = 2
    watch = Watch(resolvers=(("127.0.0.1", server.port),), seconds=10)
    await watch.wait([RECORD])

    assert server.asked == 3


async def test_responsible_servers_are_asked(server: NameServer) -> None:
    """Without resolvers the servers of the zone are found and asked; one that is down does not matter."""
    server.servers["ns2.example.com"] = "127.0.0.99"
    server.records[RECORD.name] = {RECORD.value}

    await Watch(machine=machine(server), seconds=10, patience=0.5).wait([RECORD])


async def test_a_record_that_never_comes(server: NameServer) -> None:
    """It is told where it was not seen, and for how long; all that are missing at once."""
    server.records[RECORD.name] = {"another"}
    watch = Watch(machine=machine(server), seconds=0.5)
    error = await refused(watch.wait([RECORD, replace(RECORD, name="_acme-challenge.b.example.com")]))

    assert f"the TXT record {RECORD.name} is not to be seen at 127.0.0.1:{server.port} after 0.5 s; " in error.message
    assert "_acme-challenge.b.example.com" in error.message
    assert "challenge.resolvers" in str(error.hint)


async def test_a_resolver_that_is_named_must_show_it(server: NameServer) -> None:
    """A resolver that the inventory names is not left out because it is silent."""
    server.records[RECORD.name] = {RECORD.value}
    watch = Watch(resolvers=(("127.0.0.1", server.port), ("::1", 53)), seconds=1, patience=0.2)
    error = await refused(watch.wait([RECORD]))

    assert "is not to be seen at ::1 after" in error.message


async def test_this_machine_is_asked_last(server: NameServer) -> None:
    """Where no responsible server answers, as behind a firewall, this machine's resolvers are asked."""
    server.servers = {"ns1.example.com": "127.0.0.99"}
    server.records[RECORD.name] = {RECORD.value}

    await Watch(machine=machine(server), seconds=10, patience=0.3).wait([RECORD])


async def test_led_away(server: NameServer) -> None:
    """A server that shows only where a CNAME leads, knows nothing: its silence is no answer."""
    server.aliases[RECORD.name] = "a.example.org"
    error = await refused(Watch(resolvers=(("127.0.0.1", server.port),), seconds=0.3).wait([RECORD]))

    assert "is not to be seen" in error.message


async def test_a_machine_without_dns() -> None:
    """A machine that knows no name server is told, in time."""
    error = await refused(Watch(machine=nowhere, seconds=0.3).wait([RECORD]))

    assert "not to be seen at any name server" in error.message


async def test_nobody_looks() -> None:
    """With no seconds nobody is asked."""
    await Watch(machine=nowhere, seconds=0).wait([RECORD])
