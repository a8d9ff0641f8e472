"""Who holds a fleet: as text and as a JSON document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.text import Text

from cmscert.apply.lock import LocalLock
from cmscert.errors import NodeError
from cmscert.model.marker import NodeLock
from cmscert.reports.documents import made
from cmscert.reports.paper import draw, words
from cmscert.reports.plain import stamp
from cmscert.reports.plan_document import Document

if TYPE_CHECKING:
    from rich.console import RenderableType

LOCKS_FORMAT = "cmscert.locks/1"


def locks_document(
    locks: tuple[LocalLock, ...],
    servers: tuple[NodeLock, ...] | None,
    failures: Mapping[str, NodeError],
    *,
    released: tuple[str, ...] = (),
    removed: tuple[NodeLock, ...] = (),
) -> Document:
    """Write down locks. ``servers``: None when no server was asked."""
    return made(
        {
            "format": LOCKS_FORMAT,
            "locks": [_local_row(lock) for lock in locks],
            "servers": None if servers is None else [_server_row(lock) for lock in servers],
            "unread": [{"server": name, "why": error.message} for name, error in sorted(failures.items())],
            "released": list(released),
            "removed": [_server_row(lock) for lock in removed],
        }
    )


def _local_row(lock: LocalLock) -> Document:
    record = lock.record
    return {
        "fleet": lock.fleet,
        "state": local_state(lock),
        "owner": record.owner if record else None,
        "machine": record.machine if record else None,
        "pid": record.pid if record else None,
        "run": record.run if record else None,
        "command": record.command if record else None,
        "since": stamp(record.since) if record else None,
    }


def _server_row(lock: NodeLock) -> Document:
    marker = lock.marker
    return {
        "server": lock.server,
        "file": lock.file,
        "state": node_state(lock),
        "why": lock.why,
        "fleet": marker.fleet if marker else None,
        "owner": marker.owner if marker else None,
        "machine": marker.machine if marker else None,
        "run": marker.run if marker else None,
        "command": marker.command if marker else None,
        "since": stamp(marker.since) if marker else None,
        "until": stamp(marker.until) if marker else None,
    }


def local_state(lock: LocalLock) -> str:
    """Say whether a process holds a lock, died with it, or only left lock files on servers."""
    if lock.held:
        return "held"
    return "left" if lock.record is not None and lock.record.ended else "dead"


def node_state(lock: NodeLock) -> str:
    """Say whether a lock file counts."""
    if lock.marker is None:
        return "unreadable"
    return "expired" if lock.expired else "held"


LOCAL_WORDS = {"held": "holds it now", "dead": "died with it", "left": "ended, and may have left lock files on servers"}


def locks_text(
    locks: tuple[LocalLock, ...],
    servers: tuple[NodeLock, ...] | None,
    *,
    released: tuple[str, ...] = (),
    removed: tuple[NodeLock, ...] = (),
    width: int = 80,
    colour: bool = False,
) -> str:
    """Draw locks."""
    parts: list[RenderableType] = [
        *(words(f"released: {fleet}", "good") for fleet in released),
        *(words(f"removed: {lock.server}  {lock.file}", "good") for lock in removed),
        *(line for lock in locks for line in _local_lines(lock)),
        *(line for lock in servers or () for line in node_lines(lock)),
    ]
    if not locks and not servers:
        where = "Nobody holds a lock on this machine" + (", nor on a server." if servers is not None else ".")
        parts.append(words(where))
    return draw(*parts, width=width, colour=colour)


def _local_lines(lock: LocalLock) -> Iterator[Text]:
    state = local_state(lock)
    yield words(
        f"{lock.fleet}: {lock.record.told if lock.record else 'a process that does not say who it is'}", "title"
    )
    yield words(f"  {LOCAL_WORDS[state]}", "warning" if state == "held" else "plain")


def node_lines(lock: NodeLock) -> Iterator[Text]:
    """Draw a lock file on a server."""
    marker = lock.marker
    yield words(f"{lock.server}: {lock.file}", "server")
    if marker is None:
        yield words(f"  {lock.why}", "error")
        return
    yield words(f"  {marker.owner} on {marker.machine} since {_when(marker.since)} (cmscert {marker.command})")
    if lock.expired:
        yield words(f"  expired at {_when(marker.until)}: it counts no more")
    else:
        yield words(f"  counts until {_when(marker.until)} by the server's clock", "warning")


def _when(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
