"""Status screens. Layouts with a T-number are literal; the others are made up after them ([UNK], facts 10.8)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from cmscert.lab.spec import Switches
from cmscert.lab.state import Listening, ServiceState
from cmscert.lab.table import THREE, ReleaseNumber

Row = tuple[str, str | None]
"""Label and value; a value of None leaves the row out."""

_NONE: Final = "none"
_NARROW: Final = 24  # T-30, T-34, T-36 to T-38
_WIDE: Final = 38  # T-33


class Screen:
    """What a screen is drawn from: one service, the release, the switches."""

    def __init__(self, service: ServiceState, release: ReleaseNumber, switches: Switches) -> None:
        self.service = service
        self.release = release
        self.switches = switches

    def since(self, release: ReleaseNumber, label: str, default: str) -> Row:
        """A row that no certificate command changes, from some release on."""
        value = self.service.settings.get(label, default)
        return label, value if self.release >= release else None

    def told(self, label: str, default: str) -> Row:
        """A row that no certificate command changes."""
        return label, self.service.settings.get(label, default)

    def enabled(self) -> Row:
        """The first row of most screens."""
        return "Enabled", "true" if self.service.enabled else "false"

    def key(self, label: str, slot: str) -> Row:
        """The key of a slot."""
        return label, self.service.files(slot).key or _NONE

    def certificate(self, label: str, slot: str) -> Row:
        """The certificate of a slot."""
        return label, self.service.files(slot).certificate or _NONE

    def bundle(self, label: str, slot: str) -> Row:
        """The bundle or trust of a slot."""
        return label, self.service.files(slot).bundle or _NONE

    def ca_bundle(self, slot: str) -> Row:
        """The bundle row that is not there when no bundle is set (T-30, T-31)."""
        bundle = self.service.files(slot).bundle
        return "CA Bundle file", bundle or (_NONE if self.switches.bundle_row_when_none else None)

    def listening(self, slot: str) -> Listening:
        """Where a slot listens."""
        return self.service.listening[slot]

    def interfaces(self, slot: str) -> str:
        """The interfaces of a slot."""
        listening = self.listening(slot)
        return _NONE if listening.port is None else " ".join(listening.interfaces)

    def port(self, slot: str) -> str:
        """The TLS port of a slot."""
        port = self.listening(slot).port
        return _NONE if port is None else str(port)

    def places(self, slot: str) -> str:
        """Interfaces with their port, ``a:445 b:445``."""
        listening = self.listening(slot)
        if listening.port is None:
            return _NONE
        return " ".join(f"{interface}:{listening.port}" for interface in listening.interfaces)

    def status(self, what: str) -> Row:
        """The row that tells whether it runs; T-30, and [MEM] for the stopped one."""
        return "STATUS", f"{what} running" if self.service.running else f"{what} not running"

    def sip(self, slot: str) -> Row:
        """T-35, T-37: the TCP part is a setting, the TLS part is the listener."""
        tls = self.places(slot)
        return "SIP interfaces", f"tcp {self.service.settings.get('tcp', _NONE)}, tls {tls}"


def laid(width: int, rows: Iterable[Row]) -> list[str]:
    """Lay rows out, labels padded to one width."""
    return [f"{label:<{width}}: {value}" for label, value in rows if value is not None]


def _webadmin(screen: Screen) -> list[str]:  # T-30
    return laid(
        _NARROW,
        (
            screen.enabled(),
            ("TLS listening interface", screen.interfaces("webadmin")),
            ("TLS listening port", screen.port("webadmin")),
            screen.key("Key file", "webadmin"),
            screen.certificate("Certificate file", "webadmin"),
            screen.ca_bundle("webadmin"),
            screen.told("HTTP redirect", "Disabled"),
            screen.status("webadmin"),
        ),
    )


def _callbridge(screen: Screen) -> list[str]:  # T-31, T-32: three widths in one screen
    head = laid(
        22,
        (
            ("Listening interfaces", screen.interfaces("callbridge")),
            screen.told("Preferred interface", _NONE),
            screen.key("Key file", "callbridge"),
            screen.certificate("Certificate file", "callbridge"),
            screen.told("Address", _NONE),
            screen.ca_bundle("callbridge"),
        ),
    )
    c2w = screen.bundle("C2W trusted certs", "callbridge/trust-c2w")
    trust = laid(
        36,
        (
            c2w if screen.release >= (2, 9) else ("", None),
            screen.bundle("Callbridge cluster trusted certs", "callbridge/trust-cluster"),
            screen.bundle("Callbridge trust branding certs", "callbridge/trust-branding"),
        ),
    )
    presence = laid(
        26,
        (
            screen.bundle("UCM trusted certs", "callbridge/trust-ucm"),
            screen.told("UCM verification mode", "disabled"),
            screen.bundle("IMPS trusted certs", "callbridge/trust-imps"),
            screen.told("IMPS verification mode", "disabled"),
        ),
    )
    tail = laid(26, (screen.since(THREE, "WC3 JWT Expiry in hours", "24"),))
    codec = laid(16, (screen.since((3, 9), "AV1 Video Codec", "enabled"),))
    return [*head, *trust, *(presence if screen.release >= (3, 8) else ()), *tail, *codec]


def _webbridge(screen: Screen) -> list[str]:  # [UNK] 10.8
    return laid(
        _NARROW,
        (
            screen.enabled(),
            ("Interface whitelist", screen.places("webbridge")),
            screen.key("Key file", "webbridge"),
            screen.certificate("Certificate file", "webbridge"),
            screen.ca_bundle("webbridge"),
            screen.bundle("Trust bundle", "webbridge/trust"),
            screen.told("HTTP redirect", "Disabled"),
        ),
    )


def _webbridge3(screen: Screen) -> list[str]:  # T-33
    return laid(
        _WIDE,
        (
            screen.enabled(),
            ("HTTPS listening ports and interfaces", screen.places("webbridge3/https")),
            screen.key("HTTPS Key file", "webbridge3/https"),
            screen.certificate("HTTPS Full chain certificate file", "webbridge3/https"),
            screen.since((3, 1), "HTTPS Frame-Ancestors", _NONE),
            screen.told("HTTP redirect", "Disabled"),
            ("C2W listening ports and interfaces", screen.places("webbridge3/c2w")),
            screen.key("C2W Key file", "webbridge3/c2w"),
            screen.certificate("C2W Full chain certificate file", "webbridge3/c2w"),
            screen.bundle("C2W Trust bundle", "webbridge3/trust-c2w"),
            screen.since((3, 5), "Meetingapps address", _NONE),
            screen.since((3, 5), "Meetingapps port", _NONE),
            screen.since((3, 8), "Audio priority flag", "Enabled"),
            screen.told("Beta options", _NONE),
        ),
    )


def _xmpp(screen: Screen) -> list[str]:  # [UNK] 10.8
    return laid(
        _NARROW,
        (
            screen.enabled(),
            screen.told("Clustered", "false"),
            screen.told("Domain", _NONE),
            ("Listening interfaces", screen.interfaces("xmpp")),
            screen.key("Key file", "xmpp"),
            screen.certificate("Certificate file", "xmpp"),
            screen.ca_bundle("xmpp"),
            screen.bundle("Cluster trust bundle", "xmpp/trust-cluster"),
            screen.told("Max sessions per user", "unlimited"),
            screen.status("XMPP server"),
        ),
    )


def _turn(screen: Screen) -> list[str]:  # T-34
    head = laid(
        _NARROW,
        (
            screen.enabled(),
            screen.told("Username", _NONE),
            screen.told("Password", _NONE),
            screen.told("Short term credentials", "disabled"),
            screen.told("Shared secret", _NONE),
            screen.told("Realm", _NONE),
            screen.told("Public IP", _NONE),
            screen.told("High Capacity Mode", "enabled"),
            screen.told("Relay address", _NONE),
            ("TLS port", screen.port("turn")),
            screen.certificate("TLS cert", "turn"),
            screen.key("TLS key", "turn"),
            screen.bundle("TLS bundle", "turn"),
        ),
    )
    return [*head, *(f"{'Listen interface':<22}{interface}" for interface in screen.listening("turn").interfaces)]


def _tagged(screen: Screen) -> list[str]:  # [UNK] 10.8
    name = screen.service.row.name
    return laid(
        _NARROW,
        (
            ("Tag", screen.service.files(name).tag or _NONE),
            screen.enabled(),
            screen.key("Key file", name),
            screen.certificate("Certificate file", name),
            screen.bundle("Trust bundle", name),
        ),
    )


def _recorder(screen: Screen) -> list[str]:
    if screen.release < THREE:  # [UNK] 10.8, after T-36
        return [
            *_white_listed(screen),
            *laid(_NARROW, (screen.told("NFS domain name", _NONE), screen.told("NFS directory", _NONE))),
        ]
    return laid(  # T-35
        _NARROW,
        (
            screen.enabled(),
            screen.sip("recorder"),
            screen.key("SIP key file", "recorder"),
            screen.certificate("SIP certificate file", "recorder"),
            screen.bundle("SIP CA Bundle file", "recorder"),
            screen.told("SIP traffic trace", "Disabled"),
            screen.told("NFS domain name", _NONE),
            screen.told("NFS directory", _NONE),
            screen.told("Resolution", "720p"),
            screen.told("Call Limit", _NONE),
        ),
    )


def _white_listed(screen: Screen) -> list[str]:  # T-36
    name = screen.service.row.name
    return laid(
        _NARROW,
        (
            screen.enabled(),
            ("Interface whitelist", screen.places(name)),
            screen.key("Key file", name),
            screen.certificate("Certificate file", name),
            screen.bundle("Trust bundle", f"{name}/trust"),
        ),
    )


def _streamer(screen: Screen) -> list[str]:
    if screen.release < THREE:
        return _white_listed(screen)
    return laid(  # T-37, T-38
        _NARROW,
        (
            screen.enabled(),
            screen.sip("streamer"),
            screen.key("SIP key file", "streamer"),
            screen.certificate("SIP certificate file", "streamer"),
            screen.bundle("SIP CA Bundle file", "streamer"),
            screen.told("SIP Resolution", "720p"),
            screen.told("SIP traffic trace", "Disabled"),
            screen.told("Call Limit", _NONE),
        ),
    )


def _uploader(screen: Screen) -> list[str]:  # T-39
    return laid(
        33,
        (
            screen.enabled(),
            screen.told("NFS hostname", _NONE),
            screen.told("NFS directory", _NONE),
            screen.told("CMS host", _NONE),
            screen.told("CMS port", _NONE),
            screen.told("CMS user", _NONE),
            screen.bundle("CMS trust bundle", "uploader/trust-cms"),
            screen.told("Vbrick Rev hostname", _NONE),
            screen.told("Vbrick Rev port", _NONE),
            screen.told("Vbrick Rev username", _NONE),
            screen.bundle("Vbrick Rev trust bundle", "uploader/trust-rev"),
            screen.told("View access", "Public"),
            screen.told("cospace_member_access", "edit"),
            screen.told("recording_owned_by_cospace_owner", "false"),
            screen.told("fallback_owner", "admin"),
            screen.told("comments_enabled", "true"),
            screen.told("ratings_enabled", "true"),
            screen.told("downloads_enabled", "true"),
            screen.told("active_upon_upload", "true"),
            screen.told("delete_after_upload", "false"),
        ),
    )


def _scheduler(screen: Screen) -> list[str]:  # [UNK] 4.9, after T-33
    return laid(
        _WIDE,
        (
            screen.enabled(),
            ("HTTPS listening interface and port", screen.places("scheduler/https")),
            screen.key("HTTPS Key file", "scheduler/https"),
            screen.certificate("HTTPS Full chain certificate file", "scheduler/https"),
            screen.key("C2W Key file", "scheduler/c2w"),
            screen.certificate("C2W Full chain certificate file", "scheduler/c2w"),
            screen.bundle("C2W Trust bundle", "scheduler/trust-c2w"),
        ),
    )


def _meetingapps(screen: Screen) -> list[str]:  # [UNK] 4.10, after T-33
    return laid(
        _WIDE,
        (
            screen.enabled(),
            ("HTTPS listening interface and port", screen.places("meetingapps")),
            screen.key("HTTPS Key file", "meetingapps"),
            screen.certificate("HTTPS Full chain certificate file", "meetingapps"),
        ),
    )


def _h323_gateway(screen: Screen) -> list[str]:  # [UNK] 10.8
    return laid(
        _NARROW,
        (
            screen.enabled(),
            screen.key("Key file", "h323_gateway"),
            screen.certificate("Certificate file", "h323_gateway"),
            screen.ca_bundle("h323_gateway"),
        ),
    )


def tls(screen: Screen, which: str) -> list[str]:
    """Draw ``tls sip`` or ``tls ldap``, [MEM] 4.14."""
    return laid(
        _NARROW,
        (
            screen.told(f"{which} min TLS version", "1.2"),
            screen.told(f"{which} verify", "disabled"),
            screen.bundle(f"{which} trust bundle", f"tls/trust-{which}"),
        ),
    )


def _tls(screen: Screen) -> list[str]:
    return [*tls(screen, "sip"), *tls(screen, "ldap")]


SCREENS: Final[dict[str, Callable[[Screen], list[str]]]] = {
    "webadmin": _webadmin,
    "callbridge": _callbridge,
    "webbridge": _webbridge,
    "webbridge3": _webbridge3,
    "xmpp": _xmpp,
    "turn": _turn,
    "loadbalancer": _tagged,
    "trunk": _tagged,
    "recorder": _recorder,
    "streamer": _streamer,
    "uploader": _uploader,
    "scheduler": _scheduler,
    "meetingapps": _meetingapps,
    "h323_gateway": _h323_gateway,
    "tls": _tls,
}


def draw(screen: Screen) -> list[str]:
    """Draw the status screen of a service."""
    lines = SCREENS[screen.service.row.name](screen)
    if screen.switches.extra_rows:
        return [*lines[:1], *laid(_NARROW, (("Front lamp colour", "blue"),)), *lines[1:], "An unlabelled remark"]
    return lines
