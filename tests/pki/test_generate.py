from __future__ import annotations

import pytest

from cmscert.pki.generate import KeyType, key_fault, make_key
from cmscert.pki.keys import read_key


@pytest.mark.parametrize(
    ("kind", "bits", "made"), [("rsa", None, 2048), ("rsa", 3072, 3072), ("ec", None, 256), ("ec", 384, 384)]
)
def test_made_as_asked_for(kind: KeyType, bits: int | None, made: int) -> None:
    """A key is of the kind and size that was asked for, and reads back as the same key."""
    key = make_key(kind, bits)

    assert (key.key_type, key.key_bits) == (kind, made)
    assert read_key(key.pem(), file="k") == key


def test_no_two_are_equal() -> None:
    """Every key is a new one."""
    assert make_key("ec") != make_key("ec")


@pytest.mark.parametrize(
    ("kind", "bits", "words"),
    [("rsa", 1024, "2048 to 4096"), ("rsa", 8192, "2048"), ("rsa", 2049, "2048"), ("ec", 521, "P-384")],
)
def test_other_sizes(kind: KeyType, bits: int, words: str) -> None:
    """Sizes that no source says CMS takes are not made."""
    assert words in str(key_fault(kind, bits))
    with pytest.raises(ValueError, match=words):
        make_key(kind, bits)


def test_sizes_that_can_be_made() -> None:
    """The default, and every size in the list, has no fault."""
    assert {key_fault("rsa"), key_fault("ec"), key_fault("rsa", 4096), key_fault("ec", 384)} == {None}
