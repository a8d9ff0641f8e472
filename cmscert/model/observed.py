"""What was read from a node."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal, TypeVar

from cmscert.model.database import DatabaseState
from cmscert.model.marker import Marker
from cmscert.model.names import Release
from cmscert.model.readings import NOT_ASKED, Known, Reading
from cmscert.pki.certificate import Certificate

T = TypeVar("T")

MARKER = "cmscert-lock-"
"""How the names of the files begin that mark a node as being changed by a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """The file names bound to a slot; None stands for the screen's ``none`` or a missing row.

    Identity slots use ``key``, ``certificate`` and ``bundle`` (the third file); trust slots use ``bundle`` only.
    """

    slot: str
    key: str | None = None
    certificate: str | None = None
    bundle: str | None = None
    tag: str | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """The names bound, without gaps."""
        return tuple(name for name in (self.key, self.certificate, self.bundle) if name is not None)


def same_files(left: Binding, right: Binding) -> bool:
    """Tell whether two bindings name the same files; a tag is not always shown."""
    return (left.key, left.certificate, left.bundle) == (right.key, right.certificate, right.bundle)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """A TLS port of a slot, as the screen tells it."""

    interface: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceState:
    """A status screen, read. ``enabled`` is None where the screen has no such row (``callbridge``, T-31).

    ``untold``: slots of which the screen shows no row at all. Their binding reads as empty, but nothing proves it.
    """

    service: str
    enabled: bool | None = None
    bindings: Mapping[str, Binding] = field(default_factory=dict)
    listens: Mapping[str, tuple[Listen, ...]] = field(default_factory=dict)
    untold: tuple[str, ...] = ()

    def binding(self, slot: str) -> Binding:
        """Return what is bound to a slot; an empty binding when nothing is."""
        return self.bindings.get(slot) or Binding(slot=slot)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file of the node's store that was read. ``certificates`` is empty when it holds none that can be parsed."""

    name: str
    sha256: str
    certificates: tuple[Certificate, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedServer:
    """One node, read.

    ``clock_skew``: node's clock minus ours in seconds. ``password_expires``: of the account that is logged in.
    ``files``: names in the flat store. ``contents``: only files that were asked for. ``screens``: by service.
    ``matches``: by (key file, certificate file), whether ``pki match`` says that they belong together.
    ``served``: by slot, the chain that a TLS port showed, leaf first.
    ``database``: the cluster's status; Absent when the node does not know the command.
    ``markers``: the lock files of runs that its store holds; no part of the digest.
    """

    name: str
    reached: Reading[Literal[True]]
    release: Reading[Release] = NOT_ASKED
    clock_skew: Reading[float] = NOT_ASKED
    password_expires: Reading[date] = NOT_ASKED
    files: Reading[tuple[str, ...]] = NOT_ASKED
    contents: Mapping[str, Reading[StoredFile]] = field(default_factory=dict)
    screens: Mapping[str, Reading[ServiceState]] = field(default_factory=dict)
    matches: Mapping[tuple[str, str], Reading[bool]] = field(default_factory=dict)
    served: Mapping[str, Reading[tuple[Certificate, ...]]] = field(default_factory=dict)
    database: Reading[DatabaseState] = NOT_ASKED
    markers: tuple[Reading[Marker], ...] = ()

    def screen(self, service: str) -> Reading[ServiceState]:
        """Return the reading of a service's screen; Unread when it was not asked for."""
        return self.screens.get(service, NOT_ASKED)

    def content(self, name: str) -> Reading[StoredFile]:
        """Return the reading of a file; Unread when it was not asked for."""
        return self.contents.get(name, NOT_ASKED)

    def parts(self) -> dict[str, str]:
        """Return everything that a plan leans on, part by part: what it is, and SHA-256 over what was read.

        ``reached``, ``release``, ``files`` and ``database`` stand alone. The others are followed by a blank and a name:
        ``file NAME``, ``content NAME``, ``service NAME``, ``ports SLOT``, ``slot SLOT``, ``match KEY CERTIFICATE``,
        ``served SLOT``. Clocks and the expiry of passwords are left out: they move by themselves.
        """
        return dict(sorted((name, _sha256(fact)) for name, fact in self._facts()))

    def digest(self, parts: Mapping[str, str] | None = None) -> str:
        """SHA-256 over all parts, which may be given where they were made already."""
        return _sha256([self.name, self.parts() if parts is None else parts])

    def _facts(self) -> Iterator[tuple[str, object]]:
        yield "reached", _plain(self.reached, bool)
        yield "release", _plain(self.release, str)
        yield "database", _plain(self.database, repr)
        yield from self._file_facts()
        for name, screen in self.screens.items():
            yield f"service {name}", _plain(screen, lambda state: state.enabled)
            yield from _slot_facts(screen.value) if isinstance(screen, Known) else ()
        for (key, certificate), match in self.matches.items():
            yield f"match {key} {certificate}", _plain(match, bool)
        for slot, served in self.served.items():
            yield f"served {slot}", _plain(served, lambda chain: [crt.sha256 for crt in chain])

    def _file_facts(self) -> Iterator[tuple[str, object]]:
        yield "files", self.files.kind
        for name in self.files.value if isinstance(self.files, Known) else ():
            if material_like(name):
                yield f"file {name}", True
        for name, content in self.contents.items():
            if not name.startswith(MARKER):
                yield f"content {name}", _plain(content, lambda file: file.sha256)


def _slot_facts(state: ServiceState) -> Iterator[tuple[str, object]]:
    for slot, bound in state.bindings.items():
        yield f"slot {slot}", [bound.key, bound.certificate, bound.bundle, bound.tag]
    for slot, ports in state.listens.items():
        yield f"ports {slot}", sorted([listen.interface, listen.port] for listen in ports)


def material_like(name: str) -> bool:
    """Tell whether a file name can be certificate material ([S11]: pem, cer, crt; keys and requests).

    Markers of runs have such a name too, and are none.
    """
    return name.lower().endswith((".crt", ".cer", ".pem", ".der", ".key", ".csr")) and not name.startswith(MARKER)


_written = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode  # json.dumps makes an encoder every time


def _sha256(fact: object) -> str:
    return hashlib.sha256(_written(fact).encode()).hexdigest()


def _plain(reading: Reading[T], show: Callable[[T], object]) -> list[object]:
    return [reading.kind, show(reading.value)] if isinstance(reading, Known) else [reading.kind]
