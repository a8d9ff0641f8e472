"""Drafts become steps: ids in their order, links by id, removals last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cmscert.model.plan import FLEET, Gate, RemoveFiles, Step
from cmscert.planning.steps import EARLY, Draft


def number(drafts: list[Draft], removals: Mapping[str, tuple[str, ...]]) -> tuple[Step, ...]:
    """Give ids in order and add the removals, which come after everything else."""
    drafts = list(drafts)
    changes = [draft for draft in drafts if not isinstance(draft.action, EARLY)]
    gate = Draft(FLEET, None, Gate(opens="removal"), ("nothing is removed before every change is verified",), changes)
    if removals and changes:
        drafts.append(gate)
    for server, files in removals.items():
        after = [gate] if changes else []
        drafts.append(Draft(server, None, RemoveFiles(files=files), ("older than the revisions to keep",), after))
    ids = dict(_ids(drafts))
    place = {draft: number for number, draft in enumerate(drafts)}
    return tuple(
        Step(
            id=ids[draft],
            server=draft.server,
            slot=draft.slot,
            action=draft.action,
            because=draft.because,
            after=tuple(ids[other] for other in sorted(draft.after, key=place.__getitem__)),
            impact=draft.impact,
            undo=draft.undo,
        )
        for draft in drafts
    )


def _ids(drafts: list[Draft]) -> Iterator[tuple[Draft, str]]:
    """Count the steps; a gate is called after what it opens, as nothing is typed for it."""
    number = 0
    for draft in drafts:
        if isinstance(draft.action, Gate):
            yield draft, draft.action.opens
        else:
            number += 1
            yield draft, str(number)
