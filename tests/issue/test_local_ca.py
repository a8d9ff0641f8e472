from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st
from pkilint import loader
from pkilint.pkix import certificate, extension, name
from pkilint.validation import ValidationFindingSeverity

from cmscert.errors import InputError, IssuerError
from cmscert.issue.checking import check_issued
from cmscert.issue.issuers import Asked, Profile
from cmscert.issue.local_ca import BACKDATED, LIFETIME, LocalCa, load_local_ca
from cmscert.issue.sealing import sealed
from cmscert.pki.certificate import Certificate
from cmscert.pki.facts import load
from cmscert.pki.generate import make_key
from cmscert.pki.keys import PrivateKey, read_key
from cmscert.pki.pem import to_pem
from cmscert.pki.request import make_request
from cmscert.testing.ca import CA_USAGE, ThrowAwayCa

HARMLESS = (ValidationFindingSeverity.INFO, ValidationFindingSeverity.DEBUG)
Lint = Callable[[Certificate], list[str]]
HOST = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?(\.[a-z]{1,5}){1,3}", fullmatch=True)
KEYS = {"rsa": make_key("rsa"), "ec": make_key("ec"), "ec384": make_key("ec", 384)}


@pytest.fixture(scope="module")
def ca(issuing: ThrowAwayCa) -> LocalCa:
    """The issuer, from files."""
    return loaded(issuing)


def loaded(made: ThrowAwayCa, **more: timedelta) -> LocalCa:
    """Load a CA from files."""
    return load_local_ca(
        "lab",
        certificate=made.full_chain_pem,
        key=made.key_pem,
        certificate_file="ca.crt",
        key_file="ca.key",
        **more,
    )


@pytest.fixture(scope="module")
def lint() -> Lint:
    """Return a function that runs pkilint's RFC 5280 checks and returns what is worse than a notice."""
    validator = certificate.create_pkix_certificate_validator_container(
        certificate.create_decoding_validators(name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS),
        [
            certificate.create_issuer_validator_container([]),
            certificate.create_validity_validator_container(),
            certificate.create_subject_validator_container([]),
            certificate.create_extensions_validator_container([]),
            certificate.create_spki_validator_container([]),
        ],
    )

    def found(leaf: Certificate) -> list[str]:
        results = validator.validate(loader.load_certificate(leaf.der, "leaf").root)
        described = (one for result in results for one in result.finding_descriptions)
        return [str(one.finding) for one in described if one.finding.severity not in HARMLESS]

    return found


def question(asked: Asked, key: PrivateKey, **changes: object) -> Asked:
    """Ask for a certificate for a key."""
    csr = make_request(key, common_name=asked.common_name, sans=asked.sans, attributes={"O": "Example Ltd", "C": "GB"})
    return replace(asked, csr=csr, **changes)  # type: ignore[arg-type]  # one field at a time


async def test_passes_our_own_checks(ca: LocalCa, asked: Asked) -> None:
    """What the CA signs is accepted without a warning, with the chain that its file holds."""
    issued = await ca.obtain(asked)

    accepted = check_issued(asked, issued, issuer="lab", at=asked.at)

    assert accepted.warnings == ()
    assert accepted.chain == issued.chain == (issued.chain[0], *asked.bundle)


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize(
    "ekus", [("serverAuth",), ("clientAuth",), ("serverAuth", "clientAuth"), (), ("1.3.6.1.5.5.7.3.5",)]
)
async def test_passes_pkilint(ca: LocalCa, asked: Asked, lint: Lint, kind: str, ekus: tuple[str, ...]) -> None:
    """Pkilint has nothing to say against any profile and kind of key."""
    issued = await ca.obtain(question(asked, KEYS[kind], profile=Profile(ekus=ekus)))

    assert lint(issued.chain[0]) == []
    assert issued.chain[0].ekus == (ekus or None)


def test_pkilint_is_awake(lint: Lint, root: ThrowAwayCa) -> None:
    """Pkilint finds what is wrong with a certificate that breaks RFC 5280."""
    extra = ((x509.AuthorityInformationAccess([]), True),)
    assert lint(root.issue("a.example.com", ("a.example.com",), extra=extra).certificate) != []


