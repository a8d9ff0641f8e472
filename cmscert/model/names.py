"""Names: releases and slots."""

from __future__ import annotations

import re
from dataclasses import dataclass

_RELEASE = re.compile(r"(?<![\d.])(\d{1,2})\.(\d{1,2})(?:[.\d]*)")


@dataclass(frozen=True, slots=True, order=True)
class Release:
    """A CMS release; rules depend on major and minor only."""

    major: int
    minor: int

    @classmethod
    def parse(cls, text: str) -> Release | None:
        """Find the first ``major.minor`` in a text; None when there is none."""
        found = _RELEASE.search(text)
        return cls(int(found[1]), int(found[2])) if found else None

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


def service_of(slot: str) -> str:
    """Return the service that a slot belongs to: ``webbridge3/https`` belongs to ``webbridge3``."""
    return slot.partition("/")[0]
