"""The lab's throw-away PKI: what an inventory names, in memory (``World``) and in a folder (``make_material``).

Nothing that the lab did not make itself is ever overwritten: its CAs carry the organisation ``cmscert lab``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path, PurePosixPath

from cryptography import x509

from cmscert.errors import LabError
from cmscert.lab import folders, minting
from cmscert.lab.minting import Authority, Identity, Key, Life
from cmscert.lab.sketch import CertificateSketch, KeyType, LeafId, Sketch

KNOWN_HOSTS = b"# Host keys of the servers, as OpenSSH writes them: ssh-keyscan -p PORT ADDRESS >> known_hosts\n"
_LEAF_LIFE = timedelta(days=90)
_DAY = timedelta(days=1)
# CAs are older than the leaves of any scenario, and outlive all of them.
_CA_PAST, _CA_LEFT, _CA_LEFT_LEAST = timedelta(days=730), timedelta(days=3650), timedelta(days=180)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Every CA and every certificate of a sketch, with keys.

    ``authorities``: by path, or by ``issuer:BUNDLE`` for a bundle without files. ``leaves``: by name and server.
    ``material``: file contents by relative path, CA keys included.
    """

    sketch: Sketch
    now: datetime
    key_type: KeyType | None
    authorities: Mapping[str, Authority]
    leaves: Mapping[LeafId, Identity]
    material: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def make(
        cls,
        sketch: Sketch,
        *,
        now: datetime,
        found: Mapping[str, bytes] | None = None,
        fresh: bool = False,
        key_type: KeyType | None = None,
        label: str = "",
        life: Life | None = None,
    ) -> World:
        """Make what the sketch names, keeping what ``found`` (contents by relative path) already holds and still fits.

        ``fresh`` makes everything anew. ``key_type`` overrides the certificates' own. ``label`` goes into the names of
        the CAs, ``life`` is that of the leaves. Raises LabError for a sketch or files that cannot be used.
        """
        maker = _Maker(sketch, now=now, found=found or {}, fresh=fresh, key_type=key_type, label=label, life=life)
        maker.make_all()
        return cls(
            sketch=sketch,
            now=now,
            key_type=key_type,
            authorities=maker.authorities,
            leaves=maker.leaves,
            material=maker.material,
        )

    def bundle(self, name: str) -> tuple[x509.Certificate, ...]:
        """Return a bundle's certificates in the order of the inventory."""
        return tuple(self.authorities[path].certificate for path in _places(self.sketch)[name])

    def authority(self, bundle: str | None) -> Authority | None:
        """Return the CA that signs for a bundle: its first; None for certificates that sign themselves."""
        return None if bundle is None else self.authorities[_places(self.sketch)[bundle][0]]

    def new_key(self, certificate: CertificateSketch) -> Key:
        """Make a key such as a certificate wants."""
        return minting.new_key(*_key_kind(certificate, self.key_type))

    def issue(
        self,
        certificate: CertificateSketch,
        *,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
        sans: Iterable[str] | None = None,
        key: Key | None = None,
        authority: Authority | None = None,
    ) -> Identity:
        """Issue another certificate for a sketch, other in what is given; with a new key unless one is given."""
        usual = _leaf_life(self.now)
        return minting.make_identity(
            certificate.common_name,
            certificate.sans if sans is None else sans,
            key=key or self.new_key(certificate),
            authority=authority or self.authority(certificate.bundle),
            life=Life(not_before=not_before or usual.not_before, not_after=not_after or usual.not_after),
        )


def make_material(
    sketch: Sketch, folder: Path, *, now: datetime, fresh: bool = False, key_type: KeyType | None = None
) -> list[Path]:
    """Write what an inventory in ``folder`` needs; return the paths written, none when everything is there.

    A leaf that another inventory of the folder owns too is made anew with the names of both. Keys are readable by their
    owner only. Raises LabError, before anything is written, for a file that the lab did not make or a path that leaves
    the folder.
    """
    found = read_material(sketch, folder)
    material = World.make(sketch, now=now, found=found, fresh=fresh, key_type=key_type).material
    changed = {path: data for path, data in material.items() if found.get(path) != data}
    changed |= {path: KNOWN_HOSTS for path in sketch.known_hosts if folders.read(folder, path) is None}
    return write_material(folder, changed)


def read_material(sketch: Sketch, folder: Path) -> dict[str, bytes]:
    """Return what of a sketch's material is there already, by relative path. Raises LabError."""
    return {path: data for path in _paths(sketch) if (data := folders.read(folder, path)) is not None}


