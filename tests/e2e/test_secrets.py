"""Unmistakable secrets, looked for in every byte that the program writes or shows."""

from __future__ import annotations

import base64
import signal
import subprocess
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from cmscert.cli import failures
from cmscert.cli import main as console
from cmscert.cli.output import Output

Cli = Callable[..., Any]
MakeBench = Callable[..., Any]
PASSWORD = "Canary-Ssh-4f1d0c"  # noqa: S105 - what is looked for
TURN = "Canary-Turn-9b27ae"
SHARED = "Canary-Shared-55e01d"
PASSPHRASE = "Canary-Phrase-c07a66"  # noqa: S105 - what is looked for
STORE = "Canary-Store-38fe91"
ENVIRONMENT = {"CMS_PASSWORD": PASSWORD, "CANARY_PHRASE": PASSPHRASE, "CANARY_STORE": STORE}
WRONG = f"{PASSWORD}-wrong"
PIECE = 15  # bytes; as base64 20 letters


@dataclass
class Hunt:
    """A fleet with marked secrets, and everything that was said about it."""

    bench: Any
    cli: Cli
    canaries: dict[str, bytes]
    said: dict[str, bytes] = field(default_factory=dict)

    def run(self, *words: object, code: int | None = None, password: str = PASSWORD) -> Any:  # noqa: ANN401 - what the cli returns
        """Run a command and keep what it says."""
        ran = self.cli(*words, env={**ENVIRONMENT, "CMS_PASSWORD": password})
        self.keep(" ".join(map(str, words)), ran.out + ran.err)
        if code is not None:
            assert ran.code == code, ran
        return ran

    def keep(self, name: str, said: str) -> None:
        """Keep what was said, beside what the same words said before."""
        self.said[name] = self.said.get(name, b"") + said.encode()

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Yield every file below the test's folder that is not the operator's own material.

        Backups are left out: they come encrypted or not as the server makes them, and are told of in the manual.
        """
        own = self.bench.folder / "pki"
        for path in self.bench.folder.parent.rglob("*"):
            if path.is_file() and own not in path.parents and "backups" not in path.parts:
                yield str(path), path.read_bytes()

    def hits(self) -> list[str]:
        """Return where any canary stands."""
        places = [*self.said.items(), *self.files()]
        return [f"{name} in {place}" for place, text in places for name, mark in self.canaries.items() if mark in text]


def word_marks(name: str, word: str) -> dict[str, bytes]:
    """Take a password as it is, and as base64 and hex might show it."""
    return {f"the {name}": word.encode()} | byte_marks(name, word.encode()[:PIECE])


def byte_marks(name: str, secret: bytes) -> dict[str, bytes]:
    """Take pieces of bytes: raw, in hex, and in base64 wherever they may stand in it."""
    marks = {}
    for start, end in pairwise(range(0, len(secret) + 1, PIECE)):
        piece = secret[start:end]
        marks[f"{name} at {start}"] = piece
        marks[f"{name} at {start} in hex"] = piece.hex().encode()
        for shift in range(3):
            # What stands before and after changes the first and the last letters: they are left out.
            marks[f"{name} at {start} in base64 {shift}"] = base64.b64encode(bytes(shift) + piece)[4:-4]
    return marks


def key_marks(name: str, pem: bytes) -> dict[str, bytes]:
    """Take the numbers that only the private half has, in every form that a key may be written in."""
    numbers = load_pem_private_key(pem, None)
    if isinstance(numbers, rsa.RSAPrivateKey):
        secret = numbers.private_numbers()
        marks: dict[str, bytes] = {}
        for word, number in (("d", secret.d), ("p", secret.p), ("q", secret.q)):
            marks |= byte_marks(f"{name} {word}", number.to_bytes((number.bit_length() + 7) // 8, "big"))
        return marks
    assert isinstance(numbers, ec.EllipticCurvePrivateKey)
    value = numbers.private_numbers().private_value
    return byte_marks(name, value.to_bytes((numbers.key_size + 7) // 8, "big"))


def rewrite(inventory: Path, to: Path, passphrase: object, **more: object) -> None:
    """Write an inventory whose key needs a passphrase, or whose certificate comes from its issuer."""
    document = {**yaml.safe_load(inventory.read_text()), **more}
    certificate = document["certificates"]["all"]
    if passphrase is None:
        del certificate["files"]
        certificate |= {"issuer": "own", "key": {"made": "local"}}
    else:
        certificate["files"]["passphrase"] = passphrase
    to.write_text(yaml.safe_dump(document))


def encrypt(path: Path) -> None:
    """Put a passphrase on a key of the operator."""
    key = load_pem_private_key(path.read_bytes(), None)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSPHRASE.encode())))


@pytest.fixture
def hunt(bench: MakeBench, cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Hunt:
    """A single server with old certificates, whose passwords, passphrases and keys are marked."""
    monkeypatch.setattr("cmscert.apply.turn._patience", lambda _: 0.5)
    reports = tmp_path / "reports"
    reports.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(reports))

    def mark(specs: dict[str, Any]) -> None:
        for spec in specs.values():
            spec.password = PASSWORD
            spec.services["turn"].settings.update({"Password": TURN, "Shared secret": SHARED})

    made = bench("single.yaml", "aged", change=mark)
    words = {"login's password": PASSWORD, "TURN password": TURN, "shared secret": SHARED, "passphrase": PASSPHRASE}
    canaries: dict[str, bytes] = {}
    for name, word in {**words, "passphrase of the store": STORE}.items():
        canaries |= word_marks(name, word)
    for path in (made.folder / "pki").glob("*.key"):
        canaries |= key_marks(path.name, path.read_bytes())
    for node in made.fleet.nodes.values():
        for name, content in node.files.items():
            if name.endswith(".key"):
                canaries |= key_marks(f"{name} on {node.name}", content)
    encrypt(made.folder / "pki" / "cms.key")
    rewrite(made.inventory, made.inventory, {"env": "CANARY_PHRASE"})
    return Hunt(made, cli, canaries)


def test_there_is_something_to_find(hunt: Hunt) -> None:
    """The hunt is no empty one: the canaries stand where they should, and a hit would be seen in any form."""
    key = (hunt.bench.folder / "pki" / "root-ca.key").read_bytes()
    screen = hunt.bench.typed("cms", "turn")
    assert TURN in screen
    assert SHARED in screen
    assert len(hunt.canaries) > 100
    der = load_pem_private_key(key, None).private_bytes(
        Encoding.DER, PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    coded = (der, der.hex().encode(), base64.b64encode(b"x" + der))
    for planted in (key, *coded, PASSWORD.encode(), repr(SHARED).encode()):
        hunt.said = {"planted": planted}
        assert hunt.hits()
    hunt.said = {"planted": b"harmless"}
    assert hunt.hits() == []


Rows = Callable[[Hunt], tuple[object, ...]]
INVENTORY: Rows = lambda hunt: (hunt.bench.inventory,)  # noqa: E731 - a row of a table
STATE: Rows = lambda hunt: ("--state-dir", hunt.bench.folder / ".cmscert")  # noqa: E731 - a row of a table
RUN: Rows = lambda hunt: (newest(hunt), *STATE(hunt))  # noqa: E731 - a row of a table

READS: dict[tuple[str, ...], Rows] = {
    ("validate",): INVENTORY,
    ("plan",): INVENTORY,
    ("drift",): INVENTORY,
    ("status",): INVENTORY,
    ("renew",): lambda hunt: (issued(hunt), "--dry-run"),
    ("runs",): STATE,
    ("runs", "show"): RUN,
    ("lock", "list"): lambda hunt: (hunt.bench.inventory, "--nodes", *STATE(hunt)),
    ("schema",): lambda _hunt: ("plan",),
}
"""What changes nothing: run in every form that the command has. A new command needs a row here or in CHANGES."""

CHANGES: dict[tuple[str, ...], Rows] = {
    ("renew",): lambda hunt: (issued(hunt), *STATE(hunt)),
    ("adopt",): lambda hunt: (
        f"admin@127.0.0.1:{hunt.bench.node('cms').ssh_port}",
        "--password-env",
        "CMS_PASSWORD",
        "--known-hosts",
        hunt.bench.folder / "known_hosts",
        "--output",
        hunt.bench.folder / "adopted",
    ),
    ("rollback",): lambda hunt: (*RUN(hunt), "--yes"),
    ("lock", "release"): lambda hunt: (hunt.bench.inventory, "--nodes", "--yes", *STATE(hunt)),
    ("apply",): lambda hunt: (hunt.bench.inventory, "--yes", *STATE(hunt)),
}
"""What changes something: run in one form each, in this order; ``apply`` has its own failures besides."""

NO_SECRETS = {
    ("lab", "up"): "makes throw-away servers, and prints their password by intent",
    ("lab", "pki"): "makes throw-away keys, beside the inventory by intent",
    ("explain",): "shows pages of the documentation, and takes nothing but a name of theirs",
    ("demo",): "runs the commands above on throw-away servers",
}


def newest(hunt: Hunt) -> str:
    """Return the id of the last run."""
    return max(path.name for path in (hunt.bench.folder / ".cmscert" / "runs").iterdir())


def issued(hunt: Hunt) -> Path:
    """Write an inventory whose certificate comes from a CA with an encrypted key, into an encrypted store."""
    path: Path = hunt.bench.folder / "issued.yaml"
    if not path.exists():
        encrypt(hunt.bench.folder / "pki" / "root-ca.key")
        rewrite(
            hunt.bench.inventory,
            path,
            None,
            store={"path": "store", "passphrase": {"env": "CANARY_STORE"}},
            issuers={
                "own": {
                    "type": "local_ca",
                    "certificate": "pki/root-ca.crt",
                    "key": {"file": "pki/root-ca.key"},
                    "passphrase": {"env": "CANARY_PHRASE"},
                }
            },
        )
    return path


def commands() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command and subcommand of the console script."""
    for name in console.COMMANDS:
        found = console.cmscert.get_command(click.Context(console.cmscert), name)
        assert found is not None
        below = getattr(found, "commands", {})
        if not below or getattr(found, "invoke_without_command", False):
            yield (name,), found
        for word, inner in below.items():
            yield (name, word), inner


