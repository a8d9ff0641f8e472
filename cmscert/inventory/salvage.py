"""What is left of an inventory without its malformed entries, so that the rest is checked in the same run.

A malformed entry (``certificates.node`` with a misspelt key) is taken out; its name still counts as declared. Faults
that only its absence explains are held back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import ValidationError

from cmscert.errors import Fault
from cmscert.inventory.complaints import faults_of, key_path
from cmscert.inventory.document import Document, KeyPath
from cmscert.inventory.forms import InventoryForm

_NAMED = frozenset({"issuers", "bundles", "certificates", "roles", "servers", "databases"})
_STAND_INS = {"version": "1", "fleet": "fleet"}
_HELD_BACK = frozenset({"unused-role", "unused-service"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Salvage:
    """``form``: None when nothing sensible is left. ``faults``: of the form. ``removed``: (section, name) taken out."""

    form: InventoryForm | None
    faults: tuple[Fault, ...] = ()
    removed: frozenset[tuple[str, str]] = frozenset()

    def explains(self, fault: Fault) -> bool:
        """Tell whether a later fault may only be there because of what was taken out."""
        if not self.removed:
            return False
        path = fault.path or ""
        return fault.reason in _HELD_BACK or (
            ("ssh", "") in self.removed and (path == "ssh" or path.endswith(".ssh") or path.startswith("ssh."))
        )


def read_form(document: Document) -> Salvage:
    """Read the form of a document, leaving malformed entries out."""
    try:
        return Salvage(form=InventoryForm.model_validate(document.value))
    except ValidationError as error:
        faults = tuple(faults_of(error, document, InventoryForm))
        paths = [key_path(found) for found in error.errors(include_input=False, include_url=False)]
    if not isinstance(document.value, dict) or not all(_has_unit(path, document.value) for path in paths):
        return Salvage(form=None, faults=faults)
    removed = frozenset(_unit(path) for path in paths)
    try:
        form = InventoryForm.model_validate(_without(document.value, removed))
    except ValidationError:
        return Salvage(form=None, faults=faults)
    return Salvage(form=form, faults=faults, removed=removed)


def _unit(path: KeyPath) -> tuple[str, str]:
    section = str(path[0])
    return (section, str(path[1])) if section in _NAMED else (section, "")


def _has_unit(path: KeyPath, value: dict[str, object]) -> bool:
    """Tell whether taking something out helps: not when a whole section is malformed, unknown or missing."""
    if not path or path[0] not in InventoryForm.model_fields:
        return False
    return len(path) > 1 if path[0] in _NAMED else path[0] in value or path[0] in _STAND_INS


def _without(value: dict[str, object], removed: Iterable[tuple[str, str]]) -> dict[str, object]:
    left = dict(value)
    for section, name in removed:
        inner = left.get(section)
        if isinstance(inner, dict) and name:
            left[section] = {key: one for key, one in inner.items() if key != name}
        elif section in _STAND_INS:
            left[section] = _STAND_INS[section]
        else:
            left.pop(section, None)
    return left
