"""What runs left is kept whole, found again, and never believed when it is damaged."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cmscert.apply.journal import Journal
from cmscert.apply.proofs import Kept, proofs_path, read_proofs, unknown_runs, with_open, write_proofs
from cmscert.errors import JournalError
from cmscert.model.origin import Content, Proof, Proofs, ServerProofs

AT = datetime(2026, 11, 23, 20, 30, tzinfo=UTC)
RUN = "20261123T203000Z-abcdef"
PROOFS = Proofs(
    servers={
        "core1": ServerProofs(
            slots={
                "webadmin": Proof(at=AT, run=RUN, content=Content(file="a" * 32, bundle="b" * 32)),
                "turn": Proof(at=AT, content=Content(bundle="c" * 32), wanted=False),
            },
            named=frozenset({"webadmin", "turn"}),
        ),
        "edge1": ServerProofs(open=RUN),
    }
)


def test_proofs_come_back(tmp_path: Path) -> None:
    """What is written is read again, with the runs that were there; only the owner can read it."""
    Journal.create(tmp_path, RUN, {}, {"fleet": "toy"}).close()
    write_proofs(tmp_path, "toy", PROOFS)

    assert read_proofs(tmp_path, "toy") == Kept(proofs=PROOFS, runs=frozenset({RUN}))
    assert stat.S_IMODE(proofs_path(tmp_path, "toy").stat().st_mode) == 0o600
    assert read_proofs(tmp_path, "other") == Kept(proofs=Proofs())


def test_runs_that_proofs_do_not_know(tmp_path: Path) -> None:
    """A later run on the fleet, or one without a header, is named; one of another fleet is not."""
    write_proofs(tmp_path, "toy", PROOFS)
    for run, fleet in ((RUN, "toy"), ("20261123T203001Z-abcdef", "other"), ("20261123T203002Z-abcdef", "toy")):
        Journal.create(tmp_path, run, {}, {"fleet": fleet}).close()
    torn = tmp_path / "runs" / "20261123T203003Z-abcdef"
    torn.mkdir()

    assert [each.name for each in unknown_runs(tmp_path, "toy", frozenset({RUN}))] == [
        "20261123T203002Z-abcdef",
        torn.name,
    ]


DAMAGE: dict[str, Callable[[dict[str, Any]], object]] = {
    "format": lambda document: document.update(format="cmscert.proofs/2"),
    "fleet": lambda document: document.update(fleet="other"),
    "no runs": lambda document: document.pop("runs"),
    "runs": lambda document: document.update(runs=[1]),
    "servers": lambda document: document.update(servers=[]),
    "server": lambda document: document["servers"].update(core1=None),
    "named": lambda document: document["servers"]["core1"].update(named="webadmin"),
    "open": lambda document: document["servers"]["core1"].update(open=1),
    "moment": lambda document: document["servers"]["core1"]["slots"]["turn"].update(at="2026-11-23T20:30:00"),
    "year": lambda document: document["servers"]["core1"]["slots"]["turn"].update(at="0001-01-01T00:00:00+14:00"),
    "no moment": lambda document: document["servers"]["core1"]["slots"]["turn"].update(at="soon"),
    "wanted": lambda document: document["servers"]["core1"]["slots"]["turn"].update(wanted=1),
    "content": lambda document: document["servers"]["core1"]["slots"]["turn"].update(bundle=1),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_proofs_are_none(case: str, tmp_path: Path) -> None:
    """A file that does not hold what it must is told as damaged, and nothing of it is believed."""
    write_proofs(tmp_path, "toy", PROOFS)
    path = proofs_path(tmp_path, "toy")
    document = json.loads(path.read_text())
    DAMAGE[case](document)
    path.write_text(json.dumps(document))

    assert read_proofs(tmp_path, "toy") == Kept(proofs=Proofs(fault="proofs/toy.json is damaged"))


@pytest.mark.parametrize("content", [b"", b"\xff", b"[" * 200_000, b"null", b'{"a": 1'])
def test_what_is_no_proof_is_none(content: bytes, tmp_path: Path) -> None:
    """Whatever bytes stand there, reading them ends and believes nothing."""
    write_proofs(tmp_path, "toy", PROOFS)
    proofs_path(tmp_path, "toy").write_bytes(content)

    assert read_proofs(tmp_path, "toy").proofs.fault == "proofs/toy.json is damaged"


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """What is no regular file is told, not read."""
    path = proofs_path(tmp_path, "toy")
    path.parent.mkdir()
    os.mkfifo(path)

    assert read_proofs(tmp_path, "toy").proofs.fault == "proofs/toy.json is not a regular file"


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    """Where proofs cannot be kept, that is said with what follows from it."""
    (tmp_path / "proofs").write_text("")

    with pytest.raises(JournalError, match="what the run left cannot be written"):
        write_proofs(tmp_path, "toy", PROOFS)


def test_open_runs_are_marked() -> None:
    """A run marks the servers of its plan; one whose plan cannot be read marks every server that is known."""
    some = with_open(PROOFS, {"core1": "run-1", "core9": "run-1"}).servers
    every = with_open(PROOFS, {"": "run-2"}).servers

    assert {name: each.open for name, each in some.items()} == {"core1": "run-1", "edge1": RUN, "core9": "run-1"}
    assert {name: each.open for name, each in every.items()} == {"core1": "run-2", "edge1": "run-2"}
    assert some["core1"].slots == PROOFS.servers["core1"].slots