def write_material(folder: Path, material: Mapping[str, bytes]) -> list[Path]:
    """Write files by relative path, keys first, each whole or not at all; return their paths. Raises LabError."""
    keys = [path for path, data in material.items() if b"PRIVATE KEY" in data]
    others = [path for path in material if path not in keys]
    places = {path: folders.inside(folder, path) for path in (*keys, *others)}
    for path, place in places.items():
        folders.write(place, material[path], mode=0o600 if path in keys else 0o644)
    return list(places.values())


def _leaf_life(now: datetime) -> Life:
    return Life(not_before=now - _DAY, not_after=now - _DAY + _LEAF_LIFE)


def _key_kind(certificate: CertificateSketch, override: KeyType | None) -> tuple[KeyType, int | None]:
    return (certificate.key_type, certificate.key_bits) if override is None else (override, None)


def _places(sketch: Sketch) -> dict[str, tuple[str, ...]]:
    """Where each bundle's CAs are kept; an issuer's CA has no file, only a place in the world."""
    return {bundle.name: bundle.paths or (f"issuer:{bundle.name}",) for bundle in sketch.bundles}


def _key_paths(sketch: Sketch) -> dict[str, str]:
    """Where each CA's key is kept: where a local CA says so, otherwise beside its certificate."""
    paths = [path for bundle in sketch.bundles for path in bundle.paths]
    beside = {path: str(PurePosixPath(path).with_suffix(".key")) for path in paths}
    return beside | {authority.certificate_path: authority.key_path for authority in sketch.authorities}


def _paths(sketch: Sketch) -> tuple[str, ...]:
    keys = _key_paths(sketch)
    leaves = [path for leaf in sketch.certificates for path in (leaf.certificate_path, leaf.key_path) if path]
    return tuple(dict.fromkeys((*keys, *keys.values(), *leaves)))


def _signers(sketch: Sketch) -> dict[str, str | None]:
    """Who signs each CA: the next of its shortest bundle; None for roots, the last of any bundle.

    That never makes a circle: a CA's signer stands in the same bundle, so its own bundle is at most as long.
    """
    chains = sorted(_places(sketch).values(), key=len)
    signers: dict[str, str | None] = {authority.certificate_path: None for authority in sketch.authorities}
    signers |= {path: following for chain in reversed(chains) for path, following in pairwise(chain)}
    signers |= {chain[-1]: None for chain in chains}
    return signers


