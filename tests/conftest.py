"""Guards and judges that every test folder shares."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from coverage import Coverage
from coverage.exceptions import CoverageWarning

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
def _temporary_files() -> Iterator[None]:
    """Keep temporary files of the program, and its reports about bugs, in one folder that is removed in the end.

    Not in pytest's own: other users may not enter that, and a few tests are about them.
    """
    with pytest.MonkeyPatch.context() as changed, tempfile.TemporaryDirectory(prefix="cmscert-tests-") as folder:
        Path(folder).chmod(0o755)
        changed.setenv("TMPDIR", folder)
        changed.setattr(tempfile, "tempdir", folder)
        yield


def pytest_xdist_auto_num_workers() -> int:
    """Take three workers for two cores: tests of whole fleets wait about as long as they compute."""
    return max(1, (os.cpu_count() or 1) * 3 // 2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that have slow tests, so that no worker is left with a long one when the others are done."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[object]:
    """Look away while an unwatched test runs, and let the programs that it starts go unwatched as well."""
    watching = Coverage.current() if item.get_closest_marker("unwatched") else None
    if watching is None:
        return (yield)
    watching.stop()
    try:
        with pytest.MonkeyPatch.context() as changed:
            changed.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
            return (yield)
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CoverageWarning)  # of what was imported before
            watching.start()


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
            if package == "npm":
                message += ", then make judges"
            if os.environ.get("CI") == "true":
                pytest.fail(message)
            pytest.skip(message)
