"""Private keys: read, matched by their public half, written once for upload. Never shown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NoReturn, Protocol, cast

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_pem_private_key,
)

from cmscert.errors import InputError
from cmscert.pki.armour import Block, plain, refuse, scan
from cmscert.pki.der import Shape, shape
from cmscert.pki.facts import PublicKey, key_facts
from cmscert.pki.foreign import foreign
from cmscert.pki.rounds import check_rounds

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

MASK = "********"
NOT_A_KEY = {
    Shape.CERTIFICATE: "a certificate, not a private key",
    Shape.PKCS7: "certificates, not a private key",
    Shape.REQUEST: "a certificate request (CSR), not a private key",
    Shape.PUBLIC_KEY: "the public half only, not a private key",
}
_DEK_INFO = re.compile(rb"^DEK-Info:[ \t]*([A-Za-z0-9-]+)[ \t]*,?[ \t]*([^\s]*)", re.MULTILINE)
_DIGITS = {b"AES": 32, b"DES": 16}
BY_REFERENCE = "give the passphrase by reference: {env}, {file}, {command} or {keyring}"


class _Loaded(Protocol):
    def public_key(self) -> object: ...

    def private_bytes(self, encoding: Encoding, form: PrivateFormat, encryption: NoEncryption, /) -> bytes: ...


class PrivateKey:
    """A private key that hides itself: only ``pem()`` shows it, ``signer()`` uses it.

    Two are equal when their public halves are. ``key_type``: rsa, ec, ed25519, ed448 or dsa. ``spki_sha256``:
    lower-case hex, as in ``Certificate``.
    """

    __slots__ = ("_loaded", "key_bits", "key_type", "spki_sha256")

    def __init__(self, loaded: _Loaded) -> None:
        self._loaded = loaded
        self.key_type, self.key_bits, self.spki_sha256 = key_facts(cast("PublicKey", loaded.public_key()))

    def pem(self) -> bytes:
        """Return the key as unencrypted PKCS#8 PEM, for upload: call it at the last moment."""
        return self._loaded.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def signer(self) -> CertificateIssuerPrivateKeyTypes:
        """Return what ``cryptography`` signs requests and certificates with; pass it on to nothing that keeps it."""
        return cast("CertificateIssuerPrivateKeyTypes", self._loaded)

    def __repr__(self) -> str:
        return f"PrivateKey({self.key_type} {self.key_bits}, {MASK})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PrivateKey) and self.spki_sha256 == other.spki_sha256

    def __hash__(self) -> int:
        return hash(self.spki_sha256)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is not serialised")


def read_key(content: bytes, *, file: str, passphrase: bytes | None = None) -> PrivateKey:
    """Read the one private key of a file: PEM or DER (PKCS#8, PKCS#1, SEC 1), encrypted or not, or PKCS#12.

    A passphrase for a key that is not encrypted is ignored. RSA keys are not checked for consistency (37 ms each): a
    key belongs to a certificate when the public halves are equal. ``file`` is a name for messages only.
    Raises InputError; no message ever holds the passphrase or a part of the key.
    """
    text = plain(content, file)
    blocks = scan(text)
    if blocks:
        return _from_blocks(blocks, file, passphrase)
    kind = shape(content)
    if kind is Shape.PKCS12:
        return _from_pkcs12(content, file, passphrase)
    if kind in {Shape.KEY, Shape.ENCRYPTED_KEY}:
        return _load(content, file, passphrase, encrypted=kind is Shape.ENCRYPTED_KEY)
    if kind in NOT_A_KEY:
        raise refuse(
            file, "certificate-not-key", f"the file holds {NOT_A_KEY[kind]}", hint="name the file with the key"
        )
    if b"PRIVATE KEY" in text:
        message = "the lines around the key are damaged: they must read -----BEGIN PRIVATE KEY-----, five hyphens"
        raise refuse(file, "damaged-block", message, hint="export the key again")
    raise refuse(file, "no-key", "the file is neither PEM nor DER: no private key was found in it")


def _from_blocks(blocks: tuple[Block, ...], file: str, passphrase: bytes | None) -> PrivateKey:
    keys = [block for block in blocks if block.is_key]
    if not keys:
        raise _only_others(blocks, file)
    if len(keys) > 1:
        line = keys[1].line
        raise refuse(
            file, "several-keys", f"the file holds {len(keys)} private keys", line=line, hint="keep one of them"
        )
    block = keys[0]
    if block.wrong is not None:
        raise refuse(file, "damaged-block", block.wrong, line=block.line, hint="export the key again")
    if block.label == "OPENSSH PRIVATE KEY":
        hint = "convert a copy of it: ssh-keygen -p -m PKCS8 -f FILE"
        raise refuse(file, "openssh-key", "the key is in OpenSSH's own format", line=block.line, hint=hint)
    encrypted = block.label == "ENCRYPTED PRIVATE KEY" or (block.headers and b"ENCRYPTED" in block.lines)
    if block.headers:
        return _load(block.lines, file, passphrase, encrypted=encrypted, line=block.line, content=block.content)
    return _load(block.content, file, passphrase, encrypted=encrypted, line=block.line)


def _only_others(blocks: tuple[Block, ...], file: str) -> InputError:
    first = blocks[0]
    if first.wrong is not None:
        return refuse(file, "damaged-block", first.wrong, line=first.line)
    hint = "name the file with the private key"
    return refuse(
        file, "certificate-not-key", f"the file holds {first.label}, not a private key", line=first.line, hint=hint
    )


def _from_pkcs12(content: bytes, file: str, passphrase: bytes | None) -> PrivateKey:
    from cmscert.pki.pkcs12 import open_pkcs12

    key = open_pkcs12(content, file, passphrase).key
    if key is None:
        raise refuse(file, "no-key", "the PKCS#12 file holds no private key", hint="export it with its private key")
    return _wrapped(key, file, None)


def _load(
    form: bytes,
    file: str,
    passphrase: bytes | None,
    *,
    encrypted: bool,
    line: int | None = None,
    content: bytes | None = None,
) -> PrivateKey:
    if encrypted and not passphrase:
        raise refuse(
            file, "passphrase-missing", "the key is encrypted and needs a passphrase", line=line, hint=BY_REFERENCE
        )
    if content is not None and _short_iv(form):
        raise refuse(file, "damaged-key", "the DEK-Info line of the key is damaged", line=line, hint="export it again")
    if encrypted:
        check_rounds(form if content is None else content, file, line=line)
    load = load_der_private_key if content is None else load_pem_private_key
    try:
        with foreign():
            loaded = load(form, passphrase if encrypted else None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        loaded = None
    if loaded is not None:
        return _wrapped(loaded, file, line)
    if encrypted:
        hint = "check the passphrase that the inventory refers to"
        raise refuse(
            file, "passphrase-wrong", "the passphrase does not open the key, or it is damaged", line=line, hint=hint
        )
    raise refuse(file, "damaged-key", "the private key is damaged or of a kind that is not supported", line=line)


def _short_iv(lines: bytes) -> bool:
    """Tell whether an old encrypted key lacks a part of what its cipher begins with: the library panics over that."""
    found = _DEK_INFO.search(lines)
    return found is not None and len(found[2]) != _DIGITS.get(found[1].partition(b"-")[0].upper(), len(found[2]))


def _wrapped(loaded: object, file: str, line: int | None) -> PrivateKey:
    key = cast("_Loaded", loaded)
    if not isinstance(key.public_key(), PublicKey):
        raise refuse(file, "damaged-key", "the private key is of a kind that cannot stand in a certificate", line=line)
    return PrivateKey(key)
