"""How an inventory refers to a secret; it never holds one."""

from __future__ import annotations

from typing import Annotated

from pydantic import Discriminator, Field

from cmscert.inventory.fields import PathText, Text, Variable, branch, tag_by
from cmscert.inventory.service_forms import Form

SECRET_FORMS = "{env: NAME}, {file: PATH}, {command: [PROGRAM, ...]} or {keyring: {service: S, user: U}}"  # noqa: S105 - names the forms


class EnvForm(Form):
    """A secret in an environment variable."""

    env: Variable = Field(description="Name of the variable.")


class FileForm(Form):
    """A secret in a file, which may lie anywhere."""

    file: PathText = Field(description="Path, relative to the inventory's folder; `~` is your home.")


class CommandForm(Form):
    """A secret that a program prints."""

    command: Annotated[tuple[Text, ...], Field(min_length=1)] = Field(
        description="Program and arguments; no shell is involved."
    )


class KeyringEntry(Form):
    """Where in the keyring."""

    service: Text = Field(description="Service of the entry.")
    user: Text = Field(description="User of the entry.")


class KeyringForm(Form):
    """A secret in the keyring of the desktop."""

    keyring: KeyringEntry = Field(description="Service and user of the entry.")


def _secret_kind(value: object) -> str | None:
    keys = list(value) if isinstance(value, dict) else []
    return str(keys[0]) if len(keys) == 1 else None


SecretForm = Annotated[
    Annotated[EnvForm, branch("env")]
    | Annotated[FileForm, branch("file")]
    | Annotated[CommandForm, branch("command")]
    | Annotated[KeyringForm, branch("keyring")],
    Discriminator(
        tag_by(_secret_kind),
        custom_error_type="secret",
        custom_error_message=f"a secret is never written here: say where it is kept, with {SECRET_FORMS}",
    ),
]
