"""Set commands, enable, disable, restart: what is printed, what is bound, what runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cmscert.errors import LabError
from cmscert.lab import table
from cmscert.lab.node import LabNode
from cmscert.lab.spec import ServiceSpec, SlotSpec, Switches

Authority = Any  # a fixture's class, which only conftest.py can name
StartNode = Callable[..., Awaitable[LabNode]]
TypeLine = Callable[..., Awaitable[str]]


@pytest.fixture
def files(authority: Authority, stranger: Authority) -> dict[str, bytes]:
    """One pair of each kind of trouble, and bundles."""
    good = authority.mint("core1.example.com", sans=("core1.example.com",))
    other = authority.mint("core1.example.com")
    expired = authority.mint("core1.example.com", expired=True)
    return {
        "a.key": good.key,
        "a.crt": good.pem,
        "full.crt": authority.chain(good),
        "upside-down.crt": good.pem + authority.root.pem + authority.issuing.pem,
        "other.key": other.key,
        "old.key": expired.key,
        "old.crt": authority.chain(expired),
        "ca.crt": authority.bundle,
        "wrong-order.crt": authority.root.pem + authority.issuing.pem,
        "strange.crt": stranger.bundle,
        "noise.crt": b"no certificate\n",
        "glued.crt": good.pem.rstrip() + authority.bundle,
    }


def _rows(screen: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in screen.splitlines())
    return {label.strip(): value.strip() for label, _, value in pairs}


@pytest.mark.parametrize(
    ("release", "line", "slot", "bound"),
    [
        ("3.9", "webadmin certs a.key a.crt", "webadmin", ("a.key", "a.crt", None)),
        ("3.9", "webadmin certs a.key a.crt ca.crt", "webadmin", ("a.key", "a.crt", "ca.crt")),
        ("3.9", "webadmin certs none", "webadmin", (None, None, None)),
        ("3.9", "callbridge certs a.key a.crt ca.crt", "callbridge", ("a.key", "a.crt", "ca.crt")),
        ("3.9", "callbridge trust c2w ca.crt", "callbridge/trust-c2w", (None, None, "ca.crt")),
        ("3.9", "callbridge trust c2w none", "callbridge/trust-c2w", (None, None, None)),
        ("3.9", "callbridge trust cluster a.crt", "callbridge/trust-cluster", (None, None, "a.crt")),
        ("3.9", "callbridge trust branding a.crt", "callbridge/trust-branding", (None, None, "a.crt")),
        ("3.9", "callbridge ucm certs a.crt", "callbridge/trust-ucm", (None, None, "a.crt")),
        ("3.9", "callbridge imps certs a.crt", "callbridge/trust-imps", (None, None, "a.crt")),
        ("3.9", "webbridge3 https certs a.key full.crt", "webbridge3/https", ("a.key", "full.crt", None)),
        ("3.9", "webbridge3 c2w certs a.key full.crt", "webbridge3/c2w", ("a.key", "full.crt", None)),
        ("3.9", "webbridge3 c2w trust ca.crt", "webbridge3/trust-c2w", (None, None, "ca.crt")),
        ("3.9", "turn certs a.key a.crt ca.crt", "turn", ("a.key", "a.crt", "ca.crt")),
        ("3.9", "recorder sip certs a.key a.crt", "recorder", ("a.key", "a.crt", None)),
        ("3.9", "streamer sip certs a.key a.crt ca.crt", "streamer", ("a.key", "a.crt", "ca.crt")),
        ("3.9", "uploader cms trust ca.crt", "uploader/trust-cms", (None, None, "ca.crt")),
        ("3.9", "uploader rev trust ca.crt", "uploader/trust-rev", (None, None, "ca.crt")),
        ("3.9", "scheduler https certs a.key full.crt", "scheduler/https", ("a.key", "full.crt", None)),
        ("3.9", "scheduler c2w certs a.key full.crt", "scheduler/c2w", ("a.key", "full.crt", None)),
        ("3.9", "scheduler c2w trust ca.crt", "scheduler/trust-c2w", (None, None, "ca.crt")),
        ("3.9", "meetingapps https certs a.key full.crt", "meetingapps", ("a.key", "full.crt", None)),
        ("3.9", "tls sip trust ca.crt", "tls/trust-sip", (None, None, "ca.crt")),
        ("3.9", "tls ldap trust ca.crt", "tls/trust-ldap", (None, None, "ca.crt")),
        ("2.9", "webbridge certs a.key a.crt ca.crt", "webbridge", ("a.key", "a.crt", "ca.crt")),
        ("2.9", "webbridge trust a.crt", "webbridge/trust", (None, None, "a.crt")),
        ("2.9", "xmpp certs a.key a.crt ca.crt", "xmpp", ("a.key", "a.crt", "ca.crt")),
        ("2.9", "xmpp cluster trust a.crt", "xmpp/trust-cluster", (None, None, "a.crt")),
        ("2.9", "recorder certs a.key a.crt", "recorder", ("a.key", "a.crt", None)),
        ("2.9", "recorder trust a.crt", "recorder/trust", (None, None, "a.crt")),
        ("2.9", "streamer trust a.crt", "streamer/trust", (None, None, "a.crt")),
        ("2.9", "h323_gateway certs a.key a.crt ca.crt", "h323_gateway", ("a.key", "a.crt", "ca.crt")),
        ("2.9", "loadbalancer auth edge a.key a.crt ca.crt", "loadbalancer", ("a.key", "a.crt", "ca.crt")),
        ("2.9", "trunk auth edge none", "trunk", (None, None, None)),
    ],
)
async def test_certificate_commands_are_silent_and_bind(
    start_node: StartNode,
    typed: TypeLine,
    release: str,
    line: str,
    slot: str,
    bound: tuple[str | None, str | None, str | None],
) -> None:
    """A successful set command prints nothing (T-22) and is seen in what is bound, and in the screen."""
    node = await start_node(release=release)
    assert await typed(node, line) == ""
    found = node.bound(slot)
    assert (found.key, found.certificate, found.bundle) == bound
    screen = await typed(node, slot.partition("/")[0])
    assert all(name in screen for name in bound if name)


@pytest.mark.parametrize(
    "line",
    [
        "webadmin certs a.key",
        "webadmin certs a b c d",
        "callbridge trust c2w",
        "callbridge trust c2w a b",
        "webbridge3 https certs a b c",
        "webadmin listen a",
        "webadmin listen a 70000",
        "webadmin listen a http",
        "webbridge3 https listen a:1 b:2",
        "webbridge3 https listen",
        "webadmin paint blue",
        "callbridge enable",
        "callbridge disable",
        "tls restart",
        "webadmin enable now",
        "uploader nfs",
        "recorder sip listen a x 7001",
    ],
)
async def test_wrong_arguments_get_usage_and_change_nothing(start_node: StartNode, typed: TypeLine, line: str) -> None:
    """What the node does not understand is answered by a usage text, never by silence."""
    node = await start_node(release="3.9")
    screen = await typed(node, line.split(maxsplit=1)[0])
    assert (await typed(node, line)).startswith("Usage:")
    assert await typed(node, line.split(maxsplit=1)[0]) == screen


@pytest.mark.parametrize(
    ("release", "line", "label", "value"),
    [
        ("3.9", "webadmin listen b 8443", "TLS listening port", "8443"),
        ("3.9", "webadmin listen none", "TLS listening port", "none"),
        ("3.9", "webadmin http-redirect enable", "HTTP redirect", "Enabled"),
        ("3.9", "callbridge listen b", "Listening interfaces", "b"),
        ("3.9", "callbridge listen none", "Listening interfaces", "none"),
        ("3.9", "callbridge ucm verify enable", "UCM verification mode", "enabled"),
        ("3.9", "callbridge av1 disable", "AV1 Video Codec", "disabled"),
        ("3.9", "webbridge3 https listen a:8444 b:8444", "HTTPS listening ports and interfaces", "a:8444 b:8444"),
        ("3.9", "webbridge3 c2w listen a:6000", "C2W listening ports and interfaces", "a:6000"),
        ("3.9", "webbridge3 meetingapps add apps.example.com 445 s3cret", "Meetingapps address", "apps.example.com"),
        ("3.9", "turn tls 8447", "TLS port", "8447"),
        ("3.9", "turn tls none", "TLS port", "none"),
        ("3.9", "turn credentials me pass cms.demo", "Realm", "cms.demo"),
        ("3.9", "recorder sip listen a 6000 6001", "SIP interfaces", "tcp a:6000, tls a:6001"),
        ("3.9", "recorder sip listen a none none", "SIP interfaces", "tcp none, tls none"),
        ("3.9", "recorder nfs 10.0.0.9:recordings", "NFS directory", "recordings"),
        ("3.9", "streamer limit 6", "Call Limit", "6"),
        ("3.9", "uploader nfs 10.0.0.9:recordings", "NFS hostname", "10.0.0.9"),
        ("3.9", "uploader cms host cms.example.com", "CMS host", "cms.example.com"),
        ("3.9", "scheduler https listen a 8445", "HTTPS listening interface and port", "a:8445"),
        ("3.9", "meetingapps https listen a 8446", "HTTPS listening interface and port", "a:8446"),
        ("3.9", "tls sip verify enable", "sip verify", "enabled"),
        ("2.9", "webbridge listen a:8443", "Interface whitelist", "a:8443"),
        ("2.9", "recorder listen lo:8443", "Interface whitelist", "lo:8443"),
        ("2.9", "xmpp listen a", "Listening interfaces", "a"),
        ("2.9", "xmpp domain example.com", "Domain", "example.com"),
    ],
)
async def test_other_set_commands_show_in_the_screen(
    start_node: StartNode, typed: TypeLine, release: str, line: str, label: str, value: str
) -> None:
    """Listen commands and the rest are silent too and change the row that they are about."""
    node = await start_node(release=release)
    assert await typed(node, line) == ""
    assert _rows(await typed(node, line.split(maxsplit=1)[0]))[label] == value


async def test_turn_interfaces_have_no_colon(start_node: StartNode, typed: TypeLine) -> None:
    """``turn listen`` sets the rows of T-34 that have no colon."""
    node = await start_node()
    screen = await typed(node, "turn listen d b", "turn")
    assert screen.endswith("Listen interface      d\nListen interface      b\n")


@pytest.mark.parametrize("wording", ["sourced", "remembered"])
async def test_enable_says_what_it_checked(
    start_node: StartNode, typed: TypeLine, files: dict[str, bytes], wording: str
) -> None:
    """Pair, bundle and the closing line come in the order of T-20; the lines of [MEM] only with their switch."""
    node = await start_node(files=files, switches=Switches(enable_wording=wording))
    answer = await typed(node, "webbridge3 https listen a:0", "webbridge3 c2w listen a:0")
    assert answer == ""
    await typed(node, "webbridge3 https certs a.key full.crt", "webbridge3 c2w certs a.key full.crt")
    expected = {
        "sourced": [
            "SUCCESS: Key and certificate pair match",
            "SUCCESS: Key and certificate pair match",
            "SUCCESS: Webbridge3 enabled",
        ],
        "remembered": [
            "SUCCESS: HTTPS Key and certificate pair match",
            "SUCCESS: HTTPS full chain of certificates verifies correctly",
            "SUCCESS: C2W Key and certificate pair match",
            "SUCCESS: C2W full chain of certificates verifies correctly",
            "SUCCESS: Webbridge3 enabled",
        ],
    }
    assert (await typed(node, "webbridge3 enable")).splitlines() == expected[wording]
    await node.settled()
    assert node.up("webbridge3")


@pytest.mark.parametrize("wording", ["sourced", "remembered"])
async def test_webadmin_and_callbridge_verify_their_bundle(
    start_node: StartNode, typed: TypeLine, files: dict[str, bytes], wording: str
) -> None:
    """A bundle that is set is verified against, whatever its order; a call bridge has only restart."""
    node = await start_node(files=files, switches=Switches(enable_wording=wording))
    await typed(node, "webadmin listen a 0", "webadmin certs a.key a.crt wrong-order.crt")
    await typed(node, "callbridge listen a", "callbridge certs a.key a.crt ca.crt")
    for line in ("webadmin enable", "callbridge restart"):
        answer = (await typed(node, line)).splitlines()
        assert "SUCCESS: Key and certificate pair match" in answer
        assert "SUCCESS: certificate verified against CA bundle" in answer
        assert all(text.startswith("SUCCESS: ") for text in answer)
    await node.settled()
    assert (node.up("webadmin"), node.up("callbridge")) == (True, True)
    assert node.port("webadmin") not in {0, None}


@pytest.mark.parametrize(
    ("release", "lines", "service"),
    [
        ("3.9", ("webadmin certs other.key a.crt", "webadmin enable"), "webadmin"),
        ("3.9", ("webadmin certs a.key a.crt strange.crt", "webadmin enable"), "webadmin"),
        ("3.9", ("webadmin certs a.key missing.crt", "webadmin enable"), "webadmin"),
        ("3.9", ("webadmin certs a.key noise.crt", "webadmin enable"), "webadmin"),
        ("3.9", ("webadmin certs noise.crt a.crt", "webadmin enable"), "webadmin"),
        ("3.9", ("webadmin certs a.key glued.crt", "webadmin enable"), "webadmin"),
        ("3.9", ("webadmin certs none", "webadmin enable"), "webadmin"),
        ("3.9", ("callbridge certs other.key a.crt", "callbridge restart"), "callbridge"),
        (
            "3.9",
            ("callbridge certs a.key a.crt", "callbridge trust c2w missing.crt", "callbridge restart"),
            "callbridge",
        ),
        ("3.9", ("callbridge certs a.key a.crt", "callbridge trust c2w noise.crt", "callbridge restart"), "callbridge"),
        ("3.9", ("meetingapps https certs a.key a.crt", "meetingapps enable"), "meetingapps"),
        ("3.9", ("meetingapps https certs a.key upside-down.crt", "meetingapps enable"), "meetingapps"),
        ("3.9", ("turn tls 0", "turn enable"), "turn"),
        ("2.9", ("streamer certs none", "streamer enable"), "streamer"),
    ],
)
async def test_a_failed_check_leaves_the_service_down(
    start_node: StartNode, typed: TypeLine, files: dict[str, bytes], release: str, lines: tuple[str, ...], service: str
) -> None:
    """Every wrong pair, chain or file is a FAILURE; nothing listens, and enable did not enable."""
    node = await start_node(release=release, files=files)
    answer = (await typed(node, *lines)).splitlines()
    assert answer[-1].startswith("FAILURE: ")
    await node.settled()
    assert not node.up(service)
    assert not node.enabled(service)


async def test_a_failed_restart_takes_down_what_ran(
    start_node: StartNode, typed: TypeLine, files: dict[str, bytes]
) -> None:
    """A restart that fails its checks stops the service; with the old files it comes back, and the outage is kept."""
    slot = SlotSpec(key="a.key", certificate="a.crt")
    node = await start_node(files=files, services={"webadmin": ServiceSpec(slots={"webadmin": slot})})
    assert _rows(await typed(node, "webadmin"))["STATUS"] == "webadmin running"
    await typed(node, "webadmin certs other.key a.crt", "webadmin restart")
    screen = _rows(await typed(node, "webadmin"))
    assert (screen["Enabled"], screen["STATUS"]) == ("true", "webadmin not running")
    await typed(node, "webadmin certs a.key a.crt", "webadmin restart")
    await node.settled()
    assert node.up("webadmin")
    assert [(name, seconds > 0) for name, seconds in node.outages] == [("webadmin", True)]


@pytest.mark.parametrize("service", ["recorder", "streamer", "turn"])
async def test_without_a_tls_port_no_certificate_is_needed(
    start_node: StartNode, typed: TypeLine, service: str
) -> None:
    """Media services run on TCP or UDP alone."""
    node = await start_node()
    assert "FAILURE" not in await typed(node, f"{service} enable")
    await node.settled()
    assert node.up(service)


async def test_a_disabled_service_cannot_be_restarted(
    start_node: StartNode, typed: TypeLine, files: dict[str, bytes]
) -> None:
    """Restart is for what is enabled."""
    node = await start_node(files=files)
    await typed(node, "webadmin listen a 0", "webadmin certs a.key a.crt")
    assert (await typed(node, "webadmin restart")).startswith("FAILURE: ")
    assert not node.up("webadmin")


@pytest.mark.parametrize("fails", [True, False])
async def test_an_expired_certificate_fails_only_with_its_switch(
    start_node: StartNode, typed: TypeLine, files: dict[str, bytes], *, fails: bool
) -> None:
    """Whether enable looks at dates is unknown (facts 10.2), so it is a switch."""
    node = await start_node(files=files, switches=Switches(expired_fails_enable=fails))
    await typed(node, "webadmin listen a 0", "webadmin certs old.key old.crt")
    assert ("FAILURE" in await typed(node, "webadmin enable")) is fails


async def test_switches_of_set_commands(start_node: StartNode, typed: TypeLine, files: dict[str, bytes]) -> None:
    """With their switches, set commands answer, and certificates cannot be set while a service is enabled."""
    slot = SlotSpec(key="a.key", certificate="a.crt")
    node = await start_node(files=files, services={"webadmin": ServiceSpec(slots={"webadmin": slot})})
    node.switches = Switches(set_replies=True, change_while_enabled=False)
    assert (await typed(node, "webadmin certs other.key a.crt")).startswith("FAILURE: ")
    assert node.bound("webadmin") == slot
    assert await typed(node, "webadmin disable") != ""
    assert await typed(node, "webadmin certs other.key a.crt") != ""
    assert node.bound("webadmin").key == "other.key"


@pytest.mark.parametrize(
    ("release", "has", "lacks"),
    [
        ("1.8", {"webadmin", "callbridge", "xmpp"}, {"recorder", "streamer", "webbridge3", "tls"}),
        ("2.8", {"webbridge", "xmpp", "loadbalancer", "trunk", "h323_gateway", "tls"}, {"webbridge3", "uploader"}),
        ("2.9", {"webbridge", "webbridge3", "recorder", "streamer"}, {"uploader", "scheduler"}),
        ("3.0", {"webbridge3", "recorder"}, {"webbridge", "xmpp", "loadbalancer", "trunk", "h323_gateway", "uploader"}),
        ("3.2", {"uploader"}, {"scheduler", "meetingapps"}),
        ("3.3", {"scheduler"}, {"meetingapps"}),
        ("3.5", {"meetingapps"}, {"xmpp"}),
    ],
)
async def test_services_by_release(
    start_node: StartNode, typed: TypeLine, release: str, has: set[str], lacks: set[str]
) -> None:
    """A service that a release does not have is an unknown command ([S1])."""
    node = await start_node(release=release)
    for service in has:
        assert not (await typed(node, service)).startswith("Unknown command")
    for service in lacks:
        assert (await typed(node, service)).startswith("Unknown command")


async def test_a_slot_of_a_later_release_cannot_be_set(start_node: StartNode, typed: TypeLine) -> None:
    """``callbridge trust c2w`` means nothing before 2.9."""
    node = await start_node(release="2.8")
    assert (await typed(node, "callbridge trust c2w ca.crt")).startswith("Usage:")


async def test_tagged_services_switch_with_or_without_their_tag(
    start_node: StartNode, typed: TypeLine, files: dict[str, bytes]
) -> None:
    """``loadbalancer enable edge`` is as good as ``loadbalancer enable``; its third file is no CA bundle."""
    node = await start_node(release="2.9", files=files)
    assert await typed(node, "loadbalancer auth edge a.key a.crt strange.crt") == ""
    assert node.bound("loadbalancer").tag == "edge"
    assert "FAILURE" not in await typed(node, "loadbalancer enable edge")
    await node.settled()
    assert node.up("loadbalancer")
    await typed(node, "loadbalancer disable")
    assert not node.up("loadbalancer")
    assert (await typed(node, "loadbalancer auth")).startswith("Usage:")


async def test_nodes_are_described_in_words_of_their_release(start_node: StartNode) -> None:
    """A service or slot that the release does not have is refused at the start."""
    with pytest.raises(LabError, match="no service xmpp"):
        await start_node(release="3.9", services={"xmpp": ServiceSpec()})
    with pytest.raises(LabError, match="no slot webadmin/trust"):
        await start_node(services={"webadmin": ServiceSpec(slots={"webadmin/trust": SlotSpec()})})


def test_one_row_per_service_and_release() -> None:
    """No release has two rows of one service."""
    for release in [(major, minor) for major in (1, 2, 3) for minor in range(15)]:
        names = [row.name for row in table.SERVICES if row.in_release(release)]
        assert len(names) == len(set(names))
