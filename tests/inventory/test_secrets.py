from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import NoKeyringError

from cmscert.errors import SecretError
from cmscert.inventory.secrets import resolve, resolve_bytes
from cmscert.model.login import SecretRef

PASS = "Hunter2!"  # noqa: S105 - what must not show up

FAILING = f"import sys; print('{PASS}'); print('{PASS}', file=sys.stderr); sys.exit(3)"


def reference(kind: str, *value: str) -> SecretRef:
    """Make a reference."""
    return SecretRef(kind=kind, value=value)  # type: ignore[arg-type]  # the kinds are spelt in the tests


def python(code: str) -> SecretRef:
    """Make a reference to a program."""
    return reference("command", sys.executable, "-c", code)


class Drawer(KeyringBackend):
    """A keyring in memory."""

    priority = 1

    def get_password(self, service: str, username: str) -> str | None:
        """Return the one entry."""
        if service == "broken":
            raise NoKeyringError(PASS)
        return PASS if (service, username) == ("cms", "admin") else None

    def set_password(self, service: str, username: str, password: str) -> None:
        """Do nothing."""

    def delete_password(self, service: str, username: str) -> None:
        """Do nothing."""


@pytest.fixture
def drawer() -> object:
    """Put a keyring in place of the desktop's."""
    before = keyring.get_keyring()
    keyring.set_keyring(Drawer())
    yield
    keyring.set_keyring(before)


def test_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable is taken as it is."""
    monkeypatch.setenv("CMSCERT_TEST_SECRET", f"{PASS}\n")

    assert resolve(reference("env", "CMSCERT_TEST_SECRET"), folder=tmp_path).reveal() == f"{PASS}\n"


@pytest.mark.parametrize(
    ("content", "secret"), [("x", "x"), ("x\n", "x"), ("x\r\n", "x"), ("x\n\n", "x\n"), (" x \n", " x ")]
)
def test_from_a_file(tmp_path: Path, content: str, secret: str) -> None:
    """One line end at the end of a file is taken off, nothing else; as bytes, nothing is."""
    (tmp_path / "pass").write_bytes(content.encode())

    assert resolve(reference("file", "pass"), folder=tmp_path).reveal() == secret
    assert resolve(reference("file", str(tmp_path / "pass")), folder=Path("/")).reveal() == secret
    assert resolve_bytes(reference("file", "pass"), folder=tmp_path).reveal() == content.encode()


def test_from_a_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``~`` in a file's name is the home folder."""
    (tmp_path / "pass").write_text(PASS)
    monkeypatch.setenv("HOME", str(tmp_path))

    assert resolve(reference("file", "~/pass"), folder=Path("/")).reveal() == PASS


def test_from_a_program(tmp_path: Path) -> None:
    """A program runs in the inventory's folder without a shell; the line end of what it prints is taken off."""
    (tmp_path / "pass").write_text(f"{PASS}; $HOME\n")

    assert resolve(python("print(open('pass').read(), end='')"), folder=tmp_path).reveal() == f"{PASS}; $HOME"


@pytest.mark.usefixtures("drawer")
def test_from_the_keyring(tmp_path: Path) -> None:
    """An entry of the keyring is found by service and user."""
    assert resolve(reference("keyring", "cms", "admin"), folder=tmp_path).reveal() == PASS


@pytest.mark.usefixtures("drawer")
@pytest.mark.parametrize(
    ("ref", "said"),
    [
        (reference("env", "CMSCERT_TEST_SECRET"), "the environment variable CMSCERT_TEST_SECRET is not set"),
        (reference("env", "CMSCERT_EMPTY"), "the secret from the environment variable CMSCERT_EMPTY is empty"),
        (reference("file", "nope"), "the file nope: no such file"),
        (reference("file", "."), "the file .: is a directory, not a file"),
        (reference("file", "odd"), "the secret from the file odd is not UTF-8 text"),
        (reference("file", "~nobody-of-that-name/x"), "the file ~nobody-of-that-name/x: there is no such home folder"),
        (reference("command", "./nope", PASS), "the command ./nope cannot be started: no such file or directory"),
        (reference("command", "a\0b"), "the command a\0b cannot be started: unusable arguments"),
        (python(FAILING), f"the command {sys.executable} ended with code 3"),
        (python("pass"), f"the secret from the command {sys.executable} is empty"),
        (reference("keyring", "cms", "nobody"), "the keyring has no entry for service cms, user nobody"),
        (reference("keyring", "broken", "x"), "the keyring cannot be used: NoKeyringError"),
    ],
    ids=lambda one: one.kind if isinstance(one, SecretRef) else "",
)
def test_what_cannot_be_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], ref: SecretRef, said: str
) -> None:
    """Each failure names the place and never what was found there, on stderr neither."""
    monkeypatch.setenv("CMSCERT_EMPTY", "")
    (tmp_path / "odd").write_bytes(b"\xff" + PASS.encode())
    with pytest.raises(SecretError) as caught:
        resolve(ref, folder=tmp_path)

    assert caught.value.message == said
    shown = f"{caught.value!r} {caught.value.hint} {caught.value.__cause__!r} {''.join(capfd.readouterr())}"
    assert PASS not in shown


def wait_until(fact: Callable[[], bool]) -> None:
    """Wait until something holds."""
    end = time.monotonic() + 20
    while not fact():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_program_that_does_not_end(tmp_path: Path) -> None:
    """A program that takes too long is ended, with what it started, even when that holds its output open."""
    code = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "open('child', 'w').write(str(child.pid))\n"
        "time.sleep(600)\n"
    )
    with pytest.raises(SecretError, match=r"did not end within 3 s"):
        resolve(python(code), folder=tmp_path, seconds=3)
    child = int((tmp_path / "child").read_text())

    def gone() -> bool:
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return True
        return Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z"

    wait_until(gone)
