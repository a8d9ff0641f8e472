"""A run's events in the order in which people think of them: step by step, with what was typed and answered."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from cmscert.apply.runs import RunRecord
from cmscert.model.events import Asked, CommandSent, Event, Outcome, ReplyReceived, StepEnded, StepStarted
from cmscert.model.plan import FLEET

State = Literal["ended", "running", "unfinished", "damaged"]
BROKE_OFF = "the run broke off before it was verified"
NEVER = "the run broke off before"


@dataclass(slots=True, kw_only=True)
class Exchange:
    """Something typed, or a question (``asks``), and its answer; None when none was written down."""

    at: datetime
    server: str
    typed: str
    shown: str | None = None
    seconds: float | None = None
    asks: bool = False


@dataclass(slots=True, kw_only=True)
class Turn:
    """A step that was begun, or its way back. ``outcome`` is None when the run broke off in it."""

    step: str
    server: str
    what: str
    undoing: bool
    started: datetime
    ended: datetime | None = None
    outcome: Outcome | None = None
    why: str | None = None
    exchanges: list[Exchange] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Story:
    """``ends``: how each step ended at last; ``besides``: questions that stand in no step."""

    turns: list[Turn] = field(default_factory=list)
    ends: dict[str, StepEnded] = field(default_factory=dict)
    besides: list[Exchange] = field(default_factory=list)

    @property
    def in_hand(self) -> list[Turn]:
        """The steps in which the run broke off."""
        return [turn for turn in self.turns if turn.ended is None]

    def counts(self) -> Counter[Outcome]:
        """Count the steps by how they ended; one in which the run broke off is left as it is."""
        hand = {turn.step for turn in self.in_hand}
        count: Counter[Outcome] = Counter(end.outcome for step, end in self.ends.items() if step not in hand)
        count["left"] += len(hand)
        return count


def state_of(record: RunRecord, *, live: bool = False) -> State:
    """Say how far a run is. ``live``: it goes on now."""
    if record.fault is not None:
        return "damaged"
    if record.unfinished:
        return "running" if live else "unfinished"
    return "ended"


def story_of(record: RunRecord) -> Story:
    """Put the events of a run in order. Gates are left out: they type nothing."""
    teller = _Teller()
    for event in record.events:
        teller.take(event)
    return teller.story


@dataclass(slots=True, kw_only=True)
class _Teller:
    story: Story = field(default_factory=Story)
    open: dict[str, Turn] = field(default_factory=dict)
    pending: dict[tuple[str, str], Exchange] = field(default_factory=dict)

    def take(self, event: Event) -> None:
        """Put an event where it belongs."""
        match event:
            case StepStarted() if event.server != FLEET:
                self._begin(event)
            case CommandSent():
                exchange = Exchange(at=event.at, server=event.server, typed=event.typed)
                self.pending[event.step, event.server] = exchange
                self._of_step(event.step).append(exchange)
            case ReplyReceived():
                self._answer(event)
            case Asked():
                self._ask(event)
            case StepEnded() if event.server != FLEET:
                self._end(event)
            case _:
                pass

    def _begin(self, event: StepStarted) -> None:
        turn = Turn(step=event.step, server=event.server, what=event.what, undoing=event.undoing, started=event.at)
        self.open[event.step] = turn
        self.story.turns.append(turn)

    def _of_step(self, step: str) -> list[Exchange]:
        return self.open[step].exchanges if step in self.open else self.story.besides

    def _answer(self, event: ReplyReceived) -> None:
        exchange = self.pending.pop((event.step, event.server), None)
        if exchange is None:  # its question is missing: a damaged journal
            exchange = Exchange(at=event.at, server=event.server, typed=event.typed)
            self._of_step(event.step).append(exchange)
        exchange.shown, exchange.seconds = event.shown, event.seconds

    def _ask(self, event: Asked) -> None:
        """A server does one step at a time, so a question belongs to the step that it has open."""
        turn = next((each for each in self.open.values() if each.server == event.server), None)
        exchange = Exchange(
            at=event.at,
            server=event.server,
            typed=event.typed,
            shown=event.shown,
            seconds=event.seconds,
            asks=True,
        )
        (self.story.besides if turn is None else turn.exchanges).append(exchange)

    def _end(self, event: StepEnded) -> None:
        self.story.ends[event.step] = event
        turn = self.open.pop(event.step, None)
        if turn is not None:
            turn.ended, turn.outcome, turn.why = event.at, event.outcome, event.why