def forms(command: click.Command, folder: Path) -> Iterator[tuple[object, ...]]:
    """Yield the ways in which a command can talk."""
    known = {option for parameter in command.params for option in parameter.opts}
    ways: tuple[tuple[object, ...], ...] = (
        (),
        ("--verbose",),
        ("--verbose", "--log-format", "json"),
        ("--output", folder / "result.txt"),
    )
    yield from (way for way in ways if set(way[::2]) <= known or (way == ("--verbose",) and "--verbose" in known))
    choices = (parameter.type for parameter in command.params if "--format" in parameter.opts)
    yield from (("--format", form) for each in choices if isinstance(each, click.Choice) for form in each.choices)


def test_every_command_is_hunted() -> None:
    """A command that nobody hunts in is a command that may tell secrets: each has a row, or a reason."""
    assert {words for words, _ in commands()} == READS.keys() | CHANGES.keys() | NO_SECRETS.keys()


def stumbling(hunt: Hunt) -> Callable[..., None]:
    """Make what fails with every secret in its hands."""
    keys = [path.read_bytes() for path in (hunt.bench.folder / "pki").glob("*.key")]
    others = [content for name, content in hunt.bench.node("cms").files.items() if name.endswith(".key")]

    def stumble(*_: object, **__: object) -> None:
        raise RuntimeError(PASSWORD, TURN, SHARED, PASSPHRASE, STORE, *keys, *others)

    return stumble


