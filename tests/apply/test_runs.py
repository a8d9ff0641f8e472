"""Runs on disk: all are found, whatever state they are in; old ones go, and never one that still matters."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmscert.apply.journal import JOURNAL_FILE, Journal
from cmscert.apply.runs import find_run, list_runs, prune, read_run, run_folders
from cmscert.apply.settled import settle
from cmscert.errors import InputError, JournalError
from cmscert.model.events import RunEnded, RunStarted

NOW = datetime(2026, 11, 23, 20, 30, tzinfo=UTC)
Result = Literal["applied", "rolled-back", "neither", "interrupted", "refused"]
RESULTS: tuple[Result, ...] = ("applied", "rolled-back", "neither", "interrupted", "refused")


def ran(
    state: Path,
    days: int,
    result: Result | None = "applied",
    *,
    fleet: str = "toy",
    select: tuple[str, ...] = (),
    rolls_back: str | None = None,
    mark: str = "aaaaaa",
    inventory: str = "toy.yaml",
) -> str:
    """Leave a run that ended so many days ago; without a result it never did. Return its id."""
    at = NOW - timedelta(days=days)
    run = f"{at:%Y%m%dT%H%M%SZ}-{mark}"
    journal = Journal.create(
        state,
        run,
        {},
        {"fleet": fleet, "inventory": inventory, "select": list(select), "user": "me", "rolls_back": rolls_back},
    )
    journal.append(RunStarted(at=at, run=run, fleet=fleet, steps=0))
    if result is not None:
        journal.append(RunEnded(at=at + timedelta(seconds=7), run=run, result=result))
    journal.close()
    return run


def ids(state: Path) -> list[str]:
    """Return the ids of the runs that are there."""
    return [record.id for record in list_runs(state)]


def test_nothing_is_there_before_the_first_run(tmp_path: Path) -> None:
    """A state directory without runs, and one that is not there, have none."""
    assert list_runs(tmp_path) == ()
    assert list_runs(tmp_path / "no") == ()
    assert prune(tmp_path / "no", now=NOW) == ()


def test_runs_come_oldest_first(tmp_path: Path) -> None:
    """Sorted by their moment, within a second by their first event, and only those of a fleet where that is asked."""
    newest, oldest = ran(tmp_path, 1), ran(tmp_path, 9, None)
    other = ran(tmp_path, 5, "neither", fleet="other")

    assert ids(tmp_path) == [oldest, other, newest]
    assert [record.id for record in list_runs(tmp_path, fleet="toy")] == [oldest, newest]
    assert [record.id for record in list_runs(tmp_path, newest=2)] == [other, newest]
    assert [record.id for record in list_runs(tmp_path, fleet="toy", newest=1)] == [newest]


def test_a_record_tells_of_its_run(tmp_path: Path) -> None:
    """Who, when, what was selected, how it ended."""
    record = find_run(tmp_path, ran(tmp_path, 1, "neither", select=("server=core1",)))

    assert (record.fleet, record.select, record.text("user")) == ("toy", ("server=core1",), "me")
    assert (record.result, record.unfinished, record.torn, record.fault) == ("neither", False, False, None)
    assert record.started == NOW - timedelta(days=1)
    assert record.ended == NOW - timedelta(days=1) + timedelta(seconds=7)
    assert (record.text("machine"), record.texts("allow"), record.text("select")) == (None, (), None)


def test_a_run_that_died_is_unfinished(tmp_path: Path) -> None:
    """Without its last event a run has no result and no end."""
    record = find_run(tmp_path, ran(tmp_path, 1, None))

    assert (record.unfinished, record.result, record.ended, record.end) == (True, None, None, None)


def test_the_fleet_is_told_by_the_first_event_too(tmp_path: Path) -> None:
    """A header that does not name it is no harm."""
    journal = Journal.create(tmp_path, "r", {}, {})
    journal.append(RunStarted(at=NOW, run="r", fleet="toy", steps=0))
    journal.close()
    Journal.create(tmp_path, "s", {}, {}).close()

    assert [record.fleet for record in list_runs(tmp_path)] == ["toy", None]
    assert find_run(tmp_path, "s").started is None


def test_damaged_runs_are_records(tmp_path: Path) -> None:
    """A journal with a hole, and a directory without a journal, are listed with their fault."""
    path = tmp_path / "runs" / ran(tmp_path, 2) / JOURNAL_FILE
    path.write_bytes(path.read_bytes().replace(b'"steps":0', b'"steps":1'))
    (tmp_path / "runs" / "empty").mkdir()
    first, second = list_runs(tmp_path)

    assert first.fault is not None
    assert first.fault.line == 2
    assert first.unfinished
    assert second.fault is not None
    assert "No such file" in second.fault.message


def test_only_directories_of_runs_are_runs(tmp_path: Path) -> None:
    """Files, links, drafts and names that no run has are passed over."""
    run = ran(tmp_path, 1)
    (tmp_path / "runs" / "file").write_text("")
    (tmp_path / "runs" / "link").symlink_to(tmp_path / "runs" / run)
    (tmp_path / "runs" / ".draft.new").mkdir()
    (tmp_path / "runs" / "no run").mkdir()

    assert ids(tmp_path) == [run]


def test_runs_that_cannot_be_read_are_an_input_error(tmp_path: Path) -> None:
    """A file where the runs should be is named."""
    (tmp_path / "runs").write_text("")
    with pytest.raises(InputError, match="the runs cannot be read: not a directory"):
        run_folders(tmp_path)


def test_a_run_is_found_by_the_beginning_of_its_id(tmp_path: Path) -> None:
    """The whole id, its beginning where only one has it, or ``last``; everything else says what there is."""
    runs = [ran(tmp_path, 3, mark=mark) for mark in ("aa0001", "aa0002", "ab0003", "ac0004")]
    short = ran(tmp_path, 9)
    stamp = runs[0].partition("-")[0]

    assert find_run(tmp_path, runs[1]).id == runs[1]
    assert find_run(tmp_path, short[:8]).id == short
    assert find_run(tmp_path, "last").id == runs[3]
    with pytest.raises(InputError, match=r"4 runs begin with .* and 1 more"):
        find_run(tmp_path, stamp)
    with pytest.raises(InputError, match=f"2 runs begin with .*: {runs[0]}, {runs[1]}$"):
        find_run(tmp_path, f"{stamp}-aa")
    for none in ("", "../runs", "x", f"{runs[0]}0"):
        with pytest.raises(InputError, match="there is no run"):
            find_run(tmp_path, none)
    with pytest.raises(InputError, match="there is no run 'last'"):
        find_run(tmp_path / "no", "last")


def test_an_id_goes_before_its_beginnings(tmp_path: Path) -> None:
    """A run whose whole id begins another's is found by it, and so is one that is called last."""
    for name in ("a", "ab", "last"):
        Journal.create(tmp_path, name, {}, {}).close()

    assert find_run(tmp_path, "a").id == "a"
    assert find_run(tmp_path, "last").id == "last"


