"""Lock files of runs in a node's store: who changes the fleet now. Nothing that they hold is trusted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from cmscert.errors import NodeError
from cmscert.model.marker import Marker, is_marker, read_marker
from cmscert.model.readings import Known, Unread
from cmscert.observe.asking import together, why
from cmscert.transport.session import ReadSession

MOST: Final = 16
"""Lock files that are read on one node; there is one at most, unless somebody plays tricks."""


async def read_markers(session: ReadSession, listed: Iterable[str]) -> tuple[Known[Marker] | Unread, ...]:
    """Read the lock files among the names of a store, all at once. One that is gone meanwhile is left out."""
    names = [name for name in listed if is_marker(name)]
    found = await together(*(_read(session, name) for name in names[:MOST]))
    more = [Unread(f"{len(names) - MOST} more lock files were not read")] if len(names) > MOST else []
    return (*(reading for reading in found if reading is not None), *more)


async def _read(session: ReadSession, name: str) -> Known[Marker] | Unread | None:
    try:
        content = await session.read_file(name)
    except NodeError as error:
        return Unread(f"{name}: {why(error)}")
    return None if content is None else read_marker(name, content)
