"""Which row of a screen tells what: labels by shape, because widths, case and order differ (T-30 to T-39).

Sourced labels: webadmin, callbridge, webbridge3, turn, uploader, recorder 3.x, streamer. The screens of webbridge 2.x,
xmpp, recorder 2.x, scheduler, meetingapps, h323_gateway, loadbalancer, trunk and tls are [MEM] or [UNK]: their rows are
taken by the same shapes (… key file, … certificate file, … bundle, trust …), and nothing else is believed of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from string import ascii_lowercase, ascii_uppercase
from typing import Final, Literal

from cmscert.model.services import IdentitySlot, Service, TrustSlot

Role = Literal["enabled", "key", "certificate", "bundle", "interface", "port", "other"]

_TRUST: Final = r"trust(?:ed)?(?: (?:ca|bundle|certs?|certificates?|file)){0,3}"
_BUNDLE: Final = r"(?:ca )?(?:cert(?:ificate)? )?bundle(?: file)?"
_ROLES: Final[Mapping[Role, str]] = {
    "key": r"key(?: file)?",
    "certificate": r"(?:full ?chain )?cert(?:ificate)?(?: file)?",
    "bundle": _BUNDLE,
    "interface": (
        r"(?:listen(?:ing)? )?(?:ports? and interfaces?|interfaces? and ports?|interfaces?)|interface whitelist"
    ),
    "port": r"(?:listen(?:ing)? )?port",
}
_PREFIXES: Final[Mapping[str, str]] = {
    "webadmin": "(?:(?:tls|https) )?",
    "webbridge3/https": "https ",
    "webbridge3/c2w": "c2w ",
    "turn": "(?:tls )?",
    "recorder": "(?:sip )?",
    "streamer": "(?:sip )?",
    "scheduler/https": "https ",
    "scheduler/c2w": "c2w ",
    "meetingapps": "(?:https )?",
    "loadbalancer": "(?:auth )?",
    "trunk": "(?:auth )?",
}
_TRUST_PREFIXES: Final[Mapping[str, str]] = {
    "callbridge/trust-c2w": "c2w ",
    "callbridge/trust-cluster": "(?:call ?bridge )?cluster ",
    "callbridge/trust-ucm": "ucm ",
    "callbridge/trust-imps": "imps ",
    "webbridge/trust": "(?:call ?bridge )?",
    "webbridge3/trust-c2w": "c2w ",
    "xmpp/trust-cluster": "(?:xmpp )?(?:cluster )?",
    "recorder/trust": "(?:call ?bridge )?",
    "streamer/trust": "(?:call ?bridge )?",
    "uploader/trust-cms": "cms ",
    "uploader/trust-rev": "(?:vbrick )?rev ",
    "scheduler/trust-c2w": "c2w ",
    "tls/trust-sip": "sip ",
    "tls/trust-ldap": "ldap ",
}
_BRANDING: Final = r"(?:call ?bridge )?(?:trust )?branding (?:trusted )?cert(?:s|ificates)"  # T-31

# Case does not count, but only that of ASCII; a pattern made for both cases takes three times as long to make.
_SMALL: Final = str.maketrans(ascii_uppercase, ascii_lowercase)

# Rows that are not ours but end a joined one ("24 AV1 Video Codec : enabled", transcript 03): all that sources show.
_OTHERS: Final = (
    "tls listening interface",
    "tls listening port",
    "http redirect",
    "status",
    "listening interfaces",
    "preferred interface",
    "address",
    "ucm verification mode",
    "imps verification mode",
    "wc3 jwt expiry in hours",
    "av1 video codec",
    "https frame-ancestors",
    "https listening ports and interfaces",
    "c2w listening ports and interfaces",
    "meetingapps address",
    "meetingapps port",
    "audio priority flag",
    "beta options",
    "username",
    "password",
    "short term credentials",
    "shared secret",
    "realm",
    "public ip",
    "high capacity mode",
    "relay address",
    "tls port",
    "listen interface",
    "sip interfaces",
    "interface whitelist",
    "sip resolution",
    "resolution",
    "sip traffic trace",
    "call limit",
    "nfs domain name",
    "nfs hostname",
    "nfs directory",
    "cms host",
    "cms port",
    "cms user",
    "vbrick rev hostname",
    "vbrick rev port",
    "vbrick rev username",
    "view access",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What a row tells: a role, and the slot that it belongs to (empty for the service as a whole)."""

    role: Role
    slot: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A known label in a line: what it means, and where it and its value begin."""

    meaning: Meaning
    start: int
    value: int


class Labels:
    """The labels of one screen of one service."""

    def __init__(self, shapes: tuple[tuple[str, Meaning], ...]) -> None:
        self._meanings = tuple(meaning for _, meaning in shapes)
        either = "|".join(f"({shape})" for shape, _ in shapes)  # one group a shape: the number tells which it was
        self._either = either
        # A label begins a line or follows a blank, and its colon is followed by one (all transcripts).
        self._anywhere = re.compile(rf"(?:^|(?<= ))(?:{either}) ?:(?= |$)", re.ASCII)

    @cached_property
    def _whole(self) -> re.Pattern[str]:
        """Made for rows without a colon, which few screens have."""
        return re.compile(self._either, re.ASCII)

    def meaning(self, label: str) -> Meaning | None:
        """Return what a whole label means; None for one that is not known."""
        found = self._whole.fullmatch(label.translate(_SMALL))
        return self._meanings[(found.lastindex or 1) - 1] if found else None

    def find(self, line: str) -> Iterator[Label]:
        """Find the known labels in a line whose blanks are single ones; a label without its colon is not seen."""
        for found in self._anywhere.finditer(line.translate(_SMALL)):
            meaning = self._meanings[(found.lastindex or 1) - 1]
            yield Label(meaning=meaning, start=found.start(), value=found.end())


def _trust_shape(slot: TrustSlot, own_screen: str) -> str:
    if slot.name == "callbridge/trust-branding":
        return _BRANDING
    prefix = _TRUST_PREFIXES.get(slot.name, "")
    if own_screen and slot.name.endswith(own_screen):
        prefix = f"(?:{prefix})?"  # on a screen of its own a row needs not say whose trust it is
    return prefix + _TRUST


def _shapes(row: Service, screen: tuple[str, ...]) -> Iterator[tuple[str, Meaning]]:
    yield "enabled", Meaning(role="enabled")
    own_screen = f"/trust-{screen[-1]}" if row.name == "tls" else ""
    for slot in row.slots:
        if isinstance(slot, TrustSlot):
            yield _trust_shape(slot, own_screen), Meaning(role="bundle", slot=slot.name)
    for slot in row.slots:
        if isinstance(slot, IdentitySlot):
            prefix = _PREFIXES.get(slot.name, "")
            for role, shape in _ROLES.items():
                if role == "bundle" and slot.third is None:
                    continue
                words = f"(?:{shape}|{_TRUST})" if role == "bundle" and slot.third == "trust" else f"(?:{shape})"
                yield prefix + words, Meaning(role=role, slot=slot.name)
    for other in _OTHERS:
        yield re.escape(other).replace(r"\ ", " "), Meaning(role="other")


@lru_cache(maxsize=128)
def labels_of(row: Service, screen: tuple[str, ...]) -> Labels:
    """Return the labels of one of a service's screens; ``screen`` is the words of its status command."""
    return Labels(tuple(_shapes(row, screen)))
