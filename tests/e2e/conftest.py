"""A simulated fleet in a thread beside the test, a watcher in it, and the command line as a user types it."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from cmscert.cli.laboratory import Laboratory, prepare
from cmscert.cli.main import main
from cmscert.cli.sketching import rewrite_inventory
from cmscert.lab.fleet import LabFleet
from cmscert.lab.node import LabNode
from cmscert.lab.pki import write_material
from cmscert.lab.spec import NodeSpec

ROOT = Path(__file__).parents[2]
INVENTORIES = ROOT / "inventories"
PATIENCE = 60.0
STAND_INS = ("callbridge", "webbridge3", "webbridge", "turn")
ENVIRONMENT = {"CMS_PASSWORD": "lab", "CMSCERT_STORE_PASSPHRASE": "lab"}


@dataclass
class Ran:
    """How a command line ended."""

    code: int
    out: str
    err: str

    def document(self, name: str) -> dict[str, Any]:
        """Read stdout as one JSON document and hold it against the schema of the repository."""
        read: dict[str, Any] = json.loads(self.out)
        schema = json.loads((ROOT / "schemas" / f"{name}.schema.json").read_text())
        Draft202012Validator(schema).validate(read)
        return read


@dataclass
class Watch:
    """What was seen while it was watched, from inside the lab."""

    fleet: LabFleet
    samples: int = 0
    broken: list[str] = field(default_factory=list)
    together: list[str] = field(default_factory=list)
    outages: Counter[tuple[str, str]] = field(default_factory=Counter)
    worked: set[tuple[str, str]] = field(default_factory=set)

    async def watch(self, over: asyncio.Event) -> None:
        """Sample until told that it is over."""
        before = self._outages()
        running = {
            (node.name, name) for node in self.fleet.nodes.values() for name in node.machine.services if node.up(name)
        }
        self.worked = {pair for pair, why in (await self.fleet.c2w_links()).items() if why is None}
        links = asyncio.ensure_future(self._links(over))
        while not over.is_set():
            self.samples += 1
            for service in STAND_INS:
                down = [node.name for node in self.fleet.nodes.values() if self._down(node, service, running)]
                if len(down) > 1:
                    self.together.append(f"{service} of {' and '.join(down)}")
            await asyncio.sleep(0.004)
        await links
        await self.fleet.settled()
        self.outages = self._outages()
        self.outages.subtract(before)
        self.outages = +self.outages

    def _down(self, node: LabNode, service: str, running: set[tuple[str, str]]) -> bool:
        return (node.name, service) in running and not node.up(service)

    async def _links(self, over: asyncio.Event) -> None:
        while not over.is_set():
            before = {name: self._turn(name) for name in self.fleet.nodes}
            for pair, why in (await self.fleet.c2w_links()).items():
                if why is not None and pair in self.worked and not self._restarting(pair, before):
                    self.broken.append(f"{pair[0]} to {pair[1]}: {why}")
            await asyncio.sleep(0.02)

    def _turn(self, name: str) -> tuple[tuple[bool, int], ...]:
        node = self.fleet.node(name)
        ended = Counter(service for service, _ in node.outages)
        return tuple(
            (service in node.machine.services and node.up(service), ended[service])
            for service in ("callbridge", "webbridge3")
        )

    def _restarting(self, pair: tuple[str, str], before: Mapping[str, tuple[tuple[bool, int], ...]]) -> bool:
        """Tell whether a service of the pair was down at any time since the sample before."""
        return any(not before[name][at][0] or self._turn(name)[at] != before[name][at] for at, name in enumerate(pair))

    def _outages(self) -> Counter[tuple[str, str]]:
        return Counter((node.name, service) for node in self.fleet.nodes.values() for service, _ in node.outages)


class Typed(list[str]):
    """The commands that a node was given; something happens when a certain one arrives, before it is carried out."""

    def __init__(self, held: list[str]) -> None:
        super().__init__(held)
        self.waiting: list[tuple[str, Callable[[], object]]] = []

    def append(self, line: str) -> None:
        """Take a command; the first in the queue that it starts with has its turn."""
        super().append(line)
        for at, (start, action) in enumerate(self.waiting):
            if line.startswith(start):
                del self.waiting[at]
                action()
                return


class Bench:
    """A lab that runs in a thread of its own; everything of it may be looked at and changed while it runs."""

    def __init__(self, lab: Laboratory) -> None:
        self.lab = lab
        self.fleet = LabFleet(lab.scene.specs)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._up = threading.Event()
        self._over: asyncio.Event | None = None
        self._error: BaseException | None = None

    @property
    def inventory(self) -> Path:
        """The inventory that reaches the lab."""
        return self.lab.inventory

    @property
    def folder(self) -> Path:
        """Where the inventory and its material are."""
        return self.lab.folder

    def node(self, name: str) -> LabNode:
        """Return a node."""
        return self.fleet.node(name)

    def start(self) -> Bench:
        """Start every node; returns when all answer."""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        assert self._up.wait(PATIENCE)
        if self._error is not None:
            raise self._error
        return self

    async def _run(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        try:
            async with self.fleet:
                await self.fleet.settled()
                self._publish()
                self._up.set()
                await self._over.wait()
        except BaseException as error:
            self._error = error
            raise
        finally:
            self._up.set()

    def _publish(self) -> None:
        places = {name: (node.spec.bind, node.ssh_port) for name, node in self.fleet.nodes.items()}
        ports = {
            name: node.port("callbridge")
            for name, node in self.fleet.nodes.items()
            if "callbridge" in node.spec.services and node.port("callbridge")
        }
        rewritten = rewrite_inventory(self.lab.text, places, ports).encode()  # type: ignore[arg-type]  # None is left out
        keys = self.fleet.known_hosts().encode()
        write_material(self.folder, {"known_hosts": keys, self.inventory.name: rewritten})

    def stop(self) -> None:
        """Stop every node."""
        if self._thread is not None and self._thread.is_alive():
            assert self._loop is not None
            assert self._over is not None
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join(30)

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - whatever the coroutine returns
        """Run a coroutine where the lab runs, and return its result."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    def on(self, server: str, start: str, action: Callable[[], object]) -> None:
        """Let something happen once, in the lab's thread, when the next command or transfer that starts so arrives."""
        node = self.node(server)
        kind = "transfers" if start.startswith(("put ", "get ", "rm ")) else "commands"
        typed = getattr(node, kind)
        if not isinstance(typed, Typed):
            typed = Typed(typed)
            setattr(node, kind, typed)
        typed.waiting.append((start, action))

    def typed(self, server: str, line: str) -> str:
        """Type a line on a node as somebody else would."""

        async def ask(_: str) -> str | None:
            return "Y"

        answer: bytes = self.do(self.node(server).carry_out(line, "10.0.0.99:40000", ask))
        return answer.decode()

    def settled(self) -> None:
        """Wait until no service is coming up any more."""
        self.do(self.fleet.settled())

    @contextmanager
    def watched(self) -> Iterator[Watch]:
        """Watch the fleet while the block runs; what was seen is whole afterwards."""
        assert self._loop is not None
        over = asyncio.Event()
        watch = Watch(self.fleet)
        task = asyncio.run_coroutine_threadsafe(watch.watch(over), self._loop)
        try:
            yield watch
        finally:
            self._loop.call_soon_threadsafe(over.set)
            task.result(PATIENCE)

    def edit(self, *changes: tuple[str, str]) -> None:
        """Change the inventory that reaches the lab."""
        text = self.inventory.read_text()
        for old, new in changes:
            assert old in text, f"{old!r} is not in\n{text}"
            text = text.replace(old, new)
        self.inventory.write_text(text)

    def marks(self) -> dict[str, int]:
        """Remember how much has happened on each node, for ``since``."""
        return {name: len(node.history) for name, node in self.fleet.nodes.items()}

    def since(self, marks: Mapping[str, int]) -> dict[str, list[str]]:
        """Return what was typed and transferred on each node since then, without what only reads and lock files."""
        told = {name: node.history[marks.get(name, 0) :] for name, node in self.fleet.nodes.items()}
        return {
            name: changes for name, lines in told.items() if (changes := [line for line in lines if _changes(line)])
        }

    def state(self) -> dict[str, Any]:
        """Return what is bound, loaded and up everywhere, to compare with later."""
        return {
            name: {
                service: {
                    "up": node.up(service),
                    "enabled": node.enabled(service),
                    "bound": {slot: vars(files).copy() for slot, files in state.slots.items()},
                    "loaded": {slot: node.served(slot) for slot in state.slots},
                }
                for service, state in node.machine.services.items()
                if state.slots
            }
            for name, node in self.fleet.nodes.items()
        }


