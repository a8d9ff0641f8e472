"""Status screens, read by their labels: any width, missing rows, rows without a colon, joined rows, unknown rows.

What a row says is believed only when it is plain: two rows that contradict each other, or a file name that could not be
typed again, make the whole screen ``Unread``. No value of a screen is ever part of a message: ``turn`` shows a
password (T-34).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from cmscert.mmp.grammar import fault_of
from cmscert.mmp.labels import Labels, Meaning, labels_of
from cmscert.mmp.replies import is_unknown_command
from cmscert.mmp.tagged import block_of
from cmscert.model.observed import Binding, Listen, ServiceState
from cmscert.model.readings import ABSENT, Known, Reading, Unread
from cmscert.model.services import IdentitySlot, Service

_GAP: Final = re.compile(r"\s{2,}|\t")
# "cms.cer New row : 5" (an unknown row was joined to it) and "cms.cer (remark)": the name ends at its extension.
_NAME_FIRST: Final = re.compile(r"(\S+\.(?:crt|cer|pem|der|key)) (?:\([^()]*\)|[^:]* :(?: .*)?)", re.IGNORECASE)
_PORTED: Final = re.compile(r"([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})")
_INTERFACE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_PROTOCOLS: Final = frozenset({"tcp", "tls", "udp"})
_LAST_PORT: Final = 65535
_LONGEST_NAME: Final = 255
_MOST_ROWS: Final = 5000
_LONGEST_SCREEN: Final = 65_536  # characters; real ones have 2,000, and a mebibyte of labels takes seconds to read
_WORDS: Final = {"true": True, "yes": True, "enabled": True, "false": False, "no": False, "disabled": False}


class _UnclearError(Exception):
    """A screen that must not be believed; says why without any value of it."""


@dataclass(slots=True)
class _Told:
    """What the rows told so far. ``tag``: which load balancer or trunk they are about."""

    files: dict[Meaning, str | None] = field(default_factory=dict)
    ports: dict[str, list[Listen]] = field(default_factory=dict)
    interfaces: dict[str, list[str]] = field(default_factory=dict)
    port: dict[str, int | None] = field(default_factory=dict)
    enabled: bool | None = None
    tag: str | None = None
    rows: int = 0


def read_screen(row: Service, *texts: str, tag: str | None = None) -> Reading[ServiceState]:
    """Read a service's screens, given in the order of ``commands.statuses(row)``; most services have one.

    ``tag``: which of several load balancers or trunks is meant. Absent: the server does not know the command.
    Unread: nothing that can be recognised, or rows that contradict each other. Never raises.
    """
    asked = zip((row.status, *row.more_status), texts, strict=False)
    screens = [(words, text) for words, text in asked if not is_unknown_command(text)]
    if texts and not screens:
        return ABSENT
    if any(len(text) > _LONGEST_SCREEN for _, text in screens):
        return Unread(f"the screen of {row.name} is longer than any that is known")
    told = _Told(tag=tag)
    try:
        for words, text in screens:
            for meaning, value in _rows(labels_of(row, words), _lines(row, text, told), words):
                _tell(told, meaning, value)
    except _UnclearError as unclear:
        return Unread(f"the screen of {row.name} {unclear}")
    if not told.rows:
        return Unread(f"the answer to {' '.join(row.status)} shows no row that is known")
    return Known(_state(row, told))


def _lines(row: Service, text: str, told: _Told) -> Iterable[str]:
    rows = text.splitlines()
    if len(rows) > _MOST_ROWS:
        raise _UnclearError(f"has more than {_MOST_ROWS} rows")
    if not any(isinstance(slot, IdentitySlot) and slot.tagged for slot in row.slots):
        return rows
    try:
        block = block_of(rows, told.tag)
    except ValueError as error:
        raise _UnclearError(str(error)) from None
    told.tag = block.tag
    return block.rows


def _rows(labels: Labels, lines: Iterable[str], words: tuple[str, ...]) -> Iterator[tuple[Meaning, str]]:
    for line in lines:
        plain = " ".join(line.split())
        found = list(labels.find(plain)) if ":" in plain else []
        ends = [*(label.start for label in found[1:]), len(plain)]
        for label, end in zip(found, ends, strict=False):
            if label is not found[0] or _may_precede(plain[: label.start], words):
                yield label.meaning, plain[label.value : end].strip()
        if plain and not found:
            yield from _loose_row(labels, line.strip())


def _may_precede(prefix: str, words: tuple[str, ...]) -> bool:
    """Tell whether a first label is whole: nothing before it but an echo or another row, not more of its own words."""
    before = prefix.strip()
    return not before or " : " in before or before.rpartition("> ")[2] == " ".join(words)


def _loose_row(labels: Labels, line: str) -> Iterator[tuple[Meaning, str]]:
    """Read a row without a colon (``Listen interface      a``, T-34), or with nothing between colon and value."""
    for parts in (_GAP.split(line, maxsplit=1), line.split(":", 1)):
        meaning = labels.meaning(" ".join(parts[0].split()))
        if meaning is not None and len(parts) > 1:
            yield meaning, " ".join(parts[1].split())
            return


def _tell(told: _Told, meaning: Meaning, value: str) -> None:
    match meaning.role:
        case "other":
            return
        case "enabled":
            _tell_enabled(told, value)
        case "interface":
            _tell_interfaces(told, meaning.slot, value)
        case "port":
            _tell_port(told, meaning.slot, value)
        case _:
            _tell_file(told, meaning, value)
    told.rows += 1


def _tell_enabled(told: _Told, value: str) -> None:
    enabled = _WORDS.get(value.partition(" ")[0].lower())
    if None not in (enabled, told.enabled) and enabled != told.enabled:
        raise _UnclearError("tells twice whether it is enabled, and not the same")
    told.enabled = told.enabled if enabled is None else enabled


def _tell_file(told: _Told, meaning: Meaning, value: str) -> None:
    named = _NAME_FIRST.fullmatch(value)
    name = named[1] if named else value
    file = None if name.lower() in {"", "none"} else name
    if file is not None and (fault_of(file) is not None or " :" in file or "/" in file or len(file) > _LONGEST_NAME):
        raise _UnclearError(f"shows a {meaning.role} of {meaning.slot} that is no plain file name")
    if told.files.setdefault(meaning, file) != file:
        raise _UnclearError(f"tells the {meaning.role} of {meaning.slot} twice, and not the same")


def _tell_interfaces(told: _Told, slot: str, value: str) -> None:
    """Interfaces, with or without ports: ``a:445 b:445``, ``tcp a:7000, tls a:7001``, ``a`` (T-30, T-33, T-37)."""
    protocol = "tls"
    for word in value.replace(",", " ").split():
        ported = _PORTED.fullmatch(word)
        if word.lower() in _PROTOCOLS:
            protocol = word.lower()
        elif ported is not None and protocol == "tls" and 0 < int(ported[2]) <= _LAST_PORT:
            told.ports.setdefault(slot, []).append(Listen(interface=ported[1], port=int(ported[2])))
        elif _INTERFACE.fullmatch(word) and word.lower() != "none":
            told.interfaces.setdefault(slot, []).append(word)


def _tell_port(told: _Told, slot: str, value: str) -> None:
    word = value.partition(" ")[0]
    port = int(word) if word.isascii() and word.isdigit() and len(word) <= len(str(_LAST_PORT)) else None
    port = port if port is not None and 0 < port <= _LAST_PORT else None
    if told.port.setdefault(slot, port) != port:
        raise _UnclearError(f"tells the port of {slot} twice, and not the same")


def _state(row: Service, told: _Told) -> ServiceState:
    bindings = {}
    listens = {}
    untold = []
    for slot in row.slots:
        key, certificate, bundle = (Meaning(role=role, slot=slot.name) for role in ("key", "certificate", "bundle"))
        identity = isinstance(slot, IdentitySlot)
        needed = (key, certificate) if identity else (bundle,)
        if not all(meaning in told.files for meaning in needed):
            untold.append(slot.name)
        if any(meaning in told.files for meaning in (key, certificate, bundle)):
            bindings[slot.name] = Binding(
                slot=slot.name,
                key=told.files.get(key),
                certificate=told.files.get(certificate),
                bundle=told.files.get(bundle),
                tag=told.tag if isinstance(slot, IdentitySlot) and slot.tagged else None,
            )
        ports = _listens(slot.name, told) if isinstance(slot, IdentitySlot) and slot.listens else ()
        if ports:
            listens[slot.name] = ports
    return ServiceState(
        service=row.name,
        enabled=told.enabled,
        bindings=bindings,
        listens=listens,
        untold=tuple(untold),
    )


def _listens(slot: str, told: _Told) -> tuple[Listen, ...]:
    port = told.port.get(slot)
    pairs = [] if port is None else [Listen(interface=name, port=port) for name in told.interfaces.get(slot, [""])]
    return tuple(dict.fromkeys([*told.ports.get(slot, ()), *pairs]))
