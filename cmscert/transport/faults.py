"""Sentences for what can go wrong after the log-in."""

from __future__ import annotations

from cmscert.errors import AnswerTimeout, ConnectionLost, UnexpectedAnswer
from cmscert.mmp.replies import clean
from cmscert.model.commands import Command, Effect

SHOWN = 200
READ_AGAIN = "run plan again: it reads what the server holds"


def late(server: str, command: Command, seconds: float) -> AnswerTimeout:
    """No answer in time."""
    doubt = "; it may or may not have been carried out" if command.effect is Effect.CHANGE else ""
    hint = READ_AGAIN if doubt else "try again, or raise ssh.timeout.answer"
    return AnswerTimeout(server, f"no answer to '{command}' within {seconds:g} s{doubt}", hint=hint)


def too_long(server: str, command: Command) -> UnexpectedAnswer:
    """More text than an answer can be."""
    return UnexpectedAnswer(
        server, f"the answer to '{command}' is longer than 1 MiB", hint="check that the address is that of an MMP"
    )


def unexpected(server: str, command: Command, text: str) -> UnexpectedAnswer:
    """The command waits for input that nobody foresaw; nothing was typed."""
    shown = "(not shown: may hold passwords)" if command.masks_reply else repr(clean(text.encode()).strip()[-SHOWN:])
    return UnexpectedAnswer(
        server,
        f"'{command}' asks something unknown, and nothing was answered: {shown}",
        hint="log in by hand and see what it wants, then run plan again",
    )


def lost(server: str, what: str) -> ConnectionLost:
    """The connection ended while something was read, and so did the next one."""
    return ConnectionLost(
        server, f"the connection ended during {what}, twice", hint="see whether the server is up, then try again"
    )


def gone_silent(server: str, what: str) -> ConnectionLost:
    """The node stopped answering altogether while it was read."""
    return ConnectionLost(
        server,
        f"it stopped answering during {what}",
        hint="see whether the server is up, then try again, or raise ssh.timeout.keepalive",
    )


def lost_in_change(server: str, what: str, *, started: bool) -> ConnectionLost:
    """The connection ended around a change, which is never sent again."""
    if not started:
        return ConnectionLost(
            server,
            f"the connection ended before {what}, twice; it was not carried out",
            hint="see whether the server is up, then run plan again",
        )
    return ConnectionLost(
        server, f"the connection ended during {what}; it may or may not have been carried out", hint=READ_AGAIN
    )
