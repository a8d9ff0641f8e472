"""How a person types this program, for the commands that are printed to be copied."""

from __future__ import annotations

import os
import sys
from pathlib import Path

NAME = "cmscert"


def program() -> str:
    """Return the name where the shell finds it, else the path by which it was started (``.venv/bin/cmscert``)."""
    import shutil

    started = Path(sys.argv[0])
    if shutil.which(NAME) is not None or started.stem != NAME:
        return NAME
    near = Path(os.path.relpath(started))
    return str(started if ".." in near.parts else near)
