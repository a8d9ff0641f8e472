"""An error in words. Needs no terminal library, so that the shortest way out stays short."""

from __future__ import annotations

from cmscert.errors import CmscertError, InputError
from cmscert.reports.plain import counted, safe

RED = "\x1b[31m"
PLAIN = "\x1b[0m"


def error_text(error: CmscertError, *, colour: bool = False) -> str:
    """Draw an error: one line for each fault, then what to do next."""
    if isinstance(error, InputError) and len(error.faults) != 1:
        head = counted(len(error.faults), "fault")
        lines = [f"{_mark(colour=colour)} {head}", *(f"  {safe(str(fault))}" for fault in error.faults)]
    else:
        lines = [f"{_mark(colour=colour)} {_kept(error.message)}"]
    if error.hint:
        lines.append(f"hint: {_kept(error.hint)}")
    return "\n".join(lines) + "\n"


def _mark(*, colour: bool) -> str:
    return f"{RED}error:{PLAIN}" if colour else "error:"


def _kept(text: str) -> str:
    """Keep the line ends that we put in; everything else that a terminal would obey is spelled out."""
    return "\n".join(safe(line) for line in text.split("\n"))
