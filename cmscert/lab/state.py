"""What a node knows and does: files, services, listeners, outages."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from cmscert.errors import LabError
from cmscert.lab import tls
from cmscert.lab.database import DatabaseNetwork
from cmscert.lab.material import UnreadableError
from cmscert.lab.spec import NodeSpec, ServiceSpec, SlotSpec
from cmscert.lab.table import ServiceRow, SlotRow, release_number, services_of


class Listener(Protocol):
    """One port of a service: ``tls.Listener`` on a socket, ``unplugged.Listener`` in memory."""

    port: int

    def keep(self, port: int) -> None:
        """Take a port (0: any free one) without listening on it. Raises OSError."""
        ...

    async def open(self, loaded: tls.Loaded, trust: Sequence[bytes] | None = None) -> None:
        """Serve a certificate on the kept port. Raises OSError."""
        ...

    def close(self) -> None:
        """Stop listening, keep the port."""
        ...

    async def closed(self) -> None:
        """Wait until what was begun on the port has ended."""
        ...

    def release(self) -> None:
        """Give the port back."""
        ...


@dataclass(kw_only=True)
class Listening:
    """Where a slot is to listen; ``port`` None: no TLS port is set."""

    listener: Listener
    interfaces: tuple[str, ...] = ("a",)
    port: int | None = None


@dataclass(kw_only=True)
class ServiceState:
    """A service of a node: what is set, what is loaded, whether it runs."""

    row: ServiceRow
    enabled: bool = False
    running: bool = False
    slots: dict[str, SlotSpec] = field(default_factory=dict)
    listening: dict[str, Listening] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    loaded: dict[str, tls.Loaded] = field(default_factory=dict)
    down_since: float | None = None
    rising: asyncio.Task[None] | None = None

    def files(self, slot: str) -> SlotSpec:
        """Return the names bound to a slot."""
        return self.slots.get(slot) or SlotSpec()


class Machine:
    """The appliance without its command line. ``faults`` and ``switches`` of the node may change while it runs."""

    def __init__(
        self, spec: NodeSpec, databases: DatabaseNetwork, listener: Callable[[str], Listener] = tls.Listener
    ) -> None:
        """``listener`` makes the listeners of an address."""
        self.spec = spec
        self.release = release_number(spec.release)
        self.files = databases.node(spec.name).files
        self.outages: list[tuple[str, float]] = []
        self.notes: list[str] = []
        self.databases = databases
        databases.node(spec.name).restart = self._restart_callbridge
        rows = services_of(self.release)
        for name in spec.services:
            if name not in rows:
                raise LabError(f"{spec.name}: release {spec.release} has no service {name}", hint="leave it out")
        specs = {name: spec.services.get(name) or ServiceSpec(enabled=False) for name in rows}
        make = partial(listener, spec.bind)
        self.services = {name: _state(row, specs[name], self.release, make) for name, row in rows.items()}

    def clock(self) -> datetime:
        """Return the time by the node's own clock, UTC."""
        return self.databases.clock() + timedelta(seconds=self.spec.clock_skew)

    async def start(self) -> None:
        """Take the ports and bring up what is enabled, with what was loaded last. Raises OSError."""
        for name, service in self.services.items():
            for listening in service.listening.values():
                if listening.port is not None:
                    listening.listener.keep(listening.port)
                    listening.port = listening.listener.port
            if service.enabled and service.row.via != "parameters":
                self._load_and_rise(name, delay=0.0, given=self.spec.services[name].loaded)
        await asyncio.gather(*(service.rising for service in self.services.values() if service.rising))

    async def stop(self) -> None:
        """Close every port."""
        rising = [service.rising for service in self.services.values() if service.rising]
        for name, service in self.services.items():
            self.take_down(name)
            for listening in service.listening.values():
                listening.listener.release()
        await asyncio.gather(*rising, return_exceptions=True)
        for service in self.services.values():
            for listening in service.listening.values():
                await listening.listener.closed()

    def take_down(self, name: str) -> None:
        """Stop a service at once."""
        service = self.services[name]
        if service.rising is not None:
            service.rising.cancel()
            service.rising = None
        for listening in service.listening.values():
            listening.listener.close()
        if service.running:
            service.running = False
            service.down_since = time.monotonic()

    def bring_up(self, name: str) -> None:
        """Restart a service with the files as they are now; one whose files cannot be served stays down."""
        self.take_down(name)
        if name not in self.spec.faults.no_start:
            self._load_and_rise(name, delay=self.spec.start_delay, given={})

    def reboot(self) -> None:
        """Give up the database's work, and start what is enabled with the files as they are now."""
        self.databases.node(self.spec.name).abandon()
        for name, service in self.services.items():
            if service.enabled and service.row.via != "parameters":
                self.bring_up(name)

    def _restart_callbridge(self) -> None:
        """Restart the call bridge if it runs or is coming up, [MEM] 5.7."""
        service = self.services.get("callbridge")
        if service is not None and (service.running or service.rising is not None):
            self.bring_up("callbridge")

    def _load_and_rise(self, name: str, *, delay: float, given: Mapping[str, tuple[bytes, bytes]]) -> None:
        service = self.services[name]
        try:
            loaded = self._load(service, given)
            if name == "callbridge" and "tls" in self.services:
                self.services["tls"].loaded = self._load(self.services["tls"], {})  # [S24]
        except (UnreadableError, OSError) as error:
            self.notes.append(f"{name}: {error}")
            return
        service.rising = asyncio.get_running_loop().create_task(self._rise(name, service, loaded, delay))

    def _load(self, service: ServiceState, given: Mapping[str, tuple[bytes, bytes]]) -> dict[str, tls.Loaded]:
        loaded: dict[str, tls.Loaded] = {}
        for slot in slots_of(service.row, self.release):
            files = service.files(slot.name)
            if slot.kind == "trust":
                if slot.name in given:
                    loaded[slot.name] = tls.load_trust(given[slot.name][1])
                elif files.bundle:
                    loaded[slot.name] = tls.load_trust(self._read(files.bundle))
                continue
            pair = given.get(slot.name)
            if pair is None and files.key and files.certificate:
                pair = self._read(files.key), self._read(files.certificate)
            if pair is not None:
                bundle = self._read(files.bundle) if files.bundle and slot.third == "bundle" else None
                loaded[slot.name] = tls.load_identity(*pair, bundle)
        return loaded

    def _read(self, name: str) -> bytes:
        if name not in self.files:
            raise UnreadableError(f"no file {name}")
        return self.files[name]

    async def _rise(self, name: str, service: ServiceState, loaded: dict[str, tls.Loaded], seconds: float) -> None:
        await asyncio.sleep(seconds)
        try:
            for slot in slots_of(service.row, self.release):
                listening = service.listening.get(slot.name)
                if listening is None or listening.port is None or slot.name not in loaded:
                    continue
                trust = None
                if slot.mutual is not None:
                    trust = loaded[slot.mutual].trust if slot.mutual in loaded else ()
                listening.listener.keep(listening.port)
                listening.port = listening.listener.port
                await listening.listener.open(loaded[slot.name], trust)
        except OSError as error:  # a port that is taken, or a certificate that OpenSSL refuses to serve
            self.notes.append(f"{name}: {error}")
            for listening in service.listening.values():
                listening.listener.close()
            return
        service.loaded = loaded
        service.running = True
        if service.down_since is not None:
            self.outages.append((name, time.monotonic() - service.down_since))
            service.down_since = None

    def users_of(self, file: str) -> list[str]:
        """Return the services that a file is bound to."""
        return [
            name
            for name, service in self.services.items()
            if any(file in {files.key, files.certificate, files.bundle} for files in service.slots.values())
        ]

    async def settled(self) -> None:
        """Wait until every service that is coming up has done so or has failed."""
        for service in self.services.values():
            while service.rising is not None and not service.rising.done():
                await asyncio.wait([service.rising])