@settings(max_examples=20, deadline=None)
@given(hosts=st.lists(HOST, min_size=1, max_size=4), addresses=st.lists(st.ip_addresses().map(str), max_size=2))
def test_names_of_the_request(hosts: list[str], addresses: list[str]) -> None:
    """The certificate has exactly the names of its request."""
    authority = loaded(ROOT)
    key = KEYS["ec"]
    csr = make_request(key, common_name=hosts[0], sans=(*hosts, *addresses))
    asked = Asked(certificate="x", common_name=hosts[0], sans=(*hosts, *addresses), csr=csr, at=AT, bundle=ROOT.bundle)

    leaf = authority._sign(asked).chain[0]

    assert set(leaf.names) == set(asked.request.sans)
    assert leaf.common_name == hosts[0]


ROOT = ThrowAwayCa.root()
AT = datetime.fromisoformat("2026-11-23T12:00:00.123456+00:00")


async def test_facts(ca: LocalCa, asked: Asked, issuing: ThrowAwayCa) -> None:
    """Serial, dates, key identifiers, usages and subject are those of a well-made certificate."""
    leaf, again = [(await ca.obtain(question(asked, KEYS["rsa"]))).chain[0] for _ in range(2)]
    certificate_ = load(leaf.der)
    extensions = {type(one.value): one for one in certificate_.extensions}
    identifier = load(issuing.certificate.der).extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value

    assert leaf.serial != again.serial
    assert 0 < leaf.serial.bit_length() <= 159
    assert leaf.not_before == asked.at - BACKDATED
    assert leaf.not_after == leaf.not_before + LIFETIME - timedelta(seconds=1)
    assert leaf.subject == "CN=core1.example.com,O=Example Ltd,C=GB"
    assert leaf.key_usage == ("digitalSignature", "keyEncipherment")
    assert (leaf.is_ca, leaf.signature_hash) == (False, "sha256")
    authority = extensions[x509.AuthorityKeyIdentifier].value
    assert isinstance(authority, x509.AuthorityKeyIdentifier)
    assert authority.key_identifier == identifier.digest
    critical = {kind.__name__ for kind, one in extensions.items() if one.critical}
    assert critical == {"BasicConstraints", "KeyUsage"}
    assert (await ca.obtain(question(asked, KEYS["ec"]))).chain[0].key_usage == ("digitalSignature",)


async def test_lifetime(asked: Asked) -> None:
    """The issuer says how long its certificates live, and nothing outlives the CA or what is above it."""
    day = timedelta(days=1)
    root = ThrowAwayCa.root(not_after=asked.at + 100 * day)
    issuing = root.intermediate(not_after=asked.at + 200 * day)

    for lifetime, end in ((20 * day, 20 * day), (47 * day, 47 * day), (300 * day, None)):
        leaf = (await loaded(issuing, lifetime=lifetime).obtain(asked)).chain[0]
        last = asked.at - BACKDATED + end - timedelta(seconds=1) if end else root.certificate.not_after
        assert leaf.not_after == last


async def test_young_ca(asked: Asked) -> None:
    """A certificate does not begin before its CA, even when that was made a minute ago."""
    young = ThrowAwayCa.root(at=asked.at - timedelta(minutes=1))

    assert (await loaded(young).obtain(asked)).chain[0].not_before == young.certificate.not_before


@pytest.mark.parametrize(("begin", "end"), [(-400, -1), (1, 400)])
async def test_ended_ca(asked: Asked, begin: int, end: int) -> None:
    """A CA that has ended, or has not begun, signs nothing."""
    day = timedelta(days=1)
    ca = loaded(ThrowAwayCa.root(at=asked.at + begin * day, not_after=asked.at + end * day))

    with pytest.raises(IssuerError, match="valid from") as caught:
        await ca.obtain(asked)
    assert caught.value.hint == "renew the CA first"


async def test_common_name_only(ca: LocalCa, asked: Asked) -> None:
    """A request of a node may have a common name only; the names of the inventory are signed then ([S17])."""
    key = KEYS["ec"]
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "core1.example.com")])
    )
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
    signed = builder.sign(key.signer(), SHA256()).public_bytes(Encoding.PEM)
    leaf = (await ca.obtain(replace(asked, csr=signed))).chain[0]
    assert leaf.names == ("core1.example.com", "10.0.0.11")
    assert leaf.ekus == ("serverAuth", "clientAuth")

    client = replace(asked, csr=make_request(key, common_name="postgres"), common_name="postgres", sans=())
    assert (await ca.obtain(client)).chain[0].names == ()


async def test_forged_request(ca: LocalCa, asked: Asked) -> None:
    """A request that its key did not sign gets no certificate."""
    request = bytearray(asked.request.der)
    request[-1] ^= 1

    with pytest.raises(IssuerError, match="not signed with its own key"):
        await ca.obtain(replace(asked, csr=bytes(request)))


