"""A fleet of simulated nodes in one process, on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self

from cmscert.errors import LabError
from cmscert.lab.c2w import link
from cmscert.lab.database import Clock, DatabaseNetwork
from cmscert.lab.database_node import DatabaseNode
from cmscert.lab.node import LabNode
from cmscert.lab.spec import NodeSpec
from cmscert.lab.ssh_server import SshServer

_AT_A_TIME: Final = 16
_SSH: Final = 22


def _place(node: LabNode) -> str:
    """Name a node as OpenSSH does: without brackets on the usual port."""
    return node.spec.bind if node.ssh_port == _SSH else f"[{node.spec.bind}]:{node.ssh_port}"


class LabFleet:
    """Nodes that start and stop together: ``async with LabFleet(specs) as fleet``.

    ``database``: the databases of all nodes; ``clock`` tells all of them the time, aware UTC. Without a start,
    nodes carry out commands in memory (``LabNode.carry_out``), and only services need more. Not ``plugged``, they are
    on no network: commands are carried out in memory, and services show their certificates there (``LabNode.shown``).
    """

    def __init__(self, specs: Sequence[NodeSpec], *, clock: Clock | None = None, plugged: bool = True) -> None:
        self.database = DatabaseNetwork(map(DatabaseNode, specs), clock=clock or _now)
        self.nodes: Mapping[str, LabNode] = {spec.name: LabNode(spec, self.database, plugged=plugged) for spec in specs}
        self._plugged = plugged

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start every node. Raises LabError when one cannot be, after stopping the others."""
        for node in self.nodes.values():
            node.server = SshServer(node) if self._plugged else None
            try:
                await node.machine.start()
                if node.server is not None:
                    await node.server.start()
            except OSError as error:
                await self.stop()
                raise LabError(
                    f"{node.name}: cannot listen on {node.spec.bind}: {error.strerror or error}",
                    hint="choose other ports, or leave them out and let the lab choose",
                ) from error

    async def stop(self) -> None:
        """Stop every node."""
        for node in self.nodes.values():
            if node.server is not None:
                await node.server.stop()
            await node.machine.stop()

    def node(self, name: str) -> LabNode:
        """Return a node by its name. Raises LabError."""
        if name not in self.nodes:
            raise LabError(f"no node {name} in the lab", hint=f"the lab has {', '.join(self.nodes)}")
        return self.nodes[name]

    def known_hosts(self) -> str:
        """Return the host keys of all nodes as lines of a ``known_hosts`` file."""
        return "".join(
            f"{_place(node)} {node.server.host_key}\n" for node in self.nodes.values() if node.server is not None
        )

    async def settled(self) -> None:
        """Wait until every service that is coming up has done so or has failed."""
        await asyncio.gather(*(node.settled() for node in self.nodes.values()))

    async def c2w_links(self) -> dict[tuple[str, str], str | None]:
        """Connect every call bridge to every web bridge 3 as C2W does; None for a link that works, else why not."""
        pairs = [
            (callbridge, webbridge)
            for callbridge in self._with("callbridge")
            for webbridge in self._with("webbridge3/c2w")
        ]
        turns = asyncio.Semaphore(_AT_A_TIME)

        async def try_link(callbridge: LabNode, webbridge: LabNode) -> str | None:
            async with turns:
                return await link(callbridge, webbridge)

        reasons = await asyncio.gather(*(try_link(*pair) for pair in pairs))
        return {
            (callbridge.name, webbridge.name): reason
            for (callbridge, webbridge), reason in zip(pairs, reasons, strict=True)
        }

    def _with(self, slot: str) -> list[LabNode]:
        service = slot.partition("/")[0]
        return [
            node
            for node in self.nodes.values()
            if service in node.machine.services and node.machine.services[service].files(slot).certificate
        ]


def _now() -> datetime:
    return datetime.now(UTC)
