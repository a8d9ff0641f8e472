"""What outlives a run: the note about the primary, and backups; whole on disk, or not there."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cmscert.apply.backups import backup_folder
from cmscert.apply.disk import replacing
from cmscert.apply.memory import LARGEST, Memory
from cmscert.errors import InputError, JournalError
from cmscert.model.database import FormerPrimary

FORMER = FormerPrimary(
    database="main",
    server="core1",
    at=datetime(2026, 11, 23, 20, 30, tzinfo=UTC),
    status="10.0.0.11: Connected Primary",
)
GOOD = {
    "format": "cmscert.database/1",
    "fleet": "example",
    "database": "main",
    "server": "core1",
    "at": "2026-11-23T20:30:00+00:00",
    "status": "",
}


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    """The notes of a fleet, of which there are none."""
    return Memory(tmp_path / "new" / "state", "example")


def test_a_note_comes_back_as_it_was_written(memory: Memory) -> None:
    """Each database has its own note; what is forgotten is gone, and forgetting nothing is fine."""
    memory.forget("main")
    memory.remember(FORMER)

    assert memory.noted(["main", "other"]) == {"main": FORMER}
    memory.forget("main")
    memory.forget("main")
    assert memory.noted(["main"]) == {}


def test_a_note_is_private_and_takes_the_place_of_the_old_one(memory: Memory) -> None:
    """0600 in a folder of 0700, and nothing else lies beside it, not even what a killed run left behind."""
    path = memory.path("main")
    memory.remember(FORMER)
    (path.parent / f".{path.name}.{os.getpid()}.part").write_bytes(b"half a no")
    memory.remember(FORMER)

    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [each.name for each in path.parent.iterdir()] == ["example-main.json"]


DAMAGED: dict[str, tuple[bytes, str]] = {
    "cut": (json.dumps(GOOD).encode()[:-9], "not JSON"),
    "empty": (b"", "not JSON"),
    "no mapping": (b"[]", "it must hold format"),
    "a key more": (json.dumps({**GOOD, "more": "x"}).encode(), "it must hold format"),
    "a key less": (json.dumps({"format": "x"}).encode(), "it must hold format"),
    "no text": (json.dumps({**GOOD, "server": 7}).encode(), "every value must be a text"),
    "an empty server": (json.dumps({**GOOD, "server": ""}).encode(), "every value must be a text"),
    "a status that is none": (json.dumps({**GOOD, "status": None}).encode(), "every value must be a text"),
    "another format": (json.dumps({**GOOD, "format": "cmscert.database/2"}).encode(), "another release"),
    "another fleet": (json.dumps({**GOOD, "fleet": "a"}).encode(), "it is about database main of fleet a"),
    "no moment": (json.dumps({**GOOD, "at": "yesterday"}).encode(), "Invalid isoformat"),
    "no time zone": (json.dumps({**GOOD, "at": "2026-11-23T20:30:00"}).encode(), "no time zone"),
    "too large": (b" " * (LARGEST + 1), "more than the 0.0655 MB that are read"),
    "not UTF-8": (b"\xff\xfe\xfd", "not JSON"),
    "nested": (b"[" * 60_000, "recursion"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_note_is_never_taken_for_none(memory: Memory, name: str) -> None:
    """The error names the file and says what to do; a rebuild is not begun, and not continued, on a guess."""
    content, why = DAMAGED[name]
    memory.remember(FORMER)
    memory.path("main").write_bytes(content)

    with pytest.raises(InputError, match=why) as caught:
        memory.noted(["main"])
    assert str(memory.path("main")) in str(caught.value)
    assert "find that out" in (caught.value.hint or "")


def test_a_note_that_cannot_be_read_or_written(memory: Memory) -> None:
    """A folder in the way is told with its path, for reading, writing and removing alike."""
    memory.path("main").mkdir(parents=True)

    with pytest.raises(InputError, match=r"example-main\.json"):
        memory.noted(["main"])
    with pytest.raises(JournalError, match=r"example-main\.json: the note about the primary cannot be written"):
        memory.remember(FORMER)
    with pytest.raises(JournalError, match="cannot be removed"):
        memory.forget("main")
    assert [each.name for each in memory.path("main").parent.iterdir()] == ["example-main.json"]


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    """What is not written whole does not take the place of what was."""
    path = tmp_path / "x"
    path.write_bytes(b"old")

    def half() -> None:
        with replacing(path) as file:
            file.write(b"ne")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        half()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_backups_are_kept_by_server(tmp_path: Path) -> None:
    """Parts come together in one private file."""
    with backup_folder(tmp_path)("core1", "a.bak") as sink:
        sink(b"12")
        sink(b"34")
    path = tmp_path / "backups" / "core1" / "a.bak"

    assert path.read_bytes() == b"1234"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("server", "name"), [("core1", "../x"), ("core1", ".."), ("..", "x"), (".", "x"), ("a/b", "x"), ("core1", "")]
)
def test_names_that_lead_elsewhere(tmp_path: Path, server: str, name: str) -> None:
    """A name that is a path is refused before anything is made."""
    with pytest.raises(JournalError, match="is no name for a backup"), backup_folder(tmp_path)(server, name):
        raise AssertionError("it was opened")
    assert list(tmp_path.iterdir()) == []


def test_a_backup_that_cannot_be_written(tmp_path: Path) -> None:
    """No room, or no right, is told with the path."""
    (tmp_path / "backups").write_bytes(b"in the way")

    with (
        pytest.raises(JournalError, match=r"core1/a\.bak: the backup cannot be written"),
        backup_folder(tmp_path)("core1", "a.bak"),
    ):
        raise AssertionError("it was opened")
