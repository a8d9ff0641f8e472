"""What stands under ``roles.NAME`` and ``servers.NAME.services``: one form a service, exactly as it may be written."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Discriminator, Field

from cmscert.inventory.fields import Address, Port, Text, branch, kind_of, tag_by


class Form(BaseModel):
    """A mapping of the inventory: unknown keys are faults."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class LeavesOf(Form):
    """The leaf certificates that a service holds anywhere in the fleet."""

    leaves_of: Text = Field(description="A service (callbridge) or a slot (webbridge3/c2w).")


def _trust_kind(value: object) -> str | None:
    return kind_of(value, text="bundle", list_="bundles", mapping="leaves")


Trust = Annotated[
    Annotated[str, branch("bundle")]
    | Annotated[tuple[str, ...], Field(min_length=1), branch("bundles")]
    | Annotated[LeavesOf, branch("leaves")],
    Discriminator(
        tag_by(_trust_kind),
        custom_error_type="trust",
        custom_error_message="use the name of a bundle, a list of names, or {leaves_of: SERVICE}",
    ),
    Field(description="Whom the slot accepts: a bundle, a list of bundles, or {leaves_of: SERVICE}."),
]


class FullChainSlot(Form):
    """A slot whose certificate file is always the full chain."""

    certificate: str | None = Field(default=None, description="Name of a certificate.")
    address: Address | None = Field(
        default=None, description="Where to probe it over TLS, if not at the server's address."
    )
    port: Port | None = Field(default=None, description="TCP port to probe, if the status screen does not tell it.")


class BundleSlot(FullChainSlot):
    """A slot that can take a CA bundle beside its certificate."""

    bundle: str | None = Field(default=None, description="Name of a bundle; without it the slot gets the full chain.")


def _short(value: object) -> str:
    return "name" if isinstance(value, str) else "slot"


# A bare certificate name is short for {certificate: NAME}.
_SHORT = Discriminator(tag_by(_short))
_NAME = Annotated[str, Field(description="Name of a certificate, short for {certificate: NAME}."), branch("name")]


class CallBridgeTrust(Form):
    """Whom the call bridge accepts."""

    c2w: Trust | None = Field(default=None, description="Web Bridge 3 and scheduler links (`callbridge trust c2w`).")
    cluster: Trust | None = Field(default=None, description="Other call bridges of the cluster.")
    branding: Trust | None = Field(default=None, description="Servers that hold branding files.")
    ucm: Trust | None = Field(default=None, description="CUCM (`callbridge ucm certs`).")
    imps: Trust | None = Field(default=None, description="IM and Presence (`callbridge imps certs`).")


class CallBridgeForm(BundleSlot):
    """`callbridge`: key and certificate, and the trust lists of the call bridge."""

    trust: CallBridgeTrust | None = Field(default=None, description="Trust lists by purpose.")


class TrustingSlot(BundleSlot):
    """A slot with a trust list of its own (2.x web bridge, recorder, streamer, gateway)."""

    trust: Trust | None = None


class C2wSlot(FullChainSlot):
    """A c2w link: full chain, and whom it accepts."""

    trust: Trust | None = None


class WebBridge3Form(Form):
    """`webbridge3`: what browsers see, and the link to the call bridges."""

    https: Annotated[_NAME | Annotated[FullChainSlot, branch("slot")], _SHORT] | None = Field(
        default=None, description="What browsers see; always the full chain."
    )
    c2w: Annotated[_NAME | Annotated[C2wSlot, branch("slot")], _SHORT] | None = Field(
        default=None, description="The link to the call bridges; always the full chain."
    )


class SchedulerForm(Form):
    """`scheduler`: its own web server, and the link to the web bridges."""

    https: Annotated[_NAME | Annotated[FullChainSlot, branch("slot")], _SHORT] | None = Field(
        default=None, description="Its web server; always the full chain."
    )
    c2w: Annotated[_NAME | Annotated[C2wSlot, branch("slot")], _SHORT] | None = Field(
        default=None, description="The link to the web bridges; always the full chain."
    )


