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
    """Who gives up waiting takes no place with it, whether called in already or not."""
    pace = Pace(first=1)
    async with pace:
        early = asyncio.ensure_future(pace.__aenter__())
        late = asyncio.ensure_future(pace.__aenter__())
        await asyncio.sleep(0)
        early.cancel()
    late.cancel()
    assert pace.busy == 1
    await asyncio.gather(early, late, return_exceptions=True)
    assert pace.busy == 0
    async with asyncio.timeout(1), pace:
        assert pace.busy == 1


async def test_growth_lets_in() -> None:
    """A limit that grows calls in who waits."""
    pace = Pace(first=1)
    async with pace:
        waiting = asyncio.ensure_future(pace.__aenter__())
        await asyncio.sleep(0)
        pace.accepted()
        await asyncio.wait_for(waiting, 1)
        assert pace.busy == 2


def test_a_node_that_refuses_twice_beside_as_many_is_not_asked_for_more() -> None:
    """What it opened is the most from then on, however many it accepts later."""
    pace = Pace()
    for _ in range(3):
        pace.accepted()
    pace.refused()
    pace.refused()
    for _ in range(20):
        pace.accepted()
    assert (pace.limit, pace.narrow) == (3, False)


def test_a_node_of_one_channel_shows_at_the_second_refusal() -> None:
    """The first one beside one other may be a hurry that passes, and is asked for again at once."""
    pace = Pace()
    pace.accepted()
    pace.refused()
    assert (pace.limit, pace.narrow) == (2, False)
    pace.left()
    pace.refused(beside=1)
    assert (pace.limit, pace.narrow) == (1, True)


async def test_room_for_something_else() -> None:
    """Whoever needs a channel for files waits for a command to end, and commands leave that place free."""
    pace = Pace()
    pace.accepted()
    pace.accepted()
    waiting, gone = (asyncio.ensure_future(pace.make_room(60)) for _ in range(2))
    await asyncio.sleep(0)
    assert pace.limit == 1
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    pace.left()
    await asyncio.wait_for(waiting, 1)


async def test_room_where_no_command_is_under_way() -> None:
    """Then there is only time to wait for."""
    pace = Pace()
    await asyncio.wait_for(pace.make_room(0), 1)
    assert pace.limit == 2
