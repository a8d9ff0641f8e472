"""The issuer ``acme`` before a toy CA that can answer anything; Pebble is the judge of what it does rightly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cmscert.errors import IssuerError, SecretError
from cmscert.issue.acme import AcmeIssuer
from cmscert.issue.acme_talk import Accounts, ExternalAccount
from cmscert.issue.dns01 import NotPublished, TextRecord
from cmscert.issue.dns_watch import Watch
from cmscert.issue.issuers import Asked, Issued, Outstanding
from cmscert.issue.renewal_info import certificate_id
from cmscert.issue.store import Store
from cmscert.model.secret import Secret
from cmscert.pki.keys import PrivateKey
from cmscert.pki.request import make_request
from cmscert.testing import ca as throw_away
from cmscert.testing.ca import ThrowAwayCa
from cmscert.testing.toy_acme import Answer, ToyCa, json_answer, problem

Sign = Callable[..., throw_away.Issued]
NAME = "core1.example.com"


@dataclass
class Board:
    """Publishes on a blackboard. ``fails``: the acts that fail."""

    history: list[tuple[str, str]] = field(default_factory=list)
    fails: tuple[str, ...] = ()

    async def present(self, record: TextRecord) -> None:
        """Write it down."""
        self._do("present", record)

    async def cleanup(self, record: TextRecord) -> None:
        """Wipe it."""
        self._do("cleanup", record)

    def _do(self, act: str, record: TextRecord) -> None:
        self.history.append((act, record.name))
        if act in self.fails:
            raise NotPublished(f"the board is full for {record.domain}", "wipe it")


@pytest.fixture
def board() -> Board:
    """An empty blackboard."""
    return Board()


@pytest.fixture
def toy(sign: Sign) -> Iterator[ToyCa]:
    """A toy CA that signs for core1."""
    with ToyCa(certificate=sign(names=(NAME,)).full_chain_pem) as started:
        yield started


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store.open(tmp_path / "store")


@pytest.fixture
def named(asked: Asked, key: PrivateKey, store: Store) -> Asked:
    """The question: a certificate for one DNS name, whose request is in the store."""
    csr = make_request(key, common_name=NAME, sans=(NAME,))
    store.put_pending("node", "core1", csr=csr, key=key, issuer="public", at=asked.at)
    return replace(asked, sans=(NAME,), csr=csr)


Make = Callable[..., AcmeIssuer]


@pytest.fixture
def make(toy: ToyCa, store: Store, board: Board) -> Make:
    """Return a function that makes the issuer; keywords go to its account."""

    def made(*, patience: float = 1.0, preferred_chain: str | None = None, **more: Any) -> AcmeIssuer:  # noqa: ANN401 - the account's
        accounts = Accounts(name="public", **{"directory": toy.directory, "store": store, **more})
        return AcmeIssuer(
            name="public",
            accounts=accounts,
            store=store,
            publisher=board,
            watch=Watch(seconds=0),
            preferred_chain=preferred_chain,
            patience=patience,
        )

    return made


async def failed(issuer: AcmeIssuer, asked: Asked) -> IssuerError:
    """Return the error that an issuer ends with."""
    with pytest.raises(IssuerError) as caught:
        await issuer.obtain(asked)
    assert (caught.value.certificate, caught.value.issuer) == ("node for core1", "public")
    return caught.value


def memo_of(store: Store) -> dict[str, str]:
    """Return what is remembered of the order."""
    pending = store.pending("node", "core1")
    assert pending is not None
    return dict(pending.memo)


async def test_issues(make: Make, named: Asked, store: Store, toy: ToyCa, board: Board) -> None:
    """A certificate is ordered, proven and fetched; the order is remembered, the records are gone."""
    issued = await make(contact="ops@example.com").obtain(named)

    assert isinstance(issued, Issued)
    assert issued.chain[0].dns_names == (NAME,)
    assert board.history == [("present", f"_acme-challenge.{NAME}"), ("cleanup", f"_acme-challenge.{NAME}")]
    assert memo_of(store) == {"order": f"{toy.url}/order/1"}
    assert toy.requests("new-account") == [{"contact": ["mailto:ops@example.com"], "termsOfServiceAgreed": True}]
    assert issued.notes == (
        f"made the account {toy.url}/account/1 at the CA, and agreed to its terms: https://ca.example.net/terms",
    )


async def test_the_account_is_made_once(make: Make, named: Asked, store: Store, toy: ToyCa) -> None:
    """The next run uses the account of the store; another address for mails is told, and nothing else."""
    await make(contact="ops@example.com").obtain(named)
    await make(contact="mailto:others@example.com").obtain(named)
    await make().obtain(named)

    known = store.issuer("public")
    assert known is not None
    assert known.facts["account"] == f"{toy.url}/account/1"
    assert len(toy.requests("new-account")) == 1
    assert toy.requests("account") == [{"contact": ["mailto:others@example.com"]}, {"contact": []}]


async def test_another_ca_gets_another_key(make: Make, named: Asked, store: Store) -> None:
    """Where the directory changes, neither the account nor its key is shown to the new CA."""
    await make().obtain(named)
    first = store.issuer("public")
    with ToyCa(certificate=b"") as other:
        await failed(make(directory=other.directory), named)
    second = store.issuer("public")

    assert first is not None
    assert second is not None
    assert first.spki != second.spki


async def test_a_ca_that_lost_the_account(make: Make, named: Asked, toy: ToyCa) -> None:
    """An account that the CA no longer knows is made anew, once, with the same key."""
    await make().obtain(named)
    toy.instead["order"] = [problem("accountDoesNotExist")]
    toy.order = toy.authorization = "pending"
    named = replace(named, memo={"order": f"{toy.url}/order/1"})

    issued = await make().obtain(named)
    assert isinstance(issued, Issued)
    assert len(toy.requests("new-account")) == 2

    toy.instead |= {"order": [problem("accountDoesNotExist")] * 2}
    assert "accountDoesNotExist" in (await failed(make(), named)).message


async def test_terms_are_agreed_to_by_the_inventory(make: Make, named: Asked, toy: ToyCa) -> None:
    """A CA whose terms the inventory does not agree to gets no account; one without terms does."""
    error = await failed(make(agree=False), named)
    assert "does not agree to them: https://ca.example.net/terms" in error.message
    assert error.hint is not None
    assert toy.requests("new-account") == []

    toy.terms = False
    issued = await make(agree=False).obtain(named)
    assert isinstance(issued, Issued)
    assert toy.requests("new-account") == [{}]
    assert issued.notes == (f"made the account {toy.url}/account/1 at the CA",)


async def test_external_account(make: Make, named: Asked, toy: ToyCa) -> None:
    """The customer's number and proof go with the account; its key goes nowhere, in either alphabet."""
    await make(external=ExternalAccount(id="17", key=lambda: Secret("a+b/c9=="))).obtain(named)

    (sent,) = toy.requests("new-account")
    assert set(sent["externalAccountBinding"]) == {"payload", "protected", "signature"}
    assert "a+b/c9" not in str(sent)


