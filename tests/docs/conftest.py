"""The pages of the documentation, and a place where their examples run as a reader would type them."""

from __future__ import annotations

import importlib.util
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pexpect
import pytest

ROOT = Path(__file__).parents[2]
ELLIPSIS = "…"
PATIENCE = 60.0
LAB_READY = b"Ctrl-C ends the lab."
LABS = ".cmscert-lab"
LAB_STARTS = ("cmscert lab up ", "python rehearse.py")
QUESTION = "Type yes: "

# What differs from run to run; every pattern keeps the place visible, so that a missing value is still a difference.
MASKS = tuple(
    (re.compile(pattern), mask)
    for pattern, mask in (
        (r"\d{8}T\d{6}Z-[0-9a-f]{6}", "RUN"),
        (r"SHA256:[A-Za-z0-9+/]{43}", "SHA256:FINGERPRINT"),
        (r"-20\d{6}-\d{6}\b", "-MOMENT"),
        (r"-\d{8}-[0-9a-f]{8}\b", "-DATE-HASH"),
        (r"-20\d{6}\b", "-DATE"),
        (r"-[0-9a-f]{8}(\.crt|\.key)\b", r"-HASH\1"),
        (r"\([0-9a-f]{8}\)", "(HASH)"),
        (r"\b\d{4}-\d{2}-\d{2}( \d{2}:\d{2} UTC)?", "DATE"),
        (r"\b\d{2}:\d{2}:\d{2}\b", "TIME"),
        (r"-20\d{2}(\.crt|\.key|-fullchain)", r"-YEAR\1"),
        (r"\b\d+ days\b", "DAYS"),
        (r"clock [+-]\d+ s", "clock SKEW"),
    )
)
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_FENCE = re.compile(
    r"(?:<!--\s*(?P<remark>.*?)\s*-->\s*\n)?^```(?P<language>\w+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block of a page; ``remark`` is the HTML comment right above it."""

    page: Path
    line: int
    language: str
    body: str
    remark: str

    @property
    def skipped(self) -> str | None:
        """Why it is not run, when it is not."""
        return self.remark.removeprefix("not run: ") if self.remark.startswith("not run: ") else None

    @property
    def commands(self) -> list[tuple[str, list[str]]]:
        """What is typed, and the lines that answer; a backslash at the end makes the next line part of the command."""
        found: list[tuple[str, list[str]]] = []
        for line in self.body.replace("\\\n", "").splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                assert found, f"{self.page.name}:{self.line}: a console block starts with a line `$ …`"
                found[-1][1].append(line)
        return found


def pages() -> list[Path]:
    """Return every page: README and docs."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page=page,
            line=text.count("\n", 0, found.start("language")) + 1,
            language=found["language"],
            body=found["body"],
            remark=" ".join((found["remark"] or "").split()),
        )
        for found in _FENCE.finditer(text)
    ]


def masked(text: str) -> list[str]:
    """Return lines without colour and blanks at their end, with all that differs from run to run masked."""
    text = _ANSI.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    for pattern, mask in MASKS:
        text = pattern.sub(mask, text)
    return [line.rstrip() for line in text.splitlines()]


def differs(expected: list[str], found: list[str], *, loose: bool) -> str | None:
    """Compare masked lines; ``…`` alone in a line stands for any lines, and ``loose`` for such a line everywhere."""
    at, anywhere = 0, False
    for line in expected:
        if line.strip() == ELLIPSIS:
            anywhere = True
            continue
        while at < len(found) and found[at] != line and (loose or anywhere):
            at += 1
        if at >= len(found) or found[at] != line:
            return f"expected {line!r}, found {found[at] if at < len(found) else 'the end'!r}"
        at, anywhere = at + 1, False
    rest = [line for line in found[at:] if line]
    return f"more than expected: {rest[0]!r}" if rest and not (anywhere or loose) else None


@dataclass
class Place:
    """A reader's folder: a fresh copy of the inventories, ports of its own, the password at hand only when exported."""

    folder: Path
    base_port: int
    scripts: list[str] = field(default_factory=list)
    code: int = 0
    lab: subprocess.Popen[bytes] | None = None
    material: Path | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shutil.copytree(ROOT / "inventories", self.folder / "inventories", ignore=shutil.ignore_patterns("pki"))
        (self.folder / "inventories").chmod(0o755)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("CMS", "NO_COLOR", "TERM"))}
        self.environment = {**kept, "PATH": path, "PYTHONUNBUFFERED": "1", "TERM": "xterm", "TZ": "UTC"}

    def there(self, text: str) -> str:
        """Put the ports of this place for those that the pages print."""
        return re.sub(r"\b22([0-5]\d\d)\b", lambda found: str(self.base_port + int(found[1])), text)

    def back(self, text: str) -> str:
        """Put the ports that the pages print for those of this place."""
        known = {str(self.base_port + number): f"22{number:03d}" for number in range(600)}
        return re.sub(r"\b\d{5}\b", lambda found: known.get(found[0], found[0]), text)

    def run(self, command: str, expected: list[str]) -> str | None:
        """Type a command; return in what its answer differs from what the page says."""
        typed = self.there(command)
        loose = False
        if command.startswith(LAB_STARTS):
            told = self._start_lab(typed)
        elif command.startswith("export "):
            name, _, value = command.removeprefix("export ").partition("=")
            self.environment[name], told = value, ""
        elif command == "echo $?":
            told = f"{self.code}\n"
        elif command.startswith(("ssh ", "sftp ")) or any(QUESTION in line for line in expected):
            loose, told = True, self._talk(typed, expected)
        else:
            told = self._run(typed)
        return differs(masked("\n".join(expected)), masked(self.back(told)), loose=loose)

    def follow(self, page: list[Block]) -> list[str]:
        """Type every command of a page in order; return where it does not answer what the page says."""
        self.scripts = [block.body for block in page if block.language == "python"]
        wrong = []
        for block in page:
            if block.language != "console" or block.skipped is not None:
                continue
            for command, expected in block.commands:
                difference = self.run(command, expected)
                if difference is not None:
                    wrong.append(f"{block.page.name}:{block.line}: $ {command}\n  {difference}")
        return wrong

    def _run(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE,
            check=False,
            encoding="utf-8",
        )
        self.code = done.returncode
        return done.stdout

    def _talk(self, command: str, expected: list[str]) -> str:
        """Run a command on a terminal of 80 columns, and type what the page shows behind each prompt."""
        child: pexpect.spawn[str] = pexpect.spawn(
            "bash", ["-c", command], cwd=str(self.folder), env=self.environment, encoding="utf-8", dimensions=(60, 80)
        )
        told: list[str] = []
        for line in expected:
            prompt = re.match(r"(?P<prompt>.*Type yes: |\S+> )(?P<typed>.+)", line)
            if line == "Y":
                child.expect_exact("(Y/n)", timeout=PATIENCE)
                told.append(child.before + child.after)
                child.sendline(line)
                continue
            if "assword:" in line:
                child.expect("assword:", timeout=PATIENCE)
                told.append(child.before + child.after)
                child.sendline("lab")
            elif prompt:
                child.expect_exact(prompt["prompt"], timeout=PATIENCE)
                told.append(child.before + child.after)
                child.sendline(prompt["typed"])
        child.expect(pexpect.EOF, timeout=PATIENCE)
        told.append(child.before)
        child.close()
        self.code = child.exitstatus if child.exitstatus is not None else 128 + (child.signalstatus or 0)
        return "".join(told)

    def _start_lab(self, command: str) -> str:
        self.stop_lab()
        if command.startswith("python "):
            (self.folder / command.split()[1]).write_text(self.there(self.scripts.pop(0)), encoding="utf-8")
        else:
            command += f" --base-port {self.base_port}"
        self._lay_out_material()
        self.lab = subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert self.lab.stdout is not None
        told, until = b"", time.monotonic() + PATIENCE
        while LAB_READY not in told:
            assert select.select([self.lab.stdout], [], [], max(0.0, until - time.monotonic()))[0], f"no lab: {told!r}"
            piece = os.read(self.lab.stdout.fileno(), 65536)
            assert piece, f"the lab ended: {told!r}"
            told += piece
        self._keep_material()
        return told.decode()

    def _lay_out_material(self) -> None:
        """Put keys there that another page's lab has made: they take longer than anything else."""
        if self.material is not None and not (self.folder / LABS).exists():
            shutil.copytree(self.material, self.folder / LABS)

    def _keep_material(self) -> None:
        for made in (self.folder / LABS).glob("*/pki"):
            kept = self.material / made.parent.name / "pki" if self.material is not None else made
            if not kept.exists():
                shutil.copytree(made, kept)

    def stop_lab(self) -> None:
        """End the lab as Ctrl-C does."""
        if self.lab is None:
            return
        self.lab.send_signal(signal.SIGINT)
        try:
            self.lab.communicate(timeout=PATIENCE)
        finally:
            self.lab.kill()
        self.lab = None


