"""``status --watch``: looks at a fleet again and again. One login a round: nothing is kept open in between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Never

from cmscert.errors import CmscertError


async def watch(
    look: Callable[[], Awaitable[str]],
    show: Callable[[str], None],
    failed: Callable[[CmscertError], str],
    *,
    every: float,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> Never:
    """Show what a look tells, wait, look again; ends by being cancelled.

    ``look``: reads and draws. ``failed``: draws an error, such as an inventory that is being edited. ``every``: seconds
    between the end of a look and the next, so nothing is sent more often. The first look raises what it raises.
    """
    show(await look())
    while True:
        await sleep(every)
        try:
            text = await look()
        except CmscertError as error:
            text = failed(error)
        show(text)
