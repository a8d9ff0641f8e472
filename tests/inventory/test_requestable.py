"""What an issuer, or a server, could not be asked for is said before anybody is asked."""

from __future__ import annotations

import pytest

from cmscert.testing.inventories import SMALL, Folder

ISSUED = SMALL.replace(
    '    files: {certificate: "pki/{name}.crt", key: "pki/{name}.key"}', "    issuer: corp\n    key: {made: device}"
).replace("servers:\n", "issuers: {corp: {type: directory, requests: csr, certificates: signed}}\nservers:\n")


def said(folder: Folder, text: str) -> list[tuple[str | None, str, str]]:
    """Return path, reason and message of every fault."""
    return [(fault.path, fault.reason, fault.message) for fault in folder.write(text).faults()]


def test_every_server_makes_its_own_key(folder: Folder) -> None:
    """A certificate of each server may have its key made there."""
    outline = folder.write(ISSUED).outline()

    assert set(outline.certificates) == {("node", "core1"), ("node", "core2")}


def test_a_shared_certificate_has_no_key_on_a_server(folder: Folder) -> None:
    """Two servers cannot share a key that never leaves one of them."""
    ((path, reason, message),) = said(folder, ISSUED.replace('"{fqdn}"', "cms.example.com"))

    assert (path, reason) == ("certificates.node.key.made", "key-shared")
    assert message.startswith("core1 and core2 share this certificate, so its key cannot be made on a server")


def test_one_server_may_have_a_certificate_without_a_template(folder: Folder) -> None:
    """A name written out is fine as long as one server uses it."""
    text = ISSUED.replace('"{fqdn}"', "cms.example.com").replace(
        '  core2: {address: 10.0.0.2, fqdn: core2.example.com, release: "3.9", roles: [core]}\n', ""
    )

    assert set(folder.write(text).outline().certificates) == {("node", "core1")}


def test_what_pki_csr_refuses_is_a_fault(folder: Folder) -> None:
    """The rules of ``pki csr`` are known, so nobody has to find them out at night."""
    ((path, reason, message), *_) = said(
        folder, ISSUED.replace('common_name: "{fqdn}"', f'common_name: "{"a" * 60}.{{fqdn}}"')
    )

    assert (path, reason) == ("certificates.node", "request")
    assert message == "pki csr would refuse it: the common name is longer than 64 characters"


LOCAL = ISSUED.replace("    key: {made: device}\n", "")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('common_name: "{fqdn}"', f'common_name: "{"a" * 60}.{{fqdn}}"', "CN is longer than 64 characters"),
        (
            'common_name: "{fqdn}"',
            'common_name: "Conference {name}"',
            "'Conference core1' is neither a DNS name, an IP address nor an e-mail address",
        ),
        ("servers:\n", f"subject: {{O: {'x' * 65}}}\nservers:\n", "O is longer than 64 characters"),
        (
            'sans: ["{fqdn}"]',
            'sans: ["ö@example.com"]',
            "'ö@example.com' is neither a DNS name, an IP address nor an e-mail address",
        ),
    ],
)
def test_a_request_that_cannot_be_made_is_a_fault(folder: Folder, old: str, new: str, message: str) -> None:
    """What keeps a request from being made here is said by ``validate``, not by a run that nobody watches."""
    ((path, reason, text), *_) = said(folder, LOCAL.replace(old, new, 1))

    assert (path, reason) == ("certificates.node", "request")
    assert text == f"no request can be made for it: {message}"


def test_requests_never_share_a_file(folder: Folder) -> None:
    """A shared certificate whose name is that of another and a server would overwrite its request."""
    text = ISSUED.replace(
        "roles:\n", "  node-core1: {common_name: a.example.com, issuer: corp, chain: corp}\nroles:\n", 1
    ).replace("    webadmin:", "    turn: {certificate: node-core1, bundle: corp}\n    webadmin:")
    found = said(folder, text)

    assert [reason for _, reason, _ in found] == ["name-clash"]
    assert "node-core1.csr" in found[0][2]


@pytest.mark.parametrize("key", ["{type: ec, bits: 521}", "{type: rsa, bits: 1024}", "{bits: 8192}"])
def test_keys_that_nobody_would_make(folder: Folder, key: str) -> None:
    """A key to be made is RSA of 2048 to 4096 bits, P-256 or P-384."""
    ((path, reason, message),) = said(folder, ISSUED.replace("{made: device}", key))

    assert (path, reason) == ("certificates.node.key.bits", "invalid-value")
    assert "keys are made with" in message


@pytest.mark.parametrize("name", ["10.0.0.1", "2001:db8::1", "ops@example.com"])
def test_acme_proves_host_names_only(folder: Folder, name: str) -> None:
    """A name that no DNS record can prove is said before an order is made."""
    challenge = "{dns_01: {command: [./hook]}}"
    public = f"{{type: acme, directory: https://ca.example.net/directory, challenge: {challenge}}}"
    text = (
        ISSUED.replace("{type: directory, requests: csr, certificates: signed}", public)
        .replace('    sans: ["{fqdn}"]', f'    sans: ["{{fqdn}}", "{name}"]')
        .replace("    key: {made: device}", "")
    )

    assert said(folder, text)[0] == (
        "certificates.node",
        "request",
        f"corp proves DNS names only (DNS-01), not {name}",
    )
