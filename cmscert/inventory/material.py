"""Certificates, keys and bundles of an inventory, loaded once each. A wrong file is a fault of its entry."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from cmscert.errors import InputError, SecretError
from cmscert.inventory.checking import Checking
from cmscert.inventory.outline import CertificateOutline, Keys, Outline
from cmscert.inventory.secrets import resolve
from cmscert.inventory.sources import MATERIAL_LIMIT, Unreadable, read_bytes
from cmscert.inventory.supplies import Obtained, Supplies, Use
from cmscert.model.desired import Material
from cmscert.model.login import SecretRef
from cmscert.pki.certificate import Certificate
from cmscert.pki.chain import full_chain
from cmscert.pki.keys import PrivateKey, read_key
from cmscert.pki.pem import read_certificates


@dataclass(slots=True, kw_only=True)
class Shelf:
    """All material of an outline.

    What could not be loaded from files is missing here, and a fault in ``checking``. What an issuer has not delivered,
    or delivered and is no longer fit, is missing too, and ``owed`` says why.
    """

    outline: Outline
    checking: Checking
    supplies: Supplies = field(default_factory=Supplies)
    bundles: dict[str, tuple[Certificate, ...]] = field(default_factory=dict)
    materials: dict[Use, Material] = field(default_factory=dict)
    keys: dict[str, PrivateKey] = field(default_factory=dict)
    owed: dict[Use, str] = field(default_factory=dict)
    _public: list[list[object]] = field(default_factory=list)
    _passphrases: dict[SecretRef, bytes | None] = field(default_factory=dict)

    def fill(self) -> None:
        """Load everything that stands in files, and take over what issuers delivered."""
        self.fill_bundles()
        for use, certificate in self.outline.certificates.items():
            if certificate.issuer is None:
                self._load_certificate(use, certificate)
            elif use in self.supplies.obtained:
                self._take_over(use, certificate, self.supplies.obtained[use])
            else:
                asks = f"issuer {certificate.issuer} has not been asked for it: run cmscert renew"
                self.owed[use] = self.supplies.waiting.get(use, asks)

    def fill_bundles(self) -> None:
        """Load the bundles alone."""
        for name, bundle in self.outline.bundles.items():
            if bundle.issuer is None:
                self._load_bundle(name)
            elif bundle.issuer in self.supplies.issuers:
                self._keep_bundle(name, self.supplies.issuers[bundle.issuer])

    def refuse(self, use: Use, why: str) -> None:
        """Do without what an issuer delivered: it is not fit, or not any more. ``why`` says what to do, too."""
        del self.materials[use]
        self.owed[use] = why

    def digest(self) -> str:
        """Return the SHA-256 over the inventory and its public material; where the folder lies does not count."""
        parts = [self.outline.sha256, *sorted(self._public, key=json.dumps)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _load_bundle(self, name: str) -> None:
        found: list[Certificate] = []
        whole = True
        bundle = self.outline.bundles[name]
        keys: Keys = ("bundles", name, "found") if bundle.found else ("bundles", name)
        for number, path in enumerate(bundle.paths):
            loaded = self._certificates((*keys, number), path, None)
            whole = whole and loaded is not None
            found.extend(loaded or ())
        if whole:
            self._keep_bundle(name, tuple(found))

    def _keep_bundle(self, name: str, certificates: tuple[Certificate, ...]) -> None:
        self.bundles[name] = certificates
        self._public.append(["bundle", name, *(one.sha256 for one in certificates)])

    def _load_certificate(self, use: Use, outline: CertificateOutline) -> None:
        if outline.certificate_path is None:
            return  # neither files nor an issuer: a fault already
        keys: Keys = (*outline.keys, "files")
        passphrase = self._passphrase((*keys, "passphrase"), outline.passphrase)
        found = self._certificates((*keys, "certificate"), outline.certificate_path, passphrase)
        if outline.key_path is None:
            if found is not None:
                self._keep(use, outline, found, found[0].spki_sha256, key_here=False)
            return
        key = self._key((*keys, "key"), outline.key_path, passphrase)
        if found is None or key is None:
            return
        leaf = next((one for one in found if one.spki_sha256 == key.spki_sha256), found[0])
        self.keys[key.spki_sha256] = key
        self._keep(use, outline, (leaf, *(one for one in found if one != leaf)), key.spki_sha256)
        self._compare(outline, key)

    def _take_over(self, use: Use, outline: CertificateOutline, obtained: Obtained) -> None:
        spki = obtained.chain[0].spki_sha256
        self._keep(use, outline, obtained.chain, spki, device_key=obtained.device_key)

    def _keep(
        self,
        use: Use,
        outline: CertificateOutline,
        found: tuple[Certificate, ...],
        spki: str,
        *,
        device_key: str | None = None,
        key_here: bool = True,
    ) -> None:
        """Keep a certificate, leaf first, with the chain that can be built for it."""
        leaf, *chain = full_chain(found[0], found, self.bundles.get(outline.chain or "", ()))
        self.materials[use] = Material(
            certificate=outline.name,
            leaf=leaf,
            chain=tuple(chain),
            spki=spki,
            naming=outline.naming,
            declared=outline.declared,
            device_key=device_key,
            key_here=key_here,
        )
        self._public.append(["certificate", *use, spki, *(one.sha256 for one in found)])

    def _compare(self, outline: CertificateOutline, key: PrivateKey) -> None:
        wanted = outline.key_type or key.key_type, outline.key_bits or key.key_bits
        if wanted != (key.key_type, key.key_bits):
            message = (
                f"{outline.key_path}: the key is {key.key_type} {key.key_bits}, declared is {wanted[0]} {wanted[1]}"
            )
            self.checking.add((*outline.keys, "key"), message, reason="key-differs")

    def _passphrase(self, keys: Keys, ref: SecretRef | None) -> bytes | None:
        if ref is None:
            return None
        if ref not in self._passphrases:
            self._passphrases[ref] = None
            try:
                self._passphrases[ref] = resolve(ref, folder=self.outline.folder).reveal().encode()
            except SecretError as error:
                self.checking.add(keys, error.message, reason="secret")
        return self._passphrases[ref]

    def _certificates(self, keys: Keys, path: Path, passphrase: bytes | None) -> tuple[Certificate, ...] | None:
        content = self._content(keys, path)
        if content is None:
            return None
        try:
            return read_certificates(content, file=str(path), passphrase=passphrase)
        except InputError as error:
            self._refused(keys, path, error)
            return None

    def _key(self, keys: Keys, path: Path, passphrase: bytes | None) -> PrivateKey | None:
        content = self._content(keys, path)
        if content is None:
            return None
        try:
            return read_key(content, file=str(path), passphrase=passphrase)
        except InputError as error:
            self._refused(keys, path, error)
            return None

    def _content(self, keys: Keys, path: Path) -> bytes | None:
        """Read a file, unless it lies outside the inventory's folder."""
        if self.checking.outside(path):
            return None
        try:
            return read_bytes(path, limit=MATERIAL_LIMIT)
        except Unreadable as error:
            self.checking.add(keys, f"{path}: {error}", reason="unreadable-file")
            return None

    def _refused(self, keys: Keys, path: Path, error: InputError) -> None:
        """Turn faults of a material file into faults of the inventory's entry, which is what a person edits."""
        hint = f" ({error.hint})" if error.hint else ""
        for fault in error.faults:
            where = f"{path}:{fault.line}" if fault.line else f"{path}"
            self.checking.add(keys, f"{where}: {fault.message}{hint}", reason=fault.reason)
