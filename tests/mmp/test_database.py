"""What is typed at the database cluster, and at the CA built into CMS."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cmscert.mmp import database
from cmscert.model.commands import Command, Effect
from cmscert.model.database import DatabaseFiles

CLIENT = DatabaseFiles(client_key="c.key", client_certificate="c.crt", ca="ca.crt")
NODE = DatabaseFiles(
    server_key="s.key", server_certificate="s.crt", client_key="c.key", client_certificate="c.crt", ca="ca.crt"
)


@pytest.mark.parametrize(
    ("made", "typed"),
    [
        (database.backup_snapshot("main-1"), "backup snapshot main-1"),
        (database.database_remove(), "database cluster remove"),
        (database.database_certs(NODE), "database cluster certs s.key s.crt c.key c.crt ca.crt"),
        (database.database_certs(CLIENT), "database cluster certs c.key c.crt ca.crt"),
        (database.database_localnode("a"), "database cluster localnode a"),
        (database.database_initialize(), "database cluster initialize"),
        (database.database_join("10.0.0.1"), "database cluster join 10.0.0.1"),
        (database.database_connect("core1.example.com"), "database cluster connect core1.example.com"),
        (database.database_clear_error(), "database cluster clear_error"),
        (database.database_upgrade_schema(), "database cluster upgrade_schema"),
        (database.pki_selfsigned("dbca", "example.com"), "pki selfsigned dbca CN:example.com"),
        (database.pki_sign("dbserver", "dbca"), "pki sign dbserver dbca"),
    ],
    ids=lambda value: value.typed if isinstance(value, Command) else "",
)
def test_commands_are_typed_as_documented_and_change(made: Command, typed: str) -> None:
    """Commands are those of the TechNote and change something, so a read-only session refuses them."""
    assert (made.typed, made.effect) == (typed, Effect.CHANGE)
    assert made.confirms == (made.typed.split()[2] in {"remove", "initialize", "join", "connect"})


def test_the_status_only_reads() -> None:
    """Looking at the cluster is no change."""
    assert (database.DATABASE_STATUS.typed, database.DATABASE_STATUS.effect) == ("database cluster status", Effect.READ)


def test_a_backup_is_two_files() -> None:
    """A backup leaves a .bak and a .json in the store ([S16])."""
    assert database.backup_files("main-1") == ("main-1.bak", "main-1.json")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: database.backup_snapshot("a b"), "basename takes"),
        (lambda: database.backup_snapshot("a" * 65), "basename is longer"),
        (lambda: database.database_certs(DatabaseFiles()), "takes the server's pair or none"),
        (
            lambda: database.database_certs(
                DatabaseFiles(server_key="s.key", client_key="c.key", client_certificate="c.crt", ca="ca.crt")
            ),
            "takes the server's pair or none",
        ),
        (
            lambda: database.database_certs(DatabaseFiles(client_key="c.key", client_certificate="c.crt")),
            "client's pair and a CA",
        ),
        (lambda: database.database_join("10.0.0.1\nY"), "cannot be typed"),
        (lambda: database.database_localnode(""), "cannot be typed"),
        (lambda: database.pki_selfsigned("db ca", "example.com"), "basename takes"),
        (lambda: database.pki_selfsigned("dbca", ""), "common name is empty"),
        (lambda: database.pki_selfsigned("dbca", "a`b"), "cannot be typed"),
        (lambda: database.pki_selfsigned("dbca", "a.b", ["dbca.key", "dbca.crt"]), "dbca.key and dbca.crt would be"),
        (lambda: database.pki_sign("dbserver", "../dbca"), "basename takes"),
        (lambda: database.pki_sign("dbserver", "dbca", ["dbserver.key", "dbserver.crt"]), "^dbserver.crt would be"),
    ],
)
def test_what_does_not_fit_is_not_typed(make: Callable[[], Command], message: str) -> None:
    """A malformed name, half a pair, or a basename in use is refused before anything is typed."""
    with pytest.raises(ValueError, match=message):
        make()
