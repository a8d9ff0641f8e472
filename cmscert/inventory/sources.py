"""How large files may be, and the border of the inventory's folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from cmscert.files import Unreadable
from cmscert.files import read_regular as read_bytes

__all__ = ["INVENTORY_LIMIT", "MATERIAL_LIMIT", "Border", "Unreadable", "Way", "read_bytes"]

INVENTORY_LIMIT = 5_000_000
MATERIAL_LIMIT = 1_000_000
Way = Literal["outside-folder", "symlink-outside"]


class Border:
    """The inventory's folder, which paths of material must not leave.

    A link is followed inside the git work tree that holds the folder: what it leads to is reviewed with the inventory.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._root = os.path.realpath(folder)
        self._tree = _work_tree(Path(self._root))
        self._inside: dict[str, bool] = {}

    def leaves(self, written: str) -> Way | None:
        """Say how a path of material leads out of the folder: by what is written, or by a link that nobody sees.

        An absolute path is followed as it stands: whoever reviews the inventory sees where it leads.
        """
        if Path(written).is_absolute():
            return None
        if not self._within(os.path.normpath(f"{self._root}/{written}"), self._root):
            return "outside-folder"
        return "symlink-outside" if self.strays(written) else None

    def strays(self, written: str) -> bool:
        """Tell whether links lead a relative path out of where it seems to lead; one with ``..`` says so by itself."""
        name = written.rpartition("/")[2]
        folder = written.removesuffix(name)
        try:
            if Path(written).is_absolute() or not self._within(os.path.normpath(f"{self._root}/{written}"), self._tree):
                return False
            # The folder part once: a thousand files mostly lie in one folder.
            if folder not in self._inside:
                self._inside[folder] = self._really_within(folder)
            if not self._inside[folder]:
                return True
            return (name == ".." or (self.folder / written).is_symlink()) and not self._really_within(written)
        except (OSError, ValueError):  # a name too long, a zero byte: reading it says so
            return False

    def _really_within(self, written: str) -> bool:
        return self._within(os.path.realpath(self.folder / written), self._tree)

    @staticmethod
    def _within(path: str, root: str) -> bool:
        return Path(path).is_relative_to(root)


def _work_tree(folder: Path) -> str:
    """Return the root of the git work tree that a folder is in; the folder itself where there is none."""
    return str(next((each for each in (folder, *folder.parents) if (each / ".git").exists()), folder))
