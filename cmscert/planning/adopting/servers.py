"""Names of the servers: what they are called, and by which full name people reach them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from cmscert.pki.certificate import Certificate
from cmscert.planning.adopting.found import Found
from cmscert.planning.adopting.names import (
    SERVER,
    Names,
    first_label,
    is_full_name,
    is_host,
    said,
    slug,
)

_TELLING = ("webadmin", "callbridge")
"""Slots whose certificate people and other servers reach by the server's own name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """A server's name and full host name; ``remark``: what could not be known of them."""

    name: str
    fqdn: str
    remark: str | None = None


def name_servers(found: tuple[Found, ...]) -> tuple[Called, ...]:
    """Name every server, each differently."""
    holders = Counter(leaf for one in found for leaf in {each.leaf for each in one.identities.values()})
    names, fqdns = Names(), Names()
    called: list[Called] = []
    for one in found:
        fqdn = next(
            (each for each in _candidates(one, holders, len(found)) if fqdns.free(each, longest=SERVER * 4) == each),
            None,
        )
        address = one.node.address
        wish = first_label(one.node.hostname or fqdn or "")
        name = names.free(slug(wish or address, longest=SERVER, otherwise="server"), longest=SERVER)
        if fqdn is not None:
            called.append(Called(name=name, fqdn=fqdn))
        else:
            instead = one.node.hostname or (address if is_host(address) else name)
            remark = f"could not be known: the full host name; {said(instead)} stands in for it"
            called.append(Called(name=name, fqdn=instead, remark=remark))
    return tuple(called)


def _candidates(found: Found, holders: Counter[Certificate], servers: int) -> Iterator[str]:
    """Yield full names, the surest first: as given, as the server says, as its own certificates say."""
    hostname = found.node.hostname
    yield from (each.lower() for each in (found.node.address, hostname) if each is not None and is_full_name(each))
    if hostname is not None:
        for name in _certified(found, dict.fromkeys(holders, 1), servers):
            if first_label(name).casefold() == hostname.casefold():
                yield name
    yield from _certified(found, holders, servers)


def _certified(found: Found, holders: dict[Certificate, int], servers: int) -> Iterator[str]:
    """Yield the names in certificates that no other server has; with one server there is no other."""
    slots = [*_TELLING, *(slot for slot in found.identities if slot not in _TELLING)]
    for slot in slots:
        identity = found.identities.get(slot)
        if identity is not None and (holders[identity.leaf] == 1 or servers == 1):
            own = identity.leaf.common_name
            names = (*((own,) if own is not None else ()), *identity.leaf.dns_names)
            yield from (name.lower() for name in names if is_full_name(name))