@contextmanager
def claimed_ports() -> Iterator[int]:
    """Claim six hundred ports that nobody listens on; their last one is held, so that no other test run takes them."""
    for base in range(24000, 31200, 600):
        with socket.socket() as claim:
            try:
                claim.bind(("127.0.0.1", base + 599))
                claim.listen()
            except OSError:
                continue
            if all(_is_free(base + server * 100 + 22) for server in range(6)):
                yield base
                return
    pytest.fail("no free ports for a lab")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that keeps the throw-away keys of labs between pages."""
    return tmp_path_factory.mktemp("material")


@pytest.fixture
def place(tmp_path: Path, material: Path) -> Iterator[Place]:
    """Give a reader's folder; its lab ends with the test."""
    with claimed_ports() as base:
        made = Place(folder=tmp_path, base_port=base, material=material)
        yield made
        made.stop_lab()


@pytest.fixture(scope="session")
def mask() -> Callable[[str], list[str]]:
    """Return what masks all that differs from run to run."""
    return masked


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the folder of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def documents() -> dict[Path, list[Block]]:
    """Return every page with its fenced blocks."""
    return {page: blocks(page) for page in pages()}


@pytest.fixture(scope="session")
def load() -> Callable[[str], ModuleType]:
    """Load a program of the tests by its path below ``tests``."""

    def loaded(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(Path(name).stem, ROOT / "tests" / name)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module

    return loaded
