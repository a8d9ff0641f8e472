"""What became of taking over a live fleet."""

from __future__ import annotations

from dataclasses import dataclass

from cmscert.model.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownHostKey:
    """A host key that a server showed. ``known``: it was given as right before anybody was asked."""

    server: str
    kind: str
    fingerprint: str
    known: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptedServer:
    """A server of the new inventory. ``remarks``: what could not be known, or was left out."""

    name: str
    place: str
    fqdn: str
    release: str | None
    slots: int
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """What was read and what is written. ``remarks``: about the whole fleet.

    ``plan``: what a plan of the new inventory says about what was read; None before it is written.
    """

    fleet: str
    folder: str
    inventory: str
    servers: tuple[AdoptedServer, ...]
    certificates: int
    bundles: int
    databases: int
    files: int
    remarks: tuple[str, ...] = ()
    plan: Plan | None = None
