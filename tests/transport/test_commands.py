"""Commands over exec channels."""

from __future__ import annotations

import asyncio

import pytest

from cmscert.errors import AnswerTimeout, ConnectionLost, UnexpectedAnswer


async def test_answer_of_a_command(node, session_to, read):
    """A command that reads is answered with its cleaned text, and the session knows its server's name."""
    node.answers["version"] = b"\x1b[1m3.9\x1b[0m\r\n"
    async with session_to(node) as session:
        reply = await session.ask(read("version"))
    assert (reply.text, reply.command.typed, session.server) == ("3.9\n", "version", "core1")
    assert reply.seconds >= 0
