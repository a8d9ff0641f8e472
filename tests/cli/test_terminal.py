from __future__ import annotations

import asyncio
import io
import os
import signal
import sys

import pytest

from cmscert.cli.asking import agrees
from cmscert.cli.interrupts import HARD, SOFT, interruptible


@pytest.mark.parametrize(
    ("typed", "answer"), [("yes\n", True), ("Y\n", True), ("no\n", False), ("\n", False), ("yesterday\n", False)]
)
async def test_only_yes_is_yes(typed: str, answer: bool) -> None:  # noqa: FBT001 - a table
    """The question waits for a line; anything but yes is no."""
    reader, writer = os.pipe()
    err = io.StringIO()
    with os.fdopen(reader) as source, os.fdopen(writer, "w") as keyboard:
        asking = asyncio.create_task(agrees("Apply? ", err=err, stdin=source))
        await asyncio.sleep(0)
        keyboard.write(typed)
        keyboard.flush()
        assert await asking is answer
    assert err.getvalue() == "Apply? "


async def test_end_of_input_is_no() -> None:
    """Whoever goes away did not say yes."""
    reader, writer = os.pipe()
    os.close(writer)
    with os.fdopen(reader) as source:
        assert not await agrees("Apply? ", err=io.StringIO(), stdin=source)


class Recorded:
    """Notes how it was stopped."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.event = asyncio.Event()

    def soft(self) -> None:
        """Note it."""
        self.calls.append("soft")
        self.event.set()

    def hard(self) -> None:
        """Note it."""
        self.calls.append("hard")
        self.event.set()


async def test_once_is_soft_twice_is_hard() -> None:
    """The first signal finishes what is in hand, the second ends now; both are said."""
    stop, said = Recorded(), list[str]()
    with interruptible(stop, said.append):
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)
            await stop.event.wait()
            stop.event.clear()

    assert stop.calls == ["soft", "hard"]
    assert said == [SOFT, HARD]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler or sys.platform == "win32"
