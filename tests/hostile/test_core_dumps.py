"""A process that holds passwords leaves no image of its memory."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
WAITING = """
version: 1
fleet: waiting
ssh: {user: admin, password: {env: CMS_PASSWORD}, known_hosts: known_hosts}
bundles: {corp: [ca.crt]}
certificates:
  all: {common_name: a.example.com, chain: corp, files: {certificate: a.crt, key: a.key, passphrase: {command: [WAIT]}}}
servers:
  a: {address: 10.0.0.1, fqdn: a.example.com, services: {webadmin: {certificate: all}}}
"""


def waiting(folder: Path) -> Path:
    """Write an inventory whose passphrase program says that it runs, and then takes its time."""
    script = folder / "wait"
    script.write_text(f"#!/bin/sh\necho $$ > {folder}/started\nexec sleep 60\n")
    script.chmod(0o700)
    inventory = folder / "inventory.yaml"
    inventory.write_text(WAITING.replace("WAIT", str(script)))
    return inventory


def unlimited() -> None:
    """Allow cores of any size, as far as this test may, for the program that is about to start."""
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))


def until(there: Callable[[], bool]) -> None:
    """Wait for something that is sure to come."""
    end = time.monotonic() + 30
    while not there():
        assert time.monotonic() < end
        time.sleep(0.01)


@LINUX
@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV])
def test_a_killed_process_leaves_no_core(tmp_path: Path, program: Callable[..., Any], number: signal.Signals) -> None:
    """Killed by a signal that makes cores, while it asks for a secret, with cores allowed: none is left."""
    inventory = waiting(tmp_path)
    with program("validate", inventory, cwd=tmp_path, preexec_fn=unlimited) as process:
        until((tmp_path / "started").exists)
        until(lambda: bool((tmp_path / "started").read_text().strip()))
        proc = Path(f"/proc/{process.pid}")
        limits = next(line for line in (proc / "limits").read_text().splitlines() if line.startswith("Max core"))
        child = int((tmp_path / "started").read_text())
        inherited = (Path(f"/proc/{child}") / "limits").read_text()
        process.send_signal(number)
        process.communicate(timeout=30)
        os.killpg(child, signal.SIGKILL)

    assert process.returncode == -number
    assert limits.split()[4:6] == ["0", "0"]
    assert "Max core file size        0 " in inherited
    assert not list(tmp_path.rglob("core*"))


@LINUX
def test_memory_is_not_dumpable() -> None:
    """The kernel is told not to dump the process, which holds where cores go to a collector whatever the limit says."""
    look = "leave_no_core(); import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    script = f"from cmscert.cli.hardening import leave_no_core; {look}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)

    assert done.stdout == "0\n"


def test_help_stays_quick(program: Callable[..., Any]) -> None:
    """What keeps cores away costs no start-up time: help needs a fraction of a second of work."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with program("--help") as process:
        process.communicate(timeout=30)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)

    assert process.returncode == 0
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2  # 0.15 s without coverage
