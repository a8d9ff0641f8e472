"""What a slot that differs is to be bound to, and which files that needs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from cmscert.model.desired import Bundle, Material, WantedIdentity
from cmscert.model.observed import Binding, material_like
from cmscert.model.readings import Known
from cmscert.pki.certificate import Certificate
from cmscert.pki.chain import in_chain_order
from cmscert.planning.file_names import (
    bundle_name,
    certificate_name,
    content_id,
    file_bytes,
    key_name,
    saved_name,
    stem_of,
)
from cmscert.planning.interrupted import LEFT
from cmscert.planning.sight import Sight

Role = Literal["certificate", "key", "bundle"]
LOADED_ONLY = LEFT | {"not-loaded"}
TRUST_ONLY = frozenset({"bundle-missing", "bundle-differs", "bundle-order"})
"""Reasons for which only the third file of a slot changes; where that is a trust list, it moves as trust does."""

_UNKNOWN = ("00000000", "00000000")


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file to put.

    ``content``: bytes of public files, None for keys. ``saved_as``: the copy to make before the file is overwritten.
    """

    name: str
    role: Role
    content_id: str
    content: bytes | None
    saved_as: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a slot is to be bound to. When ``binding`` equals what is bound, the service only has to load it again."""

    slot: str
    binding: Binding
    uploads: tuple[Upload, ...]
    because: tuple[str, ...]


def in_use(sight: Sight) -> frozenset[str]:
    """Return every file name that any screen that was read shows as bound, the database's included."""
    names: set[str] = set()
    database = sight.observed.database
    if isinstance(database, Known):
        names.update(database.value.files.names)
    for screen in sight.observed.screens.values():
        if isinstance(screen, Known):
            names.update(name for binding in screen.value.bindings.values() for name in binding.files)
    return frozenset(names)


def identity_target(sight: Sight, wanted: WantedIdentity, reasons: tuple[str, ...]) -> Target:
    """Return what an identity slot is to be bound to, given the reasons for which it differs."""
    bound = sight.binding(wanted.slot)
    if set(reasons) <= LOADED_ONLY:
        return Target(slot=wanted.slot, binding=bound, uploads=(), because=reasons)
    certificate, key = _pair(sight, wanted, bound)
    uploads = [certificate, key]
    bundle = None
    if wanted.bundle is not None:
        uploads.append(_bundle(sight, wanted.bundle, bound.bundle, ordered=True))
        bundle = uploads[-1].name
    binding = Binding(
        slot=wanted.slot, key=key.name, certificate=certificate.name, bundle=bundle, tag=wanted.tag or bound.tag
    )
    return Target(slot=wanted.slot, binding=binding, uploads=_needed(sight, uploads), because=reasons)


def bundle_upload(sight: Sight, bundle: Bundle, slot: str, *, ordered: bool) -> tuple[str, tuple[Upload, ...]]:
    """Return the name of the file that holds a bundle for a slot, and what has to be put for it.

    The file bound now is kept when it holds the same set (in a right order, when ``ordered``).
    """
    upload = _bundle(sight, bundle, sight.binding(slot).bundle, ordered=ordered)
    return upload.name, _needed(sight, [upload])


def _pair(sight: Sight, wanted: WantedIdentity, bound: Binding) -> tuple[Upload, Upload]:
    material = wanted.material
    found = sight.certificates(bound.certificate)
    content = file_bytes(wanted.file_certificates)
    certificate = _public("certificate", certificate_name(material.certificate, material.leaf, content), content)
    key = Upload(
        name=key_name(material.certificate, material.leaf, material.spki),
        role="key",
        content_id=f"spki:{material.spki}",
        content=None,
    )
    if material.device_key is not None:
        key = _kept(key, material.device_key)
    elif not material.key_here and (there := _key_there(sight, material)) is not None:
        key = _kept(key, there)
    certificate_is_right = found == wanted.file_certificates
    key_is_right = _key_is_right(sight, bound, found, material)
    if material.naming == "fixed":
        return _fixed(sight, wanted, (certificate, certificate_is_right), (key, key_is_right))
    if certificate_is_right and bound.certificate is not None:
        certificate = _kept(certificate, bound.certificate)
    if key_is_right and bound.key is not None:
        key = _kept(key, bound.key)
    return certificate, key


def _key_is_right(sight: Sight, bound: Binding, found: tuple[Certificate, ...], material: Material) -> bool:
    """The bound key stays when the node says that it matches, or cannot tell although the leaf is the wanted one."""
    if bound.key is None or bound.certificate is None or not found or not sight.stored(bound.key):
        return False
    match sight.observed.matches.get((bound.key, bound.certificate)):
        case Known(value=belongs):
            return belongs and found[0].spki_sha256 == material.spki
        case _:
            return found[0] == material.leaf and bound.key not in sight.torn


