from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from cmscert.errors import IssuerError
from cmscert.issue import programs
from cmscert.issue.checking import check_issued
from cmscert.issue.command import CommandIssuer
from cmscert.issue.issuers import Asked, Issued
from cmscert.model.secret import Secret
from cmscert.pki.pem import to_pem
from cmscert.testing import ca as throw_away
from cmscert.testing.ca import ThrowAwayCa

Sign = Callable[..., throw_away.Issued]
Program = Callable[..., CommandIssuer]


@pytest.fixture
def program(tmp_path: Path, sign: Sign) -> Program:
    """Return a function that makes an issuer of a few lines of Python; what the CA would answer lies in files."""
    issued = sign()
    (tmp_path / "answer.pem").write_bytes(issued.full_chain_pem)
    (tmp_path / "leaf.pem").write_bytes(issued.certificate_pem)
    (tmp_path / "above.pem").write_bytes(issued.chain_pem)

    def make(text: str, *arguments: str, **more: object) -> CommandIssuer:
        (tmp_path / "program.py").write_text(textwrap.dedent(text))
        run = (sys.executable, "program.py", *arguments)
        return CommandIssuer(name="vault", run=run, folder=tmp_path, **more)  # type: ignore[arg-type]  # as the test says

    return make


async def failed(issuer: CommandIssuer, asked: Asked) -> IssuerError:
    """Return the error that an issuer ends with."""
    with pytest.raises(IssuerError) as caught:
        await issuer.obtain(asked)
    assert (caught.value.certificate, caught.value.issuer) == ("node for core1", "vault")
    return caught.value


COPY = "import shutil, sys; shutil.copy('answer.pem', sys.argv[1])"
SHOW = "import shutil, sys; shutil.copyfileobj(open('answer.pem'), sys.stdout)"


async def test_writes_a_file(program: Program, asked: Asked) -> None:
    """A program that writes to {certificate} has issued what it wrote."""
    issued = await program(COPY, "{certificate}").obtain(asked)

    assert check_issued(asked, issued, issuer="vault", at=asked.at).chain == issued.chain


async def test_prints_it(program: Program, asked: Asked) -> None:
    """A program that is not told a file prints the certificate."""
    assert len((await program(SHOW, "{csr}").obtain(asked)).chain) == 3


@pytest.mark.parametrize("empty", [False, True])
async def test_chain_file(program: Program, asked: Asked, *, empty: bool) -> None:
    """The chain may come in a file of its own, and need not come at all."""
    above = "" if empty else "shutil.copy('above.pem', sys.argv[2])"
    text = f"import shutil, sys; shutil.copy('leaf.pem', sys.argv[1]); open(sys.argv[2], 'w').close(); {above}"

    issued = await program(text, "{certificate}", "{chain}").obtain(asked)

    assert len(issued.chain) == (1 if empty else 3)


async def test_what_it_is_told(program: Program, asked: Asked, tmp_path: Path) -> None:
    """Placeholders are filled inside arguments, nothing else is touched, and no shell looks at any of it."""
    text = """
        import json, os, stat, sys
        csr = sys.argv[1].partition("=")[2]
        folder = os.path.dirname(csr)
        told = {"argv": sys.argv[2:], "csr": open(csr).read(), "mode": stat.S_IMODE(os.stat(folder).st_mode),
                "cwd": os.getcwd(), "stdin": sys.stdin.read(), "folder": folder}
        open("told.json", "w").write(json.dumps(told))
        sys.stdout.write(open("answer.pem").read())
    """
    rest = ("{name}", "--san={names}", "$HOME; echo `id`", "{other}", "{{csr}")
    await program(text, "--csr={csr}", *rest).obtain(asked)

    told = json.loads((tmp_path / "told.json").read_text())
    assert told["argv"][:4] == ["node-core1", "--san=core1.example.com,10.0.0.11", "$HOME; echo `id`", "{other}"]
    assert told["argv"][4] == "{" + told["folder"] + "/request.csr"
    assert (told["csr"].encode(), told["mode"], told["cwd"]) == (asked.csr, 0o700, str(tmp_path))
    assert told["stdin"] == ""
    assert not is_there(told["folder"])


def is_there(path: str) -> bool:
    """Tell whether something has this name."""
    return Path(path).exists()


