"""Public files that are overwritten are kept on this machine; private keys never are."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, load_pem_private_key, pkcs12

from cmscert.apply.database import Records
from cmscert.apply.saved import is_public, saved_folder
from cmscert.errors import JournalError
from cmscert.model.plan import SaveFile
from cmscert.testing.ca import Issued
from cmscert.testing.toy_run import ToyRun, plain


def der(issued: Issued) -> bytes:
    """Return a certificate in DER."""
    return x509.load_pem_x509_certificate(issued.certificate_pem).public_bytes(Encoding.DER)


def container(issued: Issued) -> bytes:
    """Return a PKCS#12 file without a passphrase."""
    certificate = x509.load_pem_x509_certificate(issued.certificate_pem)
    key = load_pem_private_key(issued.key_pem, None)
    return pkcs12.serialize_key_and_certificates(b"x", key, certificate, None, NoEncryption())  # type: ignore[arg-type]  # an EC key


def test_what_is_public(toy: ToyRun) -> None:
    """Certificates in PEM and DER are; keys are not, under any name, alone or with a certificate, or in a container."""
    pem, key = toy.old.certificate_pem, toy.old.key_pem
    assert is_public("a.crt", pem)
    assert is_public("a.pem", b"some text\r\n" + pem + toy.ca.bundle_pem)
    assert is_public("a.cer", der(toy.old))
    for name, content in (
        ("a.key", pem),
        ("a.crt", key),
        ("a.crt", pem + key),
        ("a.crt", key.replace(b"-----BEGIN PRIVATE KEY-----", b"-----BEGIN EC PRIVATE KEY-----")),
        ("a.crt", pem + b"-----BEGIN SOMETHING-----\nAAAA\n-----END SOMETHING-----\n"),
        ("a.crt", container(toy.old)),
        ("a.crt", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        ("a.crt", b"anything"),
        ("a.crt", b""),
    ):
        assert not is_public(name, content), (name, content)


def test_a_saved_file_is_for_its_owner(toy: ToyRun, tmp_path: Path) -> None:
    """It holds the very bytes, 0600 in folders of 0700, and a second time takes its place."""
    save = saved_folder(tmp_path)
    save("core1", "a.crt", toy.new.certificate_pem)
    save("core1", "a.crt", toy.old.certificate_pem)
    save("core1", "a.key", toy.old.key_pem)
    path = tmp_path / "saved" / "core1" / "a.crt"

    assert path.read_bytes() == toy.old.certificate_pem
    assert [each.name for each in path.parent.iterdir()] == ["a.crt"]
    modes = {stat.S_IMODE(each.stat().st_mode) for each in (path.parent, path.parent.parent)}
    assert (stat.S_IMODE(path.stat().st_mode), modes) == (0o600, {0o700})


@pytest.mark.parametrize(("server", "name"), [("..", "a.crt"), ("core1", ".."), ("core1", "x/a.crt"), ("a/b", "a.crt")])
def test_no_name_leads_out_of_the_folder(toy: ToyRun, tmp_path: Path, server: str, name: str) -> None:
    """What a server calls its files decides nothing about where they go."""
    with pytest.raises(JournalError, match="is no name for a saved file"):
        saved_folder(tmp_path / "run")(server, name, toy.old.certificate_pem)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_is_told(toy: ToyRun, tmp_path: Path) -> None:
    """The error names the file and a way out."""
    (tmp_path / "saved").write_text("")
    with pytest.raises(JournalError, match="the saved file cannot be written") as caught:
        saved_folder(tmp_path)("core1", "a.crt", toy.old.certificate_pem)
    assert caught.value.hint is not None


def records(run: Path) -> Records:
    """Return where a run keeps what it saves; it backs up and remembers nothing."""

    def never(*_given: object) -> None:
        raise AssertionError

    return Records(keep=never, remember=never, forget=never, save=saved_folder(run))  # type: ignore[arg-type]  # not used


def kept(folder: Path) -> list[str]:
    """Return the files below a folder."""
    return [str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file()]


async def test_a_run_keeps_what_it_overwrites(toy: ToyRun, tmp_path: Path) -> None:
    """When a step copies a file aside on the server, its certificates come here as well, its key does not."""
    node = toy.add("core1", "webadmin")
    toy.records = records(tmp_path)
    result = await toy.run(
        plain("s1", "core1", SaveFile(file="old.crt", saved_as="old-saved.crt")),
        plain("s2", "core1", SaveFile(file="old.key", saved_as="old-saved.key"), after=("s1",)),
    )

    assert toy.outcomes(result) == {"s1": "done", "s2": "done"}
    assert node.store["old-saved.key"] == toy.old.key_pem
    assert kept(tmp_path) == ["saved/core1/old.crt"]


async def test_a_step_fails_when_it_cannot_keep_the_file(toy: ToyRun, tmp_path: Path) -> None:
    """Nothing is overwritten yet, so it is the step that fails, and nothing is put on the server."""
    node = toy.add("core1", "webadmin")
    (tmp_path / "saved").write_text("")
    toy.records = records(tmp_path)
    result = await toy.run(plain("s1", "core1", SaveFile(file="old.crt", saved_as="old-saved.crt")))

    assert toy.outcomes(result) == {"s1": "failed"}
    assert "cannot be written" in (result.steps[0].why or "")
    assert "old-saved.crt" not in node.store


async def test_a_run_may_keep_nothing(toy: ToyRun, tmp_path: Path) -> None:
    """Without a place for them, files are copied on the server alone."""
    toy.add("core1", "webadmin")
    toy.records = replace(records(tmp_path), save=None)
    result = await toy.run(plain("s1", "core1", SaveFile(file="old.crt", saved_as="old-saved.crt")))

    assert toy.outcomes(result) == {"s1": "done"}
    assert kept(tmp_path) == []
