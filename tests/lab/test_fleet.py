"""Whole fleets: start and stop, what is loaded, outages, C2W links."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cmscert.errors import LabError
from cmscert.lab.fleet import LabFleet
from cmscert.lab.node import LabNode
from cmscert.lab.spec import Faults, NodeSpec, ServiceSpec, SlotSpec

Authority = Any  # a fixture's class, which only conftest.py can name
StartNode = Callable[..., Awaitable[LabNode]]
TypeLine = Callable[..., Awaitable[str]]


async def _leaf_on(port: int | None) -> bytes | None:
    """Return the certificate that a port serves, None when it is closed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    except ConnectionRefusedError:
        return None
    shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    return shown


def _everything(authority: Authority, release: str) -> NodeSpec:
    """A node with every service of a release that has a listener."""
    pair = authority.mint("cms.example.com", sans=("cms.example.com",))
    slot = SlotSpec(key="a.key", certificate="full.crt")
    trust = SlotSpec(bundle="ca.crt")
    by_release = {
        "3.9": {
            "webadmin": {"webadmin": slot},
            "callbridge": {"callbridge": slot, "callbridge/trust-c2w": trust},
            "webbridge3": {"webbridge3/https": slot, "webbridge3/c2w": slot, "webbridge3/trust-c2w": trust},
            "turn": {"turn": slot},
            "recorder": {"recorder": slot},
            "streamer": {"streamer": slot},
            "uploader": {"uploader/trust-cms": trust},
            "scheduler": {"scheduler/https": slot, "scheduler/c2w": slot, "scheduler/trust-c2w": trust},
            "meetingapps": {"meetingapps": slot},
            "tls": {"tls/trust-sip": trust},
        },
        "2.9": {
            "webadmin": {"webadmin": slot},
            "callbridge": {"callbridge": slot},
            "webbridge": {"webbridge": slot, "webbridge/trust": trust},
            "xmpp": {"xmpp": slot},
            "recorder": {"recorder": slot, "recorder/trust": trust},
            "loadbalancer": {"loadbalancer": SlotSpec(key="a.key", certificate="full.crt", bundle="ca.crt", tag="x")},
        },
    }
    return NodeSpec(
        name="cms",
        hostname="cms",
        address="10.0.0.10",
        fqdn="cms.example.com",
        release=release,
        files={"a.key": pair.key, "full.crt": authority.chain(pair), "ca.crt": authority.bundle},
        services={name: ServiceSpec(slots=dict(slots)) for name, slots in by_release[release].items()},
    )


@pytest.mark.parametrize("release", ["3.9", "2.9"])
async def test_every_listener_serves_what_is_loaded(authority: Authority, release: str) -> None:
    """Each service with a listener serves the loaded certificate on its own port."""
    async with LabFleet([_everything(authority, release)]) as fleet:
        node = fleet.node("cms")
        ports = {}
        for name in node.spec.services:
            assert node.up(name) or name == "tls"
            ports |= {slot: node.port(slot) for slot in node.spec.services[name].slots if node.port(slot)}
        assert len(set(ports.values())) == len(ports) >= 4
        for slot, port in ports.items():
            if slot != "webbridge3/c2w":
                assert await _leaf_on(port) == node.loaded_leaf(slot)
        assert node.loaded_trust("callbridge/trust-c2w") == (
            (authority.issuing.der, authority.root.der) if release == "3.9" else ()
        )


async def test_the_loaded_certificate_stays_until_the_restart(
    start_node: StartNode, typed: TypeLine, authority: Authority
) -> None:
    """Overwriting a bound file changes nothing on the wire before the service is restarted."""
    old, new = authority.mint("old"), authority.mint("new")
    slot = SlotSpec(key="a.key", certificate="a.crt")
    node = await start_node(
        files={"a.key": old.key, "a.crt": old.pem}, services={"webadmin": ServiceSpec(slots={"webadmin": slot})}
    )
    node.files.update({"a.key": new.key, "a.crt": new.pem})
    assert await _leaf_on(node.port("webadmin")) == old.der
    await typed(node, "webadmin restart")
    assert node.loaded_leaf("webadmin") is None
    assert await _leaf_on(node.port("webadmin")) is None
    await node.settled()
    assert await _leaf_on(node.port("webadmin")) == new.der == node.loaded_leaf("webadmin")
    ((service, seconds),) = node.outages
    assert service == "webadmin"
    assert seconds >= node.spec.start_delay


async def test_a_node_may_start_with_other_files_loaded_than_bound(start_node: StartNode, authority: Authority) -> None:
    """``loaded`` is what a file held before somebody replaced it and forgot the restart; trust likewise."""
    old, new = authority.mint("old"), authority.mint("new")
    node = await start_node(
        files={"a.key": new.key, "a.crt": new.pem, "trust.crt": authority.bundle},
        services={
            "callbridge": ServiceSpec(
                slots={
                    "callbridge": SlotSpec(key="a.key", certificate="a.crt"),
                    "callbridge/trust-c2w": SlotSpec(bundle="trust.crt"),
                },
                loaded={"callbridge": (old.key, old.pem), "callbridge/trust-c2w": (b"", authority.root.pem)},
            )
        },
    )
    assert await _leaf_on(node.port("callbridge")) == old.der
    assert node.loaded_trust("callbridge/trust-c2w") == (authority.root.der,)


