"""Guards and judges that every test folder shares."""

from __future__ import annotations

import os
import shutil

import pytest

# Debian package → the program that it brings.
JUDGES = {"openssl": "openssl", "openssh-client": "sftp", "procps": "ps", "postgresql": "psql"}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a judge's tests loudly where its program is missing; under CI a skip is a failure."""
    for mark in item.iter_markers("judge"):
        package = str(mark.args[0])
        if shutil.which(JUDGES[package]) is None:
            message = f"needs the Debian package {package}: apt-get install {package}"
            if os.environ.get("CI") == "true":
                pytest.fail(message)
            pytest.skip(message)
