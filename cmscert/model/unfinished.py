"""What the journals of runs without an end add to what the servers tell: only what no server can say (law 6).

A run that died may have stopped a service and never started it again, or bound a file that the service has not loaded.
The server shows a stopped service and right bindings; only the journal knows that it was our doing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from cmscert.model.observed import Binding


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """A service that an unfinished run began to change on a server and did not prove.

    ``running``: whether it ran before that; None where nothing told. ``before``: the names bound then, by slot.
    ``slots``: what the run was about to change. ``served``: by slot, the SHA-256 of the leaf that was served before it.
    ``switched``: a line that stops or restarts it may have been sent; otherwise only files under it were overwritten.
    ``files``: what was overwritten under it (``naming: fixed``). ``by_hand``: the lines that make it load what is
    bound, and run.
    """

    server: str
    service: str
    run: str
    step: str
    running: bool | None = None
    before: Mapping[str, Binding] = field(default_factory=dict)
    slots: tuple[str, ...] = ()
    served: Mapping[str, str] = field(default_factory=dict)
    switched: bool = True
    files: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    by_hand: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRun:
    """A run that is not settled: it died, or it ended and left something unproven.

    ``at_steps``: the steps that it was in, in words. ``result``: None when it has no end. ``touched``: the services
    that it left unproven, as (server, service). ``fault``: why its journal or plan cannot be read.
    """

    id: str
    started: datetime | None = None
    user: str | None = None
    machine: str | None = None
    command: str | None = None
    result: str | None = None
    at_steps: tuple[str, ...] = ()
    touched: tuple[tuple[str, str], ...] = ()
    fault: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """The unfinished runs of a fleet, oldest first.

    ``touched``: by (server, service). ``saved``: by (server, file), the name of the copy that an unfinished run made
    on the server before it overwrote the file (``naming: fixed``). ``torn``: (server, file) of uploads that nobody
    proved: such a file may be there in part.
    """

    runs: tuple[OpenRun, ...] = ()
    touched: Mapping[tuple[str, str], Touched] = field(default_factory=dict)
    saved: Mapping[tuple[str, str], str] = field(default_factory=dict)
    torn: frozenset[tuple[str, str]] = frozenset()


NOTHING_UNFINISHED = Unfinished()
