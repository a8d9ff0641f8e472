"""Services of a fleet as they are at one moment."""

from __future__ import annotations

from dataclasses import dataclass

from cmscert.lab import material
from cmscert.lab.fleet import LabFleet
from cmscert.lab.node import LabNode
from cmscert.lab.spec import SlotSpec
from cmscert.lab.state import ServiceState


@dataclass(frozen=True, slots=True)
class Seen:
    """A service as it is: what is bound (with contents), what it has loaded, whether it runs.

    ``starts``: whether it would start again with what is bound: one that was never restarted since may not.
    """

    enabled: bool
    up: bool
    bound: tuple[tuple[str, ...], ...]
    contents: tuple[bytes | None, ...]
    leaves: tuple[bytes | None, ...]
    starts: bool


Snapshot = dict[tuple[str, str], Seen]


def snapshot(fleet: LabFleet) -> Snapshot:
    """Look at all services of a fleet."""
    return {
        (node.name, name): _seen(node, service)
        for node in fleet.nodes.values()
        for name, service in node.machine.services.items()
        if service.slots
    }


def _seen(node: LabNode, service: ServiceState) -> Seen:
    slots = sorted(service.slots)
    names = [
        (slot, *(name or "" for name in (files.key, files.certificate, files.bundle)))
        for slot in slots
        for files in (service.files(slot),)
    ]
    return Seen(
        enabled=service.enabled,
        up=service.running,
        bound=tuple(names),
        contents=tuple(node.files.get(name) for each in names for name in each[1:] if name),
        leaves=tuple(node.loaded_leaf(slot) for slot in slots),
        starts=all(_fits(node, service.files(slot)) for slot in slots),
    )


def _fits(node: LabNode, files: SlotSpec) -> bool:
    if files.key is None or files.certificate is None:
        return True
    try:
        return material.fits(node.files[files.key], node.files[files.certificate])
    except (KeyError, material.UnreadableError):
        return False
