"""Reads a fleet: one connection a server, all at once, only the connecting is limited.

Who only reads lets go of each server when it is read (``sight``); who goes on to change holds them all (``reach``). A
server that cannot be read does not stop the others: it is Unread in what comes back, and its error is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from cmscert.app.ports import Ports
from cmscert.errors import NodeError
from cmscert.inventory.secrets import resolve, resolve_bytes
from cmscert.mmp.services import SERVICES
from cmscert.model.desired import Desired, WantedServer
from cmscert.model.login import Login, SecretRef
from cmscert.model.names import Release
from cmscert.model.observed import ObservedServer
from cmscert.model.readings import Known, Reading, Unread
from cmscert.model.secret import Secret
from cmscert.observe.asking import together
from cmscert.observe.server import observe_server
from cmscert.planning.trust import related_services
from cmscert.transport.credentials import Credentials
from cmscert.transport.known_hosts import KnownHosts, load_known_hosts
from cmscert.transport.session import ReadSession

S = TypeVar("S", bound=ReadSession)

PARALLEL = 32
"""Servers that are connected to at once. Measured: without a limit 1,000 connects stall the loop for half a second.

At 24 the wall time for 1,000 servers was no longer than at 50, and the memory less (137 and 150 MiB).
"""

Entry = tuple[Login, Credentials, KnownHosts]
Open = Callable[[Login, Credentials, KnownHosts], AbstractAsyncContextManager[S]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached(Generic[S]):
    """The sessions that are open, and why others are not, by server."""

    sessions: Mapping[str, S]
    failures: Mapping[str, NodeError]


def entries(logins: Mapping[str, Login], servers: tuple[WantedServer, ...], folder: Path) -> dict[str, Entry]:
    """Resolve what is needed to log in to servers; every secret reference and known_hosts file once.

    Raises SecretError and InputError before anything is connected to.
    """
    words: dict[SecretRef, Secret[str]] = {}
    blobs: dict[SecretRef, Secret[bytes]] = {}

    def word(ref: SecretRef | None) -> Secret[str] | None:
        if ref is not None and ref not in words:
            words[ref] = resolve(ref, folder=folder)
        return None if ref is None else words[ref]

    def blob(ref: SecretRef | None) -> Secret[bytes] | None:
        if ref is not None and ref not in blobs:
            blobs[ref] = resolve_bytes(ref, folder=folder)
        return None if ref is None else blobs[ref]

    found: dict[str, Entry] = {}
    for server in servers:
        login = logins[server.name]
        credentials = Credentials(
            password=word(login.password), key=blob(login.key), key_passphrase=word(login.key_passphrase)
        )
        found[server.name] = (login, credentials, load_known_hosts(login.known_hosts))
    return found


@asynccontextmanager
async def reach(wanted: Mapping[str, Entry], opener: Open[S], *, parallel: int = PARALLEL) -> AsyncIterator[Reached[S]]:
    """Open a session to each server, hold them, close them all in the end."""
    limit = asyncio.Semaphore(parallel)
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    opened: dict[str, asyncio.Future[S | NodeError]] = {name: loop.create_future() for name in wanted}
    holders = [
        asyncio.create_task(_hold(opener(*entry), opened[name], limit, over), name=f"session to {name}")
        for name, entry in wanted.items()
    ]
    try:
        try:
            results = dict(zip(opened, [await each for each in opened.values()], strict=True))
        except BaseException:
            for holder in holders:
                holder.cancel()
            raise
        yield Reached(
            sessions={name: each for name, each in results.items() if not isinstance(each, NodeError)},
            failures={name: each for name, each in results.items() if isinstance(each, NodeError)},
        )
    finally:
        over.set()
        await asyncio.gather(*holders, return_exceptions=True)


async def _hold(
    session: AbstractAsyncContextManager[S],
    opened: asyncio.Future[S | NodeError],
    limit: asyncio.Semaphore,
    over: asyncio.Event,
) -> None:
    """Open, hold and close one session in one task, as its time-outs need it."""
    async with AsyncExitStack() as stack:
        try:
            async with limit:
                found = await stack.enter_async_context(session)
        except NodeError as error:
            opened.set_result(error)
            return
        except Exception as error:  # noqa: BLE001 - a bug: it goes to whoever awaits the session
            opened.set_exception(error)
            return
        opened.set_result(found)
        await over.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighted:
    """What was read, for every server, and the errors of those that could not be read."""

    observed: Mapping[str, ObservedServer]
    failures: Mapping[str, NodeError]


async def observe(
    reached: Reached[S],
    desired: Desired,
    entry: Mapping[str, Entry],
    ports: Ports,
    *,
    members: frozenset[str] = frozenset(),
) -> Sighted:
    """Read every server at once. ``members``: servers that are asked about their database."""
    looking = _Looking(desired, entry, ports, members)

    async def one(server: WantedServer) -> ObservedServer:
        if server.name in reached.failures:
            raise reached.failures[server.name]
        return await looking.look(reached.sessions[server.name], server)

    return await looking.each(one)


async def sight(
    entry: Mapping[str, Entry],
    opener: Open[S],
    desired: Desired,
    ports: Ports,
    *,
    parallel: int = PARALLEL,
    members: frozenset[str] = frozenset(),
) -> Sighted:
    """Connect to each server, read it, log out; none waits for another but for its turn to connect.

    So few connections are open at a time that their memory does not grow with the fleet. ``members``: as ``observe``.
    """
    limit = asyncio.Semaphore(parallel)
    looking = _Looking(desired, entry, ports, members)

    async def one(server: WantedServer) -> ObservedServer:
        async with AsyncExitStack() as stack:
            async with limit:
                session = await stack.enter_async_context(opener(*entry[server.name]))
            return await looking.look(session, server)

    return await looking.each(one)


class _Looking:
    """One look at a fleet."""

    def __init__(self, desired: Desired, entry: Mapping[str, Entry], ports: Ports, members: frozenset[str]) -> None:
        self.desired = desired
        self.entry = entry
        self.ports = ports
        self.members = members
        self.extra = related_services(SERVICES, (slot for server in desired.servers for slot in server.slots_seen))

    async def look(self, session: ReadSession, server: WantedServer) -> ObservedServer:
        """Read one server. Raises NodeError."""
        seen = await observe_server(
            session,
            server,
            table=SERVICES,
            probe=self.ports.probe,
            clock=self.ports.clock,
            user=self.entry[server.name][0].user,
            extra=self.extra,
            database=server.name in self.members,
        )
        self.ports.note("read", server=server.name, release=_shown(seen.release))
        return seen

    async def each(self, one: Callable[[WantedServer], Awaitable[ObservedServer]]) -> Sighted:
        """Read every server, and keep why one could not be read."""
        errors: dict[str, NodeError] = {}

        async def safely(server: WantedServer) -> ObservedServer:
            try:
                return await one(server)
            except NodeError as error:
                errors[server.name] = error
                return unreached(server.name, error)

        seen = await together(*(safely(server) for server in self.desired.servers))
        failures = {each.name: errors[each.name] for each in seen if each.name in errors}
        for name, error in failures.items():
            self.ports.note("not read", server=name, why=error.message)
        return Sighted(observed={each.name: each for each in seen}, failures=failures)


def _shown(release: Reading[Release]) -> str:
    return str(release.value) if isinstance(release, Known) else "unknown"


def unreached(server: str, error: NodeError) -> ObservedServer:
    """Make the reading of a server that could not be read (law 2)."""
    return ObservedServer(name=server, reached=Unread(error.message.removeprefix(f"{server}: ")))
