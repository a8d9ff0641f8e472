"""Logging in: algorithms, keys, host keys, time limits, and what a failure of each means."""

from __future__ import annotations

import asyncio
import logging
import socket
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import lru_cache
from typing import Any

import asyncssh
from asyncssh.auth import PasswordChangeResponse

from cmscert.errors import LoginRefused, NodeError, NotACms, Unreachable
from cmscert.model.login import Login
from cmscert.model.secret import Secret
from cmscert.transport.credentials import Credentials
from cmscert.transport.known_hosts import HostKey, KnownHosts, known_hosts_of, refused
from cmscert.transport.line import Line
from cmscert.transport.tcp import dial, first_words, reason

# The library's default order starts with chacha20, which costs 12.3 ms a node instead of 7.3 (measured).
CIPHERS = "^aes128-gcm@openssh.com,aes256-gcm@openssh.com"
HOST_KEYS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
OLD_HOST_KEY = "ssh-rsa"  # fact 1.9: releases 2.x may have nothing else ([MEM]), hence only with ssh.legacy
KEEPALIVE_MISSES = 2
KEEPALIVE_WORDS = "keepalive"
OLD_RELEASE = "an old release may need ssh.legacy: true"
BUSY_OR_SSH = (b"SSH-2.0-", b"SSH-1.99-", b"Exceeded MaxStartups", b"Not allowed at this time")

_Key = asyncssh.SSHKey | asyncssh.SSHKeyPair


