"""PEM as people really save it: blocks with their lines, whatever stands around them.

CRLF and lone CR, byte order marks, UTF-16 (Windows Notepad's "Unicode"), indentation, text around blocks, and no line
end between ``-----END CERTIFICATE-----`` and the next ``-----BEGIN`` ([S21]: bundles are made with ``copy a + b c``).
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
from dataclasses import dataclass, field

from cmscert.errors import Fault, InputError

MARKER = re.compile(rb"-----(BEGIN|END) ([A-Z0-9.# ]{1,64})-----")
HEADERS = re.compile(rb"\A\s*(?:[A-Za-z0-9-]+:[^\n]*\n(?:[ \t][^\n]*\n)*)+")
SPACE = re.compile(rb"\s+")
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
MAX_BYTES = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One PEM block. ``line``: of its BEGIN, from 1. ``content``: decoded, b"" where ``wrong`` says what is wrong.

    ``lines``: the block as it stands, needed for keys encrypted the old way (``Proc-Type: 4,ENCRYPTED``).
    """

    label: str
    line: int
    content: bytes = field(default=b"", repr=False)
    lines: bytes = field(default=b"", repr=False)
    headers: bool = False
    wrong: str | None = None

    @property
    def is_key(self) -> bool:
        """Whether this is a private key, by its label."""
        return self.label.endswith("PRIVATE KEY")


def refuse(file: str, reason: str, message: str, *, line: int | None = None, hint: str | None = None) -> InputError:
    """Make the error for one fault of a file."""
    return InputError((Fault(file=file, line=line, reason=reason, message=message),), hint=hint)


def plain(content: bytes, file: str) -> bytes:
    """Return the text of a file with LF line ends and without byte order mark; refuse empty and huge ones."""
    if not content.strip(b"\0\t\r\n\x0b\x0c "):
        raise refuse(file, "empty-file", "the file is empty")
    if len(content) > MAX_BYTES:
        raise refuse(file, "too-large", f"the file has {len(content)} bytes, more than certificates or keys ever need")
    if content.startswith(UTF_16):
        content = content.decode("utf-16", errors="replace").encode()
    return content.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def scan(text: bytes) -> tuple[Block, ...]:
    """Find every PEM block, whole or not, in one pass over the markers."""
    blocks: list[Block] = []
    begin: re.Match[bytes] | None = None
    line, counted, begin_line = 1, 0, 1
    for marker in MARKER.finditer(text):
        line += text.count(b"\n", counted, marker.start())
        counted = marker.start()
        if marker[1] == b"BEGIN":
            if begin is not None:
                blocks.append(_unfinished(begin, begin_line, f"another block begins at line {line}"))
            begin, begin_line = marker, line
        elif begin is None:
            wrong = f"the END line of {_label(marker)} has no BEGIN line before it: the file is cut short at its top"
            blocks.append(Block(label=_label(marker), line=line, wrong=wrong))
        else:
            blocks.append(_block(text, begin, begin_line, marker))
            begin = None
    if begin is not None:
        blocks.append(_unfinished(begin, begin_line, "the file ends"))
    return tuple(blocks)


def _label(marker: re.Match[bytes]) -> str:
    return marker[2].decode("ascii").strip()


def _unfinished(begin: re.Match[bytes], line: int, event: str) -> Block:
    label = _label(begin)
    return Block(label=label, line=line, wrong=f"the {label} block is cut short: {event} before its END line")


def _block(text: bytes, begin: re.Match[bytes], line: int, end: re.Match[bytes]) -> Block:
    label = _label(begin)
    if _label(end) != label:
        return Block(label=label, line=line, wrong=f"the {label} block ends with the END line of {_label(end)}")
    body = text[begin.end() : end.start()]
    headers = HEADERS.match(body)
    encoded = SPACE.sub(b"", body[headers.end() :] if headers else body)
    try:
        content = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return Block(label=label, line=line, wrong=f"the base64 text of the {label} block is damaged or cut short")
    if not content:
        return Block(label=label, line=line, wrong=f"the {label} block is empty")
    lines = text[begin.start() : end.end()] + b"\n"
    return Block(label=label, line=line, content=content, lines=lines, headers=headers is not None)
