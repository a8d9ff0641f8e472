"""``database cluster status``, read by its labels: any width, both vocabularies, every state (facts 5.4, 5.5).

Sourced: the labels, node rows, ``(me)``, ``( In Sync )``, ``(Success)`` and ``(Failed)`` of T-50 and T-51. How a server
looks that is in no cluster, only connects, is at work, or holds an expired certificate is [MEM] or [UNK]: such screens
are read by what is plain in them, and always so that doubt never looks like health. A replica is in sync only where it
says so and nothing else; a connected primary is one only where the row says just that; a screen whose rows contradict
each other, lost their line breaks, or hold a row of a node that cannot be made out, is ``Unread``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

from cmscert.mmp.grammar import fault_of
from cmscert.mmp.replies import clean, is_unknown_command
from cmscert.model.database import CommandState, DatabaseFiles, DatabaseMember, DatabaseState, MemberRole
from cmscert.model.readings import ABSENT, Known, Reading, Unread

_MOST_ROWS: Final = 500
_LONGEST_NAME: Final = 255

_CERTIFICATE: Final = "cert(?:ificate)?(?: file)?"
_LABELS: Final = {
    "status": "status",
    "error": "error",
    "nodes": "nodes",
    "node_in_use": "node in use",
    "interface": "interface",
    "certificates": "certificates",
    "server_key": "server key(?: file)?",
    "server_certificate": f"server {_CERTIFICATE}",
    "client_key": "client key(?: file)?",
    "client_certificate": f"client {_CERTIFICATE}",
    "ca": f"ca {_CERTIFICATE}",
    "last_command": "last command",
}
_FILES: Final = ("server_key", "server_certificate", "client_key", "client_certificate", "ca")
_EITHER: Final = "|".join(f"({shape})" for shape in _LABELS.values()).replace(" ", "[ ]+")
_ROW: Final = re.compile(rf"(?:{_EITHER})(?:[ ]*:[ ]*|[ ]{{2,}}|$)(?P<value>.*)", re.IGNORECASE)
_JOINED: Final = re.compile(rf"(?:^|[ ])(?:{_EITHER})[ ]*:(?:[ ]|$)", re.IGNORECASE)
_NOTHING: Final = frozenset({"", "none", "(none)", "n/a", "-"})

_NO_NODES: Final = re.compile(r"\(?(?:none|no nodes|not configured|n/a)\b[^:]*|-*", re.IGNORECASE)
_ME: Final = re.compile(r"\( *me *\)", re.IGNORECASE)
_BRACKETS: Final = re.compile(r"\[(.+)\]")
_HOST: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*\.?")
_TIE: Final = re.compile(
    r"(?:(?:connected|disconnected|not connected|unreachable) )?(?P<word>primary|master|replica|slave)\b(?P<rest>.*)",
    re.IGNORECASE,
)
_REMARK: Final = re.compile(r" ?\([^()]*\)")
_IN_SYNC: Final = re.compile(r" ?\( ?in ?sync ?\)", re.IGNORECASE)
_ROLES: Final[dict[str, MemberRole]] = {
    "primary": "primary",
    "master": "primary",
    "replica": "replica",
    "slave": "replica",
}

_FILE: Final = re.compile(
    r"(?:\([^()]*\) *|expired[ :]+)?(?P<name>.+?\.(?:crt|cer|pem|der|key))(?:[ (\[,;].*)?", re.IGNORECASE
)
_EXPIRED: Final = re.compile(r"(?<!not )(?<!not yet )(?<![\w.-])expired(?![\w-]|\.\w)", re.IGNORECASE)
_LAST: Final = re.compile(r"(.*?) ?\(([^()]*)\)[. ]*")
_OFF: Final = re.compile(r"disabled\b.*|none|off|not configured|unconfigured|inactive", re.IGNORECASE)
# [MEM] "(In progress)", "Initializing", "Attaching", "Removing": any word of that form; "Running" says it of a command
# only, a cluster that runs is not at work.
_AT_WORK: Final = re.compile(r"\b(?!running\b)\w{2,}ing\b|\bprogress\b|\bpending\b|\u2026|\.\.\.", re.IGNORECASE)
_IN_PROGRESS: Final = re.compile(r"\bin progress\b", re.IGNORECASE)


class _UnclearError(Exception):
    """A screen that must not be believed; says why without any value of it."""


@dataclass(slots=True)
class _Told:
    """What the rows told so far. ``section``: whose rows follow; ``indent``: blanks in front of its heading.

    ``indented``: rows of nodes stand deeper than their heading, as in T-51.
    """

    values: dict[str, str] = field(default_factory=dict)
    members: dict[str, DatabaseMember] = field(default_factory=dict)
    section: str = ""
    indent: int = 0
    indented: bool = False
    busy: bool = False
    expired: bool = False


def read_database_status(text: str) -> Reading[DatabaseState]:
    """Read ``database cluster status``. Absent: the server does not know the command. Never raises.

    Addresses come lower-case and without brackets, IPv6 ones in their short form. A server is ``standing`` on evidence
    alone: it shows nodes or a node in use, and does not say that it is disabled (Unread when it says both). It is
    ``busy`` when ``Status``, ``Last command`` or a row of its own tells of work that goes on.
    """
    if is_unknown_command(text):
        return ABSENT
    lines = clean(text.encode("utf-8", errors="replace")).split("\n")
    if len(lines) > _MOST_ROWS:
        return Unread(f"the status of the database cluster has more than {_MOST_ROWS} rows")
    told = _Told()
    try:
        for line in lines:
            _tell(told, line)
        return _state(told)
    except _UnclearError as unclear:
        return Unread(f"the status of the database cluster {unclear}")


def _tell(told: _Told, line: str) -> None:
    row = line.strip()
    indent = len(line) - len(line.lstrip())
    found = _ROW.fullmatch(row)
    if found is not None:
        role = tuple(_LABELS)[next(number for number, label in enumerate(found.groups()) if label is not None)]
        _tell_label(told, role, " ".join(found["value"].split()), indent)
    elif row and not (told.section == "nodes" and _tell_node(told, row, inside=indent > told.indent)):
        told.busy |= _IN_PROGRESS.search(row) is not None
        told.expired |= _says_expired(row, near=told.section == "certificates")


def _tell_label(told: _Told, role: str, value: str, indent: int) -> None:
    if role != "error" and _JOINED.search(value):
        raise _UnclearError("shows several rows on one line")
    if told.values.setdefault(role, value) != value:
        raise _UnclearError(f"tells {role.replace('_', ' ')} twice, and not the same")
    told.section = "certificates" if role in _FILES else role
    told.indent = indent
    if role == "nodes":
        told.busy |= not _tell_node(told, value, inside=True)  # no node, and yet no doubt: "(In progress)"
        told.indented = False
    elif role in {"status", "error", "certificates"}:
        told.expired |= _says_expired(value, near=role == "certificates")


def _says_expired(text: str, *, near: bool) -> bool:
    """[S13b]: the status shows that a certificate is expired; how is on a picture only."""
    return (near or "cert" in text.lower()) and _EXPIRED.search(text) is not None


def _tell_node(told: _Told, row: str, *, inside: bool) -> bool:
    """Take a row of a node; False for what is no such row and stands no deeper than the heading, so ends them."""
    if _NO_NODES.fullmatch(row):
        told.section = "" if row else "nodes"
        return True
    member = _member(row)
    if member is None and inside and not _IN_PROGRESS.search(row):
        raise _UnclearError("holds a row of a node that cannot be made out")
    if member is None or not (inside or not told.indented or member.connected or _is_ip(member.address)):
        told.section = "nodes" if inside else ""
        return False
    if " : " in member.text:
        raise _UnclearError("shows several rows on one line")
    told.indented |= inside
    if told.members.setdefault(member.address, member) != member:
        raise _UnclearError("shows a node twice, and not the same")
    told.expired |= _says_expired(member.text, near=False)
    return True


def _member(row: str) -> DatabaseMember | None:
    word, _, text = " ".join(_ME.sub(" ", row).split()).partition(" ")
    if text.startswith(":"):
        text = text[1:].lstrip()
    elif word.endswith(":"):  # "2001:db8::" is followed by a colon of its own
        word = word[:-1]
    elif not _is_ip(_address(word)):
        return None
    address = _address(word)
    if address is None:
        return None
    connected, role, in_sync = _tie(text)
    me = _ME.search(row) is not None
    return DatabaseMember(address=address, me=me, connected=connected, role=role, in_sync=in_sync, text=text)


def _tie(text: str) -> tuple[bool, MemberRole, bool | None]:
    """Return whether a node is connected, as what, and whether in sync; what is not plain is never good."""
    connected = re.match(r"connected\b", text, re.IGNORECASE) is not None
    found = _TIE.fullmatch(text)
    role = _ROLES[found["word"].lower()] if found else "other"
    rest = found["rest"] if found else text
    if role == "primary" and rest and not _REMARK.fullmatch(rest):
        role = "other"  # "Primary candidate", or whatever: it is not said that it is the primary
    said = connected and _IN_SYNC.fullmatch(rest) is not None
    if role == "replica":
        return connected, role, said
    if role == "primary":
        return connected, role, said if rest else None
    return connected, role, False if "sync" in text.lower() else None


def _address(word: str) -> str | None:
    bracketed = _BRACKETS.fullmatch(word)
    try:
        return str(ip_address(bracketed[1] if bracketed else word))
    except ValueError:
        return word.lower().rstrip(".") if len(word) <= _LONGEST_NAME and _HOST.fullmatch(word) else None


def _is_ip(address: str | None) -> bool:
    try:
        return ip_address(address or "") is not None
    except ValueError:
        return False


def _state(told: _Told) -> Reading[DatabaseState]:
    values = told.values
    files = {role: _file(told, values[role]) for role in _FILES if role in values}
    typed, last_state = _last(values.get("last_command", ""))
    status = values.get("status", "")
    busy = told.busy or last_state == "running" or _AT_WORK.search(status) is not None
    in_use = _in_use(values.get("node_in_use", ""))
    members = tuple(told.members.values())
    if not (status or "nodes" in values or in_use or busy):
        return Unread("the answer to database cluster status shows no row that is known")
    if sum(member.me for member in members) > 1:
        raise _UnclearError("says of several nodes that they are this server")
    evidence = bool(members) or in_use is not None
    if evidence and _OFF.fullmatch(status):
        raise _UnclearError("says that there is no cluster, and shows nodes of one")
    interface = values.get("interface", "")
    return Known(
        DatabaseState(
            status=status,
            error=values.get("error") or None,
            standing=evidence,
            busy=busy,
            members=members,
            node_in_use=in_use,
            interface=None if interface.lower() in _NOTHING else interface,
            files=DatabaseFiles(**files),
            last_command=typed,
            last_state=last_state,
            expired=told.expired,
        )
    )


def _in_use(value: str) -> str | None:
    if value.lower() in _NOTHING:
        return None
    address = _address(value.partition(" ")[0])
    if address is None:
        raise _UnclearError("shows a node in use that cannot be made out")
    return address


def _file(told: _Told, value: str) -> str | None:
    found = _FILE.fullmatch(value)
    name = found["name"] if found else _EXPIRED.sub("", value).strip(" ()[]:,;")
    told.expired |= _says_expired(value.replace(name, "", 1) if name else value, near=True)
    if name.lower() in _NOTHING:
        return None
    if fault_of(name) is not None or "/" in name or len(name) > _LONGEST_NAME:
        raise _UnclearError("shows a certificate or key that is no plain file name")
    return name


def _last(value: str) -> tuple[str | None, CommandState]:
    """Read ``'database cluster join 10.48.36.61' (Success)``; (Success) and (Failed) are all that is sourced (5.4)."""
    found = _LAST.fullmatch(value)
    typed = (found[1] if found else value).strip("'\" ")
    state = found[2].strip().lower() if found else ""
    if typed.lower() in _NOTHING:
        return None, "unknown"
    if state == "success":
        return typed, "success"
    if state.startswith("fail"):
        return typed, "failed"
    return typed, "running" if state.startswith("running") or _AT_WORK.search(state) else "unknown"
