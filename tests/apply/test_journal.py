"""The journal: on disk before anything happens, readable after every crash."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cmscert.apply.events import from_json, to_json
from cmscert.apply.journal import Journal, peek_journal, read_journal, scan_journal
from cmscert.errors import InputError, JournalError
from cmscert.model.events import (
    Asked,
    CommandSent,
    Event,
    ReplyReceived,
    RunEnded,
    RunStarted,
    StepEnded,
    StepStarted,
)

Damage = Callable[[list[bytes]], list[bytes]]
AT = datetime(2026, 11, 23, 20, 30, tzinfo=UTC)
EVENTS: tuple[Event, ...] = (
    RunStarted(at=AT, run="r", fleet="toy", steps=1),
    StepStarted(at=AT, step="s1", server="core1", what="bind webadmin"),
    CommandSent(at=AT, step="s1", server="core1", typed="webadmin disable"),
    ReplyReceived(at=AT, step="s1", server="core1", typed="webadmin disable", shown="\x1b ü\n", seconds=0.25),
    Asked(at=AT, server="core1", typed="turn", shown="(not shown: holds passwords)", seconds=0.1),
    StepEnded(at=AT, step="s1", server="core1", outcome="failed", why="FAILURE"),
    StepStarted(at=AT, step="s1", server="core1", what="bind webadmin", undoing=True),
    StepEnded(at=AT, step="s1", server="core1", outcome="undone"),
    RunEnded(at=AT, run="r", result="neither", why="core1", by_hand=(("core1", ("a", "b")), ("core2", ()))),
)


def written(folder: Path, *events: Event) -> Path:
    """Write a journal and return its file."""
    journal = Journal.create(folder, "20261123T203000Z-abc123", {"format": "x"}, {"user": "me"})
    for event in events:
        journal.append(event)
    journal.close()
    return journal.path


def test_what_was_written_reads_back(tmp_path: Path) -> None:
    """Header, every kind of event, and that the run came to its end."""
    view = read_journal(written(tmp_path / "state", *EVENTS))
    assert view.header == {"user": "me"}
    assert view.events == EVENTS
    assert not view.torn
    assert view.whole


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    """Folders are 0700, files 0600, whatever the mask of the process."""
    before = os.umask(0)
    try:
        path = written(tmp_path / "state", *EVENTS)
    finally:
        os.umask(before)
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in (path, path.parent, path.parent / "plan.json")}
    assert modes == {"journal.jsonl": 0o600, "20261123T203000Z-abc123": 0o700, "plan.json": 0o600}
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert json.loads((path.parent / "plan.json").read_text()) == {"format": "x"}


def test_every_line_is_on_disk_when_append_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One write and one fdatasync a line, in that order."""
    calls: list[str] = []
    write, sync = os.write, os.fdatasync
    monkeypatch.setattr(os, "write", lambda *given: (calls.append("write"), write(*given))[1])
    monkeypatch.setattr(os, "fdatasync", lambda *given: (calls.append("sync"), sync(*given))[1])
    journal = Journal.create(tmp_path, "r", {}, {})
    calls.clear()
    journal.append(EVENTS[0])
    assert calls == ["write", "sync"]
    journal.close()


