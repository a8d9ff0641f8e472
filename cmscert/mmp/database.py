"""What is typed at the database cluster, and at the CA built into CMS (facts 5.1, procedure section 2).

``read_database_status`` in ``cmscert.mmp.database_status`` reads the status screen.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from cmscert.mmp.csr import Request, basename_malformed, common_name_malformed
from cmscert.mmp.grammar import command
from cmscert.model.commands import Command, Effect
from cmscert.model.database import DatabaseFiles

DATABASE_STATUS: Final = command("database", "cluster", "status", effect=Effect.READ)
"""T-50, T-51."""


def backup_snapshot(name: str) -> Command:
    """Return ``backup snapshot``: it leaves ``backup_files(name)`` in the store ([S16]).

    Raises ValueError for a name that is no basename: which others a server takes is unknown.
    """
    _fit(Request(basename=name, common_name="unused"))
    return command("backup", "snapshot", name, effect=Effect.CHANGE)


def backup_files(name: str) -> tuple[str, str]:
    """Return the names of the two files of a backup ([S16]); the first holds private keys ([INF] from [S14])."""
    return f"{name}.bak", f"{name}.json"


def database_remove() -> Command:
    """Return ``database cluster remove``: it asks, and wants a capital Y ([S13b])."""
    return _cluster("remove", confirms=True)


def database_certs(files: DatabaseFiles) -> Command:
    """Return ``database cluster certs``: five files on a node with a database, three where it only connects.

    Raises ValueError when half of the server's pair, a client's file or the CA is missing.
    """
    client = (files.client_key, files.client_certificate, files.ca)
    server = (files.server_key, files.server_certificate)
    names = client if server == (None, None) else (*server, *client)
    given = [name for name in names if name is not None]
    if len(given) != len(names):
        raise ValueError("database cluster certs takes the server's pair or none, and the client's pair and a CA")
    return _cluster("certs", *given)


def database_localnode(interface: str) -> Command:
    """Return ``database cluster localnode``: the interface that the database uses."""
    return _cluster("localnode", interface)


def database_initialize() -> Command:
    """Return ``database cluster initialize``: it asks ([MEM] 5.3)."""
    return _cluster("initialize", confirms=True)


def database_join(address: str) -> Command:
    """Return ``database cluster join``: the node's rows are overwritten ([S2]). It asks ([MEM] 5.3)."""
    return _cluster("join", address, confirms=True)


def database_connect(address: str) -> Command:
    """Return ``database cluster connect``. Whether it asks is unknown: an answer is ready, and no harm if not."""
    return _cluster("connect", address, confirms=True)


def database_clear_error() -> Command:
    """Return ``database cluster clear_error``; [S2] prints a blank, the underscore is [MEM] (5.1)."""
    return _cluster("clear_error")


def database_upgrade_schema() -> Command:
    """Return ``database cluster upgrade_schema``, as ``Last command`` shows it (T-51)."""
    return _cluster("upgrade_schema")


def pki_selfsigned(basename: str, cn: str, files: Collection[str] = ()) -> Command:
    """Return ``pki selfsigned``: a new key and a certificate that signed itself, ``.key`` and ``.crt`` ([MEM]).

    ``files``: names in the server's store. Raises ValueError for a malformed basename or CN, or a basename in use.
    """
    _fit(Request(basename=basename, common_name=cn))
    _unused(basename, (".key", ".crt", ".csr"), files)
    return command("pki", "selfsigned", basename, f"CN:{cn}", effect=Effect.CHANGE)


def pki_sign(csr: str, ca: str, files: Collection[str] = ()) -> Command:
    """Return ``pki sign``: basename of a request, basename of the CA that signs it; makes ``<csr>.crt`` ([MEM]).

    ``files``: names in the server's store. Raises ValueError for a malformed basename, or where there is a
    certificate of that name already.
    """
    for basename in (csr, ca):
        _fit(Request(basename=basename, common_name="unused"))
    _unused(csr, (".crt",), files)
    return command("pki", "sign", csr, ca, effect=Effect.CHANGE)


def _cluster(*words: str, confirms: bool = False) -> Command:
    return command("database", "cluster", *words, effect=Effect.CHANGE, confirms=confirms)


def _fit(request: Request) -> None:
    """[S17]: the rules of ``pki csr``; that backups and the other commands of ``pki`` take the same is [INF]."""
    wrong = basename_malformed(request) or common_name_malformed(request)
    if wrong:
        raise ValueError(wrong)


def _unused(basename: str, endings: tuple[str, ...], files: Collection[str]) -> None:
    taken = [f"{basename}{ending}" for ending in endings if f"{basename}{ending}" in files]
    if taken:
        raise ValueError(f"{' and '.join(taken)} would be overwritten: choose a new basename")
