"""The name of a file for those who have the same checkout and no other folder of this machine."""

from __future__ import annotations

import os
from pathlib import Path


def checkout_path(file: Path) -> str:
    """Return a path with ``/``: from the root of the git checkout, else from the working directory, else its name."""
    whole = Path(os.path.abspath(file))  # noqa: PTH100 - resolve() would leave the checkout through a link
    root = next((folder for folder in whole.parents if (folder / ".git").exists()), Path.cwd())
    return whole.relative_to(root).as_posix() if whole.is_relative_to(root) else whole.name
