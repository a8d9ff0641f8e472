"""Events as JSON values and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import get_args

from cmscert.model.events import Asked, CommandSent, Event, ReplyReceived, RunEnded, RunStarted, StepEnded, StepStarted

_KINDS: dict[str, type[Event]] = {
    "run-started": RunStarted,
    "step-started": StepStarted,
    "command-sent": CommandSent,
    "reply-received": ReplyReceived,
    "asked": Asked,
    "step-ended": StepEnded,
    "run-ended": RunEnded,
}
_OUTCOMES = frozenset({"done", "failed", "undone", "left", "skipped"})
_RESULTS = frozenset({"applied", "rolled-back", "neither", "interrupted", "refused"})
_YEARS = range(1990, 9000)
"""A clock that tells another year would lead out of what ``datetime`` can convert."""

assert set(_KINDS.values()) == set(get_args(Event))  # noqa: S101 - a kind that cannot be read back must not be written


def to_json(event: Event) -> dict[str, object]:
    """Return an event as JSON values; the moment is ISO 8601."""
    values = {field.name: getattr(event, field.name) for field in fields(event)}  # flat: a deep copy takes longer
    return {"kind": event.kind, **values, "at": event.at.isoformat()}


def from_json(values: Mapping[str, object]) -> Event:
    """Build an event from JSON values; raises ValueError when they are not those of an event."""
    kind = _KINDS.get(str(values.get("kind")))
    if kind is None:
        raise ValueError(f"no event is of the kind {str(values.get('kind'))[:40]!r}")
    expected = {field.name: str(field.type) for field in fields(kind)}
    if set(values) != set(expected):
        raise ValueError(f"an event of the kind {values['kind']} has other fields")
    for name, form in expected.items():
        if not _fits(name, form, values[name]):
            raise ValueError(f"the field {name} does not hold what it must")
    given = {name: value for name, value in values.items() if name not in {"kind", "at"}}
    if "by_hand" in given:
        given["by_hand"] = _by_hand(given["by_hand"])
    return kind(at=_moment(str(values["at"])), **given)  # type: ignore[arg-type]  # checked above


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
    if name == "by_hand":
        return isinstance(value, list | tuple)
    kinds = _FORMS.get(form, (str,))
    return isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))


def _by_hand(value: object) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Take ``[[server, [line, …]], …]`` for what it was written from."""
    assert isinstance(value, list | tuple)  # noqa: S101 - ``_fits`` has said so
    try:
        rows = tuple((server, tuple(lines)) for server, lines in value)
    except (TypeError, ValueError) as error:
        raise ValueError("the field by_hand does not hold what it must") from error
    if not all(isinstance(text, str) for server, lines in rows for text in (server, *lines)):
        raise ValueError("the field by_hand does not hold what it must")
    return rows


def _moment(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None or at.year not in _YEARS:
        raise ValueError("the field at does not hold a moment with its time zone")
    return at
