"""Looking again and again: what is shown, what a failed look does, and when the next one comes."""

from __future__ import annotations

import pytest

from cmscert.app.watch import watch
from cmscert.errors import CmscertError, InputError


class Over(Exception):
    """Nobody watches any more."""


async def test_looks_follow_each_other_at_the_interval() -> None:
    """A look that fails is told and tried again; between two looks the whole interval passes."""
    answers: list[str | CmscertError] = ["first", InputError([], hint="mend it"), "third"]
    happened: list[object] = []

    async def look() -> str:
        happened.append("look")
        answer = answers.pop(0)
        if isinstance(answer, CmscertError):
            raise answer
        return answer

    async def sleep(seconds: float) -> None:
        happened.append(seconds)
        if not answers:
            raise Over

    with pytest.raises(Over):
        await watch(look, happened.append, lambda _: "failed", every=7.5, sleep=sleep)

    assert happened == ["look", "first", 7.5, "look", "failed", 7.5, "look", "third", 7.5]


async def test_a_watch_that_cannot_begin_says_so() -> None:
    """What is wrong at the first look ends the command as it ends every other."""

    async def look() -> str:
        raise InputError([], hint="mend it")

    with pytest.raises(InputError):
        await watch(look, print, str, every=1)
