"""The issuer ``acme`` of an inventory: both ways to publish records, and all that may be said besides."""

from __future__ import annotations

from pathlib import Path

import pytest

from cmscert.inventory.fields import name_server
from cmscert.inventory.outline import AcmeIssuer, HookOutline, UpdatesOutline
from cmscert.model.login import SecretRef
from cmscert.testing.inventories import SMALL, Folder

ISSUERS = """\
issuers:
  hooked:
    type: acme
    directory: https://ca.example.net/directory
    challenge: {dns_01: {command: [./hook, -v], timeout: 5, environment: {TOKEN: {env: TOKEN}}}}
  updated:
    type: acme
    directory: https://ca.example.net/directory
    contact: ops@example.com
    agree_terms: false
    external_account: {id: "17", key: {file: eab}}
    preferred_chain: Example Root
    ca_bundle: pki/root-ca.crt
    challenge:
      dns_01: {server: ns1.example.com, key_name: k.example.com, key: {env: KEY}, port: 5353, zone: example.com,
        algorithm: hmac-sha512}
      propagation: 0
      resolvers: [10.0.0.53, "10.0.0.54:5353", "2001:db8::1", "[2001:db8::2]:5353"]
servers:
"""


def test_outlines(tmp_path: Path) -> None:
    """Everything that may be said arrives, and what is left out has the default that the reference names."""
    folder = Folder(tmp_path).write(SMALL.replace("servers:\n", ISSUERS))
    issuers = folder.outline().issuers

    assert issuers["hooked"] == AcmeIssuer(
        name="hooked",
        directory="https://ca.example.net/directory",
        contact=None,
        dns_01=HookOutline(
            command=("./hook", "-v"), timeout=5, environment={"TOKEN": SecretRef(kind="env", value=("TOKEN",))}
        ),
    )
    assert issuers["updated"] == AcmeIssuer(
        name="updated",
        directory="https://ca.example.net/directory",
        contact="ops@example.com",
        dns_01=UpdatesOutline(
            server="ns1.example.com",
            key_name="k.example.com",
            key=SecretRef(kind="env", value=("KEY",)),
            algorithm="hmac-sha512",
            port=5353,
            zone="example.com",
        ),
        propagation=0,
        resolvers=(("10.0.0.53", 53), ("10.0.0.54", 5353), ("2001:db8::1", 53), ("2001:db8::2", 5353)),
        agree_terms=False,
        external_id="17",
        external_key=SecretRef(kind="file", value=("eab",)),
        preferred_chain="Example Root",
        ca_bundle=tmp_path / "pki" / "root-ca.crt",
    )


@pytest.mark.parametrize("text", ["", "ns1", "10.0.0.1:", "10.0.0.1:0", "10.0.0.1:70000", "[::1]:x", "[::1"])
def test_no_name_server(text: str) -> None:
    """What is no address, or no port, is no name server."""
    with pytest.raises(ValueError, match=r".*"):
        name_server(text)
