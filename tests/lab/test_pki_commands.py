"""``pki`` commands of the lab."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from cmscert.lab import material
from cmscert.lab.node import LabNode
from cmscert.lab.spec import ServiceSpec, SlotSpec, Switches

Authority = Any  # a fixture's class, which only conftest.py can name
StartNode = Callable[..., Awaitable[LabNode]]
TypeLine = Callable[..., Awaitable[str]]


@pytest.fixture
async def node(start_node: StartNode, authority: Authority) -> LabNode:
    """A node with a pair, a stray key, a bundle and something that is neither."""
    pair = authority.mint("core1.example.com")
    other = authority.mint("core1.example.com")
    return await start_node(
        files={
            "a.key": pair.key,
            "a.crt": pair.pem,
            "other.key": other.key,
            "ca.crt": authority.bundle,
            "root.crt": authority.root.pem,
            "issuing.crt": authority.issuing.pem,
            "noise.crt": b"noise",
            "a.der": pair.der,
        },
        services={"webadmin": ServiceSpec(slots={"webadmin": SlotSpec(key="a.key", certificate="a.crt")})},
    )


async def test_inspect_shows_the_validity(node: LabNode, typed: TypeLine) -> None:
    """A certificate is drawn like OpenSSL draws it, so that dates can be read ([MEM] 3.1)."""
    shown = await typed(node, "pki inspect a.crt")
    assert "Not Before: " in shown
    assert "Not After : " in shown
    assert "CN=core1.example.com" in shown


@pytest.mark.parametrize(("name", "kind"), [("a.key", "private key"), ("new.csr", "certificate request")])
async def test_inspect_names_the_kind_of_file(node: LabNode, typed: TypeLine, name: str, kind: str) -> None:
    """Keys and requests are told apart and their contents stay inside."""
    await typed(node, "pki csr new CN:core1.example.com")
    assert (await typed(node, f"pki inspect {name}")).endswith(f"File contains a PEM encoded {kind}\n")


@pytest.mark.parametrize(
    ("wording", "line", "answer"),
    [
        ("default", "pki match a.key a.crt", "Key and certificate pair match"),
        ("default", "pki match other.key a.crt", "Key and certificate pair do not match"),
        ("terse", "pki match a.key a.crt", "match"),
        ("terse", "pki match other.key a.crt", "mismatch"),
        ("odd", "pki match a.key a.crt", "result: 0"),
        ("default", "pki match a.key a.der", "Key and certificate pair match"),
        ("default", "pki verify a.crt ca.crt", "certificate verified against CA bundle"),
        ("default", "pki verify a.crt issuing.crt root.crt", "certificate verified against CA bundle"),
        ("default", "pki verify a.crt root.crt", "certificate could not be verified against CA bundle"),
        ("default", "pki verify a.crt issuing.crt", "certificate could not be verified against CA bundle"),
        ("terse", "pki verify a.crt ca.crt", "OK"),
        ("odd", "pki verify a.crt root.crt", "result: 1"),
        ("default", "pki match a.key missing.crt", "missing.crt: no such file"),
        ("default", "pki match a.key noise.crt", "Error reading file"),
        ("default", "pki inspect noise.crt", "Error reading file"),
    ],
)
async def test_match_and_verify(node: LabNode, typed: TypeLine, wording: str, line: str, answer: str) -> None:
    """The result is right in every wording; the wordings are a switch, for the real ones are unknown (facts 10.1)."""
    node.switches = Switches(match_wording=wording)
    assert await typed(node, line) == f"{answer}\n"


@pytest.mark.parametrize(
    "line",
    [
        "pki",
        "pki verify a.crt",
        "pki csr",
        "pki csr new",
        "pki csr new OU:Desk",
        "pki csr bad.name CN:a",
        "pki csr new CN:a X:b",
        "pki csr new CN:a C:GBR",
        "pki selfsigned new",
        "pki paint",
    ],
)
async def test_wrong_arguments_make_no_file(node: LabNode, typed: TypeLine, line: str) -> None:
    """[S17] a basename is letters, digits, hyphen and underscore; CN is mandatory; C has two letters."""
    before = set(node.files)
    assert (await typed(node, line)).startswith("Usage:")
    assert set(node.files) == before


async def test_csr_makes_a_key_and_a_request(node: LabNode, typed: TypeLine) -> None:
    """The request holds what was typed, quoted values with blanks as well."""
    await typed(
        node, 'pki csr new CN:cms.example.com OU:"My Desk" subjectAltName:a.example.com,10.0.0.1,me@example.com'
    )
    request = x509.load_pem_x509_csr(node.files["new.csr"])
    assert request.subject.rfc4514_string() == "OU=My Desk,CN=cms.example.com"
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == ["a.example.com", "10.0.0.1", "me@example.com"]
    key = load_pem_private_key(node.files["new.key"], None)
    assert key.public_key() == request.public_key()
    assert node.up("webadmin")


async def test_csr_on_a_name_in_use_breaks_the_service_at_once(node: LabNode, typed: TypeLine) -> None:
    """The TechNote's trap: the key of a running service is overwritten, and it does not come back by a restart."""
    await typed(node, "pki csr a CN:core1.example.com")
    assert not node.up("webadmin")
    assert node.enabled("webadmin")
    assert "FAILURE" in await typed(node, "webadmin restart")


