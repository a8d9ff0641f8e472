"""Whether one certificate's key made the signature of another."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512

from cmscert.pki.facts import load, public_key
from cmscert.pki.foreign import foreign

EC_MIDDLE = 256
EC_LARGE = 384


def signature_holds(child: bytes, issuer: bytes) -> bool:
    """Tell whether the child (DER) is signed with the issuer's (DER) key; unknown algorithms count as no."""
    key = public_key(issuer)
    if key is None:
        return False
    loaded = load(child)
    signature, signed = loaded.signature, loaded.tbs_certificate_bytes
    try:
        with foreign():
            parameters, digest = loaded.signature_algorithm_parameters, loaded.signature_hash_algorithm
            if isinstance(key, rsa.RSAPublicKey):
                if not isinstance(parameters, padding.PKCS1v15 | padding.PSS) or digest is None:
                    return False
                key.verify(signature, signed, parameters, digest)
            elif isinstance(key, ec.EllipticCurvePublicKey):
                if not isinstance(parameters, ec.ECDSA):
                    return False
                key.verify(signature, signed, parameters)
            elif isinstance(key, dsa.DSAPublicKey):
                if digest is None:
                    return False
                key.verify(signature, signed, digest)
            else:
                key.verify(signature, signed)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def digest_for(key_type: str, key_bits: int) -> SHA256 | SHA384 | SHA512 | None:
    """Return the hash that goes with a key that signs: as strong as an EC key, SHA-256 for RSA, none for Ed25519."""
    if key_type == "ec":
        return SHA256() if key_bits <= EC_MIDDLE else SHA384() if key_bits <= EC_LARGE else SHA512()
    return None if key_type.startswith("ed") else SHA256()