@pytest.mark.parametrize("kind", ["rsa", "ec384"])
async def test_kinds_of_ca(asked: Asked, kind: str) -> None:
    """The signature's hash goes with the CA's key; a CA without key identifier can sign too."""
    plain = [(x509.BasicConstraints(ca=True, path_length=None), True), (CA_USAGE, True)]
    pair = KEYS[kind].signer()
    root = ThrowAwayCa.root(key=pair, extensions=plain)  # type: ignore[arg-type]  # RSA or EC

    issued = await loaded(root).obtain(replace(asked, bundle=root.bundle))

    assert issued.chain[0].signature_hash == ("sha256" if kind == "rsa" else "sha384")
    accepted = check_issued(replace(asked, bundle=root.bundle), issued, issuer="lab", at=asked.at)
    assert accepted.chain == issued.chain


@pytest.mark.judge("openssl")
@pytest.mark.parametrize(
    ("ekus", "purposes"),
    [
        (("serverAuth",), {"sslserver": True, "sslclient": False}),
        (("clientAuth",), {"sslserver": False, "sslclient": True}),
        (("serverAuth", "clientAuth"), {"sslserver": True, "sslclient": True}),
    ],
)
async def test_openssl_verifies(
    ca: LocalCa, asked: Asked, tmp_path: Path, ekus: tuple[str, ...], purposes: dict[str, bool]
) -> None:
    """OpenSSL verifies what the CA signed for exactly the purposes that the slots need, even strictly."""
    leaf, *above = (await ca.obtain(replace(asked, profile=Profile(ekus=ekus)))).chain
    (tmp_path / "leaf").write_bytes(to_pem((leaf,)))
    (tmp_path / "ca").write_bytes(to_pem(above))
    command = ["openssl", "verify", "-x509_strict", "-attime", str(int(asked.at.timestamp())), "-CAfile", "ca"]

    for purpose, good in purposes.items():
        told = subprocess.run(  # noqa: ASYNC221 - nothing else waits in a test
            [*command, "-purpose", purpose, "-verify_hostname", "core1.example.com", "leaf"],
            cwd=tmp_path, capture_output=True, check=False,
        )  # fmt: skip
        assert (told.returncode == 0) is good, told.stderr
    told = subprocess.run(  # noqa: ASYNC221 - as above
        ["openssl", "x509", "-noout", "-purpose", "-in", "leaf"], cwd=tmp_path, capture_output=True, check=True
    )
    lines = told.stdout.decode().splitlines()
    assert ("SSL server : Yes" in lines, "SSL client : Yes" in lines) == (purposes["sslserver"], purposes["sslclient"])


def test_encrypted_key(issuing: ThrowAwayCa) -> None:
    """The CA's key may be encrypted; without its passphrase nothing is made."""
    key = sealed(read_key(issuing.key_pem, file="x"), b"secret")

    def made(passphrase: bytes | None) -> LocalCa:
        return load_local_ca(
            "lab",
            certificate=issuing.certificate_pem,
            key=key,
            certificate_file="ca.crt",
            key_file="ca.key",
            passphrase=passphrase,
        )

    assert made(b"secret").chain == ()
    with pytest.raises(InputError, match="needs a passphrase"):
        made(None)


def test_unfit_files(issuing: ThrowAwayCa) -> None:
    """A key of another certificate, and a certificate of no CA, are refused with the file's name."""
    node = issuing.issue("core1.example.com")
    signs_nothing = ThrowAwayCa.root(
        extensions=[(x509.BasicConstraints(ca=True, path_length=None), True), (usage_without_signing(), True)]
    )
    cases = (
        (issuing.certificate_pem, node.key_pem, "does not belong", "ca.key"),
        (node.certificate_pem, node.key_pem, "not a CA certificate", "ca.crt"),
        (signs_nothing.certificate_pem, signs_nothing.key_pem, "not a CA certificate", "ca.crt"),
    )
    for pem, key, words, file in cases:
        with pytest.raises(InputError, match=words) as caught:
            load_local_ca("lab", certificate=pem, key=key, certificate_file="ca.crt", key_file="ca.key")
        assert caught.value.faults[0].file == file


def usage_without_signing() -> x509.KeyUsage:
    """Return a key usage that lets nobody sign certificates."""
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


def test_hides_its_key(ca: LocalCa) -> None:
    """The issuer does not show its key."""
    assert isinstance(ca.key.signer(), ec.EllipticCurvePrivateKey)
    assert "PrivateKey" not in repr(ca)
