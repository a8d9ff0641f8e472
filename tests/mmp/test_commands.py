"""What is asked."""

from __future__ import annotations

import pytest

from cmscert.mmp import commands
from cmscert.mmp.services import SERVICES
from cmscert.model.commands import Command, Effect, Reply
from cmscert.model.names import Release
from cmscert.model.services import rows_for


@pytest.mark.parametrize(
    ("made", "typed"),
    [
        (commands.VERSION, "version"),
        (commands.DATE, "date"),
        (commands.USER_LIST, "user list"),
        (commands.PKI_LIST, "pki list"),
        (commands.pki_match("a.key", "a b.crt"), 'pki match a.key "a b.crt"'),
        (commands.pki_verify("a.crt", "ca.crt"), "pki verify a.crt ca.crt"),
    ],
)
def test_questions_are_typed_as_documented_and_read_only(made: Command, typed: str) -> None:
    """Questions are marked as reading, so a read-only session takes them."""
    assert (made.typed, made.effect) == (typed, Effect.READ)


def test_only_the_turn_screen_is_masked() -> None:
    """The turn screen shows a password (T-34), so its answer is never shown; the others are."""
    masked = {row.name for row in SERVICES if commands.status(row).masks_reply}

    assert masked == {"turn"}
    turn = commands.status(rows_for(SERVICES, Release(3, 9))["turn"])
    assert "hunter2" not in Reply(command=turn, text="Password : hunter2", seconds=0.1).shown


def test_statuses_begin_with_the_status() -> None:
    """A service's screens are asked for in the order in which they are read."""
    for row in SERVICES:
        assert commands.statuses(row)[0] == commands.status(row)
        assert {one.effect for one in commands.statuses(row)} == {Effect.READ}
    tls = rows_for(SERVICES, Release(3, 9))["tls"]
    assert [one.typed for one in commands.statuses(tls)] == ["tls sip", "tls ldap"]
