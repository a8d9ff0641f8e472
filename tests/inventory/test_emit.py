"""Inventories that are written by a program: they read back as they were meant, whatever stands in them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cmscert.inventory.document import parse
from cmscert.inventory.emit import WIDTH, emit, scalar

TEXTS = st.text(max_size=30)
VALUES = st.recursive(
    TEXTS | st.integers(0, 70000),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(TEXTS, VALUES, max_size=4), st.lists(TEXTS, max_size=2), st.text(max_size=40))
def test_it_reads_back_the_same(document: dict[str, Any], header: list[str], remark: str) -> None:
    """Any YAML reader gets the values back; no text ends a line, a comment or a quote."""
    remarks = dict.fromkeys([(key,) for key in document] + [(key, "x") for key in document], (remark, remark))
    text = emit(document, remarks, tuple(header))

    assert text.isascii()
    assert (yaml.safe_load(text) or {}) == document


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("core1.example.com", "core1.example.com"),
        ("pki/ca/root.crt", "pki/ca/root.crt"),
        ("10.0.0.11", "10.0.0.11"),
        ("3.9", '"3.9"'),
        ("no", '"no"'),
        ("{fqdn}", '"{fqdn}"'),
        ("x: {env: Y}", '"x: {env: Y}"'),
        ('a\nb: c # d\x07\u2028\U0001f600"\\', '"a\\x0ab: c # d\\x07\\u2028\\U0001f600\\"\\\\"'),
        (22, "22"),
        (True, "true"),
        (False, "false"),
    ],
)
def test_scalars(value: str | int, written: str) -> None:
    """What YAML or an editor might take for something else is quoted."""
    assert scalar(value) == written


def test_the_layout() -> None:
    """Entries stand in one line where they fit, remarks in front of what they are about."""
    document = {
        "version": 1,
        "fleet": "toy",
        "ssh": {"user": "admin"},
        "servers": {"core1": {"address": "10.0.0.1"}, "core2": {"labels": {"long": "x" * WIDTH}}},
        "roles": {},
    }
    text = emit(document, {("servers", "core2"): ("two\nlines",)}, ("Written.",))

    assert text == (
        "# Written.\n\nversion: 1\nfleet: toy\n\nssh:\n  user: admin\n\nservers:\n  core1: {address: 10.0.0.1}\n"
        f"  # two?lines\n  core2:\n    labels:\n      long: {'x' * WIDTH}\n\nroles: {{}}\n"
    )
    assert parse(text.encode(), file="x").faults == ()
