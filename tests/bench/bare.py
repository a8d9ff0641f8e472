"""An environment without the hooks of development tools, and what a process in it takes.

Tools such as coverage put ``.pth`` files that run code into an environment, at every start of every Python. Those would
slow the reference as much as what is measured, and make the ratio look better than any user's.
"""

from __future__ import annotations

import os
import subprocess
import sysconfig
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter

import cmscert

PROGRAM = ("-c", "from cmscert.cli.main import run; run()")
"""What the console script does."""


def bare(folder: Path) -> Path:
    """Make an environment that finds the same packages and runs nothing at its start; return its Python."""
    venv.create(folder, symlinks=True)
    paths = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
    roots = (str(Path(cmscert.__file__).parents[1]), sysconfig.get_paths()["purelib"])
    # Of an added folder Python reads no .pth files.
    (Path(paths["purelib"]) / "packages.pth").write_text("\n".join(roots) + "\n", encoding="utf-8")
    return folder / "bin" / "python"


def seconds(words: Sequence[str | Path], *, expected: int = 0, environment: Mapping[str, str] | None = None) -> float:
    """Return how long a process takes from its start to its end. Raises RuntimeError when it ends otherwise."""
    begun = perf_counter()
    done = subprocess.run(words, env={**os.environ, **(environment or {})}, capture_output=True, check=False)
    taken = perf_counter() - begun
    if done.returncode != expected:
        raise RuntimeError(f"{words} ended with {done.returncode}: {done.stderr.decode(errors='replace')}")
    return taken
