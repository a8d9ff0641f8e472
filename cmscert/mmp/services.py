"""The service table: one row a service and range of releases. Adding one is a row here and its labels in ``labels``.

Releases: facts section 7. Commands: facts 4.1 to 4.14. ``pin``: facts section 6, "Trust semantics". Every EKU is
inferred: Cisco's own material signs all certificates for client and server alike (facts section 6), so what a slot
needs at least is [MEM]/[INF]. ``notices`` and ``seconds`` are [MEM] estimates that the inventory's policy can override.
"""

from __future__ import annotations

from typing import Final

from cmscert.model.names import Release
from cmscert.model.services import ClientServer, IdentitySlot, Service, ServiceTable, TrustSlot

_FIRST: Final = Release(1, 0)  # older than anything that can be met
_TLS: Final = Release(2, 3)  # [S24] [S28] the tls command
_STREAM: Final = Release(2, 1)  # [S13]
_C2W: Final = Release(2, 9)  # [S20] [S4] webbridge3 beside the old web bridge
_THREE: Final = Release(
    3, 0
)  # [S33] XMPP, web bridge 2, load balancer and trunk are gone; recorder and streamer speak SIP
_UPLOAD: Final = Release(3, 2)  # [S8]
_SCHEDULE: Final = Release(3, 3)  # [S22]
_APPS: Final = Release(3, 5)  # [S23]
_PRESENCE: Final = Release(3, 8)  # [S7]

_BOTH: Final[tuple[ClientServer, ...]] = ("serverAuth", "clientAuth")
_CALLS_DROP: Final = "calls on this node drop"
_CALLS_SECONDS: Final = 60

_WEBADMIN: Final = Service(
    name="webadmin",
    since=_FIRST,
    status=("webadmin",),
    via="cycle",  # 4.1, [S12]
    slots=(IdentitySlot(name="webadmin", bind=("webadmin", "certs"), default_port=445),),  # 445: advice of [S9]
    notices="the web admin pages and the API are away",
    seconds=10,
)

_CALLBRIDGE_CERTS: Final = IdentitySlot(
    name="callbridge",
    bind=("callbridge", "certs"),
    eku=_BOTH,
    default_port=5061,  # SIP over TLS by its standard; the screen tells interfaces only (T-31)
)
_CALLBRIDGE_CLUSTER: Final = TrustSlot(
    name="callbridge/trust-cluster",
    bind=("callbridge", "trust", "cluster"),  # [MEM] command; the row is in T-31
    pin="leaf",
    pin_grade="inferred",  # T-32 holds cms.cer
    accepts=("callbridge",),
)
_CALLBRIDGE_BRANDING: Final = TrustSlot(
    name="callbridge/trust-branding",
    bind=("callbridge", "trust", "branding"),  # [MEM] command; the row is in T-31
    pin_grade="inferred",
)
_CALLBRIDGE_C2W: Final = TrustSlot(
    name="callbridge/trust-c2w",
    bind=("callbridge", "trust", "c2w"),
    accepts=("webbridge3/c2w",),
)
_CALLBRIDGE_PRESENCE: Final = (
    TrustSlot(name="callbridge/trust-ucm", bind=("callbridge", "ucm", "certs")),
    TrustSlot(name="callbridge/trust-imps", bind=("callbridge", "imps", "certs")),
)


def _callbridge(since: Release, until: Release | None, *more: TrustSlot) -> Service:
    return Service(
        name="callbridge",
        since=since,
        until=until,
        status=("callbridge",),
        via="restart",  # 4.2, [S3] [S9]
        slots=(_CALLBRIDGE_CERTS, _CALLBRIDGE_CLUSTER, _CALLBRIDGE_BRANDING, *more),
        notices=_CALLS_DROP,
        seconds=_CALLS_SECONDS,
        interchangeable=True,
    )


_WEBBRIDGE: Final = Service(
    name="webbridge",
    since=_FIRST,
    until=_THREE,
    status=("webbridge",),
    via="cycle",
    slots=(
        IdentitySlot(name="webbridge", bind=("webbridge", "certs"), default_port=443),
        TrustSlot(
            name="webbridge/trust",
            bind=("webbridge", "trust"),
            pin="leaf",  # "not the issuer" [S34]
            accepts=("callbridge",),
        ),
    ),
    notices="web app users on this node are disconnected",
    seconds=20,
    interchangeable=True,
)

