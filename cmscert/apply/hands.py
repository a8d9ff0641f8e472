"""What a person has to type when a run could not take back everything that it began."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

from cmscert.apply.ending import loaded, restored
from cmscert.apply.progress import Progress
from cmscert.model.plan import Action, RemoveFiles, Restart, Step

Hands = tuple[tuple[str, tuple[str, ...]], ...]


def by_hand(
    steps: Sequence[Step], progress: Progress, rest: Iterable[Step], texts: Callable[[str, Action], list[str]]
) -> Hands:
    """Return (server, lines) in the order in which they are typed: ways back, newest first, then ``rest``.

    Where a way back puts old files under names in use, what was done there goes back with it: another service may
    stand on one of them. What has no way back is typed once more. ``rest``: what is left of databases, in the plan's
    order; a server stands there as often as it has its turn. ``texts``: an action on a server, as typed.
    """
    typed: dict[str, list[str]] = {}
    left = [step for step in steps if progress.status[step.id] == "left"]
    mixed = {(step.server, file) for step in left for file in restored(step)}
    for step in [each for each in reversed(steps) if each in left or _goes_back(each, progress, mixed)]:
        again = isinstance(step.action, RemoveFiles | Restart) and step.undo is None
        action = step.action if again else step.undo
        if action is not None:
            typed.setdefault(step.server, []).extend(texts(step.server, action))
    hands = [(server, tuple(lines)) for server, lines in typed.items()]
    for server, found in groupby(rest, key=lambda step: step.server):
        hands.append((server, tuple(line for step in found for line in texts(server, step.action))))
    return tuple(hands)


def _goes_back(step: Step, progress: Progress, mixed: set[tuple[str, str]]) -> bool:
    """Peers may lean on what stays; a pair that would be torn apart goes back in any case."""
    done = progress.status[step.id] == "done"
    if step.undo is None or not done or step.server not in {server for server, _ in mixed}:
        return False
    torn = any((step.server, file) in mixed for file in loaded(step))
    return torn or not progress.needed_elsewhere(step)
