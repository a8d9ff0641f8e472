"""Talks to an ACME CA (RFC 8555) through the library ``acme``. Every call blocks, and is bounded: use threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final, TypeVar, cast
from urllib.parse import urljoin

from acme import messages
from acme.challenges import DNS01
from acme.client import ClientNetwork
from cryptography import x509
from josepy import jwa, jwk
from josepy.interfaces import JSONDeSerializable
from josepy.json_util import JSONObjectWithFields
from josepy.json_util import field as json_field
from requests.utils import parse_header_links

from cmscert import __version__
from cmscert.pki.keys import PrivateKey

SECONDS: Final = 30
"""Until the CA's connection stands, and until it sends something."""

NONCES: Final = 5
"""How often a request is signed anew because the CA no longer knows its nonce."""


Body = TypeVar("Body", bound=JSONObjectWithFields)


class NewOrder(messages.NewOrder):
    """An order that may say which certificate it replaces (RFC 9773, section 5)."""

    replaces: str | None = json_field("replaces", omitempty=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What ties an account to a customer of the CA. ``key``: base64url, as the CA hands it out."""

    id: str
    key: str = field(repr=False)


class Wire:
    """A conversation with a CA, by one thread at a time.

    ``directory``: its URL. ``key``: the account's; None for what needs no account. ``ca_bundle``: PEM file with the
    roots for the CA's own TLS, instead of those that browsers trust. ``account``: its URL, once it is known.
    Whatever fails raises what the library raises: ``acme_words.told`` puts it in words.
    """

    def __init__(
        self,
        directory: str,
        *,
        key: PrivateKey | None = None,
        ca_bundle: Path | None = None,
        account: str | None = None,
        seconds: int = SECONDS,
    ) -> None:
        self.url = directory
        self._jwk = None if key is None else jwk.JWKEC(key=key.signer())
        verify = cast("bool", True if ca_bundle is None else str(ca_bundle))
        agent = f"cmscert/{__version__} python-acme"
        self._net = ClientNetwork(self._jwk, alg=jwa.ES256, verify_ssl=verify, user_agent=agent, timeout=seconds)
        self._net.session.hooks["response"].append(self._keep)
        self._directory: messages.Directory | None = None
        self.retry_after: str | None = None
        self.account = account

    def close(self) -> None:
        """End the connections."""
        self._net.session.close()

    def _keep(self, response: Any, *_: object, **__: object) -> None:  # noqa: ANN401 - of a library without types
        self.retry_after = response.headers.get("Retry-After")

    @property
    def directory(self) -> messages.Directory:
        """What the CA offers; asked once."""
        if self._directory is None:
            self._directory = messages.Directory.from_json(self._net.get(self.url).json())
        return self._directory

    def offers(self, name: str) -> bool:
        """Tell whether the CA offers a resource."""
        return name in self.directory.to_partial_json()

    @property
    def terms(self) -> str | None:
        """URL of the CA's terms of service."""
        return cast("messages.Directory.Meta", self.directory["meta"]).terms_of_service

    @property
    def account(self) -> str | None:
        """URL of the account that signs."""
        return None if self._net.account is None else self._net.account.uri

    @account.setter
    def account(self, uri: str | None) -> None:
        body = messages.Registration()
        self._net.account = None if uri is None else messages.RegistrationResource(body=body, uri=uri)

    def register(self, contact: str | None, *, agree: bool, binding: Binding | None) -> None:
        """Make the account of the key, or find the one that it has."""
        self.account = None
        more: dict[str, object] = {"contact": _mail(contact)} if contact is not None else {}
        if binding is not None:
            more["external_account_binding"] = self._bound(binding)
        if agree:
            more["terms_of_service_agreed"] = True
        body = messages.NewRegistration(**more)
        response = self._post(self.directory["newAccount"], body)
        self.account = response.headers["Location"]

    def _bound(self, binding: Binding) -> dict[str, Any]:
        assert self._jwk is not None  # noqa: S101 - nobody registers without a key
        mac = binding.key.translate(str.maketrans("+/", "-_")).rstrip("=")  # some CAs hand out plain base64
        return messages.ExternalAccountBinding.from_data(self._jwk.public_key(), binding.id, mac, self.directory)

    def reach_at(self, contact: str | None) -> None:
        """Tell the CA another address for its mails."""
        self._post(self.account or "", messages.UpdateRegistration(contact=_mail(contact)))

    def new_order(self, names: Sequence[str], *, replaces: str | None = None) -> tuple[str, messages.Order]:
        """Order a certificate for DNS names; return the order's URL, and the order."""
        wanted = [messages.Identifier(typ=messages.IDENTIFIER_FQDN, value=name) for name in names]
        response = self._post(self.directory["newOrder"], NewOrder(identifiers=wanted, replaces=replaces))
        return response.headers["Location"], _read(messages.Order, response)

    def order(self, uri: str) -> messages.Order:
        """Look at an order."""
        return _read(messages.Order, self._post(uri, None))

    def authorization(self, uri: str) -> messages.Authorization:
        """Look at an authorization."""
        document = self._post(uri, None).json()
        if document.get("status") == "expired":  # RFC 8555, section 7.1.6; the library does not know it
            document["status"] = "invalid"
        found: messages.Authorization = messages.Authorization.from_json(document)
        return found

    def value_of(self, challenge: messages.ChallengeBody) -> str:
        """Return what the TXT record of a challenge has to say."""
        return cast("DNS01", challenge.chall).validation(self._jwk)

    def answer(self, challenge: messages.ChallengeBody) -> None:
        """Let the CA look for the record."""
        self._post(challenge.uri, challenge.response(self._jwk))

    def finalize(self, order: messages.Order, csr: bytes) -> messages.Order:
        """Hand in the request (PEM)."""
        request = messages.CertificateRequest(csr=x509.load_pem_x509_csr(csr))
        return _read(messages.Order, self._post(order.finalize, request))

    def chains(self, uri: str, *, alternates: bool) -> tuple[bytes, ...]:
        """Fetch a certificate with its chain (PEM); with the other chains that the CA has for it, if wanted."""
        response = self._post(uri, None)
        links = parse_header_links(response.headers.get("Link", "")) if alternates else []
        others = [urljoin(uri, link["url"]) for link in links if link.get("rel") == "alternate"]
        return (response.content, *(self._post(other, None).content for other in others))

    def renewal_info(self, certificate_id: str) -> messages.RenewalInfo:
        """Ask when a certificate had better be renewed (RFC 9773)."""
        url = f"{self.directory['renewalInfo'].rstrip('/')}/{certificate_id}"
        return _read(messages.RenewalInfo, self._net.get(url))

    def wait(self, at: datetime) -> timedelta | None:
        """Return how long the CA, in its last answer, asked to be left alone."""
        return wait_of(self.retry_after, at)

    def _post(self, url: str, body: JSONDeSerializable | None) -> Any:  # noqa: ANN401 - a library without types
        for left in reversed(range(NONCES)):
            try:
                return self._net.post(url, cast("JSONDeSerializable", body), new_nonce_url=self.directory["newNonce"])
            except messages.Error as error:
                if error.code != "badNonce" or not left:
                    raise
        raise AssertionError


def _read(kind: type[Body], response: Any) -> Body:  # noqa: ANN401 - the library's own
    return kind.from_json(response.json())


def wait_of(retry_after: str | None, at: datetime) -> timedelta | None:
    """Read a Retry-After: seconds, or a moment; None when it is missing or says nothing."""
    if retry_after is None:
        return None
    try:
        if retry_after.strip().isdecimal():
            return timedelta(seconds=int(retry_after))
        return max(parsedate_to_datetime(retry_after) - at, timedelta())
    except (ValueError, TypeError, OverflowError):
        return None


def _mail(contact: str | None) -> tuple[str, ...]:
    return () if contact is None else (f"mailto:{contact.removeprefix('mailto:')}",)
