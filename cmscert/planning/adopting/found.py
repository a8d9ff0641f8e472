"""What a node holds, slot by slot, as far as an inventory can ask for it; the rest is a remark."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from cmscert.model.database import DatabaseState
from cmscert.model.names import Release
from cmscert.model.observed import Binding, ObservedServer, ServiceState
from cmscert.model.readings import Absent, Known, Reading, Unread
from cmscert.model.services import IdentitySlot, Service, ServiceTable, Slot, rows_for
from cmscert.pki.certificate import Certificate
from cmscert.planning.adopting.names import said

Certificates = tuple[Certificate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node that was read. ``hostname``: what its log says. ``user`` and ``port``: of the login."""

    address: str
    port: int
    user: str
    observed: ObservedServer
    hostname: str | None = None

    @property
    def release(self) -> Release | None:
        """What the node says itself."""
        reading = self.observed.release
        return reading.value if isinstance(reading, Known) else None

    @property
    def database(self) -> DatabaseState | None:
        """The status of its database cluster, where it is part of one."""
        reading = self.observed.database
        return reading.value if isinstance(reading, Known) and reading.value.standing else None

    def certificates(self, file: str | None) -> Certificates:
        """Return the certificates of a file; empty when it is missing, unread or holds none."""
        content = self.observed.content(file) if file else None
        return content.value.certificates if isinstance(content, Known) else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """An identity slot. ``tail``: what its file must hold behind the leaf; None where it is the leaf alone.

    ``bundle``: the third file where that is a CA bundle; ``trust``: where it is a trust list.
    """

    slot: str
    leaf: Certificate
    tail: Certificates | None
    bundle: Certificates = ()
    trust: Certificates = ()
    tag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """A trust slot, or the trust list of an identity slot: whom it accepts. ``accepts``: as in the service table."""

    slot: str
    held: Certificates
    accepts: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class Found:
    """Everything of a node that the inventory will ask for, in the order of the service table."""

    node: Node
    identities: dict[str, Identity] = field(default_factory=dict)
    trusts: dict[str, Trust] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def find(node: Node, table: ServiceTable) -> Found:
    """Take a node's slots apart."""
    found = Found(node=node)
    release = node.release
    if release is None:
        found.remarks.append(f"could not be known: the release ({_why(node.observed.release)})")
    rows = rows_for(table, release) if release is not None else {row.name: row for row in table}
    for row in rows.values():
        screen = node.observed.screen(row.name)
        if isinstance(screen, Unread):
            found.remarks.append(f"could not be known: {row.name} ({said(screen.why)})")
        elif isinstance(screen, Known):
            for slot in row.slots:
                _take(found, row, slot, screen.value)
    return found


def _take(found: Found, row: Service, slot: Slot, state: ServiceState) -> None:
    bound = state.binding(slot.name)
    fault = _fault(found.node, slot, bound)
    if fault is not None:
        found.remarks.append(f"{slot.name} is left out: {fault}")
        return
    if not isinstance(slot, IdentitySlot):
        if bound.bundle is not None:
            held = found.node.certificates(bound.bundle)
            found.trusts[slot.name] = Trust(slot=slot.name, held=held, accepts=slot.accepts)
    elif bound.certificate is not None:
        found.identities[slot.name] = _identity(found, slot, bound)
        if found.identities[slot.name].trust:
            held = found.identities[slot.name].trust
            found.trusts[slot.name] = Trust(slot=slot.name, held=held, accepts=slot.accepts)
        if state.enabled is False:
            found.remarks.append(f"{row.name} is stopped")
        elif slot.listens and slot.name not in state.listens and not _answers(found.node, slot):
            found.remarks.append(
                f"could not be known: the port of {slot.name}; say it as `port`, so that it is looked at"
            )


def _answers(node: Node, slot: IdentitySlot) -> bool:
    served = node.observed.served.get(slot.name)
    return isinstance(served, Known) and bool(served.value)


def _fault(node: Node, slot: Slot, bound: Binding) -> str | None:
    """Say why an inventory cannot ask for what is bound; None when it can, or when nothing is bound."""
    if isinstance(slot, IdentitySlot):
        if not bound.files:
            return None
        if bound.key is None or bound.certificate is None:
            return "not both of a key and a certificate are bound"
        if slot.tagged and (bound.tag is None or bound.bundle is None):
            return "no tag or no trust list is shown for it"
    for name in (bound.certificate, bound.bundle):
        if name is not None and not node.certificates(name):
            return f"{said(name)} {_unusable(node.observed, name)}"
    held = node.certificates(bound.certificate)
    if isinstance(slot, IdentitySlot) and slot.full_chain and len(held) == 1 and not held[0].self_issued:
        return f"it needs the full chain, and {said(bound.certificate or '')} holds the leaf alone"
    return None


def _unusable(observed: ObservedServer, name: str) -> str:
    content = observed.content(name)
    if isinstance(content, Absent):
        return "is bound and not in the store"
    return f"could not be read ({said(content.why)})" if isinstance(content, Unread) else "holds no certificate"


def _identity(found: Found, slot: IdentitySlot, bound: Binding) -> Identity:
    held = found.node.certificates(bound.certificate)
    leaf = leaf_of(held)
    third = found.node.certificates(bound.bundle) if slot.third is not None else ()
    tail: Certificates | None = tuple(dict.fromkeys(one for one in held if one != leaf))
    bundle = third if slot.third == "bundle" else ()
    if bundle and tail:
        found.remarks.append(
            f"{slot.name}: its certificate file holds the whole chain, so the bundle {said(bound.bundle or '')} that "
            "is bound too is not asked for"
        )
        bundle = ()
    return Identity(
        slot=slot.name,
        leaf=leaf,
        tail=None if bundle else tail,
        bundle=bundle,
        trust=third if slot.third == "trust" else (),
        tag=bound.tag if slot.tagged else None,
    )


def leaf_of(held: Certificates) -> Certificate:
    """Return the leaf of a certificate file: the first one, unless that is a CA and one other is none."""
    others = [one for one in held if not one.is_ca]
    return others[0] if held[0].is_ca and len(others) == 1 else held[0]


def _why(reading: Reading[Release]) -> str:
    return said(reading.why) if isinstance(reading, Unread) else "the server does not tell it"


def database_material(node: Node) -> Iterator[tuple[str, Certificate]]:
    """Yield the certificates of a database member: (use, leaf)."""
    state = node.database
    if state is None:
        return
    for use, file in (
        ("database-server", state.files.server_certificate),
        ("database-client", state.files.client_certificate),
    ):
        held = node.certificates(file)
        if held:
            yield use, held[0]
