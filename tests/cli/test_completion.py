"""Shells complete commands, options and choices."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CMSCERT = Path(sys.executable).with_name("cmscert")


def complete(*words: str) -> list[str]:
    """Ask as bash does, and return what it is offered."""
    environment = os.environ | {
        "_CMSCERT_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(("cmscert", *words)),
        "COMP_CWORD": str(len(words)),
    }
    ran = subprocess.run([CMSCERT], env=environment, capture_output=True, text=True, check=True)
    return [line.partition(",")[2] for line in ran.stdout.splitlines()]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("ro",), {"rollback"}),
        (("apply", "--no-"), {"--no-rollback", "--no-color"}),
        (("plan", "--format", "run"), {"runbook"}),
        (("explain", "names-l"), {"names-lost"}),
    ],
)
def test_words_are_completed(words: tuple[str, ...], offered: set[str]) -> None:
    """Commands, options, the choices of options, and the names that can be explained."""
    assert set(complete(*words)) == offered


def test_bash_takes_the_script() -> None:
    """The script that the documentation evaluates registers a completion for the program."""
    script = 'eval "$(_CMSCERT_COMPLETE=bash_source cmscert)"; complete -p cmscert'
    environment = os.environ | {"PATH": f"{CMSCERT.parent}:{os.environ['PATH']}"}
    ran = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True)

    assert ran.stdout.split()[-1] == "cmscert"


def test_completing_loads_nothing_heavy() -> None:
    """A key press does not wait for SSH or X.509."""
    code = "import sys; from cmscert.cli.main import run\ntry: run()\nfinally: print(*sys.modules, file=sys.stderr)"
    environment = os.environ | {
        "_CMSCERT_COMPLETE": "bash_complete",
        "COMP_WORDS": "cmscert ro",
        "COMP_CWORD": "1",
    }
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)

    assert {"asyncssh", "cryptography", "pydantic", "structlog", "rich"}.isdisjoint(ran.stderr.split())
