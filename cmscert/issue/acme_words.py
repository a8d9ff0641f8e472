"""What goes wrong with an ACME CA, in words: what it says itself, the names that it means, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import josepy.errors
from acme import errors, messages
from requests import exceptions

from cmscert.mmp.replies import clean

LONGEST: Final = 500
_MOST: Final = 10
_NOT_FOUND: Final = (404, 410)

_HINTS: Final = {
    "rateLimited": "the next run asks again when the CA allows it",
    "externalAccountRequired": "give external_account: {id, key}, as the CA handed it out",
    "caa": "let a CAA record of the domain name this CA, or remove the record",
    "userActionRequired": "open the address that the CA names and agree there",
    "rejectedIdentifier": "this CA issues for other names: look at common_name and sans",
    "unsupportedIdentifier": "this CA issues for other kinds of names: look at common_name and sans",
    "badCSR": "the CA wants another key or other names: look at key, common_name and sans",
    "dns": "look at the name servers of the domain: the CA got no answer from them",
    "incorrectResponse": "look at what challenge.dns_01 publishes, and where",
    "unsupportedContact": "give contact as an e-mail address",
    "invalidContact": "give contact as an e-mail address that the CA can write to",
    "badPublicKey": "the CA does not take the account's P-256 key",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An error in words. ``code``: ACME's word for it. ``wait``: how long to leave the CA alone."""

    message: str
    hint: str | None = None
    code: str | None = None
    wait: timedelta | None = None


FAILURES: Final = (
    *(errors.Error, josepy.errors.Error, exceptions.RequestException, OSError),
    *(ValueError, LookupError, TypeError, AttributeError, RecursionError),
)
"""What a conversation with a CA may raise; the last ones where an answer is JSON of another shape."""


def told(error: Exception, directory: str, *, wait: timedelta | None = None) -> Told:
    """Put an error of ``Wire`` in words; ``wait``: what its last answer asked for."""
    if isinstance(error, messages.Error):
        code = code_of(error)
        return Told(message=f"the CA says: {problem(error)}", hint=_HINTS.get(code), code=code, wait=wait)
    host = urlsplit(directory).hostname or directory
    if isinstance(error, errors.ConflictError):
        return Told(message=f"{host} says that it has done this already", code="conflict", wait=wait)
    status = _status(error)
    if status is not None:
        missing = "notFound" if status in _NOT_FOUND else None
        message = f"{host} answers with HTTP {status}, and says nothing of ACME"
        return Told(message=message, hint=_LOOK, code=missing, wait=wait)
    if isinstance(error, exceptions.RequestException):
        return _not_reached(error, host)
    if isinstance(error, OSError):
        hint = "check ca_bundle: a PEM file with the roots of the CA's own TLS"
        return Told(message=f"no TLS to {host}: {(error.strerror or 'the bundle cannot be read').lower()}", hint=hint)
    return Told(message=f"{host} answers what is not ACME", hint=_LOOK)


_LOOK: Final = "check that directory is the address of the CA's ACME directory"


def _not_reached(error: exceptions.RequestException, host: str) -> Told:
    """Name the kind only: the library's own sentences hold addresses, and proxies their passwords."""
    if isinstance(error, exceptions.SSLError):
        hint = "give ca_bundle: a PEM file with the roots of a private CA's own TLS"
        return Told(message=f"the TLS certificate of {host} is not trusted", hint=hint)
    hint = "check the address, the network, and the proxy variables (HTTPS_PROXY, NO_PROXY)"
    if isinstance(error, exceptions.ProxyError):
        return Told(message=f"{host} cannot be reached: the proxy refuses", hint=hint)
    if isinstance(error, exceptions.Timeout):
        return Told(message=f"{host} does not answer in time", hint=hint)
    if isinstance(error, exceptions.ConnectionError):
        return Told(message=f"{host} cannot be reached", hint=hint)
    return Told(message=f"{host} cannot be asked: {type(error).__name__}", hint=hint)


def _status(error: Exception) -> int | None:
    """Return the HTTP status that the library wraps, in an error or in a tuple with another."""
    if not isinstance(error, errors.ClientError):
        return None
    inner: Any = getattr(error, "response", None) or next(iter(error.args), None)
    inner = inner[0] if isinstance(inner, tuple) else inner
    status = getattr(inner, "status_code", None)
    return status if isinstance(status, int) else None


def code_of(error: messages.Error) -> str:
    """Return ACME's word for an error, of those too that the library does not know."""
    return " ".join(clean(str(error.typ).rsplit(":", 1)[-1].encode()).split())


def problem(error: messages.Error) -> str:
    """Tell a problem with its subproblems, and the names that they are about; bounded, and safe to print."""
    parts = [_one(each) for each in _all(error)][:_MOST]
    text = "; ".join(dict.fromkeys(parts))
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _all(error: messages.Error) -> Iterator[messages.Error]:
    if error.detail or not error.subproblems:
        yield error
    yield from error.subproblems or ()


def _one(error: messages.Error) -> str:
    about = f"{error.identifier.value}: " if error.identifier is not None else ""
    said = error.detail or error.title or error.description or "nothing more"
    return " ".join(clean(f"{about}{said}".encode()).split()).rstrip(".") + f" ({code_of(error)})"
