"""Draws a case from a seed, and plays it."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import lru_cache
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any, Final

from cmscert.app import inventory, running
from cmscert.inventory.load import Loaded, load
from cmscert.inventory.supplies import Supply, no_supplies
from cmscert.lab import minting, pki_commands
from cmscert.testing.memory_session import Killed
from cmscert.testing.service_campaign.cases import DRAWN_PAUSES, PAUSES, SETTINGS, STARTS, Case, Played, Start
from cmscert.testing.service_campaign.disk import swapped
from cmscert.testing.service_campaign.faults import Course, draw
from cmscert.testing.service_campaign.stage import PASSWORDS, Setting, Stage, stage_of
from cmscert.testing.service_campaign.theatre import Theatre
from cmscert.testing.timeless import TimelessLoop, run_timeless

_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a folder of its own is made there: one fsync follows another
Run = Callable[[TimelessLoop, Path], Coroutine[Any, Any, list[Start]]]


def case_of(seed: int) -> Case:
    """Draw a case."""
    dice = Random(f"case {seed}")  # noqa: S311 - a die for tests
    weights, settings = zip(*SETTINGS, strict=True)
    setting: Setting = dice.choices(settings, weights)[0]
    course = course_of(setting)
    return Case(
        seed=seed,
        setting=setting,
        faults=draw(dice, course),
        pauses=(*(dice.choice(PAUSES) for _ in range(DRAWN_PAUSES)), *(max(PAUSES),) * STARTS),
        rollback=dice.random() > 0.1,  # noqa: PLR2004 - some leave what failed
        by_hand=dice.random() < 0.5,  # noqa: PLR2004 - half of them let a person type
    )


@lru_cache(maxsize=64)
def course_of(setting: Setting) -> Course:
    """Run a setting without faults, once a process, to know what goes over the wire. Raises AssertionError."""
    case = Case(seed=-1, setting=setting, faults=(), pauses=(1.0,) * STARTS, rollback=True, by_hand=False)
    stage = _stage(setting)
    courses: list[Course] = []

    async def run(loop: TimelessLoop, folder: Path) -> list[Start]:
        theatre = Theatre(case, stage, loop, folder)
        async with theatre.fleet:
            await theatre.begin()
            process = await theatre.start(())
            courses.append(Course(ops=tuple(process.ops), writes=process.writes))
            await theatre.start(())
            wrong = stage.unmet(theatre.fleet)
            assert not wrong, wrong  # noqa: S101 - a check of tests
        return theatre.starts

    starts = _staged(run)
    assert [start.code for start in starts] == [0, 0], [str(start) for start in starts]  # noqa: S101 - a check of tests
    return courses[0]


def play(seed: int) -> Played:
    """Play the case of a seed, and say what is wrong with what came out, if anything is."""
    return play_case(case_of(seed))


def play_case(case: Case) -> Played:
    """Play a case, and say what is wrong with what came out, if anything is."""
    began = time.process_time()
    stage = _stage(case.setting)
    starts: list[Start] = []
    wrong: str | None = None

    async def run(loop: TimelessLoop, folder: Path) -> list[Start]:
        theatre = Theatre(case, stage, loop, folder, starts)
        async with theatre.fleet:
            await theatre.all()
        return theatre.starts

    try:
        _staged(run)
    except AssertionError as error:
        wrong = str(error) or repr(error)
    except Exception as error:
        wrong = f"{type(error).__name__}: {error}"
        if os.environ.get("CMSCERT_CAMPAIGN_RAISE"):
            raise
    return Played(case=case, starts=tuple(starts), seconds=time.process_time() - began, wrong=wrong)


def _stage(setting: Setting) -> Stage:
    return stage_of(setting.inventory, databases=setting.database != "out")


def _staged(run: Run) -> list[Start]:
    """Give a case a loop, a state directory, passwords and keys."""
    loop = TimelessLoop()
    loop.set_exception_handler(_quiet_about_the_dead)
    folder = Path(tempfile.mkdtemp(prefix="cmscert-case-", dir=_MEMORY if _MEMORY.is_dir() else None))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.enter_context(_no_collecting())
        stack.enter_context(_few_keys())
        stack.enter_context(_passwords())
        stack.enter_context(swapped(running, "git_revision", _no_revision))
        stack.enter_context(swapped(inventory, "load", _once))
        return run_timeless(loop, run(loop, folder / "state"))


@lru_cache
def _loaded(path: Path, now: datetime, supply: Supply) -> Loaded:
    return load(path, now=now, supply=supply)


def _once(path: Path, *, now: datetime, supply: Supply = no_supplies) -> Loaded:
    """Read an inventory once for each hour: nobody changes it meanwhile."""
    return _loaded(path, now.replace(minute=0, second=0, microsecond=0), supply)


def _quiet_about_the_dead(loop: asyncio.AbstractEventLoop, told: dict[str, Any]) -> None:
    """Pass on what nobody awaited, but for tasks of a killed process."""
    if not isinstance(told.get("exception"), Killed):
        loop.default_exception_handler(told)


@contextmanager
def _no_collecting() -> Iterator[None]:
    """Leave circles of objects to the end of the case: that takes a tenth less time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def _passwords() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in PASSWORDS}
    os.environ.update(PASSWORDS)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@lru_cache
def _keys() -> tuple[Any, ...]:
    return tuple(minting.new_key("rsa") for _ in range(7))


@contextmanager
def _few_keys() -> Iterator[None]:
    """Let the CA built into CMS take keys that were made before: they take long."""
    turns = cycle(_keys())

    async def new_key() -> tuple[Any, bytes]:
        await asyncio.sleep(0.5)
        key = next(turns)
        return key, minting.key_pem(key)

    with swapped(pki_commands, "_new_key", new_key):
        yield


def _no_revision(_inventory: Path) -> None:
    """Ask nobody: git is a program a run."""
