"""Small files that would cost much: each is refused soon, and says why."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cmscert.app.plan_file import MOST_KEYS, MOST_VALUES, read_plan
from cmscert.apply.before import read_observed
from cmscert.apply.journal import read_journal
from cmscert.errors import InputError
from cmscert.files import MOST_VALUES as MOST_JSON
from cmscert.inventory.document import MAX_NODES
from cmscert.inventory.load import read_outline
from cmscert.transport.known_hosts import LARGEST, load_known_hosts

GOLDEN = (Path(__file__).parents[1] / "reports/golden/plan.json").read_text()
HEAD = b'{"format": "cmscert.plan/1", "x": '


def listed(key: str, count: int) -> bytes:
    """Write a plan with a list of empty objects."""
    return json.dumps({**json.loads(GOLDEN), key: [{}] * count}).encode()


PLANS: dict[str, tuple[bytes, str]] = {
    "empty lists": (HEAD + b"[" + b"[]," * MOST_VALUES + b"[]]}", "more values than any plan holds"),
    "numbers": (HEAD + b"[" + b"1," * MOST_VALUES + b"1]}", "more values than any plan holds"),
    "keys": (HEAD + b"{" + b",".join(b'"%d":1' % at for at in range(MOST_KEYS + 1)) + b"}}", "more keys than any"),
    "a key twice": (HEAD + b'1, "x": 2}', "a key stands twice"),
    "bad steps": (listed("steps", 200_000), "steps.0.id"),
    "bad findings": (listed("drift", 200_000), "drift.0.server"),
    "a long key": (HEAD.replace(b'"x"', b'"' + b"x" * 5_000_000 + b'"') + b"1}", "x" * 80),
}


@pytest.mark.parametrize("name", PLANS)
def test_a_costly_plan(name: str) -> None:
    """Refused within a second or two of work, in a few faults of a few words."""
    content, said = PLANS[name]
    began = time.process_time()
    with pytest.raises(InputError) as caught:
        read_plan(content)

    assert said in str(caught.value)
    assert len(caught.value.faults) <= 100
    assert len(str(caught.value)) < 20_000
    assert time.process_time() - began < 3


INVENTORIES: dict[str, Callable[[], tuple[bytes, str]]] = {
    "a list": lambda: (b"a: [" + b"a," * MAX_NODES + b"]", "keys and values: split the fleet"),
    "unknown keys": lambda: (b"{" + b",".join(b"k%d: v" % at for at in range(5_000)) + b"}", "more things are wrong"),
    "aliases": lambda: (b"x: &a [" + b"a," * 1000 + b"a]\ny:\n" + b"  - *a\n" * 2000, "aliases expand"),
    "many wrong servers": lambda: (
        b"version: 1\nfleet: x\nservers:\n" + b"".join(b"  s%d: {address: 1}\n" % at for at in range(3_000)),
        "more things are wrong",
    ),
}


@pytest.mark.parametrize("name", INVENTORIES)
def test_a_costly_inventory(tmp_path: Path, name: str) -> None:
    """Refused within a second or two of work; of very many faults the first are told, and how many more there are."""
    content, said = INVENTORIES[name]()
    path = tmp_path / "inventory.yaml"
    path.write_bytes(content)
    began = time.process_time()
    with pytest.raises(InputError) as caught:
        read_outline(path)

    assert said in str(caught.value)
    assert len(caught.value.faults) <= 1_001
    assert time.process_time() - began < 4


def test_costly_files_beside_a_journal(tmp_path: Path) -> None:
    """A journal's line and what was observed before a run are refused before their values are made."""
    lists = b"[" + b"[]," * MOST_JSON + b"[]]"
    (tmp_path / "observed.json").write_bytes(lists)
    (tmp_path / "journal.jsonl").write_bytes(lists + b"\n{}\n")
    for read in (lambda: read_observed(tmp_path), lambda: read_journal(tmp_path / "journal.jsonl")):
        began = time.process_time()
        with pytest.raises(InputError, match="more values than any of its kind"):
            read()
        assert time.process_time() - began < 1


def test_known_hosts_without_end(tmp_path: Path) -> None:
    """A file larger than that of any fleet is not read."""
    path = tmp_path / "known_hosts"
    with path.open("wb") as stream:
        stream.truncate(LARGEST + 1)
    with pytest.raises(InputError, match="more than the 5 MB"):
        load_known_hosts(path)
