from __future__ import annotations

import unicodedata
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmscert.model.readings import ABSENT, Known, Unread
from cmscert.reports.plain import days_left, duration, left, listed, reading_word, safe, safe_document
from cmscert.testing.plans import MOMENT


@given(st.text())
def test_nothing_steers_a_terminal(text: str) -> None:
    """No control, format or line-breaking character gets through, whatever goes in."""
    assert not [char for char in safe(text) if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words", "plain words"),
        ("Größe", "Größe"),
        ("a\tb\nc", "a b c"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\x9b", "\\x9b"),
        ("\u202e", "\\u202e"),
        ("\U000e0001", "\\U000e0001"),
    ],
)
def test_spelling(text: str, shown: str) -> None:
    """Harmless text stays; the rest is spelled out."""
    assert safe(text) == shown


def test_documents_are_made_safe_all_through() -> None:
    """Lists, objects and strings are walked; numbers and null stay."""
    assert safe_document({"a": ["\x07", {"b": ("\x07",)}], "n": 1, "z": None}) == {
        "a": ["\\x07", {"b": ["\\x07"]}],
        "n": 1,
        "z": None,
    }


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0 s"), (15, "15 s"), (60, "1 min"), (130, "2 min 10 s"), (59.6, "1 min")]
)
def test_durations(seconds: float, shown: str) -> None:
    """Durations read as people say them."""
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("days", "number", "shown"),
    [(8.5, 8, "8 days left"), (1.5, 1, "1 day left"), (0.5, 0, "0 days left"), (-0.5, -1, "expired today")],
)
def test_days_left(days: float, number: int, shown: str) -> None:
    """Whole days count; what is over is negative."""
    until = MOMENT + timedelta(days=days)

    assert days_left(until, MOMENT) == number
    assert left(until, MOMENT) == shown


def test_long_over() -> None:
    """What is over for days says for how many."""
    assert left(MOMENT - timedelta(days=3, hours=1), MOMENT) == "expired 3 days ago"


def test_lists_are_cut() -> None:
    """A long list says how many more there are."""
    assert listed(["a", "b", "c"], most=2) == "a, b and 1 more"
    assert listed(["a", "b"], most=2) == "a, b"


def test_readings_in_words() -> None:
    """Absent and unread are told apart."""
    assert reading_word(Known(1)) is None
    assert reading_word(ABSENT) == "none"
    assert reading_word(Unread("silence")) == "not read: silence"
