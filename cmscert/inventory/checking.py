"""What the steps of reading an inventory share: document, form, faults found so far, the border of the folder."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from cmscert.errors import Fault, Severity
from cmscert.inventory.complaints import suggestion
from cmscert.inventory.document import Document, KeyPath
from cmscert.inventory.forms import InventoryForm
from cmscert.inventory.secret_forms import CommandForm, EnvForm, FileForm, KeyringForm
from cmscert.inventory.sources import Border
from cmscert.model.login import SecretRef

_LINKED = (
    "a symbolic link leads {} out of the inventory's folder: write the absolute path where that is meant, "
    "so that a reviewer sees it"
)
SecretFormValue = EnvForm | FileForm | CommandForm | KeyringForm


@dataclass(slots=True, kw_only=True)
class Checking:
    """Faults gather here, so that a person sees all of them at once.

    ``removed``: (section, name) of malformed entries, which count as declared.
    """

    document: Document
    form: InventoryForm
    border: Border
    removed: frozenset[tuple[str, str]] = frozenset()
    faults: list[Fault] = field(default_factory=list)
    _outside: set[Path] = field(default_factory=set)
    _seen: set[tuple[KeyPath, str]] = field(default_factory=set)

    def add(self, keys: KeyPath, message: str, *, reason: str, key: bool = False, severity: Severity = "error") -> None:
        """Note a fault, once however often it is met."""
        if (keys, message) not in self._seen:
            self._seen.add((keys, message))
            self.faults.append(self.document.fault(keys, message, reason=reason, key=key, severity=severity))

    def known(self, keys: KeyPath, section: str, name: str, names: Collection[str]) -> bool:
        """Note a fault when a name is not declared in a section; tell whether it is."""
        if name in names or (section, name) in self.removed:
            return True
        verb = "known" if section == "services" else "declared"
        message = f"{section.removesuffix('s')} {name} is not {verb}{suggestion(name, names)}"
        self.add(keys, message, reason="unknown-reference")
        return False

    def material(self, keys: KeyPath, written: str) -> Path:
        """Return the path of a material file, and note a fault when it leads out of the inventory's folder."""
        way = self.border.leaves(written)
        if way is not None:
            inside = f"{written} leads out of the inventory's folder: keep material inside it"
            self.add(keys, _LINKED.format(written) if way == "symlink-outside" else inside, reason=way)
            self._outside.add(self.border.folder / written)
        return self.border.folder / written

    def link(self, keys: KeyPath, written: str) -> None:
        """Note a fault when links lead a path out of where it seems to lead; ``~`` and absolute paths show it."""
        if not written.startswith("~") and self.border.strays(written):
            self.add(keys, _LINKED.format(written), reason="symlink-outside")

    def secret(self, keys: KeyPath, form: SecretFormValue | None) -> SecretRef | None:
        """Turn the form of a secret into a reference, and note a fault when its file is not where it seems to be."""
        if isinstance(form, FileForm):
            self.link((*keys, "file"), form.file)
        return secret_ref(form)

    def outside(self, path: Path) -> bool:
        """Tell whether a path was refused by ``material``."""
        return path in self._outside


def secret_ref(form: SecretFormValue | None) -> SecretRef | None:
    """Turn the form of a secret into a reference."""
    match form:
        case None:
            return None
        case EnvForm():
            return SecretRef(kind="env", value=(form.env,))
        case FileForm():
            return SecretRef(kind="file", value=(form.file,))
        case CommandForm():
            return SecretRef(kind="command", value=form.command)
        case KeyringForm():
            return SecretRef(kind="keyring", value=(form.keyring.service, form.keyring.user))
