"""One server as the planner sees it: what is wanted and what was read, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cmscert.model.desired import WantedServer
from cmscert.model.names import Release, service_of
from cmscert.model.observed import Binding, ObservedServer, ServiceState, StoredFile
from cmscert.model.readings import ABSENT, Absent, Known, Reading, Unread
from cmscert.model.services import Service, ServiceTable, Slot, rows_for
from cmscert.pki.certificate import Certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """``wanted`` may hold a selection of slots; ``rows`` are the services of the release that the node runs.

    ``saved``: by file that an unfinished run overwrote, the name of its good copy. ``torn``: files that may be there
    in part.
    """

    wanted: WantedServer
    observed: ObservedServer
    release: Release | None
    rows: dict[str, Service]
    saved: Mapping[str, str] = field(default_factory=dict)
    torn: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The server's name."""
        return self.wanted.name

    def slot(self, name: str) -> Slot | None:
        """Return the row of a slot, None when this release does not know it."""
        row = self.rows.get(service_of(name))
        return row.slot(name) if row else None

    def state(self, service: str) -> ServiceState | None:
        """Return a service's screen when it was read."""
        reading = self.observed.screen(service)
        return reading.value if isinstance(reading, Known) else None

    def binding(self, slot: str) -> Binding:
        """Return what is bound to a slot; an empty binding when nothing is, or nothing was read."""
        state = self.state(service_of(slot))
        return state.binding(slot) if state else Binding(slot=slot)

    def file(self, name: str) -> Reading[StoredFile]:
        """Return a file's content; Absent when the list of files does not have it."""
        listed = self.observed.files
        if isinstance(listed, Known) and name not in listed.value:
            return ABSENT
        reading = self.observed.content(name)
        if isinstance(reading, Absent) and not isinstance(listed, Known):
            return Unread("the list of files could not be read")
        return reading

    def certificates(self, name: str | None) -> tuple[Certificate, ...]:
        """Return the certificates of a file; empty when it is missing, unread or holds none."""
        reading = self.file(name) if name else ABSENT
        return reading.value.certificates if isinstance(reading, Known) else ()

    def stored(self, name: str) -> bool:
        """Tell whether a file is known to be in the store."""
        listed = self.observed.files
        return isinstance(listed, Known) and name in listed.value

    def saved_copy(self, file: str) -> str | None:
        """Return the good copy of a file that an unfinished run overwrote, when it is in the store and can be read."""
        copy = self.saved.get(file)
        if copy is None or not self.stored(copy):
            return None
        return copy if copy.endswith(".key") or self.certificates(copy) else None

    def shown(self, slot: str) -> tuple[Certificate, ...]:
        """Return what a peer sees of an identity slot today: as served, or else as bound."""
        served = self.observed.served.get(slot)
        if isinstance(served, Known) and served.value:
            return served.value
        return self.certificates(self.binding(slot).certificate)


def see(wanted: WantedServer, observed: ObservedServer, table: ServiceTable) -> Sight:
    """Pair what is wanted with what was read; the release is the node's own word, or else the inventory's."""
    release = observed.release.value if isinstance(observed.release, Known) else wanted.release
    rows = rows_for(table, release) if release is not None else {}
    return Sight(wanted=wanted, observed=observed, release=release, rows=rows)