def watch_errors(hunt: Hunt, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what every error that is told would say of itself, with the values around it left out as Python does."""
    told = failures.handled

    def handled(error: Any, output: Output, *, code: int | None = None) -> int:  # noqa: ANN401 - any error of ours
        hunt.keep("errors", "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error)))
        return told(error, output, code=code)

    monkeypatch.setattr(failures, "handled", handled)


@pytest.mark.slow
def test_no_secret_in_anything_that_is_said_or_written(hunt: Hunt, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command in every form, failing and succeeding, with logs, plan, journal and bug reports: no hit."""
    inventory, node, folder = hunt.bench.inventory, hunt.bench.node("cms"), hunt.bench.folder
    watch_errors(hunt, monkeypatch)
    known = dict(commands())
    hunt.run("plan", inventory, "-v", "--log-format", "json", "--save", folder / "p.json", code=0)
    hunt.run("apply", inventory, "--yes", code=4, password=WRONG)
    node.faults.garbage = ("turn",)
    hunt.run("status", inventory, "-v", "--log-format", "json")
    node.faults.garbage = ()
    hunt.bench.on("cms", "turn enable", lambda: node.faults.fail.update({"turn enable": f"no {TURN}"[:2]}))
    hunt.bench.on("cms", "turn enable", node.faults.fail.clear)
    hunt.run("apply", inventory, "--yes", "-v", "--log-format", "json", "--format", "json", code=8)
    hunt.bench.on("cms", "turn enable", lambda: node.faults.fail.update({"turn enable": "no"}))
    hunt.run("apply", inventory, "--yes", "-v", code=9)
    node.faults.fail.clear()
    hunt.bench.typed("cms", "turn enable")
    hunt.bench.settled()
    hunt.run("apply", inventory, "--yes", "-v", "--log-format", "json", code=0)

    for words, row in READS.items():
        for form in forms(known[words], folder):
            ran = hunt.run(*words, *row(hunt), *form)
            assert ran.code in (0, 5, 6), ran
        if "password" in _needs(words):
            hunt.run(*words, *row(hunt), code=4 if words != ("renew",) else None, password=WRONG)
    for words, row in CHANGES.items():
        ran = hunt.run(*words, *row(hunt), *(["-v"] if words[0] != "lock" else []))
        assert ran.code in (0, 7), ran
    for form in ("markdown", "runbook"):
        hunt.run("rollback", *RUN(hunt), "--format", form)
    hunt.run("plan", inventory, "--detailed-exitcode")

    assert sum("journal.jsonl" in place for place, _ in hunt.files()) >= 3
    assert any(b"turn certs" in text for place, text in hunt.files() if "journal.jsonl" in place)
    assert hunt.hits() == []


def _needs(words: tuple[str, ...]) -> set[str]:
    return {"password"} if words[0] in ("plan", "drift", "status") else set()


def test_no_secret_where_a_passphrase_is_wrong(hunt: Hunt, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong passphrase, an empty one and none are told without it; what is told is where it comes from."""
    watch_errors(hunt, monkeypatch)
    wrong = f"{PASSPHRASE}-wrong"
    for word in (wrong, "\x1b", ""):
        ran = hunt.cli("validate", hunt.bench.inventory, env={**ENVIRONMENT, "CANARY_PHRASE": word})
        hunt.keep("validate", ran.out + ran.err)
        assert ran.code == 3, ran
    rewrite(hunt.bench.inventory, hunt.bench.inventory, {"file": f"pki/{PASSPHRASE[:6]}"})
    hunt.run("validate", hunt.bench.inventory, code=3)

    assert hunt.hits() == []


def test_no_secret_in_reports_about_bugs(hunt: Hunt, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever command stumbles with secrets in its hands, the report holds places only, and is for its owner alone."""
    hunt.run("apply", hunt.bench.inventory, "--yes", code=0)
    stumble = stumbling(hunt)
    known = dict(commands())
    before = len(list(tmp_path.rglob("cmscert-bug-*")))
    count = 0
    for words, row in READS.items():
        given = row(hunt)
        for at in (None, tmp_path / "elsewhere"):
            if at is not None and not any("--state-dir" in option.opts for option in known[words].params):
                continue
            with monkeypatch.context() as broken:
                broken.setattr(Output, "result", stumble)
                more = () if at is None or "--state-dir" in given else ("--state-dir", at)
                hunt.run(*words, *given, *more, "--format", "json", *_with(known[words], "--verbose")) if _with(
                    known[words], "--format"
                ) else hunt.run(*words, *given)
                count += 1
    with monkeypatch.context() as broken:
        broken.setattr("cmscert.apply.turn.send", stumble)
        ran = hunt.run("apply", hunt.bench.inventory, "--yes", "-v", "--state-dir", tmp_path / "state")
        assert ran.code in (0, 1, 9), ran
    reports = list(tmp_path.rglob("cmscert-bug-*"))

    assert len(reports) - before >= count
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in reports)
    assert hunt.hits() == []


def _with(command: click.Command, option: str) -> tuple[str, ...]:
    return (option,) if any(option in parameter.opts for parameter in command.params) else ()


def test_private_folders(hunt: Hunt) -> None:
    """Journals and plans of runs are for their owner alone."""
    hunt.run("apply", hunt.bench.inventory, "--yes", code=0)
    state = hunt.bench.folder / ".cmscert"
    modes = {path.relative_to(state): path.stat().st_mode & 0o077 for path in (state, *state.rglob("*"))}

    assert len(modes) >= 4
    assert set(modes.values()) == {0}


@pytest.mark.slow
def test_no_secret_of_a_database(bench: MakeBench, cli: Cli) -> None:
    """A cluster that is rebuilt, with backups fetched: its keys and logins stand nowhere but in the backups."""

    def mark(specs: dict[str, Any]) -> None:
        for spec in specs.values():
            spec.password = PASSWORD

    made = bench("cluster.yaml", "aged", databases=True, change=mark)
    canaries = word_marks("login's password", PASSWORD)
    for path in (made.folder / "pki").glob("*.key"):
        canaries |= key_marks(path.name, path.read_bytes())
    hunt = Hunt(made, cli, canaries)
    hunt.run("plan", made.inventory, "-v", "--format", "json")
    hunt.run("apply", made.inventory, "--yes", "-v", "--log-format", "json", "--allow", "database-rebuild", code=0)
    hunt.run("status", made.inventory, "-v")
    hunt.run("runs", "show", newest(hunt), *STATE(hunt), "-v")

    backups = [path for path in made.folder.rglob("backups/*/*") if path.is_file()]
    assert backups
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in backups)
    assert any(b"database cluster" in text for place, text in hunt.files() if "journal.jsonl" in place)
    assert hunt.hits() == []


