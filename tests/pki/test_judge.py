from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from cmscert.pki.chain import verify
from cmscert.pki.judge import judge
from cmscert.pki.pem import to_pem
from cmscert.testing.ca import Issued, ThrowAwayCa


def test_each_chain_gets_its_verdict(scenarios: Mapping[str, Any], subtests_of: Callable[..., None]) -> None:
    """A chain that OpenSSL takes is not broken; one that it refuses is, with the certificate that is at fault named."""

    def check(case: Any) -> None:  # noqa: ANN401 - the type lives in conftest.py, which cannot be imported
        verdict = judge(case.leaf, case.intermediates, case.roots, at=case.at, purpose=case.purpose)
        assert (verdict.broken is None) == (case.broken is None), verdict
        assert (case.broken or "") in (verdict.broken or "")
        assert (verdict.unusual is None) == (case.unusual is None), verdict
        assert (case.unusual or "") in (verdict.unusual or "")

    subtests_of(scenarios, check)


@pytest.mark.judge("openssl")
def test_openssl_agrees(
    scenarios: Mapping[str, Any],
    subtests_of: Callable[..., None],
    openssl: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """``openssl verify`` takes and refuses the same chains."""

    def check(case: Any) -> None:  # noqa: ANN401 - as above
        purpose = [] if case.purpose is None else ["-purpose", f"ssl{case.purpose}"]
        files = {"leaf": to_pem((case.leaf,)), "roots": to_pem(case.roots), "others": to_pem(case.intermediates)}
        trusted = ["-CAfile", "roots"] if case.roots else ["-no-CAfile"]
        untrusted = ["-untrusted", "others"] if case.intermediates else []
        moment = ["-attime", str(int(case.at.timestamp()))]
        places = ["-no-CApath", "-no-CAstore"]
        done = openssl("verify", *moment, *purpose, *places, *trusted, *untrusted, "leaf", **files)
        assert (done.returncode == 0) == (case.broken is None), done.stdout + done.stderr

    subtests_of(scenarios, check)


def test_verify_is_the_short_form(node: Issued, now: datetime) -> None:
    """``verify`` returns None or the reason."""
    assert verify(node.certificate, node.chain[:1], node.chain[1:], at=now, purpose="server") is None
    assert "which is missing" in str(verify(node.certificate, (), node.chain[1:], at=now))


def test_a_chain_that_is_too_long_is_broken(now: datetime) -> None:
    """Nobody has ten CAs above each other, and no verifier follows them without end."""
    made = [ThrowAwayCa.root("CA 0")]
    for number in range(1, 12):
        made.append(made[-1].intermediate(f"CA {number}"))
    long, fair = made[-1].issue("leaf"), made[8].issue("leaf")

    assert "more than 10 certificates" in str(verify(long.certificate, long.chain, long.chain[-1:], at=now))
    assert verify(fair.certificate, fair.chain, fair.chain[-1:], at=now) is None


def test_many_cross_signed_authorities_end(now: datetime) -> None:
    """A mesh of CAs that all signed each other is judged in bounded time, and a root near by is found in it."""
    authorities = [ThrowAwayCa.root(f"CA {number}") for number in range(7)]
    crossed = [
        signer.intermediate(f"CA {number}", key=authority.key_pair).certificate
        for number, authority in enumerate(authorities)
        for signer in authorities
        if signer is not authority
    ]
    leaf = authorities[0].issue("leaf").certificate

    assert "cross-signed beyond what can be followed" in str(verify(leaf, crossed, (), at=now))
    assert verify(leaf, crossed, (authorities[6].certificate,), at=now) is None


def test_the_way_that_led_farthest_is_told(root: ThrowAwayCa, now: datetime) -> None:
    """An expired copy of an issuer beside the renewed one is not what is wrong when the root is missing."""
    renewed = root.intermediate("Issuing")
    expired = root.intermediate("Issuing", key=renewed.key_pair, not_after=datetime(2025, 1, 1, tzinfo=UTC))
    leaf = renewed.issue("leaf").certificate
    pile = (expired.certificate, renewed.certificate)

    assert "CN=Issuing was issued by CN=Example Root CA, which is missing" in str(verify(leaf, pile, (), at=now))
    assert verify(leaf, pile, (root.certificate,), at=now) is None
