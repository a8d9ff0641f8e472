"""Where the material of a plan lies, for a person who uploads it."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from cmscert.app.at_hand import material_at_hand
from cmscert.app.inventory import Chosen, narrow
from cmscert.inventory.load import Loaded
from cmscert.inventory.outline import BundleOutline, CertificateOutline, Outline
from cmscert.model.desired import Desired, Material, Policy, WantedDatabase, WantedIdentity, WantedServer
from cmscert.pki.pem import to_pem
from cmscert.testing.ca import ThrowAwayCa


def chosen(folder: Path, materials: dict[str, Material], outlines: dict[str, CertificateOutline]) -> Chosen:
    """Make a fleet of one server that holds the first of the materials, and a database that holds all."""
    [first, *_] = materials.values()
    slot = WantedIdentity(slot="webadmin", material=first, file_certificates=first.full_chain)
    server = WantedServer(name="core1", address="", fqdn="", slots=(slot,))
    database = WantedDatabase(
        name="main",
        nodes=("core1",),
        primary="core1",
        server={"core1": first},
        client=dict.fromkeys(("core1",), [*materials.values()][-1]),
    )
    outline = Outline(
        file="f.yaml",
        folder=folder,
        sha256="",
        fleet="example",
        certificates={(name, None): each for name, each in outlines.items()},
        bundles={"corp": BundleOutline(name="corp", paths=(folder / "corp.crt", folder / "gone.crt"))},
    )
    desired = Desired(fleet="example", inventory_sha256="", policy=Policy(), servers=(server,), databases=(database,))
    loaded = Loaded(desired=desired, keys={}, logins={}, warnings=(), outline=outline)
    return narrow(loaded, folder / "f.yaml", ())


def test_each_content_says_where_it_lies(tmp_path: Path) -> None:
    """A file as it is, certificates to be joined with their files, one that came from an issuer, and the keys."""
    ca = ThrowAwayCa.root()
    leaf, other = (ca.issue(name).certificate for name in ("join.example.com", "own.example.com"))
    (tmp_path / "join.crt").write_bytes(b"text around\n" + to_pem([leaf]))
    (tmp_path / "corp.crt").write_bytes(to_pem([ca.certificate]))
    (tmp_path / "odd.crt").write_bytes(b"nothing")
    materials = {
        "join": Material(certificate="join", leaf=leaf, chain=(), spki="aa"),
        "own": Material(certificate="own", leaf=other, chain=(), spki="bb"),
    }
    outlines = {
        "join": CertificateOutline(
            name="join", server=None, common_name="", certificate_path=tmp_path / "join.crt", key_path=tmp_path / "k"
        ),
        "own": CertificateOutline(name="own", server=None, common_name="", issuer="acme"),
        "odd": CertificateOutline(name="odd", server=None, common_name="", certificate_path=tmp_path / "odd.crt"),
    }
    contents = {
        f"sha256:{sha256(text).hexdigest()}": text
        for text in (to_pem([leaf, ca.certificate]), to_pem([ca.certificate]), to_pem([other]))
    }
    [pair, corp, own, *keys] = material_at_hand(chosen(tmp_path, materials, outlines), contents).values()

    assert [line.rpartition(", from ")[2] for line in pair] == [f"{tmp_path}/join.crt", f"{tmp_path}/corp.crt"]
    assert pair[0].startswith(f"join.example.com, until {leaf.not_after:%Y-%m-%d} ({leaf.sha256[:8]})")
    assert corp == (f"{tmp_path}/corp.crt, as it is",)
    assert own[0].endswith(", from an issuer's answer in the store")
    assert keys == [
        (f"the key in {tmp_path}/k, as PEM without a passphrase",),
        ("the key of own, from the store",),
    ]
