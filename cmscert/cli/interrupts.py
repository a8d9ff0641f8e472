"""Ctrl-C while a run is under way: once is soft, twice is hard. Before and after a run it simply ends the process.

A run that is told to end (SIGTERM), or whose terminal is closed (SIGHUP, unless nohup said that it does not matter),
stops as softly: dying in the middle of a step would leave a service stopped. Before a run both are what Ctrl-C is.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SOFT = (
    "stopping when the services in hand are done, and a database cluster that is taken down is built up; "
    "Ctrl-C again stops now"
)
HARD = "stopping now"


class Stops(Protocol):
    """What can be stopped softly, then hard."""

    def soft(self) -> None:
        """Finish what is in hand."""
        ...

    def hard(self) -> None:
        """End now."""
        ...


@contextmanager
def interruptible(stop: Stops, say: Callable[[str], None]) -> Iterator[None]:
    """Let signals stop a run while the block runs. Needs a running event loop in the main thread."""
    loop = asyncio.get_running_loop()
    pressed = 0

    def press() -> None:
        nonlocal pressed
        pressed += 1
        if pressed == 1:
            say(SOFT)
            stop.soft()
        else:
            say(HARD)
            stop.hard()

    numbers = _heeded()
    for number in numbers:
        loop.add_signal_handler(number, press)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


@contextmanager
def cancellable() -> Iterator[None]:
    """Let other signals end the block as Ctrl-C does, so that lock files do not stay on servers.

    Needs a running event loop in the main thread.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    numbers = [number for number in _heeded() if number != signal.SIGINT]
    signalled: list[bool] = []

    def end() -> None:
        signalled.append(True)
        if task is not None:
            task.cancel()

    for number in numbers:
        loop.add_signal_handler(number, end)
    try:
        yield
    except asyncio.CancelledError:
        if signalled:
            raise KeyboardInterrupt from None
        raise
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def until_signalled(run: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Await something that ends by itself once the event it is given is set: a signal sets it."""
    stopped = asyncio.Event()
    for number in _heeded():
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await run(stopped)


def _heeded() -> tuple[signal.Signals, ...]:
    return tuple(each for each in SIGNALS if each != signal.SIGHUP or signal.getsignal(each) != signal.SIG_IGN)
