"""How a typed line falls into words."""

from __future__ import annotations

import re

_WORD = re.compile(r'(?:[^\s"]|"[^"]*")+')


class UnbalancedError(ValueError):
    """A double quote was opened and never closed."""


def split(line: str) -> list[str]:
    """Split a line at blanks; double quotes keep blanks together and may start inside a word (``OU:"My Desk"`` [MEM]).

    Nothing else is special: a backslash, a semicolon or a bar is an ordinary character. Raises UnbalancedError.
    """
    if line.count('"') % 2:
        raise UnbalancedError(line)
    return [word.replace('"', "") for word in _WORD.findall(line)]


def joined(words: list[str]) -> str:
    """Return the words as one line with single blanks, as prefixes of faults are compared with it."""
    return " ".join(words)


def starts(words: list[str], prefix: str) -> bool:
    """Tell whether a typed command starts with the words of a prefix (the last word may be cut short)."""
    return joined(words).startswith(prefix)
