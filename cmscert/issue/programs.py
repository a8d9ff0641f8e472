"""Runs somebody's program: an argument list, never a shell, an environment of its own, and nothing of it left behind.

It gets what programs need to run, and what the inventory declares. It ends when it should, with all that it started.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

from cmscert.mmp.replies import MAX_LINE, clean
from cmscert.model.secret import MASK, Secret

SECONDS: Final = 120.0
LARGEST: Final = 1_000_000
"""Bytes that a program may print, and that a file it writes may have."""

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

_LAST_WORDS: Final = 500
_BLOCK: Final = 65536
_LOOK_AGAIN: Final = 0.01


class ProgramFailed(Exception):
    """A program could not be started, did not end in time, or ended badly; in our words, without a secret."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program with where and how it runs.

    ``environment``: what it gets besides the usual; ``told``: what it gets too, and may repeat. ``seconds``: its time.
    """

    words: tuple[str, ...]
    folder: Path
    told: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, Secret[str]] = field(default_factory=dict, repr=False)
    seconds: float = SECONDS

    @property
    def name(self) -> str:
        """What it is called."""
        return Path(self.words[0]).name

    async def output(self) -> bytes:
        """Run it and return what it printed. Raises ProgramFailed unless it ended well."""
        ended = await self._ended()
        if ended.overlong:
            message = f"{self.name} wrote more than {LARGEST // 1_000_000} MB: it was ended"
            raise ProgramFailed(message, "run it by hand")
        if ended.code != 0:
            said = _last_words(ended, self.environment.values())
            by = f"signal {-ended.code}" if ended.code < 0 else f"code {ended.code}"
            raise ProgramFailed(f"{self.name} ended with {by}{said}", "run it by hand")
        return ended.output

    async def _ended(self) -> _Ended:
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        environment |= {name: secret.reveal() for name, secret in self.environment.items()}
        environment |= self.told
        try:
            process = await asyncio.create_subprocess_exec(
                *self.words,
                cwd=self.folder,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            why = (getattr(error, "strerror", None) or "unusable arguments").lower()
            message = f"{self.name} cannot be started: {why}"
            raise ProgramFailed(message, "relative paths start at the inventory's folder") from None
        try:
            async with asyncio.timeout(self.seconds):
                return await _watched(process)
        except TimeoutError:
            message = f"{self.name} did not end within {self.seconds:g} s"
            raise ProgramFailed(message, "run it by hand and see what it waits for") from None
        finally:
            await _put_down(process)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ended:
    code: int
    output: bytes = field(repr=False)
    error: bytes = field(repr=False)
    overlong: bool = False


def _last_words(ended: _Ended, secrets: Iterable[Secret[str]]) -> str:
    raw = ended.error.strip() or ended.output
    for secret in filter(None, (secret.reveal().encode() for secret in secrets)):
        raw = raw.replace(secret, MASK.encode())  # before anything is cut: half a secret is no mask's business
    told = " ".join(clean(raw[-MAX_LINE:]).split())
    return f": {'…' if len(told) > _LAST_WORDS else ''}{told[-_LAST_WORDS:]}" if told else " and said nothing"


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
    # asyncio itself closes the pipes only when they were read to their end, and offers no other way.
    process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001 - as said above


async def _code(process: asyncio.subprocess.Process) -> int:
    """Wait for the program alone: ``wait`` also waits, in newer Pythons, for whoever holds its output open."""
    while process.returncode is None:  # noqa: ASYNC110 - asyncio offers no event for it
        await asyncio.sleep(_LOOK_AGAIN)
    return process.returncode


def _end(process: asyncio.subprocess.Process) -> None:
    """End a program and what it started: they share a session of their own."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
