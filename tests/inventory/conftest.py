"""Inventories in a folder of their own, with material that fits them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cmscert.testing.inventories import SMALL, Folder

INVENTORIES = Path(__file__).parents[2] / "inventories"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Give an empty folder for an inventory."""
    return Folder(tmp_path)


@pytest.fixture
def small(folder: Folder) -> Folder:
    """Give a small inventory of two servers, with its material."""
    return folder.write(SMALL).mint()


@pytest.fixture
def shipped(tmp_path: Path) -> Callable[[str], Folder]:
    """Give a copy of one of the inventories of the repository, with its material."""

    def copy(name: str) -> Folder:
        copied = Folder(tmp_path)
        shutil.copyfile(INVENTORIES / f"{name}.yaml", copied.inventory)
        return copied.mint()

    return copy
