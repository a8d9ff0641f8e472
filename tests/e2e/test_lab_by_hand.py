"""The lab as a person starts it: OpenSSH gets in as the lab says, and Ctrl-C leaves nothing behind."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pexpect
import pytest

INVENTORY = Path(__file__).parents[2] / "inventories" / "single.yaml"
openssh = pytest.mark.judge("openssh-client")


@dataclass
class ByHand:
    """A lab on a terminal, what it said, and the folder that it was started in."""

    child: pexpect.spawn
    said: str
    folder: Path

    def line(self, start: str) -> str:
        """Return the printed command that starts so."""
        return next(line.strip() for line in self.said.splitlines() if line.strip().startswith(start))


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ByHand]:
    """Start ``cmscert lab up`` on a terminal, on ports that the system chooses."""
    folder = tmp_path_factory.mktemp("by-hand")
    child = pexpect.spawn(
        sys.executable,
        ["-m", "cmscert", "lab", "up", str(INVENTORY), "--base-port", "0"],
        cwd=str(folder),
        env={**os.environ, "TERM": "dumb"},
        dimensions=(60, 250),
        encoding="utf-8",
        timeout=60,
    )
    child.expect("Ctrl-C ends the lab.")
    yield ByHand(child, str(child.before), folder)
    if child.isalive():
        child.terminate(force=True)


@pytest.fixture
def password(tmp_path: Path) -> dict[str, str]:
    """Let OpenSSH read the password from a script, as there is nobody to type it."""
    script = tmp_path / "askpass"
    script.write_text("#!/bin/sh\necho lab\n")
    script.chmod(0o700)
    return {**os.environ, "SSH_ASKPASS": str(script), "SSH_ASKPASS_REQUIRE": "force", "SSH_AUTH_SOCK": ""}


def typed(by_hand: ByHand, words: list[str], env: dict[str, str], text: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program where the lab was started."""
    return subprocess.run(
        words, cwd=by_hand.folder, env=env, input=text, capture_output=True, text=True, check=False, timeout=30
    )


def test_lab_tells_what_is_wrong_and_what_to_type(by_hand: ByHand) -> None:
    """Every planted fault is told, and the commands are there to copy."""
    assert "key file was replaced" in by_hand.said
    assert "expires in 8 days" in by_hand.said
    for start in ("export CMS_PASSWORD=lab", "cmscert plan", "cmscert apply", "ssh ", "sftp "):
        assert by_hand.line(start)


@openssh
def test_ssh_as_printed(by_hand: ByHand, password: dict[str, str]) -> None:
    """The printed ssh line logs in, and a status screen can be read."""
    words = [*shlex.split(by_hand.line("ssh ")), "webbridge3"]
    ran = typed(by_hand, words, password)

    assert ran.returncode == 0, ran
    assert re.search(r"Enabled +: true", ran.stdout)
    assert "all-fullchain.crt" in ran.stdout


@openssh
def test_sftp_as_printed(by_hand: ByHand, password: dict[str, str]) -> None:
    """The printed sftp line lists and fetches the node's files."""
    words = shlex.split(by_hand.line("sftp "))
    words[1:1] = ["-o", "BatchMode=no", "-b", "-"]
    ran = typed(by_hand, words, password, "ls -1\nget all.crt got.crt\n")

    assert ran.returncode == 0, ran
    assert {"all.crt", "all.key", "log"} <= set(ran.stdout.split())
    assert (by_hand.folder / "got.crt").read_text().startswith("-----BEGIN CERTIFICATE-----")


@openssh
def test_keyscan_agrees(by_hand: ByHand) -> None:
    """``ssh-keyscan`` sees the host key that the lab wrote down."""
    words = shlex.split(by_hand.line("ssh "))
    port = words[words.index("-p") + 1]
    option = next(word for word in words if word.startswith("UserKnownHostsFile="))
    known = (by_hand.folder / option.partition("=")[2]).read_text().split()
    ran = typed(by_hand, ["ssh-keyscan", "-t", "ed25519", "-p", port, "127.0.0.1"], dict(os.environ))

    assert known[1:3] == ran.stdout.split()[1:3]


def test_commands_as_printed(by_hand: ByHand, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every printed command of cmscert works where the lab was started, in the printed order."""
    monkeypatch.chdir(by_hand.folder)
    codes = {}
    for line in by_hand.said.splitlines():
        words = line.split()
        if words[:1] == ["cmscert"]:
            codes[words[1]] = cli(*words[1:], *(["--yes"] if words[1] == "apply" else [])).code

    assert codes == {"validate": 0, "plan": 0, "apply": 0, "status": 0, "drift": 0}


def test_ctrl_c_ends_the_lab(by_hand: ByHand) -> None:
    """Ctrl-C ends with 0 or 130, and leaves no process and no open port. It comes last in this module."""
    words = shlex.split(by_hand.line("ssh "))
    port = int(words[words.index("-p") + 1])
    by_hand.child.sendintr()
    rest = by_hand.child.read()
    by_hand.child.close()

    assert by_hand.child.exitstatus in (0, 130)
    assert "Traceback" not in rest
    with pytest.raises(ProcessLookupError):
        os.killpg(by_hand.child.pid, 0)
    with pytest.raises(ConnectionRefusedError):
        _connect(port)


def _connect(port: int) -> None:
    import socket

    with socket.create_connection(("127.0.0.1", port), timeout=5):
        pass
