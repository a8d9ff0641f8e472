"""The recorded session: it plays its script and fails on the rest."""

from __future__ import annotations

import pytest

from cmscert.errors import StoreRefused, Unreachable
from cmscert.model.commands import Command, Effect
from cmscert.testing.recorded import NotTold, RecordedSession
from cmscert.transport.session import ReadSession, WriteSession

STATUS = Command(typed="webadmin", effect=Effect.READ)
DISABLE = Command(typed="webadmin disable", effect=Effect.CHANGE)
GONE = Unreachable("core1", "no TCP connection")


def test_it_is_a_session_by_type() -> None:
    """It fits both protocols, which mypy checks here."""
    session = RecordedSession(server="core1")
    reads: ReadSession = session
    writes: WriteSession = session
    assert reads.server == writes.server == "core1"


async def test_it_answers_as_told_and_hears_everything() -> None:
    """Texts, errors, lists and functions; lists end."""

    async def later() -> str:
        return "late"

    session = RecordedSession(
        server="core1",
        script={"webadmin": ["one", GONE, lambda: "two", later], "webadmin disable": ""},
        seconds=0.5,
    )
    assert (await session.ask(STATUS)).text == "one"
    with pytest.raises(Unreachable):
        await session.ask(STATUS)
    assert (await session.ask(STATUS)).text == "two"
    reply = await session.ask(STATUS)
    assert (reply.text, reply.seconds) == ("late", 0.5)
    with pytest.raises(NotTold, match="core1 was not told what to answer to 'webadmin'"):
        await session.ask(STATUS)
    assert (await session.do(DISABLE)).text == ""
    assert session.typed("do") == ("webadmin disable",)
    assert len(session.typed("ask")) == 5


async def test_a_function_may_tell_everything() -> None:
    """None from it means untold."""
    session = RecordedSession(server="core1", script=lambda typed: typed.upper() if typed == "webadmin" else None)
    assert (await session.ask(STATUS)).text == "WEBADMIN"
    with pytest.raises(NotTold):
        await session.do(DISABLE)


async def test_reading_cannot_write() -> None:
    """Each method takes commands of its own effect only."""
    session = RecordedSession(server="core1", script={"webadmin": "", "webadmin disable": ""})
    with pytest.raises(ValueError, match="is not a read command"):
        await session.ask(DISABLE)
    with pytest.raises(ValueError, match="is not a change command"):
        await session.do(STATUS)


async def test_the_store_is_told_or_not() -> None:
    """Without a store every file is untold; with one, what is missing is missing."""
    untold = RecordedSession(server="core1")
    for reading in (untold.list_files(), untold.read_file("a")):
        with pytest.raises(NotTold, match="was not told what its store holds"):
            await reading
    session = RecordedSession(server="core1", store={"b": b"123", "a": StoreRefused("core1", "no")})
    assert await session.list_files() == ("a", "b")
    assert await session.read_file("b") == b"123"
    assert await session.read_tail("b", 2) == b"23"
    assert await session.read_file("c") is None
    assert await session.read_tail("c", 2) is None
    parts: list[bytes] = []
    session.store["long"] = b"x" * 20
    assert [await session.fetch_file(name, parts.append) for name in ("long", "c")] == [20, None]
    assert parts == [b"x" * 16, b"x" * 4]
    with pytest.raises(StoreRefused):
        await session.read_file("a")
    session.listing = GONE
    with pytest.raises(Unreachable):
        await session.list_files()


async def test_changes_of_the_store_are_told_too() -> None:
    """Uploads and removals need somebody who takes them."""
    session = RecordedSession(server="core1", store={"a": b"1"})
    with pytest.raises(NotTold, match="upload of b"):
        await session.put_file("b", b"2")
    with pytest.raises(NotTold, match="removal of a"):
        await session.remove_file("a")
    removed: list[str] = []
    session.on_put = lambda _name, content: content[:1]
    session.on_remove = removed.append
    await session.put_file("b", b"23")
    await session.remove_file("a")
    await session.remove_file("a")
    assert session.store == {"b": b"2"}
    assert removed == ["a", "a"]
