"""One writer per fleet on one machine: a file that the kernel locks, and beside it who it is.

``<state dir>/locks/<fleet>.lock`` is locked while a process lives, however it ends. ``<fleet>.json`` only tells about
it; what it says of a process that is gone is how the next one learns that a run died.
"""

from __future__ import annotations

import json
import os
import platform
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cmscert.apply.disk import make_folders, replacing
from cmscert.errors import JournalError, LockHeld

if TYPE_CHECKING:
    from filelock import BaseFileLock

FORMAT = "cmscert.lock/1"
FOLDER = "locks"
LARGEST = 64 * 1024
"""Bytes; a record has about 300."""

ATTEMPT = 0.5
"""Seconds for which a lock is tried: whoever only looks whether it is held has it for a moment."""

MOST_LEFT: Final = 50
UNKNOWN = "unknown"
_NO_LOCKS = "the file system has no locks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Who has a fleet's lock, or had it last. ``since``: aware UTC.

    ``left``: runs of this machine that are over, and whose lock files may still be on servers. ``ended``: the run came
    to its end, and only ``left`` counts.
    """

    fleet: str
    owner: str
    machine: str
    pid: int
    run: str
    since: datetime
    command: str
    left: tuple[str, ...] = ()
    ended: bool = False

    @property
    def told(self) -> str:
        """Who it is, for a message."""
        since = f"{self.since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        return f"{self.owner} on {self.machine} since {since} (cmscert {self.command}, pid {self.pid}, run {self.run})"


_KEYS = {field.name for field in fields(Record)}


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalLock:
    """A fleet's lock, looked at. ``record``: None when nothing that can be read tells whose it is."""

    fleet: str
    held: bool
    record: Record | None


def lock_path(state_dir: Path, fleet: str) -> Path:
    """Return the file that is locked."""
    return state_dir / FOLDER / f"{fleet}.lock"


def record_path(state_dir: Path, fleet: str) -> Path:
    """Return the file that tells who has the lock."""
    return state_dir / FOLDER / f"{fleet}.json"


@contextmanager
def locked(state_dir: Path, fleet: str) -> Iterator[None]:
    """Have the kernel's lock of a fleet. Raises LockHeld when another process has it, and JournalError."""
    path = lock_path(state_dir, fleet)
    try:
        make_folders(state_dir, path.parent)
        if path.parent.is_symlink():
            raise JournalError(f"{path.parent} is a symbolic link: no lock is kept behind one", hint="remove it")
        lock = _locked(path, seconds=ATTEMPT)
    except OSError as error:
        raise _unkept(path, error) from error
    if lock is None:
        raise held_by_a_process(fleet, read_record(state_dir, fleet))
    try:
        yield
    finally:
        lock.release()


def write_record(state_dir: Path, record: Record) -> None:
    """Tell who has the lock; on disk on return. Raises JournalError."""
    path = record_path(state_dir, record.fleet)
    values = {"format": FORMAT, **asdict(record), "since": record.since.isoformat(), "left": list(record.left)}
    try:
        with replacing(path) as file:
            file.write(json.dumps(values, indent=2, ensure_ascii=True).encode() + b"\n")
    except OSError as error:
        raise _unkept(path, error) from error


def remove_record(state_dir: Path, fleet: str) -> None:
    """Forget who had the lock. Raises JournalError."""
    path = record_path(state_dir, fleet)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _unkept(path, error) from error


