"""Which names a certificate stands for, as OpenSSL and browsers compare them (RFC 6125, RFC 9525)."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address

from cmscert.pki.certificate import Certificate


def covers(certificate: Certificate, name: str) -> bool:
    """Tell whether a certificate stands for a DNS name, IP address, e-mail address or URI.

    Upper and lower case are the same; a wildcard stands for exactly one label, the first. A certificate without any DNS
    name in its SAN stands for its common name (OpenSSL does the same), because the TechNote's requests for webadmin and
    callbridge carry a CN only; browsers do not accept those.
    """
    wanted = name.strip()
    if "://" in wanted:
        return wanted in certificate.uris
    if "@" in wanted:
        return _email(wanted) in {_email(email) for email in certificate.emails}
    address = _address(wanted)
    if address is not None:
        return address in {_address(text) for text in certificate.ip_addresses}
    host = _host(wanted)
    return any(_matches(_host(pattern), host) for pattern in _patterns(certificate))


def missing_names(certificate: Certificate, names: Iterable[str]) -> tuple[str, ...]:
    """Return the names that a certificate does not stand for, in the order given, each once."""
    return tuple(name for name in dict.fromkeys(names) if not covers(certificate, name))


def _patterns(certificate: Certificate) -> tuple[str, ...]:
    if certificate.dns_names or certificate.common_name is None:
        return certificate.dns_names
    return (certificate.common_name,)


def _matches(pattern: str, host: str) -> bool:
    if not host:
        return False
    if pattern == host:
        return True
    first, _, rest = pattern.partition(".")
    label, _, parent = host.partition(".")
    return first == "*" and "." in rest and bool(label) and parent == rest


def _host(name: str) -> str:
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


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
