from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from cmscert.errors import IssuerError
from cmscert.issue import directory
from cmscert.issue.checking import check_issued
from cmscert.issue.directory import DirectoryIssuer
from cmscert.issue.issuers import Asked, Issued, Outstanding
from cmscert.pki.certificate import Certificate
from cmscert.pki.facts import load
from cmscert.pki.pem import to_pem
from cmscert.testing import ca as throw_away
from cmscert.testing.ca import ThrowAwayCa

Sign = Callable[..., throw_away.Issued]
DAY = timedelta(days=1)


@pytest.fixture
def issuer(tmp_path: Path) -> DirectoryIssuer:
    """An issuer with two empty folders."""
    return DirectoryIssuer(name="corp", requests=tmp_path / "csr", certificates=tmp_path / "signed", folder=tmp_path)


def as_pkcs7(certificates: tuple[Certificate, ...]) -> bytes:
    """Write certificates as Windows exports a chain."""
    return pkcs7.serialize_certificates([load(one.der) for one in certificates], Encoding.DER)


async def test_waits(issuer: DirectoryIssuer, asked: Asked) -> None:
    """The request is handed out under the certificate's name, readable for others, and said where it lies."""
    answer = await issuer.obtain(asked)

    assert isinstance(answer, Outstanding)
    assert answer.where == "csr/node-core1.csr"
    assert answer.why == "a certificate for node for core1: sign csr/node-core1.csr and put it into signed"
    path = issuer.requests / "node-core1.csr"
    assert path.read_bytes() == asked.csr
    assert stat.S_IMODE(path.stat().st_mode) & 0o444 == 0o444 & ~current_umask()
    assert [path.name for path in issuer.requests.iterdir()] == ["node-core1.csr"]


def current_umask() -> int:
    """Return the umask of the tests."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


async def test_not_written_again(issuer: DirectoryIssuer, asked: Asked) -> None:
    """A request that lies there is left alone, so that nobody takes it for a new one; another one is replaced."""
    await issuer.obtain(asked)
    path = issuer.requests / "node-core1.csr"
    before = path.stat()
    await issuer.obtain(asked)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)

    path.write_bytes(b"an old request")
    await issuer.obtain(asked)
    assert path.read_bytes() == asked.csr


async def test_links_are_replaced(issuer: DirectoryIssuer, asked: Asked, tmp_path: Path) -> None:
    """A link in place of the request is replaced, and what it leads to stays as it is."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    issuer.requests.mkdir()
    (issuer.requests / "node-core1.csr").symlink_to(victim)

    await issuer.obtain(asked)

    assert victim.read_bytes() == b"precious"
    assert (issuer.requests / "node-core1.csr").read_bytes() == asked.csr


@pytest.mark.parametrize("form", ["pem", "der", "pkcs7", "chain", "reversed", "two-files", "notepad"])
async def test_picked_up_by_key(issuer: DirectoryIssuer, asked: Asked, sign: Sign, form: str) -> None:
    """A signed certificate is found under any name and in any form, with the issuers that came along."""
    issued = sign()
    leaf, *above = issued.full_chain
    forms: dict[str, dict[str, bytes]] = {
        "pem": {"Zertifikat (2).cer": issued.certificate_pem},
        "der": {"1": leaf.der},
        "pkcs7": {"chain.p7b": as_pkcs7(issued.full_chain)},
        "chain": {"full.pem": issued.full_chain_pem},
        "reversed": {"full.pem": to_pem(issued.full_chain[::-1])},
        "two-files": {"ca.crt": to_pem(above), "node": issued.certificate_pem},
        "notepad": {"n.txt": b"\xef\xbb\xbf" + issued.certificate_pem.replace(b"\n", b"\r\n")},
    }
    issuer.certificates.mkdir()
    for name, content in forms[form].items():
        (issuer.certificates / name).write_bytes(content)

    answer = await issuer.obtain(asked)

    assert isinstance(answer, Issued)
    assert answer.chain == ((leaf,) if form in ("pem", "der", "notepad") else issued.full_chain)
    assert check_issued(asked, answer, issuer="corp", at=asked.at).chain == issued.full_chain


