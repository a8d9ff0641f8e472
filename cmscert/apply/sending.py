"""Sends the lines of one action, each written down before its first byte leaves (laws 4 and 6)."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Literal

from cmscert.apply.questions import at_once, behind
from cmscert.apply.saved import Save
from cmscert.errors import JournalError, StoreRefused, UnexpectedAnswer
from cmscert.mmp.lines import Line
from cmscert.mmp.replies import is_unknown_command, read_match, read_verify, verdict
from cmscert.model.commands import Command, Effect, Reply
from cmscert.model.events import CommandSent, Event, ReplyReceived
from cmscert.model.plan import (
    Action,
    CheckFiles,
    Gate,
    PutFile,
    Rebind,
    RemoveFiles,
    Restart,
    RestoreFile,
    SaveFile,
)
from cmscert.model.readings import Known
from cmscert.pki.keys import PrivateKey
from cmscert.transport.session import WriteSession

Transfer = tuple[Literal["get", "put", "remove"], str]


def digest(content: bytes) -> str:
    """SHA-256 in hex, as in ``StoredFile``."""
    return hashlib.sha256(content).hexdigest()


@dataclass(slots=True, kw_only=True)
class Attempt:
    """How far the lines of an action came.

    ``sent``: lines of which bytes may have left. ``put``: SHA-256 by name of what was uploaded, noted before it was.
    ``notes``: what could not be proven and does no harm.
    """

    lines: tuple[Line, ...]
    sent: int = 0
    put: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def binds_several(self) -> bool:
        """Whether more than one slot is bound while a service is down."""
        return sum(line.binding is not None for line in self.lines) > 1

    @property
    def at_end(self) -> bool:
        """Whether the last line is out: only its answer can be missing."""
        return self.sent == len(self.lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What is uploaded. ``contents``: public bytes by ``sha256:…``. ``keys``: by the hash of their public half.

    ``save``: keeps what is about to be overwritten on a server, where that is public.
    """

    contents: Mapping[str, bytes]
    keys: Mapping[str, PrivateKey]
    save: Save | None = None

    def fault(self, action: PutFile) -> str | None:
        """Say why the bytes of an upload cannot be had; None when they can."""
        kind, _, name = action.content.partition(":")
        if kind == "spki":
            return None if name in self.keys else f"the key for {action.file} is not at hand"
        content = self.contents.get(action.content)
        if content is None or digest(content) != name:
            return f"the content of {action.file} is not at hand as the plan names it"
        return None

    def bytes_of(self, action: PutFile) -> bytes:
        """Return the bytes of an upload; a key's are made here and now, and kept nowhere."""
        kind, _, name = action.content.partition(":")
        return self.keys[name].pem() if kind == "spki" else self.contents[action.content]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scribe:
    """Writes down what one step sends and receives. ``on_disk`` returns when all that was emitted is on disk."""

    step: str
    server: str
    emit: Callable[[Event], None]
    clock: Callable[[], datetime]
    on_disk: Callable[[], Awaitable[None]] = at_once

    async def sending(self, *lines: Line) -> None:
        """Note the intention to send lines, and what happened before it; all that is on disk on return."""
        for line in lines:
            self.emit(CommandSent(at=self.clock(), step=self.step, server=self.server, typed=line.text))
        await self.on_disk()

    def received(self, line: Line, shown: str, seconds: float) -> None:
        """Note the answer."""
        self.emit(
            ReplyReceived(
                at=self.clock(), step=self.step, server=self.server, typed=line.text, shown=shown, seconds=seconds
            )
        )


async def send(
    session: WriteSession,
    action: Action,
    attempt: Attempt,
    *,
    material: Material,
    scribe: Scribe,
    together: bool = False,
) -> None:
    """Send all lines of an action, in order; stop at the first that fails.

    ``together``: what is bound while a service is down is sent at once. Several channels on one connection are sourced
    ([S1]), changes side by side are not, so whoever asks for that has to look whether all took effect. Raises
    NodeError; UnexpectedAnswer for a FAILURE line, an unknown command, or a check that says no. ``attempt`` tells how
    far it came. Every line is written down here, so a session that notes questions is not needed.
    """
    session = behind(session)
    moves = _transfers(action)
    held = b""
    for line, *more in _in_turn(attempt.lines, together=together):
        if line.command is not None:
            await _told_together(session, action, (line, *more), attempt, scribe)
            continue
        await scribe.sending(line)
        attempt.sent += 1
        begun = scribe.clock()
        held = await _moved(session, next(moves), held, action, attempt, material)
        scribe.received(line, "", max(0.0, (scribe.clock() - begun).total_seconds()))