def _key_there(sight: Sight, material: Material) -> str | None:
    """Return the file of a key that this server has bound elsewhere; the server itself says what it belongs to."""
    for (key, certificate), match in sight.observed.matches.items():
        found = sight.certificates(certificate)[:1]
        if match == Known(value=True) and found and found[0].spki_sha256 == material.spki and sight.stored(key):
            return key
    return None


def _fixed(
    sight: Sight,
    wanted: WantedIdentity,
    certificate: tuple[Upload, bool],
    key: tuple[Upload, bool],
) -> tuple[Upload, Upload]:
    """``naming: fixed``: the names in use, each saved first when it is overwritten."""
    bound = sight.binding(wanted.slot)
    old = sight.certificates(bound.certificate)
    date, mark = (f"{old[0].not_before:%Y%m%d}", old[0].sha256) if old else _UNKNOWN
    uploads = []
    for (upload, right), name in (
        (certificate, _fixed_certificate(sight, wanted)),
        (key, _fixed_key(sight, wanted)),
    ):
        if right or not upload.content_id:
            uploads.append(_kept(upload, name if right else upload.name))
            continue
        saved_as = sight.saved_copy(name) or (saved_name(name, date, mark) if sight.stored(name) else None)
        uploads.append(replace(upload, name=name, saved_as=saved_as))
    return uploads[0], uploads[1]


def _fixed_certificate(sight: Sight, wanted: WantedIdentity) -> str:
    """Keep the name in use, unless another slot uses it too and wants something else there."""
    name = _writable(sight.binding(wanted.slot).certificate)
    if name is not None and not any(
        sight.binding(other.slot).certificate == name and other.file_certificates != wanted.file_certificates
        for other in _identities(sight)
    ):
        return name
    stem = stem_of(wanted.material.certificate)
    return f"{stem}-chain.crt" if len(wanted.file_certificates) > 1 else f"{stem}.crt"


def _writable(name: str | None) -> str | None:
    """Keep a name in use only where it is one of certificate material: nothing else is ever overwritten."""
    return name if name is not None and material_like(name) else None


def _fixed_key(sight: Sight, wanted: WantedIdentity) -> str:
    name = _writable(sight.binding(wanted.slot).key)
    if name is not None and not any(
        sight.binding(other.slot).key == name and other.material.spki != wanted.material.spki
        for other in _identities(sight)
    ):
        return name
    return f"{stem_of(wanted.material.certificate)}.key"


def _identities(sight: Sight) -> tuple[WantedIdentity, ...]:
    return tuple(slot for slot in sight.wanted.slots if isinstance(slot, WantedIdentity))


def _bundle(sight: Sight, bundle: Bundle, bound: str | None, *, ordered: bool) -> Upload:
    content = file_bytes(bundle.certificates)
    upload = _public("bundle", bundle_name(bundle.name, content), content)
    found = sight.certificates(bound)
    same = bound is not None and found and set(found) == set(bundle.certificates)
    if same and bound is not None and (not ordered or in_chain_order(found)):
        return _kept(upload, bound)
    return upload


def _public(role: Role, name: str, content: bytes) -> Upload:
    return Upload(name=name, role=role, content_id=content_id(content), content=content)


def _kept(upload: Upload, name: str) -> Upload:
    """What is bound already is right: nothing to put, marked by an empty content id."""
    return Upload(name=name, role=upload.role, content_id="", content=None)


def _needed(sight: Sight, uploads: list[Upload]) -> tuple[Upload, ...]:
    """Leave out what is in the store already; save what would be overwritten while it is in use."""
    used = in_use(sight)
    needed = []
    for upload in uploads:
        if not upload.content_id or _is_there(sight, upload, used):
            continue
        saved_as = upload.saved_as
        if saved_as is None and upload.name in used and sight.stored(upload.name):
            saved_as = sight.saved_copy(upload.name) or saved_name(upload.name, *_UNKNOWN)
        needed.append(replace(upload, saved_as=saved_as))
    return tuple(needed)


def _is_there(sight: Sight, upload: Upload, used: frozenset[str]) -> bool:
    if upload.saved_as is not None:
        return False
    if upload.role == "key":
        wrong = any(
            key == upload.name and match == Known(value=False) for (key, _), match in sight.observed.matches.items()
        )
        return sight.stored(upload.name) and upload.name in used and not wrong and upload.name not in sight.torn
    file = sight.file(upload.name)
    return isinstance(file, Known) and f"sha256:{file.value.sha256}" == upload.content_id
