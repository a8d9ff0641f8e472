"""Questions of a run: each is in the journal with its answer, and none with a secret."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cmscert.apply.questions import LONGEST, NotedSession, Written, behind
from cmscert.errors import JournalError, StoreRefused
from cmscert.mmp.commands import status
from cmscert.mmp.grammar import command
from cmscert.mmp.services import SERVICES
from cmscert.model.commands import Command, Effect, Reply
from cmscert.model.events import Asked, CommandSent, Event
from cmscert.testing.toy_run import ToyRun

NOW = datetime(2026, 11, 23, 20, 30, tzinfo=UTC)


def asked(toy: ToyRun) -> list[tuple[str, str]]:
    """Return what was asked and shown."""
    return [(event.typed, event.shown) for event in toy.events if isinstance(event, Asked)]


def noted(toy: ToyRun, name: str = "core1") -> NotedSession:
    """Return a session that writes down what it is asked."""
    return NotedSession(toy.nodes[name].session, emit=toy.events.append, clock=toy.clock)


async def test_a_run_writes_down_what_it_reads_back(toy: ToyRun) -> None:
    """Between the commands of a step stand the status screens and files that proved it; commands stand there once."""
    node = toy.add("core1", "webadmin")
    result = await toy.run(
        toy.put("s1", "core1", toy.new.certificate_pem, "new.crt"), toy.bind("s2", "core1", "webadmin", after=("s1",))
    )
    told = asked(toy)

    assert result.result == "applied"
    assert {typed for typed, _ in told} >= {"webadmin", "sftp get new.crt"}
    assert any("sha256" in shown for typed, shown in told if typed == "sftp get new.crt")
    assert not {typed for typed, _ in told} & {"webadmin enable", "sftp put new.crt"}
    assert node.session.heard


async def test_a_check_is_not_written_down_twice(toy: ToyRun) -> None:
    """What a step types itself is a command of the step, also where it only reads."""
    toy.add("core1", "webadmin")
    await toy.run(toy.check("s1", "core1"))

    assert [event.kind for event in toy.events if "pki match" in getattr(event, "typed", "")] == [
        "command-sent",
        "reply-received",
    ]


async def test_answers_with_passwords_are_masked(toy: ToyRun) -> None:
    """The screen of turn is never written down."""
    toy.add("core1", "turn")
    row = next(row for row in SERVICES if row.name == "turn")
    toy.nodes["core1"].answers[" ".join(row.status)] = "Password : hunter2"
    await noted(toy).ask(status(row))

    assert asked(toy) == [("turn", "(not shown: holds passwords)")]


async def test_files_are_told_by_size_and_hash(toy: ToyRun) -> None:
    """Names are listed; contents are not written down, and of keys not even the hash."""
    node = toy.add("core1", "webadmin")
    node.store.clear()
    node.store.update({"a.crt": b"abc", "a.key": b"abcd", "log": b"0123456789"})
    session = noted(toy)

    assert await session.list_files() == ("a.crt", "a.key", "log")
    assert await session.read_file("a.crt") == b"abc"
    assert await session.read_file("a.key") == b"abcd"
    assert await session.read_file("b.crt") is None
    assert await session.read_tail("log", 4) == b"6789"
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert asked(toy) == [
        ("sftp ls", "a.crt\na.key\nlog"),
        ("sftp get a.crt", f"3 bytes, sha256 {digest}"),
        ("sftp get a.key", "4 bytes"),
        ("sftp get b.crt", "(there is no such file)"),
        ("sftp get log (its end)", asked(toy)[4][1]),
    ]
    assert asked(toy)[4][1].startswith("4 bytes")


async def test_changes_pass_through(toy: ToyRun) -> None:
    """A step writes down what it changes, so the session does not."""
    node = toy.add("core1", "webadmin")
    session = noted(toy)
    await session.put_file("x.crt", b"x")
    parts: list[bytes] = []
    assert await session.fetch_file("x.crt", parts.append) == 1
    await session.remove_file("x.crt")
    await session.do(command("webadmin", "disable", effect=Effect.CHANGE))

    assert session.server == "core1"
    assert b"".join(parts) == b"x"
    assert "x.crt" not in node.store
    assert asked(toy) == []
    assert behind(session) is node.session
    assert behind(node.session) is node.session


async def test_a_question_without_an_answer_is_written_down(toy: ToyRun) -> None:
    """Why there was none stands in its place."""
    node = toy.add("core1", "webadmin")

    async def refused() -> tuple[str, ...]:
        raise StoreRefused("core1", "the store is closed")

    node.session.list_files = refused  # type: ignore[method-assign]  # a store that does not answer
    with pytest.raises(StoreRefused):
        await noted(toy).list_files()

    assert asked(toy) == [("sftp ls", "(no answer: the store is closed)")]


async def test_long_answers_are_cut(toy: ToyRun) -> None:
    """A store of thousands of files does not fill the journal."""
    toy.add("core1", "webadmin").store.update({f"{number:04}.crt": b"" for number in range(2000)})
    await noted(toy).list_files()
    ((_, shown),) = asked(toy)

    assert shown.endswith("characters more)")
    assert len(shown) < LONGEST + 60


async def test_a_journal_that_breaks_at_a_question_stops_the_run(toy: ToyRun) -> None:
    """When a question cannot be written down, nothing more is sent."""
    node = toy.add("core1", "webadmin")

    def full(event: Event) -> None:
        toy.events.append(event)
        if isinstance(event, Asked):
            raise JournalError("the disk is full")

    toy.emit = full
    with pytest.raises(JournalError, match="the disk is full"):
        await toy.run(toy.bind("s1", "core1", "webadmin"))
    assert ("do", "webadmin disable") not in node.session.heard


def test_after_one_error_nothing_is_passed_on() -> None:
    """The first event that cannot be written is the last that is tried."""
    tried: list[Event] = []

    def full(event: Event) -> None:
        tried.append(event)
        raise JournalError("full")

    written = Written(full)
    event = Asked(at=NOW, server="core1", typed="x", shown="", seconds=0.0)
    for _ in range(2):
        with pytest.raises(JournalError, match="full"):
            written(event)
    assert tried == [event]


async def test_nothing_is_sent_before_the_intention_is_on_disk(toy: ToyRun) -> None:
    """Law 6: whatever is written later than the last sync is an answer, a reading or an end, never something sent."""
    node = toy.add("core1", "webadmin")
    on_disk: set[str] = set()

    async def synced() -> None:
        on_disk.update(event.typed for event in toy.events if isinstance(event, CommandSent))

    late: list[str] = []
    do, put = node.session.do, node.session.put_file

    async def told(sent: Command) -> Reply:
        late.extend({sent.typed} - on_disk)
        return await do(sent)

    async def uploaded(name: str, data: bytes) -> None:
        late.extend({f"sftp put {name}"} - on_disk)
        await put(name, data)

    node.session.do, node.session.put_file = told, uploaded  # type: ignore[method-assign]  # looked at on their way
    toy.on_disk = synced
    steps = (
        toy.put("s1", "core1", toy.new.certificate_pem, "new.crt"),
        toy.bind("s2", "core1", "webadmin", after=("s1",)),
    )
    assert (await toy.run(*steps)).result == "applied"
    assert late == []
    assert "webadmin enable" in on_disk


async def test_a_disk_that_fails_ends_a_run_before_anything_is_sent(toy: ToyRun) -> None:
    """An intention that does not get to the disk is not carried out."""
    node = toy.add("core1", "webadmin")

    async def broken() -> None:
        raise JournalError("the disk is gone")

    toy.on_disk = broken
    with pytest.raises(JournalError, match="the disk is gone"):
        await toy.run(toy.bind("s1", "core1", "webadmin"))
    assert node.carried_out == []
