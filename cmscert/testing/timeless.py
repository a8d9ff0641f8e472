"""An event loop whose time passes only while everybody waits: hours take no time, and waiting for ever is an error."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, TypeVar

from cmscert.testing.databases import NOW

T = TypeVar("T")


class WaitsForEver(AssertionError):
    """Every task waits, and no timer is set that could end that."""


class _Selector(selectors.SelectSelector):
    """Looks, and lets time pass instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.elapsed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; without that, it is later at once."""
        ready = super().select(0)
        if not ready and timeout is None:
            raise WaitsForEver("every task waits for another")
        if not ready and timeout is not None and timeout > 0:
            self.elapsed += timeout
        return ready


class TimelessLoop(asyncio.SelectorEventLoop):
    """For code that opens no connection. What would run in a thread is done at once."""

    def __init__(self) -> None:
        self.clockwork = _Selector()
        super().__init__(self.clockwork)

    def time(self) -> float:
        """Return the seconds that have passed in this loop."""
        return self.clockwork.elapsed

    def run_in_executor(self, executor: object, func: Callable[..., T], *args: object) -> asyncio.Future[T]:
        """Do it here and now."""
        del executor
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it is whoever awaits the thread who has to deal with it
            done.set_exception(error)
        return done

    def clock(self) -> datetime:
        """Tell aware UTC: ``NOW`` when the loop was made."""
        return NOW + timedelta(seconds=self.clockwork.elapsed)


def run_timeless(loop: TimelessLoop, work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end and close the loop. Raises WaitsForEver."""
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(work)
