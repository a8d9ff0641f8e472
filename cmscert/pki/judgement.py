"""What the judges of a chain say."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """``broken``: why OpenSSL refuses the chain. ``unusual``: why a stricter client would. None: it does not."""

    broken: str | None = None
    unusual: str | None = None
