"""The lock of one machine: the kernel gives it back, and a record says who had it."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import warnings
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import filelock
import pytest

from cmscert.apply import lock as lock_module
from cmscert.apply.lock import (
    UNKNOWN,
    Record,
    all_locks,
    dead_runs,
    live_run,
    lock_path,
    locked,
    look_at,
    read_record,
    record_path,
    remove_record,
    take_over,
    write_record,
)
from cmscert.errors import JournalError, LockHeld

FLEET = "video"
HERE = platform.node()
RUN = "20261123T220000Z-0a1b2c"
RECORD = Record(
    fleet=FLEET,
    owner="ann",
    machine=HERE,
    pid=os.getpid(),
    run=RUN,
    since=datetime(2026, 11, 23, 22, 0, tzinfo=UTC),
    command="apply",
)
HOLDER = """
import sys, time
from pathlib import Path
from cmscert.apply.lock import locked
with locked(Path(sys.argv[1]), "video"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up at once where a lock is held."""
    monkeypatch.setattr(lock_module, "ATTEMPT", 0.05)


def holder(folder: Path) -> subprocess.Popen[str]:
    """Start a process that holds the lock, and wait until it does."""
    started = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    assert started.stdout.readline() == "held\n"
    return started


def test_second_is_told_who_the_first_is(tmp_path: Path) -> None:
    """Whoever comes second is told owner, machine, process, command, run and moment, and what to do."""
    with locked(tmp_path, FLEET):
        write_record(tmp_path, RECORD)
        with pytest.raises(LockHeld) as caught, locked(tmp_path, FLEET):
            pass

    for word in ("video", "ann", HERE, f"pid {os.getpid()}", "cmscert apply", RUN, "2026-11-23 22:00:00 UTC"):
        assert word in caught.value.message
    assert "wait for its end" in str(caught.value.hint)


def test_second_without_a_record(tmp_path: Path) -> None:
    """When nothing tells who the first is, the second is refused all the same."""
    refused = pytest.raises(LockHeld, match="another process of this machine")
    with locked(tmp_path, FLEET), refused, locked(tmp_path, FLEET):
        pass


def test_shared_directory_is_named(tmp_path: Path) -> None:
    """When the holder is on another machine, it is said what to do about the shared directory."""
    with locked(tmp_path, FLEET):
        write_record(tmp_path, replace(RECORD, machine="elsewhere"))
        with pytest.raises(LockHeld) as caught, locked(tmp_path, FLEET):
            pass

    assert "elsewhere and this machine share a state directory" in str(caught.value.hint)


def test_given_back(tmp_path: Path) -> None:
    """The lock is free again after its block, and other fleets never share it."""
    with locked(tmp_path, FLEET), locked(tmp_path, "other"):
        pass
    with locked(tmp_path, FLEET):
        pass


def test_kernel_gives_it_back(tmp_path: Path) -> None:
    """A process that is killed loses its lock at once."""
    other = holder(tmp_path)
    assert look_at(tmp_path, FLEET).held
    with pytest.raises(LockHeld), locked(tmp_path, FLEET):
        pass
    other.send_signal(signal.SIGKILL)
    other.wait()

    with locked(tmp_path, FLEET):
        pass
    assert other.stdout is not None
    other.stdout.close()


def test_only_for_the_owner(tmp_path: Path) -> None:
    """Folder, lock and record can be read by their owner only."""
    with locked(tmp_path / "state", FLEET):
        write_record(tmp_path / "state", RECORD)
    modes = [
        path.stat().st_mode & 0o777
        for path in (
            tmp_path / "state" / "locks",
            lock_path(tmp_path / "state", FLEET),
            record_path(tmp_path / "state", FLEET),
        )
    ]

    assert modes == [0o700, 0o600, 0o600]


def test_links_are_not_followed(tmp_path: Path) -> None:
    """Neither the folder nor the lock nor the record may be a link."""
    (tmp_path / "else").mkdir()
    (tmp_path / "locks").symlink_to(tmp_path / "else")
    with pytest.raises(JournalError, match="symbolic link"), locked(tmp_path, FLEET):
        pass
    (tmp_path / "locks").unlink()
    (tmp_path / "locks").mkdir()
    lock_path(tmp_path, FLEET).symlink_to(tmp_path / "precious")
    with pytest.raises(JournalError), locked(tmp_path, FLEET):
        pass
    lock_path(tmp_path, FLEET).unlink()
    precious = tmp_path / "precious"
    precious.write_text("{}")
    record_path(tmp_path, FLEET).symlink_to(precious)
    with locked(tmp_path, FLEET):
        assert read_record(tmp_path, FLEET) is None
        write_record(tmp_path, RECORD)
        assert precious.read_text() == "{}"
        assert read_record(tmp_path, FLEET) == RECORD


def test_no_place_for_it(tmp_path: Path) -> None:
    """Where no lock can be kept, that is an error with a way out."""
    (tmp_path / "locks").write_text("")
    with pytest.raises(JournalError, match="cannot be kept"), locked(tmp_path, FLEET):
        pass
    with pytest.raises(JournalError, match="cannot be kept"):
        write_record(tmp_path, RECORD)
    with pytest.raises(JournalError, match="cannot be kept"):
        remove_record(tmp_path, FLEET)


@pytest.mark.parametrize("way", ["refuses", "soft"])
def test_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """A file system that has no locks keeps none by other means: a dead owner's would stay."""

    class Without(filelock.FileLock):  # type: ignore[misc, valid-type]  # its type depends on the platform
        def acquire(self, *_: object, **__: object) -> None:  # type: ignore[override]  # what it does when flock fails
            if way == "refuses":
                raise NotImplementedError
            warnings.warn("flock not supported", stacklevel=2)
            self.__class__ = filelock.SoftFileLock  # type: ignore[assignment]  # as the library does it

    monkeypatch.setattr(filelock, "FileLock", Without)

    with pytest.raises(JournalError, match="the file system has no locks"), locked(tmp_path, FLEET):
        pass


def test_record_read_back(tmp_path: Path) -> None:
    """A record is read back as it was written, and is gone when it is removed."""
    (tmp_path / "locks").mkdir()
    record = replace(RECORD, left=("a", "b"), ended=True)
    write_record(tmp_path, record)
    assert read_record(tmp_path, FLEET) == record
    remove_record(tmp_path, FLEET)
    remove_record(tmp_path, FLEET)

    assert read_record(tmp_path, FLEET) is None


GOOD = {
    "format": "cmscert.lock/1",
    "fleet": FLEET,
    "owner": "ann",
    "machine": "m",
    "pid": 1,
    "run": RUN,
    "since": "2026-11-23T22:00:00+00:00",
    "command": "apply",
    "left": [],
    "ended": False,
}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "[" * 3000,
        json.dumps({**GOOD, "format": "cmscert.lock/2"}),
        json.dumps({**GOOD, "more": 1}),
        json.dumps({**GOOD, "fleet": "other"}),
        json.dumps({**GOOD, "owner": "\x1b[2J"}),
        json.dumps({**GOOD, "run": 7}),
        json.dumps({**GOOD, "pid": 0}),
        json.dumps({**GOOD, "pid": True}),
        json.dumps({**GOOD, "ended": 0}),
        json.dumps({**GOOD, "left": "abc"}),
        json.dumps({**GOOD, "left": [1]}),
        json.dumps({**GOOD, "since": "today"}),
        json.dumps({**GOOD, "since": "2026-11-23T22:00:00"}),
        json.dumps(GOOD) + " " * 70_000,
    ],
)
def test_damaged_record_tells_nothing(tmp_path: Path, content: str) -> None:
    """A record that is not as this tool writes it tells nothing, and is no error."""
    (tmp_path / "locks").mkdir()
    path = record_path(tmp_path, FLEET)
    path.write_text(json.dumps(GOOD))
    assert read_record(tmp_path, FLEET) is not None
    path.write_text(content)

    assert read_record(tmp_path, FLEET) is None


