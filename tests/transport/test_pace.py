"""How many channels a node is given at once."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from cmscert.transport.pace import Pace


def test_growth() -> None:
    """The limit starts small, grows by one per accepted channel, and halves at a refusal; then it grows slowly."""
    pace = Pace()
    limits = [pace.limit]
    for _ in range(8):
        pace.accepted()
        limits.append(pace.limit)
    assert limits == [2, 3, 4, 5, 6, 7, 8, 8, 8]
    pace.refused()
    assert pace.limit == 4
    for _ in range(4):
        pace.accepted()
    assert pace.limit == 4
    pace.accepted()
    assert pace.limit == 5


@given(st.lists(st.booleans()))
def test_limit_has_bounds(outcomes: list[bool]) -> None:
    """Whatever happens, at least one channel and at most eight are allowed."""
    pace = Pace()
    for accepted in outcomes:
        pace.accepted() if accepted else pace.refused()
        assert 1 <= pace.limit <= 8


async def test_places() -> None:
    """No more than the limit are busy at once, and all get their turn."""
    pace, most, served = Pace(first=3), 0, []

    async def work(number: int) -> None:
        nonlocal most
        async with pace:
            most = max(most, pace.busy)
            await asyncio.sleep(0)
            served.append(number)

    await asyncio.gather(*(work(number) for number in range(20)))
    assert (most, sorted(served), pace.busy) == (3, list(range(20)), 0)


async def test_cancelled_while_waiting() -> None:
    """Who gives up waiting takes no place with it."""
    pace = Pace(first=1)
    async with pace:
        waiting = asyncio.ensure_future(pace.__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(1), pace:
        assert pace.busy == 1
