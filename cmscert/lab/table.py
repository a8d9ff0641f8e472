"""The lab's own table of services: which slots there are, how they are set, which of them listen.

Read from the fact sheet, sections 4 and 7; shares nothing with the product's table on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

ReleaseNumber = tuple[int, int]

FIRST: Final[ReleaseNumber] = (1, 0)
THREE: Final[ReleaseNumber] = (3, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotRow:
    """A place for files. ``words`` stand between the service's name and the file names.

    ``third``: what a third file would be. ``bundle`` is checked at enable, ``trust`` holds peers' certificates.
    ``listen``: words of the listen command when TLS is served here. ``mutual``: the trust slot that clients must pass.
    ``name_prefix``: how the lines printed at enable call it, [MEM] 4.
    """

    name: str
    words: tuple[str, ...]
    kind: Literal["identity", "trust"] = "identity"
    third: Literal["bundle", "trust"] | None = "bundle"
    full_chain: bool = False
    tagged: bool = False
    listen: tuple[str, ...] | None = None
    mutual: str | None = None
    name_prefix: str = ""
    since: ReleaseNumber = FIRST


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRow:
    """A service.

    ``via``: ``cycle`` has enable, disable and restart; ``restart`` runs always; ``parameters`` never runs.
    ``enabled_as``: what ``SUCCESS: … enabled`` calls it; T-20, T-21 and T-23 differ in capitals.
    """

    name: str
    slots: tuple[SlotRow, ...]
    since: ReleaseNumber = FIRST
    until: ReleaseNumber | None = None
    via: Literal["cycle", "restart", "parameters"] = "cycle"
    enabled_as: str

    def in_release(self, release: ReleaseNumber) -> bool:
        """Tell whether a release has this row."""
        return self.since <= release and (self.until is None or release < self.until)


def _trust(name: str, *words: str, since: ReleaseNumber = FIRST) -> SlotRow:
    return SlotRow(name=name, words=words, kind="trust", third=None, since=since)


_CALLBRIDGE: Final = ServiceRow(
    name="callbridge",
    via="restart",  # 4.2: no Enabled row, no disable
    enabled_as="Callbridge",
    slots=(
        SlotRow(name="callbridge", words=("certs",), listen=("listen",)),
        _trust("callbridge/trust-c2w", "trust", "c2w", since=(2, 9)),
        _trust("callbridge/trust-cluster", "trust", "cluster"),
        _trust("callbridge/trust-branding", "trust", "branding"),
        _trust("callbridge/trust-ucm", "ucm", "certs", since=(3, 8)),
        _trust("callbridge/trust-imps", "imps", "certs", since=(3, 8)),
    ),
)

_WEBBRIDGE3: Final = ServiceRow(
    name="webbridge3",
    since=(2, 9),
    enabled_as="Webbridge3",
    slots=(
        SlotRow(
            name="webbridge3/https",
            words=("https", "certs"),
            listen=("https", "listen"),
            third=None,
            full_chain=True,
            name_prefix="HTTPS ",
        ),
        SlotRow(
            name="webbridge3/c2w",
            words=("c2w", "certs"),
            listen=("c2w", "listen"),
            third=None,
            full_chain=True,
            mutual="webbridge3/trust-c2w",
            name_prefix="C2W ",
        ),
        _trust("webbridge3/trust-c2w", "c2w", "trust"),
    ),
)

_SCHEDULER: Final = ServiceRow(
    name="scheduler",
    since=(3, 3),
    enabled_as="Scheduler",
    slots=(
        SlotRow(
            name="scheduler/https",
            words=("https", "certs"),
            listen=("https", "listen"),
            third=None,
            full_chain=True,
            name_prefix="HTTPS ",
        ),
        SlotRow(
            name="scheduler/c2w",
            words=("c2w", "certs"),
            third=None,
            full_chain=True,
            name_prefix="C2W ",
        ),
        _trust("scheduler/trust-c2w", "c2w", "trust"),
    ),
)

_ONE_LISTENER: Final = ("listen",)

SERVICES: Final[tuple[ServiceRow, ...]] = (
    ServiceRow(
        name="webadmin",
        enabled_as="Webadmin",
        slots=(SlotRow(name="webadmin", words=("certs",), listen=_ONE_LISTENER),),
    ),
    _CALLBRIDGE,
    ServiceRow(
        name="webbridge",
        until=THREE,
        enabled_as="Webbridge",  # T-20
        slots=(
            SlotRow(name="webbridge", words=("certs",), listen=_ONE_LISTENER),
            _trust("webbridge/trust", "trust"),
        ),
    ),
    _WEBBRIDGE3,
    ServiceRow(
        name="xmpp",
        until=THREE,
        enabled_as="XMPP server",
        slots=(
            SlotRow(name="xmpp", words=("certs",), listen=_ONE_LISTENER),
            _trust("xmpp/trust-cluster", "cluster", "trust"),
        ),
    ),
    ServiceRow(
        name="turn",
        enabled_as="TURN server",
        slots=(SlotRow(name="turn", words=("certs",), listen=("tls",)),),
    ),
    *(
        ServiceRow(
            name=name,
            until=THREE,
            enabled_as=name,
            slots=(SlotRow(name=name, words=("auth",), third="trust", tagged=True),),
        )
        for name in ("loadbalancer", "trunk")
    ),
    *(
        ServiceRow(
            name=name,
            since=since,
            until=THREE,
            enabled_as=name.capitalize(),
            slots=(
                SlotRow(name=name, words=("certs",), third=None, listen=_ONE_LISTENER),
                _trust(f"{name}/trust", "trust"),
            ),
        )
        for name, since in (("recorder", (1, 9)), ("streamer", (2, 1)))
    ),
    *(
        ServiceRow(
            name=name,
            since=THREE,
            enabled_as=name.capitalize(),  # T-21
            slots=(SlotRow(name=name, words=("sip", "certs"), listen=("sip", "listen")),),
        )
        for name in ("recorder", "streamer")
    ),
    ServiceRow(
        name="uploader",
        since=(3, 2),
        enabled_as="uploader",  # T-23
        slots=(_trust("uploader/trust-cms", "cms", "trust"), _trust("uploader/trust-rev", "rev", "trust")),
    ),
    _SCHEDULER,
    ServiceRow(
        name="meetingapps",
        since=(3, 5),
        enabled_as="Meetingapps",
        slots=(
            SlotRow(
                name="meetingapps",
                words=("https", "certs"),
                listen=("https", "listen"),
                third=None,
                full_chain=True,
            ),
        ),
    ),
    ServiceRow(
        name="h323_gateway",
        until=THREE,
        enabled_as="H323 gateway",
        slots=(SlotRow(name="h323_gateway", words=("certs",), third="trust"),),
    ),
    ServiceRow(
        name="tls",
        since=(2, 3),
        via="parameters",  # 4.14: a call bridge restart applies them
        enabled_as="tls",
        slots=(_trust("tls/trust-sip", "sip", "trust"), _trust("tls/trust-ldap", "ldap", "trust")),
    ),
)


def services_of(release: ReleaseNumber) -> dict[str, ServiceRow]:
    """Return the services that a release has, by name."""
    return {row.name: row for row in SERVICES if row.in_release(release)}


def release_number(text: str) -> ReleaseNumber:
    """Read ``3.9`` or ``3.9.1``."""
    major, minor, *_ = (*text.split("."), "0")
    return int(major), int(minor)
