"""What the library for certificates and keys does with bytes that are not what they should be."""

from __future__ import annotations

import pytest

from cmscert.errors import InputError
from cmscert.pki.foreign import foreign
from cmscert.pki.keys import read_key

KEY = """-----BEGIN EC PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: {}

AiDK8YKxjGTC3107Kt6XeWOGTC3107Kt6XeWOkMRqC4N5vZN/snAtORh4QK6+ySo
-----END EC PRIVATE KEY-----
"""


class PanicException(BaseException):
    """What the library's Rust code raises in place of an Exception."""


def test_a_panic_is_a_fault() -> None:
    """A panic becomes a ValueError, which every reader takes for damage."""
    with pytest.raises(ValueError, match="cannot cope"), foreign():
        raise PanicException("iv")


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, ValueError])
def test_everything_else_goes_through(kind: type[BaseException]) -> None:
    """An interrupt is no damage, and an error stays what it is."""
    with pytest.raises(kind), foreign():
        raise kind


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("AES-256-CBC,8749DC0C352E279FCBA67A", "DEK-Info line of the key is damaged"),
        ("AES-256-CBC,", "DEK-Info line of the key is damaged"),
        ("AES-256-CBC", "DEK-Info line of the key is damaged"),
        ("DES-EDE3-CBC,8749DC", "DEK-Info line of the key is damaged"),
        ("AES-256-CBC,8749DC0C352E279FCBA67A8749DC0C35", "does not open the key"),
        ("DES-EDE3-CBC,8749DC0C352E279F", "does not open the key"),
        ("ROT-13,1", "does not open the key"),
        ("", "does not open the key"),
    ],
)
def test_the_beginning_of_a_cipher(line: str, said: str) -> None:
    """An old encrypted key says what its cipher begins with; too little of it is damage, not a panic."""
    with pytest.raises(InputError, match=said):
        read_key(KEY.format(line).encode(), file="f", passphrase=b"lab")
