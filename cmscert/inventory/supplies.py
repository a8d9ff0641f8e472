"""What issuers have delivered so far. The use case hands it in: the inventory knows no store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cmscert.inventory.outline import Outline
from cmscert.pki.certificate import Certificate
from cmscert.pki.keys import PrivateKey

Use = tuple[str, str | None]
"""A certificate's name and the server it is for; None when it is shared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Obtained:
    """A certificate that an issuer delivered: leaf first, then what came with it.

    Either ``key`` or ``device_key`` is given: the key itself, or its file's name on the server that made it.
    """

    chain: tuple[Certificate, ...]
    key: PrivateKey | None = field(default=None, repr=False)
    device_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Supplies:
    """All that is in store for an inventory.

    ``issuers``: by issuer, the CA certificates that it is known to sign with. ``waiting``: why a certificate is not
    there yet. ``pending``: by server, the files of requests that await a signature.
    """

    obtained: Mapping[Use, Obtained] = field(default_factory=dict)
    issuers: Mapping[str, tuple[Certificate, ...]] = field(default_factory=dict)
    waiting: Mapping[Use, str] = field(default_factory=dict)
    pending: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


Supply = Callable[[Outline], Supplies]


def no_supplies(_outline: Outline) -> Supplies:
    """Have nothing in store."""
    return Supplies()
