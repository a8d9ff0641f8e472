"""A conversation with an ACME CA in a thread, for an account that the store keeps."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from cmscert.issue.acme_wire import Binding, Wire
from cmscert.issue.acme_words import FAILURES, Told, told
from cmscert.issue.store import Store
from cmscert.model.secret import Secret
from cmscert.pki.generate import make_key
from cmscert.pki.keys import PrivateKey

FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 5.0
PATIENCE: Final = 120.0

P = ParamSpec("P")
T = TypeVar("T")


class CaFailed(Exception):
    """The CA refused, failed, or could not be asked."""

    def __init__(self, words: Told) -> None:
        super().__init__(words.message)
        self.told = words


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """``wire``, asked in a thread. ``at``: the moment of the run. ``notes``: for people, about the account."""

    wire: Wire
    at: datetime
    notes: tuple[str, ...] = ()

    async def __call__(self, call: Callable[P, T], *arguments: P.args, **words: P.kwargs) -> T:
        """Ask, and return the answer. Raises CaFailed."""
        try:
            return await asyncio.to_thread(call, *arguments, **words)
        except FAILURES as error:
            raise CaFailed(told(error, self.wire.url, wait=self.wire.wait(self.at))) from None

    async def until(self, over: Callable[[T], bool], patience: float, call: Callable[[str], T], uri: str) -> T:
        """Ask until the answer is final, or the patience is over; as often as the CA wishes. Raises CaFailed."""
        loop = asyncio.get_running_loop()
        end, pause = loop.time() + patience, FIRST_PAUSE
        while True:
            found = await self(call, uri)
            left = end - loop.time()
            if over(found) or left <= 0:
                return found
            wished = (self.wire.wait(self.at) or timedelta()).total_seconds()
            await asyncio.sleep(min(max(pause, wished), left))
            pause = min(pause * 2, LONGEST_PAUSE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalAccount:
    """A customer's number at the CA, and the key that proves it, which is looked up when it is needed."""

    id: str
    key: Callable[[], Secret[str]] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """The account of an issuer: made once, kept in the store with its key, used by every run.

    ``agree``: whether to agree to the CA's terms of service when it is made.
    """

    name: str
    directory: str
    store: Store
    contact: str | None = None
    external: ExternalAccount | None = None
    ca_bundle: Path | None = None
    agree: bool = True
    _one: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    async def talk(self, at: datetime, *, anew: bool = False) -> Talk:
        """Begin a conversation; ``anew``: the CA has lost the account. Raises CaFailed, InputError, SecretError."""
        async with self._one:
            facts, key = self._kept()
            wire = Wire(self.directory, key=key, ca_bundle=self.ca_bundle, account=facts.get("account"))
            talk = Talk(wire=wire, at=at)
            try:
                if wire.account is None or anew:
                    return await self._registered(talk, facts, key)
                if facts.get("contact", "") != (self.contact or ""):
                    await talk(wire.reach_at, self.contact)
                    self._keep(facts, key, account=wire.account)
            except BaseException:
                wire.close()
                raise
            return talk

    def _kept(self) -> tuple[Mapping[str, str], PrivateKey]:
        """Return what is known, and the account's key; another CA or customer number gets another key."""
        known = self.store.issuer(self.name)
        facts = {} if known is None else dict(known.facts)
        wanted = {"directory": self.directory, "external": "" if self.external is None else self.external.id}
        if known is not None and known.spki is not None and facts.items() >= wanted.items():
            return facts, self.store.key(known.spki)
        key = make_key("ec", 256)
        self.store.put_issuer(self.name, chain=() if known is None else known.chain, key=key, facts=wanted)
        return wanted, key

    def _keep(self, facts: Mapping[str, str], key: PrivateKey, *, account: str) -> None:
        known = self.store.issuer(self.name)
        chain = () if known is None else known.chain
        facts = {**facts, "account": account, "contact": self.contact or ""}
        self.store.put_issuer(self.name, chain=chain, key=key, facts=facts)

    async def _registered(self, talk: Talk, facts: Mapping[str, str], key: PrivateKey) -> Talk:
        wire = talk.wire
        terms = await talk(lambda: wire.terms)
        if terms and not self.agree:
            message = f"the CA has terms of service, and the inventory does not agree to them: {terms}"
            raise CaFailed(Told(message=message, hint="say agree_terms: true once somebody has read them"))
        await talk(wire.register, self.contact, agree=self.agree, binding=self._binding())
        assert wire.account is not None  # noqa: S101 - a CA that names none has raised
        self._keep(facts, key, account=wire.account)
        agreed = f", and agreed to its terms: {terms}" if terms else ""
        return Talk(wire=wire, at=talk.at, notes=(f"made the account {wire.account} at the CA{agreed}",))

    def _binding(self) -> Binding | None:
        if self.external is None:
            return None
        key = self.external.key().reveal()
        mac = key.strip().rstrip("=").translate(str.maketrans("+/", "-_"))  # some CAs hand out plain base64
        try:
            base64.b64decode(mac + "=" * (-len(mac) % 4), altchars=b"-_", validate=True)
        except (ValueError, binascii.Error):
            message = "the key of external_account is not base64url"
            raise CaFailed(Told(message=message, hint="give it as the CA handed it out")) from None
        return Binding(id=self.external.id, key=mac)
