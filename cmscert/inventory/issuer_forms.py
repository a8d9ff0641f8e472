"""What stands under ``issuers``: one form for each type."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field

from cmscert.inventory.fields import (
    Address,
    Basename,
    Fqdn,
    PathText,
    Port,
    Resolver,
    Text,
    Variable,
    branch,
    tag_by,
)
from cmscert.inventory.secret_forms import SecretForm
from cmscert.inventory.service_forms import Form

Algorithm = Literal["hmac-sha256", "hmac-sha384", "hmac-sha512", "hmac-sha224", "hmac-sha1", "hmac-md5"]


class HookForm(Form):
    """A program publishes the records."""

    command: Annotated[tuple[Text, ...], Field(min_length=1)] = Field(
        description="Program and arguments that publish and remove the record; present or cleanup, the domain, the "
        "name of the record and its value are added."
    )
    timeout: Annotated[int, Field(ge=1, le=3600)] = Field(default=120, description="Seconds that a call may take.")
    environment: dict[Variable, SecretForm] = Field(
        default_factory=dict, description="Variables that it gets besides PATH, HOME and their like."
    )


class UpdatesForm(Form):
    """A name server that takes signed updates (RFC 2136)."""

    server: Address = Field(description="Host name or address of the name server that takes updates.")
    port: Port = Field(default=53, description="Its port.")
    zone: Fqdn | None = Field(default=None, description="The zone to update; found out when left out.")
    key_name: Fqdn = Field(description="Name of the TSIG key.")
    key: SecretForm = Field(description="Where the TSIG key is kept, in base64.")
    algorithm: Algorithm = Field(default="hmac-sha256", description="Algorithm of the TSIG key.")


_OF_UPDATES = frozenset({"server", "port", "zone", "key_name", "key", "algorithm"})


def _dns_kind(value: object) -> str | None:
    if not isinstance(value, dict):
        return None
    return "server" if "command" not in value and _OF_UPDATES & set(value) else "command"


Dns01 = Annotated[
    Annotated[HookForm, branch("command")] | Annotated[UpdatesForm, branch("server")],
    Discriminator(
        tag_by(_dns_kind),
        custom_error_type="dns_01",
        custom_error_message="use {command: [PROGRAM, ...]}, or {server, key_name, key} for DNS updates",
    ),
]


class ChallengeForm(Form):
    """How to prove control of a name."""

    dns_01: Dns01 = Field(description="By a DNS record: how it is published.")
    propagation: Annotated[int, Field(ge=0, le=3600)] = Field(
        default=120, description="Seconds to wait until the record can be seen; 0 does not look."
    )
    resolvers: tuple[Resolver, ...] = Field(
        default=(),
        description="Name servers that must show the record, addresses with or without port; "
        "those of the zone when left out.",
    )


class ExternalAccountForm(Form):
    """A customer of the CA (external account binding)."""

    id: Text = Field(description="Number of the customer, as the CA handed it out (KID).")
    key: SecretForm = Field(description="Where the key of it is kept, in base64url (HMAC key).")


class AcmeForm(Form):
    """A CA that speaks ACME."""

    type: Literal["acme"]
    directory: Annotated[str, Field(pattern="^https://[^\\s]+$")] = Field(description="URL of the ACME directory.")
    contact: Text | None = Field(default=None, description="E-mail address of the account.")
    challenge: ChallengeForm = Field(description="How to prove control of the names.")
    agree_terms: bool = Field(default=True, description="Agree to the CA's terms of service when the account is made.")
    external_account: ExternalAccountForm | None = Field(
        default=None, description="Ties the account to a customer of the CA."
    )
    preferred_chain: Text | None = Field(
        default=None, description="Common name of the root to lead to, where the CA has several chains."
    )
    ca_bundle: PathText | None = Field(
        default=None, description="Roots for the CA's own TLS; those that browsers trust when left out."
    )


class DirectoryForm(Form):
    """People or another system sign: requests go to one folder, certificates come back in another."""

    type: Literal["directory"]
    requests: PathText = Field(description="Folder for requests.")
    certificates: PathText = Field(description="Folder where signed certificates appear.")


class CommandIssuerForm(Form):
    """A program signs."""

    type: Literal["command"]
    run: Annotated[tuple[Text, ...], Field(min_length=1)] = Field(
        description="Program and arguments; {csr}, {certificate} and {chain} stand for files, {name} and {names} for "
        "the certificate. Without {certificate} the program prints it."
    )
    timeout: Annotated[int, Field(ge=1, le=3600)] = Field(default=120, description="Seconds that it may take.")
    environment: dict[Variable, SecretForm] = Field(
        default_factory=dict, description="Variables that it gets besides PATH, HOME and their like."
    )


class LocalCaForm(Form):
    """A private CA whose key is at hand."""

    type: Literal["local_ca"]
    certificate: PathText = Field(description="The CA's certificate.")
    key: SecretForm = Field(description="Where the CA's key is kept.")
    passphrase: SecretForm | None = Field(default=None, description="Where the passphrase of the CA's key is kept.")
    days: Annotated[int, Field(ge=1, le=3650)] = Field(
        default=397, description="Life of its certificates in days; never beyond the CA's own."
    )


class CmsCaForm(Form):
    """The CA built into CMS."""

    type: Literal["cms_ca"]
    server: str = Field(description="The server that holds the CA.")
    basename: Basename = Field(description="Name of the CA's key and certificate on that server.")
    common_name: Text = Field(description="Common name of the CA.")


def _issuer_type(value: object) -> str | None:
    return str(value.get("type")) if isinstance(value, dict) else None


IssuerForm = Annotated[
    Annotated[AcmeForm, branch("acme")]
    | Annotated[DirectoryForm, branch("directory")]
    | Annotated[CommandIssuerForm, branch("command")]
    | Annotated[LocalCaForm, branch("local_ca")]
    | Annotated[CmsCaForm, branch("cms_ca")],
    Discriminator(
        tag_by(_issuer_type),
        custom_error_type="issuer",
        custom_error_message="an issuer needs a type: acme, directory, command, local_ca or cms_ca",
    ),
]
