"""Inventories in folders of their own, with throw-away material that fits them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cmscert.errors import Fault, InputError
from cmscert.inventory.load import Loaded, load, read_outline
from cmscert.inventory.outline import BundleOutline, Outline
from cmscert.testing.ca import Issued, ThrowAwayCa

NOW = datetime(2026, 3, 1, tzinfo=UTC)
"""A moment at which throw-away certificates are valid."""

SMALL = """\
version: 1
fleet: small
ssh: {user: admin, password: {env: CMS_PASSWORD}, known_hosts: known_hosts}
bundles:
  corp: [pki/issuing-ca.crt, pki/root-ca.crt]
certificates:
  node:
    common_name: "{fqdn}"
    sans: ["{fqdn}"]
    chain: corp
    files: {certificate: "pki/{name}.crt", key: "pki/{name}.key"}
roles:
  core:
    webadmin: {certificate: node, bundle: corp}
servers:
  core1: {address: 10.0.0.1, fqdn: core1.example.com, release: "3.9", roles: [core]}
  core2: {address: 10.0.0.2, fqdn: core2.example.com, release: "3.9", roles: [core]}
"""


def mint(outline: Outline) -> dict[str, ThrowAwayCa]:
    """Make every file that an outline names; return the CAs by bundle name, the issuing ones."""
    made: dict[Path, ThrowAwayCa] = {}
    issuing = {name: _mint_bundle(bundle, made) for name, bundle in outline.bundles.items() if bundle.paths}
    for one in outline.certificates.values():
        if one.certificate_path is None or one.key_path is None:
            continue
        issued = issuing[one.chain or ""].issue(one.common_name, one.sans)
        one.certificate_path.parent.mkdir(exist_ok=True, parents=True)
        one.certificate_path.write_bytes(issued.certificate_pem)
        one.key_path.write_bytes(issued.key_pem)
    return issuing


def _mint_bundle(bundle: BundleOutline, made: dict[Path, ThrowAwayCa]) -> ThrowAwayCa:
    above: ThrowAwayCa | None = None
    for path in reversed(bundle.paths):
        if path not in made:
            name = path.stem.replace("-", " ").title()
            made[path] = ThrowAwayCa.root(name) if above is None else above.intermediate(name)
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_bytes(made[path].certificate_pem)
        above = made[path]
    if above is None:
        raise AssertionError(f"the bundle {bundle.name} names no file")
    return above


class Folder:
    """A folder with an inventory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.inventory = path / "inventory.yaml"
        self.cas: dict[str, ThrowAwayCa] = {}

    def write(self, text: str | bytes) -> Folder:
        """Write the inventory."""
        self.inventory.write_bytes(text.encode() if isinstance(text, str) else text)
        return self

    def mint(self) -> Folder:
        """Make the material that it names."""
        self.cas = mint(read_outline(self.inventory))
        return self

    def replace(self, issued: Issued, name: str = "core1") -> None:
        """Put another certificate and key in a server's files of the small inventory."""
        (self.path / f"pki/{name}.crt").write_bytes(issued.certificate_pem)
        (self.path / f"pki/{name}.key").write_bytes(issued.key_pem)

    def reissue(self, name: str = "core1", **wishes: Any) -> Issued:  # noqa: ANN401 - what ThrowAwayCa.issue takes
        """Issue a server's certificate of the small inventory again, differently."""
        fqdn = f"{name}.example.com"
        issued = self.cas["corp"].issue(fqdn, **{"sans": (fqdn,), **wishes})
        self.replace(issued, name)
        return issued

    def outline(self) -> Outline:
        """Read the inventory alone."""
        return read_outline(self.inventory)

    def load(self, now: datetime = NOW) -> Loaded:
        """Read the inventory and its material."""
        return load(self.inventory, now=now)

    def faults(self, *, material: bool = False) -> tuple[Fault, ...]:
        """Return what is wrong with it."""
        try:
            if material:
                self.load()
            else:
                self.outline()
        except InputError as error:
            return error.faults
        raise AssertionError("nothing is wrong with the inventory")

    def fault(self, *, material: bool = False) -> Fault:
        """Return the only fault."""
        (fault,) = self.faults(material=material)
        return fault
