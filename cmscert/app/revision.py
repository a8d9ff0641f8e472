"""Which git revision an inventory is at: for the journal, so that a run can be traced to what was reviewed."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

SECONDS = 5.0
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_KEPT = ("PATH", "HOME", "XDG_CONFIG_HOME")
"""Of the environment; the rest may hold secrets, or point git to another repository."""

_OPTIONS = ("--no-optional-locks", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")
"""A look at a repository changes nothing in it, and starts no program that its configuration names."""


def git_revision(inventory: Path, *, seconds: float = SECONDS) -> dict[str, object] | None:
    """Return ``commit`` and whether what stands in the work tree differs from it (``dirty``).

    An inventory that git does not track counts as dirty. None when it is in no repository, nothing was committed yet,
    or git is missing, fails or takes longer than ``seconds``.
    """
    status = _git(inventory.parent, ("status", "--porcelain=v2", "--branch", "--untracked-files=no"), seconds)
    if status is None:
        return None
    lines = status.splitlines()
    oids = [line.removeprefix("# branch.oid ") for line in lines if line.startswith("# branch.oid ")]
    if len(oids) != 1 or not _COMMIT.fullmatch(oids[0]):
        return None
    tracked = _git(inventory.parent, ("ls-files", "--error-unmatch", "--", f":(literal){inventory.name}"), seconds)
    return {"commit": oids[0], "dirty": tracked is None or any(not line.startswith("#") for line in lines)}


def _git(folder: Path, words: tuple[str, ...], seconds: float) -> str | None:
    """Return what git prints; None when it fails."""
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    try:
        done = subprocess.run(  # noqa: S603 - an argument list of ours; no shell
            ["git", *_OPTIONS, *words],  # noqa: S607 - the git that its user has
            cwd=folder,
            env={**environment, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
            check=False,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None
