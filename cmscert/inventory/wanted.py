"""From an outline and its material to what every slot must hold (contract, "Which file a slot gets")."""

from __future__ import annotations

from dataclasses import dataclass, field

from cmscert.inventory.databases import minting, unhandled
from cmscert.inventory.material import Shelf
from cmscert.inventory.outline import DatabaseOutline, Outline, ServerOutline, SlotOutline
from cmscert.inventory.slots import identity_slots, slots_of
from cmscert.model.desired import (
    Awaited,
    Bundle,
    Material,
    Renewal,
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

_BUNDLE_NAME = 51  # with -12345678.crt 64, the longest name on a node


@dataclass(slots=True)
class Wanted:
    """Resolves slots. A slot that leans on something that an issuer owes, or that was not loaded, is left out."""

    outline: Outline
    shelf: Shelf
    _awaited: dict[tuple[str, str], Awaited] = field(default_factory=dict)
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
                pending=self.shelf.supplies.pending.get(server.name, ()),
            )
            for server in self.outline.servers
        )

    def awaited(self) -> tuple[Awaited, ...]:
        """Return the slots that were left out because an issuer owes something; call it last."""
        return tuple(self._awaited.values())

    def renewals(self) -> tuple[Renewal, ...]:
        """Return what is asked for anew, or could not be had, while the old one still does."""
        return tuple(
            Renewal(certificate=name, server=server, why=why)
            for (name, server), why in self.shelf.supplies.waiting.items()
            if (name, server) in self.shelf.materials
        )

    def databases(self) -> tuple[WantedDatabase, ...]:
        """Return what the database clusters must hold; one that is not handled, or not loaded, is left out."""
        left_out = {one.path for one in unhandled(self.outline)}
        found = [self._database(one) for one in self.outline.databases if f"databases.{one.name}" not in left_out]
        return tuple(one for one in found if one is not None)

    def unhandled(self) -> tuple[Unhandled, ...]:
        """Return what this release does not do yet."""
        return tuple(unhandled(self.outline))

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
        if found is None or self._owed(server, slot):
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
        if self._cluster_owed(outline):
            return None
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

    def _owed(self, server: ServerOutline, slot: SlotOutline) -> bool:
        """Tell whether an issuer owes something that a slot leans on, and note it."""
        owed = self._certificate_owed(slot.certificate, server.name)
        for name in (*slot.trust, *(() if slot.bundle is None else (slot.bundle,))):
            owed = owed or self._bundle_owed(name)
        for holder, one in self._holders(slot.leaves_of) if slot.leaves_of is not None else ():
            owed = owed or self._certificate_owed(one.certificate, holder.name)
        if owed is None:
            return False
        self._note(server.name, slot.slot, owed)
        return True

    def _cluster_owed(self, outline: DatabaseOutline) -> bool:
        owed = self._bundle_owed(outline.ca)
        for name in outline.nodes:
            owed = owed or self._certificate_owed(outline.server, name)
        for name in (*outline.nodes, *outline.clients):
            owed = owed or self._certificate_owed(outline.client, name)
        if owed is None:
            return False
        self._note(outline.primary, f"database/{outline.name}", owed)
        return True

    def _certificate_owed(self, name: str | None, server: str) -> tuple[str, str] | None:
        """Return what an issuer owes for a certificate on a server: (name, why)."""
        for use in ((name or "", server), (name or "", None)):
            if use in self.shelf.owed:
                return use[0], self.shelf.owed[use]
            outline = self.outline.certificates.get(use)
            if outline is not None:
                return self._bundle_owed(outline.chain or "")
        return None

    def _bundle_owed(self, name: str) -> tuple[str, str] | None:
        bundle = self.outline.bundles.get(name)
        if bundle is None or bundle.issuer is None or name in self.shelf.bundles:
            return None
        return name, f"issuer {bundle.issuer} has delivered nothing yet: run cmscert renew"

    def _note(self, server: str, slot: str, owed: tuple[str, str]) -> None:
        certificate, why = owed
        self._awaited[server, slot] = Awaited(server=server, slot=slot, certificate=certificate, why=why)
