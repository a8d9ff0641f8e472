"""Reads a fleet in this process as ``cmscert plan`` does, and says as JSON how that went.

``python reading_client.py INVENTORY [PARALLEL]``. Told in seconds: ``wall`` (from the first connection to the last
log-out), ``stall`` (the longest time in which the event loop came to nothing else), ``connect`` (each log-in, without
the wait for its turn), ``over`` (by server, when it was let go of), ``failures`` (by server). In KiB: ``before`` and
``most``, the memory before the first connection and at its most.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from time import perf_counter
from typing import Any

from cmscert.app.fleet import PARALLEL
from cmscert.app.inventory import choose
from cmscert.app.plan import look
from cmscert.app.ports import live_ports

TICK = 0.001


async def _tick(stalls: list[float]) -> None:
    """Note how much later than asked for this task is woken."""
    while True:
        before = perf_counter()
        await asyncio.sleep(TICK)
        stalls.append(perf_counter() - before - TICK)


async def main(inventory: Path, parallel: int) -> dict[str, Any]:
    """Read, and measure."""
    live = live_ports()
    connects: list[float] = []
    over: dict[str, float] = {}
    stalls: list[float] = [0.0]

    @asynccontextmanager
    async def reader(login: Any, *rest: Any) -> AsyncIterator[Any]:  # noqa: ANN401 - handed on as they come
        began = perf_counter()
        try:
            async with live.reader(login, *rest) as session:
                connects.append(perf_counter() - began)
                yield session
        finally:
            over[login.server] = perf_counter() - begun

    chosen = choose(inventory, now=datetime.now(UTC))
    ticker = asyncio.create_task(_tick(stalls))
    before = memory()
    begun = perf_counter()
    sighted = await look(chosen, chosen.desired, replace(live, reader=reader), parallel=parallel)
    wall = perf_counter() - begun
    ticker.cancel()
    failures = {name: error.message for name, error in sighted.failures.items()}
    return {
        "wall": wall,
        "stall": max(stalls),
        "connect": connects,
        "over": over,
        "failures": failures,
        "before": before,
        "most": memory(),
    }


def memory() -> int:
    """Return the most memory so far, in KiB."""
    return getrusage(RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    wanted = int(sys.argv[2]) if len(sys.argv) > 2 else PARALLEL
    sys.stdout.write(json.dumps(asyncio.run(main(Path(sys.argv[1]), wanted))) + "\n")
