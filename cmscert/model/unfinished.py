"""What the journals of runs without an end add to what the servers tell: only what no server can say (law 6).

A run that died may have stopped a service and never started it again, or bound a file that the service has not loaded.
The server shows a stopped service and right bindings; only the journal knows that it was our doing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cmscert.model.observed import Binding


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """A service that an unfinished run began to change on a server and did not prove.

    ``running``: whether it ran before that; None where nothing told. ``before``: the names bound then, by slot.
    """

    server: str
    service: str
    run: str
    step: str
    running: bool | None = None
    before: Mapping[str, Binding] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """The unfinished runs of a fleet, oldest first.

    ``touched``: by (server, service). ``saved``: by (server, file), the name of the copy that an unfinished run made
    on the server before it overwrote the file (``naming: fixed``).
    """

    runs: tuple[str, ...] = ()
    touched: Mapping[tuple[str, str], Touched] = field(default_factory=dict)
    saved: Mapping[tuple[str, str], str] = field(default_factory=dict)


NOTHING_UNFINISHED = Unfinished()
