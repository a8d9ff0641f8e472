"""The issuer ``acme``: a CA that speaks ACME (RFC 8555), public or private, and names proven by DNS-01.

An order is remembered before anything is proven, so that a run which dies is continued by the next: CAs ration orders
and failures.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from acme import messages
from acme.challenges import DNS01

from cmscert.errors import InputError, SecretError
from cmscert.issue.acme_talk import PATIENCE, Accounts, CaFailed, Talk
from cmscert.issue.acme_words import Told, code_of, problem
from cmscert.issue.dns01 import NotPublished, Publisher, TextRecord
from cmscert.issue.dns_watch import Watch
from cmscert.issue.issuers import Asked, Issued, Outstanding
from cmscert.issue.renewal_info import certificate_id
from cmscert.issue.store import Store
from cmscert.mmp.replies import clean
from cmscert.pki.pem import read_certificates

ORDER: Final = "order"
_LABEL: Final = "_acme-challenge"
_OPEN: Final = (messages.STATUS_PENDING, messages.STATUS_PROCESSING)
_ALIVE: Final = (*_OPEN, messages.STATUS_READY, messages.STATUS_VALID)
_GONE: Final = ("malformed", "unauthorized", "conflict", "notFound")
"""What CAs say of an order that they no longer have, or that was never this account's."""

_NOT_REPLACED: Final = ("alreadyReplaced", "conflict", "malformed", "unauthorized")


@dataclass(frozen=True, slots=True, kw_only=True)
class AcmeIssuer:
    """Orders, proves, and fetches.

    ``preferred_chain``: common name of the root that the chain had better lead to, where the CA has several.
    ``patience``: seconds for each wait for the CA.
    """

    name: str
    accounts: Accounts
    store: Store = field(repr=False)
    publisher: Publisher
    watch: Watch = field(default_factory=Watch)
    preferred_chain: str | None = None
    patience: float = PATIENCE

    async def obtain(self, asked: Asked) -> Issued | Outstanding:
        """Go on with the order that is remembered, or make one; prove the names; fetch what was signed.

        Raises IssuerError.
        """
        names = self._names(asked)
        try:
            try:
                return await self._with_account(asked, names)
            except CaFailed as error:
                if error.told.code != "accountDoesNotExist":
                    raise
                return await self._with_account(asked, names, anew=True)
        except CaFailed as error:
            words = error.told
            raise asked.fault(self.name, words.message, hint=words.hint, wait=words.wait) from None
        except NotPublished as error:
            raise asked.fault(self.name, error.message, hint=error.hint) from None
        except SecretError as error:
            raise asked.fault(self.name, error.message, hint=error.hint) from None

    def _names(self, asked: Asked) -> tuple[str, ...]:
        """Return the DNS names of the request; other names cannot be proven this way."""
        request = asked.request
        others = (*request.ip_addresses, *request.emails, *request.other_names)
        if others:
            message = f"DNS-01 proves DNS names only, not {', '.join(others)}"
            raise asked.fault(self.name, message, hint="take these names out, or let another issuer sign")
        return tuple(dict.fromkeys(name.lower() for name in request.dns_names))

    async def _with_account(self, asked: Asked, names: Sequence[str], *, anew: bool = False) -> Issued | Outstanding:
        talk = await self.accounts.talk(asked.at, anew=anew)
        try:
            uri, order = await self._order(talk, asked, names)
            self._remember(asked, uri)
            notes = list(talk.notes)
            if order.status == messages.STATUS_PENDING:
                await self._prove(talk, asked, order, names, notes)
                order = await talk.until(_is_settled, self.patience, talk.wire.order, uri)
            if order.status == messages.STATUS_READY:
                await talk(talk.wire.finalize, order, asked.csr)
            order = await talk.until(_is_over, self.patience, talk.wire.order, uri)
            if order.status == messages.STATUS_VALID and order.certificate:
                return await self._fetched(talk, asked, order.certificate, notes)
            if order.status == messages.STATUS_INVALID:
                raise self._refused(asked, order)
            return Outstanding(where=uri, why="the CA is still at it", notes=tuple(notes), memo={ORDER: uri})
        finally:
            talk.wire.close()

    def _remember(self, asked: Asked, uri: str | None) -> None:
        self.store.remember(asked.certificate, asked.server, {} if uri is None else {ORDER: uri})

    async def _order(self, talk: Talk, asked: Asked, names: Sequence[str]) -> tuple[str, messages.Order]:
        wire, uri = talk.wire, asked.memo.get(ORDER)
        if uri is not None:
            try:
                order = await talk(wire.order, uri)
            except CaFailed as error:
                if error.told.code not in _GONE:
                    raise
            else:
                if order.status in _ALIVE:
                    return uri, order
        replaces = await self._replaced(talk, asked)
        if replaces is not None:
            try:
                return await talk(wire.new_order, names, replaces=replaces)
            except CaFailed as error:
                if error.told.code not in _NOT_REPLACED:
                    raise
        return await talk(wire.new_order, names)

    async def _replaced(self, talk: Talk, asked: Asked) -> str | None:
        """Name the certificate that this one takes the place of: CAs are more generous then (RFC 9773)."""
        if not await talk(talk.wire.offers, "renewalInfo"):
            return None
        stored = self.store.latest(asked.certificate, asked.server)
        if stored is None or stored.issuer != self.name or stored.chain[0].not_after <= asked.at:
            return None
        return certificate_id(stored.chain[0])

    async def _prove(
        self, talk: Talk, asked: Asked, order: messages.Order, names: Sequence[str], notes: list[str]
    ) -> None:
        """Publish the records, let the CA look, and take them away again, whatever happens."""
        proofs = await self._proofs(talk, asked, order, names)
        published: list[TextRecord] = []
        try:
            for proof in proofs:
                published.append(proof.record)
                await self.publisher.present(proof.record)
            await self.watch.wait(published)
            for proof in proofs:
                if proof.challenge.status == messages.STATUS_PENDING:
                    await talk(talk.wire.answer, proof.challenge)
            ended = [
                await talk.until(_is_judged, self.patience, talk.wire.authorization, proof.uri) for proof in proofs
            ]
        finally:
            await self._cleaned_up(published, notes)
        failed = [why for proof, one in zip(proofs, ended, strict=True) if (why := _why_not(proof, one)) is not None]
        if failed:
            if any(one.status == messages.STATUS_INVALID for one in ended):
                self._remember(asked, None)
            raise CaFailed(Told(message="; ".join(failed), hint="look at what challenge.dns_01 publishes, and where"))

    async def _proofs(self, talk: Talk, asked: Asked, order: messages.Order, names: Sequence[str]) -> list[_Proof]:
        """Say what is still to be proven; an order with a proof that is lost is given up."""
        proofs = []
        for uri in order.authorizations:
            found = await talk(talk.wire.authorization, uri)
            if found.status in _OPEN:
                proofs.append(_proof(talk, uri, found, names))
            elif found.status != messages.STATUS_VALID:
                self._remember(asked, None)
                message = f"the authorization for {found.identifier.value} is {found.status.name} at the CA"
                raise CaFailed(Told(message=clean(message.encode()), hint="the next run makes another order"))
        return proofs

    async def _cleaned_up(self, published: Iterable[TextRecord], notes: list[str]) -> None:
        for record in published:
            try:
                await self.publisher.cleanup(record)
            except NotPublished as error:
                notes.append(f"the TXT record {record.name} is left: {error.message}")

    def _refused(self, asked: Asked, order: messages.Order) -> CaFailed:
        self._remember(asked, None)
        if order.error is None:
            return CaFailed(Told(message="the CA gave the order up, and says no reason"))
        message = f"the CA gave the order up: {problem(order.error)}"
        return CaFailed(Told(message=message, code=code_of(order.error)))

    async def _fetched(self, talk: Talk, asked: Asked, uri: str, notes: list[str]) -> Issued:
        contents = await talk(talk.wire.chains, uri, alternates=self.preferred_chain is not None)
        try:
            chains = [read_certificates(content, file="the CA's answer") for content in contents]
        except InputError as error:
            raise asked.fault(self.name, f"the CA delivered no certificate: {error.faults[0]}") from None
        preferred = [chain for chain in chains if chain[-1].issuer_common_name == self.preferred_chain]
        if self.preferred_chain is not None and not preferred:
            has = ", ".join(dict.fromkeys(str(chain[-1].issuer_common_name) for chain in chains))
            notes.append(f"the CA has no chain to {self.preferred_chain}: it has {has}")
        return Issued(chain=(preferred or chains)[0], notes=tuple(notes))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Proof:
    uri: str
    challenge: messages.ChallengeBody
    record: TextRecord


