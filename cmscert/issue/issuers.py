"""What every issuer is asked, and what it may answer. One small interface: ``obtain``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal, Protocol

from cmscert.errors import IssuerError
from cmscert.pki.certificate import Certificate
from cmscert.pki.request import Request, read_request

BOTH_ENDS: Final = ("serverAuth", "clientAuth")


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What the places of a certificate need of it.

    ``ekus``: every extended key usage that one of its slots can make use of; ``needed``: those without which a slot is
    known not to work, None for all of them. ``common_name_must_be``: ``postgres`` for database clients.
    """

    ekus: tuple[str, ...] = BOTH_ENDS
    needed: tuple[str, ...] | None = None
    common_name_must_be: str | None = None
    strict: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What a certificate must be, whoever delivers it. ``bundle``: the declared chain, empty where there is none."""

    common_name: str
    sans: tuple[str, ...] = ()
    profile: Profile = field(default_factory=Profile)
    bundle: tuple[Certificate, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Common name first, then the SANs, each once."""
        return tuple(dict.fromkeys((self.common_name, *self.sans)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(Demand):
    """One certificate to obtain.

    ``server``: None for a shared one. ``csr``: PEM, as it stands in the store, so the same bytes in every run until it
    is answered. ``memo``: what the issuer wanted remembered when it last answered ``Outstanding``. ``at``: the moment
    of the run (aware UTC).
    """

    certificate: str
    server: str | None = None
    csr: bytes = field(repr=False)
    at: datetime
    memo: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What people call it."""
        return self.certificate if self.server is None else f"{self.certificate} for {self.server}"

    @property
    def stem(self) -> str:
        """What its files are called."""
        return self.certificate if self.server is None else f"{self.certificate}-{self.server}"

    @property
    def request(self) -> Request:
        """The request as facts; raises InputError."""
        return read_request(self.csr, file=f"{self.stem}.csr")

    def fault(
        self,
        issuer: str,
        message: str,
        *,
        hint: str | None = None,
        wait: timedelta | None = None,
        delivered: bool = False,
    ) -> IssuerError:
        """Make the error for something that went wrong with this certificate."""
        return IssuerError(self.label, issuer, message, hint=hint, wait=wait, delivered=delivered)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """What an issuer delivered: the leaf first, then whatever came with it, unchecked. ``notes``: for people."""

    chain: tuple[Certificate, ...]
    notes: tuple[str, ...] = ()
    kind: Literal["issued"] = "issued"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outstanding:
    """The issuer was asked and has not signed yet.

    ``where``: what people have to look at; ``why``: what is waited for. ``memo``: comes back with the next question.
    """

    where: str
    why: str
    notes: tuple[str, ...] = ()
    memo: Mapping[str, str] = field(default_factory=dict)
    kind: Literal["outstanding"] = "outstanding"


class Issuer(Protocol):
    """Something that turns requests into certificates."""

    @property
    def name(self) -> str:
        """Its name in the inventory."""
        ...

    async def obtain(self, asked: Asked) -> Issued | Outstanding:
        """Ask for a certificate, or look whether it is there by now. Raises IssuerError."""
        ...
