"""From a server and a slot back to the line of the inventory that asks for it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from cmscert.inventory.document import Document, KeyPath
from cmscert.inventory.outline import Outline, ServerOutline
from cmscert.model.places import Asked, Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Finds places when somebody asks; a plan that nobody points at costs nothing."""

    document: Document
    outline: Outline

    def asked(self, slots: Mapping[str, Collection[str]], databases: Collection[str]) -> tuple[Asked, ...]:
        """Return what was compared: by server in that order, itself, these slots, its part in these databases."""
        return tuple(each for name, compared in slots.items() for each in self._of(name, compared, databases))

    def _of(self, name: str, compared: Collection[str], databases: Collection[str]) -> Iterator[Asked]:
        server = self.outline.server(name)
        own = self._place(("servers", name))
        yield Asked(server=name, slot=None, place=self._place(_about(server)))
        for slot in server.slots:
            if slot.slot in compared:
                by = own if slot.keys[0] == "roles" else None
                yield Asked(server=name, slot=slot.slot, place=self._place(slot.keys), by=by)
        for database in self.outline.databases:
            for part, members in (("nodes", database.nodes), ("clients", database.clients)):
                if database.name in databases and name in members:
                    place = self._place(("databases", database.name, part, members.index(name)))
                    yield Asked(server=name, slot=f"database/{database.name}", place=place, by=own)

    def _place(self, keys: KeyPath) -> Place:
        fault = self.document.fault(keys, "", key=True)
        return Place(line=fault.line or 1, column=fault.column or 1, path=fault.path or "")


def _about(server: ServerOutline) -> KeyPath:
    """What is said of a server as a whole is its release, and else that it is there."""
    return ("servers", server.name, "release") if server.release is not None else ("servers", server.name)
