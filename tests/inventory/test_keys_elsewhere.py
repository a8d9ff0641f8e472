"""Certificates whose key only the servers have, and bundles as they were found."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cmscert.model.desired import WantedIdentity
from cmscert.testing.ca import AT, YEAR
from cmscert.testing.inventories import NOW, SMALL, Folder

KEY = ', key: "pki/{name}.key"'
WITHOUT = SMALL.replace(KEY, "")


@pytest.fixture
def keyless(small: Folder) -> Folder:
    """Return an inventory that names no key, with the keys gone too."""
    assert WITHOUT != SMALL
    small.write(WITHOUT)
    for path in (small.path / "pki").glob("core*.key"):
        path.unlink()
    return small


def test_no_key_is_needed(keyless: Folder) -> None:
    """The material is whole but for the key, which is nowhere here and marked so."""
    loaded = keyless.load()
    (slot,) = [one for one in loaded.desired.server("core1").slots if isinstance(one, WantedIdentity)]

    assert not slot.material.key_here
    assert slot.material.spki == slot.material.leaf.spki_sha256
    assert dict(loaded.keys) == {}
    assert loaded.warnings == ()


def test_findings_are_warnings(keyless: Folder) -> None:
    """What is wrong with it does not keep the inventory from being read, unless the profile is strict."""
    keyless.reissue(not_before=AT - YEAR, not_after=NOW - timedelta(days=1))
    assert ("expired", "warning") in {(one.reason, one.severity) for one in keyless.load().warnings}
    keyless.write(WITHOUT + "policy: {profile: strict}\n")

    assert ("expired", "error") in {(one.reason, one.severity) for one in keyless.faults(material=True)}


def test_a_bundle_as_it_was_found(keyless: Folder) -> None:
    """A bundle without its root is refused, unless it is said that it was found like this."""
    whole = "corp: [pki/issuing-ca.crt, pki/root-ca.crt]"
    assert whole in WITHOUT
    alone = "corp: [pki/issuing-ca.crt]"
    keyless.write(WITHOUT.replace(whole, alone))
    assert {(one.reason, one.severity) for one in keyless.faults(material=True)} >= {("bundle-no-root", "error")}
    keyless.write(WITHOUT.replace(whole, "corp: {found: [pki/issuing-ca.crt]}"))
    warnings = keyless.load().warnings

    assert {one.severity for one in warnings} == {"warning"}
    assert "bundles.corp" in {one.path for one in warnings if one.reason == "bundle-no-root"}


def test_a_missing_file_of_a_found_bundle(small: Folder) -> None:
    """The fault stands at the file's place."""
    small.write(SMALL.replace("corp: [pki/issuing-ca.crt, pki/root-ca.crt]", "corp: {found: [pki/none.crt]}"))

    assert "bundles.corp.found[0]" in {fault.path for fault in small.faults(material=True)}
