"""How the lab reads a typed line."""

from __future__ import annotations

import pytest

from cmscert.lab import grammar


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("webadmin", ["webadmin"]),
        ("  webadmin   certs a.key  a.crt ", ["webadmin", "certs", "a.key", "a.crt"]),
        ('pki csr a CN:b OU:"My Desk"', ["pki", "csr", "a", "CN:b", "OU:My Desk"]),
        ('a "b c"d ""', ["a", "b cd", ""]),
        ("a;b|c \\d", ["a;b|c", "\\d"]),
        ("", []),
    ],
)
def test_words(line: str, words: list[str]) -> None:
    """Blanks part words, double quotes keep them together, nothing else is special."""
    assert words == grammar.split(line)


def test_an_open_quote_is_an_error() -> None:
    """A quote that is never closed is not silently closed."""
    with pytest.raises(grammar.UnbalancedError):
        grammar.split('pki csr "a')


def test_prefixes_are_compared_by_words_with_single_blanks() -> None:
    """A fault's prefix matches however many blanks were typed."""
    assert grammar.starts(grammar.split("webadmin   enable"), "webadmin en")
    assert not grammar.starts(["webadmin"], "webadmin enable")
