"""New private keys."""

from __future__ import annotations

from typing import Final, Literal

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from cmscert.pki.keys import PrivateKey

KeyType = Literal["rsa", "ec"]

RSA_BITS: Final = range(2048, 4097, 8)
EC_CURVES: Final[dict[int, type[ec.EllipticCurve]]] = {256: ec.SECP256R1, 384: ec.SECP384R1}
DEFAULT_BITS: Final[dict[KeyType, int]] = {"rsa": 2048, "ec": 256}
_EXPONENT: Final = 65537


def key_fault(kind: KeyType, bits: int | None = None) -> str | None:
    """Say why a key of that kind and size cannot be made, or None; ``bits`` None stands for the default."""
    if bits is None:
        return None
    if kind == "rsa":
        return None if bits in RSA_BITS else "RSA keys are made with 2048 to 4096 bits, a multiple of eight"
    return None if bits in EC_CURVES else "EC keys are made with 256 or 384 bits (P-256, P-384)"


def make_key(kind: KeyType = "rsa", bits: int | None = None) -> PrivateKey:
    """Make a private key: RSA of 2048 to 4096 bits, or EC on P-256 or P-384.

    CMS takes RSA keys made outside up to 4096 bits ([S19]); what it makes of EC keys is unknown (fact 3.2). Raises
    ValueError for other sizes.
    """
    fault = key_fault(kind, bits)
    if fault is not None:
        raise ValueError(fault)
    size = DEFAULT_BITS[kind] if bits is None else bits
    if kind == "rsa":
        return PrivateKey(rsa.generate_private_key(_EXPONENT, size))
    return PrivateKey(ec.generate_private_key(EC_CURVES[size]()))
