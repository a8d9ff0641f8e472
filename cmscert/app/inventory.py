"""Loads an inventory and narrows it to what was selected: the start of every use case."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cmscert.app.supplies import supplies_of
from cmscert.errors import Fault, InputError
from cmscert.inventory.load import Loaded, load
from cmscert.model.desired import Desired
from cmscert.planning.select import apply_selection, around, parse_selector


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """An inventory, and the part of it that was selected. ``folder`` is where relative references start.

    ``fleet``: every server, with nothing wanted of what was not selected: what plans are made of.
    """

    loaded: Loaded
    desired: Desired
    fleet: Desired
    folder: Path
    select: tuple[str, ...]


def choose(inventory: Path, *, now: datetime, select: tuple[str, ...] = ()) -> Chosen:
    """Load and narrow. Raises InputError: a wrong inventory, a selector that is none, a selection of nothing."""
    return narrow(load(inventory, now=now, supply=supplies_of), inventory, select)


def narrow(loaded: Loaded, inventory: Path, select: tuple[str, ...]) -> Chosen:
    """Narrow a loaded inventory. Raises InputError as ``choose`` does."""
    try:
        selectors = tuple(parse_selector(text) for text in select)
    except ValueError as error:
        raise InputError([Fault(message=str(error), reason="selector")]) from error
    desired = apply_selection(loaded.desired, selectors)
    if selectors and not desired.servers and not desired.awaited:
        message = f"--select {' --select '.join(select)} matches nothing in fleet {loaded.desired.fleet}"
        raise InputError([Fault(message=message, reason="selector")], hint="cmscert status shows servers and slots")
    fleet = around(loaded.desired, desired)
    return Chosen(loaded=loaded, desired=desired, fleet=fleet, folder=inventory.parent, select=select)
