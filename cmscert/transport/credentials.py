"""What a login proves itself with. Light on purpose: nothing here imports the SSH library."""

from __future__ import annotations

from dataclasses import dataclass

from cmscert.model.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Resolved secrets of one login; all None means the SSH agent, when the login allows it.

    ``key``: the bytes of a private key file (PEM or OpenSSH); ``key_passphrase`` opens it.
    """

    password: Secret[str] | None = None
    key: Secret[bytes] | None = None
    key_passphrase: Secret[str] | None = None
