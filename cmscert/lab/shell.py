"""What happens on a channel: one command (exec), or a prompt with a small line editor (shell)."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Final

import asyncssh

from cmscert.lab.node import CutError, LabNode

_INTERRUPT: Final = 0x03
_END: Final = 0x04
_ERASES: Final = frozenset({0x08, 0x7F})
_CLEAR: Final = 0x15
_RETURN: Final = 0x0D
_NEWLINE: Final = 0x0A
_CHUNK: Final = 4096
_LOGOUTS: Final = frozenset({"exit", "logout", "quit"})

Process = asyncssh.SSHServerProcess[bytes]


def origin_of(process: Process) -> str:
    """Return the client's address and port, as the audit line shows them."""
    address, port, *_ = process.get_extra_info("peername")
    return f"{address}:{port}"


async def run_exec(node: LabNode, process: Process) -> None:
    """Carry out what an exec channel asks for, without prompt and echo ([S1]); a line end starts a second command."""
    origin = origin_of(process)

    async def ask(question: str) -> str | None:
        process.stdout.write(question.encode() + b"\n")
        if not node.switches.confirm_over_exec:
            return None
        answer = await process.stdin.readline()
        return answer.decode(errors="replace").rstrip("\r\n")

    for line in (process.command or "").splitlines():
        if line.strip():
            process.stdout.write(await node.carry_out(line.strip(), origin, ask))
    process.exit(0)  # exit status is meaningless: facts 1.3


class Shell:
    """An interactive session. Lines end with CR or LF; under a pty they are echoed and answers end with CRLF."""

    def __init__(self, node: LabNode, process: Process) -> None:
        self._node = node
        self._process = process
        self._pty = process.term_type is not None
        self._typed: deque[int] = deque()
        self._more = asyncio.Event()
        self._ended = False
        self._running: asyncio.Task[bytes] | None = None
        self._after_return = False

    async def run(self) -> None:
        """Serve the session until Ctrl-D, ``exit`` or the end of the input."""
        pump = asyncio.ensure_future(self._pump())
        try:
            await self._serve()
        finally:
            pump.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await pump
        self._process.exit(0)

    async def _serve(self) -> None:
        prompt = f"{self._node.spec.hostname}> "
        while True:
            self._print(prompt.encode())
            line = await self._read_line()
            if line is None or line.strip() in _LOGOUTS:
                return
            if line.strip():
                await self._carry_out(line.strip())

    async def _carry_out(self, line: str) -> None:
        work = asyncio.ensure_future(self._node.carry_out(line, origin_of(self._process), self._ask))
        self._running = work
        try:
            self._print(await work)
        except asyncio.CancelledError:
            if self._running is work:  # the channel is gone, and takes the command with it
                raise
            self._print(b"^C\n")  # aborted by Ctrl-C [MEM] 1.4
        finally:
            self._running = None

    async def _ask(self, question: str) -> str | None:
        self._print(question.encode() + b"\n")
        return await self._read_line()

    def _print(self, text: bytes) -> None:
        self._process.stdout.write(text.replace(b"\n", b"\r\n") if self._pty else text)

    async def _pump(self) -> None:
        """Take what is typed; Ctrl-C works at once even while a command runs."""
        while not self._ended:
            try:
                typed = await self._process.stdin.read(_CHUNK)
            except asyncssh.TerminalSizeChanged:
                continue
            except (asyncssh.BreakReceived, asyncssh.SignalReceived):
                typed = bytes([_INTERRUPT])
            except (asyncssh.Error, OSError):  # the client went away in the middle of a line
                typed = b""
            self._ended = not typed
            for key in typed:
                if key == _INTERRUPT and self._running is not None:
                    running, self._running = self._running, None
                    self._typed.clear()
                    running.cancel()
                else:
                    self._typed.append(key)
            self._more.set()

    async def _key(self) -> int | None:
        while not self._typed:
            if self._ended:
                return None
            self._more.clear()
            await self._more.wait()
        return self._typed.popleft()

    async def _read_line(self) -> str | None:
        """Read a line; None at the end of the input or for Ctrl-D on an empty line."""
        line = bytearray()
        while True:
            key = await self._key()
            follows, self._after_return = self._after_return, key == _RETURN
            if key is None or (key == _END and not line):
                return None
            if key == _NEWLINE and follows:
                continue
            if key in {_RETURN, _NEWLINE}:
                self._echo(b"\n")
                return line.decode(errors="replace")
            self._edit(line, key)

    def _edit(self, line: bytearray, key: int) -> None:
        if key == _INTERRUPT:
            self._echo(b"^C\n" + f"{self._node.spec.hostname}> ".encode())
            line.clear()
        elif key in _ERASES or key == _CLEAR:
            gone = len(line) if key == _CLEAR else min(1, len(line))
            del line[len(line) - gone :]
            self._echo(b"\b \b" * gone)
        elif key >= 0x20:  # noqa: PLR2004 - the first printable character
            line.append(key)
            self._echo(bytes([key]))

    def _echo(self, text: bytes) -> None:
        if self._pty:
            self._print(text)


async def serve(node: LabNode, process: Process) -> None:
    """Serve a channel; a fault may cut the whole connection."""
    try:
        if process.command is None:
            await Shell(node, process).run()
        else:
            await run_exec(node, process)
    except CutError:
        process.channel.get_connection().abort()