def test_nobody_holds_it(tmp_path: Path) -> None:
    """Where nobody ever held a lock, nothing is made by looking."""
    assert live_run(tmp_path, FLEET) is None
    assert all_locks(tmp_path) == ()
    assert list(tmp_path.iterdir()) == []


def test_live_run(tmp_path: Path) -> None:
    """The run that holds the lock is named as long as it does."""
    with locked(tmp_path, FLEET):
        write_record(tmp_path, RECORD)
        assert live_run(tmp_path, FLEET) == RUN
        (lock,) = all_locks(tmp_path)
        assert (lock.held, lock.record) == (True, RECORD)
    assert live_run(tmp_path, FLEET) is None
    (lock,) = all_locks(tmp_path)
    assert (lock.held, lock.record) == (False, RECORD)


def test_live_run_that_has_not_said_its_name(tmp_path: Path) -> None:
    """A process that has the lock and has not yet written its record is not taken for the dead one before."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with locked(tmp_path, FLEET):
        for record in (replace(RECORD, pid=gone.pid), replace(RECORD, ended=True)):
            write_record(tmp_path, record)
            assert live_run(tmp_path, FLEET) == UNKNOWN
        write_record(tmp_path, replace(RECORD, pid=gone.pid, machine="elsewhere"))
        assert live_run(tmp_path, FLEET) == RUN


def test_process_of_another_user_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that may not be signalled is there."""

    def refused(_pid: int, _signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refused)
    with locked(tmp_path, FLEET):
        write_record(tmp_path, RECORD)
        assert live_run(tmp_path, FLEET) == RUN


def test_dead_runs(tmp_path: Path) -> None:
    """Runs of this machine are known to be over when the lock is free, or when they ended before."""
    with locked(tmp_path, FLEET):
        write_record(tmp_path, replace(RECORD, left=("old",)))
        assert dead_runs(tmp_path, FLEET, HERE) == {"old"}
    assert dead_runs(tmp_path, FLEET, HERE) == {"old", RUN}
    assert dead_runs(tmp_path, FLEET, "elsewhere") == frozenset()
    assert dead_runs(tmp_path, "other", HERE) == frozenset()


def test_take_over() -> None:
    """Whoever takes over knows the runs before it; those of another machine it knows nothing about."""
    mine = replace(RECORD, run="mine")

    assert take_over(None, mine) == mine
    assert take_over(replace(RECORD, machine="elsewhere"), mine) == mine
    assert take_over(replace(RECORD, left=("old", "older")), mine).left == ("old", "older", RUN)
    assert len(take_over(replace(RECORD, left=tuple(map(str, range(100)))), mine).left) == 50