def by_one_issuer(path: Path) -> None:
    """Let the local CA of the issued inventory sign everything: nobody waits for people or for the network here."""
    inventory = yaml.safe_load(path.read_text())
    inventory["issuers"]["public"] = inventory["issuers"]["lab"]
    for name in ("cluster", "join"):
        inventory["certificates"][name] |= {"issuer": "lab", "chain": "corp"}
    path.write_text(yaml.safe_dump(inventory))


@pytest.fixture(scope="session", name="by_one_issuer")
def _by_one_issuer() -> Callable[[Path], None]:
    """Give the change to tests."""
    return by_one_issuer


_READING = frozenset({"version", "date", "user list", "log", "live.json"})


def _changes(line: str) -> bool:
    words = line.split()
    if words[-1].startswith("cmscert-lock-"):
        return False
    reads = line in _READING or words[0] == "get" or words[:2] in (["pki", "match"], ["pki", "verify"], ["pki", "list"])
    return not reads and len(words) > 1 and words[-1] not in ("status", "list") and words[:-1] != ["tls"]


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Make the throw-away PKI of an inventory once; keys take their time."""
    made: dict[str, Path] = {}

    def of(inventory: Path) -> Path:
        text = inventory.read_text()
        if text not in made:
            made[text] = tmp_path_factory.mktemp("material")
            prepare(inventory, scenario="fresh", folder=made[text], base_port=0)
        return made[text]

    return of


MakeBench = Callable[..., Bench]


def _without_databases(inventory: Path, folder: Path) -> Path:
    """Leave the clusters out: what services do is looked at apart from them, as a rebuild is refused without a flag."""
    text = inventory.read_text()
    copied = folder / "services-only" / inventory.name
    copied.parent.mkdir(exist_ok=True)
    copied.write_text(re.sub(r"(?m)^databases:.*\n(?:[ #].*\n|\n)*", "", text))
    return copied


def _maker(material: Callable[[Path], Path], folder: Path, benches: list[Bench]) -> MakeBench:
    def make(
        name: str | Path = "single.yaml",
        scenario: str = "faults",
        *,
        change: Callable[[dict[str, NodeSpec]], object] | None = None,
        databases: bool = False,
    ) -> Bench:
        inventory = INVENTORIES / name
        if not databases:
            inventory = _without_databases(inventory, folder)
        place = folder / f"lab{len(benches)}"
        shutil.copytree(material(inventory), place)
        lab = prepare(inventory, scenario=scenario, folder=place, base_port=0)
        if change is not None:
            change({spec.name: spec for spec in lab.scene.specs})
        bench = Bench(lab)
        benches.append(bench)
        return bench.start()

    return make


@pytest.fixture
def bench(tmp_path: Path, material: Callable[[Path], Path]) -> Iterator[MakeBench]:
    """Start labs; they are stopped in the end. ``change`` is given the nodes' descriptions before the start."""
    benches: list[Bench] = []
    yield _maker(material, tmp_path, benches)
    for each in benches:
        each.stop()


