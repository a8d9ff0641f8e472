"""The files of the material store: which there are, and how one is read, written and removed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from cmscert.errors import InputError, LockHeld
from cmscert.issue.disk import Disk, is_part, put
from cmscert.pki.armour import refuse

ENDINGS: Final = {"index": ".json", "issuers": ".json", "keys": ".key", "certificates": ".crt", "requests": ".csr"}
"""The store's folders, and how the names in them end."""

LOCK_SECONDS: Final = 10.0
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_HASHED: Final = ("keys", "certificates", "requests")


class Places:
    """Files by folder and name. Raises InputError for what is damaged, or cannot be read or written."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self.path = path
        self._disk = disk
        self._lock = FileLock(path / "lock", mode=0o600, thread_local=False)

    def check(self) -> None:
        """Refuse links and other people's folders where the store lies, or would lie."""
        for folder in (self.path, *(self.path / kind for kind in ENDINGS)):
            with self._told(folder):
                try:
                    self._disk.is_open(folder)
                except FileNotFoundError:
                    continue

    @contextmanager
    def held(self, seconds: float) -> Iterator[None]:
        """Keep other runs from writing; may be taken again within. Raises LockHeld."""
        with self._told(self.path):
            self._disk.make_folder(self.path)
        with self._told(self.path / "lock"):
            try:
                self._lock.acquire(timeout=seconds)
            except Timeout:
                message = f"another run of cmscert writes to the material store {self.path}"
                raise LockHeld(message, hint="wait until it has ended; a run that died keeps nothing locked") from None
        try:
            yield
        finally:
            self._lock.release()

    def file(self, kind: str, name: str) -> Path:
        """Return where a file lies. Raises ValueError for a name that none can have."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot be the name of a file in the store")
        return self.path / kind / f"{name}{ENDINGS[kind]}"

    def names(self, kind: str) -> list[str]:
        """Return the names in a folder, without their endings; foreign files are left out."""
        ending = ENDINGS[kind]
        found = [name.removesuffix(ending) for name in self._listed(kind) if name.endswith(ending)]
        return [name for name in found if _NAME.fullmatch(name)]

    def read(self, kind: str, name: str) -> bytes:
        """Return a file's bytes."""
        path = self.file(kind, name)
        with self._told(path):
            return self._disk.read(path)

    def read_hashed(self, kind: str, digest: str) -> bytes:
        """Return the bytes of a file that is named by them."""
        content = self.read(kind, digest)
        if hashlib.sha256(content).hexdigest() != digest:
            raise self.damaged(kind, digest, "its content is not what was written")
        return content

    def write(self, kind: str, name: str, content: bytes) -> None:
        """Put a file in its place, whole or not at all."""
        path = self.file(kind, name)
        with self._told(path):
            self._disk.make_folder(path.parent)
            put(self._disk, path, content)

    def write_hashed(self, kind: str, content: bytes) -> str:
        """Put a file in its place and return the hash that names it."""
        digest = hashlib.sha256(content).hexdigest()
        self.write(kind, digest, content)
        return digest

    def sweep(self, used: set[tuple[str, str]]) -> tuple[str, ...]:
        """Remove the files that are not in ``used`` (folder, name), and what killed runs left; return what went."""
        gone = [(kind, name) for kind in ENDINGS for name in self._listed(kind) if is_part(name)]
        gone += [
            (kind, f"{name}{ENDINGS[kind]}")
            for kind in _HASHED
            for name in self.names(kind)
            if (kind, name) not in used
        ]
        for kind, name in gone:
            path = self.path / kind / name
            with self._told(path):
                self._disk.remove(path)
        return tuple(f"{kind}/{name}" for kind, name in gone)

    def damaged(self, kind: str, name: str, why: str) -> InputError:
        """Make the error for a file that is not what it was."""
        return _damaged(self.file(kind, name), why)

    def _listed(self, kind: str) -> list[str]:
        with self._told(self.path / kind):
            return self._disk.names(self.path / kind)

    @contextmanager
    def _told(self, path: Path) -> Iterator[None]:
        """Say what the operating system refuses in our words."""
        try:
            yield
        except FileNotFoundError:
            raise _damaged(path, "it is missing") from None
        except OSError as error:
            hint = "check the folder, its owner and permissions, and the space on its disk"
            why = (error.strerror or "unknown reason").lower()
            raise refuse(str(path), "store", f"the material store cannot be used: {why}", hint=hint) from None


def _damaged(path: Path, why: str) -> InputError:
    hint = "restore the store from a backup; or remove the certificate's index, and renew obtains it anew"
    return refuse(str(path), "store-damaged", f"the material store is damaged: {why}", hint=hint)
