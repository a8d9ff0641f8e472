"""What a service is made of. The table itself, one row a service, is ``cmscert.mmp.services.SERVICES``.

The planner takes rows as an argument, so it knows no CMS words of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cmscert.model.names import Release

Grade = Literal["sourced", "inferred"]
ClientServer = Literal["serverAuth", "clientAuth"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentitySlot:
    """A slot that holds a key and a certificate.

    ``bind``: the words before key and certificate, ``("webbridge3", "https", "certs")``; the word ``{tag}`` stands
    for the tag of ``loadbalancer auth`` and ``trunk auth``.
    ``third``: what the optional third file is: a CA bundle, a trust list (``loadbalancer auth``), or nothing at all
    because the certificate file is always the full chain.
    ``listens``: whether a TLS probe can see it; ``default_port`` when the screen does not tell the port.
    ``pin``, ``pin_grade`` and ``accepts``: as in ``TrustSlot``, for slots whose third file is a trust list.
    """

    name: str
    bind: tuple[str, ...]
    full_chain: bool = False
    third: Literal["bundle", "trust"] | None = "bundle"
    eku: tuple[ClientServer, ...] = ("serverAuth",)
    eku_grade: Grade = "inferred"
    listens: bool = True
    default_port: int | None = None
    pin: Literal["leaf", "any"] = "leaf"
    pin_grade: Grade = "inferred"
    accepts: tuple[str, ...] = ()
    kind: Literal["identity"] = "identity"

    @property
    def tagged(self) -> bool:
        """Whether one node can have several of it, told apart by a tag."""
        return "{tag}" in self.bind


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustSlot:
    """A slot that holds certificates which peers are checked against.

    ``pin``: ``leaf`` when only the peer's own certificate counts (2.x white lists), ``any`` when a CA is enough.
    ``accepts``: the identity slots, anywhere in the fleet, whose holders must pass this trust.
    """

    name: str
    bind: tuple[str, ...]
    pin: Literal["leaf", "any"] = "any"
    pin_grade: Grade = "sourced"
    accepts: tuple[str, ...] = ()
    kind: Literal["trust"] = "trust"


Slot = IdentitySlot | TrustSlot


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One row of the service table.

    ``since``/``until``: first release that has it in this form, first release that no longer has.
    ``status``: the words of its status command; ``more_status``: further screens that tell the rest of its slots.
    ``via``: ``cycle`` is disable, certs, enable; ``restart`` is certs, restart.
    ``restart_of``: the service that has to be restarted instead (``tls`` is applied by ``callbridge restart``).
    ``notices``: what users notice while it is down; ``seconds``: default estimate of that time.
    ``interchangeable``: nodes with it stand in for each other, so it is changed on one at a time.
    """

    name: str
    since: Release
    until: Release | None = None
    status: tuple[str, ...]
    via: Literal["cycle", "restart"]
    restart_of: str | None = None
    slots: tuple[Slot, ...]
    notices: str
    seconds: int
    interchangeable: bool = False
    more_status: tuple[tuple[str, ...], ...] = ()

    def in_release(self, release: Release) -> bool:
        """Tell whether a release has this row."""
        return self.since <= release and (self.until is None or release < self.until)

    def slot(self, name: str) -> Slot | None:
        """Return the slot of that name, or None."""
        return next((slot for slot in self.slots if slot.name == name), None)


ServiceTable = tuple[Service, ...]


def rows_for(table: ServiceTable, release: Release) -> dict[str, Service]:
    """Return the services that a release has, by name."""
    return {row.name: row for row in table if row.in_release(release)}