@pytest.fixture(scope="module")
def shared_bench(tmp_path_factory: pytest.TempPathFactory, material: Callable[[Path], Path]) -> Iterator[MakeBench]:
    """Start labs that live as long as the module's tests, which do not change them."""
    benches: list[Bench] = []
    yield _maker(material, tmp_path_factory.mktemp("shared"), benches)
    for each in benches:
        each.stop()


@pytest.fixture(scope="session")
def cli() -> Callable[..., Ran]:
    """Run a command line in this process, with the lab's passwords at hand."""

    def run(*words: object, env: Mapping[str, str] | None = None) -> Ran:
        out, err = io.StringIO(), io.StringIO()
        given = {**ENVIRONMENT, **(env or {})}
        before = {name: os.environ.get(name) for name in given}
        os.environ.update(given)
        try:
            with redirect_stdout(out), redirect_stderr(err):
                code = main([str(word) for word in words])
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
        return Ran(code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture(scope="session")
def program() -> Callable[..., subprocess.Popen[str]]:
    """Start the real program beside the test."""

    def start(*words: object, env: Mapping[str, str] | None = None, **options: Any) -> subprocess.Popen[str]:  # noqa: ANN401 - subprocess's own
        given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(
            [sys.executable, "-m", "cmscert", *map(str, words)],
            env={**os.environ, **ENVIRONMENT, **(env or {})},
            **{**given, **options},
        )

    return start