def slots_of(row: ServiceRow, release: tuple[int, int]) -> list[SlotRow]:
    """Return the slots that a service has in a release."""
    return [slot for slot in row.slots if slot.since <= release]


def _state(
    row: ServiceRow, spec: ServiceSpec, release: tuple[int, int], listener: Callable[[], Listener]
) -> ServiceState:
    known = {slot.name for slot in slots_of(row, release)}
    for slot_name in (*spec.slots, *spec.loaded, *spec.ports, *spec.interfaces):
        if slot_name not in known:
            number = ".".join(map(str, release))
            raise LabError(
                f"release {number} has no slot {slot_name}", hint=f"{row.name} has {', '.join(sorted(known))}"
            )
    state = ServiceState(row=row, enabled=spec.enabled, settings=dict(spec.settings))
    state.slots = {name: SlotSpec(**vars(files)) for name, files in spec.slots.items()}
    for slot in slots_of(row, release):
        if slot.listen is None:
            continue
        port = spec.ports.get(slot.name, 0)
        wanted = slot.name in spec.slots or slot.name in spec.ports
        state.listening[slot.name] = Listening(
            listener=listener(),
            interfaces=tuple(spec.interfaces.get(slot.name, "a").split()),
            port=port if wanted and port >= 0 else None,
        )
    return state
