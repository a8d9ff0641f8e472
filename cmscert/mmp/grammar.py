"""How a command line is put together, so that no value can end it or start a second one.

What is known of the quoting is little: several words in one value are written ``OU:"My Desk"`` ([MEM], fact 1.4), and
``CN:.*.example.com`` goes through bare (T-10). How a quote inside quotes would be escaped, and whether the line editor
acts on other characters, is unknown; so what could end a quotation or be acted on is refused, never escaped.
"""

from __future__ import annotations

import re

from cmscert.model.commands import Command, Effect

MAX_LINE = 4000
"""Characters in one command line; a line longer than 4095 bytes is cut by an ordinary terminal driver."""

_BARE = re.compile(r"[A-Za-z0-9._:/,@*+=%~-]+")
_QUOTABLE = re.compile(r"[ -~]+")
_REFUSED = frozenset('"\\`$!?')
_ATTRIBUTE = re.compile(r"([A-Za-z]+:)(.+)")


def fault_of(word: str) -> str | None:
    """Say why a word cannot be typed, in half a sentence without the word itself; None when it can be."""
    if not word:
        return "it is empty"
    if not _QUOTABLE.fullmatch(word):
        return "it holds a line break, a control character, or a character that is not ASCII"
    refused = sorted(_REFUSED.intersection(word))
    if refused:
        return f"it holds {' '.join(refused)}, and how the server reads that is not known"
    if word != word.strip():
        return "it begins or ends with a blank"
    return None


def quoted(word: str) -> str:
    """Return a word as it is typed: bare, or in double quotes when it holds blanks or signs like ``;``.

    Raises ValueError for a word that cannot be typed safely. The word is not in the message: it may be a stranger's.
    """
    fault = fault_of(word)
    if fault is not None:
        raise ValueError(f"a word cannot be typed on the server's command line: {fault}")
    if _BARE.fullmatch(word):
        return word
    attribute = _ATTRIBUTE.fullmatch(word)
    if attribute is not None and not attribute[2].startswith(" "):
        return f'{attribute[1]}"{attribute[2]}"'
    return f'"{word}"'


def command(*words: str, effect: Effect, confirms: bool = False, masks_reply: bool = False) -> Command:
    """Build a command line of words; each stays one word, whatever is in it.

    Raises ValueError when a word cannot be typed safely, when there is no word, or when the line is too long.
    """
    if not words:
        raise ValueError("a command has at least one word")
    typed = " ".join(quoted(word) for word in words)
    if len(typed) > MAX_LINE:
        raise ValueError(f"a command line has at most {MAX_LINE} characters, this one has {len(typed)}")
    return Command(typed=typed, effect=effect, confirms=confirms, masks_reply=masks_reply)
