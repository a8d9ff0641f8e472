"""``database cluster status``: every folder below ``database_status/`` is a case; a new one needs no Python.

``case.txt``: source; ``screen.txt``: the answer; ``expected.json``: what a person reads in it. A member is written as
address, ``me``, ``connected``, role, whether in sync, and the text of its row.
"""

from __future__ import annotations

import json
import unicodedata
from dataclasses import asdict
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmscert.mmp.database_status import read_database_status
from cmscert.model.database import DatabaseMember, DatabaseState
from cmscert.model.readings import Known, Reading, Unread

FOLDER = Path(__file__).parent / "database_status"
CASES = sorted(FOLDER.glob("*/expected.json"))
T_50 = (FOLDER / "replica-in-sync" / "screen.txt").read_text()
OTHER_WORDS = (("Primary", "Master"), ("Replica", "Slave"))


def _read(case: str) -> Reading[DatabaseState]:
    return read_database_status((FOLDER / case / "screen.txt").read_text())


def _known(text: str) -> DatabaseState:
    reading = read_database_status(text)
    assert isinstance(reading, Known)
    return reading.value


def _member(member: DatabaseMember) -> list[Any]:
    me = "me" if member.me else ""
    return [member.address, me, "connected" if member.connected else "", member.role, member.in_sync, member.text]


def _plain(state: DatabaseState) -> dict[str, Any]:
    plain = asdict(state)
    plain["files"] = {role: name for role, name in plain["files"].items() if name is not None}
    plain["members"] = [_member(member) for member in state.members]
    return {"reading": "known", **plain}


@pytest.mark.parametrize("expected", CASES, ids=lambda file: file.parent.name)
def test_status_is_read_as_a_person_reads_it(expected: Path) -> None:
    """The status tells the nodes, the files and what was done last, or nothing when a person could not tell."""
    reading = _read(expected.parent.name)

    found = _plain(reading.value) if isinstance(reading, Known) else {"reading": reading.kind}
    assert json.loads(expected.read_text()) == found


def test_every_case_says_where_it_comes_from() -> None:
    """Each case names its source, so that sourced and made-up layouts are never mixed up."""
    assert CASES
    assert [
        file.parent.name for file in CASES if not (file.parent / "case.txt").read_text().startswith("source: ")
    ] == []


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*/screen.txt")), ids=lambda file: file.parent.name)
def test_both_vocabularies_tell_the_same(file: Path) -> None:
    """Primary and Replica, Master and Slave: the same state, whichever words a release uses."""
    text = file.read_text()
    one = other = text
    for new, old in OTHER_WORDS:
        one, other = one.replace(old, new), other.replace(new, old)

    assert read_database_status(one) == read_database_status(other) == read_database_status(text)


def test_what_a_server_that_only_connects_shows() -> None:
    """It is part of a cluster without a row of its own."""
    for case in ("client", "client-node-in-use-only"):
        reading = _read(case)
        assert isinstance(reading, Known)
        assert reading.value.standing
        assert reading.value.me is None


def test_who_is_primary_is_told_by_every_member() -> None:
    """The row of the server itself and the one connected primary are found by name."""
    state = _known(T_50)

    assert [member.address for member in state.primaries] == ["10.48.36.61"]
    assert state.me is not None
    assert state.me.address == "10.48.36.182"
    assert state.files.names[0] == "dbclusterserver.key"


def test_too_much_to_be_a_status_is_unread() -> None:
    """Hundreds of rows, or a name longer than any file system takes, are not believed."""
    assert isinstance(read_database_status("\n" * 1000 + T_50), Unread)
    assert isinstance(read_database_status(T_50.replace("vngtpRootca", "v" * 300)), Unread)
    assert isinstance(read_database_status(T_50.replace("10.48.36.61 ", "v" * 300)), Unread)


_PIECES = st.sampled_from(
    [
        *T_50.splitlines(keepends=True),
        "Status",
        "ERROR",
        "Nodes:",
        "    ",
        "  ",
        " ",
        "\n",
        " : ",
        ":",
        "(me)",
        "10.0.0.1",
        "[2001:db8::1]",
        "core1",
        "Connected ",
        "Master",
        "Replica",
        "( In Sync )",
        "( Sync'ing )",
        "Disabled",
        "Initializing",
        "in progress",
        "expired",
        "none",
        "Server Certificate",
        "a.crt",
        "$",
        "\x1b[2J",
        "\x00",
        "\u202e",
        "\ud800",
        "Last command : 'x' (",
        ")",
        "'",
    ]
)


@settings(deadline=None)
@given(st.text() | st.text(st.characters(max_codepoint=0x9F)) | st.lists(_PIECES, max_size=40).map("".join))
def test_any_text_is_read_without_an_exception(text: str) -> None:
    """Whatever a server answers, reading it gives a reading, and no control character comes out of it."""
    reading = read_database_status(text)

    if isinstance(reading, Known):
        state = reading.value
        shown = [state.status, state.error, state.node_in_use, state.interface, state.last_command, *state.files.names]
        shown += [text for member in state.members for text in (member.address, member.text)]
        assert not {unicodedata.category(sign) for text in shown if text for sign in text} & {"Cc", "Cs", "Zl", "Zp"}
        assert len(state.primaries) <= len(state.members)
        for name in state.files.names:
            assert name.isascii()
            assert not set('"\\`$!?') & set(name)


@settings(deadline=None)
@given(st.lists(_PIECES, max_size=12).map("".join))
def test_a_replica_is_in_sync_only_where_it_says_so(rest: str) -> None:
    """Whatever stands behind a replica, it is in sync for one wording only."""
    reading = read_database_status(f"Status : Enabled\nNodes:\n    10.9.9.9 : Connected Replica {rest}")

    if isinstance(reading, Known):
        member = next(member for member in reading.value.members if member.address == "10.9.9.9")
        assert member.in_sync == (
            member.connected and "".join(member.text.split()).lower() == "connectedreplica(insync)"
        )


@pytest.mark.parametrize(
    "text",
    [
        "Status : " + "a" * 1_000_000,
        "Status : Enabled " * 60_000,
        "Server Key : " + "a.crt " * 150_000,
        "Last command : " + "(a" * 500_000,
        "Nodes:\n" + "    10.0.0.1 : Connected Primary (" * 30_000,
        "Nodes:\n" + "(me)" * 250_000,
        " " * 1_000_000 + ":",
        "\n" * 1_000_000,
        "\n".join(["Server Key : " + "(" * 2000] * 500),
    ],
    ids=["long", "joined", "names", "brackets", "nodes", "me", "blanks", "lines", "open"],
)
def test_a_megabyte_is_read_in_linear_time(text: str) -> None:
    """A status of 1 MB takes seconds at worst, whatever it repeats."""
    begun = process_time()
    read_database_status(text)

    assert process_time() - begun < 10