async def test_a_service_whose_files_cannot_be_served_starts_down(start_node: StartNode, authority: Authority) -> None:
    """A node with a wrong pair or a missing file starts all the same; that service does not run."""
    pair, other = authority.mint("a"), authority.mint("b")
    node = await start_node(
        files={"a.key": other.key, "a.crt": pair.pem},
        services={
            "webadmin": ServiceSpec(slots={"webadmin": SlotSpec(key="a.key", certificate="a.crt")}),
            "turn": ServiceSpec(slots={"turn": SlotSpec(key="a.key", certificate="missing.crt")}),
        },
    )
    assert (node.up("webadmin"), node.up("turn")) == (False, False)
    assert node.served("webadmin") == ()
    assert len(node.machine.notes) == 2


async def test_tls_trust_is_loaded_by_a_callbridge_restart(
    start_node: StartNode, typed: TypeLine, authority: Authority
) -> None:
    """[S24]: what ``tls`` sets needs a call bridge restart."""
    pair = authority.mint("a")
    slot = SlotSpec(key="a.key", certificate="a.crt")
    node = await start_node(
        files={"a.key": pair.key, "a.crt": pair.pem, "ca.crt": authority.bundle},
        services={"callbridge": ServiceSpec(slots={"callbridge": slot})},
    )
    await typed(node, "tls sip trust ca.crt")
    assert node.loaded_trust("tls/trust-sip") == ()
    await typed(node, "callbridge restart")
    assert node.loaded_trust("tls/trust-sip") == (authority.issuing.der, authority.root.der)


async def test_two_services_cannot_have_one_port(start_node: StartNode, typed: TypeLine, authority: Authority) -> None:
    """The second service on a port says SUCCESS like the first, and does not run."""
    pair = authority.mint("a")
    slot = SlotSpec(key="a.key", certificate="a.crt")
    node = await start_node(
        files={"a.key": pair.key, "a.crt": authority.chain(pair)},
        services={"webadmin": ServiceSpec(slots={"webadmin": slot})},
    )
    await typed(node, "meetingapps https certs a.key a.crt", f"meetingapps https listen a {node.port('webadmin')}")
    assert "SUCCESS" in await typed(node, "meetingapps enable")
    await node.settled()
    assert (node.up("webadmin"), node.up("meetingapps")) == (True, False)


async def test_a_service_can_be_stopped_while_it_comes_up(
    start_node: StartNode, typed: TypeLine, authority: Authority
) -> None:
    """Disable wins over an enable that has not finished."""
    pair = authority.mint("a")
    slot = SlotSpec(key="a.key", certificate="a.crt")
    node = await start_node(
        files={"a.key": pair.key, "a.crt": pair.pem},
        services={"webadmin": ServiceSpec(slots={"webadmin": slot})},
    )
    await typed(node, "webadmin restart", "webadmin disable")
    await node.settled()
    assert not node.up("webadmin")
    await typed(node, "webadmin listen b 0", "webadmin enable")
    await node.settled()
    assert await _leaf_on(node.port("webadmin")) == pair.der


def _link_specs(authority: Authority, **changes: Any) -> list[NodeSpec]:  # noqa: ANN401 - fields of three kinds
    bridge, web = authority.mint("cb.example.com"), authority.mint("web", sans=("edge1.example.com",))
    given = {"bridge_trust": authority.root.pem, "web_trust": bridge.pem, "fqdn": "edge1.example.com"} | changes
    slot = SlotSpec(key="a.key", certificate="a.crt")
    core = NodeSpec(
        name="core1",
        hostname="core1",
        address="10.0.0.11",
        fqdn="core1.example.com",
        files={"a.key": bridge.key, "a.crt": bridge.pem, "ca.crt": authority.bundle, "t.crt": given["bridge_trust"]},
        services={
            "callbridge": ServiceSpec(
                slots={
                    "callbridge": SlotSpec(key="a.key", certificate="a.crt", bundle="ca.crt"),
                    "callbridge/trust-c2w": SlotSpec(bundle="t.crt" if given["bridge_trust"] else None),
                }
            )
        },
    )
    edge = NodeSpec(
        name="edge1",
        hostname="edge1",
        address="10.0.0.21",
        fqdn=given["fqdn"],
        files={"a.key": web.key, "a.crt": authority.chain(web), "t.crt": given["web_trust"]},
        services={
            "webbridge3": ServiceSpec(
                slots={
                    "webbridge3/https": slot,
                    "webbridge3/c2w": slot,
                    "webbridge3/trust-c2w": SlotSpec(bundle="t.crt" if given["web_trust"] else None),
                }
            )
        },
    )
    return [core, edge]


