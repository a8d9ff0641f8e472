"""The examples for machines are judged by the programs that would read them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from .conftest import ROOT, blocks

PAGE = ROOT / "docs" / "how-to" / "unattended.md"


def examples(language: str) -> list[str]:
    """Return the page's blocks of a language."""
    return [block.body for block in blocks(PAGE) if block.language == language]


@pytest.mark.parametrize(
    ("renewed", "applied", "code", "ran"),
    [
        (0, 0, 0, ["renew", "apply"]),
        (4, 0, 4, ["renew", "apply"]),
        (10, 0, 10, ["renew", "apply"]),
        (10, 7, 7, ["renew", "apply"]),
        (3, 0, 3, ["renew"]),
        (1, 0, 1, ["renew"]),
    ],
)
def test_one_issuer_holds_nobody_up(tmp_path: Path, renewed: int, applied: int, code: int, ran: list[str]) -> None:
    """The script applies what others delivered when an issuer fails or waits, and ends with the graver code."""
    (script,) = (text for text in examples("sh") if text.startswith("# hourly.sh"))
    stub = f'echo "$1" >> ran\ncase $1 in renew) exit {renewed} ;; apply) exit {applied} ;; esac\n'
    (tmp_path / "cmscert").write_text(f"#!/bin/sh\n{stub}")
    (tmp_path / "cmscert").chmod(0o755)
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    ended = subprocess.run(["sh", "-c", script], cwd=tmp_path, env=path, check=False)

    assert (ended.returncode, (tmp_path / "ran").read_text().split()) == (code, ran)


@pytest.mark.judge("systemd")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    """``systemd-analyze verify`` finds nothing to say about the service and its timer."""
    paths = []
    for text in examples("ini"):
        name = text.splitlines()[0].rpartition("/")[2]
        paths.append(tmp_path / name)
        paths[-1].write_text(text)
    ran = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, paths)], capture_output=True, text=True, check=False
    )

    assert [path.name for path in paths] == ["cmscert.service", "cmscert.timer"]
    assert [line for line in ran.stderr.splitlines() if "cmscert" in line] == []
    assert ran.returncode == 0


def test_kubernetes_takes_the_cronjob() -> None:
    """The CronJob fits Kubernetes' own schema, strictly; two jobs never run side by side."""
    (text,) = examples("yaml")
    job = yaml.safe_load(text)

    assert kubernetes_validate.validate(job, "1.30", strict=True)
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
