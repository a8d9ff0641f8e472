"""The mark of a run that a node itself carries: who changes the fleet now, for whoever comes from another machine.

A small text file in the flat store under an extension that nodes allow ([S11]). It holds no certificate, no name that
this tool gives to material matches its name, and nothing in it is trusted: it may have been written by anybody.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from cmscert.model.readings import Known, Unread

State = Literal["choosing", "waiting", "marking", "held"]
"""``choosing`` and ``waiting``: the doorway and the queue of Lamport's bakery, on the node that decides. ``marking``:
decided there, and put on another node. ``held``: renewed at least once."""

GRACE = timedelta(seconds=30)
"""How long after its time a marker still counts for others: clocks are read no better than that."""

LARGEST = 4096
"""Bytes; a marker has about 300."""

LONGEST = 64
"""Characters of a name in a marker; a longer one is cut."""

YEARS = range(2000, 3000)
"""Years that can be reckoned with; a file may name any."""

_HEAD = "# cmscert-lock/1"
_STATES: tuple[State, ...] = ("choosing", "waiting", "marking", "held")
_NAME = re.compile(r"cmscert-lock-(?P<run>\d{8}T\d{6}Z-[0-9a-f]{6})\.crt")
_TEXTS = ("fleet", "owner", "machine", "command", "run")


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """A lock file of the node's store, read. ``until``: by the node's own clock; aware UTC.

    ``file``: its name in the store. ``since``: by the clock of ``machine``.
    """

    file: str
    fleet: str
    owner: str
    machine: str
    run: str
    since: datetime
    until: datetime
    command: str = "apply"
    state: State = "held"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLock:
    """A lock file on a server. ``marker``: None when it cannot be read, and ``why``. ``expired``: it counts no more."""

    server: str
    file: str
    marker: Marker | None
    why: str | None = None
    expired: bool = False


def marker_name(run: str) -> str:
    """Name the lock file of a run."""
    return f"cmscert-lock-{run}.crt"


def run_of(name: str) -> str | None:
    """Return the run whose lock file has this name; None for every other file."""
    found = _NAME.fullmatch(name)
    return found["run"] if found else None


def is_marker(name: str) -> bool:
    """Tell whether a file of the store is a lock file by its name."""
    return run_of(name) is not None


def marker_content(marker: Marker) -> bytes:
    """Write a marker: one line, with a checksum, because a node may show a file that is being written."""
    values = {
        **{key: _plain(str(getattr(marker, key))) for key in _TEXTS},
        "since": marker.since.astimezone(UTC).isoformat(),
        "until": marker.until.astimezone(UTC).isoformat(),
        "state": marker.state,
    }
    body = json.dumps(values, ensure_ascii=True)
    return f"{_HEAD} {_checksum(body)} {body}\n".encode()


def read_marker(name: str, content: bytes) -> Known[Marker] | Unread:
    """Read a marker. Half-written, damaged, or not written by this tool: Unread, with the file's name.

    Texts come back printable and cut; they are for people only.
    """
    try:
        return Known(_read(name, content))
    except _DamagedError as error:
        return Unread(f"{name} is no lock file that can be read: {error}")
    except (ValueError, OverflowError, RecursionError):
        return Unread(f"{name} is no lock file that can be read: it is damaged")


class _DamagedError(Exception):
    """A file is no marker, and why."""


def _read(name: str, content: bytes) -> Marker:
    if len(content) > LARGEST:
        raise _DamagedError("it is too large")
    head, _, rest = content.decode("ascii").partition(" ")[2].partition(" ")
    values = _values(content, head, rest)
    texts = {key: _plain(_text(values, key)) for key in _TEXTS}
    if texts["run"] != run_of(name):
        raise _DamagedError("it is about another run")
    state = next((each for each in _STATES if each == values.get("state")), None)
    if state is None:
        raise _DamagedError("its state is unknown")
    since, until = (_moment(_text(values, key)) for key in ("since", "until"))
    return Marker(file=name, since=since, until=until, state=state, **texts)


def _values(content: bytes, head: str, rest: str) -> dict[str, object]:
    checksum, _, body = rest.partition(" ")
    whole = content.startswith(f"{_HEAD} ".encode()) and head == _HEAD[2:] and body.endswith("\n")
    if not whole or checksum != _checksum(body[:-1]):
        raise _DamagedError("it is not whole")
    values = json.loads(body)
    if not isinstance(values, dict):
        raise _DamagedError("it holds no values")
    return values


def _text(values: dict[str, object], key: str) -> str:
    value = values.get(key)
    if not isinstance(value, str):
        raise _DamagedError(f"it does not say its {key}")
    return value


def _moment(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise _DamagedError("its time has no zone")
    at = at.astimezone(UTC)
    if at.year not in YEARS:
        raise _DamagedError("its time is none")
    return at


def _plain(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text[:LONGEST])


def _checksum(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:16]