def test_old_runs_go_by_age_and_count(tmp_path: Path) -> None:
    """Older than the days, or beyond the newest so many."""
    old, middle, new = ran(tmp_path, 800), ran(tmp_path, 10, "rolled-back"), ran(tmp_path, 1)

    assert prune(tmp_path, now=NOW) == (old,)
    assert prune(tmp_path, now=NOW) == ()
    assert prune(tmp_path, keep_count=1, now=NOW) == (middle,)
    assert ids(tmp_path) == [new]


def test_a_run_that_goes_on_stays(tmp_path: Path) -> None:
    """A run that somebody names as live stays, however old."""
    run = ran(tmp_path, 800)

    assert prune(tmp_path, now=NOW, live={run}) == ()


def test_of_two_runs_of_one_second_the_first_goes(tmp_path: Path) -> None:
    """Ids tell seconds; within one the run that is not over is the newest, whatever its id."""
    first, last = ran(tmp_path, 0, mark="ffffff"), ran(tmp_path, 0, None, mark="000000")

    assert prune(tmp_path, keep_count=1, now=NOW, live=[last]) == (first,)


def test_last_is_the_newest_of_an_inventory(tmp_path: Path) -> None:
    """Fleets may share a folder: whoever names an inventory means its runs, and one without any has no last."""
    mine, other = ran(tmp_path, 2), ran(tmp_path, 1, fleet="other", inventory="other.yaml")

    assert find_run(tmp_path, "last").id == other
    assert find_run(tmp_path, "last", inventory="toy.yaml").id == mine
    with pytest.raises(InputError, match="no run 'last'"):
        find_run(tmp_path, "last", inventory="third.yaml")


def test_last_of_one_second_is_what_began_last(tmp_path: Path) -> None:
    """The random part of an id says nothing about time."""
    at = NOW.replace(microsecond=1)
    last = Journal.create(tmp_path, f"{at:%Y%m%dT%H%M%SZ}-000000", {}, {"fleet": "toy"})
    last.append(RunStarted(at=at, run=last.folder.name, fleet="toy", steps=0))
    last.close()
    first = ran(tmp_path, 0, mark="ffffff")

    assert find_run(tmp_path, "last").id == last.folder.name
    assert [each.id for each in list_runs(tmp_path, newest=2)] == [first, last.folder.name]
    assert [each.id for each in list_runs(tmp_path)] == [first, last.folder.name]


def test_a_fleet_prunes_its_own_runs(tmp_path: Path) -> None:
    """Another fleet's runs in the same state directory neither count nor go."""
    other, mine = ran(tmp_path, 900, fleet="other"), ran(tmp_path, 800)
    ran(tmp_path, 3, fleet="other")

    assert prune(tmp_path, now=NOW, keep_count=1, fleet="toy") == (mine,)
    assert other in ids(tmp_path)


