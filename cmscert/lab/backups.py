"""``backup snapshot``: two files in the store (facts section 2), with the rows marked so that a test finds them."""

from __future__ import annotations

import json
import re
from typing import Final

from cmscert.lab.answers import Outcome, usage
from cmscert.lab.database_node import DatabaseNode

_BASENAME: Final = re.compile(r"[A-Za-z0-9_-]+")
_HEADER: Final = b"cmscert lab backup\n"
_ROW: Final = "row "


def snapshot(node: DatabaseNode, basename: str) -> Outcome:
    """Save what the database holds as ``<basename>.bak`` and ``<basename>.json``."""
    if not _BASENAME.fullmatch(basename):
        return usage("backup", "snapshot <name>")
    if node.spec.faults.store_full:
        return Outcome(lines=["FAILURE: no space left"])
    rows = "".join(f"{_ROW}{row}\n" for row in node.rows).encode()
    index = {"hostname": node.spec.hostname, "release": node.spec.release, "rows": len(node.rows)}

    def effect() -> None:
        node.files[f"{basename}.bak"] = _HEADER + rows
        node.files[f"{basename}.json"] = json.dumps(index).encode() + b"\n"

    # [S1] looks for "ready for download"; the rest of the sentence is unknown.
    return Outcome(lines=[f"{basename}.bak ready for download"], effect=effect)


def rows_in(content: bytes) -> frozenset[str]:
    """Return the rows that a ``.bak`` file holds; none for another file."""
    if not content.startswith(_HEADER):
        return frozenset()
    return frozenset(line.removeprefix(_ROW) for line in content.decode().splitlines() if line.startswith(_ROW))