def read_record(state_dir: Path, fleet: str) -> Record | None:
    """Return who has, or had, the lock; None when nothing that can be read tells it."""
    try:
        descriptor = os.open(record_path(state_dir, fleet), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(LARGEST + 1)
        return _record(json.loads(content), fleet) if len(content) <= LARGEST else None
    except (OSError, ValueError, RecursionError):
        return None


def look_at(state_dir: Path, fleet: str) -> LocalLock:
    """Look whether a process has a fleet's lock now, without keeping it. Never raises."""
    path = lock_path(state_dir, fleet)
    held = path.exists()
    with suppress(OSError):
        free = _locked(path, seconds=0) if held else None
        if free is not None:
            held = False
            free.release()
    return LocalLock(fleet=fleet, held=held, record=read_record(state_dir, fleet))


def all_locks(state_dir: Path) -> tuple[LocalLock, ...]:
    """Look at every fleet's lock that is held or has a record."""
    folder = state_dir / FOLDER
    try:
        names = sorted({path.stem for path in folder.iterdir() if path.suffix in {".lock", ".json"}})
    except OSError:
        return ()
    looked = (look_at(state_dir, name) for name in names if not name.startswith("."))
    return tuple(lock for lock in looked if lock.held or lock.record is not None)


def live_run(state_dir: Path, fleet: str) -> str | None:
    """Return the run that holds a fleet's lock now; None when nobody does, ``unknown`` when it does not say."""
    for _ in range(10):
        lock = look_at(state_dir, fleet)
        if not lock.held:
            return None
        if lock.record is not None and not lock.record.ended and _is_here(lock.record):
            return lock.record.run
        time.sleep(ATTEMPT / 10)  # it has the lock, and has not yet said who it is
    return UNKNOWN


def dead_runs(state_dir: Path, fleet: str, machine: str) -> frozenset[str]:
    """Return the runs of this machine that are over, and whose lock files may still be on servers."""
    lock = look_at(state_dir, fleet)
    if lock.record is None or lock.record.machine != machine:
        return frozenset()
    alive = lock.held and not lock.record.ended
    return frozenset(lock.record.left) | (frozenset() if alive else {lock.record.run})


def take_over(found: Record | None, record: Record) -> Record:
    """Go on from what the last owner left: its run too may have left lock files on servers."""
    if found is None or found.machine != record.machine:
        return record
    return replace(record, left=tuple(dict.fromkeys((*found.left, found.run)))[-MOST_LEFT:])


def _locked(path: Path, *, seconds: float) -> BaseFileLock | None:
    """Lock a file. None when another has it. Raises OSError."""
    import filelock

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where the kernel has no lock to give, which is refused below
        lock = filelock.FileLock(path, mode=0o600, thread_local=False)
        try:
            lock.acquire(timeout=seconds, poll_interval=0.02)
        except filelock.Timeout:
            return None
        except NotImplementedError as error:
            raise OSError(_NO_LOCKS) from error
    made: object = lock
    if isinstance(made, filelock.SoftFileLock):  # it turns into one where the kernel has none
        made.release()
        raise OSError(_NO_LOCKS)
    return lock


def held_by_a_process(fleet: str, record: Record | None) -> LockHeld:
    """Say who holds a fleet on this machine, and what to do."""
    hint = "wait for its end, or press Ctrl-C there; cmscert lock list shows who it is"
    if record is None or record.ended:
        return LockHeld(f"nothing was changed: another process of this machine is changing {fleet}", hint=hint)
    if record.machine != platform.node():
        hint += f"; {record.machine} and this machine share a state directory: give each its own with --state-dir"
    return LockHeld(f"nothing was changed: {fleet} is being changed by {record.told}", hint=hint)


def _unkept(path: Path, error: OSError) -> JournalError:
    return JournalError(
        f"{path}: the lock of the fleet cannot be kept: {(error.strerror or str(error)).lower()}",
        hint="name another place with --state-dir",
    )


def _is_here(record: Record) -> bool:
    """Tell whether the process of a record may live; that of another machine always may."""
    if record.machine != platform.node():
        return True
    try:
        os.kill(record.pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _record(values: object, fleet: str) -> Record:
    """Check what a file holds. Raises ValueError."""
    if not isinstance(values, dict) or values.pop("format", None) != FORMAT or set(values) != _KEYS:
        raise ValueError(FORMAT)
    texts = [values[key] for key in ("fleet", "owner", "machine", "run", "since", "command")]
    texts += values["left"] if isinstance(values["left"], list) else [None]
    known = type(values["pid"]) is int and values["pid"] > 0 and type(values["ended"]) is bool
    if not known or not all(isinstance(text, str) and text.isprintable() for text in texts) or texts[0] != fleet:
        raise ValueError(FORMAT)
    since = datetime.fromisoformat(values["since"])
    if since.tzinfo is None:
        raise ValueError(FORMAT)
    return Record(**{**values, "since": since, "left": tuple(values["left"])})
