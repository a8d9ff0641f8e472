"""Host keys: read once per file, and the sentences for a key that is unknown or has changed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from cmscert.errors import Fault, HostKeyRefused, InputError
from cmscert.files import Unreadable, read_regular
from cmscert.model.login import Login

if TYPE_CHECKING:
    import asyncssh

SSH_PORT = 22
LARGEST = 5_000_000
"""Bytes; 1,000 servers have 0.4 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostKey:
    """A host key that a server showed; ``entry`` is a key type and the key as ``known_hosts`` has them."""

    kind: str
    fingerprint: str
    entry: str


class KnownHosts:
    """The entries of one ``known_hosts`` file, parsed.

    ``path`` is what the inventory says, for messages; ``entries`` is the SSH library's own object.
    """

    __slots__ = ("entries", "path")

    def __init__(self, path: str, entries: asyncssh.SSHKnownHosts) -> None:
        self.path = path
        self.entries = entries

    def keys(self, address: str, peer: str, port: int) -> tuple[list[asyncssh.SSHKey], list[asyncssh.SSHKey]]:
        """Return the host keys and the CA keys listed for a server."""
        listed = self.entries.match(address, peer, None if port == SSH_PORT else port)
        return list(listed[0]), list(listed[1])


def host_line(address: str, port: int, key: HostKey) -> str:
    """Return the line of ``known_hosts`` that trusts a host key at an address."""
    name = address if port == SSH_PORT else f"[{address}]:{port}"
    return f"{name} {key.entry}\n"


def known_hosts_of(lines: str, *, path: str) -> KnownHosts:
    """Make entries of lines that this process wrote; ``path``: what messages call them."""
    from asyncssh import import_known_hosts

    return KnownHosts(path, import_known_hosts(lines))


def load_known_hosts(path: str | Path) -> KnownHosts:
    """Read a ``known_hosts`` file; the same file is parsed once, however many servers name it.

    1,000 lines take 10 ms and hashed ones 23 (measured), which at every connect would stall the fleet. Raises
    InputError with the line.
    """
    file = Path(path)
    try:
        state = file.stat()
    except OSError as error:
        why = (error.strerror or "unknown reason").lower()
        raise _bad(str(path), f"known_hosts cannot be read: {why}", "known-hosts-missing") from error
    return _load(str(path), state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=64)
def _load(path: str, _changed: int, _size: int) -> KnownHosts:
    from asyncssh import import_known_hosts

    try:
        text = read_regular(Path(path), limit=LARGEST).decode("utf-8", errors="replace")
    except Unreadable as error:
        raise _bad(path, f"known_hosts {error}", "known-hosts-missing") from None
    entries = import_known_hosts("")
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            entries.load(line)
        except (ValueError, IndexError) as error:
            raise _bad(path, "not a known_hosts line", "known-hosts-line", number) from error
    return KnownHosts(path, entries)


def _bad(path: str, message: str, reason: str, line: int | None = None) -> InputError:
    return InputError(
        [Fault(file=path, line=line, reason=reason, message=message)],
        hint="write it with ssh-keyscan -p PORT ADDRESS >> known_hosts, after comparing the fingerprints",
    )


def refused(login: Login, known: KnownHosts, peer: str, offered: asyncssh.SSHKey | None) -> HostKeyRefused:
    """Tell an unknown host key from a changed one: the SSH library raises the same exception for both."""
    place = f"{login.address} port {login.port}"
    scan = f"ssh-keyscan -p {login.port} {login.address} >> {known.path}"
    if offered is None:
        return HostKeyRefused(
            login.server,
            f"the host key of {place} is marked as revoked in {known.path}, or is of no usable kind",
            hint="do not connect before somebody with access to the server's console has looked at its host key",
        )
    shown = f"{offered.get_algorithm()} {offered.get_fingerprint()}"
    listed = [key.get_fingerprint() for key in known.keys(login.address, peer, login.port)[0]]
    if not listed:
        return HostKeyRefused(
            login.server,
            f"the host key of {place} is not in {known.path}; it offers {shown}",
            hint=f"compare the fingerprint with the one at the server's console, then: {scan}",
        )
    name = login.address if login.port == SSH_PORT else f"'[{login.address}]:{login.port}'"
    return HostKeyRefused(
        login.server,
        f"the host key of {place} has changed: it offers {shown}, but {known.path} lists {', '.join(listed)}",
        hint="somebody may be in between; only if the server was rebuilt and the fingerprint is right at its console:"
        f" ssh-keygen -R {name} -f {known.path}, then {scan}",
    )