def test_what_waits_for_the_disk_waits_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events are written at once; ten who want theirs on disk meanwhile share two syncs at most."""
    syncs: list[int] = []
    sync = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: (syncs.append(descriptor), sync(descriptor))[1])
    journal = Journal.create(tmp_path, "r", {}, {})
    syncs.clear()

    async def one() -> None:
        journal.write(EVENTS[0])
        await asyncio.sleep(0)
        await journal.on_disk()

    async def all_of_them() -> None:
        await asyncio.gather(*(one() for _ in range(10)))
        assert 1 <= len(syncs) <= 2
        await journal.on_disk()

    asyncio.run(all_of_them())
    assert len(syncs) <= 2, "what is on disk is not waited for again"
    journal.close()
    assert len(read_journal(journal.path).events) == 10


def test_a_disk_that_fails_is_told_to_all_who_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody takes what did not get to the disk for safe, and nothing is written behind it."""
    journal = Journal.create(tmp_path, "r", {}, {})

    def broken(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    async def both() -> None:
        journal.write(EVENTS[0])
        told = await asyncio.gather(journal.on_disk(), journal.on_disk(), return_exceptions=True)
        assert all(isinstance(each, JournalError) for each in told)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", broken)
        asyncio.run(both())
    with pytest.raises(JournalError, match="cannot be written"):
        journal.write(EVENTS[1])
    journal.close()


def test_a_journal_may_be_closed_while_the_disk_works(tmp_path: Path) -> None:
    """Who was cut off while waiting leaves the sync behind; closing puts all of it on disk."""
    journal = Journal.create(tmp_path, "r", {}, {})

    async def cut_off() -> None:
        journal.write(EVENTS[0])
        waiting = asyncio.ensure_future(journal.on_disk())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        journal.close()

    asyncio.run(cut_off())
    assert len(read_journal(journal.path).events) == 1


def test_a_run_id_names_one_run(tmp_path: Path) -> None:
    """A second run of the same id is refused, and an id cannot lead out of the folder."""
    Journal.create(tmp_path, "r", {}, {}).close()
    with pytest.raises(JournalError, match="File exists"):
        Journal.create(tmp_path, "r", {}, {})
    for bad in ("../r", "", "a/b", ".hidden", "x" * 81):
        with pytest.raises(ValueError, match="a run id has"):
            Journal.create(tmp_path, bad, {}, {})


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A file where the folder must be gives a journal error with a way out."""
    (tmp_path / "state").write_text("")
    with pytest.raises(JournalError, match="cannot be written") as told:
        Journal.create(tmp_path / "state", "r", {}, {})
    assert told.value.hint is not None
    assert "--state-dir" in told.value.hint


@pytest.mark.parametrize("how", ["error", "short", "sync"])
def test_after_one_error_nothing_more_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """A full disk ends the journal for good, so that it cannot continue behind a hole."""
    journal = Journal.create(tmp_path, "r", {}, {})
    write = os.write

    def full(*_given: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        if how == "short":
            patch.setattr(os, "write", lambda descriptor, line: write(descriptor, line[:5]))
        else:
            patch.setattr(os, "write" if how == "error" else "fdatasync", full)
        with pytest.raises(JournalError, match=r"No space left|only a part"):
            journal.append(EVENTS[0])
    with pytest.raises(JournalError, match="cannot be written"):
        journal.append(EVENTS[1])
    journal.close()
    view = read_journal(journal.path)
    assert view.torn == (how == "short")
    assert not view.whole


def test_a_closed_journal_takes_nothing(tmp_path: Path) -> None:
    """Closing twice is fine, appending afterwards is not."""
    journal = Journal.create(tmp_path, "r", {}, {})
    journal.close()
    journal.close()
    with pytest.raises(JournalError, match="it is closed"):
        journal.append(EVENTS[0])


def test_a_journal_cut_at_any_byte_is_read_over(tmp_path: Path) -> None:
    """Wherever the file ends, all whole lines are read, and a rest is told."""
    whole = written(tmp_path, *EVENTS).read_bytes()
    torn = tmp_path / "torn.jsonl"
    for cut in range(len(whole) + 1):
        kept = whole[:cut]
        torn.write_bytes(kept)
        view = read_journal(torn)
        assert view.events == EVENTS[: max(0, kept.count(b"\n") - 1)]
        assert view.header == ({"user": "me"} if b"\n" in kept else {})
        assert view.torn == (not kept.endswith(b"\n") and bool(kept))
        assert view.whole == (cut == len(whole))


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(min_value=0), change=st.binary(max_size=40), lost=st.integers(min_value=0, max_value=40))
def test_any_change_is_noticed(tmp_path: Path, at: int, change: bytes, lost: int) -> None:
    """Whatever stands in the place of some bytes: what is read is the beginning of what was written, and it says so."""
    path = tmp_path / "runs" / "20261123T203000Z-abc123" / "journal.jsonl"
    whole = (path if path.exists() else written(tmp_path, *EVENTS)).read_bytes()
    place = at % (len(whole) + 1)
    bent = whole[:place] + change + whole[place + lost :]
    (tmp_path / "bent.jsonl").write_bytes(bent)
    view = scan_journal(tmp_path / "bent.jsonl")
    assert view.events == EVENTS[: len(view.events)]
    if bent != whole and not whole.startswith(bent):
        assert view.torn or view.fault is not None


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300))
def test_anything_at_all_can_be_read(tmp_path: Path, content: bytes) -> None:
    """No file makes reading it fail otherwise than by its fault."""
    (tmp_path / "any.jsonl").write_bytes(content)
    view = scan_journal(tmp_path / "any.jsonl")
    assert view.events == ()
    assert bool(content) == (view.torn or view.fault is not None)


def test_a_glance_sees_the_header_and_the_end(tmp_path: Path) -> None:
    """How a run ended is seen without reading all of it; one that did not, and what is damaged there, has no end."""
    path = written(tmp_path, *EVENTS)
    whole = path.read_bytes()
    view = peek_journal(path)
    assert (view.header, view.events) == ({"user": "me"}, EVENTS[-1:])
    for bent, header in (
        (whole[:-1], {"user": "me"}),
        (whole[: whole.rindex(b'{"n"')], {"user": "me"}),
        (whole.replace(b'"why":"core1"', b'"why":"core2"'), {"user": "me"}),
        (whole.replace(b'"me"', b'"you"'), {}),
        (b"", {}),
        (whole + b"[]\n", {"user": "me"}),
    ):
        path.write_bytes(bent)
        ended = bent == whole[:-1]
        assert (peek_journal(path).header, peek_journal(path).events) == (header, EVENTS[-1:] if ended else ())
    assert peek_journal(tmp_path / "no").events == ()


def test_the_state_before_is_kept(tmp_path: Path) -> None:
    """What was observed stands beside the plan, for its owner only."""
    journal = Journal.create(tmp_path, "r", {"a": 1}, {}, observed={"b": 2})
    journal.close()
    path = journal.folder / "observed.json"
    assert json.loads(path.read_text()) == {"b": 2}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("broken", ["rename", "header", "plan"])
def test_a_run_that_cannot_be_opened_leaves_no_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """Its name appears when plan, state and header are on disk, or never."""

    def full(*_given: object, **_more: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    place = {"rename": (Path, "rename"), "header": (os, "fdatasync"), "plan": (os, "fsync")}[broken]
    with monkeypatch.context() as patch:
        patch.setattr(*place, full)
        with pytest.raises(JournalError, match="No space left"):
            Journal.create(tmp_path, "r", {}, {}, observed={})
    assert list((tmp_path / "runs").iterdir()) == []
    Journal.create(tmp_path, "r", {}, {}).close()


def test_a_link_in_the_place_of_the_runs_is_refused(tmp_path: Path) -> None:
    """Nothing is written where somebody else's link leads."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "runs").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(JournalError, match="runs is a link"):
        Journal.create(tmp_path / "state", "r", {}, {})
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_only_a_file_is_a_journal(tmp_path: Path) -> None:
    """A link is not followed, and a pipe or a folder is not waited for."""
    good = written(tmp_path / "state", *EVENTS)
    (tmp_path / "link").symlink_to(good)
    os.mkfifo(tmp_path / "pipe")
    for name, why in (("link", "symbolic link"), ("pipe", "no regular file"), ("state", "no regular file")):
        with pytest.raises(InputError, match=why):
            read_journal(tmp_path / name)


def test_a_last_line_with_a_wrong_sum_is_torn(tmp_path: Path) -> None:
    """A crash may leave a line of the right length with other bytes."""
    path = written(tmp_path, *EVENTS)
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"why":"core1"', b'"why":"core2"'))
    view = read_journal(path)
    assert view.torn
    assert view.events == EVENTS[:-1]


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: [*lines[:2], b"\0" * 30, *lines[3:]],
        lambda lines: [*lines[:2], *lines[3:]],
        lambda lines: [*lines[:2], lines[2].replace(b"bind", b"bond"), *lines[3:]],
        lambda lines: [*lines[:2], b'{"n":2,"sum":"x","event":[]}', *lines[3:]],
        lambda lines: [*lines[:2], b"[]", *lines[3:]],
        lambda lines: [*lines[:2], b"[" * 100_000, *lines[3:]],
    ],
)
def test_damage_before_the_last_line_is_an_error_with_its_place(tmp_path: Path, damage: Damage) -> None:
    """A hole in the middle is no crash: somebody changed the file."""
    path = written(tmp_path, *EVENTS)
    path.write_bytes(b"\n".join(damage(path.read_bytes().split(b"\n"))))
    with pytest.raises(InputError, match="the line is damaged") as told:
        read_journal(path)
    assert told.value.faults[0].line == 3


