from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmscert.errors import InputError
from cmscert.issue.sealing import sealed
from cmscert.pki.generate import make_key
from cmscert.pki.keys import PrivateKey, read_key

KEYS = (make_key("ec"), make_key("ec", 384), make_key("rsa", 2048), make_key("rsa", 4096))


@pytest.mark.parametrize("key", KEYS, ids=repr)
def test_opens_again(key: PrivateKey) -> None:
    """A sealed key opens with its passphrase to the same key, and with no other."""
    pem = sealed(key, b"correct horse")

    assert read_key(pem, file="k", passphrase=b"correct horse").pem() == key.pem()
    with pytest.raises(InputError, match="does not open"):
        read_key(pem, file="k", passphrase=b"wrong")


@settings(max_examples=10, deadline=None)
@given(passphrase=st.text(min_size=1, max_size=300).map(str.encode))
def test_any_passphrase(passphrase: bytes) -> None:
    """Every passphrase seals and opens."""
    assert read_key(sealed(KEYS[0], passphrase), file="k", passphrase=passphrase) == KEYS[0]


def test_no_two_are_equal() -> None:
    """The same key under the same passphrase is never sealed to the same bytes: the salt is new each time."""
    assert sealed(KEYS[0], b"x") != sealed(KEYS[0], b"x")


@pytest.mark.judge("openssl")
@pytest.mark.parametrize("key", KEYS, ids=repr)
def test_openssl_opens_it(key: PrivateKey, tmp_path: Path) -> None:
    """OpenSSL opens a sealed key with the passphrase, and writes the same key."""
    path = tmp_path / "k"
    path.write_bytes(sealed(key, b"correct horse"))

    told = subprocess.run(
        ["openssl", "pkey", "-in", path, "-passin", "pass:correct horse"], check=True, capture_output=True
    )

    assert read_key(told.stdout, file="k") == key