def _proof(talk: Talk, uri: str, found: messages.Authorization, names: Sequence[str]) -> _Proof:
    """Say what is to be published for an authorization."""
    domain = str(found.identifier.value).lower()
    if domain not in {name.removeprefix("*.") for name in names}:
        raise CaFailed(Told(message="the CA asks for the proof of a name that was not ordered"))
    challenge = next((one for one in found.challenges if isinstance(one.chall, DNS01)), None)
    if challenge is None:
        offered = ", ".join(sorted({str(one.chall.to_partial_json().get("type")) for one in found.challenges}))
        raise CaFailed(Told(message=f"the CA does not offer dns-01 for {domain}, but {offered or 'nothing'}"))
    record = TextRecord(domain=domain, name=f"{_LABEL}.{domain}", value=talk.wire.value_of(challenge))
    return _Proof(uri=uri, challenge=challenge, record=record)


def _why_not(proof: _Proof, found: messages.Authorization) -> str | None:
    domain = proof.record.domain
    if found.status == messages.STATUS_VALID:
        return None
    errors = [one.error for one in found.challenges if one.error is not None]
    if errors:
        return f"the CA could not verify {domain}: {'; '.join(map(problem, errors))}"
    if found.status in _OPEN:
        return f"the CA has not verified {domain} in time"
    return f"the CA could not verify {domain}: its authorization is {found.status.name}"


def _is_judged(found: messages.Authorization) -> bool:
    return found.status not in _OPEN


def _is_settled(order: messages.Order) -> bool:
    return order.status != messages.STATUS_PENDING


def _is_over(order: messages.Order) -> bool:
    return order.status in (messages.STATUS_VALID, messages.STATUS_INVALID)
