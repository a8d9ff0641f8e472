"""Where the material of a plan lies on this machine, for a person who uploads it by hand. No key is opened here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC
from hashlib import sha256
from pathlib import Path

from cmscert.app.inventory import Chosen
from cmscert.errors import InputError
from cmscert.model.desired import Material, WantedIdentity
from cmscert.pki.certificate import Certificate
from cmscert.pki.pem import read_certificates

Places = Mapping[str, tuple[str, ...]]


def material_at_hand(chosen: Chosen, contents: Mapping[str, bytes]) -> Places:
    """Say for each content of a plan (``sha256:…``, ``spki:…``) what it is made of, a line for each part.

    ``contents``: the public ones. What was obtained from an issuer is named by its certificate. Never raises for a
    file that cannot be read any more: its certificates are named without it.
    """
    whole: dict[str, Path] = {}
    parts: dict[str, Path] = {}
    for path in _public(chosen):
        try:
            text = path.read_bytes()
            found = read_certificates(text, file=str(path))
        except (OSError, InputError):
            continue
        whole.setdefault(f"sha256:{sha256(text).hexdigest()}", path)
        for certificate in found:
            parts.setdefault(certificate.sha256, path)
    told = {name: _told(name, content, whole, parts) for name, content in contents.items()}
    return {**told, **{f"spki:{material.spki}": (_key(chosen, server, material),) for server, material in _all(chosen)}}


def _public(chosen: Chosen) -> Iterator[Path]:
    outline = chosen.loaded.outline
    for certificate in outline.certificates.values():
        if certificate.certificate_path is not None:
            yield certificate.certificate_path
    for bundle in outline.bundles.values():
        yield from bundle.paths


def _told(name: str, content: bytes, whole: Mapping[str, Path], parts: Mapping[str, Path]) -> tuple[str, ...]:
    if name in whole:
        return (f"{whole[name]}, as it is",)
    return tuple(_lines(read_certificates(content, file=name), parts))


def _lines(certificates: Iterable[Certificate], parts: Mapping[str, Path]) -> Iterator[str]:
    for certificate in certificates:
        place = parts.get(certificate.sha256)
        until = certificate.not_after.astimezone(UTC).strftime("%Y-%m-%d")
        named = f"{certificate.common_name or certificate.subject}, until {until} ({certificate.sha256[:8]})"
        yield f"{named}, from {place}" if place is not None else f"{named}, from an issuer's answer in the store"


def _all(chosen: Chosen) -> Iterator[tuple[str, Material]]:
    for server in chosen.fleet.servers:
        for slot in server.slots:
            if isinstance(slot, WantedIdentity):
                yield server.name, slot.material
    for database in chosen.fleet.databases:
        yield from database.server.items()
        yield from database.client.items()


def _key(chosen: Chosen, server: str, material: Material) -> str:
    path = chosen.loaded.outline.certificate(material.certificate, server).key_path
    if path is None:
        return f"the key of {material.certificate}, from the store"
    return f"the key in {path}, as PEM without a passphrase"
