"""Remarks on stderr by structlog; loaded only when somebody wants them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

import structlog

from cmscert.reports.plain import safe_document

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from cmscert.app.ports import Note


def _harmless(_logger: object, _name: str, event: MutableMapping[str, object]) -> MutableMapping[str, object]:
    """Spell out control characters: remarks may quote a device."""
    made = safe_document(dict(event))
    assert isinstance(made, dict)  # noqa: S101 - a mapping goes in, a mapping comes out
    return made


def log_to(stream: TextIO, *, json: bool, colour: bool) -> Note:
    """Return what writes remarks to a stream, one a line."""
    draw = structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(colors=colour, pad_event_to=0)
    logger = structlog.wrap_logger(
        structlog.PrintLogger(stream),
        processors=[structlog.processors.TimeStamper(fmt="iso", utc=True), _harmless, draw],
    )

    def note(event: str, /, **facts: object) -> None:
        logger.msg(event, **facts)

    return note
