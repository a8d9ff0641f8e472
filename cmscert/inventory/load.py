"""The two ways to read an inventory: its outline alone, or everything that a plan needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from cmscert.errors import Fault
from cmscert.inventory.build import read_checked, refusal
from cmscert.inventory.judging import Judging
from cmscert.inventory.material import Shelf
from cmscert.inventory.outline import Outline
from cmscert.inventory.places import Places
from cmscert.inventory.supplies import Keys, Supplies, Supply, no_supplies
from cmscert.inventory.wanted import Wanted
from cmscert.model.desired import Desired, Policy
from cmscert.model.login import Login
from cmscert.pki.certificate import Certificate
from cmscert.pki.keys import PrivateKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """An inventory with its material.

    ``keys``: by the hex SHA-256 of the public half. ``logins``: by server name. ``warnings``: in the order of the file.
    ``places``: None where no file stands behind it.
    """

    desired: Desired
    keys: Mapping[str, PrivateKey] = field(repr=False)
    logins: Mapping[str, Login]
    warnings: tuple[Fault, ...]
    outline: Outline
    places: Places | None = field(default=None, repr=False)


def read_outline(path: Path) -> Outline:
    """Read and check an inventory without touching its material. Raises InputError with every fault."""
    checked = read_checked(path)
    if checked.checking.faults:
        raise refusal(checked.checking.faults)
    return checked.outline


def read_bundles(path: Path) -> tuple[Outline, Mapping[str, tuple[Certificate, ...]]]:
    """Read an inventory and the bundles that are files, and nothing else of its material.

    That a certificate of another kind has expired must not hold up those that can be renewed. Raises InputError.
    """
    checked = read_checked(path)
    shelf = Shelf(outline=checked.outline, checking=checked.checking)
    shelf.fill_bundles()
    if checked.checking.faults:
        raise refusal(checked.checking.faults)
    return checked.outline, shelf.bundles


def load(path: Path, *, now: datetime, supply: Supply = no_supplies) -> Loaded:
    """Read an inventory, its certificates, keys and bundles, and check all of it at a moment (aware UTC).

    ``supply``: returns what issuers delivered; it is asked only when the inventory itself is right.
    Passphrases of keys are looked up; login secrets are not. Raises InputError with every fault.
    """
    checked = read_checked(path)
    outline, checking = checked.outline, checked.checking
    supplies = Supplies() if checking.faults else supply(outline)
    shelf = Shelf(outline=outline, checking=checking, supplies=supplies)
    shelf.fill()
    wanted = Wanted(outline, shelf)
    Judging(outline=outline, checking=checking, wanted=wanted, at=now).judge()
    errors = [fault for fault in checking.faults if fault.severity == "error"]
    if errors:
        raise refusal(errors)
    servers = wanted.servers()
    return Loaded(
        desired=Desired(
            fleet=outline.fleet,
            servers=servers,
            policy=_with_suggestions(outline.policy, supplies),
            inventory_sha256=shelf.digest(),
            unhandled=wanted.unhandled(),
            databases=wanted.databases(),
            awaited=wanted.awaited(),
            renewals=wanted.renewals(),
        ),
        keys=Keys(shelf.keys, supplies.keys),
        logins={server.name: server.login for server in outline.servers},
        warnings=refusal(checking.faults).faults,
        outline=outline,
        places=Places(document=checking.document, outline=outline),
    )


def _with_suggestions(policy: Policy, supplies: Supplies) -> Policy:
    return replace(policy, renew_when=replace(policy.renew_when, suggested=supplies.suggested))
