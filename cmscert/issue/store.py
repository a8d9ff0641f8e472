"""The material store: keys, requests and certificates that cmscert obtained, under ``material/`` of ``store.path``.

::

    material/index/<certificate>.json   what is known of a certificate; replaced as a whole, by one rename
    material/issuers/<issuer>.json      accounts, and what an issuer is known to sign with
    material/keys/<SPKI>.key            named by their public half; encrypted where there is a passphrase
    material/certificates/<SHA-256>.crt leaf, intermediates, root
    material/requests/<SHA-256>.csr

A file is on disk before an index names it, and an index is replaced before a file that it named is removed: whenever a
run dies, the store holds what it held before, or what it was to hold after.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cmscert.errors import InputError
from cmscert.issue.backoff import next_attempt
from cmscert.issue.disk import Disk
from cmscert.issue.index import (
    Failures,
    IssuerRecord,
    Record,
    Revision,
    Waiting,
    read_index,
    read_issuer,
    write_index,
    write_issuer,
)
from cmscert.issue.places import LOCK_SECONDS, Places
from cmscert.issue.sealing import is_sealed, sealed
from cmscert.model.secret import Secret
from cmscert.pki.armour import refuse
from cmscert.pki.certificate import Certificate
from cmscert.pki.keys import PrivateKey, read_key
from cmscert.pki.pem import read_certificates, to_pem
from cmscert.pki.request import read_request

FOLDER: Final = "material"
_TRIED: Final = 3  # keys that a passphrase is tried on: one of them may be damaged


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A certificate in the store: leaf, intermediates, root. ``device_key``: as in ``Revision``."""

    certificate: str
    server: str | None
    spki: str
    chain: tuple[Certificate, ...]
    issuer: str
    at: datetime
    device_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A request in the store that is not answered yet. ``csr``: PEM; ``memo``: what the issuer wants remembered."""

    certificate: str
    server: str | None
    spki: str
    csr: bytes = field(repr=False)
    issuer: str
    at: datetime
    device_key: str | None = None
    memo: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownIssuer:
    """What is kept for an issuer. ``chain``: what it is known to sign with; ``spki``: its account key, by hash."""

    name: str
    chain: tuple[Certificate, ...] = ()
    spki: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


class Store:
    """Reads need no lock: whatever an index names is there. Every write takes it; ``held`` keeps it for several.

    Everything raises InputError when the store is damaged, or cannot be read or written.
    """

    def __init__(self, path: Path, passphrase: Secret[str] | None, disk: Disk) -> None:
        self.path = path / FOLDER
        self._passphrase = None if passphrase is None else passphrase.reveal().encode()
        self._places = Places(self.path, disk)

    @classmethod
    def open(cls, path: Path, passphrase: Secret[str] | None = None, *, disk: Disk | None = None) -> Store:
        """Open the store of an inventory (``store.path``). Nothing is made on disk before the first write."""
        if passphrase is not None and not passphrase.reveal():
            raise refuse(str(path), "passphrase-missing", "the passphrase of the material store is empty")
        store = cls(path, passphrase, disk or Disk())
        store._places.check()
        return store

    def held(self, seconds: float = LOCK_SECONDS) -> AbstractContextManager[None]:
        """Keep the store for this run; may be taken again within. Raises LockHeld when another run has it."""
        return self._places.held(seconds)

    def record(self, name: str, server: str | None) -> Record:
        """Return what the index says, without opening the files that it names."""
        return self._index(name).get(server, Record())

    def latest(self, name: str, server: str | None) -> Stored | None:
        """Return the certificate that was obtained last."""
        return next(iter(self.revisions(name, server, most=1)), None)

    def revisions(self, name: str, server: str | None, *, most: int | None = None) -> tuple[Stored, ...]:
        """Return certificates that were obtained, newest first."""
        try:
            return self._revisions(name, server, most)
        except InputError:  # another run may have pruned between the index and its files
            return self._revisions(name, server, most)

    def pending(self, name: str, server: str | None) -> Pending | None:
        """Return the request that awaits its certificate."""
        try:
            return self._pending(name, server)
        except InputError:  # as in revisions
            return self._pending(name, server)

    def key(self, spki: str) -> PrivateKey:
        """Return a private key of the store; decrypting costs 40 ms, so ask when it is needed."""
        file = str(self._places.file("keys", spki))
        key = read_key(self._places.read("keys", spki), file=file, passphrase=self._passphrase)
        if key.spki_sha256 != spki:
            raise self._places.damaged("keys", spki, "it is another key")
        return key

    def open_keys(self) -> tuple[str, ...]:
        """Return the keys that lie in the store unencrypted, by SHA-256 of their public half."""
        return tuple(name for name in self._places.names("keys") if self._is_open(name))

    def try_passphrase(self) -> None:
        """Raise InputError when the passphrase opens none of the keys in store: new ones would be lost among them."""
        refused: list[InputError] = []
        for name in [name for name in self._places.names("keys") if not self._is_open(name)][:_TRIED]:
            try:
                self.key(name)
            except InputError as error:
                refused.append(error)
            else:
                return
        if refused:
            raise refused[0]

    def seal_keys(self) -> None:
        """Encrypt the keys that were kept before there was a passphrase. Damaged ones stay for whoever needs them."""
        with self.held():
            for spki in self.open_keys():
                with suppress(InputError):
                    self._keep_key(self.key(spki))

    def put_pending(
        self,
        name: str,
        server: str | None,
        *,
        csr: bytes,
        key: PrivateKey | None = None,
        device_key: str | None = None,
        issuer: str,
        at: datetime,
        memo: Mapping[str, str] | None = None,
    ) -> Pending:
        """Keep a request, with its key or the name that the key has on the server which made it.

        An older request that nobody answered is given up, and what failed about it stays counted. Raises ValueError
        for a key that is not the request's.
        """
        spki = read_request(csr, file=f"{name}.csr").spki_sha256
        if (key is None) == (device_key is None) or (key is not None and key.spki_sha256 != spki):
            raise ValueError("a request is kept with its own key, or with the name of its key on a server")
        with self.held():
            if key is not None:
                self._keep_key(key)
            waiting = Waiting(
                spki=spki,
                request=self._places.write_hashed("requests", csr),
                issuer=issuer,
                at=at,
                device_key=device_key,
                memo=dict(memo or {}),
            )
            self._replace(name, server, replace(self.record(name, server), waiting=waiting))
        return _pending(name, server, waiting, csr)

    def remember(self, name: str, server: str | None, memo: Mapping[str, str], *, answered: bool = False) -> None:
        """Keep what an issuer wants remembered about a pending request; without one, nothing.

        ``answered``: it is at work on it, so what failed before is over.
        """
        with self.held():
            record = self.record(name, server)
            if record.waiting is not None:
                failures = None if answered else record.failures
                waiting = replace(record.waiting, memo=dict(memo))
                self._replace(name, server, replace(record, waiting=waiting, failures=failures))

    def drop_pending(self, name: str, server: str | None) -> None:
        """Give up a request, and what failed about it: the next one is made anew."""
        with self.held():
            self._replace(name, server, replace(self.record(name, server), waiting=None, failures=None))

    def accept(
        self, name: str, server: str | None, chain: Sequence[Certificate], *, issuer: str, at: datetime
    ) -> Stored:
        """Keep a checked certificate (leaf, intermediates, root): the pending request becomes a revision.

        Raises InputError when there is no pending request for its key: another run has asked anew meanwhile.
        """
        with self.held():
            record = self.record(name, server)
            waiting = record.waiting
            if waiting is None or waiting.spki != chain[0].spki_sha256:
                path = self._places.file("index", name)
                message = f"no request for the key of this certificate of {name} is pending"
                raise refuse(str(path), "not-pending", message, hint="another run has asked anew: run renew again")
            revision = Revision(
                spki=waiting.spki,
                chain=self._places.write_hashed("certificates", to_pem(chain)),
                issuer=issuer,
                at=at,
                device_key=waiting.device_key,
            )
            self._replace(name, server, Record(revisions=(revision, *record.revisions)))
        return self._stored(name, server, revision)

    def fail(
        self,
        name: str,
        server: str | None,
        message: str,
        *,
        issuer: str,
        at: datetime,
        wait: timedelta | None = None,
    ) -> Failures:
        """Count a failure and say when to try again; ``wait``: how long the issuer asked to be left alone.

        ``message`` must hold no secret.
        """
        with self.held():
            record = self.record(name, server)
            before = record.failed(issuer)
            count = 1 if before is None else before.count + 1
            failures = Failures(
                count=count,
                first=at if before is None else before.first,
                last=at,
                next=next_attempt(count, at, wait=wait),
                message=message,
                issuer=issuer,
                closed_until=None if wait is None else at + wait,
            )
            self._replace(name, server, replace(record, failures=failures))
        return failures

    def issuer(self, name: str) -> KnownIssuer | None:
        """Return what is kept for an issuer."""
        if name not in self._places.names("issuers"):
            return None
        record = self._issuer(name)
        chain = () if record.chain is None else self._chain(record.chain)
        return KnownIssuer(name=name, chain=chain, spki=record.spki, facts=record.facts)

    def put_issuer(
        self,
        name: str,
        *,
        chain: Sequence[Certificate] = (),
        key: PrivateKey | None = None,
        facts: Mapping[str, str] | None = None,
    ) -> None:
        """Keep something for an issuer, in place of what was kept: its CA certificates, an account with its key."""
        with self.held():
            if key is not None:
                self._keep_key(key)
            record = IssuerRecord(
                spki=None if key is None else key.spki_sha256,
                chain=self._places.write_hashed("certificates", to_pem(chain)) if chain else None,
                facts=dict(facts or {}),
            )
            self._places.write("issuers", name, write_issuer(name, record))

    def note_issuer(self, name: str, facts: Mapping[str, str]) -> None:
        """Keep other facts for an issuer; its CA certificates and its account key stay."""
        with self.held():
            record = self._issuer(name) if name in self._places.names("issuers") else IssuerRecord()
            self._places.write("issuers", name, write_issuer(name, replace(record, facts=dict(facts))))

    def prune(self, keep: int) -> tuple[str, ...]:
        """Leave the newest revision and ``keep`` older ones of each certificate; return the files removed.

        What nothing names any more goes too: keys and requests that were given up, and what a killed run left. When
        an index is damaged nothing is removed, because what it named is unknown.
        """
        with self.held():
            used: set[tuple[str, str]] = set()
            for name in self._places.names("issuers"):
                issuer = self._issuer(name)
                used |= {(kind, file) for kind, file in (("keys", issuer.spki), ("certificates", issuer.chain)) if file}
            for name in self._places.names("index"):
                index = self._index(name)
                kept = {one: replace(record, revisions=record.revisions[: keep + 1]) for one, record in index.items()}
                if kept != index:
                    self._places.write("index", name, write_index(name, kept))
                used |= {place for record in kept.values() for place in _named_by(record)}
            return self._places.sweep(used)

    def _revisions(self, name: str, server: str | None, most: int | None) -> tuple[Stored, ...]:
        return tuple(self._stored(name, server, one) for one in self.record(name, server).revisions[:most])

    def _stored(self, name: str, server: str | None, revision: Revision) -> Stored:
        chain = self._chain(revision.chain)
        if revision.device_key is None and revision.spki not in self._places.names("keys"):
            raise self._places.damaged("keys", revision.spki, "it is missing")
        return Stored(
            certificate=name,
            server=server,
            spki=revision.spki,
            chain=chain,
            issuer=revision.issuer,
            at=revision.at,
            device_key=revision.device_key,
        )

    def _pending(self, name: str, server: str | None) -> Pending | None:
        waiting = self.record(name, server).waiting
        return (
            None
            if waiting is None
            else _pending(name, server, waiting, self._places.read_hashed("requests", waiting.request))
        )

    def _chain(self, digest: str) -> tuple[Certificate, ...]:
        file = str(self._places.file("certificates", digest))
        return read_certificates(self._places.read_hashed("certificates", digest), file=file)

    def _index(self, name: str) -> dict[str | None, Record]:
        if self._places.file("index", name).stem not in self._places.names("index"):
            return {}
        try:
            return read_index(self._places.read("index", name), name)
        except ValueError as error:
            raise self._places.damaged("index", name, str(error)) from None

    def _issuer(self, name: str) -> IssuerRecord:
        try:
            return read_issuer(self._places.read("issuers", name), name)
        except ValueError as error:
            raise self._places.damaged("issuers", name, str(error)) from None

    def _replace(self, name: str, server: str | None, record: Record) -> None:
        self._places.write("index", name, write_index(name, {**self._index(name), server: record}))

    def _is_open(self, spki: str) -> bool:
        try:
            return not is_sealed(self._places.read("keys", spki))
        except InputError:  # another run may have pruned it, or it cannot be read: nothing to encrypt
            return False

    def _keep_key(self, key: PrivateKey) -> None:
        content = key.pem() if self._passphrase is None else sealed(key, self._passphrase)
        self._places.write("keys", key.spki_sha256, content)


def _pending(name: str, server: str | None, waiting: Waiting, csr: bytes) -> Pending:
    return Pending(
        certificate=name,
        server=server,
        spki=waiting.spki,
        csr=csr,
        issuer=waiting.issuer,
        at=waiting.at,
        device_key=waiting.device_key,
        memo=waiting.memo,
    )


def _named_by(record: Record) -> Iterator[tuple[str, str]]:
    for one in record.revisions:
        yield "certificates", one.chain
        yield "keys", one.spki
    if record.waiting is not None:
        yield "requests", record.waiting.request
        yield "keys", record.waiting.spki
