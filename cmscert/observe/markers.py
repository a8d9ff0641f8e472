"""Lock files of runs in a node's store: who changes the fleet now. Nothing that they hold is trusted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cmscert.errors import NodeError
from cmscert.mmp.commands import DATE
from cmscert.mmp.replies import read_date
from cmscert.model.marker import Marker, is_marker, read_marker
from cmscert.model.readings import Known, Unread
from cmscert.observe.asking import Ear, together, why
from cmscert.transport.session import ReadSession

MOST: Final = 16
"""Lock files that are read on one node; there is one at most, unless somebody plays tricks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """The lock files of one node, by name. ``now``: the node's time, or ours where it does not tell; aware UTC."""

    server: str
    now: datetime
    files: dict[str, Known[Marker] | Unread]


async def read_markers(session: ReadSession, listed: Iterable[str]) -> dict[str, Known[Marker] | Unread]:
    """Read the lock files among the names of a store, all at once. One that is gone meanwhile is left out."""
    names = [name for name in listed if is_marker(name)]
    found = await together(*(_read(session, name) for name in names[:MOST]))
    read = {name: reading for name, reading in zip(names, found, strict=False) if reading is not None}
    return read | dict.fromkeys(names[MOST:], Unread("there are too many lock files to read this one"))


async def look_for_markers(session: ReadSession, clock: Callable[[], datetime]) -> Marks:
    """Read only the lock files of a node, and its time. ``clock``: ours, aware UTC. Raises NodeError."""
    skew = await read_skew(session, clock) or timedelta()
    files = await read_markers(session, await session.list_files())
    return Marks(server=session.server, now=clock() + skew, files=files)


async def read_skew(session: ReadSession, clock: Callable[[], datetime]) -> timedelta | None:
    """Ask a node for its time; return how far it is ahead of ours, None when it does not tell ([MEM] ``date``)."""
    heard = await Ear(session, clock).hear(DATE)
    told = read_date(heard.value.reply.text) if isinstance(heard, Known) else heard
    return told.value - heard.value.moment if isinstance(heard, Known) and isinstance(told, Known) else None


async def _read(session: ReadSession, name: str) -> Known[Marker] | Unread | None:
    try:
        content = await session.read_file(name)
    except NodeError as error:
        return Unread(f"{name}: {why(error)}")
    return None if content is None else read_marker(name, content)
