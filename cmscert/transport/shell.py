"""A shell with a terminal: where commands ask back, or where the node takes no commands otherwise.

The prompt is the node's host name and ``> `` (fact 1.2), so it is learnt, not guessed. An answer ends where the learnt
prompt stands alone at the end of what came, and not before: lines that merely look like a prompt are text.
"""

from __future__ import annotations

import asyncio
import re
from typing import Literal

from cmscert.errors import NodeError, NotACms
from cmscert.mmp.replies import clean
from cmscert.model.commands import Command
from cmscert.transport.faults import late, too_long, unexpected
from cmscert.transport.intake import Intake
from cmscert.transport.line import DeniedError, Line, LostError

SETTLE_SECONDS = 0.02
"""Silence after the learnt prompt: what follows at once shows that it was text."""

QUESTION_SECONDS = 0.2
"""Silence after a ``(Y/n)``: the wording goes on for a line after it (fact 5.3, [MEM])."""

DOUBT_SECONDS = 1.0
"""Silence before a prompt that lacks its echo or line start, or a question without ``(Y/n)``, is believed."""

PROMPT = re.compile(r"(?:^|\n)([A-Za-z0-9][A-Za-z0-9.\-]*>) ?\Z")  # fact 1.2, [INF]
PROMPT_TWICE = re.compile(r"(?:^|\n)([A-Za-z0-9][A-Za-z0-9.\-]*>) ?\n\1 ?\Z")
QUESTION = re.compile(r"\(Y/[nN]\)")  # fact 5.3 [MEM]; that it wants a capital Y is sourced ([S13b])
OTHER_QUESTION = re.compile(r"[(\[]\s*(?:y|yes)\s*/\s*(?:n|no)\s*[)\]]|--\s*more\s*--", re.IGNORECASE)
UNWORDED_QUESTION = re.compile(r"[?)] *\Z")
YES = "Y"

_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-_]?")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_TAIL = 8192

Sight = Literal["more", "done", "question", "odd"]


class Shell:
    """One open shell, one command at a time. A shell in doubt is closed, never used again."""

    def __init__(self, server: str, intake: Intake, prompt: str) -> None:
        self._server = server
        self._intake = intake
        self._prompt = prompt
        self._alone = re.compile(rf"(?:^|\n){re.escape(prompt)} *\Z")

    @property
    def closed(self) -> bool:
        """The shell has ended."""
        return self._intake.ended

    def close(self) -> None:
        """End the shell."""
        self._intake.close()

    async def ask(self, command: Command, *, seconds: float) -> str:
        """Type a command and return its answer without echo and prompt; give a capital Y where it asks for one.

        Raises LostError, AnswerTimeout, UnexpectedAnswer.
        """
        try:
            async with asyncio.timeout(seconds):
                return await self._converse(command)
        except TimeoutError as error:
            self.close()
            raise self._silence(command, seconds) from error
        except BaseException:
            self.close()
            raise

    async def _converse(self, command: Command) -> str:
        self._type(command.typed)
        if await self._watch(command, command.typed, may_ask=command.confirms) == "done":
            return clean(self._answer(command.typed).encode())
        asked = self._answer(command.typed)
        self._type(YES)
        await self._watch(command, YES, may_ask=False)
        return clean((asked + YES + "\n" + self._answer(YES)).encode())

    def _type(self, typed: str) -> None:
        self._intake.forget()
        self._intake.send(typed)

    async def _watch(self, command: Command, typed: str, *, may_ask: bool) -> Sight:
        """Wait for the prompt, or for a question that may be answered."""
        while True:
            if self._intake.overflown:
                raise too_long(self._server, command)
            if self._intake.ended:
                raise LostError(started=True)
            sight, patience = self._look(typed, may_ask=may_ask)
            if await self._intake.more(patience):
                continue
            if sight == "odd":
                raise unexpected(self._server, command, self._answer(typed))
            return sight

    def _look(self, typed: str, *, may_ask: bool) -> tuple[Sight, float | None]:
        """Say what the text so far looks like, and how long it must stay that way to be believed."""
        text = _plain(self._intake.text[-_TAIL:])
        echoed = _after_echo(_plain(self._intake.text[:_TAIL]), self._prompt, typed)
        if text.rstrip(" ").endswith(self._prompt):
            sure = echoed is not None and self._alone.search(text)
            return "done", SETTLE_SECONDS if sure else DOUBT_SECONDS
        last = text.rstrip().rpartition("\n")[2]
        if may_ask and echoed is not None and QUESTION.search(text):
            return "question", QUESTION_SECONDS
        if OTHER_QUESTION.search(last):
            return "odd", DOUBT_SECONDS
        if may_ask and echoed is not None and UNWORDED_QUESTION.search(last):
            return "question", DOUBT_SECONDS
        return "more", None

    def _answer(self, typed: str) -> str:
        """Return what stands between the echo and the prompt."""
        text = _plain(self._intake.text)
        rest = _after_echo(text, self._prompt, typed)
        body = text if rest is None else rest
        bare = body.rstrip(" ")
        return bare.removesuffix(self._prompt) if bare.endswith(self._prompt) else body

    def _silence(self, command: Command, seconds: float) -> NodeError:
        """A line that was begun and not ended is a question that is not known; otherwise the answer is late."""
        text = self._answer(command.typed)
        if text.strip() and not text.endswith("\n"):
            return unexpected(self._server, command, text)
        return late(self._server, command, seconds)


async def open_shell(server: str, line: Line, *, seconds: float) -> Shell:
    """Open a shell and learn its prompt. Raises RefusedError, DeniedError, LostError, NotACms."""
    intake: Intake | None = None
    try:
        async with asyncio.timeout(seconds):
            intake = await line.open(None)
            prompt = await _learn(intake)
        if prompt is None:
            raise LostError(started=False) if line.closed else DeniedError("the shell ended")
        return Shell(server, intake, prompt)
    except TimeoutError as error:
        if intake is None:
            line.abort()  # a channel that is neither opened nor refused
        else:
            intake.close()
        raise NotACms(
            server,
            f"its shell shows no prompt of a CMS within {seconds:g} s",
            hint="check the address, and that the user is an administrator of the MMP",
        ) from error


async def _learn(intake: Intake) -> str | None:
    """Return the prompt: it must come again, alone, for an empty line, so that a greeting is not taken for it.

    None when the shell ends.
    """
    typed = False
    while not intake.ended:
        text = _plain(intake.text[-_TAIL:])
        if typed and (twice := PROMPT_TWICE.search(text)):
            return twice[1]
        found = PROMPT.search(text)
        patience = None if found is None else DOUBT_SECONDS if typed else SETTLE_SECONDS
        if await intake.more(patience) or found is None:
            continue
        if typed:
            return found[1]
        intake.send("")
        typed = True
    return None


def _plain(raw: bytes | bytearray) -> str:
    """Text without terminal control, for looking at; what is handed on goes through ``clean``."""
    return _CONTROL.sub("", _ESCAPES.sub("", raw.decode("utf-8", "replace")))


def _after_echo(text: str, prompt: str, typed: str) -> str | None:
    """Return what follows the echo of ``typed``; None when it is not there, or not yet.

    Blanks do not count: line editors break long lines, and may draw the prompt again before the echo.
    """
    rest = text.lstrip()
    while rest.startswith(prompt):
        rest = rest.removeprefix(prompt).lstrip()
    at = 0
    for letter in "".join(typed.split()):
        while at < len(rest) and rest[at].isspace():
            at += 1
        if at == len(rest) or rest[at] != letter:
            return None
        at += 1
    _, end, after = rest[at:].partition("\n")
    return after if end else None
