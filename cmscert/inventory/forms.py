"""The inventory as it may be written. pydantic is used here and nowhere else: everything above gets an Outline."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, WithJsonSchema

from cmscert.inventory.fields import (
    Address,
    BundleName,
    CertificateName,
    Country,
    Day,
    Fqdn,
    Interface,
    Name,
    PathText,
    Port,
    ReleaseText,
    Seconds,
    ServerName,
    Share,
    Text,
    branch,
    kind_of,
    tag_by,
)
from cmscert.inventory.issuer_forms import IssuerForm
from cmscert.inventory.secret_forms import SecretForm
from cmscert.inventory.service_forms import Form, ServicesForm


class TimeoutForm(Form):
    """Time-outs in seconds."""

    connect: Seconds = Field(default=10.0, description="Until the TCP connection stands.")
    login: Seconds = Field(default=15.0, description="Until the login is accepted.")
    answer: Seconds = Field(default=60.0, description="Until a command is answered.")
    keepalive: Seconds = Field(default=30.0, description="Silence after which a frozen server is given up.")


class SshForm(Form):
    """How to log in."""

    user: Text | None = Field(default=None, description="MMP account with the role admin.")
    password: SecretForm | None = Field(default=None, description="Where the password is kept.")
    key: SecretForm | None = Field(default=None, description="Where the private SSH key is kept.")
    key_passphrase: SecretForm | None = Field(default=None, description="Where the passphrase of `key` is kept.")
    agent: bool | None = Field(default=None, description="Use the SSH agent.")
    known_hosts: PathText | None = Field(
        default=None, description="File with the servers' host keys; unknown and changed keys are refused."
    )
    port: Port | None = Field(default=None, description="SSH port; 22 when left out.")
    legacy: bool | None = Field(default=None, description="Also offer ssh-rsa and group14-sha1, for 2.x.")
    timeout: TimeoutForm | None = Field(default=None, description="Time-outs in seconds.")


class StoreForm(Form):
    """Where obtained keys and certificates are kept."""

    path: PathText = Field(description="Folder.")
    passphrase: SecretForm | None = Field(default=None, description="Where the passphrase of the stored keys is kept.")


class SubjectForm(Form):
    """What certificate requests say besides the common name."""

    O: Text | None = Field(default=None, description="Organisation.")  # noqa: E741 - X.500's own letter
    OU: Text | None = Field(default=None, description="Organisational unit.")
    L: Text | None = Field(default=None, description="Locality.")
    ST: Text | None = Field(default=None, description="State or province.")
    C: Country | None = Field(default=None, description="Country, two letters.")
    emailAddress: Text | None = Field(default=None, description="E-mail address.")  # noqa: N815 - the attribute's own name


class IssuedBundle(Form):
    """The CA certificates of an issuer."""

    issuer: str = Field(description="Name of an issuer.")


class FoundBundle(Form):
    """A bundle as it was found on the servers, which may lack the root or be otherwise unsound."""

    found: Annotated[tuple[PathText, ...], Field(min_length=1)] = Field(
        description="Certificate files as the servers hold them; what is wrong with them is a warning, no error."
    )


def _bundle_kind(value: object) -> str | None:
    if isinstance(value, dict) and "found" in value:
        return "found"
    return kind_of(value, list_="files", mapping="issuer")


BundleForm = Annotated[
    Annotated[tuple[PathText, ...], Field(min_length=1), branch("files")]
    | Annotated[IssuedBundle, branch("issuer")]
    | Annotated[FoundBundle, branch("found")],
    Discriminator(
        tag_by(_bundle_kind),
        custom_error_type="bundle",
        custom_error_message="use a list of certificate files, or {issuer: NAME}",
    ),
]


class FqdnsOf(Form):
    """The host names of the servers that have a role."""

    fqdns_of: str = Field(description="Name of a role.")


San = Annotated[
    Annotated[Text, branch("text")] | Annotated[FqdnsOf, branch("role")],
    Discriminator(
        tag_by(lambda value: kind_of(value, text="text", mapping="role")),
        custom_error_type="san",
        custom_error_message="use a name, or {fqdns_of: ROLE}",
    ),
]


class KeyForm(Form):
    """What kind of key, and where it is made."""

    made: Literal["local", "device"] = Field(default="local", description="Here, or on the server (`pki csr`).")
    type: Literal["rsa", "ec"] | None = Field(default=None, description="Kind of key.")
    bits: Annotated[int, Field(ge=256, le=16384)] | None = Field(default=None, description="Size of the key.")


class FilesForm(Form):
    """Certificate and key as files."""

    certificate: PathText = Field(description="PEM, DER or PKCS#12; may hold the chain too.")
    key: PathText | None = Field(
        default=None, description="PEM, DER or PKCS#12; left out, the key is on the servers already and nowhere else."
    )
    passphrase: SecretForm | None = Field(default=None, description="Where the key's passphrase is kept.")


class CertificateForm(Form):
    """A certificate; with {fqdn} or {name} in it there is one per server that uses it."""

    common_name: Text = Field(description="Common name.")
    sans: tuple[San, ...] = Field(default=(), description="Names of the SAN: texts, or {fqdns_of: ROLE}.")
    chain: str | None = Field(default=None, description="Bundle that holds its issuers.")
    files: FilesForm | None = Field(default=None, description="Certificate and key as files.")
    issuer: str | None = Field(default=None, description="Name of the issuer that it is obtained from.")
    key: KeyForm = Field(default_factory=KeyForm, description="What kind of key, and where it is made.")
    naming: Literal["new", "fixed"] = Field(default="new", description="New names on the server, or the names in use.")


class ServerForm(Form):
    """One CMS node."""

    address: Address = Field(description="Host name or address for SSH and, unless said otherwise, everything else.")
    fqdn: Fqdn = Field(description="Full host name.")
    release: ReleaseText | None = Field(default=None, description="Release that it should run; checked.")
    roles: tuple[str, ...] = Field(default=(), description="Roles that it has.")
    services: ServicesForm = Field(
        default_factory=ServicesForm, description="Its own services; they win over its roles."
    )
    ssh: SshForm | None = Field(default=None, description="What differs from the inventory's `ssh`.")
    database_address: Address | None = Field(
        default=None, description="Address of the database interface, where it differs."
    )
    labels: dict[Name, Text] = Field(default_factory=dict, description="Free labels.")


class DatabaseForm(Form):
    """A database cluster."""

    nodes: Annotated[tuple[str, ...], Field(min_length=1)] = Field(description="Servers that hold the database.")
    clients: tuple[str, ...] = Field(default=(), description="Servers that only connect to it.")
    primary: str = Field(description="Which node to begin with, only where no cluster is live.")
    interface: Interface = Field(default="a", description="Interface that the database uses.")
    server: str = Field(description="Certificate of the database servers.")
    client: str = Field(description="Certificate of the database clients; its common name is postgres.")
    ca: str = Field(description="Bundle that holds the CA of both.")


class RenewForm(Form):
    """When a certificate is due."""

    life_left: Share | None = Field(default=None, description="Share of its life that is left.")
    days_left: Annotated[int, Field(ge=1, le=3650)] | None = Field(default=None, description="Days that are left.")


class IgnoreForm(Form):
    """Drift to leave alone."""

    reason: Text = Field(description="Why.")
    server: Text = Field(default="*", description="Server; shell wildcards.")
    slot: Text = Field(default="*", description="Slot; shell wildcards.")
    drift: Text = Field(default="*", description="Reason of the drift; shell wildcards.")
    until: Day | None = Field(default=None, description="Last day on which it is left alone.")


class KeepRunsForm(Form):
    """Which runs stay in the state directory: those that are both new enough and among the newest."""

    count: Annotated[int, Field(ge=1, le=100_000)] = Field(default=200, description="So many of the newest.")
    days: Annotated[int, Field(ge=1, le=36_500)] = Field(default=730, description="Those that are not older.")


class PolicyForm(Form):
    """Rules for planning."""

    renew_when: RenewForm = Field(
        default_factory=RenewForm, description="When a certificate is due; a third of its life when left out."
    )
    one_at_a_time: tuple[str, ...] = Field(
        default=("callbridge", "webbridge", "webbridge3", "turn"),
        description="Services changed on one server at a time.",
    )
    keep_revisions: Annotated[int, Field(ge=0, le=1000)] = Field(default=2, description="Old own files that stay.")
    keep_runs: KeepRunsForm = Field(default_factory=KeepRunsForm, description="Journals of runs that stay.")
    max_servers_changed: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="More than these are refused."
    )
    ignore: tuple[IgnoreForm, ...] = Field(default=(), description="Drift to leave alone.")
    profile: Literal["default", "strict"] = Field(default="default", description="strict makes warnings errors.")
    seconds: dict[str, Annotated[int, Field(ge=0, le=86400)]] = Field(
        default_factory=dict, description="Estimates of how long a service is away, by service."
    )


class InventoryForm(Form):
    """An inventory, version 1."""

    version: Annotated[Literal["1"], WithJsonSchema({"const": 1})] = Field(description="Version of this form: 1.")
    fleet: ServerName = Field(description="Name of the fleet.")
    ssh: SshForm = Field(default_factory=SshForm, description="How to log in.")
    store: StoreForm | None = Field(default=None, description="Where obtained keys and certificates are kept.")
    subject: SubjectForm = Field(
        default_factory=SubjectForm, description="What certificate requests say besides the common name."
    )
    issuers: dict[Name, IssuerForm] = Field(default_factory=dict, description="Where certificates come from.")
    bundles: dict[BundleName, BundleForm] = Field(
        default_factory=dict, description="CA certificates, issuing CA first, root last."
    )
    certificates: dict[CertificateName, CertificateForm] = Field(
        default_factory=dict, description="Certificates by name."
    )
    roles: dict[Name, ServicesForm] = Field(default_factory=dict, description="What servers of a kind have in common.")
    servers: Annotated[dict[ServerName, ServerForm], Field(min_length=1)] = Field(description="The CMS nodes.")
    databases: dict[Name, DatabaseForm] = Field(default_factory=dict, description="Database clusters.")
    policy: PolicyForm = Field(default_factory=PolicyForm, description="Rules for planning.")
