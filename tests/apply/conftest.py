"""A toy fleet for every test."""

from __future__ import annotations

import pytest

from cmscert.testing.toy_run import ToyRun


@pytest.fixture
def toy() -> ToyRun:
    """Give an empty toy fleet."""
    return ToyRun()