async def test_c2w_works_with_leaf_and_ca_trust(authority: Authority) -> None:
    """A leaf in a trust file is as good as its CA, on both sides ([S3] [S20])."""
    async with LabFleet(_link_specs(authority)) as fleet:
        assert await fleet.c2w_links() == {("core1", "edge1"): None}
    async with LabFleet(_link_specs(authority, web_trust=authority.bundle)) as fleet:
        assert await fleet.c2w_links() == {("core1", "edge1"): None}


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        ("bridge_trust", "call bridge refuses the web bridge: "),
        ("web_trust", "web bridge refuses the call bridge: "),
    ],
)
@pytest.mark.parametrize("empty", [True, False])
async def test_c2w_fails_with_a_wrong_trust(
    authority: Authority, stranger: Authority, field: str, reason: str, *, empty: bool
) -> None:
    """A trust that lacks the other end, or none at all, breaks the link, and the reason says which side."""
    wrong = {field: b"" if empty else stranger.bundle}
    async with LabFleet(_link_specs(authority, **wrong)) as fleet:
        found = (await fleet.c2w_links())["core1", "edge1"]
        assert found is not None
        assert found.startswith(reason)


async def test_c2w_needs_the_name_of_the_web_bridge(authority: Authority) -> None:
    """The host in the C2W address has to be in the certificate ([S25])."""
    async with LabFleet(_link_specs(authority, fqdn="edge9.example.com")) as fleet:
        found = (await fleet.c2w_links())["core1", "edge1"]
        assert found == "call bridge refuses the web bridge: edge9.example.com is not in its certificate"


async def test_c2w_is_down_while_a_side_is_down(authority: Authority, typed: TypeLine) -> None:
    """A stopped side is told as such."""
    async with LabFleet(_link_specs(authority)) as fleet:
        await typed(fleet.node("edge1"), "webbridge3 disable")
        assert await fleet.c2w_links() == {("core1", "edge1"): "web bridge is down"}
        await typed(fleet.node("edge1"), "webbridge3 c2w listen none")
        assert await fleet.c2w_links() == {("core1", "edge1"): "web bridge has no c2w port"}
        fleet.node("core1").faults = Faults(no_start=("callbridge",))
        await typed(fleet.node("core1"), "callbridge restart")
        assert await fleet.c2w_links() == {("core1", "edge1"): "call bridge is down"}


async def test_sixty_nodes_in_one_process(authority: Authority) -> None:
    """A large fleet starts, answers and stops."""
    one = _everything(authority, "3.9")
    specs = [
        NodeSpec(
            **vars(one)
            | {"name": f"n{number}", "services": {name: one.services[name] for name in ("webadmin", "turn")}}
        )
        for number in range(60)
    ]
    before = asyncio.all_tasks()
    async with LabFleet(specs) as fleet:
        leaves = await asyncio.gather(*(_leaf_on(node.port("webadmin")) for node in fleet.nodes.values()))
        assert None not in leaves
        assert len(fleet.known_hosts().splitlines()) == 60
        await fleet.settled()
    assert asyncio.all_tasks() == before


async def test_stopping_ends_open_connections(start_node: StartNode, typed: TypeLine, authority: Authority) -> None:
    """A client that stays connected does not keep a service alive."""
    pair = authority.mint("a")
    slot = SlotSpec(key="a.key", certificate="a.crt")
    node = await start_node(
        files={"a.key": pair.key, "a.crt": pair.pem},
        services={"webadmin": ServiceSpec(slots={"webadmin": slot})},
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port("webadmin"), ssl=context)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    await typed(node, "webadmin disable")
    with pytest.raises(ConnectionError):
        await reader.readexactly(1)
    writer.transport.abort()


async def test_a_taken_port_is_told(authority: Authority) -> None:
    """The lab says which node could not listen, and stops the others."""
    specs = _link_specs(authority)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        specs[1].ssh_port = taken.getsockname()[1]
        with pytest.raises(LabError, match="edge1: cannot listen"):
            await LabFleet(specs).start()
        specs[1].ssh_port = 0
        specs[1].services["webbridge3"].ports["webbridge3/https"] = taken.getsockname()[1]
        with pytest.raises(LabError, match="edge1: cannot listen"):
            await LabFleet(specs).start()


async def test_an_unknown_node_is_told(authority: Authority) -> None:
    """A wrong name gets the list of the right ones."""
    fleet = LabFleet(_link_specs(authority))
    assert fleet.node("core1").ssh_port == 0
    assert fleet.known_hosts() == ""
    with pytest.raises(LabError, match="no node core9") as error:
        fleet.node("core9")
    assert error.value.hint == "the lab has core1, edge1"
    await fleet.stop()
