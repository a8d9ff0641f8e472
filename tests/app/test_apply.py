from __future__ import annotations

from dataclasses import replace

import pytest

from cmscert.app import running as running_module
from cmscert.app.apply import check_saved, refuse
from cmscert.errors import GuardRefused, LoginRefused, StalePlan
from cmscert.model.plan import Notice, Refusal
from cmscert.planning.make import Planned
from cmscert.testing.plans import sample_plan

LAST = Refusal(guard="last-call-bridge", server="core1", message="calls end")
FIXED = Refusal(guard="unread-server", message="it could not be read", liftable=False)


@pytest.mark.parametrize(
    ("refusals", "allow"),
    [((), ()), ((), ("x",)), ((LAST,), ("last-call-bridge",)), ((LAST, LAST), ("last-call-bridge", "other"))],
)
def test_lifted_guards_let_pass(refusals: tuple[Refusal, ...], allow: tuple[str, ...]) -> None:
    """Without guards, and with all of them lifted, nothing is refused."""
    refuse(refusals, allow)


@pytest.mark.parametrize(
    ("refusals", "allow", "hint"),
    [
        ((LAST,), (), "if that is meant: --allow last-call-bridge; more: cmscert explain last-call-bridge"),
        (
            (LAST, LAST),
            ("other",),
            "if that is meant: --allow last-call-bridge; more: cmscert explain last-call-bridge",
        ),
        ((FIXED,), ("unread-server",), "nothing lifts unread-server; more: cmscert explain unread-server"),
        ((LAST, FIXED), (), "nothing lifts unread-server; more: cmscert explain last-call-bridge"),
    ],
)
def test_guards_refuse(refusals: tuple[Refusal, ...], allow: tuple[str, ...], hint: str) -> None:
    """A guard that is not lifted, or cannot be, refuses with its reason and what would lift it."""
    with pytest.raises(GuardRefused, match="nothing was changed") as caught:
        refuse(refusals, allow)
    assert caught.value.hint == hint


def test_guards_of_this_moment_count() -> None:
    """A saved plan keeps its steps and takes refusals and notices of the new reading."""
    saved = sample_plan()
    notice = Notice(message="new")
    fresh = Planned(plan=replace(saved, refusals=(FIXED,), notices=(notice,), steps=()), contents={})
    then = Planned(plan=saved, contents={"sha256:x": b"x"})
    shown = check_saved(saved, fresh, then)

    assert (shown.plan.steps, shown.plan.refusals, shown.plan.notices) == (saved.steps, (FIXED,), (notice,))
    assert shown.contents == then.contents


def test_other_order_of_steps_is_stale() -> None:
    """The same steps in another order are another plan."""
    saved = sample_plan()
    then = Planned(plan=replace(saved, steps=saved.steps[::-1]), contents={})

    with pytest.raises(StalePlan, match="the fleet: other steps follow"):
        check_saved(saved, then, then)


def test_user_without_an_entry_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may run under a number that has no name."""

    def nobody() -> str:
        raise KeyError(4711)

    monkeypatch.setattr("getpass.getuser", nobody)

    assert running_module._user() == "unknown"


def test_what_mends_comes_before_what_goes_on() -> None:
    """Why a server could not be read brings its own hint, once, in front of the flag that goes on without it."""
    away = {name: LoginRefused(name, "does not accept admin", hint="check the secret") for name in ("core1", "core2")}

    with pytest.raises(GuardRefused) as caught:
        refuse((LAST,), (), away)

    assert caught.value.hint == (
        "check the secret; if that is meant: --allow last-call-bridge; more: cmscert explain last-call-bridge"
    )
