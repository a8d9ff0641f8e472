"""Writes an inventory as YAML that reads back as the same values, whatever stands in them, with remarks as comments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

WIDTH = 118
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_/-]*(?:\.[A-Za-z0-9_/-]+)*|\d{1,3}(?:\.\d{1,3}){3}")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})
Path = tuple[str, ...]


def emit(document: Mapping[str, Any], remarks: Mapping[Path, tuple[str, ...]], header: tuple[str, ...]) -> str:
    """Return the text of a document of mappings, lists, texts and whole numbers.

    ``remarks``: by path of keys, written in front of what stands there. ``header``: comments at the top.
    """
    lines = [*map(_comment, header)]
    for key, value in document.items():
        lines += [*(() if key == "fleet" else ("",)), *_entry(key, value, (key,), remarks, 0)]
    return "\n".join(lines).lstrip("\n") + "\n"


def _entry(key: str, value: Any, path: Path, remarks: Mapping[Path, tuple[str, ...]], depth: int) -> Iterator[str]:  # noqa: ANN401 - any value of a document
    blank = "  " * depth
    for remark in remarks.get(path, ()):
        yield blank + _comment(remark)
    flow = f"{blank}{scalar(key)}: {_flow(value)}"
    inside = any(other[: len(path)] == path and len(other) > len(path) for other in remarks)
    if not isinstance(value, dict) or not value or (depth and not inside and len(flow) <= WIDTH):
        yield flow
        return
    yield f"{blank}{scalar(key)}:"
    for name, each in value.items():
        yield from _entry(name, each, (*path, name), remarks, depth + 1)


def _flow(value: Any) -> str:  # noqa: ANN401 - any value of a document
    if isinstance(value, dict):
        return "{" + ", ".join(f"{scalar(key)}: {_flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return scalar(value)


def scalar(value: str | int) -> str:
    """Write a text or a number; a text that YAML or an editor might take for something else is quoted."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if _PLAIN.fullmatch(value) and value.casefold() not in _WORDS:
        return value
    return '"' + "".join(map(_escaped, value)) + '"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    if " " <= char <= "~":
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 1 << 8 else f"\\u{code:04x}" if code < 1 << 16 else f"\\U{code:08x}"


def _comment(text: str) -> str:
    """Write a remark as one line that is a comment to its end."""
    return "# " + "".join(char if " " <= char <= "~" else "?" for char in text)
