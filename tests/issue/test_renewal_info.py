"""When a CA would renew (ARI, RFC 9773): asked as often as it wishes, kept as text, the same moment every time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmscert.issue.acme_renewal import ask_windows
from cmscert.issue.renewal_info import (
    AGAIN,
    LATEST,
    Window,
    again_after,
    certificate_id,
    read_windows,
    suggested,
    write_windows,
)
from cmscert.pki.certificate import Certificate
from cmscert.pki.pem import read_certificates
from cmscert.testing import ca as throw_away
from cmscert.testing.ca import self_signed
from cmscert.testing.toy_acme import Answer, ToyCa, json_answer

Sign = Callable[..., throw_away.Issued]
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)
# The certificate of RFC 9773, appendix A, and what section 4.1 says that it is called.
EXAMPLE = b"""-----BEGIN CERTIFICATE-----
MIIBQzCB66ADAgECAgUAh2VDITAKBggqhkjOPQQDAjAVMRMwEQYDVQQDEwpFeGFt
cGxlIENBMCIYDzAwMDEwMTAxMDAwMDAwWhgPMDAwMTAxMDEwMDAwMDBaMBYxFDAS
BgNVBAMTC2V4YW1wbGUuY29tMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEeBZu
7cbpAYNXZLbbh8rNIzuOoqOOtmxA1v7cRm//AwyMwWxyHz4zfwmBhcSrf47NUAFf
qzLQ2PPQxdTXREYEnKMjMCEwHwYDVR0jBBgwFoAUaYhba4dGQEHhs3uEe6CuLN4B
yNQwCgYIKoZIzj0EAwIDRwAwRAIge09+S5TZAlw5tgtiVvuERV6cT4mfutXIlwTb
+FYN/8oCIClDsqBklhB9KAelFiYt9+6FDj3z4KGVelYM5MdsO3pK
-----END CERTIFICATE-----
"""


def test_the_example_of_the_rfc() -> None:
    """A certificate is called what RFC 9773 says of its own example."""
    (leaf,) = read_certificates(EXAMPLE, file="rfc9773")

    assert certificate_id(leaf) == "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"


def test_no_authority_key() -> None:
    """A certificate that does not say who signed it cannot be asked about."""
    assert certificate_id(self_signed("x.example.com").certificate) is None


@given(
    start=st.timedeltas(min_value=-DAY, max_value=9999 * DAY).map(lambda since: NOW + since),
    hours=st.integers(1, 10_000),
    sha256=st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
)
def test_a_moment_of_its_own(start: datetime, hours: int, sha256: str) -> None:
    """The moment lies in the window, is the same every time, and survives being written down."""
    window = Window(start=start, end=start + timedelta(hours=hours), again=NOW)
    kept = write_windows({"account": "x"}, {sha256: window})

    assert window.start is not None
    assert window.end is not None
    moment = suggested(kept)[sha256]
    assert window.start <= moment < window.end
    assert (moment, kept["account"]) == (window.moment(sha256), "x")
    assert read_windows(kept) == {sha256: window}


def test_moments_are_spread() -> None:
    """Certificates take their moments all over the window."""
    window = Window(start=NOW, end=NOW + 16 * DAY, again=NOW)

    moments = [window.moment(f"{number:x}" * 64) for number in range(16)]
    assert moments == sorted(moments, key=lambda one: one or NOW)
    assert len({one.date() for one in moments if one is not None}) == 16


def test_nothing_is_suggested() -> None:
    """A CA that suggests nothing is remembered as such, so that it is not asked every hour."""
    kept = write_windows({"renewal:old": "x"}, {"aa": Window(again=NOW)})

    assert kept == {"renewal:aa": f"- - {NOW.isoformat()}"}
    assert suggested(kept) == {}
    assert read_windows({"renewal:b": "not a window", "renewal:c": "- - -", "renewal:d": "- -"}) == {}


@pytest.mark.parametrize(
    ("wait", "after"),
    [(None, AGAIN), (timedelta(hours=2), timedelta(hours=2)), (timedelta(), timedelta(minutes=1)), (30 * DAY, LATEST)],
)
def test_asked_again(wait: timedelta | None, after: timedelta) -> None:
    """The CA says when to ask again, within reason."""
    assert again_after(wait, NOW) == NOW + after


def window_of(start: str, end: str, **headers: str) -> Answer:
    """Return a CA's answer."""
    return json_answer({"suggestedWindow": {"start": start, "end": end}}, **headers)


GOOD = window_of("2026-12-01T00:00:00Z", "2026-12-03T02:00:00+02:00", Retry_After="7200")


@pytest.fixture
def leaf(sign: Sign) -> Certificate:
    """A certificate that is in store."""
    return sign().certificate


async def test_asks(leaf: Certificate) -> None:
    """The CA is asked by the certificate's own name, and its window kept with when to ask again."""
    with ToyCa(renewals=GOOD) as toy:
        found, why = await ask_windows(toy.directory, [leaf], {}, at=NOW)

    window = Window(
        start=datetime(2026, 12, 1, tzinfo=UTC), end=datetime(2026, 12, 3, tzinfo=UTC), again=NOW + timedelta(hours=2)
    )
    assert (found, why) == ({leaf.sha256: window}, None)
    assert [resource for resource, _ in toy.asked] == ["directory", "renewal-info"]


@pytest.mark.parametrize(
    "answer",
    [
        window_of("2026-12-03T00:00:00Z", "2026-12-01T00:00:00Z"),
        window_of("2026-12-01T00:00:00Z", "2026-12-01T00:00:00Z"),
        window_of("2020-12-01T00:00:00Z", "2020-12-02T00:00:00Z"),
        json_answer({"suggestedWindow": {}}),
    ],
)
async def test_nonsense(leaf: Certificate, answer: Answer) -> None:
    """A window that ends before it begins, or before the certificate does, or is none, suggests nothing."""
    with ToyCa(renewals=answer) as toy:
        found, why = await ask_windows(toy.directory, [leaf], {}, at=NOW)

    assert (found, why) == ({leaf.sha256: Window(again=NOW + AGAIN)}, None)


async def test_not_offered(leaf: Certificate) -> None:
    """A CA without renewal information is asked whether it has some once a day; a certificate without a name never."""
    unnamed = self_signed("x.example.com").certificate
    with ToyCa() as toy:
        found, _ = await ask_windows(toy.directory, [leaf, unnamed], {}, at=NOW)

    assert found == dict.fromkeys((leaf.sha256, unnamed.sha256), Window(again=NOW + LATEST))
    assert [resource for resource, _ in toy.asked] == ["directory"]


async def test_a_ca_that_fails(leaf: Certificate, sign: Sign) -> None:
    """What the CA said before holds, and it is left alone for a while; the rest is not even asked."""
    before = Window(start=NOW, end=NOW + DAY, again=NOW)
    other = sign().certificate
    with ToyCa(renewals=Answer(status=503, headers={"Retry-After": "600"})) as toy:
        found, why = await ask_windows(toy.directory, [leaf, other], {leaf.sha256: before}, at=NOW)

    again = NOW + timedelta(minutes=10)
    assert found == {leaf.sha256: replace(before, again=again), other.sha256: Window(again=again)}
    assert why is not None
    assert "HTTP 503" in why
    assert len(toy.requests("renewal-info")) == 1
