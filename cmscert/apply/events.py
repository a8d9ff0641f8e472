"""Events as JSON values and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import datetime
from typing import get_args

from cmscert.model.events import CommandSent, Event, ReplyReceived, RunEnded, RunStarted, StepEnded, StepStarted

_KINDS: dict[str, type[Event]] = {
    "run-started": RunStarted,
    "step-started": StepStarted,
    "command-sent": CommandSent,
    "reply-received": ReplyReceived,
    "step-ended": StepEnded,
    "run-ended": RunEnded,
}
_OUTCOMES = frozenset({"done", "failed", "undone", "left", "skipped"})
_RESULTS = frozenset({"applied", "rolled-back", "neither", "interrupted", "refused"})

assert set(_KINDS.values()) == set(get_args(Event))  # noqa: S101 - a kind that cannot be read back must not be written


def to_json(event: Event) -> dict[str, object]:
    """Return an event as JSON values; the moment is ISO 8601."""
    values = asdict(event)
    return {"kind": event.kind, **values, "at": event.at.isoformat()}


def from_json(values: Mapping[str, object]) -> Event:
    """Build an event from JSON values; raises ValueError when they are not those of an event."""
    kind = _KINDS.get(str(values.get("kind")))
    if kind is None:
        raise ValueError(f"no event is of the kind {values.get('kind')!r}")
    expected = {field.name: str(field.type) for field in fields(kind)}
    if set(values) != set(expected):
        raise ValueError(f"an event of the kind {values['kind']} has other fields")
    for name, form in expected.items():
        if not _fits(name, form, values[name]):
            raise ValueError(f"the field {name} does not hold what it must")
    given = {name: value for name, value in values.items() if name not in {"kind", "at"}}
    return kind(at=datetime.fromisoformat(str(values["at"])), **given)  # type: ignore[arg-type]  # checked above


_FORMS: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "str | None": (str, type(None)),
}


def _fits(name: str, form: str, value: object) -> bool:
    words = {"outcome": _OUTCOMES, "result": _RESULTS}.get(name)
    if words is not None:
        return isinstance(value, str) and value in words
    kinds = _FORMS.get(form, (str,))
    return isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
