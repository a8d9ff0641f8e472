"""Tools that several tests here share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

Started = subprocess.Popen[str]


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., Started]:
    """Start the real console script beside the test, its temporary files in the test's own folder."""

    def start(*words: object, env: Mapping[str, str] | None = None, **options: object) -> Started:
        given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        around = {**os.environ, "TMPDIR": str(tmp_path), "CMS_PASSWORD": "lab", **(env or {})}
        return subprocess.Popen([sys.executable, "-m", "cmscert", *map(str, words)], env=around, **{**given, **options})  # type: ignore[call-overload,no-any-return]  # subprocess's own options

    return start
