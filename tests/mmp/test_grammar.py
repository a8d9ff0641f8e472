"""Quoting: what is typed is always exactly the words that were given."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cmscert.mmp.grammar import MAX_LINE, command, fault_of, quoted
from cmscert.model.commands import Effect


def tokens(line: str) -> list[str]:
    """Split a command line as the device is believed to: blanks part words, double quotes hold them together."""
    words: list[str] = []
    word: str | None = None
    inside = False
    for sign in line:
        if sign == '"':
            inside = not inside
            word = word or ""
        elif sign == " " and not inside:
            if word is not None:
                words.append(word)
            word = None
        else:
            assert inside or sign not in ";|&<>()#'", f"{sign} stands outside of quotes"
            word = (word or "") + sign
    assert not inside, "a quotation is not closed"
    return words if word is None else [*words, word]


@settings(deadline=None)
@given(st.lists(st.text(), min_size=1, max_size=6))
def test_a_command_line_is_exactly_its_words(words: list[str]) -> None:
    """A line falls apart into the words it was made of, or it is refused and the reason can be told."""
    try:
        typed = command(*words, effect=Effect.READ).typed
    except ValueError:
        assert any(fault_of(word) is not None for word in words)
        return

    assert words == tokens(typed)
    assert typed.isprintable()


_LEGAL = st.text(
    st.characters(min_codepoint=32, max_codepoint=126, exclude_characters='"\\`$!?'), min_size=1, max_size=20
)


@settings(deadline=None)
@given(st.lists(_LEGAL.filter(lambda word: word == word.strip()), min_size=1, max_size=6))
def test_every_word_of_plain_signs_can_be_typed(words: list[str]) -> None:
    """Printable ASCII without quotes and signs that a line editor may act on is never refused."""
    assume(all(words))

    assert words == tokens(command(*words, effect=Effect.CHANGE).typed)


@pytest.mark.parametrize(
    "sign", ["\n", "\r", "\x00", "\x03", "\x1b", "\x7f", "\x9b", "\u2028", "é", '"', "\\", "`", "$", "!", "?"]
)
@settings(deadline=None)
@given(before=st.text(max_size=5), after=st.text(max_size=5))
def test_a_value_with_a_sign_that_could_end_a_command_is_refused(sign: str, before: str, after: str) -> None:
    """Line ends, control characters, quotes and what is not ASCII are refused wherever they stand."""
    with pytest.raises(ValueError, match="cannot be typed"):
        command("pki", "match", before + sign + after, effect=Effect.READ)


@pytest.mark.parametrize(
    ("word", "typed"),
    [
        ("web-1_a.crt", "web-1_a.crt"),
        ("CN:.*.tptac9.com", "CN:.*.tptac9.com"),
        ("subjectAltName:a.example.com,10.0.0.1", "subjectAltName:a.example.com,10.0.0.1"),
        ("OU:My Desk", 'OU:"My Desk"'),
        ("O: odd", '"O: odd"'),
        ("my web.crt", '"my web.crt"'),
        ("a;reboot", '"a;reboot"'),
        ("x|y", '"x|y"'),
    ],
)
def test_words_are_quoted_as_the_guide_shows(word: str, typed: str) -> None:
    """Bare where it can be (T-10), quoted behind the attribute's colon ([MEM]), quoted as a whole otherwise."""
    assert typed == quoted(word)


@pytest.mark.parametrize("word", ["", " a", "a ", " "])
def test_words_that_begin_or_end_with_a_blank_are_refused(word: str) -> None:
    """An empty word or one with blanks around it would not be the same word again."""
    with pytest.raises(ValueError, match="cannot be typed"):
        quoted(word)


def test_a_refusal_does_not_repeat_the_value() -> None:
    """The message is safe for a terminal: the hostile word is not in it."""
    with pytest.raises(ValueError, match="control") as refusal:
        quoted("hunter2\x1b[2J")

    assert "hunter2" not in str(refusal.value)


def test_a_command_has_words_and_an_end() -> None:
    """No words, or more than a terminal line takes, is no command."""
    with pytest.raises(ValueError, match="at least one"):
        command(effect=Effect.READ)
    with pytest.raises(ValueError, match="at most"):
        command("x" * (MAX_LINE + 1), effect=Effect.READ)


def test_a_command_carries_what_it_may_do() -> None:
    """Effect, confirmation and masking travel with the line."""
    made = command("database", "cluster", "remove", effect=Effect.CHANGE, confirms=True, masks_reply=True)

    assert (
        made.typed,
        made.effect,
        made.confirms,
        made.masks_reply,
    ) == ("database cluster remove", Effect.CHANGE, True, True)
