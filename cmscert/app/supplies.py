"""What issuers delivered for an inventory, taken from its material store: the same for every use case."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from cmscert.errors import Fault, InputError
from cmscert.files import Unreadable, read_regular
from cmscert.inventory.databases import minting
from cmscert.inventory.judging import Place, uses
from cmscert.inventory.outline import AcmeIssuer, CertificateOutline, LocalCaIssuer, Outline
from cmscert.inventory.secrets import resolve
from cmscert.inventory.supplies import Obtained, Supplies, Use
from cmscert.pki.certificate import Certificate
from cmscert.pki.keys import PrivateKey
from cmscert.pki.pem import read_certificates
from cmscert.planning.words import day

if TYPE_CHECKING:
    from cmscert.issue.index import Record
    from cmscert.issue.store import Store, Stored

STORE = ".cmscert"
_LARGEST = 1_000_000
REQUEST_ENDINGS = (".key", ".csr")


def store_path(outline: Outline) -> Path:
    """Return where the material of an inventory is kept."""
    return outline.store.path if outline.store is not None else outline.folder / STORE


def open_store(outline: Outline, *, keys: bool) -> Store:
    """Open the store; ``keys``: with its passphrase. Raises InputError and SecretError."""
    from cmscert.issue.store import Store

    reference = outline.store.passphrase if outline.store is not None else None
    passphrase = resolve(reference, folder=outline.folder) if keys and reference is not None else None
    return Store.open(store_path(outline), passphrase)


def seal_store(outline: Outline) -> None:
    """Encrypt the keys that were kept before the inventory named a passphrase. Raises InputError and SecretError."""
    if outline.store is None or outline.store.passphrase is None or not open_store(outline, keys=False).open_keys():
        return
    store = open_store(outline, keys=True)
    store.try_passphrase()
    store.seal_keys()


def supplies_of(outline: Outline) -> Supplies:
    """Take everything out of the store that an inventory asks for; without issuers it is not even opened.

    Raises InputError when the store is damaged.
    """
    if not outline.issuers:
        return Supplies()
    return _Shelves(outline, open_store(outline, keys=False)).all()


def suggestions_in(store: Store, outline: Outline) -> dict[str, datetime]:
    """Return when certificates are due as their CAs say, by SHA-256, as far as the store knows."""
    from cmscert.issue.renewal_info import suggested

    known = (store.issuer(name) for name, one in outline.issuers.items() if isinstance(one, AcmeIssuer))
    return {sha256: at for each in known if each is not None for sha256, at in suggested(each.facts).items()}


def issued_uses(outline: Outline) -> dict[Use, CertificateOutline]:
    """Return the certificates that issuers deliver; what is minted for a whole database is the planner's."""
    used = {use for use, _, _ in places_of(outline)}
    return {use: each for use, each in outline.certificates.items() if each.issuer is not None and use in used}


def places_of(outline: Outline) -> Iterator[tuple[Use, str, Place]]:
    """Yield every place of a certificate, with its server, but for those of databases that mint their own."""
    minted = tuple(f"databases.{one.name} " for one in outline.databases if minting(outline, one) is not None)
    for name, server, place in uses(outline):
        if not place.name.startswith(minted):
            yield ((name, server) if (name, server) in outline.certificates else (name, None)), server, place


@dataclass
class _Shelves:
    outline: Outline
    store: Store
    latest: dict[Use, Stored] = field(default_factory=dict)

    def all(self) -> Supplies:
        waiting: dict[Use, str] = {}
        pending: dict[str, list[str]] = {}
        for use, certificate in issued_uses(self.outline).items():
            record = self.store.record(*use)
            stored = self.store.latest(*use)
            if stored is not None:
                self.latest[use] = stored
            why = waits_for(record, certificate)
            if why is not None:
                waiting[use] = why
            if record.waiting is not None and record.waiting.device_key is not None and use[1] is not None:
                stem = record.waiting.device_key.removesuffix(".key")
                pending.setdefault(use[1], []).extend(f"{stem}{ending}" for ending in REQUEST_ENDINGS)
        return Supplies(
            obtained={use: Obtained(chain=each.chain, device_key=each.device_key) for use, each in self.latest.items()},
            keys=StoredKeys(
                tuple(each.spki for each in self.latest.values() if each.device_key is None),
                lambda: open_store(self.outline, keys=True),
            ),
            issuers={name: found for name in self.outline.issuers if (found := self._signs_with(name))},
            waiting=waiting,
            pending={server: tuple(names) for server, names in pending.items()},
            suggested=suggestions_in(self.store, self.outline),
        )

    def _signs_with(self, issuer: str) -> tuple[Certificate, ...]:
        """Return the CA certificates of an issuer: as declared, and as they came with what is in use."""
        declared = self.outline.issuers[issuer]
        found: list[Certificate] = []
        if isinstance(declared, LocalCaIssuer):
            found += read_certificates(ca_file(declared), file=str(declared.certificate))
        known = self.store.issuer(issuer)
        found += known.chain if known is not None else ()
        for stored in self.latest.values():
            if stored.issuer == issuer:
                found += stored.chain[1:]
        return tuple(dict.fromkeys(found))


def ca_file(issuer: LocalCaIssuer) -> bytes:
    """Read the file with the certificates of a local CA. Raises InputError."""
    try:
        return read_regular(issuer.certificate, limit=_LARGEST)
    except Unreadable as error:
        fault = Fault(file=str(issuer.certificate), path=f"issuers.{issuer.name}", message=str(error))
        raise InputError([fault], hint="put the CA's certificate there") from error


def waits_for(record: Record, certificate: CertificateOutline) -> str | None:
    """Say why a certificate is not there, or not there anew, as far as the store tells."""
    failed = record.failed(certificate.issuer or "")
    if failed is not None:
        times = "once" if failed.count == 1 else f"{failed.count} times since {day(failed.first)}"
        return f"issuer {failed.issuer} failed {times}: {failed.message}"
    if record.waiting is not None:
        return f"asked of issuer {record.waiting.issuer} on {day(record.waiting.at)}, not signed yet"
    return None


class StoredKeys(Mapping[str, PrivateKey]):
    """Keys of the store by the hash of their public half; the store is opened with its passphrase at the first one."""

    def __init__(self, names: tuple[str, ...], opener: Callable[[], Store]) -> None:
        self._names = dict.fromkeys(names)
        self._opener = opener
        self._opened: dict[str, PrivateKey] = {}

    @cached_property
    def _store(self) -> Store:
        return self._opener()

    def __getitem__(self, spki: str) -> PrivateKey:
        if spki not in self._names:
            raise KeyError(spki)
        if spki not in self._opened:
            self._opened[spki] = self._store.key(spki)
        return self._opened[spki]

    def __contains__(self, spki: object) -> bool:
        return spki in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