class XmppTrust(Form):
    """Whom the XMPP server accepts."""

    cluster: Trust | None = Field(default=None, description="The other XMPP servers of the cluster.")


class XmppForm(BundleSlot):
    """`xmpp` (2.x)."""

    trust: XmppTrust | None = Field(default=None, description="Trust lists by purpose.")


class TaggedSlot(FullChainSlot):
    """`loadbalancer` and `trunk` (2.x): a tag, a certificate, and a trust list as the third file."""

    tag: Text = Field(description="The tag of the `auth` command.")
    certificate: str = Field(description="Name of a certificate.")
    trust: Trust


class UploaderTrust(Form):
    """Whom the uploader accepts."""

    cms: Trust | None = Field(default=None, description="The web admin of the CMS (`uploader cms trust`).")
    rev: Trust | None = Field(default=None, description="The Vbrick Rev server (`uploader rev trust`).")


class UploaderForm(Form):
    """`uploader`: trust only."""

    trust: UploaderTrust = Field(description="Trust lists by purpose.")


class TlsTrust(Form):
    """The trust list of one use of TLS."""

    trust: Trust


class TlsForm(Form):
    """`tls`: trust lists of SIP and LDAP; applied by a restart of the call bridge."""

    sip: TlsTrust | None = Field(default=None, description="SIP peers (`tls sip trust`).")
    ldap: TlsTrust | None = Field(default=None, description="LDAP servers (`tls ldap trust`).")


class ServicesForm(Form):
    """Services and their slots. A service that is not named is left alone."""

    webadmin: Annotated[_NAME | Annotated[BundleSlot, branch("slot")], _SHORT] | None = Field(
        default=None, description="Web admin and REST API."
    )
    callbridge: Annotated[_NAME | Annotated[CallBridgeForm, branch("slot")], _SHORT] | None = Field(
        default=None, description="Call bridge, with its trust lists."
    )
    webbridge: Annotated[_NAME | Annotated[TrustingSlot, branch("slot")], _SHORT] | None = Field(
        default=None, description="Web Bridge 2 (2.x only)."
    )
    webbridge3: WebBridge3Form | None = Field(default=None, description="Web Bridge 3 (2.9 and later).")
    xmpp: Annotated[_NAME | Annotated[XmppForm, branch("slot")], _SHORT] | None = Field(
        default=None, description="XMPP server (2.x only)."
    )
    turn: Annotated[_NAME | Annotated[BundleSlot, branch("slot")], _SHORT] | None = Field(
        default=None, description="TURN server."
    )
    loadbalancer: TaggedSlot | None = Field(default=None, description="Load balancer (2.x only).")
    trunk: TaggedSlot | None = Field(default=None, description="Trunk (2.x only).")
    recorder: Annotated[_NAME | Annotated[TrustingSlot, branch("slot")], _SHORT] | None = Field(
        default=None, description="Recorder; `trust` on 2.x, `bundle` on 3.x."
    )
    streamer: Annotated[_NAME | Annotated[TrustingSlot, branch("slot")], _SHORT] | None = Field(
        default=None, description="Streamer; `trust` on 2.x, `bundle` on 3.x."
    )
    uploader: UploaderForm | None = Field(default=None, description="Uploader (trust only).")
    scheduler: SchedulerForm | None = Field(default=None, description="Scheduler.")
    meetingapps: Annotated[_NAME | Annotated[FullChainSlot, branch("slot")], _SHORT] | None = Field(
        default=None, description="Meeting apps; always the full chain."
    )
    h323_gateway: Annotated[_NAME | Annotated[TrustingSlot, branch("slot")], _SHORT] | None = Field(
        default=None, description="H.323 gateway (2.x only); `trust` holds the call bridges' certificates."
    )
    tls: TlsForm | None = Field(default=None, description="Trust lists of SIP and LDAP.")
