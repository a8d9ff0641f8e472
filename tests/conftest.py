"""Guards and judges that every test folder shares."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# Debian package → the program that it brings; a pattern where that is not on the PATH (psql comes without a server).
# "npm" stands for all that `make judges` brings with it.
JUDGES = {
    "chromium": "chromium",
    "git": "git",
    "npm": f"{Path(__file__).parent}/npm/node_modules/.package-lock.json",
    "openssh-client": "sftp",
    "openssl": "openssl",
    "pebble": "pebble",
    "prometheus": "promtool",
    "postgresql": "/usr/lib/postgresql/*/bin/initdb",
    "procps": "ps",
    "systemd": "systemd-analyze",
}


@pytest.fixture(scope="session", autouse=True)
def _temporary_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep temporary files of the program, and its reports about bugs, in pytest's own folder."""
    folder = str(tmp_path_factory.mktemp("temporary"))
    with pytest.MonkeyPatch.context() as changed:
        changed.setenv("TMPDIR", folder)
        changed.setattr(tempfile, "tempdir", folder)
        yield


def is_there(program: str) -> bool:
    """Tell whether a judge's program is installed."""
    if program.startswith("/"):
        return any(Path("/").glob(program[1:]))
    return shutil.which(program) is not None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a judge's tests loudly where its program is missing; under CI a skip is a failure."""
    for mark in item.iter_markers("judge"):
        package = str(mark.args[0])
        if not is_there(JUDGES[package]):
            message = f"needs the Debian package {package}: apt-get install {package}"
            if os.environ.get("CI") == "true":
                pytest.fail(message)
            pytest.skip(message)
            if package == "npm":
                message += ", then make judges"