_WEBBRIDGE3_SLOTS: Final = (
    IdentitySlot(
        name="webbridge3/https",
        bind=("webbridge3", "https", "certs"),
        full_chain=True,
        third=None,
        default_port=443,
    ),
    IdentitySlot(
        name="webbridge3/c2w",
        bind=("webbridge3", "c2w", "certs"),
        full_chain=True,
        third=None,
        eku=_BOTH,
    ),
)


def _webbridge3(since: Release, until: Release | None, accepts: tuple[str, ...]) -> Service:
    return Service(
        name="webbridge3",
        since=since,
        until=until,
        status=("webbridge3",),
        via="cycle",  # 4.4, [S12] [S23]
        slots=(
            *_WEBBRIDGE3_SLOTS,
            TrustSlot(name="webbridge3/trust-c2w", bind=("webbridge3", "c2w", "trust"), accepts=accepts),
        ),
        notices="web app users on this node are disconnected",
        seconds=20,
        interchangeable=True,
    )


_XMPP: Final = Service(
    name="xmpp",
    since=_FIRST,
    until=_THREE,
    status=("xmpp",),
    more_status=(("xmpp", "cluster", "status"),),  # [S11]; that the trust bundle is told there is [MEM]
    via="cycle",
    slots=(
        IdentitySlot(name="xmpp", bind=("xmpp", "certs"), eku=_BOTH, listens=False),  # STARTTLS: no probe sees it
        TrustSlot(
            name="xmpp/trust-cluster",
            bind=("xmpp", "cluster", "trust"),
            pin="leaf",  # [S11]
            accepts=("xmpp",),
        ),
    ),
    notices="app users of this node have to sign in again",
    seconds=20,
    interchangeable=True,
)

_TURN: Final = Service(
    name="turn",
    since=_FIRST,
    status=("turn",),
    via="cycle",  # 4.5, [S15]
    slots=(IdentitySlot(name="turn", bind=("turn", "certs")),),
    notices="calls relayed by this TURN server drop",
    seconds=10,
    interchangeable=True,
)


def _tagged(name: str, accepts: tuple[str, ...], notices: str) -> Service:
    """A row for ``loadbalancer`` or ``trunk``: all [MEM], 4.13; bare and ``list`` screens are both asked for."""
    return Service(
        name=name,
        since=_FIRST,
        until=_THREE,
        status=(name,),
        more_status=((name, "list"),),
        via="cycle",
        slots=(
            IdentitySlot(
                name=name,
                bind=(name, "auth", "{tag}"),
                third="trust",
                eku=_BOTH,
                listens=False,
                pin="leaf",
                accepts=accepts,
            ),
        ),
        notices=notices,
        seconds=15,
    )


def _recording(name: str, since: Release, notices: str) -> tuple[Service, Service]:
    """Rows for ``recorder`` and ``streamer``: an HTTPS listener with a white list before 3.0, SIP since."""
    old = Service(
        name=name,
        since=since,
        until=_THREE,
        status=(name,),
        via="cycle",  # [INF], 4.15
        slots=(
            IdentitySlot(name=name, bind=(name, "certs"), third=None, default_port=8443),  # [S10] [S13] two files
            TrustSlot(name=f"{name}/trust", bind=(name, "trust"), pin="leaf", accepts=("callbridge",)),
        ),
        notices=notices,
        seconds=15,
    )
    new = Service(
        name=name,
        since=_THREE,
        status=(name,),
        via="cycle",  # [INF], 4.15
        slots=(IdentitySlot(name=name, bind=(name, "sip", "certs"), eku=_BOTH),),
        notices=notices,
        seconds=15,
    )
    return old, new


_UPLOADER: Final = Service(
    name="uploader",
    since=_UPLOAD,
    status=("uploader",),
    via="cycle",  # [INF]
    slots=(
        TrustSlot(name="uploader/trust-cms", bind=("uploader", "cms", "trust"), accepts=("webadmin",)),
        TrustSlot(name="uploader/trust-rev", bind=("uploader", "rev", "trust"), pin_grade="inferred"),
    ),
    notices="finished recordings are uploaded later",
    seconds=5,
)

