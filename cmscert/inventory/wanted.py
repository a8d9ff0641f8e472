"""From an outline and its material to what every slot must hold (contract, "Which file a slot gets")."""

from __future__ import annotations

from dataclasses import dataclass, field

from cmscert.inventory.databases import minting, unhandled
from cmscert.inventory.document import draw
from cmscert.inventory.material import Shelf
from cmscert.inventory.outline import DatabaseOutline, Keys, Outline, ServerOutline, SlotOutline
from cmscert.inventory.slots import identity_slots, slots_of
from cmscert.model.desired import (
    Bundle,
    Material,
    Unhandled,
    WantedDatabase,
    WantedIdentity,
    WantedServer,
    WantedSlot,
    WantedTrust,
)
from cmscert.model.services import IdentitySlot
from cmscert.pki.certificate import Certificate
from cmscert.pki.chain import ordered

_ISSUED = "obtained by an issuer, which this release does not do yet"
_SHOWN = 3
_BUNDLE_NAME = 51  # with -12345678.crt 64, the longest name on a node


@dataclass(slots=True)
class Wanted:
    """Resolves slots. A slot that leans on something not handled yet, or not loaded, is left out."""

    outline: Outline
    shelf: Shelf
    _left_out: dict[tuple[Keys, str], list[str]] = field(default_factory=dict)
    _bundles: dict[tuple[str, ...], Bundle | None] = field(default_factory=dict)
    _leaves: dict[str, Bundle | None] = field(default_factory=dict)

    def servers(self) -> tuple[WantedServer, ...]:
        """Return what every server must hold."""
        return tuple(
            WantedServer(
                name=server.name,
                address=server.address,
                fqdn=server.fqdn,
                release=server.release,
                roles=server.roles,
                labels=server.labels,
                database_address=server.database_address,
                slots=tuple(wanted for slot in server.slots if (wanted := self._slot(server, slot)) is not None),
            )
            for server in self.outline.servers
        )

    def unhandled(self) -> tuple[Unhandled, ...]:
        """Return what had to be left out, in the order in which it was met; call it after ``servers``."""
        found = [
            Unhandled(path=draw(keys), message=f"{message}; left out: {_few(places)}")
            for (keys, message), places in self._left_out.items()
        ]
        return (*found, *unhandled(self.outline))

    def databases(self) -> tuple[WantedDatabase, ...]:
        """Return what the database clusters must hold; one that is not handled, or not loaded, is left out."""
        left_out = {one.path for one in unhandled(self.outline)}
        found = [self._database(one) for one in self.outline.databases if f"databases.{one.name}" not in left_out]
        return tuple(one for one in found if one is not None)

    def material(self, name: str | None, server: str) -> Material | None:
        """Return the material of a certificate for a server; None when it was not loaded."""
        return self.shelf.materials.get((name or "", server)) or self.shelf.materials.get((name or "", None))

    def bundle(self, *names: str) -> Bundle | None:
        """Return one bundle of the union of some; None when one of them was not loaded."""
        if names not in self._bundles:
            piles = [self.shelf.bundles.get(name) for name in names]
            whole = (
                None
                if None in piles
                else Bundle(
                    name="-".join(names)[:_BUNDLE_NAME].rstrip("-"),
                    certificates=ordered(one for pile in piles for one in pile or ()),
                )
            )
            self._bundles[names] = whole
        return self._bundles[names]

    def _slot(self, server: ServerOutline, slot: SlotOutline) -> WantedSlot | None:
        found = slots_of(server.release).get(slot.slot)
        if found is None or not self._handled(server, slot):
            return None
        if isinstance(found[1], IdentitySlot):
            return self._identity(server, slot, found[1])
        bundle = self._trust(slot)
        return None if bundle is None else WantedTrust(slot=slot.slot, bundle=bundle, leaves_of=slot.leaves_of)

    def _identity(self, server: ServerOutline, slot: SlotOutline, row: IdentitySlot) -> WantedIdentity | None:
        material = self.material(slot.certificate, server.name)
        third = self.bundle(slot.bundle) if slot.bundle is not None else self._trust(slot)
        if material is None or (third is None and (slot.bundle is not None or slot.trusts)):
            return None
        alone = slot.bundle is not None and not row.full_chain
        return WantedIdentity(
            slot=slot.slot,
            material=material,
            file_certificates=(material.leaf,) if alone else material.full_chain,
            bundle=third,
            tag=slot.tag,
            address=slot.address,
            port=slot.port,
        )

    def _database(self, outline: DatabaseOutline) -> WantedDatabase | None:
        made = minting(self.outline, outline)
        if made is not None:
            return WantedDatabase(
                name=outline.name,
                nodes=outline.nodes,
                clients=outline.clients,
                primary=outline.primary,
                interface=outline.interface,
                minting=made,
            )
        ca = self.bundle(outline.ca)
        server = {name: self.material(outline.server, name) for name in outline.nodes}
        client = {name: self.material(outline.client, name) for name in (*outline.nodes, *outline.clients)}
        if ca is None or None in (*server.values(), *client.values()):
            return None
        return WantedDatabase(
            name=outline.name,
            nodes=outline.nodes,
            clients=outline.clients,
            primary=outline.primary,
            interface=outline.interface,
            server={name: one for name, one in server.items() if one is not None},
            client={name: one for name, one in client.items() if one is not None},
            ca=ca,
        )

    def _trust(self, slot: SlotOutline) -> Bundle | None:
        if slot.leaves_of is not None:
            return self._leaf_bundle(slot.leaves_of)
        return self.bundle(*slot.trust) if slot.trust else None

    def _leaf_bundle(self, service: str) -> Bundle | None:
        """Return the leaf certificates of a service across the fleet; None when some are not there."""
        if service not in self._leaves:
            materials = [self.material(slot.certificate, server.name) for server, slot in self._holders(service)]
            leaves: list[Certificate] = [one.leaf for one in materials if one is not None]
            whole = bool(leaves) and len(leaves) == len(materials)
            name = f"{service.replace('/', '-')}-leaves"
            self._leaves[service] = Bundle(name=name, certificates=ordered(leaves)) if whole else None
        return self._leaves[service]

    def _holders(self, service: str) -> list[tuple[ServerOutline, SlotOutline]]:
        slots = identity_slots(service)
        return [
            (server, slot)
            for server in self.outline.servers
            for slot in server.slots
            if slot.certificate is not None and slot.slot in slots
        ]

    def _handled(self, server: ServerOutline, slot: SlotOutline) -> bool:
        """Tell whether everything that a slot leans on comes from files, and note what does not."""
        place = f"{slot.slot} on {server.name}"
        handled = self._certificate_handled(server, slot, place)
        bundles = (*slot.trust, *(() if slot.bundle is None else (slot.bundle,)))
        for name in bundles:
            handled = self._bundle_handled(name, place) and handled
        if slot.leaves_of is not None and any(
            not self._from_files(one.certificate or "", holder) for holder, one in self._holders(slot.leaves_of)
        ):
            self._leave_out(slot.keys, f"needs leaf certificates of {slot.leaves_of} that are {_ISSUED}", place)
            handled = False
        return handled

    def _certificate_handled(self, server: ServerOutline, slot: SlotOutline, place: str) -> bool:
        if slot.certificate is None or self._from_files(slot.certificate, server):
            return True
        form = self.outline.certificate(slot.certificate, server.name)
        if form.issuer is not None:
            self._leave_out(form.keys, _ISSUED, place)
            return False
        return self._bundle_handled(form.chain or "", place)

    def _from_files(self, name: str, server: ServerOutline) -> bool:
        """Tell whether a certificate and its chain come from files; what is not declared is a fault, not this."""
        try:
            form = self.outline.certificate(name, server.name)
        except KeyError:
            return True
        chain = self.outline.bundles.get(form.chain or "")
        return form.issuer is None and (chain is None or chain.issuer is None)

    def _bundle_handled(self, name: str, place: str) -> bool:
        bundle = self.outline.bundles.get(name)
        if bundle is None or bundle.issuer is None:
            return True
        self._leave_out(("bundles", name), _ISSUED, place)
        return False

    def _leave_out(self, keys: Keys, message: str, place: str) -> None:
        self._left_out.setdefault((keys, message), []).append(place)


def _few(places: list[str]) -> str:
    more = len(places) - _SHOWN
    return ", ".join(places[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