async def test_others_are_left_aside(issuer: DirectoryIssuer, asked: Asked, sign: Sign, issuing: ThrowAwayCa) -> None:
    """Certificates of others, cut, huge and empty files, folders and pipes are left aside, and told where broken."""
    folder = issuer.certificates
    (folder / "older").mkdir(parents=True)
    (folder / "a-other.crt").write_bytes(issuing.issue("other.example.com").full_chain_pem)
    (folder / "b-readme.txt").write_bytes(b"put certificates here")
    (folder / "c-cut.crt").write_bytes(sign().certificate_pem[:300])
    (folder / "d-empty.crt").write_bytes(b"")
    (folder / "e-huge.crt").write_bytes(b" " * 1_000_001)
    (folder / "f-lost.crt").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "g-pipe")
    (folder / "z.crt").write_bytes(sign().certificate_pem)

    answer = await issuer.obtain(asked)

    assert isinstance(answer, Issued)
    assert answer.chain[0].spki_sha256 == asked.request.spki_sha256
    assert [note.split(":")[1].strip() for note in answer.notes] == [
        "signed/b-readme.txt",
        "signed/c-cut.crt",
        "signed/d-empty.crt",
        "signed/e-huge.crt",
    ]


async def test_few_notes(issuer: DirectoryIssuer, asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many files are broken, a handful is named; beyond a limit none is opened."""
    issuer.certificates.mkdir()
    for number in range(9):
        (issuer.certificates / f"{number}.txt").write_bytes(b"x")
    answer = await issuer.obtain(asked)
    assert len(answer.notes) == 6
    assert answer.notes[-1] == "left aside: 4 more files"

    monkeypatch.setattr(directory, "MOST_FILES", 2)
    assert (await issuer.obtain(asked)).notes[0] == "signed: only the first 2 files are looked at"


async def test_newest_wins(issuer: DirectoryIssuer, asked: Asked, sign: Sign) -> None:
    """Of several certificates for the key the newest valid one is taken; an expired one alone is waited past."""
    issuer.certificates.mkdir()
    ended = sign(begin=asked.at - 9 * DAY, end=asked.at - DAY)
    (issuer.certificates / "1").write_bytes(ended.certificate_pem)
    answer = await issuer.obtain(asked)
    assert isinstance(answer, Outstanding)
    assert "expired on 2026-11-22" in answer.why

    new = sign(begin=asked.at - DAY)
    (issuer.certificates / "2").write_bytes(new.certificate_pem)
    (issuer.certificates / "3").write_bytes(sign(begin=asked.at - 3 * DAY).certificate_pem)
    answer = await issuer.obtain(asked)
    assert isinstance(answer, Issued)
    assert answer.chain[0] == new.certificate


@pytest.mark.parametrize(("place", "words"), [("csr", "cannot be written"), ("signed", "cannot be read")])
async def test_unusable_folders(issuer: DirectoryIssuer, asked: Asked, tmp_path: Path, place: str, words: str) -> None:
    """A folder that cannot be used is told, with its name."""
    (tmp_path / place).write_bytes(b"a file")

    with pytest.raises(IssuerError, match=words) as caught:
        await issuer.obtain(asked)

    assert place in caught.value.message


async def test_part_files_do_not_stay(issuer: DirectoryIssuer, asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that cannot be put in its place leaves nothing half-written."""

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(IssuerError, match="no space left"):
        await issuer.obtain(asked)

    assert list(issuer.requests.iterdir()) == []


@pytest.mark.judge("openssl")
async def test_openssl_signs_by_hand(
    issuer: DirectoryIssuer, asked: Asked, issuing: ThrowAwayCa, tmp_path: Path
) -> None:
    """What a person signs with OpenSSL, in the folder's own files, is picked up and passes."""
    (tmp_path / "ca.crt").write_bytes(issuing.certificate_pem)
    (tmp_path / "ca.key").write_bytes(issuing.key_pem)
    await issuer.obtain(asked)
    subprocess.run(  # noqa: ASYNC221 - nothing else waits in a test
        ["openssl", "x509", "-req", "-in", "csr/node-core1.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-days", "3650",
         "-set_serial", "7", "-copy_extensions", "copyall", "-out", "signed/by-hand.crt"],
        check=True, capture_output=True, cwd=tmp_path,
    )  # fmt: skip

    answer = await issuer.obtain(asked)

    assert isinstance(answer, Issued)
    at = answer.chain[0].not_before
    assert [one.reason for one in check_issued(asked, answer, issuer="corp", at=at).warnings] == ["eku-missing"]


async def test_withdrawn(issuer: DirectoryIssuer, asked: Asked) -> None:
    """A request that was answered is taken back; another one under the same name stays."""
    await issuer.obtain(asked)
    issuer.withdraw(asked)
    assert list(issuer.requests.iterdir()) == []

    path = issuer.requests / "node-core1.csr"
    path.write_bytes(b"a newer request")
    issuer.withdraw(asked)
    assert path.exists()