@pytest.mark.parametrize("wrong", ["not base64!", "äöü", "abcde"])
async def test_external_key_is_none(make: Make, named: Asked, wrong: str) -> None:
    """A key that cannot be one is told before anybody is asked, without showing it."""
    error = await failed(make(external=ExternalAccount(id="17", key=lambda: Secret(wrong))), named)

    assert "the key of external_account is not base64url" in error.message
    assert wrong not in f"{error.message} {error.hint}"


async def test_external_key_is_missing(make: Make, named: Asked) -> None:
    """A secret that cannot be looked up fails the certificate, not the run."""

    def missing() -> Secret[str]:
        raise SecretError("the environment variable EAB is not set", hint="export EAB")

    error = await failed(make(external=ExternalAccount(id="17", key=missing)), named)

    assert "EAB is not set" in error.message
    assert error.hint == "export EAB"


@pytest.mark.parametrize("status", ["pending", "ready", "valid"])
async def test_an_order_is_resumed(make: Make, named: Asked, store: Store, toy: ToyCa, status: str) -> None:
    """A run goes on with the order of a run that died, wherever that stood."""
    toy.order, toy.authorization = status, "pending" if status == "pending" else "valid"
    issued = await make().obtain(replace(named, memo={"order": f"{toy.url}/order/1"}))

    assert isinstance(issued, Issued)
    assert toy.requests("new-order") == []
    assert len(toy.requests("finalize")) == (status != "valid")
    assert memo_of(store) == {"order": f"{toy.url}/order/1"}


