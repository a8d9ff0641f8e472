"""What is to be said of runs that did not come to a good end, and of what they left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from cmscert.model.plan import Notice
from cmscert.model.unfinished import OpenRun
from cmscert.planning.case import Case
from cmscert.planning.interrupted import Fate, Interruption

_BECOMES: Final[Mapping[Fate, str]] = {
    "start": "is started again",
    "reload": "loads its files once more",
    "proven": "runs and has loaded what is bound",
    "off": "did not run before either",
}

_STAYS: Final[Mapping[Fate, str]] = {
    "start": "policy.ignore says so",
    "reload": "policy.ignore says so",
    "unread": "it could not be read",
    "outside": "it is not selected",
    "doubtful": "it runs, and the inventory does not name it; nothing tells whether it has loaded what is bound",
    "gone": "the inventory does not name its server, or the server does not know it any more",
}


def unfinished_run(case: Case) -> Iterator[Notice]:
    """A run did not come to a good end: who, when, where it broke off, and what this plan does about it."""
    for run in case.unfinished.runs:
        if run.result is not None and not run.touched:
            continue  # it said itself how it ended, and nothing of it is left
        left = [each for each in case.interruptions if each.place in run.touched]
        told = [f"{each.touched.service} on {each.touched.server} {_becomes(case, each)}" for each in left]
        done = "; ".join(told) or "it left no service unproven, and this plan goes on from what the servers show"
        yield Notice(reason="unfinished-run", message=f"{_story(run)}: {done}")


def _becomes(case: Case, left: Interruption) -> str:
    return "stays as it is" if _stays(case, left) else _BECOMES[left.fate]


def _stays(case: Case, left: Interruption) -> bool:
    return left.fate not in _BECOMES or (left.fate in ("start", "reload") and left.place not in case.mended)


def _story(run: OpenRun) -> str:
    by = f" of {run.user}" if run.user else ""
    on = f" on {run.machine}" if run.machine else ""
    at = f", begun {run.started:%Y-%m-%d %H:%M} UTC," if run.started else ""
    whose = f"run {run.id}{by}{on}{at}"
    if run.fault is not None:
        return f"{whose} cannot be read to its end ({run.fault})"
    if run.result is not None:
        return f"{whose} ended as {run.result}"
    return f"{whose} broke off {'in ' + ' and '.join(run.at_steps) if run.at_steps else 'between two steps'}"


def left_by_run(case: Case) -> Iterator[Notice]:
    """A service that a run left, and that this plan leaves as it is."""
    for each in case.interruptions:
        if not _stays(case, each):
            continue
        touched = each.touched
        hand = f"; by hand: {', '.join(touched.by_hand)}" if touched.by_hand else ""
        message = f"left by run {touched.run} in its step {touched.step}, and stays as it is: {_STAYS[each.fate]}{hand}"
        yield Notice(server=touched.server, slot=touched.service, reason="left-by-run", message=message)
