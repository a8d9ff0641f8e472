"""The name of an inventory for those who read a report elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from cmscert.app.checkout import checkout_path


@pytest.mark.parametrize("inside", ["", "fleets/"])
def test_in_a_checkout_the_path_starts_at_its_root(
    inside: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the command runs, code scanning finds the file."""
    (tmp_path / "repo" / ".git").mkdir(parents=True)
    (tmp_path / "repo" / "fleets").mkdir()
    monkeypatch.chdir(tmp_path / "repo" / inside)

    assert checkout_path(tmp_path / "repo" / "fleets" / "a b.yaml") == "fleets/a b.yaml"
    assert checkout_path(Path("c.yaml")) == f"{inside}c.yaml"


def test_elsewhere_the_path_starts_at_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of that too there is only the name left: no folder of this machine is told."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    assert checkout_path(Path("site/c.yaml")) == "site/c.yaml"
    assert checkout_path(tmp_path / "c.yaml") == "c.yaml"