def _in_turn(lines: tuple[Line, ...], *, together: bool) -> Iterator[tuple[Line, ...]]:
    """Yield lines that are sent together; most stand alone."""
    for binds, found in groupby(lines, key=lambda line: line.binding is not None):
        if binds and together:
            yield tuple(found)
        else:
            yield from ((line,) for line in found)


async def _told_together(
    session: WriteSession, action: Action, lines: tuple[Line, ...], attempt: Attempt, scribe: Scribe
) -> None:
    """Send commands at once, one or several; every answer is waited for and written down."""
    await scribe.sending(*lines)
    attempt.sent += len(lines)
    commands = (line.command for line in lines if line.command is not None)
    replies = await asyncio.gather(*(_told(session, command) for command in commands), return_exceptions=True)
    for line, reply in zip(lines, replies, strict=True):
        if isinstance(reply, Reply):
            scribe.received(line, reply.shown, reply.seconds)
    for reply in replies:
        if isinstance(reply, BaseException):
            raise reply
        _judge(session.server, action, reply, attempt)


async def _told(session: WriteSession, command: Command) -> Reply:
    return await (session.ask(command) if command.effect is Effect.READ else session.do(command))


async def _moved(
    session: WriteSession, move: Transfer, held: bytes, action: Action, attempt: Attempt, material: Material
) -> bytes:
    """Carry out one transfer; returns the bytes that a following upload takes."""
    verb, name = move
    if verb == "remove":
        await session.remove_file(name)
    elif verb == "get":
        got = await session.read_file(name)
        if got is None:
            raise StoreRefused(session.server, f"there is no file {name} to copy")
        if isinstance(action, SaveFile) and material.save is not None:
            _saved(session.server, name, got, material.save)
        return got
    else:
        content = material.bytes_of(action) if isinstance(action, PutFile) else held
        attempt.put[name] = digest(content)
        await session.put_file(name, content)
    return b""


def _saved(server: str, name: str, content: bytes, save: Save) -> None:
    try:
        save(server, name, content)
    except JournalError as error:  # nothing is overwritten yet: a step that fails, not a run that breaks off
        raise StoreRefused(server, error.message, hint=error.hint) from error


def _transfers(action: Action) -> Iterator[Transfer]:
    """Yield the file transfers of an action, in the order of its lines that hold no command."""
    match action:
        case PutFile():
            yield "put", action.file
        case SaveFile():
            yield "get", action.file
            yield "put", action.saved_as
        case RestoreFile():
            yield "get", action.saved_as
            yield "put", action.file
        case RemoveFiles():
            for name in action.files:
                yield "remove", name
        case Rebind() | Restart():
            for restore in action.restores:
                yield from _transfers(restore)
        case CheckFiles() | Gate():
            return


def _judge(server: str, action: Action, reply: Reply, attempt: Attempt) -> None:
    failures = verdict(reply.text).failures
    if failures:
        raise UnexpectedAnswer(server, f"{reply.command.typed!r} was answered with FAILURE: {failures[0]}")
    if isinstance(action, CheckFiles):
        _judge_check(server, reply, attempt)
    elif is_unknown_command(reply.text):
        raise UnexpectedAnswer(server, f"{reply.command.typed!r} is not known to this server")


def _judge_check(server: str, reply: Reply, attempt: Attempt) -> None:
    """The wording of both checks is unknown ([MEM]): a clear no fails, what is unclear is proven by the service."""
    read = read_match if attempt.sent == 1 else read_verify
    said = read(reply.text)
    if said == Known(value=False):
        raise UnexpectedAnswer(server, f"the server says no to {reply.command.typed!r}")
    if not isinstance(said, Known):
        attempt.notes.append(f"the answer to {reply.command.typed!r} is not understood")
