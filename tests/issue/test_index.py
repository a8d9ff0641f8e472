from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmscert.issue.index import (
    FORMAT,
    Failures,
    IssuerRecord,
    Record,
    Revision,
    Waiting,
    read_index,
    read_issuer,
    write_index,
    write_issuer,
)

HASH = st.binary(max_size=4).map(lambda content: hashlib.sha256(content).hexdigest())
TEXT = st.text(max_size=8)
MOMENT = st.datetimes(timezones=st.just(UTC))
MEMO = st.dictionaries(TEXT, TEXT, max_size=2)
REVISION = st.builds(Revision, spki=HASH, chain=HASH, issuer=TEXT, at=MOMENT, device_key=st.none() | TEXT)
WAITING = st.builds(Waiting, spki=HASH, request=HASH, issuer=TEXT, at=MOMENT, device_key=st.none() | TEXT, memo=MEMO)
FAILURES = st.builds(
    Failures,
    count=st.integers(1, 99),
    first=MOMENT,
    last=MOMENT,
    next=MOMENT,
    message=TEXT,
    issuer=TEXT,
    closed_until=st.none() | MOMENT,
)
RECORD = st.builds(
    Record,
    revisions=st.lists(REVISION, max_size=3).map(tuple),
    waiting=st.none() | WAITING,
    failures=st.none() | FAILURES,
)
WHOLE = Record(
    revisions=(Revision(spki="a" * 64, chain="b" * 64, issuer="lab", at=datetime(2026, 1, 1, tzinfo=UTC)),),
    waiting=Waiting(spki="a" * 64, request="b" * 64, issuer="lab", at=datetime(2026, 1, 1, tzinfo=UTC)),
)


@given(st.dictionaries(st.none() | TEXT, RECORD, max_size=3))
def test_reads_back(index: dict[str | None, Record]) -> None:
    """What is written is what is read, and the same index gives the same bytes."""
    content = write_index("node", index)

    assert read_index(content, "node") == index
    assert write_index("node", dict(reversed(index.items()))) == content


@given(st.builds(IssuerRecord, spki=st.none() | HASH, chain=st.none() | HASH, facts=MEMO))
def test_issuers_read_back(record: IssuerRecord) -> None:
    """What is kept for an issuer is what is read."""
    assert read_issuer(write_issuer("acme", record), "acme") == record


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_one_wrong_bit(at: int, bit: int) -> None:
    """No bit can turn without being found out, or without meaning the same."""
    content = bytearray(write_index("node", {None: WHOLE}))
    content[at % len(content)] ^= 1 << bit

    try:
        found = read_index(bytes(content), "node")
    except ValueError:
        return
    assert found == {None: WHOLE}


@given(st.integers(0, 2000))
def test_cut_short(length: int) -> None:
    """An index that is cut short is found out."""
    content = write_index("node", {None: WHOLE})
    if length < len(content) - 1:  # the last byte is a line end
        with pytest.raises(ValueError, match="cut short"):
            read_index(content[:length], "node")


def sealed(content: object, form: str = FORMAT) -> bytes:
    """Write a document whose hash is right, whatever it says."""
    text = json.dumps(content, indent=1, sort_keys=True)
    return json.dumps(
        {"format": form, "sha256": hashlib.sha256(text.encode()).hexdigest(), "content": content}
    ).encode()


def with_record(**changes: object) -> bytes:
    """Write an index with one record, changed."""
    revision = {
        "spki": "a" * 64,
        "chain": "b" * 64,
        "issuer": "x",
        "at": "2026-01-01T00:00:00+00:00",
        "device_key": None,
    }
    use = {"server": None, "revisions": [{**revision, **changes}], "waiting": None, "failures": None}
    return sealed({"certificate": "node", "uses": [use]})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff", "cut short"),
        (b"[]", "cut short"),
        (sealed({}, "cmscert.material/2"), "another version"),
        (sealed([]), "changed by somebody"),
        (sealed({"certificate": "join", "uses": []}), "another certificate"),
        (sealed({"certificate": "node"}), "another form"),
        (sealed({"certificate": "node", "uses": [{"server": 3}]}), "another form"),
        (with_record(chain="../../etc/passwd"), "another form"),
        (with_record(spki=None), "another form"),
        (with_record(at="2026-01-01T00:00:00"), "another form"),
        (with_record(at="yesterday"), "yesterday"),
    ],
)
def test_foreign_documents(content: bytes, words: str) -> None:
    """A document that is not ours is told apart, and none can name a file outside the store."""
    with pytest.raises(ValueError, match=words):
        read_index(content, "node")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (sealed({"issuer": "lab"}), "another issuer"),
        (sealed({"issuer": "acme"}), "another form"),
        (sealed({"issuer": "acme", "spki": "x", "chain": None, "facts": {}}), "another form"),
        (sealed({"issuer": "acme", "spki": None, "chain": None, "facts": []}), "another form"),
    ],
)
def test_foreign_issuers(content: bytes, words: str) -> None:
    """What is kept for an issuer is held to its form too."""
    with pytest.raises(ValueError, match=words):
        read_issuer(content, "acme")