@pytest.mark.judge("procps")
def test_no_secret_in_the_process_list(hunt: Hunt, program: Callable[..., Any], tmp_path: Path) -> None:
    """While it runs, asks for a password by a command, and is interrupted: no process shows a secret.

    Neither ``ps``, nor /proc/PID/cmdline, nor the environment that children were given.
    """
    script = hunt.bench.folder / "pki" / "password"
    script.write_text(f"#!/bin/sh\ncat /proc/$$/cmdline /proc/$$/environ > {tmp_path}/child\necho {PASSWORD}\n")
    script.chmod(0o700)
    (hunt.bench.folder / "pki" / "phrase").write_text(PASSPHRASE)
    ssh = yaml.safe_load(hunt.bench.inventory.read_text())["ssh"] | {"password": {"command": [str(script)]}}
    rewrite(hunt.bench.inventory, hunt.bench.inventory, {"file": "pki/phrase"}, ssh=ssh)
    listed: list[bytes] = []

    def look() -> None:
        listed.append(subprocess.run(["ps", "-efww"], capture_output=True, check=True, timeout=20).stdout)
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                listed[-1] += entry.read_bytes()
            except OSError:  # it has ended
                continue

    for start in ("version", "turn certs", "webbridge3 enable"):
        hunt.bench.on("cms", start, look)
    with program("apply", hunt.bench.inventory, "--yes", "-v", env={"TMPDIR": str(tmp_path)}) as process:
        hunt.bench.on("cms", "webadmin enable", lambda: process.send_signal(signal.SIGINT))
        out, err = process.communicate(timeout=60)

    assert process.returncode in (0, 130), err
    assert len(listed) == 3
    assert all(b"cmscert" in text for text in listed)
    assert b"PATH=" in (tmp_path / "child").read_bytes()
    hunt.said = {"the process list": b"".join(listed), "apply": (out + err).encode()}
    assert hunt.hits() == []


def test_reports_of_crashes_hold_no_values(hunt: Hunt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash in the middle of a run tells places, never values."""

    def stumble(*_: object, **__: object) -> None:
        raise ValueError(f"the password is {PASSWORD}")

    monkeypatch.setattr("cmscert.apply.turn.send", stumble)
    ran = hunt.run("apply", hunt.bench.inventory, "--yes", "-v", "--state-dir", tmp_path / "state")

    assert ran.code in (1, 9), ran
    assert hunt.hits() == []
