"""One simulated node: what it was asked, what it answers, what goes wrong on request."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from cmscert.lab import pki_commands, services, sundry, tls, unplugged
from cmscert.lab.answers import UNKNOWN, Ask, Outcome
from cmscert.lab.database import DatabaseNetwork
from cmscert.lab.database_node import DatabaseNode
from cmscert.lab.grammar import UnbalancedError, split, starts
from cmscert.lab.spec import Faults, NodeSpec, SlotSpec, Switches
from cmscert.lab.state import Machine, ServiceState

if TYPE_CHECKING:
    from cmscert.lab.ssh_server import SshServer

_GARBAGE = b"\x1b[2J\x1b]0;gone\x07\x00\x08\xff\xfe\xc3(\x9b31m"


class CutError(Exception):
    """The connection is to be cut instead of an answer."""


class LabNode:
    """A node and the record of what happened to it. Started and stopped by ``LabFleet``."""

    def __init__(self, spec: NodeSpec, databases: DatabaseNetwork, *, plugged: bool = True) -> None:
        self.spec = spec
        self.ports = unplugged.Ports()
        self.machine = Machine(spec, databases, tls.Listener if plugged else self.ports)
        self.database: DatabaseNode = databases.node(spec.name)
        self.database.note = self._note_work
        self.audit: list[str] = []
        self.commands: list[str] = []
        self.transfers: list[str] = []
        self.history: list[str] = []
        self.server: SshServer | None = None

    @property
    def name(self) -> str:
        """The node's name in the fleet."""
        return self.spec.name

    @property
    def ssh_port(self) -> int:
        """The port that SSH and SFTP listen on; 0 before the start."""
        return self.server.port if self.server else 0

    @property
    def faults(self) -> Faults:
        """Faults on request; may be changed or replaced while the node runs."""
        return self.spec.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self.spec.faults = faults

    @property
    def switches(self) -> Switches:
        """Unproven behaviour; may be changed or replaced while the node runs."""
        return self.spec.switches

    @switches.setter
    def switches(self, switches: Switches) -> None:
        self.spec.switches = switches

    @property
    def files(self) -> dict[str, bytes]:
        """The files that were uploaded or made; ``log`` and ``live.json`` are not among them."""
        return self.machine.files

    @property
    def outages(self) -> list[tuple[str, float]]:
        """Finished outages: service and seconds between its stop and its being up again."""
        return self.machine.outages

    def bound(self, slot: str) -> SlotSpec:
        """Return a copy of the names bound to a slot."""
        return SlotSpec(**vars(self._service(slot).files(slot)))

    def loaded_leaf(self, slot: str) -> bytes | None:
        """Return the certificate that a service loaded at its last start, DER; None while it is down."""
        served = self.served(slot)
        return served[0] if served else None

    def served(self, slot: str) -> tuple[bytes, ...]:
        """Return what a running service presents in a slot: DER, leaf first; empty while it is down."""
        service = self._service(slot)
        if not service.running or slot not in service.loaded:
            return ()
        return service.loaded[slot].chain

    def loaded_trust(self, slot: str) -> tuple[bytes, ...]:
        """Return the certificates of a trust slot as loaded at the last start, DER; empty when there are none."""
        service = self._service(slot)
        return service.loaded[slot].trust if slot in service.loaded else ()

    def port(self, slot: str) -> int | None:
        """Return the TLS port of a slot; None when none is set."""
        listening = self._service(slot).listening.get(slot)
        return listening.port if listening else None

    def shown(self, port: int) -> tuple[bytes, ...]:
        """Return what an unplugged node would show on a port: DER, leaf first; empty where nothing listens."""
        return self.ports.open.get(port, ())

    def up(self, service: str) -> bool:
        """Tell whether a service runs."""
        return self.machine.services[service].running

    def enabled(self, service: str) -> bool:
        """Tell whether a service is enabled, running or not."""
        return self.machine.services[service].enabled

    async def settled(self) -> None:
        """Wait until every service that is coming up has done so or has failed."""
        await self.machine.settled()

    def _service(self, slot: str) -> ServiceState:
        return self.machine.services[slot.partition("/")[0]]

    def log_file(self) -> bytes:
        """Return the running syslog as the file ``log`` shows it."""
        self.machine.databases.tick()
        return "".join(f"{line}\n" for line in self.audit).encode()

    def live_json(self) -> bytes:
        """Return the file ``live.json``."""
        return sundry.live_json(self.spec)

    def note_transfer(self, what: str) -> None:
        """Keep an SFTP operation: ``put NAME``, ``get NAME``, ``rm NAME``."""
        self.transfers.append(what)
        self.history.append(what)

    def _stamp(self) -> str:
        return self.machine.clock().isoformat(timespec="milliseconds").removesuffix("+00:00")

    def _note_work(self, text: str) -> None:
        self.audit.append(f"{self._stamp()} user.info {self.spec.hostname} {text}")

    def _note_command(self, line: str, origin: str) -> int:
        self.audit.append(  # T-01, with its blank after the bracket
            f"{self._stamp()} local0.info {self.spec.hostname} cli: User {self.spec.user} from {origin} "
            f"issued command < {line}>: permission granted"
        )
        self.commands.append(line)
        self.history.append(line)
        return len(self.commands)

    async def carry_out(self, line: str, origin: str, ask: Ask) -> bytes:
        """Carry out a typed line and return the answer, LF line ends. Raises CutError.

        ``origin``: address and port of the client, for the audit line. A silent fault makes it wait for ever.
        """
        if self.faults.down:
            raise CutError
        number = self._note_command(line, origin)
        if self.faults.cut_at == number:
            raise CutError
        try:
            words = split(line)
        except UnbalancedError:
            words = line.split()
        outcome = await self._outcome(words, ask)
        if outcome.effect is not None and not self.faulty(words, self.faults.lie):
            outcome.effect()
        if self.faults.cut_after == number:
            raise CutError
        await self.linger(words)
        return (
            _GARBAGE + outcome.text.encode() + _GARBAGE
            if self.faulty(words, self.faults.garbage)
            else (outcome.text.encode())
        )

    async def linger(self, words: list[str]) -> None:
        """Wait as long as the node takes to answer: for ever where it is to be silent."""
        late = [seconds for prefix, seconds in self.faults.late.items() if starts(words, prefix)]
        await asyncio.sleep(self.spec.answer_delay + sum(late))
        if self.faulty(words, self.faults.silent):
            await asyncio.Event().wait()

    def faulty(self, words: list[str], prefixes: tuple[str, ...]) -> bool:
        """Tell whether a command is among those that a fault names."""
        return any(starts(words, prefix) for prefix in prefixes)

    def failing(self, words: list[str]) -> str | None:
        """Return the text with which a command is to fail, None when it is not."""
        return next((text for prefix, text in self.faults.fail.items() if starts(words, prefix)), None)

    async def _outcome(self, words: list[str], ask: Ask) -> Outcome:
        text = self.failing(words)
        if text is not None:
            return Outcome(lines=[f"FAILURE: {text}"])
        match words[:1]:
            case ["pki"]:
                return await pki_commands.run(self.machine, words)
            case [word] if word in sundry.HANDLERS:
                return await sundry.HANDLERS[word](self.machine, words, ask)
            case [word] if word in self.machine.services:
                return services.run(self.machine, words)
        return UNKNOWN
