"""Nodes on no network: services show in memory what they would show on a socket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cmscert.lab.fleet import LabFleet
from cmscert.lab.node import LabNode
from cmscert.lab.spec import NodeSpec, ServiceSpec, SlotSpec
from cmscert.lab.unplugged import Ports

TypeLine = Callable[..., Awaitable[str]]


def spec_of(authority: Any, *services: str) -> NodeSpec:  # noqa: ANN401 - the CA of conftest
    """Describe a node whose services show one certificate on one port."""
    pair = authority.mint("core1.example.com")
    bound = SlotSpec(key="a.key", certificate="a.crt", bundle="ca.crt")
    return NodeSpec(
        name="core1",
        hostname="core1",
        address="10.0.0.11",
        fqdn="core1.example.com",
        files={"a.key": pair.key, "a.crt": pair.pem, "ca.crt": authority.bundle},
        services={name: ServiceSpec(slots={name: bound}, ports={name: 445}) for name in services},
        start_delay=0.0,
    )


async def test_services_show_their_certificates(authority: Any, typed: TypeLine) -> None:  # noqa: ANN401 - same
    """A service that runs shows its leaf, one that is disabled nothing, and a reboot brings back what is enabled."""
    async with LabFleet([spec_of(authority, "webadmin")], plugged=False) as fleet:
        node: LabNode = fleet.node("core1")
        assert node.ssh_port == 0
        assert node.shown(445) == node.served("webadmin")
        assert node.shown(445)[0] == node.loaded_leaf("webadmin")
        node.machine.reboot()
        assert node.shown(445) == ()
        await fleet.settled()
        assert node.shown(445) != ()
        await typed(node, "webadmin disable")
        node.machine.reboot()
        await fleet.settled()
        assert node.shown(445) == ()


async def test_a_port_belongs_to_one_service(authority: Any) -> None:  # noqa: ANN401 - same
    """The second service on a port stays down, as on a socket."""
    async with LabFleet([spec_of(authority, "webadmin", "callbridge")], plugged=False) as fleet:
        node = fleet.node("core1")
        assert (node.up("webadmin"), node.up("callbridge")) == (True, False)
        assert "port 445 is taken" in node.machine.notes[0]


@pytest.mark.parametrize("port", [0, 443])
def test_ports_are_handed_out(port: int) -> None:
    """A listener has the port that it was given, or one of its own, and keeps it."""
    listener = Ports()("127.0.0.1")
    listener.keep(port)
    held = listener.port
    listener.keep(held)
    assert listener.port == held
    assert port in (held, 0)
