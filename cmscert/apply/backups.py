"""Where the backups of a run go: ``<run dir>/backups/<server>/<file>``, as they come off the servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from cmscert.apply.disk import make_folders, replacing
from cmscert.errors import JournalError
from cmscert.transport.session import Sink

Keep = Callable[[str, str], AbstractContextManager[Sink]]
"""(server, file) to what takes the parts of the file; it is on disk when the block ends, and gone when that fails.

Both raise JournalError.
"""


def backup_folder(run: Path) -> Keep:
    """Keep backups in the folder of a run. They hold private keys ([INF] from [S14]): 0600, in folders of 0700."""

    @contextmanager
    def keep(server: str, name: str) -> Iterator[Sink]:
        folder = run / "backups" / server
        path = folder / name
        if path.parent.parent != run / "backups" or path.name != name or name in {".", ".."} or server in {".", ".."}:
            raise JournalError(f"{name!r} of {server!r} is no name for a backup")
        try:
            make_folders(run / "backups", folder)
            with replacing(path) as file:
                yield file.write
        except OSError as error:
            raise JournalError(
                f"{path}: the backup cannot be written: {error.strerror or error}",
                hint="make room, or name another place with --state-dir",
            ) from error

    return keep
