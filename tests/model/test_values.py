"""What the values that travel say of themselves."""

from __future__ import annotations

import pickle

import pytest

from cmscert.model.commands import Command, Effect, Reply
from cmscert.model.login import SecretRef
from cmscert.model.observed import ObservedServer
from cmscert.model.readings import Known
from cmscert.model.secret import Secret
from cmscert.testing.fleets import ToyFleet


def test_a_secret_hides_itself() -> None:
    """Only ``reveal`` shows a secret: no text, no format, no pickle, and the mask tells no length."""
    secret = Secret("hunter2")

    assert secret.reveal() == "hunter2"
    assert {str(secret), f"{secret:>40}", repr(secret)} == {"********", "Secret(********)"}
    assert [secret == other for other in (Secret("hunter2"), Secret("other"), "hunter2")] == [True, False, False]
    assert hash(secret) == hash(Secret("hunter2"))
    with pytest.raises(TypeError, match="not serialised"):
        pickle.dumps(secret)


def test_a_reply_with_passwords_is_not_shown() -> None:
    """The screen of TURN holds a password (T-34), so its answer is never shown."""
    turn = Command(typed="turn", effect=Effect.READ, masks_reply=True)

    assert str(turn) == "turn"
    assert "Cisco.123" not in Reply(command=turn, text="Password : Cisco.123", seconds=0.1).shown
    assert Reply(command=Command(typed="version", effect=Effect.READ), text="3.9", seconds=0.1).shown == "3.9"


def test_a_reference_shows_where_never_what() -> None:
    """A reference to a secret is drawn by its kind and place."""
    assert str(SecretRef(kind="command", value=("pass", "cms"))) == "command: pass cms"


def test_a_server_that_is_not_there() -> None:
    """Asking for an unknown server is a KeyError."""
    fleet = ToyFleet()
    fleet.server("core1")

    assert fleet.desired().server("core1").slot("webadmin") is None
    with pytest.raises(KeyError):
        fleet.desired().server("core9")


def test_digests_tell_readings_apart() -> None:
    """Two readings have one digest exactly when a plan would rest on the same; clocks do not count."""
    plain = ObservedServer(name="core1", reached=Known(value=True))
    listed = ObservedServer(name="core1", reached=Known(value=True), files=Known(("a.crt", "log")))

    assert plain.digest() != listed.digest()
    assert (
        listed.digest()
        == ObservedServer(
            name="core1", reached=Known(value=True), files=Known(("a.crt",)), clock_skew=Known(9.0)
        ).digest()
    )
