"""The examples for machines are judged by the programs that would read them."""

from __future__ import annotations

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
