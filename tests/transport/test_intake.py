"""What arrives on one channel."""

from __future__ import annotations

import asyncio

from cmscert.transport.intake import Intake


async def test_news_before_anybody_waits() -> None:
    """What came before it was waited for is news once."""
    intake = Intake()
    intake.data_received(b"a", None)
    assert await intake.more(None)
    assert not await intake.more(0.001)
    assert bytes(intake.text) == b"a"


async def test_news_while_somebody_waits() -> None:
    """What comes while somebody waits ends the wait, without a time limit and with one."""
    intake = Intake()
    for patience in (None, 5.0):
        waiting = asyncio.ensure_future(intake.more(patience))
        await asyncio.sleep(0)
        intake.data_received(b"a", 1)
        assert await waiting
