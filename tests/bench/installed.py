"""The program as a user has it: installed, compiled, in an environment without the hooks of development tools.

Tools such as coverage put ``.pth`` files that run code into an environment, at every start of every Python. Those would
slow the reference as much as what is measured, and make the ratio look better than any user's.
"""

from __future__ import annotations

import compileall
import os
import shutil
import subprocess
import sysconfig
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter

import cmscert

SCRIPT = "import sys\nfrom cmscert.cli.main import run\nif __name__ == '__main__':\n    sys.exit(run())\n"
"""What pip makes of an entry point."""


def installed(folder: Path) -> tuple[Path, Path]:
    """Make an environment with a copy of the program, which finds the same libraries; return Python and the program."""
    venv.create(folder, symlinks=True)
    place = Path(sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})["purelib"])
    package = Path(cmscert.__file__).parent
    shutil.copytree(package, place / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    compileall.compile_dir(place / package.name, quiet=1)  # as pip does
    # Of a folder that is added like this Python reads no .pth files.
    (place / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n", encoding="utf-8")
    python, program = folder / "bin" / "python", folder / "bin" / "cmscert"
    program.write_text(f"#!{python}\n{SCRIPT}", encoding="utf-8")
    program.chmod(0o755)
    return python, program


def seconds(words: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> float:
    """Return how long a process takes from its start to its end. Raises RuntimeError when it fails."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    begun = perf_counter()
    done = subprocess.run(words, env={**own, **(environment or {})}, capture_output=True, check=False)
    taken = perf_counter() - begun
    if done.returncode:
        raise RuntimeError(f"{words} ended with {done.returncode}: {done.stderr.decode(errors='replace')}")
    return taken