async def test_environment(program: Program, asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program sees what programs need and what is declared, and none of our other secrets."""
    monkeypatch.setenv("CMS_PASSWORD", "hunter2")
    monkeypatch.setenv("LANG", "C.UTF-8")
    text = f"import json, os; open('told.json', 'w').write(json.dumps(dict(os.environ)))\n{SHOW}"
    await program(text, environment={"VAULT_TOKEN": Secret("s.1234")}).obtain(asked)

    told = json.loads((tmp_path / "told.json").read_text())
    assert [value for name, value in told.items() if name == "VAULT_TOKEN"] == ["s.1234"]
    assert told["LANG"] == "C.UTF-8"
    assert "CMS_PASSWORD" not in told
    assert set(told) <= {*programs.PASSED_ON, "VAULT_TOKEN", "__CF_USER_TEXT_ENCODING"}


@pytest.mark.parametrize(
    ("text", "arguments", "words"),
    [
        ("import sys; sys.exit('no\\x1b[31m such\\nrole')", (), "python.* ended with code 1: no such role"),
        ("import sys; print('told on stdout'); sys.exit(3)", (), "ended with code 3: told on stdout"),
        ("import sys; sys.exit(3)", (), "ended with code 3 and said nothing"),
        ("import os; os.kill(os.getpid(), 9)", (), "ended with signal 9"),
        ("print('done')", (), "delivered no certificate: the output of python"),
        ("", (), "delivered no certificate: .*empty"),
        ("", ("{certificate}",), "certificate.pem no such file"),
        ("import os, sys; os.mkfifo(sys.argv[1])", ("{certificate}",), "not a regular file"),
        (
            "import sys; open(sys.argv[1], 'w').write('x')",
            ("{certificate}",),
            "delivered no certificate: certificate.pem",
        ),
        ("import os, sys; os.truncate(os.open(sys.argv[1], 65), 2000000)", ("{certificate}",), "2 MB large"),
    ],
)
async def test_failures(program: Program, asked: Asked, text: str, arguments: tuple[str, ...], words: str) -> None:
    """Every way to deliver nothing is told in one sentence that names the program."""
    error = await failed(program(text, *arguments), asked)

    assert re.search(words, error.message), error.message
    assert "\x1b" not in error.message
    assert "\n" not in error.message


async def test_long_words(program: Program, asked: Asked) -> None:
    """Of what a failing program says its last words are told; a declared secret is not."""
    text = "import os, sys; sys.exit('x' * 5000 + ' token ' + os.environ['TOKEN'])"
    error = await failed(program(text, environment={"TOKEN": Secret("s.1234"), "NONE": Secret("")}), asked)

    assert len(error.message) < 700
    assert error.message.endswith(" token ********")


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
async def test_endless_output(program: Program, asked: Asked, stream: str) -> None:
    """A program that prints without end is ended, not read to the end."""
    error = await failed(program(f"import sys\nwhile True: sys.{stream}.write('x' * 65536)"), asked)

    assert "wrote more than 1 MB: it was ended" in error.message


async def test_timeout_ends_the_whole_family(asked: Asked, tmp_path: Path) -> None:
    """After the time-out nothing that the program started is left."""
    run = ("sh", "-c", "sleep 600 & echo $! > pid; sleep 600")

    error = await failed(CommandIssuer(name="vault", run=run, folder=tmp_path, seconds=2.0), asked)

    assert "sh did not end within 2 s" in error.message
    await gone(tmp_path)


async def test_left_behind(program: Program, asked: Asked, tmp_path: Path) -> None:
    """What a program leaves running in the background is ended with it, and nobody waits for it."""
    text = f"""
        import subprocess
        child = subprocess.Popen(["sleep", "600"])
        open("pid", "w").write(str(child.pid))
        {SHOW}
    """
    assert len((await program(text).obtain(asked)).chain) == 3
    await gone(tmp_path)


async def test_interrupted(program: Program, asked: Asked, tmp_path: Path) -> None:
    """When a run is interrupted its program is ended too."""
    text = "import os, time; open('part', 'w').write(str(os.getpid())); os.rename('part', 'pid'); time.sleep(600)"
    running = asyncio.create_task(program(text).obtain(asked))
    while not (tmp_path / "pid").exists():  # noqa: ASYNC110 - another process makes it
        await asyncio.sleep(0.01)

    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    await gone(tmp_path)


async def gone(folder: Path) -> None:
    """Wait until the process whose number stands in a file is gone, or a zombie that its parent has not seen."""
    number = int((folder / "pid").read_text())
    while is_running(number):  # noqa: ASYNC110 - another process ends
        await asyncio.sleep(0.01)


def is_running(number: int) -> bool:
    """Tell whether a process still does something."""
    told = subprocess.run(["ps", "-o", "stat=", "-p", str(number)], capture_output=True, text=True, check=False)
    return told.stdout.strip() != "" and not told.stdout.startswith("Z")


@pytest.mark.parametrize("run", [("./nowhere",), ("./program.py",), ("a\0b",)])
async def test_cannot_be_started(asked: Asked, tmp_path: Path, run: tuple[str, ...]) -> None:
    """A program that is not there, or may not be run, is told."""
    (tmp_path / "program.py").write_text("")

    error = await failed(CommandIssuer(name="vault", run=run, folder=tmp_path), asked)

    assert "cannot be started: " in error.message


def test_shows_no_secret(tmp_path: Path) -> None:
    """The issuer does not show what it passes on."""
    issuer = CommandIssuer(name="vault", run=("x",), folder=tmp_path, environment={"TOKEN": Secret("s.1234")})

    assert "s.1234" not in repr(issuer)


@pytest.mark.judge("openssl")
async def test_openssl_as_a_ca(asked: Asked, root: ThrowAwayCa, tmp_path: Path) -> None:
    """OpenSSL as a CA, started as the documentation shows it, issues certificates that pass."""
    issuing = root.intermediate("OpenSSL CA")
    for name, content in {
        "ca.crt": issuing.certificate_pem,
        "ca.key": issuing.key_pem,
        "extensions": EXTENSIONS,
    }.items():
        (tmp_path / name).write_bytes(content)
    run = (
        *("openssl", "x509", "-req", "-in", "{csr}", "-CA", "ca.crt", "-CAkey", "ca.key", "-days", "90"),
        *("-copy_extensions", "copyall", "-extfile", "extensions", "-out", "{certificate}"),
    )
    issuer = CommandIssuer(name="vault", run=run, folder=tmp_path)
    bundle = issuing.bundle

    for _ in range(2):
        issued = await issuer.obtain(asked)
        assert isinstance(issued, Issued)
        at = issued.chain[0].not_before
        accepted = check_issued(
            Asked(
                certificate="node", common_name=asked.common_name, sans=asked.sans, csr=asked.csr, at=at, bundle=bundle
            ),
            issued,
            issuer="vault",
            at=at,
        )
        assert accepted.warnings == ()
        assert accepted.chain == (issued.chain[0], *bundle)
        assert to_pem(accepted.chain).count(b"-----END CERTIFICATE-----\n") == 3


EXTENSIONS = b"""basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
"""
