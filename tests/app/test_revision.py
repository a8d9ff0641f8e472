"""The git revision of an inventory: what git says, and nothing where it says nothing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from cmscert.app.revision import git_revision

GIT = pytest.mark.judge("git")


def git(folder: Path, *words: str) -> str:
    """Run git as somebody who has no configuration."""
    own = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    who = ["-c", "user.name=me", "-c", "user.email=me@example.com", "-c", "init.defaultBranch=main"]
    done = subprocess.run(
        ["git", *who, *words], cwd=folder, env={**os.environ, **own}, capture_output=True, check=True, encoding="utf-8"
    )
    return done.stdout.strip()


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """Give an inventory that is committed."""
    path = tmp_path / "site" / "cluster.yaml"
    path.parent.mkdir()
    path.write_text("version: 1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    return path


@GIT
def test_a_committed_inventory_has_its_commit(inventory: Path) -> None:
    """The commit that is checked out; what the tool writes beside the inventory makes nothing dirty."""
    (inventory.parent / ".cmscert").mkdir()
    (inventory.parent / ".cmscert" / "x").write_text("")

    assert git_revision(inventory) == {"commit": git(inventory.parent, "rev-parse", "HEAD"), "dirty": False}


@GIT
def test_changes_are_told(inventory: Path) -> None:
    """A change anywhere in the repository, and an inventory that git does not know."""
    other = inventory.with_name("other.yaml")
    other.write_text("")
    assert (git_revision(other) or {})["dirty"] is True
    assert (git_revision(inventory) or {})["dirty"] is False
    inventory.write_text("version: 2\n")
    assert (git_revision(inventory) or {})["dirty"] is True


@GIT
def test_names_are_no_patterns(inventory: Path) -> None:
    """An inventory whose name is a pattern of git's is looked for by its very name."""
    odd = inventory.with_name("c*.yaml")
    odd.write_text("")
    assert (git_revision(odd) or {})["dirty"] is True


@GIT
def test_without_a_commit_there_is_no_revision(tmp_path: Path) -> None:
    """A folder in no repository, and a repository in which nothing was committed."""
    path = tmp_path / "cluster.yaml"
    path.write_text("")
    assert git_revision(path) is None
    git(tmp_path, "init", "-q")
    assert git_revision(path) is None


@GIT
def test_the_environment_does_not_lead_elsewhere(inventory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that point git to another repository are not passed on."""
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_WORK_TREE", "/nowhere")
    assert git_revision(inventory) is not None


@GIT
def test_a_repository_starts_no_program(inventory: Path, tmp_path: Path) -> None:
    """What the repository's configuration names for file system watching is not started."""
    script = tmp_path / "watch"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path / 'started'}\n")
    script.chmod(0o700)
    git(inventory.parent, "config", "core.fsmonitor", str(script))
    assert git_revision(inventory) is not None
    assert not (tmp_path / "started").exists()


def fake(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """Put a program of the name git on the path."""
    program = folder / "bin" / "git"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    path = folder / "cluster.yaml"
    path.write_text("")
    return path


@pytest.mark.parametrize(
    "script",
    [
        "exit 1",
        "echo nonsense",
        "echo '# branch.oid main'",
        "printf '\\377\\n'",
        "sleep 30",
        "yes '# branch.oid x' | head",
    ],
)
def test_a_git_that_does_not_answer_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A git that fails, takes too long or says something else tells no revision."""
    assert git_revision(fake(tmp_path, monkeypatch, script), seconds=0.3) is None


def test_without_git_there_is_no_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where git is not installed nothing is said."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_revision(tmp_path / "cluster.yaml") is None


def test_git_is_not_given_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of git holds what it needs, and no password."""
    monkeypatch.setenv("CMS_PASSWORD", "Canary-Env-1")
    path = fake(tmp_path, monkeypatch, f"env > {tmp_path / 'seen'}; exit 1")
    git_revision(path)
    seen = (tmp_path / "seen").read_text()
    assert "PATH=" in seen
    assert "Canary-Env-1" not in seen
