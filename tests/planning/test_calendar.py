"""What the rules for public CAs will do to a certificate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cmscert.planning.calendar import is_public, rules_ahead
from cmscert.testing.ca import ThrowAwayCa

ISSUED = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("days", "renewed", "eku", "said"),
    [
        (199, datetime(2027, 3, 14, tzinfo=UTC), ("serverAuth",), ("100 days at most from 2027-03-15 on",)),
        (
            199,
            datetime(2027, 3, 15, tzinfo=UTC),
            ("serverAuth",),
            (
                "renewed on 2027-03-15 it lives 100 days at most, now 199",
                "47 days at most from 2029-03-15 on",
            ),
        ),
        (
            90,
            datetime(2027, 1, 1, tzinfo=UTC),
            ("serverAuth", "clientAuth"),
            (
                "47 days at most from 2029-03-15 on",
                "the next one has no clientAuth: public CAs stopped issuing it by 2026-06-15",
            ),
        ),
        (47, datetime(2026, 12, 1, tzinfo=UTC), None, ()),
        (90, datetime(2029, 3, 15, tzinfo=UTC), None, ("renewed on 2029-03-15 it lives 47 days at most, now 90",)),
        (7000, datetime(2019, 1, 1, tzinfo=UTC), None, ("398 days at most from 2020-09-01 on",)),
    ],
)
def test_which_rules_bite(
    new_ca: ThrowAwayCa, days: int, renewed: datetime, eku: tuple[str, ...] | None, said: tuple[str, ...]
) -> None:
    """The day of the renewal decides which life is allowed, and the next shorter one is told."""
    leaf = new_ca.issue("join.example.com", eku=eku, not_before=ISSUED, not_after=ISSUED + timedelta(days=days))

    assert rules_ahead(leaf.certificate, renewed) == said


def test_what_leads_to_a_public_root_is_public(new_ca: ThrowAwayCa) -> None:
    """A certificate is public when its chain names a public root, whether the root itself is there or not."""
    leaf = new_ca.issue("join.example.com").certificate
    root = new_ca.bundle[-1]

    assert is_public((leaf, *new_ca.bundle), {root.subject})
    assert is_public((leaf, *new_ca.bundle[:-1]), {root.subject})
    assert not is_public((leaf, *new_ca.bundle), {"CN=Somebody Else"})
