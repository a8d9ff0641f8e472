"""One writer per fleet: a lock file on this machine, and a marker that the nodes carry for all others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cmscert.app.fleet import Reached, Sighted
from cmscert.app.ports import Ports
from cmscert.apply.stop import Stop
from cmscert.transport.session import WriteSession


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Who wants to change a fleet. ``command``: ``apply`` or ``rollback``."""

    fleet: str
    run: str
    owner: str
    machine: str
    command: str
    allow: tuple[str, ...] = ()


@contextmanager
def on_this_machine(state_dir: Path, writer: Writer, ports: Ports) -> Iterator[None]:  # noqa: ARG001 - the next change
    """Hold the fleet's lock file. Raises LockHeld when another process of this machine has it."""
    yield


@asynccontextmanager
async def on_the_nodes(
    writer: Writer,  # noqa: ARG001 - the next change
    reached: Reached[WriteSession],  # noqa: ARG001 - the next change
    sighted: Sighted,  # noqa: ARG001 - the next change
    ports: Ports,  # noqa: ARG001 - the next change
    stop: Stop,  # noqa: ARG001 - the next change
) -> AsyncIterator[None]:
    """Let every reached node carry the marker of this run. Raises LockHeld when one carries another's."""
    yield
