"""How to log in to a node. Secrets are references here; they are resolved right before connecting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretRef:
    """Where a secret is kept, never the secret.

    ``value``: the variable's name (env), the path (file), the argument list (command), or service and user (keyring).
    """

    kind: Literal["env", "file", "command", "keyring"]
    value: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.kind}: {' '.join(self.value)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """All in seconds. ``answer``: for one command; ``keepalive``: silence after which a frozen node is given up."""

    connect: float = 10.0
    login: float = 15.0
    answer: float = 60.0
    keepalive: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """How to reach and log in to one node.

    ``known_hosts``: path as the inventory says it, joined to the inventory's folder. ``legacy``: also offer ssh-rsa
    host keys and group14-sha1, which 2.x may need ([MEM] fact 1.9). ``agent``: use the SSH agent when neither password
    nor key is given.
    """

    server: str
    address: str
    user: str
    known_hosts: str
    port: int = 22
    password: SecretRef | None = None
    key: SecretRef | None = None
    key_passphrase: SecretRef | None = None
    agent: bool = False
    legacy: bool = False
    timeouts: Timeouts = Timeouts()