@pytest.mark.parametrize("result", ["neither", "interrupted", None])
def test_what_was_left_stays_until_it_is_put_right(tmp_path: Path, result: Result | None) -> None:
    """A run that may have left something goes only after it was settled, whatever else was applied since."""
    run = ran(tmp_path, 800, result)
    ran(tmp_path, 1)

    assert prune(tmp_path, now=NOW) == ()
    settle(tmp_path / "runs" / run, by="20261123T203000Z-ffffff", at=NOW)
    assert find_run(tmp_path, run).settled == "20261123T203000Z-ffffff"
    assert prune(tmp_path, now=NOW) == (run,)


def test_a_rollback_alone_lets_no_run_go(tmp_path: Path) -> None:
    """A rollback may have had to leave a server out; where it has put everything right it has settled the run."""
    run = ran(tmp_path, 800, "neither")
    ran(tmp_path, 1, "applied", rolls_back=run)

    assert prune(tmp_path, now=NOW) == ()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"by": 7}', "[" * 5000])
def test_a_note_that_does_not_say_who_settles_too(tmp_path: Path, content: str) -> None:
    """That it is there is what counts; a link in its place is not."""
    folder = tmp_path / "runs" / ran(tmp_path, 1, None)
    (folder / "settled.json").write_text(content)
    assert read_run(folder).settled == ""
    (folder / "settled.json").rename(folder / "elsewhere.json")
    (folder / "settled.json").symlink_to(folder / "elsewhere.json")
    assert read_run(folder).settled is None


def test_damaged_runs_stay(tmp_path: Path) -> None:
    """Nobody knows how a damaged run ended."""
    path = tmp_path / "runs" / ran(tmp_path, 900) / JOURNAL_FILE
    path.write_bytes(path.read_bytes().replace(b'"n":1', b'"n":7'))
    assert prune(tmp_path, now=NOW, keep_count=0) == ()


RUN = st.tuples(st.integers(0, 1500), st.sampled_from([*RESULTS, None]), st.sampled_from(["toy", "other"]))


@settings(max_examples=40, deadline=None)
@given(
    runs=st.lists(RUN, max_size=8, unique_by=lambda run: run[0]),
    days=st.integers(1, 1000),
    count=st.integers(1, 6),
)
def test_no_unfinished_run_is_ever_removed(
    tmp_path_factory: pytest.TempPathFactory,
    runs: list[tuple[int, Result | None, str]],
    days: int,
    count: int,
) -> None:
    """Whatever runs there are: those without an end stay, and those that are new and among the newest."""
    state = tmp_path_factory.mktemp("state")
    for ago, result, fleet in runs:
        ran(state, ago, result, fleet=fleet)
    before = list_runs(state)
    gone = set(prune(state, days, count, now=NOW, fleet="toy"))
    mine = [record for record in before if record.fleet == "toy"]
    new = {record.id for record in mine[-count:] if record.ended and record.ended >= NOW - timedelta(days=days)}

    assert not gone & {record.id for record in before if record.unfinished or record.fleet != "toy"}
    assert not gone & new
    assert ids(state) == [record.id for record in before if record.id not in gone]
    shutil.rmtree(state)


def test_a_directory_that_cannot_be_removed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in the way is named; the next pruning sweeps what was half removed."""
    run = ran(tmp_path, 800)

    def stuck(*_given: object, **_more: object) -> None:
        raise OSError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", stuck)
        with pytest.raises(JournalError, match="the old run cannot be removed: Permission denied"):
            prune(tmp_path, now=NOW)
    left = tmp_path / "runs" / f".{run}.gone"
    assert left.is_dir()
    assert prune(tmp_path, now=datetime.now(UTC)) == ()
    assert left.is_dir()
    os.utime(left, (0, 0))
    prune(tmp_path, now=NOW)
    assert not left.exists()


def test_only_own_leftovers_are_swept(tmp_path: Path) -> None:
    """Drafts of runs go when they are old; other hidden things, and links, are nobody's business."""
    runs = tmp_path / "runs"
    names = (".20261101T000000Z-abc123.new", ".other", ".x y.new", "plain.new")
    for name in names:
        (runs / name).mkdir(parents=True)
        os.utime(runs / name, (0, 0))
    (runs / ".link.gone").symlink_to(runs / ".other")
    prune(tmp_path, now=NOW)

    assert sorted(path.name for path in runs.iterdir()) == [".link.gone", ".other", ".x y.new", "plain.new"]


def test_reading_one_run_never_fails(tmp_path: Path) -> None:
    """A directory that holds nothing is a record with a fault."""
    assert read_run(tmp_path).fault is not None
