"""The issuer ``command``: any program that makes a certificate of a request (step, vault, certreq, certbot, lego …).

The program gets an argument list, never a shell; a folder of its own that only its user can look into; an environment
that holds what programs need to run, and what the inventory declares. Private keys never come near it.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

from cmscert.errors import InputError
from cmscert.files import Unreadable, read_regular
from cmscert.issue.issuers import Asked, Issued
from cmscert.mmp.replies import MAX_LINE, clean
from cmscert.model.secret import MASK, Secret
from cmscert.pki.certificate import Certificate
from cmscert.pki.pem import read_certificates

SECONDS: Final = 120.0
LARGEST: Final = 1_000_000
"""Bytes that a program may print, and that a file it writes may have."""

PLACEHOLDERS: Final = ("csr", "certificate", "chain", "name", "names")
PASSED_ON: Final = (
    *("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TZ", "LANG", "LC_ALL", "LC_CTYPE", "LC_MESSAGES"),
    *(
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "http_proxy",
        "https_proxy",
        "no_proxy",
    ),
)
"""Variables that every program gets; whatever else it needs is declared."""

_PLACEHOLDER: Final = re.compile(r"\{(" + "|".join(PLACEHOLDERS) + r")\}")
_LAST_WORDS: Final = 500
_BLOCK: Final = 65536
_LOOK_AGAIN: Final = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandIssuer:
    """Runs a program for each certificate.

    ``run``: program and arguments; ``{csr}``, ``{certificate}`` and ``{chain}`` stand for paths in the private folder,
    ``{name}`` for the certificate's name and server, ``{names}`` for its names with commas between. Without
    ``{certificate}`` the program prints the certificate. ``folder``: where it runs. ``seconds``: how long it may take.
    """

    name: str
    run: tuple[str, ...]
    folder: Path
    environment: Mapping[str, Secret[str]] = field(default_factory=dict, repr=False)
    seconds: float = SECONDS

    async def obtain(self, asked: Asked) -> Issued:
        """Run the program and read what it made. Raises IssuerError."""
        with tempfile.TemporaryDirectory(prefix="cmscert-", ignore_cleanup_errors=True) as private:
            places = {word: Path(private) / ending for word, ending in _FILES.items()}
            places["csr"].write_bytes(asked.csr)
            ended = await self._ended(asked, self._arguments(asked, places))
            if ended.overlong:
                raise asked.fault(self.name, f"{self._program} wrote more than {LARGEST // 1_000_000} MB: it was ended")
            if ended.code != 0:
                raise self._failed(asked, ended)
            return Issued(chain=self._delivered(asked, ended, places))

    @property
    def _program(self) -> str:
        return Path(self.run[0]).name

    def _uses(self, word: str) -> bool:
        return any(f"{{{word}}}" in argument for argument in self.run)

    def _arguments(self, asked: Asked, places: Mapping[str, Path]) -> tuple[str, ...]:
        words = {word: str(path) for word, path in places.items()}
        words |= {"name": asked.stem, "names": ",".join(asked.names)}
        return tuple(_PLACEHOLDER.sub(lambda found: words[found[1]], argument) for argument in self.run)

    async def _ended(self, asked: Asked, arguments: Sequence[str]) -> _Ended:
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        environment |= {name: secret.reveal() for name, secret in self.environment.items()}
        try:
            process = await asyncio.create_subprocess_exec(
                *arguments,
                cwd=self.folder,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            why = (getattr(error, "strerror", None) or "unusable arguments").lower()
            message = f"{self._program} cannot be started: {why}"
            raise asked.fault(self.name, message, hint="relative paths start at the inventory's folder") from None
        try:
            async with asyncio.timeout(self.seconds):
                return await _watched(process)
        except TimeoutError:
            message = f"{self._program} did not end within {self.seconds:g} s"
            raise asked.fault(self.name, message, hint="run it by hand and see what it waits for") from None
        finally:
            await _put_down(process)

    def _failed(self, asked: Asked, ended: _Ended) -> Exception:
        raw = ended.error.strip() or ended.output
        for secret in filter(None, (secret.reveal().encode() for secret in self.environment.values())):
            raw = raw.replace(secret, MASK.encode())  # before anything is cut: half a secret is no mask's business
        told = " ".join(clean(raw[-MAX_LINE:]).split())
        said = f": {'…' if len(told) > _LAST_WORDS else ''}{told[-_LAST_WORDS:]}" if told else " and said nothing"
        by = f"signal {-ended.code}" if ended.code < 0 else f"code {ended.code}"
        return asked.fault(self.name, f"{self._program} ended with {by}{said}", hint="run it by hand")

    def _delivered(self, asked: Asked, ended: _Ended, places: Mapping[str, Path]) -> tuple[Certificate, ...]:
        """Read what was printed or written; a chain that may be there need not be."""
        if not self._uses("certificate"):
            return self._read(asked, ended.output, f"the output of {self._program}")
        found = self._read(asked, self._written(asked, places["certificate"]), places["certificate"].name)
        if self._uses("chain") and os.path.lexists(places["chain"]) and places["chain"].lstat().st_size:
            found += self._read(asked, self._written(asked, places["chain"]), places["chain"].name)
        return found

    def _written(self, asked: Asked, path: Path) -> bytes:
        try:
            return read_regular(path, limit=LARGEST)
        except Unreadable as error:
            message = f"{self._program} ended well, but its {path.name} {error}"
            raise asked.fault(
                self.name, message, hint=f"let it write to the path that {{{path.stem}}} stands for"
            ) from None

    def _read(self, asked: Asked, content: bytes, file: str) -> tuple[Certificate, ...]:
        try:
            return read_certificates(content, file=file)
        except InputError as error:
            message = f"{self._program} ended well, but delivered no certificate: {error.faults[0]}"
            raise asked.fault(self.name, message, hint="run it by hand and look at what it makes") from None


_FILES: Final = {"csr": "request.csr", "certificate": "certificate.pem", "chain": "chain.pem"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ended:
    code: int
    output: bytes = field(repr=False)
    error: bytes = field(repr=False)
    overlong: bool = False


async def _watched(process: asyncio.subprocess.Process) -> _Ended:
    """Wait until a program has ended, and read what it says; what it leaves running is ended with it."""
    streams = (cast("asyncio.StreamReader", stream) for stream in (process.stdout, process.stderr))
    readers = [asyncio.create_task(_bounded(process, stream)) for stream in streams]
    try:
        code = await _code(process)
        _end(process)
        output, error = await asyncio.gather(*readers)
    finally:
        for reader in readers:
            reader.cancel()
    overlong = max(len(output), len(error)) > LARGEST
    return _Ended(code=code, output=output, error=error, overlong=overlong)


async def _bounded(process: asyncio.subprocess.Process, stream: asyncio.StreamReader) -> bytes:
    parts: list[bytes] = []
    left = LARGEST + 1
    while left and (part := await stream.read(min(left, _BLOCK))):
        parts.append(part)
        left -= len(part)
    if not left:
        _end(process)
    return b"".join(parts)


async def _put_down(process: asyncio.subprocess.Process) -> None:
    """End a program and wait for its end, however the waiting for it ended."""
    _end(process)
    await asyncio.shield(_code(process))


async def _code(process: asyncio.subprocess.Process) -> int:
    """Wait for the program alone: ``wait`` also waits, in newer Pythons, for whoever holds its output open."""
    while process.returncode is None:  # noqa: ASYNC110 - asyncio offers no event for it
        await asyncio.sleep(_LOOK_AGAIN)
    return process.returncode


def _end(process: asyncio.subprocess.Process) -> None:
    """End a program and what it started: they share a session of their own."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