class _Visitor(asyncssh.SSHClient):
    """Notes what the library's exceptions leave out. Trusts nothing that ``known_hosts`` does not list."""

    def __init__(self) -> None:
        self.offered: asyncssh.SSHKey | None = None
        self.must_change_password = False
        self.silent = False
        self._connection: asyncssh.SSHClientConnection | None = None

    @property
    def connected(self) -> bool:
        """The library took the socket: what failed before that is a setting."""
        return self._connection is not None

    @property
    def version(self) -> str:
        """The server's SSH version line, empty when it sent none."""
        return str(self._connection.get_extra_info("server_version", "")) if self._connection else ""

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        self._connection = conn

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell a node that answered nothing any more from one that hung up: the library has one class for both."""
        self.silent = isinstance(exc, asyncssh.ConnectionLost) and KEEPALIVE_WORDS in str(exc)

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:  # noqa: ARG002 - the library's signature
        self.offered = key
        return False

    def password_change_requested(self, prompt: str, lang: str) -> PasswordChangeResponse:  # noqa: ARG002 - the library's signature
        self.must_change_password = True
        return NotImplemented  # type: ignore[no-any-return]  # how the library is told "not by us"


async def log_in(login: Login, credentials: Credentials, known: KnownHosts) -> Line:
    """Open one SSH connection. Raises a NodeError that says which part failed; never asks, never learns a host key."""
    _quieten()
    async with AsyncExitStack() as stack:
        keys = await _keys(login, credentials, stack)
        try:
            async with asyncio.timeout(login.timeouts.connect):
                sock = await dial(login.address, login.port)
            peer = str(sock.getpeername()[0])
        except OSError as error:
            raise _no_connection(login, error) from error
        visitor = _Visitor()
        try:
            async with asyncio.timeout(login.timeouts.login):
                connection = await _connect(sock, visitor, _options(login, credentials, keys, known, peer))
                return Line(connection, lambda: visitor.silent)
        except TimeoutError as error:
            raise _no_login_in_time(login, visitor) from error
        except Exception as error:
            raise await _explain(login, known, peer, visitor, error) from error


async def offered_host_key(login: Login, known: KnownHosts) -> HostKey:
    """Return the host key that a server shows: of a kind that is listed for it, if it has one. Raises NodeError.

    The connection ends with the key exchange: neither a user name nor anything secret is sent.
    """
    _quieten()
    nobody = known_hosts_of("", path=known.path)
    try:
        async with asyncio.timeout(login.timeouts.connect):
            sock = await dial(login.address, login.port)
        peer = str(sock.getpeername()[0])
    except OSError as error:
        raise _no_connection(login, error) from error
    visitor = _Visitor()
    options = {**_options(login, Credentials(), (), known, peer), "known_hosts": nobody.entries}
    try:
        async with asyncio.timeout(login.timeouts.login):
            connection = await _connect(sock, visitor, options)
    except TimeoutError as error:
        raise _no_login_in_time(login, visitor) from error
    except Exception as error:
        if isinstance(error, asyncssh.HostKeyNotVerifiable) and visitor.offered is not None:
            return _host_key(visitor.offered)
        raise await _explain(login, nobody, peer, visitor, error) from error
    connection.abort()  # whoever shows no host key cannot be known again
    raise NotACms(login.server, f"{login.address} port {login.port} shows no host key", hint="check the address")


def _host_key(key: asyncssh.SSHKey) -> HostKey:
    kind, coded = key.export_public_key("openssh").decode("ascii").split()[:2]
    return HostKey(kind=kind, fingerprint=key.get_fingerprint(), entry=f"{kind} {coded}")


async def _connect(sock: socket.socket, visitor: _Visitor, options: Mapping[str, Any]) -> asyncssh.SSHClientConnection:
    try:
        return await asyncssh.connect(
            sock=sock, config=None, client_factory=lambda: visitor, login_timeout=0, **options
        )
    except BaseException:
        sock.close()
        raise


def _options(
    login: Login, credentials: Credentials, keys: Sequence[_Key] | None, known: KnownHosts, peer: str
) -> dict[str, Any]:
    """Options of a connection: everything the library would look up on this machine is switched off."""
    by_key = keys is not None
    return {
        "username": login.user,
        "password": credentials.password.reveal() if credentials.password and not by_key else None,
        "client_keys": list(keys) if keys is not None else None,
        "agent_path": None,
        # Old Cisco devices drop a client that offers several keys before its password.
        "preferred_auth": ("publickey",) if by_key else ("password", "keyboard-interactive"),
        "known_hosts": known.entries,
        "host_key_alias": login.address,
        "x509_trusted_certs": None,
        "gss_host": None,
        "gss_kex": False,
        "gss_auth": False,
        "compression_algs": None,
        "encryption_algs": CIPHERS,
        "kex_algs": "default" if login.legacy else "-*-sha1",
        "signature_algs": "default" if login.legacy else "-ssh-rsa",
        "server_host_key_algs": _host_key_algorithms(login, known, peer),
        "keepalive_interval": login.timeouts.keepalive / (KEEPALIVE_MISSES + 1),
        "keepalive_count_max": KEEPALIVE_MISSES,
    }


def _host_key_algorithms(login: Login, known: KnownHosts, peer: str) -> list[str]:
    """Ask for the kinds of host key that are listed first, as OpenSSH does, then for the others.

    Without the others a server whose key is now of another kind fails in the key exchange, and nobody learns that its
    host key has changed.
    """
    listed, authorities = known.keys(login.address, peer, login.port)
    usable = (*HOST_KEYS, OLD_HOST_KEY) if login.legacy else HOST_KEYS
    wanted = {algorithm.decode("ascii") for key in listed for algorithm in key.sig_algorithms}
    ordered = [name for name in usable if name in wanted] + [name for name in usable if name not in wanted]
    if authorities:
        ordered = [f"{name}-cert-v01@openssh.com" for name in usable] + ordered
    return ordered


async def _keys(login: Login, credentials: Credentials, stack: AsyncExitStack) -> Sequence[_Key] | None:
    """Return the keys to log in with, None for a password. The agent's connection lives as long as ``stack``."""
    if credentials.key is not None:
        try:
            return [_read_key(credentials.key, credentials.key_passphrase)]
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
            raise _bad_key(login, error) from error
    if credentials.password is not None:
        return None
    if not login.agent:
        raise LoginRefused(
            login.server, "there is no password, key or agent to log in with", hint="give ssh.password or ssh.key"
        )
    try:
        agent = await asyncssh.connect_agent()
        await stack.enter_async_context(agent)
        keys = await agent.get_keys()
    except (OSError, ValueError, asyncssh.Error) as error:
        raise LoginRefused(
            login.server, "no SSH agent answers", hint="start one with ssh-agent and load a key with ssh-add"
        ) from error
    if not keys:
        raise LoginRefused(login.server, "the SSH agent holds no key", hint="load one with ssh-add")
    return keys


@lru_cache(maxsize=64)
def _read_key(key: Secret[bytes], passphrase: Secret[str] | None) -> asyncssh.SSHKey:
    """Parse a login key once for all servers that use it; the full RSA check would cost 37 ms (measured)."""
    words = passphrase.reveal() if passphrase else None
    return asyncssh.import_private_key(key.reveal(), words, unsafe_skip_rsa_key_validation=True)


