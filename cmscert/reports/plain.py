"""Words that reports share, and the second line of defence against control characters from devices.

``cmscert.mmp.replies.clean`` is the first line; a report still never passes on what a terminal would obey.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from cmscert.model.readings import Absent, Known, Reading

MINUTE = 60
DAY = 86_400


def safe(text: str) -> str:
    r"""Make one line of a text: control, format and line-breaking characters are spelled out (``\x1b``, ``\u202e``)."""
    return "".join(char if _harmless(char) else _spelled(char) for char in text)


def _harmless(char: str) -> bool:
    return char == " " or char.isprintable()


def _spelled(char: str) -> str:
    if char in "\n\t":
        return " "
    code = ord(char)
    if code < 0x100:  # noqa: PLR2004 - the last code that two hex digits can name
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"  # noqa: PLR2004 - same, four digits


def safe_document(value: object) -> object:
    """Apply ``safe`` to every string of a JSON-like value.

    Not for plan files, whose names must come back as they were; JSON escapes what a terminal would obey.
    """
    match value:
        case str():
            return safe(value)
        case Mapping():
            return {str(key): safe_document(inner) for key, inner in value.items()}
        case list() | tuple():
            return [safe_document(inner) for inner in value]
        case _:
            return value


def moment(at: datetime) -> str:
    """Write a moment as ``2026-11-23 20:30 UTC``."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def day(at: datetime) -> str:
    """Write a moment's day as ``2026-11-23``."""
    return at.astimezone(UTC).strftime("%Y-%m-%d")


def stamp(at: datetime) -> str:
    """Write a moment for machines: ISO 8601 in UTC with Z, exact to the microsecond."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def duration(seconds: float) -> str:
    """Write a duration as people say it: ``15 s``, ``2 min 10 s``."""
    whole = round(seconds)
    minutes, rest = divmod(whole, MINUTE)
    if not minutes:
        return f"{rest} s"
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def days_left(until: datetime, now: datetime) -> int:
    """Count whole days from now; negative when it is over."""
    return int((until - now).total_seconds() // DAY)


def left(until: datetime, now: datetime) -> str:
    """Say how long something still holds: ``8 days left``, ``expired 3 days ago``."""
    if until <= now:
        gone = int((now - until).total_seconds() // DAY)
        return f"expired {counted(gone, 'day')} ago" if gone else "expired today"
    return f"{counted(days_left(until, now), 'day')} left"


def counted(number: int, noun: str) -> str:
    """Write a number with its noun: ``1 step``, ``3 steps``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def listed(words: Iterable[str], *, most: int | None = None) -> str:
    """Join words by commas; beyond ``most`` say how many more there are."""
    every = list(words)
    if most is None or len(every) <= most:
        return ", ".join(every)
    return f"{', '.join(every[:most])} and {len(every) - most} more"


def reading_word(reading: Reading[object]) -> str | None:
    """Say why there is nothing to show, or None when there is something."""
    match reading:
        case Known():
            return None
        case Absent():
            return "none"
        case _:
            return f"not read: {reading.why}"
