"""What the store knows of one certificate: a JSON document that is read and replaced as a whole.

It names files by their hashes alone, so it can name none outside the store; and it carries a hash of itself.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final

FORMAT: Final = "cmscert.material/1"
_HASH: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A certificate that was obtained. ``spki`` names its key, ``chain`` its file: both are SHA-256, hex.

    ``device_key``: the key's file on the server that made it; None when the key is in the store.
    """

    spki: str
    chain: str
    issuer: str
    at: datetime
    device_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A request that is not answered yet. ``request``: SHA-256 of its file; otherwise as in ``Revision``."""

    spki: str
    request: str
    issuer: str
    at: datetime
    device_key: str | None = None
    memo: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """Failures of an issuer in a row, since its last answer. ``next``: not to be tried again before that.

    ``closed_until``: until when the issuer itself asked to be left alone; that holds even when it is urgent.
    """

    count: int
    first: datetime
    last: datetime
    next: datetime
    message: str
    issuer: str
    closed_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One certificate, for one server or shared. ``revisions``: newest first."""

    revisions: tuple[Revision, ...] = ()
    waiting: Waiting | None = None
    failures: Failures | None = None

    def failed(self, issuer: str) -> Failures | None:
        """Return what failed with an issuer; what failed with the one before it is over."""
        return self.failures if self.failures is not None and self.failures.issuer == issuer else None


Index = Mapping[str | None, Record]
"""By server; None is the shared one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerRecord:
    """What is kept for an issuer between runs. ``spki``: its account key; ``chain``: what it is known to sign with."""

    spki: str | None = None
    chain: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


def write_index(name: str, index: Index) -> bytes:
    """Write the index of a certificate; the same index gives the same bytes."""
    servers = sorted(index, key=lambda server: (server is not None, server or ""))
    return _sealed({"certificate": name, "uses": [{"server": one, **asdict(index[one])} for one in servers]})


def read_index(content: bytes, name: str) -> dict[str | None, Record]:
    """Read the index of a certificate. Raises ValueError when a byte of it is not what was written."""
    document = _opened(content)
    if document.get("certificate") != name:
        raise ValueError("it belongs to another certificate")
    try:
        return {_text_or_none(one["server"]): _read_record(one) for one in document["uses"]}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("it has another form") from error


def write_issuer(name: str, record: IssuerRecord) -> bytes:
    """Write what is kept for an issuer."""
    return _sealed({"issuer": name, "spki": record.spki, "chain": record.chain, "facts": dict(record.facts)})


def read_issuer(content: bytes, name: str) -> IssuerRecord:
    """Read what is kept for an issuer. Raises ValueError when a byte of it is not what was written."""
    document = _opened(content)
    if document.get("issuer") != name:
        raise ValueError("it belongs to another issuer")
    try:
        spki, chain = document["spki"], document["chain"]
        return IssuerRecord(
            spki=None if spki is None else _hash(spki),
            chain=None if chain is None else _hash(chain),
            facts=_texts(document["facts"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("it has another form") from error


def _sealed(document: dict[str, object]) -> bytes:
    text = _canonical(document)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return _canonical({"format": FORMAT, "sha256": digest, "content": json.loads(text)}).encode() + b"\n"


def _canonical(document: object) -> str:
    return json.dumps(document, indent=1, sort_keys=True, default=datetime.isoformat)


def _opened(content: bytes) -> dict[str, Any]:
    try:
        outer = json.loads(content)
        form, digest, document = outer["format"], outer["sha256"], outer["content"]
    except (KeyError, TypeError, RecursionError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError("it is cut short or overwritten") from error
    if form != FORMAT:
        raise ValueError("another version of cmscert wrote it")
    if not isinstance(document, dict) or hashlib.sha256(_canonical(document).encode()).hexdigest() != digest:
        raise ValueError("it was changed by somebody else")
    return document


def _read_record(one: Mapping[str, Any]) -> Record:
    return Record(
        revisions=tuple(map(_revision, one["revisions"])),
        waiting=None if one["waiting"] is None else _waiting(one["waiting"]),
        failures=None if one["failures"] is None else _failures(one["failures"]),
    )


def _revision(one: Mapping[str, Any]) -> Revision:
    return Revision(
        spki=_hash(one["spki"]),
        chain=_hash(one["chain"]),
        issuer=_text(one["issuer"]),
        at=_moment(one["at"]),
        device_key=_text_or_none(one["device_key"]),
    )


def _waiting(one: Mapping[str, Any]) -> Waiting:
    return Waiting(
        spki=_hash(one["spki"]),
        request=_hash(one["request"]),
        issuer=_text(one["issuer"]),
        at=_moment(one["at"]),
        device_key=_text_or_none(one["device_key"]),
        memo=_texts(one["memo"]),
    )


def _failures(one: Mapping[str, Any]) -> Failures:
    return Failures(
        count=int(one["count"]),
        first=_moment(one["first"]),
        last=_moment(one["last"]),
        next=_moment(one["next"]),
        message=_text(one["message"]),
        issuer=_text(one["issuer"]),
        closed_until=None if one["closed_until"] is None else _moment(one["closed_until"]),
    )


def _hash(value: object) -> str:
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise TypeError("a hash")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a text")
    return value


def _text_or_none(value: object) -> str | None:
    return None if value is None else _text(value)


def _texts(value: Mapping[object, object]) -> dict[str, str]:
    return {_text(name): _text(one) for name, one in value.items()}


def _moment(value: object) -> datetime:
    moment = datetime.fromisoformat(_text(value))
    if moment.tzinfo is None:
        raise TypeError("an aware moment")
    return moment