@pytest.mark.parametrize(
    "answer",
    [json_answer({"status": "invalid"}), problem("malformed", "no order"), Answer(status=404), problem("unauthorized")],
)
async def test_an_order_is_gone(make: Make, named: Asked, toy: ToyCa, answer: Answer) -> None:
    """An order that is over, or that the CA no longer has, is ordered anew."""
    toy.instead["order"] = [answer]
    issued = await make().obtain(replace(named, memo={"order": f"{toy.url}/order/7"}))

    assert isinstance(issued, Issued)
    assert len(toy.requests("new-order")) == 1


async def test_an_order_that_cannot_be_looked_at_stays(make: Make, named: Asked, toy: ToyCa, store: Store) -> None:
    """Where the CA cannot answer for the moment, no second order is made."""
    store.remember("node", "core1", {"order": f"{toy.url}/order/1"})
    toy.instead["order"] = [Answer(status=503, body=b"busy", kind="text/plain", headers={"Retry-After": "90"})]
    error = await failed(make(), replace(named, memo=memo_of(store)))

    assert error.wait == timedelta(seconds=90)
    assert "answers with HTTP 503" in error.message
    assert toy.requests("new-order") == []
    assert memo_of(store) == {"order": f"{toy.url}/order/1"}


async def test_what_was_proven_is_not_proven_again(make: Make, named: Asked, toy: ToyCa, board: Board) -> None:
    """An authorization that the CA still holds needs no record."""
    toy.authorization = "valid"
    toy.instead["order"] = [json_answer({**toy._order(), "status": "ready"})]

    assert isinstance(await make().obtain(named), Issued)
    assert board.history == []


async def test_a_proof_under_way(make: Make, named: Asked, toy: ToyCa, board: Board) -> None:
    """A challenge that was answered by a run that died is not answered again, but its record is there once more."""
    found = toy._authz()
    found["challenges"] = [{**toy._challenge("dns-01"), "status": "processing"}]
    toy.instead["authz"] = [json_answer(found)]
    toy.authorization = "valid"
    toy.instead["order"] = [json_answer({**toy._order(), "status": "ready"})]

    assert isinstance(await make().obtain(named), Issued)
    assert toy.requests("challenge") == []
    assert len(board.history) == 2


async def test_the_ca_takes_its_time(make: Make, named: Asked, toy: ToyCa, store: Store) -> None:
    """A CA that is still at it is asked again by the next run."""
    toy.instead["order"] = [json_answer({**toy._order(), "status": "ready"})]
    toy.instead["finalize"] = [json_answer({**toy._order(), "status": "processing"})]
    slow = json_answer({**toy._order(), "status": "processing"}, Retry_After="600")
    toy.instead["order"] += [slow, slow, slow]
    answer = await make(patience=0.3).obtain(named)

    assert isinstance(answer, Outstanding)
    assert answer.memo == memo_of(store) == {"order": f"{toy.url}/order/1"}


