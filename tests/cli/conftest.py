"""A simulated fleet beside the test, and the command line as a user types it."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue

import pytest

from cmscert.cli.laboratory import READY, Laboratory, prepare
from cmscert.cli.main import main
from cmscert.lab.spec import NodeSpec

INVENTORIES = Path(__file__).parents[2] / "inventories"


@dataclass
class Ran:
    """How a command line ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Run a command line in this process, with the lab's password at hand."""
    monkeypatch.setenv("CMS_PASSWORD", "lab")

    def run(*words: object) -> Ran:
        capsys.readouterr()
        code = main([str(word) for word in words])
        told = capsys.readouterr()
        return Ran(code, told.out, told.err)

    return run


@dataclass
class Rig:
    """A lab that runs in a thread of its own. Faults of ``specs`` may be changed at any time."""

    lab: Laboratory
    said: Queue[str] = field(default_factory=Queue)
    loop: asyncio.AbstractEventLoop | None = None
    stopped: asyncio.Event | None = None
    thread: threading.Thread | None = None

    @property
    def inventory(self) -> Path:
        """The inventory that reaches the lab."""
        return self.lab.inventory

    @property
    def folder(self) -> Path:
        """Where the inventory and its material are."""
        return self.lab.folder

    def spec(self, name: str) -> NodeSpec:
        """Return a node's description."""
        return next(spec for spec in self.lab.scene.specs if spec.name == name)

    def start(self) -> Rig:
        """Start every node; returns when all answer."""
        self.thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self.thread.start()
        while not (line := self.said.get(timeout=60)).startswith(READY):
            assert not line.startswith("ended"), line
        return self

    async def _run(self) -> None:
        self.loop, self.stopped = asyncio.get_running_loop(), asyncio.Event()
        try:
            await self.lab.run(self.stopped, self.said.put)
        finally:
            self.said.put("ended")

    def stop(self) -> None:
        """Stop every node."""
        if self.thread is not None and self.thread.is_alive():
            assert self.loop is not None
            assert self.stopped is not None
            self.loop.call_soon_threadsafe(self.stopped.set)
            self.thread.join(30)

    def edit(self, *changes: tuple[str, str]) -> None:
        """Change the inventory that reaches the lab."""
        text = self.inventory.read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        self.inventory.write_text(text)


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Make the throw-away PKI of an inventory once; keys take their time."""
    made: dict[str, Path] = {}

    def of(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp("material")
            prepare(INVENTORIES / name, scenario="fresh", folder=made[name], base_port=0)
        return made[name]

    return of


@pytest.fixture
def rig(tmp_path: Path, material: Callable[[str], Path]) -> Iterator[Callable[..., Rig]]:
    """Prepare labs; they are stopped in the end. ``start=False`` leaves time to plant faults."""
    rigs: list[Rig] = []

    def make(name: str = "single.yaml", scenario: str = "faults", *, start: bool = True) -> Rig:
        folder = tmp_path / f"lab{len(rigs)}"
        shutil.copytree(material(name), folder)
        made = Rig(prepare(INVENTORIES / name, scenario=scenario, folder=folder, base_port=0))
        rigs.append(made)
        return made.start() if start else made

    yield make
    for each in rigs:
        each.stop()
