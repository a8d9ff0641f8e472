"""Puts files on simulated nodes and binds them, under names as people choose them by hand."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography import x509

from cmscert.errors import LabError
from cmscert.lab import minting
from cmscert.lab.minting import Identity
from cmscert.lab.pki import World
from cmscert.lab.sketch import LeafId, ServerSketch, Sketch, SlotSketch
from cmscert.lab.spec import NodeSpec, ServiceSpec, SlotSpec

SSH_OFFSET: Final = 22
# Where a slot listens, counted from its node's first port; slots that are not listed only connect.
OFFSETS: Final[Mapping[str, int]] = {
    "webadmin": 45,
    "callbridge": 61,
    "webbridge": 43,
    "webbridge3/https": 44,
    "webbridge3/c2w": 60,
    "xmpp": 23,
    "turn": 47,
    "recorder": 71,
    "streamer": 72,
    "scheduler/https": 84,
    "meetingapps": 85,
}
PORTS_PER_NODE: Final = 100
_LONGEST_NAME: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What the nodes hold: leaves and CA bundles of one time. ``suffix`` tells its file names from another's."""

    world: World
    leaves: Mapping[LeafId, Identity]
    suffix: str = ""


class Fleet:
    """The nodes while a scenario is put together."""

    def __init__(self, sketch: Sketch, *, base_port: int = 0) -> None:
        if base_port and base_port + PORTS_PER_NODE * len(sketch.servers) > 1 << 16:
            raise LabError(
                f"{len(sketch.servers)} servers from port {base_port} on need ports beyond 65535",
                hint="give a lower first port, or 0 to let the system choose",
            )
        self.sketch = sketch
        self._first_ports = {
            server.name: base_port and base_port + PORTS_PER_NODE * at for at, server in enumerate(sketch.servers)
        }
        self._nodes = {server.name: _node(server, self._first_ports[server.name]) for server in sketch.servers}

    def specs(self) -> list[NodeSpec]:
        """Return the nodes, without the files that nothing is bound to."""
        for node in self._nodes.values():
            slots = [slot for service in node.services.values() for slot in service.slots.values()]
            bound = {name for slot in slots for name in (slot.key, slot.certificate, slot.bundle)}
            bound |= {*node.database.files}
            node.files = {name: content for name, content in node.files.items() if name in bound}
        return list(self._nodes.values())

    def node(self, server: str) -> NodeSpec:
        """Return a node as it is so far."""
        return self._nodes[server]

    def service(self, slot: SlotSketch) -> ServiceSpec:
        """Return the service of a slot, configured with its ports."""
        services = self._nodes[slot.server].services
        service = services.setdefault(slot.service, ServiceSpec())
        first = self._first_ports[slot.server]
        if first and slot.slot in OFFSETS:
            service.ports[slot.slot] = first + OFFSETS[slot.slot]
        return service

    def put(self, server: str, name: str, content: bytes) -> str:
        """Put a file on a node, under a like name when there is another file of that name; return the name."""
        files = self._nodes[server].files
        stem, dot, extension = name.rpartition(".")
        stem = re.sub(r"[^A-Za-z0-9_-]", "-", stem)
        number = 1
        while True:
            tail = f"{'' if number == 1 else f'-{number}'}{dot}{extension}"
            chosen = stem[: _LONGEST_NAME - len(tail)] + tail
            if files.setdefault(chosen, content) == content:
                return chosen
            number += 1

    def place(self, generation: Generation | None) -> None:
        """Fill every slot from a generation; None configures the services without files and leaves them stopped."""
        for slot in self.sketch.slots:
            service = self.service(slot)
            if generation is None:
                service.enabled = False
                service.slots[slot.slot] = SlotSpec(tag=slot.tag)
            elif slot.certificate is None:
                service.slots[slot.slot] = SlotSpec(bundle=self._put_trust(slot, generation))
            else:
                service.slots[slot.slot] = self._put_identity(slot, slot.certificate, generation)

    def bind(self, slot: SlotSketch, identity: Identity, stem: str) -> None:
        """Bind another certificate and key to a slot, under names of their own."""
        spec = self.service(slot).slots[slot.slot]
        spec.key = self.put(slot.server, f"{stem}.key", identity.key_pem)
        spec.certificate = self.put(slot.server, f"{stem}.crt", certificate_file(slot, identity))

    def bind_bundle(self, slot: SlotSketch, name: str, content: bytes) -> None:
        """Bind another bundle or trust file to a slot."""
        self.service(slot).slots[slot.slot].bundle = self.put(slot.server, name, content)

    def _put_identity(self, slot: SlotSketch, leaf_id: LeafId, generation: Generation) -> SlotSpec:
        identity = generation.leaves[leaf_id]
        stem = f"{leaf_id[0]}{generation.suffix}"
        bundle: str | None = None
        if slot.bundle is not None:
            content = minting.pem(generation.world.bundle(slot.bundle))
            bundle = self.put(slot.server, f"{slot.bundle}-ca{generation.suffix}.crt", content)
        elif slot.trust or slot.leaves_of:
            bundle = self._put_trust(slot, generation)
        return SlotSpec(
            key=self.put(slot.server, f"{stem}.key", identity.key_pem),
            certificate=self.put(
                slot.server, f"{stem}{'-fullchain' if slot.full_chain else ''}.crt", certificate_file(slot, identity)
            ),
            bundle=bundle,
            tag=slot.tag,
        )

    def _put_trust(self, slot: SlotSketch, generation: Generation) -> str:
        held: list[x509.Certificate] = []
        for name in slot.trust:
            held += generation.world.bundle(name)
        stem = "-".join((*slot.trust, "ca"))
        if slot.leaves_of is not None:
            held += leaves_of(self.sketch, slot.leaves_of, generation.leaves)
            stem = f"{slot.leaves_of}-certs"
        return self.put(slot.server, f"{stem}{generation.suffix}.crt", minting.pem(dict.fromkeys(held)))


def certificate_file(slot: SlotSketch, identity: Identity) -> bytes:
    """Return what the slot's certificate file holds: the leaf alone, or the full chain."""
    return identity.full_chain_pem if slot.full_chain else identity.leaf_pem


def leaves_of(sketch: Sketch, service: str, leaves: Mapping[LeafId, Identity]) -> list[x509.Certificate]:
    """Return the leaf certificates of a service or slot across the fleet, in the order of the inventory."""
    return [
        leaves[slot.certificate].certificate for slot in sketch.slots if slot.certificate and slot.belongs_to(service)
    ]


def _node(server: ServerSketch, first_port: int) -> NodeSpec:
    return NodeSpec(
        name=server.name,
        hostname=server.name,
        address=server.address,
        fqdn=server.fqdn,
        release=server.release,
        user=server.user,
        database_address=server.database_address,
        ssh_port=first_port and first_port + SSH_OFFSET,
    )
