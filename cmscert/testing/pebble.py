"""Pebble and its challenge server (Debian package ``pebble``): a real ACME CA on loopback."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from cmscert.testing.ca import ThrowAwayCa

PATIENCE = 20.0
_PAUSE = 0.02


def free_port() -> int:
    """Return a port of loopback that nobody listens on at the moment."""
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass
class ChallengeServer:
    """``pebble-challtestsrv``: answers questions about TXT records that were set through its management interface."""

    folder: Path
    dns: int = field(default_factory=free_port)
    management: int = field(default_factory=free_port)

    def __enter__(self) -> Self:
        words = ["pebble-challtestsrv", "-dns01", self.address, "-management", f"127.0.0.1:{self.management}"]
        words += ["-http01", "", "-https01", "", "-tlsalpn01", ""]
        self._process = _started(words, self.folder / "challtestsrv.log", {})
        _await_port(self.management, self._process, self.folder / "challtestsrv.log")
        return self

    def __exit__(self, *_: object) -> None:
        _end(self._process)

    @property
    def address(self) -> str:
        """Where it answers questions."""
        return f"127.0.0.1:{self.dns}"

    @property
    def api(self) -> str:
        """Its management interface."""
        return f"http://127.0.0.1:{self.management}"


@dataclass
class Pebble:
    """``dns``: the name server that it asks. ``customers``: external accounts, whose keys it then demands.

    ``alternates``: how many roots it has besides the first. ``rejects``: per cent of good nonces that it refuses.
    """

    folder: Path
    dns: str
    customers: Mapping[str, str] = field(default_factory=dict)
    alternates: int = 0
    rejects: int = 20
    reuses: int = 0
    port: int = field(default_factory=free_port)
    management: int = field(default_factory=free_port)

    def __enter__(self) -> Self:
        self.folder.mkdir(exist_ok=True)
        ca = ThrowAwayCa.root("TLS of Pebble")
        made = ca.issue("localhost", ("localhost", "127.0.0.1"))
        for name, content in {
            "tls.crt": made.certificate_pem,
            "tls.key": made.key_pem,
            "ca.pem": ca.bundle_pem,
            "pebble.json": self._settings(),
        }.items():
            (self.folder / name).write_bytes(content)
        environment = {
            "PEBBLE_VA_NOSLEEP": "1",
            "PEBBLE_WFE_NONCEREJECT": str(self.rejects),
            "PEBBLE_AUTHZREUSE": str(self.reuses),
            "PEBBLE_ALTERNATE_ROOTS": str(self.alternates),
        }
        words = ["pebble", "-config", str(self.folder / "pebble.json"), "-dnsserver", self.dns]
        self._process = _started(words, self.folder / "pebble.log", environment)
        for port in (self.port, self.management):
            _await_port(port, self._process, self.folder / "pebble.log")
        return self

    def __exit__(self, *_: object) -> None:
        _end(self._process)

    def _settings(self) -> bytes:
        settings: dict[str, object] = {
            "listenAddress": f"127.0.0.1:{self.port}",
            "managementListenAddress": f"127.0.0.1:{self.management}",
            "certificate": str(self.folder / "tls.crt"),
            "privateKey": str(self.folder / "tls.key"),
            "httpPort": 5002,
            "tlsPort": 5001,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": bool(self.customers),
        }
        if self.customers:
            settings["externalAccountMACKeys"] = dict(self.customers)
        return json.dumps({"pebble": settings}).encode()

    @property
    def directory(self) -> str:
        """Where ACME begins."""
        return f"https://localhost:{self.port}/dir"

    @property
    def ca_bundle(self) -> Path:
        """What its TLS certificate leads to."""
        return self.folder / "ca.pem"

    @property
    def log(self) -> str:
        """What it said so far."""
        return (self.folder / "pebble.log").read_text()

    def root(self, number: int = 0) -> bytes:
        """Return one of its roots, as PEM."""
        return self._managed(f"roots/{number}")

    def intermediate(self, number: int = 0) -> bytes:
        """Return the CA that signs, below one of its roots, as PEM."""
        return self._managed(f"intermediates/{number}")

    def _managed(self, path: str) -> bytes:
        context = ssl.create_default_context(cafile=str(self.ca_bundle))
        url = f"https://localhost:{self.management}/{path}"
        with urllib.request.urlopen(url, context=context, timeout=PATIENCE) as answer:
            content: bytes = answer.read()
        return content


def _started(words: list[str], log: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(  # noqa: S603 - the judge's own programs
            words, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **environment}
        )


def _await_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < end:
        with suppress(OSError), closing(socket.create_connection(("127.0.0.1", port), timeout=1)):
            return
        time.sleep(_PAUSE)
    process.kill()
    process.wait()
    raise TimeoutError(log.read_text())


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
