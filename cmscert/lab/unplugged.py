"""Listeners of nodes that are on no network: they hold a port's number and what it would show."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Final

from cmscert.lab.tls import Loaded

_FIRST: Final = 20_000


class Ports:
    """Makes the listeners of one node, and hands out its ports."""

    def __init__(self) -> None:
        self._free = count(_FIRST)
        self.open: dict[int, tuple[bytes, ...]] = {}

    def __call__(self, _bind: str) -> Listener:
        """Make a listener."""
        return Listener(self)

    def take(self) -> int:
        """Return a port that nobody has."""
        return next(self._free)


class Listener:
    """One port in memory."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._open = False
        self.port = 0

    def keep(self, port: int) -> None:
        """Take a port (0: any free one)."""
        if self.port != port or not port:
            self.release()
            self.port = port or self._ports.take()

    async def open(self, loaded: Loaded, trust: Sequence[bytes] | None = None) -> None:  # noqa: ARG002 - nobody connects
        """Show a certificate. Raises OSError when another service of the node has the port."""
        if self.port in self._ports.open:
            raise OSError(f"port {self.port} is taken")
        self._ports.open[self.port], self._open = loaded.chain, True

    def close(self) -> None:
        """Show nothing any more."""
        if self._open:
            del self._ports.open[self.port]
            self._open = False

    async def closed(self) -> None:
        """Return at once: nothing takes time here."""

    def release(self) -> None:
        """Give the port back."""
        self.close()
