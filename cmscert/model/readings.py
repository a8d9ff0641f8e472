"""Known, Absent, Unread: three different readings (law 2).

``Absent`` was looked for and is not there. ``Unread`` could not be looked at, and says why; nothing is ever removed,
stopped or restarted on the strength of something unread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Known(Generic[T_co]):
    """It was read, and this is it."""

    value: T_co
    kind: Literal["known"] = "known"


@dataclass(frozen=True, slots=True)
class Absent:
    """It was looked for and is not there."""

    kind: Literal["absent"] = "absent"


@dataclass(frozen=True, slots=True)
class Unread:
    """It could not be looked at; ``why`` is one sentence for a person."""

    why: str
    kind: Literal["unread"] = "unread"


Reading = Known[T_co] | Absent | Unread
ABSENT = Absent()
NOT_ASKED = Unread("not asked")
