"""The reference as ``cmscert explain`` shows it: the pages of ``docs/reference``, which a wheel carries with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from textwrap import wrap

from cmscert.errors import Fault, InputError

PAGES = {"guards.md": "guard", "reasons.md": "reason", "notices.md": "notice", "exit-codes.md": "exit code"}

_SECTION = re.compile(r"^### `([^`\n]+)`\n(.*?)(?=^#|\Z)", re.MULTILINE | re.DOTALL)
_ROW = re.compile(r"^\| (\d+) \| ([^|]+?) \| ([^|]+?) \|$", re.MULTILINE)
_MORE = re.compile(r"\s\[How\]\([^)]*\)\.")
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One name of the reference. ``kind``: guard, reason, notice or exit code. ``text``: Markdown without links."""

    kind: str
    name: str
    text: str


def entries() -> tuple[Entry, ...]:
    """Return everything that can be explained, page by page. Raises InputError when a page is not there."""
    return tuple(entry for page, kind in PAGES.items() for entry in _entries(_page(page), kind))


def _page(name: str) -> str:
    """Read a page: packed into a wheel, or of the checkout."""
    packed = resources.files("cmscert") / "cli" / "reference" / name
    if packed.is_file():
        return packed.read_text(encoding="utf-8")
    try:
        return (Path(__file__).parents[2] / "docs" / "reference" / name).read_text(encoding="utf-8")
    except OSError as error:
        fault = Fault(message=f"{name} of the reference is not where it should be", reason="installation")
        raise InputError([fault], hint="install cmscert anew") from error


def _entries(page: str, kind: str) -> Iterator[Entry]:
    page = _LINK.sub(r"\1", _MORE.sub("", page)).replace("**", "")
    for name, text in _SECTION.findall(page):
        yield Entry(kind=kind, name=name, text=text.strip())
    paragraphs = page.split("\n\n")
    for code, means, does in _ROW.findall(page):
        more = [each for each in paragraphs if re.search(rf"\b[Cc]ode (?:is )?{code}\b", each)]
        told = [f"{means[:1].upper()}{means[1:]}.", f"What to do: {does}.", *more]
        yield Entry(kind=kind, name=code, text="\n\n".join(told))


def drawn(entry: Entry, width: int) -> str:
    """Draw an entry: its kind and name, and its text in the width that is there."""
    parts = [f"{entry.kind} {entry.name}"]
    for block in entry.text.split("\n\n"):
        if block.startswith(("```", "|")):
            parts.append(block)
        else:
            parts.append("\n".join(_block(block, width)))
    return "\n\n".join(parts) + "\n"


def _block(block: str, width: int) -> Iterator[str]:
    """Wrap a paragraph, or each item of a list; what goes on in the next line belongs to the item."""
    for item in re.split(r"\n(?=(?:-|\d+\.) )", block):
        indent = re.match(r"(?:(?:-|\d+\.) )?", item)
        yield from wrap(
            " ".join(item.split()),
            width,
            subsequent_indent=" " * (indent.end() if indent else 0),
            break_long_words=False,
            break_on_hyphens=False,
        )
