"""Private keys as they lie in the store: PKCS#8, encrypted under a passphrase with scrypt and AES-256 (RFC 8018, 7914).

``cryptography`` writes PKCS#8 with 2048 rounds of PBKDF2 only, which a stolen copy of the store would not resist for
long. What is written here is what ``openssl pkcs8 -topk8 -scrypt`` writes, so OpenSSL opens it too.
"""

from __future__ import annotations

import base64
import os
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.padding import PKCS7

from cmscert.pki.armour import scan
from cmscert.pki.der import INTEGER, LONG_FORM, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE
from cmscert.pki.keys import PrivateKey

COST: Final = 1 << 14
"""16 MB of memory for each guess: as much as OpenSSL takes by itself when it reads."""

_BLOCK_SIZE: Final = 8
_PBES2: Final = bytes.fromhex("2a864886f70d01050d")
_SCRYPT: Final = bytes.fromhex("2b06010401da47040b")
_AES_256_CBC: Final = bytes.fromhex("60864801650304012a")
_LINE: Final = 64
_LABEL: Final = "ENCRYPTED PRIVATE KEY"


def sealed(key: PrivateKey, passphrase: bytes) -> bytes:
    """Return a key as encrypted PKCS#8 PEM. The passphrase must not be empty."""
    plain = scan(key.pem())[0].content
    salt, start = os.urandom(16), os.urandom(16)
    secret = Scrypt(salt=salt, length=32, n=COST, r=_BLOCK_SIZE, p=1).derive(passphrase)
    padder = PKCS7(algorithms.AES256.block_size).padder()
    padded = padder.update(plain) + padder.finalize()
    cipher = Cipher(algorithms.AES256(secret), modes.CBC(start)).encryptor()
    kdf = _sequence(_tlv(OBJECT_IDENTIFIER, _SCRYPT), _sequence(_tlv(OCTET_STRING, salt), *map(_integer, (COST, 8, 1))))
    aes = _sequence(_tlv(OBJECT_IDENTIFIER, _AES_256_CBC), _tlv(OCTET_STRING, start))
    scheme = _sequence(_tlv(OBJECT_IDENTIFIER, _PBES2), _sequence(kdf, aes))
    der = _sequence(scheme, _tlv(OCTET_STRING, cipher.update(padded) + cipher.finalize()))
    text = base64.b64encode(der)
    lines = (text[at : at + _LINE] for at in range(0, len(text), _LINE))
    return b"\n".join((f"-----BEGIN {_LABEL}-----".encode(), *lines, f"-----END {_LABEL}-----".encode(), b""))


def is_sealed(content: bytes) -> bool:
    """Tell whether a key file is encrypted."""
    return any(block.label == _LABEL for block in scan(content))


def _sequence(*parts: bytes) -> bytes:
    return _tlv(SEQUENCE, b"".join(parts))


def _integer(number: int) -> bytes:
    return _tlv(INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _tlv(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < LONG_FORM:
        return bytes((tag, length)) + content
    encoded = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, LONG_FORM + len(encoded))) + encoded + content
