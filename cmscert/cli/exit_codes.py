"""What the process says with its exit code. One table; ``docs/reference`` and the tests read it."""

from __future__ import annotations

from collections.abc import Iterable

from cmscert.errors import (
    CmscertError,
    InputError,
    IssuerError,
    JournalError,
    LabError,
    NodeError,
    RefusedError,
    SecretError,
)

DONE = 0
BUG = 1
USAGE = 2
INPUT = 3
NODE = 4
CHANGES = 5
DRIFT = 6
REFUSED = 7
ROLLED_BACK = 8
NEITHER = 9
OUTSTANDING = 10
INTERRUPTED = 130

EXIT_CODES: dict[int, str] = {
    DONE: "nothing to do, or done and verified (for plan: planned, whatever it holds)",
    BUG: "a bug: a report file was written, its path is printed",
    USAGE: "wrong usage",
    INPUT: "invalid input: inventory, certificate, key, bundle, plan file",
    NODE: "a node could not be reached, or refused login, or showed another host key, or could not be read; "
    "renew: an issuer failed",
    CHANGES: "plan --detailed-exitcode: changes are pending",
    DRIFT: "drift: drift found",
    REFUSED: "refused before anything was changed: a guard, a lock, a stale plan, no confirmation",
    ROLLED_BACK: "apply failed; every node it touched is back as it was, and that was verified",
    NEITHER: "apply failed and the fleet is neither old nor new: the report says what to do",
    OUTSTANDING: "renew: requests are written, signatures are outstanding",
    INTERRUPTED: "interrupted; the journal is whole",
}

PRECEDENCE = (NEITHER, ROLLED_BACK, BUG, INTERRUPTED, NODE, REFUSED, INPUT, OUTSTANDING, DRIFT, CHANGES)
"""When several hold, the first of these. 130 stands where nothing worse than the interrupt happened to the fleet."""

ERROR_CODES: tuple[tuple[type[CmscertError], int], ...] = (
    (InputError, INPUT),
    (SecretError, INPUT),
    (NodeError, NODE),
    (IssuerError, NODE),
    (RefusedError, REFUSED),
    (JournalError, REFUSED),
    (LabError, INPUT),
)
"""A journal that cannot be opened refuses the run; one that breaks in a run is told by the run's result."""

RESULT_CODES: dict[str, int] = {
    "applied": DONE,
    "rolled-back": ROLLED_BACK,
    "neither": NEITHER,
    "interrupted": INTERRUPTED,
}


def code_of(error: CmscertError) -> int:
    """Return the exit code of a handled error; one that the table does not know is a bug."""
    return next((code for kind, code in ERROR_CODES if isinstance(error, kind)), BUG)


def first_of(codes: Iterable[int]) -> int:
    """Return the code that wins when several hold; 0 when none does."""
    held = set(codes) - {DONE}
    return next((code for code in (*PRECEDENCE, USAGE) if code in held), DONE)
