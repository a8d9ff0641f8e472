"""A node in memory that remembers what it was told: for tests of the executor, without SSH, files or waiting.

Far less than the lab: five services of release 3.9, screens in the layout of T-30, T-31, T-33 and T-34. It answers
through ``RecordedSession``, so a command that it does not know fails the test.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

from cmscert.errors import ConnectionLost, NodeError
from cmscert.mmp.services import SERVICES
from cmscert.model.names import Release, service_of
from cmscert.model.observed import Binding
from cmscert.model.readings import ABSENT, Known, Reading
from cmscert.model.services import Service, rows_for
from cmscert.pki.certificate import Certificate
from cmscert.pki.pem import read_certificates
from cmscert.testing.recorded import RecordedSession

Fault = Literal["cut", "lost", "failure", "lie", "garbage", "hang"]
"""What goes wrong with a command, once: the connection ends before it is carried out, or after; it is refused; it is
said to be done and is not; the answer is noise; no answer ever comes."""

Rows = list[tuple[str, str | None]]
"""Labels and values of a screen; None is shown as ``none``."""

ROWS = rows_for(SERVICES, Release(3, 9))
PORTS = {"webadmin": 443, "callbridge": 5061, "webbridge3/https": 445, "webbridge3/c2w": 6000, "turn": 447}
WRONG: dict[Fault, str] = {
    "failure": "FAILURE: it is refused\n",
    "lie": "SUCCESS: it is done\n",
    "garbage": "%%% noise %%%",
}
STATELESS = {"callbridge", "tls"}  # no "Enabled" row (T-31)


@dataclass(kw_only=True)
class ToyService:
    """A service: what is bound, what it has loaded, whether it runs."""

    enabled: bool = True
    bound: dict[str, Binding] = field(default_factory=dict)
    loaded: dict[str, tuple[Certificate, ...]] = field(default_factory=dict)


@dataclass(kw_only=True)
class ToyNode:
    """One node.

    ``faults``: by command as typed, or by name put or removed. ``slow``: probes that find a closed port after a start.
    ``answers``: fixed texts by command. ``no_start``: services that do not come up. ``picky``: services that do not
    start without a certificate (T-22).
    """

    name: str
    address: str = "10.0.0.11"
    store: dict[str, bytes | NodeError] = field(default_factory=dict)
    services: dict[str, ToyService] = field(default_factory=dict)
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    no_start: set[str] = field(default_factory=set)
    picky: set[str] = field(default_factory=set)
    slow: int = 0
    answers: dict[str, str] = field(default_factory=dict)
    carried_out: list[str] = field(default_factory=list)
    _closed: int = 0

    def __post_init__(self) -> None:
        self.session = RecordedSession(
            server=self.name, script=self._script, store=self.store, on_put=self._put, on_remove=self._remove
        )

    def holds(
        self, slot: str, *, key: str | None = None, certificate: str | None = None, bundle: str | None = None
    ) -> None:
        """Bind files to a slot and load them."""
        service = self.services.setdefault(service_of(slot), ToyService())
        service.bound[slot] = Binding(slot=slot, key=key, certificate=certificate, bundle=bundle)
        self.load(service)

    def binding(self, slot: str) -> Binding:
        """Return what is bound to a slot."""
        return self.services[service_of(slot)].bound.get(slot) or Binding(slot=slot)

    async def probe(self, _address: str, port: int, _server_name: str) -> Reading[tuple[Certificate, ...]]:
        """Return what the service has loaded; Absent when it does not run."""
        await asyncio.sleep(0)
        slot = next(name for name, known in PORTS.items() if known == port)
        service = self.services.get(service_of(slot))
        if self._closed:
            self._closed -= 1
            return ABSENT
        if service is None or not service.enabled or slot not in service.loaded:
            return ABSENT
        return Known(service.loaded[slot])

    def _script(self, typed: str) -> str | NodeError | Callable[[], str | Awaitable[str]]:
        faults = self.faults.get(typed)
        fault = faults.pop(0) if faults else None
        if fault in {"cut", "lost"}:
            if fault == "lost":
                self._carry_out(typed)
            return ConnectionLost(self.name, "the connection ended")
        if fault is not None:
            return WRONG.get(fault, _never)
        return self.answers[typed] if typed in self.answers else self._carry_out(typed)

    def _carry_out(self, typed: str) -> str:
        words = tuple(typed.split())
        if words[:2] in {("pki", "match"), ("pki", "verify")}:
            return "SUCCESS: Key and certificate match\n" if words[1] == "match" else "SUCCESS: certificate verified\n"
        row = ROWS[words[0]]
        if words in (row.status, *row.more_status):
            return self._screen(row, words) if row.name in self.services else "Unknown command\n"
        self.carried_out.append(typed)
        service = self.services[row.name]
        match words[1:]:
            case ("disable",):
                service.enabled = False
            case ("enable" | "restart",) if row.name in self.picky and not any(
                bound.certificate for bound in service.bound.values()
            ):
                service.enabled = False
                service.loaded.clear()
                return f"FAILURE: no certificates configured\nFAILURE: {row.name} configuration not complete\n"
            case ("enable" | "restart",):
                service.enabled = row.name not in self.no_start
                self.load(service)
                self._closed = self.slow
                return f"SUCCESS: Key and certificate pair match\nSUCCESS: {row.name} enabled\n"
            case _:
                self._bind(service, row, words)
        return ""

    def _bind(self, service: ToyService, row: Service, words: tuple[str, ...]) -> None:
        slot = next(slot for slot in row.slots if words[: len(slot.bind)] == slot.bind)
        files = [None if word == "none" else word for word in words[len(slot.bind) :]]
        if slot.kind == "trust":
            service.bound[slot.name] = Binding(slot=slot.name, bundle=files[0])
        else:
            key, certificate, bundle = (*files, None, None, None)[:3]
            service.bound[slot.name] = Binding(slot=slot.name, key=key, certificate=certificate, bundle=bundle)

    def load(self, service: ToyService) -> None:
        """Let a service load the files that are bound to it."""
        for slot, bound in service.bound.items():
            content = self.store.get(bound.certificate or "")
            if isinstance(content, bytes):
                service.loaded[slot] = read_certificates(content, file=str(bound.certificate))

    def _screen(self, row: Service, words: tuple[str, ...]) -> str:
        service = self.services[row.name]
        rows: Rows = [] if row.name in STATELESS else [("Enabled", str(service.enabled).lower())]
        rows += SCREENS[words](self)
        return "".join(f"{label:<38}: {value or 'none'}\n" for label, value in rows)

    async def _put(self, name: str, content: bytes) -> bytes:
        fault = self._fault(name)
        if fault == "cut":
            raise ConnectionLost(self.name, "the connection ended")
        if fault == "hang":
            await _never()
        if fault == "lost":
            self.store[name] = content
            raise ConnectionLost(self.name, "the connection ended")
        return content[:-1] if fault == "lie" else content

    def _remove(self, name: str) -> None:
        if self._fault(name) == "cut":
            raise ConnectionLost(self.name, "the connection ended")

    def _fault(self, name: str) -> Fault | None:
        faults = self.faults.get(name)
        return faults.pop(0) if faults else None


async def _never() -> str:
    await asyncio.Event().wait()
    raise AssertionError("an event that nobody sets was set")


def _webadmin(node: ToyNode) -> Rows:
    bound = node.binding("webadmin")
    rows: Rows = [
        ("TLS listening interface", "a"),
        ("TLS listening port", str(PORTS["webadmin"])),
        ("Key file", bound.key),
        ("Certificate file", bound.certificate),
    ]
    return rows + ([("CA Bundle file", bound.bundle)] if bound.bundle else [])


def _callbridge(node: ToyNode) -> Rows:
    bound = node.binding("callbridge")
    rows: Rows = [("Listening interfaces", "a"), ("Key file", bound.key), ("Certificate file", bound.certificate)]
    return [
        *rows,
        *([("CA Bundle file", bound.bundle)] if bound.bundle else []),
        ("C2W trusted certs", node.binding("callbridge/trust-c2w").bundle),
        ("Callbridge cluster trusted certs", node.binding("callbridge/trust-cluster").bundle),
        ("Callbridge trust branding certs", None),
    ]


def _webbridge3(node: ToyNode) -> Rows:
    https, c2w = node.binding("webbridge3/https"), node.binding("webbridge3/c2w")
    return [
        ("HTTPS listening ports and interfaces", f"a:{PORTS['webbridge3/https']}"),
        ("HTTPS Key file", https.key),
        ("HTTPS Full chain certificate file", https.certificate),
        ("C2W listening ports and interfaces", f"a:{PORTS['webbridge3/c2w']}"),
        ("C2W Key file", c2w.key),
        ("C2W Full chain certificate file", c2w.certificate),
        ("C2W Trust bundle", node.binding("webbridge3/trust-c2w").bundle),
    ]


def _turn(node: ToyNode) -> Rows:
    bound = node.binding("turn")
    return [
        ("Username", "turnuser"),
        ("Password", "not-to-be-seen"),
        ("TLS port", str(PORTS["turn"])),
        ("TLS cert", bound.certificate),
        ("TLS key", bound.key),
        ("TLS bundle", bound.bundle),
    ]


def _tls_sip(node: ToyNode) -> Rows:
    return [("SIP trust bundle", node.binding("tls/trust-sip").bundle)]


def _tls_ldap(node: ToyNode) -> Rows:
    return [("LDAP trust bundle", node.binding("tls/trust-ldap").bundle)]


SCREENS: dict[tuple[str, ...], Callable[[ToyNode], Rows]] = {
    ("webadmin",): _webadmin,
    ("callbridge",): _callbridge,
    ("webbridge3",): _webbridge3,
    ("turn",): _turn,
    ("tls", "sip"): _tls_sip,
    ("tls", "ldap"): _tls_ldap,
}
