"""What issuers have delivered so far. The use case hands it in: the inventory knows no store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from cmscert.inventory.outline import Outline
from cmscert.pki.certificate import Certificate
from cmscert.pki.keys import PrivateKey

Use = tuple[str, str | None]
"""A certificate's name and the server it is for; None when it is shared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Obtained:
    """A certificate that an issuer delivered: leaf first, then what came with it.

    ``device_key``: the file of its key on the server that made it; otherwise the key is in ``Supplies.keys``.
    """

    chain: tuple[Certificate, ...]
    device_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Supplies:
    """All that is in store for an inventory.

    ``issuers``: by issuer, the CA certificates that it is known to sign with. ``waiting``: why a certificate is not
    there yet. ``pending``: by server, the files of requests that await a signature. ``keys``: by hash of the public
    half; a key may be opened, and its passphrase looked up, only when it is taken. ``suggested``: when CAs would renew,
    by SHA-256 of the certificate.
    """

    obtained: Mapping[Use, Obtained] = field(default_factory=dict)
    keys: Mapping[str, PrivateKey] = field(default_factory=dict, repr=False)
    issuers: Mapping[str, tuple[Certificate, ...]] = field(default_factory=dict)
    waiting: Mapping[Use, str] = field(default_factory=dict)
    pending: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    suggested: Mapping[str, datetime] = field(default_factory=dict)


class Keys(Mapping[str, PrivateKey]):
    """Several sources of keys as one; looking which there are opens none."""

    def __init__(self, *sources: Mapping[str, PrivateKey]) -> None:
        self._sources = sources

    def __getitem__(self, spki: str) -> PrivateKey:
        for source in self._sources:
            if spki in source:
                return source[spki]
        raise KeyError(spki)

    def __contains__(self, spki: object) -> bool:
        return any(spki in source for source in self._sources)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(spki for source in self._sources for spki in source))

    def __len__(self) -> int:
        return sum(1 for _ in self)


Supply = Callable[[Outline], Supplies]


def no_supplies(_outline: Outline) -> Supplies:
    """Have nothing in store."""
    return Supplies()
