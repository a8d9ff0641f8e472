"""Secrets by reference: looked up right before use, handed on as values that hide themselves.

No error repeats a secret or what a program wrote: programs tend to print secrets when they fail.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from cmscert.errors import SecretError
from cmscert.inventory.sources import Unreadable, read_bytes
from cmscert.model.login import SecretRef
from cmscert.model.secret import Secret

if TYPE_CHECKING:
    import subprocess

COMMAND_SECONDS = 30.0
SECRET_LIMIT = 1_000_000


def resolve(ref: SecretRef, *, folder: Path, seconds: float = COMMAND_SECONDS) -> Secret[str]:
    """Look up a secret as text.

    One line end at the end of a file or a program's output is taken off. ``folder``: what relative paths start from,
    and where programs run. ``seconds``: how long a program may take. Raises SecretError.
    """
    content = _look_up(ref, folder, seconds)
    text = _decoded(content)
    if text is None:
        raise SecretError(f"the secret from {_place(ref)} is not UTF-8 text")
    if ref.kind in ("file", "command"):
        text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise SecretError(f"the secret from {_place(ref)} is empty")
    return Secret(text)


def resolve_bytes(ref: SecretRef, *, folder: Path, seconds: float = COMMAND_SECONDS) -> Secret[bytes]:
    """Look up a secret as bytes, unchanged: for private keys. Otherwise like ``resolve``."""
    return Secret(_look_up(ref, folder, seconds))


def _look_up(ref: SecretRef, folder: Path, seconds: float) -> bytes:
    match ref.kind:
        case "env":
            return _from_environment(ref.value[0])
        case "file":
            return _from_file(ref, folder)
        case "command":
            return _from_command(ref, folder, seconds)
        case "keyring":
            return _from_keyring(*ref.value)


def _place(ref: SecretRef) -> str:
    """Name where a secret is kept; of a command the program only, because arguments may tell more than they should."""
    if ref.kind == "command":
        return f"the command {ref.value[0]}"
    return {"env": "the environment variable ", "file": "the file ", "keyring": "the keyring entry "}[ref.kind] + (
        " ".join(ref.value)
    )


def _decoded(content: bytes) -> str | None:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def _from_environment(name: str) -> bytes:
    value = os.environb.get(os.fsencode(name))
    if value is None:
        raise SecretError(f"the environment variable {name} is not set", hint=f"export {name} before you start cmscert")
    return value


def _from_file(ref: SecretRef, folder: Path) -> bytes:
    try:
        return read_bytes(folder / Path(ref.value[0]).expanduser(), limit=SECRET_LIMIT)
    except RuntimeError:
        raise SecretError(f"{_place(ref)}: there is no such home folder") from None
    except Unreadable as error:
        raise SecretError(f"{_place(ref)}: {error}") from None


def _from_command(ref: SecretRef, folder: Path, seconds: float) -> bytes:
    import subprocess

    hint = "run it by hand and see what it prints"
    try:
        process = subprocess.Popen(  # noqa: S603 - an argument list that the inventory's owner wrote; no shell
            ref.value,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "unusable arguments"
        raise SecretError(f"{_place(ref)} cannot be started: {why.lower()}", hint=hint) from None
    with process:
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            output = None
        except BaseException:
            _end(process)
            raise
        if output is None:
            _end(process)
            raise SecretError(f"{_place(ref)} did not end within {seconds:g} s", hint=hint)
    if process.returncode != 0:
        raise SecretError(f"{_place(ref)} ended with code {process.returncode}", hint=hint)
    return bytes(output)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program and what it started: they share a session of their own."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        process.kill()


def _from_keyring(service: str, user: str) -> bytes:
    import keyring
    from keyring.errors import KeyringError

    hint = f"store it with: keyring set {service} {user}"
    try:
        value = keyring.get_password(service, user)
    except KeyringError as error:
        message = f"the keyring cannot be used: {type(error).__name__}"
        raise SecretError(message, hint="use {env}, {file} or {command} on machines without a desktop") from None
    if value is None:
        raise SecretError(f"the keyring has no entry for service {service}, user {user}", hint=hint)
    return value.encode()
