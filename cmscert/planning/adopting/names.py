"""Names of an adopted inventory. What servers and certificates say is hostile until it is made of plain characters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from ipaddress import ip_address

from cmscert.pki.certificate import Certificate
from cmscert.pki.names import missing_names

SERVER = 64
CERTIFICATE = 42
BUNDLE = 51
"""Longest names in an inventory (contract, "Names on the node")."""

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_MAX_HOST = 253
_MAX_TEXT = 200
_SHOWN = 80
_HOST_FIELD = re.compile(
    r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S* +[a-z0-9]+\.[a-z]+ +([A-Za-z0-9][A-Za-z0-9._-]{0,252}) ", re.MULTILINE
)


def hostname_of(log: str) -> str | None:
    """Return the host name in the last whole line of a log's tail (T-01: stamp, facility, host, text)."""
    found = _HOST_FIELD.findall(log)
    return found[-1] if found and is_host(found[-1]) else None


def slug(text: str, *, longest: int, otherwise: str) -> str:
    """Return a text as a name: lower-case letters, digits and hyphens, a letter or digit first."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    found = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:longest].rstrip("-")
    return found or otherwise


def said(text: str) -> str:
    """Return a text of a server for a comment: no control characters, no line ends, not long."""
    plain = "".join(char if char.isprintable() and char.isascii() else "?" for char in text)
    return plain if len(plain) <= _SHOWN else f"{plain[:_SHOWN]}..."


def is_host(text: str) -> bool:
    """Tell whether a text is a DNS name that may stand in an inventory."""
    return len(text) <= _MAX_HOST and _HOST.fullmatch(text) is not None


def is_full_name(text: str | None) -> bool:
    """Tell whether a text is a host name with a domain, and neither an address nor a wildcard."""
    return text is not None and "." in text and is_host(text) and not is_address(text)


def is_address(text: str) -> bool:
    """Tell whether a text is an IP address."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def first_label(name: str) -> str:
    """Return what stands before the first dot."""
    return name.partition(".")[0]


def declared_name(leaf: Certificate) -> tuple[str, bool]:
    """Return the common name to declare for a certificate, and whether it is what the certificate says."""
    own = leaf.common_name or ""
    kept = "".join(char for char in own if char.isprintable() and char not in "{}").strip()[:_MAX_TEXT]
    found = kept or next(iter(declared_sans(leaf)), "unnamed")
    return found, found == own


def declared_sans(leaf: Certificate) -> tuple[str, ...]:
    """Return the names of the SAN that an inventory can declare and that the certificate then stands for."""
    names = (name for name in leaf.names if is_host(name.removeprefix("*.")) or is_address(name))
    return tuple(dict.fromkeys(name for name in names if not missing_names(leaf, (name,))))


def template_of(text: str, *, name: str, fqdn: str) -> str:
    """Put {fqdn} and {name} where a text follows the server's own names; a text that does not stays as it is."""
    if text.casefold() == fqdn.casefold():
        return "{fqdn}"
    found = re.sub(rf"(?<![A-Za-z0-9_]){re.escape(name)}(?![A-Za-z0-9_])", "{name}", text) if len(name) > 1 else text
    return found if found.replace("{name}", name) == text else text


class Names:
    """Gives every name once; upper and lower case are the same, as some file systems take them."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = {name.casefold() for name in taken}

    def free(self, wish: str, *, longest: int) -> str:
        """Return the wish, or the wish with a number behind it; not longer than ``longest``."""
        return self._first(lambda tail: wish[: longest - len(tail)].rstrip("-") + tail)

    def _first(self, form: Callable[[str], str]) -> str:
        number = 1
        while True:
            name = form("" if number == 1 else f"-{number}")
            if name.casefold() not in self._taken:
                self._taken.add(name.casefold())
                return name
            number += 1
