"""Servers of the inventory: their slots from roles and own services, the names these use, addresses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from cmscert.inventory.certificates import Certificates
from cmscert.inventory.checking import Checking
from cmscert.inventory.complaints import suggestion
from cmscert.inventory.forms import ServerForm
from cmscert.inventory.logins import login_of
from cmscert.inventory.outline import Keys, ServerOutline, SlotOutline
from cmscert.inventory.slots import flatten, identity_slots, services, slot_faults
from cmscert.model.names import Release


@dataclass(slots=True)
class Servers:
    """Makes the outlines of servers. Servers of the same roles and release share their slots."""

    checking: Checking
    certificates: Certificates
    _roles: dict[str, tuple[SlotOutline, ...]] = field(default_factory=dict)
    _checked: set[tuple[str, Release | None]] = field(default_factory=set)

    def all(self) -> tuple[ServerOutline, ...]:
        """Return every server's outline, and note what is wrong."""
        form = self.checking.form
        for role, role_form in form.roles.items():
            self._roles[role] = flatten(role_form, ("roles", role))
            self._references(self._roles[role])
        found = tuple(self._server(name, server) for name, server in form.servers.items())
        self._addresses(found)
        self._leaves(found)
        return found

    def _server(self, name: str, form: ServerForm) -> ServerOutline:
        release = Release.parse(form.release) if form.release is not None else None
        own = flatten(form.services, ("servers", name, "services"))
        self._references(own)
        slots = self._merged(name, form, own)
        for role in form.roles:
            if role in self._roles and (role, release) not in self._checked:
                self._checked.add((role, release))
                self._release(self._roles[role], release, name)
        self._release(own, release, None)
        for slot in slots:
            if slot.certificate is not None:
                self.certificates.use(slot.certificate, name, form)
        return ServerOutline(
            name=name,
            address=form.address,
            fqdn=form.fqdn,
            login=login_of(self.checking, name, form),
            release=release,
            roles=form.roles,
            labels=form.labels,
            database_address=form.database_address,
            slots=slots,
        )

    def _merged(self, name: str, form: ServerForm, own: tuple[SlotOutline, ...]) -> tuple[SlotOutline, ...]:
        """Put roles and own services together, slot by slot; own entries win, roles must agree."""
        mine = {slot.slot: slot for slot in own}
        found: dict[str, tuple[SlotOutline, str]] = {}
        keys: Keys = ("servers", name, "roles")
        for number, role in enumerate(form.roles):
            self.checking.known((*keys, number), "roles", role, self.checking.form.roles)
            for slot in self._roles.get(role, ()):
                other, from_role = found.setdefault(slot.slot, (slot, role))
                if other != slot and slot.slot not in mine:
                    message = f"the roles {from_role} and {role} disagree on {slot.slot}: say it under services"
                    self.checking.add(keys, message, reason="roles-disagree")
        return tuple({**{slot: one for slot, (one, _) in found.items()}, **mine}.values())

    def _release(self, slots: Iterable[SlotOutline], release: Release | None, server: str | None) -> None:
        for slot in slots:
            for message in slot_faults(slot, release):
                which = f" (server {server})" if server is not None else ""
                self.checking.add(slot.keys, message + which, reason="unknown-slot", key=True)

    def _references(self, slots: Iterable[SlotOutline]) -> None:
        form = self.checking.form
        for slot in slots:
            if slot.certificate is not None:
                place = (*slot.keys, "certificate")
                self.checking.known(place, "certificates", slot.certificate, form.certificates)
            if slot.bundle is not None:
                self.checking.known((*slot.keys, "bundle"), "bundles", slot.bundle, form.bundles)
            at = (*slot.keys, "trust") if slot.certificate is not None else slot.keys
            for number, bundle in enumerate(slot.trust):
                one: Keys = at if len(slot.trust) == 1 else (*at, number)
                self.checking.known(one, "bundles", bundle, form.bundles)
            if slot.leaves_of is not None and not identity_slots(slot.leaves_of):
                hint = suggestion(slot.leaves_of, services(), listing=False)
                message = f"there is no service {slot.leaves_of} that holds a certificate{hint}"
                self.checking.add((*at, "leaves_of"), message, reason="unknown-reference")

    def _addresses(self, servers: tuple[ServerOutline, ...]) -> None:
        seen: dict[tuple[str, int], str] = {}
        for server in servers:
            other = seen.setdefault((server.address.lower(), server.login.port), server.name)
            if other != server.name:
                message = f"{server.address} port {server.login.port} is the address of {other} too"
                self.checking.add(("servers", server.name, "address"), message, reason="duplicate-address")

    def _leaves(self, servers: tuple[ServerOutline, ...]) -> None:
        """Note trust in a service that no server has."""
        held = {slot.slot for server in servers for slot in server.slots if slot.certificate is not None}
        for server in servers:
            for slot in server.slots:
                wanted = identity_slots(slot.leaves_of) if slot.leaves_of is not None else ()
                if wanted and held.isdisjoint(wanted):
                    message = f"no server holds a certificate for {slot.leaves_of}"
                    self.checking.add(slot.keys, message, reason="unused-service")
