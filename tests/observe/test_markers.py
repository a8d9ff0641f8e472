"""Lock files in a node's store are read by their names, few and small, and nothing else is taken for one."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cmscert.errors import ConnectionLost
from cmscert.model.marker import Marker, marker_content, marker_name
from cmscert.model.readings import Known, Unread
from cmscert.observe.markers import MOST, look_for_markers, read_markers, read_skew
from cmscert.testing.databases import NOW
from cmscert.testing.recorded import RecordedSession

RUN = "20261123T215900Z-ffffff"
NAME = marker_name(RUN)
MARKER = Marker(file=NAME, fleet="f", owner="bob", machine="desk3", run=RUN, since=NOW, until=NOW)
CONTENT = marker_content(MARKER)


def session(**store: bytes | ConnectionLost) -> RecordedSession:
    """Return a node with these files, and a clock that is an hour ahead."""
    files = {name.replace("_", "-") + ".crt": content for name, content in store.items()}
    return RecordedSession(
        server="core1", script={"date": f"{NOW + timedelta(hours=1):%a %b %d %H:%M:%S UTC %Y}\n"}, store=dict(files)
    )


async def test_by_name() -> None:
    """A lock file is read, every other name is left alone."""
    there = session(core=b"x")
    assert there.store is not None
    there.store[NAME] = CONTENT
    there.store["cmscert-lock-x.crt"] = b"x"

    assert await read_markers(there, await there.list_files()) == {NAME: Known(MARKER)}
    assert there.typed("read") == (NAME,)


async def test_gone_meanwhile() -> None:
    """One that is gone when it is read is no lock."""
    assert await read_markers(session(), [NAME]) == {}


async def test_unreadable() -> None:
    """One that the node does not hand out, or that holds something else, is Unread with its name."""
    there = session()
    other = marker_name("20261123T215900Z-000000")
    assert there.store is not None
    there.store |= {NAME: ConnectionLost("core1", "the connection ended"), other: b"?"}
    found = await read_markers(there, await there.list_files())

    assert found[NAME] == Unread(f"{NAME}: the connection ended")
    assert isinstance(found[other], Unread)


async def test_too_many() -> None:
    """A node full of lock files costs a few reads."""
    there = session()
    names = [marker_name(f"20261123T215900Z-{number:06x}") for number in range(100)]
    assert there.store is not None
    there.store |= dict.fromkeys(names, b"?")
    found = await read_markers(there, names)

    assert len(found) == 100
    assert len(there.typed("read")) == MOST
    assert found[names[-1]] == Unread("there are too many lock files to read this one")


async def test_only_what_is_needed() -> None:
    """Whoever only wants to know who holds a fleet asks for the time, the list and the lock files."""
    there = session()
    assert there.store is not None
    there.store[NAME] = CONTENT
    marks = await look_for_markers(there, lambda: NOW)

    assert marks.files == {NAME: Known(MARKER)}
    assert marks.now == NOW + timedelta(hours=1)
    assert [kind for kind, _ in there.heard] == ["ask", "list", "read"]


@pytest.mark.parametrize("answer", ["Unknown command\n", "half past nine\n", ConnectionLost("core1", "gone")])
async def test_clock_that_is_not_told(answer: str | ConnectionLost) -> None:
    """Where the node tells no time, ours stands for it."""
    there = RecordedSession(server="core1", script={"date": answer}, store={})

    assert await read_skew(there, lambda: NOW) is None
    assert (await look_for_markers(there, lambda: NOW)).now == NOW
