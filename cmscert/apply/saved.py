"""Where the public files go that ``naming: fixed`` overwrites: ``<run dir>/saved/<server>/<file>``.

The way back uses the copies on the server. These are for people: they hold when the server is gone. A private key is
never among them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from cmscert.apply.disk import make_folders, replacing
from cmscert.errors import InputError, JournalError
from cmscert.observe.files import is_key
from cmscert.pki.certificate import parse_certificate
from cmscert.pki.pem import read_certificates

SAVED = "saved"
Save = Callable[[str, str, bytes], None]
"""(server, file, content) onto disk; it is there when the call returns. Raises JournalError."""

_LABEL = re.compile(rb"-----BEGIN ([^\r\n]*?)-----")
_PUBLIC = frozenset({b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE"})


def is_public(name: str, content: bytes) -> bool:
    """Tell whether a file holds certificates and nothing else that matters: PEM without a key, or a certificate in DER.

    What could be a container (PKCS#12) may hold a key and is not public.
    """
    labels = set(_LABEL.findall(content))
    if is_key(name) or b"PRIVATE KEY" in content or not labels <= _PUBLIC:
        return False
    try:
        return bool(read_certificates(content, file=name) if labels else parse_certificate(content))
    except (InputError, ValueError):
        return False


def saved_folder(run: Path) -> Save:
    """Keep the public files that a run overwrites in its folder; what is not public is left out."""

    def save(server: str, name: str, content: bytes) -> None:
        if not is_public(name, content):
            return
        folder = run / SAVED / server
        path = folder / name
        if path.parent.parent != run / SAVED or path.name != name or {name, server} & {".", ".."}:
            raise JournalError(f"{name!r} of {server!r} is no name for a saved file")
        try:
            make_folders(run / SAVED, folder)
            with replacing(path) as file:
                file.write(content)
        except OSError as error:
            raise JournalError(
                f"{path}: the saved file cannot be written: {error.strerror or error}",
                hint="make room, or name another place with --state-dir",
            ) from error

    return save