def _bad_key(login: Login, error: Exception) -> LoginRefused:
    if "bcrypt" in str(error):
        return LoginRefused(
            login.server,
            "the login key is encrypted in OpenSSH's own format, which needs the Python package bcrypt",
            hint="convert a copy of it: ssh-keygen -p -m PKCS8 -f KEY",
        )
    return LoginRefused(
        login.server,
        "the login key cannot be read",
        hint="check that it is a private key in PEM or OpenSSH format and that the passphrase belongs to it",
    )


def _no_connection(login: Login, error: OSError) -> Unreachable:
    place = f"{login.address} port {login.port}"
    if isinstance(error, socket.gaierror):
        return Unreachable(
            login.server, f"the name {login.address} is unknown", hint="check the address in the inventory and the DNS"
        )
    if isinstance(error, TimeoutError):
        message = f"no TCP connection to {place} within {login.timeouts.connect:g} s"
    else:
        message = f"no TCP connection to {place}: {reason(error)}"
    return Unreachable(
        login.server, message, hint="check the address and port, and that a firewall lets SSH through to the MMP"
    )


def _no_login_in_time(login: Login, visitor: _Visitor) -> Unreachable:
    said = "did not finish the log-in" if visitor.version else "said nothing"
    return Unreachable(
        login.server,
        f"{login.address} port {login.port} took the connection but {said} within {login.timeouts.login:g} s",
        hint="see whether it is the MMP's SSH port and not overloaded, or raise ssh.timeout.login",
    )


async def _explain(login: Login, known: KnownHosts, peer: str, visitor: _Visitor, error: Exception) -> NodeError:
    """Turn whatever the library raised while logging in into one of ours."""
    match error:
        case asyncssh.HostKeyNotVerifiable():
            return refused(login, known, peer, visitor.offered)
        case asyncssh.PermissionDenied():
            return _not_accepted(login, visitor)
        case asyncssh.ProtocolError() if visitor.version and "authentication" in error.reason.lower():
            return _not_accepted(login, visitor)  # OpenSSH: "Too many authentication failures" as a protocol error
        case asyncssh.KeyExchangeFailed():
            message = f"{login.address} port {login.port} offers no SSH algorithm that is accepted here"
            return NodeError(login.server, message, hint=None if login.legacy else OLD_RELEASE)
        case _ if not visitor.connected:  # the library does not take a setting
            return LoginRefused(login.server, f"the log-in cannot be prepared: {error}", hint="check ssh.user")
    return await _explain_ending(login, visitor, error)


async def _explain_ending(login: Login, visitor: _Visitor, error: Exception) -> NodeError:
    """Tell a busy SSH server that hangs up from what is not an SSH server."""
    place = f"{login.address} port {login.port}"
    hung_up = isinstance(error, asyncssh.DisconnectError | OSError) and not isinstance(error, asyncssh.ProtocolError)
    if hung_up and not visitor.version:
        heard = await first_words(login.address, login.port)
        hung_up = not heard or heard.startswith(BUSY_OR_SSH)
    if hung_up:
        hint = "it may have too many connections open: try again, or lower --parallel"
        if not login.legacy:
            hint += f"; {OLD_RELEASE}"  # a server that finds no common algorithm may hang up before we can tell
        return Unreachable(login.server, f"{place} closed the connection during the log-in", hint=hint)
    return NotACms(login.server, f"{place} does not speak SSH as a CMS does", hint="check the address and the port")


def _not_accepted(login: Login, visitor: _Visitor) -> LoginRefused:
    if visitor.must_change_password:
        return LoginRefused(
            login.server,
            f"the password of {login.user} has expired",
            hint="log in by hand, set a new one, and store it where ssh.password points to",
        )
    by_password = login.password is not None
    hint = "check ssh.user and the secret, and that the account is not locked or expired (user list)"
    if not by_password and not login.legacy:
        hint += f"; {OLD_RELEASE}"  # a server that does not say which signatures it takes may want SHA-1
    what = "password" if by_password else "key"
    return LoginRefused(login.server, f"{login.address} does not accept {login.user} with this {what}", hint=hint)


def _quieten() -> None:
    """Keep the library's chatter and one deprecation out of our stderr; nothing else is configured.

    Finite-field Diffie-Hellman, which old releases need, warns on every use; that it is old is known.
    """
    logger = logging.getLogger("asyncssh")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.WARNING)  # below that it logs every command
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    from cryptography.utils import CryptographyDeprecationWarning

    warnings.filterwarnings("ignore", category=CryptographyDeprecationWarning, module=r"asyncssh\.crypto\.dh")
