"""The issuer ``directory``: people or another system sign what lies in one folder, and put the result into another.

What comes back is known by its public key, so any file name will do.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cmscert.errors import InputError
from cmscert.files import Unreadable, read_regular
from cmscert.issue.checking import find_leaf
from cmscert.issue.issuers import Asked, Issued, Outstanding
from cmscert.pki.certificate import Certificate
from cmscert.pki.chain import build_chain
from cmscert.pki.pem import read_certificates

LARGEST: Final = 1_000_000
MOST_FILES: Final = 10_000
_MOST_NOTES: Final = 5
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_FOR_OTHERS: Final = 0o644  # a request is public, and somebody else has to read it


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryIssuer:
    """Hands requests out and picks certificates up. ``folder``: what paths are told relative to."""

    name: str
    requests: Path
    certificates: Path
    folder: Path = Path()

    async def obtain(self, asked: Asked) -> Issued | Outstanding:
        """Put the request into its folder, unless it is there, and look for the certificate. Raises IssuerError."""
        return await asyncio.to_thread(self._obtain, asked)

    def withdraw(self, asked: Asked) -> None:
        """Take the request back once its certificate is in the store, so that nobody signs it again."""
        path = self.requests / f"{asked.stem}.csr"
        if _content(path) == asked.csr:
            with suppress(OSError):
                path.unlink()

    def _obtain(self, asked: Asked) -> Issued | Outstanding:
        request = asked.request
        path = self.requests / f"{asked.stem}.csr"
        self._hand_out(asked, path)
        pile, notes = self._pick_up(asked)
        leaf = find_leaf(pile, request.spki_sha256, asked.at)
        if leaf is not None and leaf.not_after > asked.at:
            return Issued(chain=(leaf, *build_chain(leaf, pile)), notes=notes)
        told = self._told(path)
        why = f"a certificate for {asked.label}: sign {told} and put it into {self._told(self.certificates)}"
        if leaf is not None:
            why += f" (the one that is there expired on {leaf.not_after:%Y-%m-%d})"
        return Outstanding(where=told, why=why, notes=notes)

    def _hand_out(self, asked: Asked, path: Path) -> None:
        try:
            if path.is_symlink() or _content(path) != asked.csr:
                self.requests.mkdir(parents=True, exist_ok=True)
                _replace(path, asked.csr)
        except OSError as error:
            why = (error.strerror or "unknown reason").lower()
            message = f"the request cannot be written to {self._told(path)}: {why}"
            raise asked.fault(self.name, message, hint="check the folder and its permissions") from None

    def _pick_up(self, asked: Asked) -> tuple[list[Certificate], tuple[str, ...]]:
        """Read every certificate of the folder; files that hold none are left aside, and named."""
        try:
            self.certificates.mkdir(parents=True, exist_ok=True)
            paths = sorted(path for path in self.certificates.iterdir() if path.is_file())
        except OSError as error:
            why = (error.strerror or "unknown reason").lower()
            message = f"the folder {self._told(self.certificates)} cannot be read: {why}"
            raise asked.fault(self.name, message, hint="check the folder and its permissions") from None
        pile: list[Certificate] = []
        notes: list[str] = []
        if len(paths) > MOST_FILES:
            notes.append(f"{self._told(self.certificates)}: only the first {MOST_FILES} files are looked at")
        for path in paths[:MOST_FILES]:
            try:
                pile += read_certificates(read_regular(path, limit=LARGEST), file=self._told(path))
            except InputError as error:
                notes.append(f"left aside: {error.faults[0]}")
            except Unreadable as error:
                notes.append(f"left aside: {self._told(path)}: {error}")
        more = len(notes) - _MOST_NOTES
        return pile, (*notes[:_MOST_NOTES], *((f"left aside: {more} more files",) if more > 0 else ()))

    def _told(self, path: Path) -> str:
        return str(path.relative_to(self.folder) if path.is_relative_to(self.folder) else path)


def _content(path: Path) -> bytes | None:
    try:
        return read_regular(path, limit=LARGEST)
    except Unreadable:
        return None


def _replace(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees it whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with os.fdopen(os.open(part, _FLAGS, _FOR_OTHERS), "wb") as file:
            file.write(content)
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
