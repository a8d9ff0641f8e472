"""DNS-01: a record that proves control of a name, and the program that publishes it.

The program is called as ``PROGRAM present DOMAIN NAME VALUE``, and ``cleanup`` with the same words in the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from cmscert.issue.programs import SECONDS, Program, ProgramFailed
from cmscert.model.secret import Secret

Act = Literal["present", "cleanup"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRecord:
    """A TXT record that a CA looks for. ``domain``: what it proves; ``name``: where it stands, without a last dot.

    Several values may have to stand under one name: a wildcard and its parent share it.
    """

    domain: str
    name: str
    value: str


class NotPublished(Exception):
    """A record could not be published, or cannot be seen; in our words, without a secret."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Publisher(Protocol):
    """Something that puts TXT records into the DNS. Both raise NotPublished."""

    async def present(self, record: TextRecord) -> None:
        """Publish a record beside whatever stands there."""
        ...

    async def cleanup(self, record: TextRecord) -> None:
        """Remove that one record."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """Publishes through a program. ``seconds``: how long one call may take; otherwise as in ``Program``."""

    words: tuple[str, ...]
    folder: Path
    environment: Mapping[str, Secret[str]] = field(default_factory=dict, repr=False)
    seconds: float = SECONDS

    async def present(self, record: TextRecord) -> None:
        """Call it to publish. Raises NotPublished."""
        await self._call("present", record)

    async def cleanup(self, record: TextRecord) -> None:
        """Call it to remove. Raises NotPublished."""
        await self._call("cleanup", record)

    async def _call(self, act: Act, record: TextRecord) -> None:
        told = {
            "CMSCERT_ACTION": act,
            "CMSCERT_DOMAIN": record.domain,
            "CMSCERT_NAME": record.name,
            "CMSCERT_VALUE": record.value,
        }
        program = Program(
            words=(*self.words, act, record.domain, record.name, record.value),
            folder=self.folder,
            told=told,
            environment=self.environment,
            seconds=self.seconds,
        )
        try:
            await program.output()
        except ProgramFailed as error:
            raise NotPublished(f"{act} for {record.domain}: {error.message}", error.hint) from None
