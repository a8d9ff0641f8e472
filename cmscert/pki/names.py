"""Which names a certificate stands for, as OpenSSL and browsers compare them (RFC 6125, RFC 9525)."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address

from cmscert.pki.certificate import Certificate


def covers(certificate: Certificate, name: str) -> bool:
    """Tell whether a certificate stands for a DNS name, IP address, e-mail address or URI.

    Upper and lower case are the same; a wildcard stands for exactly one label, the first. A certificate without any DNS
    name in its SAN stands for its common name (OpenSSL does the same), because the TechNote's requests for webadmin and
    callbridge carry a CN only ([S17]); browsers do not accept those.
    """
    common_name = certificate.common_name
    if common_name is None or certificate.dns_names or not is_host(name):
        return in_san(certificate, name)
    return _stands_for(common_name, name)


def in_san(certificate: Certificate, name: str) -> bool:
    """Tell whether the subject alternative names alone stand for a name, compared as in ``covers``."""
    wanted = name.strip()
    if "://" in wanted:
        return wanted in certificate.uris
    if "@" in wanted:
        return _email(wanted) in {_email(email) for email in certificate.emails}
    address = address_of(wanted)
    if address is not None:
        return address in {address_of(text) for text in certificate.ip_addresses}
    return any(_stands_for(pattern, wanted) for pattern in certificate.dns_names)


def missing_names(certificate: Certificate, names: Iterable[str]) -> tuple[str, ...]:
    """Return the names that a certificate does not stand for, in the order given, each once."""
    return tuple(name for name in dict.fromkeys(names) if not covers(certificate, name))


def is_host(name: str) -> bool:
    """Tell whether a name is neither URI, e-mail address nor IP address."""
    return "://" not in name and "@" not in name and address_of(name.strip()) is None


def canonical(name: str) -> str:
    """Return the one form of a name, so that two ways to write it are equal; wildcards stay as they are."""
    text = name.strip()
    if "://" in text:
        return text
    if "@" in text:
        return _email(text)
    address = address_of(text)
    return ascii_host(text) if address is None else str(address)


def _stands_for(pattern: str, name: str) -> bool:
    offered, wanted = ascii_host(pattern), ascii_host(name)
    if offered == wanted:
        return wanted != ""
    first, _, rest = offered.partition(".")
    label, _, parent = wanted.partition(".")
    # "*.com" would stand for every company: browsers and OpenSSL want two labels behind the wildcard.
    return first == "*" and "." in rest and label != "" and parent == rest


def ascii_host(name: str) -> str:
    """Return a host name in lower case and without its last dot; international ones as they stand in certificates."""
    text = name.strip().rstrip(".").lower()
    if text.isascii():
        return text
    try:
        return text.encode("idna").decode("ascii")
    except UnicodeError:
        return text


def _email(text: str) -> str:
    local, _, domain = text.rpartition("@")
    return f"{local}@{domain.lower()}"


def address_of(text: str) -> IPv4Address | IPv6Address | None:
    """Return the IP address that a text is, in brackets or not; None when it is none."""
    try:
        return ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
