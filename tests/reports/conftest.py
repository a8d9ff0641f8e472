"""Golden files: what people read, kept as they read it."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from cmscert.pki.certificate import Certificate
from cmscert.testing.plans import MOMENT

GOLDEN = Path(__file__).parent / "golden"
REWRITE = "CMSCERT_REWRITE_GOLDEN"


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compare a text with the file of that name; the variable rewrites the files instead."""

    def compare(name: str, text: str) -> None:
        file = GOLDEN / name
        if os.environ.get(REWRITE):
            file.write_text(text, encoding="utf-8")
        assert text == file.read_text(encoding="utf-8"), f"{REWRITE}=1 pytest tests/reports rewrites {name}"

    return compare


@pytest.fixture
def certificate() -> Callable[..., Certificate]:
    """Make facts of a certificate out of nothing but its name."""

    def make(name: str, *, days: int = 200, ca: bool = False, until: datetime | None = None) -> Certificate:
        digest = sha256(f"{name} {days}".encode()).hexdigest()
        return Certificate(
            der=digest.encode(),
            sha256=digest,
            spki_sha256=digest,
            subject=f"CN={name},O=Example",
            issuer="CN=Example Issuing CA,O=Example",
            common_name=name,
            issuer_common_name="Example Issuing CA",
            serial=4711,
            not_before=MOMENT - timedelta(days=30),
            not_after=until or MOMENT + timedelta(days=days, hours=1),
            dns_names=() if ca else (name, f"alt.{name}"),
            ip_addresses=(),
            key_bits=2048,
            signature_hash="sha256",
            ekus=None if ca else ("serverAuth", "clientAuth"),
            is_ca=ca,
        )

    return make
