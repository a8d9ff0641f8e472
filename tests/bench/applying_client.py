"""``cmscert``, with a stop-watch at its journal: ``python -m tests.bench.applying_client RESULT WORDS…``."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from cmscert.apply.journal import Journal
from cmscert.cli.main import main
from cmscert.model.events import Event

spent = {"seconds": 0.0, "events": 0.0, "waited": 0.0, "syncs": 0.0}
_write, _on_disk = Journal.write, Journal.on_disk
waiting = 0
since = 0.0


def _timed(self: Journal, event: Event) -> None:
    """Count how long all else waits for a line to be written."""
    began = time.perf_counter()
    try:
        _write(self, event)
    finally:
        spent["seconds"] += time.perf_counter() - began
        spent["events"] += 1


async def _awaited(self: Journal) -> None:
    """Count how long anybody waits for the disk, while others go on."""
    global waiting, since  # noqa: PLW0603 - one process, one run
    waiting, since = waiting + 1, since if waiting else time.perf_counter()
    try:
        await _on_disk(self)
    finally:
        waiting -= 1
        spent["waited"] += 0.0 if waiting else time.perf_counter() - since
        spent["syncs"] += 1


if __name__ == "__main__":
    Journal.write, Journal.on_disk = _timed, _awaited  # type: ignore[method-assign]  # the stop-watches
    code = main(sys.argv[2:])
    Path(sys.argv[1]).write_text(json.dumps(spent), encoding="utf-8")
    sys.exit(code)
