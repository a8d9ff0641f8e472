"""``cmscert``, with a stop-watch at its journal: ``python -m tests.bench.applying_client RESULT WORDS…``."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from cmscert.apply.journal import Journal
from cmscert.cli.main import main
from cmscert.model.events import Event

spent = {"seconds": 0.0, "events": 0.0}
_append = Journal.append


def _timed(self: Journal, event: Event) -> None:
    began = time.perf_counter()
    try:
        _append(self, event)
    finally:
        spent["seconds"] += time.perf_counter() - began
        spent["events"] += 1


if __name__ == "__main__":
    Journal.append = _timed  # type: ignore[method-assign]  # the stop-watch
    code = main(sys.argv[2:])
    Path(sys.argv[1]).write_text(json.dumps(spent), encoding="utf-8")
    sys.exit(code)
