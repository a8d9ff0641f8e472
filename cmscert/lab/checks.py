"""What ``enable`` and ``restart`` look at before they do anything (facts 4, "General pattern")."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from cmscert.lab import material
from cmscert.lab.spec import SlotSpec, Switches
from cmscert.lab.state import ServiceState, slots_of
from cmscert.lab.table import THREE, ReleaseNumber, ServiceRow, SlotRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of the answer."""

    good: bool
    text: str

    def __str__(self) -> str:
        return f"{'SUCCESS' if self.good else 'FAILURE'}: {self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checks:
    """The checks of a node at one moment. Texts of failures but T-22's are unknown (facts 10.2)."""

    files: Mapping[str, bytes]
    release: ReleaseNumber
    switches: Switches
    at: datetime

    def service(self, service: ServiceState) -> list[Line]:
        """Return all lines but the closing one."""
        identities = [slot for slot in slots_of(service.row, self.release) if slot.kind == "identity"]
        lines = [line for slot in identities for line in self._slot(service, slot)]
        lines += [line for slot in slots_of(service.row, self.release) for line in self._trust(service, slot)]
        if all(line.good for line in lines):
            return [*self._remembered(service.row), *lines]
        return lines

    def _remembered(self, row: ServiceRow) -> Iterator[Line]:
        if self.switches.enable_wording != "remembered":
            return
        texts = {
            "webadmin": ("TLS interface and port configured",),
            "callbridge": ("listen interface configured",),
            "xmpp": ("Callbridge activated", "Domain configured"),
        }
        for text in texts.get(row.name, ()):
            yield Line(good=True, text=text)

    def _slot(self, service: ServiceState, slot: SlotRow) -> Iterator[Line]:
        files = service.files(slot.name)
        listening = service.listening.get(slot.name)
        silent = listening is not None and listening.port is None
        if not files.key or not files.certificate:
            if silent and _runs_without_tls(service.row.name, self.release):
                return
            yield Line(good=False, text=_no_certificates(service.row.name, self.release))
            return
        missing = [name for name in (files.key, files.certificate, files.bundle) if name and name not in self.files]
        if missing:
            yield from (Line(good=False, text=f"file {name} does not exist") for name in missing)
            return
        try:
            yield from self._pair(slot, files)
        except material.UnreadableError:
            yield Line(good=False, text=f"{self._prefix(slot)}key or certificate cannot be read")

    def _prefix(self, slot: SlotRow) -> str:
        return slot.name_prefix if self.switches.enable_wording == "remembered" else ""

    def _pair(self, slot: SlotRow, files: SlotSpec) -> Iterator[Line]:
        assert files.key is not None
        assert files.certificate is not None
        chain = material.certificates(self.files[files.certificate])
        if material.fits(self.files[files.key], self.files[files.certificate]):
            yield Line(good=True, text=f"{self._prefix(slot)}Key and certificate pair match")
        else:
            yield Line(good=False, text=f"{self._prefix(slot)}Key and certificate pair do not match")
        if self.switches.expired_fails_enable and chain[0].not_valid_after_utc < self.at:
            yield Line(good=False, text=f"{self._prefix(slot)}certificate has expired")
        if slot.full_chain:
            yield from self._full_chain(slot, good=material.is_full_chain(chain))
        elif files.bundle and slot.third == "bundle":
            bundle = material.certificates(self.files[files.bundle])
            if material.chains_to(chain[0], chain[1:], bundle):
                yield Line(good=True, text="certificate verified against CA bundle")
            else:
                yield Line(good=False, text="certificate not verified against CA bundle")

    def _full_chain(self, slot: SlotRow, *, good: bool) -> Iterator[Line]:
        if not good:
            yield Line(good=False, text=f"{self._prefix(slot)}full chain of certificates does not verify")
        elif self.switches.enable_wording == "remembered":
            yield Line(good=True, text=f"{self._prefix(slot)}full chain of certificates verifies correctly")

    def _trust(self, service: ServiceState, slot: SlotRow) -> Iterator[Line]:
        bundle = service.files(slot.name).bundle
        if slot.kind != "trust" or bundle is None:
            return
        if bundle not in self.files:
            yield Line(good=False, text=f"file {bundle} does not exist")
            return
        try:
            material.certificates(self.files[bundle])
        except material.UnreadableError:
            yield Line(good=False, text=f"trust bundle {bundle} cannot be read")


def _runs_without_tls(name: str, release: ReleaseNumber) -> bool:
    return name == "turn" or (name in {"recorder", "streamer"} and release >= THREE)  # T-35: tls none


def _no_certificates(name: str, release: ReleaseNumber) -> str:
    if name in {"recorder", "streamer"} and release >= THREE:
        return "TLS port set but no certificates configured"  # T-22
    return "no certificates configured"
