"""Who held the data when the rebuild of a database cluster began: kept until the new cluster is proven.

``<state dir>/databases/<fleet>-<database>.json``. Leaving a cluster makes its nodes forget who was primary, so a
run that dies after the first ``remove`` is continued with what stands here, whatever the nodes say by then.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from cmscert.apply.disk import make_folders, replacing, sync_folder
from cmscert.errors import Fault, InputError, JournalError
from cmscert.files import Unreadable, read_regular
from cmscert.model.database import FormerPrimary

FORMAT = "cmscert.database/1"
FOLDER = "databases"
LARGEST = 64 * 1024
"""Bytes; a note has about 200."""

_TEXTS = ("format", "fleet", "database", "server", "at", "status")


class Memory:
    """The notes of one fleet."""

    def __init__(self, state_dir: Path, fleet: str) -> None:
        self._state_dir = state_dir
        self._fleet = fleet

    def path(self, database: str) -> Path:
        """Return where the note of a database stands."""
        return self._state_dir / FOLDER / f"{self._fleet}-{database}.json"

    def noted(self, databases: Iterable[str]) -> dict[str, FormerPrimary]:
        """Read the notes of these databases; where there is none, no rebuild is under way.

        Raises InputError for a note that cannot be read: it is never taken for none.
        """
        found: dict[str, FormerPrimary] = {}
        faults: list[Fault] = []
        for database in databases:
            path = self.path(database)
            if not os.path.lexists(path):
                continue
            try:
                found[database] = self._read(read_regular(path, limit=LARGEST), database)
            except Unreadable as error:
                faults.append(_fault(path, f"it {error}"))
            except (ValueError, RecursionError) as error:
                faults.append(_fault(path, str(error)))
        if faults:
            raise InputError(
                faults,
                hint="it says who held the rows when a rebuild began: find that out (the journal in runs/ has it, and "
                "so does the newest backup there), then write it anew; remove it only when no rebuild is under way",
            )
        return found

    def remember(self, former: FormerPrimary) -> None:
        """Write a note; it is on disk on return. Raises JournalError."""
        path = self.path(former.database)
        values = {
            "format": FORMAT,
            "fleet": self._fleet,
            "database": former.database,
            "server": former.server,
            "at": former.at.isoformat(),
            "status": former.status,
        }
        try:
            make_folders(self._state_dir, path.parent)
            with replacing(path) as file:
                file.write(json.dumps(values, indent=2, ensure_ascii=True).encode() + b"\n")
        except OSError as error:
            raise JournalError(
                f"{path}: the note about the primary cannot be written: {error.strerror or error}",
                hint="make room, or name another place with --state-dir",
            ) from error

    def forget(self, database: str) -> None:
        """Remove the note of a database whose cluster is proven; fine when there is none. Raises JournalError."""
        path = self.path(database)
        try:
            path.unlink(missing_ok=True)
            if path.parent.is_dir():
                sync_folder(path.parent)
        except OSError as error:
            raise JournalError(
                f"{path}: the note about the primary cannot be removed: {error.strerror or error}",
                hint="remove it by hand: the cluster is proven",
            ) from error

    def _read(self, content: bytes, database: str) -> FormerPrimary:
        try:
            values = json.loads(content)
        except ValueError as error:
            raise ValueError("it is damaged: not JSON") from error
        if not isinstance(values, dict) or set(values) != set(_TEXTS):
            raise ValueError(f"it is damaged: it must hold {', '.join(_TEXTS)}, and nothing else")
        if not all(isinstance(value, str) and (value or key == "status") for key, value in values.items()):
            raise ValueError("it is damaged: every value must be a text")
        if values["format"] != FORMAT:
            raise ValueError(f"its format is not {FORMAT}: another release of cmscert wrote it")
        if (values["fleet"], values["database"]) != (self._fleet, database):
            raise ValueError(f"it is about database {values['database']} of fleet {values['fleet']}")
        at = datetime.fromisoformat(values["at"])
        if at.tzinfo is None:
            raise ValueError("it is damaged: its moment has no time zone")
        return FormerPrimary(database=database, server=values["server"], at=at, status=values["status"])


def _fault(path: Path, message: str) -> Fault:
    return Fault(file=str(path), message=message, reason="memory")