_SCHEDULER: Final = Service(
    name="scheduler",
    since=_SCHEDULE,
    status=("scheduler",),
    via="cycle",  # [INF], 4.15
    slots=(
        IdentitySlot(
            name="scheduler/https",
            bind=("scheduler", "https", "certs"),
            full_chain=True,
            third=None,
        ),
        IdentitySlot(
            name="scheduler/c2w",
            bind=("scheduler", "c2w", "certs"),
            full_chain=True,
            third=None,
            eku=_BOTH,
            listens=False,  # a client towards the web bridges
        ),
        TrustSlot(name="scheduler/trust-c2w", bind=("scheduler", "c2w", "trust"), accepts=("webbridge3/c2w",)),
    ),
    notices="meetings cannot be scheduled on this node",
    seconds=20,
    interchangeable=True,
)

_MEETINGAPPS: Final = Service(
    name="meetingapps",
    since=_APPS,
    status=("meetingapps",),
    via="cycle",  # [INF]
    slots=(
        IdentitySlot(
            name="meetingapps",
            bind=("meetingapps", "https", "certs"),
            full_chain=True,
            third=None,
        ),
    ),
    notices="files cannot be shared in meetings",
    seconds=15,
)

_H323_GATEWAY: Final = Service(
    name="h323_gateway",
    since=_FIRST,
    until=_THREE,
    status=("h323_gateway",),
    via="cycle",  # [INF]
    slots=(
        IdentitySlot(
            name="h323_gateway",
            bind=("h323_gateway", "certs"),
            third="trust",  # "the bundle must hold the Call Bridge certificates" [S29]
            eku=_BOTH,
            listens=False,
            pin="leaf",
            pin_grade="sourced",
            accepts=("callbridge",),
        ),
    ),
    notices="H.323 calls through this gateway drop",
    seconds=15,
)


def _tls(since: Release, until: Release | None, sip_accepts: tuple[str, ...]) -> Service:
    return Service(
        name="tls",
        since=since,
        until=until,
        status=("tls", "sip"),  # [MEM]
        more_status=(("tls", "ldap"),),  # [MEM]
        via="restart",
        restart_of="callbridge",  # [S24]
        slots=(
            TrustSlot(
                name="tls/trust-sip",
                bind=("tls", "sip", "trust"),  # [S8]
                pin_grade="inferred",
                accepts=sip_accepts,
            ),
            TrustSlot(name="tls/trust-ldap", bind=("tls", "ldap", "trust"), pin_grade="inferred"),  # [MEM]
        ),
        notices=_CALLS_DROP,
        seconds=_CALLS_SECONDS,
        interchangeable=True,  # it is the call bridges that restart
    )


SERVICES: Final[ServiceTable] = (
    _WEBADMIN,
    _callbridge(_FIRST, _C2W),
    _callbridge(_C2W, _PRESENCE, _CALLBRIDGE_C2W),
    _callbridge(_PRESENCE, None, _CALLBRIDGE_C2W, *_CALLBRIDGE_PRESENCE),
    _WEBBRIDGE,
    _webbridge3(_C2W, _SCHEDULE, ("callbridge",)),
    _webbridge3(_SCHEDULE, None, ("callbridge", "scheduler/c2w")),  # [S22]
    _XMPP,
    _TURN,
    _tagged("loadbalancer", ("callbridge",), "app users behind this load balancer are disconnected"),
    _tagged("trunk", ("loadbalancer",), "app users who come in through this trunk are disconnected"),
    *_recording("recorder", _FIRST, "recordings on this node end"),
    *_recording("streamer", _STREAM, "streams from this node end"),
    _UPLOADER,
    _SCHEDULER,
    _MEETINGAPPS,
    _H323_GATEWAY,
    _tls(_TLS, _THREE, ()),
    _tls(_THREE, None, ("recorder", "streamer")),
)
"""Every service that holds certificates, in the order in which reports name them. The database is not in it."""
