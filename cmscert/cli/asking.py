"""Asks on the terminal without holding up the connections that are open meanwhile."""

from __future__ import annotations

import asyncio
import sys
from typing import TextIO

YES = frozenset({"yes", "y"})


async def agrees(question: str, *, err: TextIO, stdin: TextIO | None = None) -> bool:
    """Put a question and wait for a line; only yes is yes, the end of input is no."""
    source = sys.stdin if stdin is None else stdin
    err.write(question)
    err.flush()
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(source.fileno(), ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(source.fileno())
    return source.readline().strip().lower() in YES