async def test_the_ca_never_looks(make: Make, named: Asked, toy: ToyCa, board: Board, store: Store) -> None:
    """A CA that does not verify in time is told with the name; the record goes, the order stays."""
    toy.validates = "pending"
    error = await failed(make(patience=0.3), named)

    assert f"the CA has not verified {NAME} in time" in error.message
    assert board.history[-1][0] == "cleanup"
    assert memo_of(store) != {}


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("invalid", f"could not verify {NAME}: no TXT record found (dns)"),
        ("deactivated", f"verify {NAME}: its authorization is deactivated"),
    ],
)
async def test_not_verified(
    make: Make, named: Asked, toy: ToyCa, board: Board, store: Store, status: str, words: str
) -> None:
    """What the CA could not verify is told by name, in its words; the record is taken away."""
    toy.validates = status
    error = await failed(make(), named)

    assert words in error.message
    assert board.history[-1][0] == "cleanup"
    assert (memo_of(store) == {}) == (status == "invalid")


@pytest.mark.parametrize("status", ["expired", "revoked"])
async def test_a_proof_that_is_lost(make: Make, named: Asked, toy: ToyCa, store: Store, status: str) -> None:
    """An order that can no longer be proven is forgotten."""
    toy.authorization = status
    error = await failed(make(), named)

    assert f"the authorization for {NAME} is " in error.message
    assert memo_of(store) == {}


@pytest.mark.parametrize("error", [{"type": "urn:ietf:params:acme:error:caa", "detail": "CAA forbids it"}, None])
async def test_given_up(make: Make, named: Asked, toy: ToyCa, store: Store, error: object) -> None:
    """An order that the CA gives up is told with its reason, and forgotten."""
    toy.instead["finalize"] = [json_answer({**toy._order(), "status": "processing"})]
    over = {**toy._order(), "status": "invalid", **({"error": error} if error else {})}
    toy.instead["order"] = [json_answer({**toy._order(), "status": "ready"}), json_answer(over)]
    found = await failed(make(), named)

    assert ("CAA forbids it (caa)" if error else "says no reason") in found.message
    assert memo_of(store) == {}


async def test_other_challenges_only(make: Make, named: Asked, toy: ToyCa) -> None:
    """A CA that offers no DNS-01 for a name is told with what it offers."""
    toy.challenges = ("http-01", "tls-alpn-01")

    assert f"does not offer dns-01 for {NAME}, but http-01, tls-alpn-01" in (await failed(make(), named)).message


async def test_a_name_that_was_not_ordered(make: Make, named: Asked, toy: ToyCa, board: Board) -> None:
    """A CA cannot have records published for names of its own choice."""
    toy.names = ("evil.example.org",)

    assert "a name that was not ordered" in (await failed(make(), named)).message
    assert board.history == []


@pytest.mark.parametrize("fails", ["present", "cleanup"])
async def test_publishing_fails(make: Make, named: Asked, board: Board, toy: ToyCa, fails: str) -> None:
    """A record that cannot be published fails the certificate; one that cannot be removed is only told."""
    board.fails = (fails,)
    if fails == "present":
        error = await failed(make(), named)
        assert (f"the board is full for {NAME}" in error.message, error.hint) == (True, "wipe it")
        assert toy.requests("challenge") == []
        assert board.history[-1][0] == "cleanup"
    else:
        issued = await make().obtain(named)
        assert issued.notes[-1].startswith(f"the TXT record _acme-challenge.{NAME} is left: ")


async def test_names_that_dns_cannot_prove(make: Make, asked: Asked, toy: ToyCa) -> None:
    """Addresses are refused before anybody is asked."""
    assert "DNS-01 proves DNS names only, not 10.0.0.11" in (await failed(make(), asked)).message
    assert toy.asked == []


@pytest.mark.parametrize(
    ("header", "seconds"), [("3600", 3600), ("Mon, 23 Nov 2026 13:00:00 GMT", 3600), ("soon", None)]
)
async def test_rate_limits(make: Make, named: Asked, toy: ToyCa, header: str, seconds: int | None) -> None:
    """When the CA rations, the next try waits as long as it says: seconds, or a moment."""
    limited = problem("rateLimited", "too many certificates already issued", 429)
    toy.instead["new-order"] = [replace(limited, headers={"Retry-After": header})]
    error = await failed(make(), named)

    assert "too many certificates already issued (rateLimited)" in error.message
    assert error.wait == (None if seconds is None else timedelta(seconds=seconds))


