"""Why a certificate is obtained anew: each reason on its own, all together, and when a failure must be heard of."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from cmscert.model.desired import Due
from cmscert.planning.renewal import Holding, at_risk, why_renew
from cmscert.testing.ca import self_signed
from cmscert.testing.fleets import MOMENT

DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
LEAF = self_signed("x.example.com", not_before=MOMENT, not_after=MOMENT + 90 * DAY).certificate
HELD = Holding(chain=(LEAF,), issuer="house", wanted_issuer="house")


KEY = (LEAF.key_type, LEAF.key_bits)


@pytest.mark.parametrize(
    ("held", "why"),
    [
        (HELD, None),
        (replace(HELD, chain=(), issuer=None), "there is none yet"),
        (replace(HELD, wanted_issuer="public"), "issuer house delivered it, wanted is public"),
        (replace(HELD, unfit=("it lacks y.example.com", "no chain")), "it lacks y.example.com; no chain"),
        (replace(HELD, wanted_type=KEY[0], wanted_bits=KEY[1]), None),
        (
            replace(HELD, wanted_bits=3072),
            f"its key is {KEY[0]} {KEY[1]}, wanted is {KEY[0]} 3072",
        ),
        (replace(HELD, wanted_type="ED"), f"its key is {KEY[0]} {KEY[1]}, wanted is ED {KEY[1]}"),
        (replace(HELD, wanted_on_device=True), "its key was made here"),
        (replace(HELD, on_device=True), "its key was made on the server"),
        # What a server makes is the server's choice.
        (replace(HELD, on_device=True, wanted_on_device=True, wanted_bits=3072), None),
        (
            replace(HELD, wanted_issuer="public", on_device=True),
            "issuer house delivered it, wanted is public; its key was made on the server",
        ),
    ],
)
def test_why(held: Holding, why: str | None) -> None:
    """What is in store is compared with all that the inventory asks for, and every difference is named."""
    assert why_renew(held, Due(), MOMENT) == why


@pytest.mark.parametrize(
    ("after", "why"),
    [
        (60 * DAY - MICROSECOND, None),
        (60 * DAY, "due since 2027-01-22: expires in 30 days"),
        (90 * DAY - MICROSECOND, "due since"),
        (90 * DAY, "the one in store expired on"),
    ],
)
def test_time(after: timedelta, why: str | None) -> None:
    """A certificate is due until it ends, and expired from then on: never both, never neither."""
    found = why_renew(HELD, Due(), MOMENT + after)

    assert (found or "").startswith(why or "")
    assert (found is None) is (why is None)
    assert "; " not in (found or "")


@pytest.mark.parametrize(
    ("after", "risk"), [(0 * DAY, False), (75 * DAY - MICROSECOND, False), (75 * DAY, True), (90 * DAY, True)]
)
def test_risk(after: timedelta, *, risk: bool) -> None:
    """A renewal that fails is heard of from the second half of its time on."""
    assert at_risk(HELD, Due(), MOMENT + after) is risk


def test_nothing_in_store_is_a_risk() -> None:
    """A failure is heard of at once where there is nothing that could be used."""
    assert at_risk(replace(HELD, chain=()), Due(), MOMENT)