class _Maker:
    """Makes one world; holds what is made so far."""

    def __init__(
        self,
        sketch: Sketch,
        *,
        now: datetime,
        found: Mapping[str, bytes],
        fresh: bool,
        key_type: KeyType | None,
        label: str,
        life: Life | None,
    ) -> None:
        self.sketch, self.now, self.found, self.fresh = sketch, now, found, fresh
        self.key_type, self.label, self.life = key_type, label, life or _leaf_life(now)
        self.authorities: dict[str, Authority] = {}
        self.leaves: dict[LeafId, Identity] = {}
        self.material: dict[str, bytes] = {}
        self._keys: dict[str, Key] = {}  # by path: files may share one
        self._signers = _signers(sketch)
        self._key_paths = _key_paths(sketch)

    def make_all(self) -> None:
        """Make the CAs, then the leaves: one per certificate file, one per certificate without files."""
        for path in self._signers:
            self._authority(path)
        by_path: dict[str, list[CertificateSketch]] = {}
        for leaf in self.sketch.certificates:
            if leaf.certificate_path is None or leaf.key_path is None:
                self.leaves[leaf.leaf_id] = self._new_leaf(leaf, leaf.sans, None)
            else:
                by_path.setdefault(leaf.certificate_path, []).append(leaf)
        for path, owners in by_path.items():
            self._leaf(path, owners)

    def _authority(self, path: str) -> Authority:
        if path in self.authorities:
            return self.authorities[path]
        signing = self._signers[path]
        signer = None if signing is None else self._authority(signing)
        key_path = self._key_paths.get(path)
        old, key = (None, None) if key_path is None else self._old(path, key_path)
        if old is not None and key is not None and self._keeps_authority(old, key, signer):
            made = Authority(certificate=old, key=key, chain=(old, *(signer.chain if signer else ())))
        else:
            key = key or minting.new_key(self.key_type or "rsa")
            life = Life(not_before=self.now - _CA_PAST, not_after=self.now + _CA_LEFT)
            made = minting.make_authority(self._authority_name(path), key=key, signer=signer, life=life)
        self.authorities[path] = made
        if key_path is not None:
            self._keep(path, made.certificate, key_path, made.key)
        return made

    def _authority_name(self, path: str) -> str:
        stem = PurePosixPath(path).stem.removeprefix("issuer:")
        alone = sum(PurePosixPath(other).stem == PurePosixPath(path).stem for other in self._signers) == 1
        name = stem if alone else path
        return f"{name[-40:]}{self.label and ' ' + self.label[-12:]} (lab)"

    def _keeps_authority(self, old: x509.Certificate, key: Key, signer: Authority | None) -> bool:
        return (
            minting.same_key(old, key)
            and minting.issued_by(old, signer.certificate if signer else old)
            and old.not_valid_after_utc > self.now + _CA_LEFT_LEAST
        )

    def _leaf(self, path: str, owners: list[CertificateSketch]) -> None:
        first = owners[0]
        key_path = first.key_path
        if key_path is None or path in self._signers or key_path == path or any(o.key_path != key_path for o in owners):
            raise LabError(
                f"{path} is asked to be a certificate and something else, or goes with several keys",
                hint="give every certificate a file and a key file of its own",
            )
        old, key = self._old(path, key_path)
        names = [name for owner in owners for name in owner.sans]
        names += [owner.common_name for owner in owners if owner.common_name != first.common_name]
        if old is not None:
            if (
                key is not None
                and minting.same_key(old, key)
                and not minting.is_key(key, *_key_kind(first, self.key_type))
            ):
                key = None
            names += minting.names_of(old)
        made = self._kept_leaf(first, old, key, names) or self._new_leaf(first, names, key)
        self._keep(path, made.certificate, key_path, made.key)
        self.leaves |= {owner.leaf_id: made for owner in owners}

    def _kept_leaf(
        self, leaf: CertificateSketch, old: x509.Certificate | None, key: Key | None, names: list[str]
    ) -> Identity | None:
        if old is None or key is None:
            return None
        authority = self._authority_for(leaf)
        left = old.not_valid_after_utc - self.now
        fits = (
            minting.same_key(old, key)
            and minting.issued_by(old, authority.certificate if authority else old)
            and minting.common_name_of(old) == leaf.common_name
            and {minting.plain(name) for name in names} <= set(minting.names_of(old))
            and left > _LEAF_LIFE / 2
        )
        return Identity(certificate=old, key=key, chain=authority.chain if authority else ()) if fits else None

    def _new_leaf(self, leaf: CertificateSketch, names: Iterable[str], key: Key | None) -> Identity:
        return minting.make_identity(
            leaf.common_name,
            names,
            key=key or minting.new_key(*_key_kind(leaf, self.key_type)),
            authority=self._authority_for(leaf),
            life=self.life,
        )

    def _authority_for(self, leaf: CertificateSketch) -> Authority | None:
        return None if leaf.bundle is None else self.authorities[_places(self.sketch)[leaf.bundle][0]]

    def _old(self, path: str, key_path: str) -> tuple[x509.Certificate | None, Key | None]:
        """Read what is there. A key without its certificate is what a broken run leaves behind: it is used."""
        certificate = None
        if path in self.found:
            certificate = minting.read_certificate(self.found[path])
            if certificate is None or not minting.made_here(certificate):
                raise _foreign(path)
        key = self._keys.get(key_path)
        if key is None and key_path in self.found:
            key = minting.read_key(self.found[key_path])
            if key is None:
                raise _foreign(key_path)
            if self.fresh and certificate is not None and minting.same_key(certificate, key):
                key = None
        return (None if self.fresh else certificate), key

    def _keep(self, path: str, certificate: x509.Certificate, key_path: str, key: Key) -> None:
        """Note what the files hold. A key file whose key stays is left byte for byte as it is."""
        found = self.found.get(key_path)
        old = None if found is None else minting.read_key(found)
        stays = found is not None and old is not None and old.public_key() == key.public_key()
        self._keys[key_path] = key
        self.material[path] = minting.pem([certificate])
        self.material[key_path] = found if found is not None and stays else minting.key_pem(key)


def _foreign(path: str) -> LabError:
    return LabError(
        f"{path} exists and was not made by the lab, so it is left alone",
        hint="run the lab on a copy of the inventory in an empty folder",
    )
