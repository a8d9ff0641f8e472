from __future__ import annotations

from itertools import combinations

import pytest

from cmscert import errors
from cmscert.cli.exit_codes import EXIT_CODES, PRECEDENCE, RESULT_CODES, code_of, first_of
from cmscert.errors import CmscertError, Fault, InputError

CONTRACT = {
    0: "nothing to do",
    1: "a bug",
    2: "wrong usage",
    3: "invalid input",
    4: "a node could not be reached",
    5: "plan --detailed-exitcode",
    6: "drift found",
    7: "refused before anything was changed",
    8: "back as it was",
    9: "neither old nor new",
    10: "signatures are outstanding",
    130: "interrupted",
}
ORDER = (9, 8, 1, 4, 7, 3, 10, 6, 5)


def test_the_table_is_the_contract() -> None:
    """Every code of the contract stands in the table with its meaning, and no other."""
    assert set(EXIT_CODES) == set(CONTRACT)
    assert [code for code, words in CONTRACT.items() if words not in EXIT_CODES[code]] == []


def test_precedence_is_the_contract() -> None:
    """Among the contract's codes the order is the contract's."""
    assert tuple(code for code in PRECEDENCE if code in ORDER) == ORDER


@pytest.mark.parametrize(("one", "other"), list(combinations(ORDER, 2)))
def test_of_two_the_first_wins(one: int, other: int) -> None:
    """Whatever order they come in, the worse of two codes is told."""
    assert first_of([other, one]) == first_of([one, other, 0]) == one


@pytest.mark.parametrize(("codes", "code"), [([], 0), ([0], 0), ([0, 5], 5), ([130, 4], 130), ([9, 130], 9), ([2], 2)])
def test_other_codes(codes: list[int], code: int) -> None:
    """Nothing held is 0; an interrupt tells more than an unread node, and less than a broken fleet."""
    assert first_of(codes) == code


def leaves(kind: type[CmscertError]) -> list[type[CmscertError]]:
    """Return a class and everything derived from it."""
    return [kind, *(leaf for child in kind.__subclasses__() for leaf in leaves(child))]


CASES: dict[str, int] = {
    "InputError": 3,
    "NodeError": 4,
    "Unreachable": 4,
    "HostKeyRefused": 4,
    "LoginRefused": 4,
    "NotACms": 4,
    "ConnectionLost": 4,
    "AnswerTimeout": 4,
    "UnexpectedAnswer": 4,
    "StoreRefused": 4,
    "RefusedError": 7,
    "GuardRefused": 7,
    "StalePlan": 7,
    "LockHeld": 7,
    "NotConfirmed": 7,
    "SecretError": 3,
    "IssuerError": 4,
    "JournalError": 7,
    "LabError": 3,
    "CmscertError": 1,
}


def test_every_error_has_its_code() -> None:
    """Each class of the error tree ends in the code that its meaning asks for."""
    in_tree = [kind for kind in leaves(CmscertError) if kind.__module__ == errors.__name__]

    assert {kind.__name__: code_of(made(kind)) for kind in in_tree} == CASES


def made(kind: type[CmscertError]) -> CmscertError:
    """Make an error of a class."""
    if issubclass(kind, InputError):
        return kind([Fault(message="x")])
    if issubclass(kind, errors.IssuerError):
        return kind("node for core1", "lab", "x")
    return kind("core1", "x") if issubclass(kind, errors.NodeError) else kind("x")


def test_every_ending_of_a_run_has_its_code() -> None:
    """Applied, rolled back, neither and interrupted are told apart."""
    assert RESULT_CODES == {"applied": 0, "rolled-back": 8, "neither": 9, "interrupted": 130}
