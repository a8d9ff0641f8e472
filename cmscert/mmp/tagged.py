"""Screens of services that come several to a node, told apart by a tag: ``loadbalancer`` and ``trunk`` (before 3.0).

How such a screen looks is unknown ([UNK]), so several shapes are taken: blocks headed by ``Tag : edge`` or by the tag
alone, one block without a heading, and lines like ``auth edge edge.key edge.crt trust.crt``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_HEADING: Final = re.compile(r"(?:tag|name|load ?balancer|trunk) ?:? [\"']?([A-Za-z0-9_.-]+)[\"']?:?", re.IGNORECASE)
_BARE_HEADING: Final = re.compile(r"([A-Za-z0-9_-]+) ?:?")
_AUTH: Final = re.compile(
    r"(?:(?:load ?balancer|trunk) )?auth ?:? ([A-Za-z0-9_.-]+) ([^\s:]+\.[^\s:]+) ([^\s:]+\.[^\s:]+)(?: ([^\s:]+))?",
    re.IGNORECASE,
)
_NOT_TAGS: Final = frozenset({"enabled", "disabled", "none", "auth", "true", "false"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The rows that belong to one tag; ``tag`` is None when the screen tells none."""

    tag: str | None
    rows: tuple[str, ...]


def block_of(lines: Sequence[str], tag: str | None) -> Block:
    """Return the rows for a tag, or for the only one there is.

    Raises ValueError, without any text of the screen, when it cannot be told which rows are meant.
    """
    blocks = _blocks(lines)
    loose = blocks.pop(None, [])
    if not blocks:
        return Block(tag=tag, rows=tuple(loose))
    if tag is None and len(blocks) == 1:
        tag = next(iter(blocks))
    if tag is None:
        raise ValueError("shows several, and nothing says which tag is meant")
    if tag not in blocks:
        raise ValueError("does not show the tag that is asked for")
    return Block(tag=tag, rows=tuple(blocks[tag]))


def _blocks(lines: Sequence[str]) -> dict[str | None, list[str]]:
    blocks: dict[str | None, list[str]] = {None: []}
    heading: str | None = None
    for line in lines:
        plain = " ".join(line.split())
        auth = _AUTH.fullmatch(plain)
        if auth is not None:
            named, key, certificate, trust = auth.groups()
            rows = [f"Key file : {key}", f"Certificate file : {certificate}"]
            blocks.setdefault(named, []).extend(rows if trust is None else [*rows, f"Trust bundle : {trust}"])
            continue
        found = _HEADING.fullmatch(plain) or _BARE_HEADING.fullmatch(plain)
        if found is not None and found[1].lower() not in _NOT_TAGS:
            heading = found[1]
        elif plain:
            blocks.setdefault(heading, []).append(line)
    return blocks
