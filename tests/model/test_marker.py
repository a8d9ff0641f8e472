"""A marker is written and read back; whatever a node shows instead is Unread, and harmless."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmscert.model.marker import (
    LARGEST,
    LONGEST,
    Marker,
    is_marker,
    marker_content,
    marker_name,
    read_marker,
    run_of,
)
from cmscert.model.observed import ObservedServer, material_like
from cmscert.model.readings import Known, Unread
from cmscert.planning.file_names import own_kind

RUN = "20261123T220000Z-0a1b2c"
NAME = marker_name(RUN)
NOW = datetime(2026, 11, 23, 22, 0, tzinfo=UTC)
MARKER = Marker(
    file=NAME, fleet="video", owner="ann", machine="laptop7", run=RUN, since=NOW, until=NOW + timedelta(minutes=10)
)


def written(values: object, *, head: str = "# cmscert-lock/1") -> bytes:
    """Write a lock file with whatever in it, and a checksum that fits."""
    body = values if isinstance(values, str) else json.dumps(values)
    return f"{head} {hashlib.sha256(body.encode()).hexdigest()[:16]} {body}\n".encode()


def values(**other: object) -> dict[str, object]:
    """Return the values of a lock file, some of them others."""
    body = marker_content(MARKER).decode().split(" ", 3)[3]
    return {**json.loads(body), **other}


def why(content: bytes, name: str = NAME) -> str:
    """Return why a lock file cannot be read."""
    reading = read_marker(name, content)
    assert isinstance(reading, Unread)
    assert reading.why.startswith(f"{name} is no lock file that can be read: ")
    return reading.why.partition(": ")[2]


@pytest.mark.parametrize("state", ["choosing", "waiting", "marking", "held"])
def test_read_back(state: str) -> None:
    """What is written is read back, in every state."""
    marker = replace(MARKER, state=state, command="rollback")  # type: ignore[arg-type]  # a case of the table

    assert read_marker(NAME, marker_content(marker)) == Known(marker)


def test_one_line_that_is_no_certificate() -> None:
    """The file is one line that begins like a comment, and holds nothing that a certificate begins with."""
    content = marker_content(MARKER)

    assert content.startswith(b"# cmscert-lock/1 ")
    assert content.count(b"\n") == 1
    assert b"BEGIN" not in content


def test_names() -> None:
    """The name tells the run, and is no name that this tool gives to material or takes away."""
    assert run_of(NAME) == RUN
    assert not is_marker("core-20261123-0a1b2c3d.crt")
    assert not is_marker(f"{NAME}.crt")
    assert run_of(f"x{NAME}") is None
    assert own_kind(NAME) is None
    assert not material_like(NAME)
    assert NAME.endswith(".crt")


def test_a_marker_is_no_part_of_the_digest() -> None:
    """A plan is as good with a marker in the store as without."""
    bare = ObservedServer(name="core1", reached=Known(value=True), files=Known(("a.crt",)))
    marked = replace(bare, files=Known(("a.crt", NAME)), markers=(Known(MARKER),))

    assert marked.digest() == bare.digest()


@given(st.integers(0, len(marker_content(MARKER)) - 1))
def test_half_written(size: int) -> None:
    """The beginning of a lock file is never taken for one."""
    assert isinstance(read_marker(NAME, marker_content(MARKER)[:size]), Unread)


@given(st.integers(0, len(marker_content(MARKER)) - 1), st.integers(1, 255))
def test_damaged(at: int, change: int) -> None:
    """A lock file with one byte changed is never taken for one."""
    content = bytearray(marker_content(MARKER))
    content[at] ^= change

    assert isinstance(read_marker(NAME, bytes(content)), Unread)


@given(st.binary(max_size=2 * LARGEST))
def test_anything(content: bytes) -> None:
    """Any bytes are read without an error."""
    assert isinstance(read_marker(NAME, content), Unread)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is not whole"),
        (written(values(), head="# cmscert-lock/2"), "it is not whole"),
        (b"x" * (LARGEST + 1), "it is too large"),
        ("ü".encode(), "it is damaged"),
        (written("[" * 3000), "it is damaged"),
        (written("{"), "it is damaged"),
        (written([]), "it holds no values"),
        (written(values(owner=1)), "it does not say its owner"),
        (written(values(run="20261123T220000Z-ffffff")), "it is about another run"),
        (written(values(state="mine")), "its state is unknown"),
        (written(values(state=[])), "its state is unknown"),
        (written(values(until="soon")), "it is damaged"),
        (written(values(until="2026-11-23T22:00:00")), "its time has no zone"),
        (written(values(until="9999-12-31T23:59:59+00:00")), "its time is none"),
        (written(values(until="0001-01-01T00:00:00+14:00")), "it is damaged"),
    ],
)
def test_unreadable(content: bytes, said: str) -> None:
    """What is no lock file says what is wrong with it."""
    assert why(content) == said


def test_texts_are_harmless() -> None:
    """Texts of a lock file come back printable and cut, whoever wrote them."""
    reading = read_marker(NAME, written(values(owner="\x1b[2Jann\u202e", machine="m" * 200)))

    assert isinstance(reading, Known)
    assert reading.value.owner == "?[2Jann?"
    assert reading.value.machine == "m" * LONGEST


def test_times_are_utc() -> None:
    """Times come back in UTC, whatever zone they were written in."""
    there = NOW.astimezone(timezone(timedelta(hours=2)))
    reading = read_marker(NAME, marker_content(replace(MARKER, since=there)))

    assert isinstance(reading, Known)
    assert reading.value.since == NOW
    assert reading.value.since.tzinfo is UTC
