"""When a certificate is due: the one function, at its edges, and wherever it is asked."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmscert.mmp.services import SERVICES
from cmscert.model.desired import Due, Policy
from cmscert.model.plan import Drift
from cmscert.pki.certificate import Certificate
from cmscert.planning.drift import find_drift
from cmscert.planning.due import chain_of, due_at, end_of, is_due
from cmscert.planning.sight import see
from cmscert.testing.ca import ThrowAwayCa, self_signed
from cmscert.testing.fleets import MOMENT, ToyFleet, identity, material

DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
LEAF = self_signed("x.example.com", not_before=MOMENT, not_after=MOMENT + 90 * DAY).certificate
SHARES = st.fractions(min_value=Fraction(1, 100), max_value=Fraction(99, 100))
RULES = st.builds(
    Due, life_left=st.none() | SHARES, time_left=st.none() | st.timedeltas(min_value=DAY, max_value=3650 * DAY)
)


def lasting(days: float, chain_days: float | None = None) -> tuple[Certificate, ...]:
    """Return a leaf that lasts for days from MOMENT on, with an issuer that may end sooner."""
    leaf = replace(LEAF, not_after=MOMENT + days * DAY)
    return (leaf,) if chain_days is None else (leaf, replace(LEAF, not_after=MOMENT + chain_days * DAY))


@pytest.mark.parametrize(
    ("due", "days", "after"),
    [
        (Due(), 90, 60),
        (Due(), 47, 47 * 2 / 3),
        (Due(life_left=Fraction(1, 2)), 90, 45),
        (Due(life_left=None, time_left=30 * DAY), 90, 60),
        (Due(life_left=None, time_left=30 * DAY), 47, 17),
        (Due(life_left=None, time_left=30 * DAY), 31, 1),
        (Due(life_left=None, time_left=30 * DAY), 30, 20),  # as long as it lives: a third of its life
        (Due(life_left=None, time_left=30 * DAY), 6, 4),
        (Due(life_left=Fraction(1, 3), time_left=10 * DAY), 90, 60),  # the sooner of the two
        (Due(life_left=Fraction(1, 10), time_left=30 * DAY), 90, 60),
        (Due(life_left=None), 90, 90),
    ],
)
def test_rules(due: Due, days: int, after: float) -> None:
    """Shares and days count from the end, to the microsecond, and the sooner one holds."""
    certificates, edge = lasting(days), MOMENT + after * DAY

    assert due_at(certificates, due) == edge
    assert is_due(certificates, due, edge)
    assert not is_due(certificates, due, edge - MICROSECOND)


@given(due=RULES, life=st.timedeltas(min_value=timedelta(hours=1), max_value=3650 * DAY))
def test_never_due_when_issued(due: Due, life: timedelta) -> None:
    """Whatever the rule, a new certificate is not due at once, and every one is due by its end."""
    leaf = replace(LEAF, not_after=MOMENT + life)

    assert MOMENT < due_at((leaf,), due) <= leaf.not_after
    assert not is_due((leaf,), due, MOMENT)
    assert is_due((leaf,), due, leaf.not_after)


@given(due=RULES, sooner=st.integers(1, 89))
def test_chain_counts(due: Due, sooner: int) -> None:
    """A chain that ends before its leaf counts as if the leaf ended then."""
    assert due_at(lasting(90, sooner), due) == due_at(lasting(sooner), due)
    assert due_at(lasting(sooner, 90), due) == due_at(lasting(sooner), due)


@given(due=RULES, days=st.integers(-10, 100))
def test_the_ca_knows_better(due: Due, days: int) -> None:
    """What the CA suggests wins over every rule, sooner or later, but never past the end."""
    suggested = MOMENT + days * DAY
    told = replace(due, suggested={LEAF.sha256: suggested, "0" * 64: MOMENT})

    assert due_at(lasting(90), told) == min(suggested, MOMENT + 90 * DAY)
    assert is_due(lasting(90), told, suggested)
    assert not is_due(lasting(90), told, min(suggested, MOMENT + 90 * DAY) - MICROSECOND)


def test_what_lies_beside_does_not_count() -> None:
    """Certificates in the same file that are not above the leaf do not end with it."""
    root = ThrowAwayCa.root(not_after=MOMENT + 500 * DAY)
    issued = root.issue("x.example.com", not_before=MOMENT, not_after=MOMENT + 90 * DAY)
    old = ThrowAwayCa.root("Old Root", not_after=MOMENT)

    chain = chain_of(issued.certificate, (*old.bundle, *root.bundle))

    assert chain == issued.full_chain
    assert end_of(chain) == MOMENT + 90 * DAY


def soon(root: ThrowAwayCa) -> tuple[Certificate, ...]:
    """Return a certificate of many years under a CA that ends in thirty days."""
    short = root.intermediate("Short CA", at=MOMENT - 60 * DAY, not_after=MOMENT + 30 * DAY)
    return short.issue("cluster.example.com", not_before=MOMENT - 60 * DAY, not_after=MOMENT + 900 * DAY).full_chain


def drift_of(fleet: ToyFleet, at: datetime) -> list[Drift]:
    """Return what is due on the one server."""
    sight = see(fleet.desired().servers[0], fleet.observed()["core1"], SERVICES)
    return [one for one in find_drift(sight, Policy(), at) if one.reason in ("expires-soon", "expired")]


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("wanted", [False, True])
def test_wherever_the_chain_stands(*, alone: bool, wanted: bool) -> None:
    """Whether the chain is in the file or in the bundle, and whether it is wanted or found: the same moment."""
    root = ThrowAwayCa.root()
    leaf, *above = soon(root)
    fleet = ToyFleet()
    core = fleet.server("core1")
    other = root.issue("cluster.example.com").certificate
    core.wanted["callbridge"] = identity("callbridge", material("cluster", leaf if wanted else other, tuple(above)))
    if alone:
        core.hold("callbridge", (leaf,), bundle=above)
    else:
        core.hold("callbridge", (leaf, *above))

    assert drift_of(fleet, MOMENT - MICROSECOND) == []
    (drift,) = drift_of(fleet, MOMENT)
    assert (drift.reason, drift.found) == ("expires-soon", "expires in 30 days, on 2026-12-23")
    (drift,) = drift_of(fleet, MOMENT + 30 * DAY)
    assert drift.reason == "expired"