async def test_nonces(make: Make, named: Asked, toy: ToyCa) -> None:
    """A nonce that the CA no longer knows is replaced, several times over; not for ever."""
    toy.instead["new-order"] = [problem("badNonce")] * 9
    assert isinstance(await make().obtain(named), Issued)

    toy.instead["new-order"] = [problem("badNonce")] * 10
    toy.order = toy.authorization = "pending"
    assert "badNonce" in (await failed(make(), named)).message


@pytest.mark.parametrize("code", ["alreadyReplaced", "conflict", "malformed", None])
async def test_replaces(make: Make, named: Asked, toy: ToyCa, store: Store, key: PrivateKey, code: str | None) -> None:
    """An order names the certificate that it replaces where the CA knows of that, and goes without when it refuses."""
    toy.renewals = Answer()
    issued = await make().obtain(named)
    assert isinstance(issued, Issued)
    stored = store.accept("node", "core1", issued.chain, issuer="public", at=named.at)
    store.put_pending("node", "core1", csr=named.csr, key=key, issuer="public", at=named.at)
    toy.order = toy.authorization = "pending"
    toy.instead["new-order"] = {
        None: [],
        "conflict": [Answer(status=409)],
    }.get(code, [problem(str(code))])
    await make().obtain(named)

    called = certificate_id(stored.chain[0])
    orders = [order.get("replaces") for order in toy.requests("new-order")]
    assert orders == ([None, called] if code is None else [None, called, None])


async def test_replaces_is_refused_for_another_reason(
    make: Make, named: Asked, toy: ToyCa, store: Store, key: PrivateKey
) -> None:
    """A limit on orders is not asked about twice."""
    toy.renewals = Answer()
    issued = await make().obtain(named)
    assert isinstance(issued, Issued)
    store.accept("node", "core1", issued.chain, issuer="public", at=named.at)
    store.put_pending("node", "core1", csr=named.csr, key=key, issuer="public", at=named.at)
    toy.instead["new-order"] = [problem("rateLimited")]

    await failed(make(), named)
    assert len(toy.requests("new-order")) == 2


async def test_what_is_over_is_not_replaced(
    make: Make, named: Asked, toy: ToyCa, store: Store, key: PrivateKey
) -> None:
    """A certificate that has expired, or that another issuer made, is not named."""
    toy.renewals = Answer()
    issued = await make().obtain(named)
    assert isinstance(issued, Issued)
    store.accept("node", "core1", issued.chain, issuer="another", at=named.at)
    store.put_pending("node", "core1", csr=named.csr, key=key, issuer="public", at=named.at)
    toy.order = toy.authorization = "pending"
    await make().obtain(named)

    assert [order.get("replaces") for order in toy.requests("new-order")] == [None, None]


async def test_preferred_chain(make: Make, named: Asked, toy: ToyCa, sign: Sign) -> None:
    """Of several chains the one to the preferred root is taken; where there is none, the first, and it is told."""
    other = sign(ca=ThrowAwayCa.root("Other Root").intermediate("Other CA"), names=(NAME,))
    toy.alternates = (other.full_chain_pem,)
    issued = await make(preferred_chain="Other Root").obtain(named)
    assert isinstance(issued, Issued)
    assert issued.chain == other.full_chain

    missing = await make(preferred_chain="Gone Root").obtain(named)
    assert missing.notes == ("the CA has no chain to Gone Root: it has Example Root CA, Other Root",)


async def test_no_certificate(make: Make, named: Asked, toy: ToyCa) -> None:
    """What is no certificate is told as such."""
    toy.certificate = b"soon"

    assert "the CA delivered no certificate: the CA's answer" in (await failed(make(), named)).message


async def test_shows_no_secret(make: Make) -> None:
    """The issuer shows neither the customer's key nor the account's."""
    issuer = make(external=ExternalAccount(id="17", key=lambda: Secret("hunter2")))

    assert "hunter2" not in repr(issuer)