async def test_the_cms_can_be_a_ca(node: LabNode, typed: TypeLine) -> None:
    """``selfsigned`` makes a CA without EKU ([S18]), ``sign`` signs a request with it and keeps its names."""
    await typed(node, "pki selfsigned dbca CN:example.com subjectAltName:example.com")
    await typed(
        node, "pki csr dbserver CN:core1.example.com subjectAltName:core2.example.com", "pki sign dbserver dbca"
    )
    ca = material.certificates(node.files["dbca.crt"])[0]
    server = material.certificates(node.files["dbserver.crt"])[0]
    assert material.signed_by(server, ca)
    assert material.names(server) == {"core1.example.com", "core2.example.com"}
    assert all(extension.oid != x509.ExtendedKeyUsageOID.SERVER_AUTH for extension in ca.extensions)
    assert material.fits(node.files["dbserver.key"], node.files["dbserver.crt"])


async def test_sign_wants_a_ca_whose_key_fits(node: LabNode, typed: TypeLine) -> None:
    """A key of another certificate signs nothing."""
    await typed(node, "pki selfsigned dbca CN:example.com", "pki csr db CN:postgres")
    node.files["dbca.key"] = node.files["other.key"]
    assert await typed(node, "pki sign db dbca") == "dbca.key does not belong to dbca.crt\n"
    assert "db.crt" not in node.files
    assert await typed(node, "pki sign missing dbca") == "missing.csr: no such file\n"


def test_a_host_matches_by_name_or_wildcard(authority: Authority) -> None:
    """CN and SAN count, a wildcard stands for one label."""
    certificate = authority.mint("a.example.com", sans=("*.edge.example.com",)).certificate
    assert material.answers_to(certificate, "A.example.com")
    assert material.answers_to(certificate, "one.edge.example.com")
    assert not material.answers_to(certificate, "two.one.edge.example.com")
    assert material.names(authority.root.certificate) == {"lab root"}


def test_a_chain_is_found_in_any_order_and_without_loops(authority: Authority, stranger: Authority) -> None:
    """Certificates that sign nothing, and roots that sign themselves, do not send the search round."""
    leaf = authority.mint("a").certificate
    pile = [authority.root.certificate, stranger.root.certificate, authority.issuing.certificate, leaf]
    assert material.chains_to(leaf, pile, [authority.root.certificate])
    assert not material.chains_to(leaf, pile, [stranger.root.certificate])