def test_a_journal_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The fault names the file."""
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_journal(tmp_path / "no.jsonl")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"kind": "unknown"}, "no event is of the kind"),
        ({"more": 1}, "has other fields"),
        ({"at": "yesterday"}, "isoformat"),
        ({"step": 1}, "step does not hold"),
        ({"outcome": "fine"}, "outcome does not hold"),
        ({"outcome": []}, "outcome does not hold"),
        ({"why": 1}, "why does not hold"),
    ],
)
def test_values_that_are_no_event_are_refused(change: dict[str, object], why: str) -> None:
    """Kind, fields, forms and words are checked."""
    with pytest.raises(ValueError, match=why):
        from_json({**to_json(EVENTS[5]), **change})


@pytest.mark.parametrize(
    ("event", "change"),
    [
        (EVENTS[0], {"steps": True}),
        (EVENTS[1], {"undoing": 1}),
        (EVENTS[3], {"seconds": "1"}),
        (EVENTS[8], {"result": "x"}),
        (EVENTS[8], {"by_hand": "x"}),
        (EVENTS[8], {"by_hand": [1]}),
        (EVENTS[8], {"by_hand": [["core1", [], 3]]}),
        (EVENTS[8], {"by_hand": [["core1", [3]]]}),
        (EVENTS[1], {"at": "2026-11-23T20:30:00"}),
        (EVENTS[1], {"at": "0001-01-01T00:00:00+23:00"}),
    ],
)
def test_values_of_another_form_are_refused(event: Event, change: dict[str, object]) -> None:
    """True is no count, 1 is no truth value, and a moment has a time zone and a year that a clock can show."""
    with pytest.raises(ValueError, match="does not hold"):
        from_json({**to_json(event), **change})
