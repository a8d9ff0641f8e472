"""Answers: every folder below ``replies/<reader>/`` is a case; a new one needs no Python.

``case.txt``: source, and further arguments; ``reply.txt``: the bytes; ``expected.json``: what a person reads in them.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmscert.mmp import replies
from cmscert.model.readings import Known, Reading

FOLDER = Path(__file__).parent / "replies"
CASES = sorted(FOLDER.glob("*/*/expected.json"))

READERS: dict[str, Callable[..., Reading[Any]]] = {
    "version": replies.read_version,
    "user_expiry": replies.read_user_expiry,
    "match": replies.read_match,
    "verify": replies.read_verify,
    "date": replies.read_date,
    "log_stamp": replies.read_log_stamp,
    "pki_list": replies.read_pki_list,
}


def _note(folder: Path) -> dict[str, str]:
    lines = (folder / "case.txt").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _plain(value: object) -> object:
    if isinstance(value, bool):
        return value
    if isinstance(value, tuple):
        return list(value)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _read(reader: str, raw: bytes, arguments: dict[str, str]) -> object:
    text = replies.clean(raw)
    if reader == "clean":
        return text
    if reader == "verdict":
        said = replies.verdict(text)
        return {"successes": list(said.successes), "failures": list(said.failures)}
    reading = READERS[reader](text, **arguments)
    return (
        {"reading": "known", "value": _plain(reading.value)}
        if isinstance(reading, Known)
        else {"reading": reading.kind}
    )


@pytest.mark.parametrize("expected", CASES, ids=lambda file: f"{file.parent.parent.name}-{file.parent.name}")
def test_reply_is_read_as_a_person_reads_it(expected: Path) -> None:
    """An answer says what a person reads in it, or is unread when a person could not tell."""
    folder = expected.parent
    note = _note(folder)
    assert note.pop("source")

    found = _read(folder.parent.name, (folder / "reply.txt").read_bytes(), note)

    assert json.loads(expected.read_text()) == found


def test_every_reader_has_a_case() -> None:
    """There is no reader that was never tried."""
    assert {*READERS, "clean", "verdict"} == {file.parent.parent.name for file in CASES}


def test_a_failure_makes_a_verdict_fail() -> None:
    """One FAILURE line is enough, silence is not."""
    assert replies.verdict("SUCCESS: a\nFAILURE: b\n").failed
    assert not replies.verdict("").failed


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("Unknown command", True),
        ("\nUnknown command: frobnicate\n", True),
        ("unknown command", True),
        ("", False),
        ("Enabled : true\nUnknown command", False),
    ],
)
def test_an_unknown_command_is_told_by_how_its_answer_begins(text: str, *, unknown: bool) -> None:
    """The literal start of the answer is sourced, the rest of it is not."""
    assert unknown == replies.is_unknown_command(text)


@settings(deadline=None)
@given(st.binary(max_size=2000) | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_a_clean_answer_holds_no_control_character_but_the_line_end(raw: bytes) -> None:
    """What comes out can be shown on any terminal: no C0 or C1 controls, nothing that turns or hides text."""
    text = replies.clean(raw)

    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)
    assert not {unicodedata.bidirectional(sign) for sign in text} & {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI"}
    assert text == replies.clean(text.encode())


_SEQUENCES = st.sampled_from(
    [b"\x1b[", b"\x1b]", b"\x9b", b"\xc2\x9b", b"31m", b"\x07", b"\x1b\\", b"ok", b"\r\n", b"\n", b"\x1b"]
)


@settings(deadline=None)
@given(st.lists(_SEQUENCES, max_size=30).map(b"".join))
def test_no_escape_sequence_takes_a_line_end_with_it(raw: bytes) -> None:
    """However sequences are broken off or nested, the lines stay apart."""
    assert raw.replace(b"\r\n", b"\n").count(b"\n") == replies.clean(raw).count("\n")


def test_plain_text_stays_as_it_is() -> None:
    """Cleaning changes nothing in an ordinary answer."""
    assert replies.clean("Key file : café.key\n\n  x\n".encode()) == "Key file : café.key\n\n  x\n"


def test_long_lines_and_answers_are_cut_and_say_so() -> None:
    """A line keeps 4096 characters and an answer 1 MiB, with a mark where something is missing."""
    line = replies.clean(b"x" * 5000)
    answer = replies.clean(b"ab\n" * 1_000_000)

    assert (len(line), line[-len(replies.CUT) :]) == (replies.MAX_LINE, replies.CUT)
    assert len(answer) <= replies.MAX_ANSWER + len(replies.CUT) + 1
    assert answer.endswith(replies.CUT)
    assert replies.clean(b"x" * replies.MAX_LINE) == "x" * replies.MAX_LINE


@settings(deadline=None)
@given(st.sampled_from(sorted(READERS)), st.text())
def test_any_text_is_read_without_an_exception(reader: str, text: str) -> None:
    """Whatever a server answers, reading it gives a reading, and a verdict never raises."""
    arguments = {"user": "admin"} if reader == "user_expiry" else {}

    assert READERS[reader](text, **arguments).kind in {"known", "absent", "unread"}
    replies.verdict(text)


_CLOCKS = st.lists(
    st.sampled_from(
        ["2026", "0000", "-", "99", "12", "Nov", " ", ":", "T", "Z", "+", "20:33:46", "admin", "local0.info", "\n", "."]
    ),
    max_size=24,
).map("".join)


@settings(deadline=None)
@given(_CLOCKS)
def test_what_looks_like_a_time_is_read_without_an_exception(text: str) -> None:
    """Days and hours that do not exist are unread, not a crash."""
    for reading in (replies.read_date(text), replies.read_log_stamp(text), replies.read_user_expiry(text, "admin")):
        assert reading.kind in {"known", "absent", "unread"}


@pytest.mark.unwatched
@pytest.mark.parametrize(
    "piece",
    [
        b"\x1b[",
        b"\x1b]",
        b"\x1b[0;",
        b"\xc2\x9b1",
        b"x",
        b"not match ",
        b"not ",
        b"verif",
        b"match",
        b"1.",
        b"2026-",
        b"a.",
        b"SUCCESS: ",
        b"\r",
        b" ",
    ],
)
def test_a_megabyte_is_read_in_linear_time(piece: bytes) -> None:
    """An answer of 1 MB takes seconds at worst, whatever it repeats."""
    raw = (b"2024-03-06T09:34:45 " + piece * 1_000_000)[: 2 * replies.MAX_ANSWER]
    begun = process_time()
    for text in (replies.clean(raw), raw[: replies.MAX_ANSWER].decode("latin-1")):
        replies.verdict(text)
        for reader, read in READERS.items():
            read(text, **({"user": "admin"} if reader == "user_expiry" else {}))

    assert process_time() - begun < 20
