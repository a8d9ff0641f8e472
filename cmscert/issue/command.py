"""The issuer ``command``: any program that makes a certificate of a request (step, vault, certreq, certbot, lego …).

The program gets an argument list, never a shell; a folder of its own that only its user can look into; an environment
that holds what programs need to run, and what the inventory declares. Private keys never come near it.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cmscert.errors import InputError
from cmscert.files import Unreadable, read_regular
from cmscert.issue.issuers import Asked, Issued
from cmscert.issue.programs import LARGEST, SECONDS, Program, ProgramFailed
from cmscert.model.secret import Secret
from cmscert.pki.certificate import Certificate
from cmscert.pki.pem import read_certificates

PLACEHOLDERS: Final = ("csr", "certificate", "chain", "name", "names")
_PLACEHOLDER: Final = re.compile(r"\{(" + "|".join(PLACEHOLDERS) + r")\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandIssuer:
    """Runs a program for each certificate.

    ``run``: program and arguments; ``{csr}``, ``{certificate}`` and ``{chain}`` stand for paths in the private folder,
    ``{name}`` for the certificate's name and server, ``{names}`` for its names with commas between. Without
    ``{certificate}`` the program prints the certificate. ``folder``: where it runs. ``seconds``: how long it may take.
    """

    name: str
    run: tuple[str, ...]
    folder: Path
    environment: Mapping[str, Secret[str]] = field(default_factory=dict, repr=False)
    seconds: float = SECONDS

    async def obtain(self, asked: Asked) -> Issued:
        """Run the program and read what it made. Raises IssuerError."""
        with tempfile.TemporaryDirectory(prefix="cmscert-", ignore_cleanup_errors=True) as private:
            places = {word: Path(private) / ending for word, ending in _FILES.items()}
            places["csr"].write_bytes(asked.csr)
            program = Program(
                words=self._arguments(asked, places),
                folder=self.folder,
                environment=self.environment,
                seconds=self.seconds,
            )
            try:
                output = await program.output()
            except ProgramFailed as error:
                raise asked.fault(self.name, error.message, hint=error.hint) from None
            return Issued(chain=self._delivered(asked, output, places))

    @property
    def _program(self) -> str:
        return Path(self.run[0]).name

    def _uses(self, word: str) -> bool:
        return any(f"{{{word}}}" in argument for argument in self.run)

    def _arguments(self, asked: Asked, places: Mapping[str, Path]) -> tuple[str, ...]:
        words = {word: str(path) for word, path in places.items()}
        words |= {"name": asked.stem, "names": ",".join(asked.names)}
        return tuple(_PLACEHOLDER.sub(lambda found: words[found[1]], argument) for argument in self.run)

    def _delivered(self, asked: Asked, output: bytes, places: Mapping[str, Path]) -> tuple[Certificate, ...]:
        """Read what was printed or written; a chain that may be there need not be."""
        if not self._uses("certificate"):
            return self._read(asked, output, f"the output of {self._program}")
        found = self._read(asked, self._written(asked, places["certificate"]), places["certificate"].name)
        if self._uses("chain") and os.path.lexists(places["chain"]) and places["chain"].lstat().st_size:
            found += self._read(asked, self._written(asked, places["chain"]), places["chain"].name)
        return found

    def _written(self, asked: Asked, path: Path) -> bytes:
        try:
            return read_regular(path, limit=LARGEST)
        except Unreadable as error:
            message = f"{self._program} ended well, but its {path.name} {error}"
            raise asked.fault(
                self.name, message, hint=f"let it write to the path that {{{path.stem}}} stands for"
            ) from None

    def _read(self, asked: Asked, content: bytes, file: str) -> tuple[Certificate, ...]:
        try:
            return read_certificates(content, file=file)
        except InputError as error:
            message = f"{self._program} ended well, but delivered no certificate: {error.faults[0]}"
            raise asked.fault(self.name, message, hint="run it by hand and look at what it makes") from None


_FILES: Final = {"csr": "request.csr", "certificate": "certificate.pem", "chain": "chain.pem"}
