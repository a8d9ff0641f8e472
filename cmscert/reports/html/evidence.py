"""What a run has changed, slot by slot: what was bound before, and what the server showed when it was read back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from cmscert.apply.before import ServerBefore
from cmscert.mmp.commands import statuses
from cmscert.mmp.screens import read_screen
from cmscert.mmp.services import SERVICES
from cmscert.mmp.typed import row_of
from cmscert.model.events import Asked, CommandSent, Event, StepEnded
from cmscert.model.names import service_of
from cmscert.model.observed import Binding
from cmscert.model.plan import Drift, Plan, PutFile, Rebind, Step
from cmscert.model.readings import Known
from cmscert.model.services import Service
from cmscert.reports.html.tone import OUTCOMES, Mark
from cmscert.reports.plain import day

NOT_BEGUN = Mark(word="not started", tone="quiet")
BROKE_OFF = Mark(word="not proven", tone="bad")
UNTOLD = "not known"
NOTHING = "nothing"
SHORT = 12
KEPT_BACK = "(not shown"
"""How an answer begins that the journal does not hold because there are passwords in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What was bound. ``files``: (name, what is in it); ``note``: why it is not known, or how it is."""

    files: tuple[tuple[str, str], ...] = ()
    note: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A slot that a run was to bind anew. ``wanted``: what the plan found wrong; ``mark``: how it ended."""

    server: str
    slot: str
    step: str
    reasons: tuple[Drift, ...]
    before: Side
    after: Side
    mark: Mark


def changes_of(plan: Plan, events: tuple[Event, ...], before: Mapping[str, ServerBefore] | None) -> list[Change]:
    """List what the steps of a plan were to bind, with what the journal tells of it."""
    teller = _Teller(plan=plan, events=events, before=before)
    return [change for step in plan.steps if isinstance(step.action, Rebind) for change in teller.tell(step)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Teller:
    plan: Plan
    events: tuple[Event, ...]
    before: Mapping[str, ServerBefore] | None

    def tell(self, step: Step) -> Iterator[Change]:
        """Yield a change for each slot of a step."""
        assert isinstance(step.action, Rebind)  # noqa: S101 - chosen by the only caller
        end = next((e for e in reversed(self.events) if isinstance(e, StepEnded) and e.step == step.id), None)
        sent = next((e.at for e in self.events if isinstance(e, CommandSent) and e.step == step.id), None)
        mark = OUTCOMES[end.outcome] if end is not None else NOT_BEGUN if sent is None else BROKE_OFF
        for binding in step.action.bindings:
            yield Change(
                server=step.server,
                slot=binding.slot,
                step=step.id,
                reasons=tuple(
                    each for each in self.plan.drift if (each.server, each.slot) == (step.server, binding.slot)
                ),
                before=self._before(step.server, binding.slot),
                after=self._after(step, binding, sent),
                mark=mark,
            )

    def _before(self, server: str, slot: str) -> Side:
        seen = (self.before or {}).get(server)
        service = seen.services.get(service_of(slot)) if seen is not None else None
        if seen is None or service is None or slot in service.untold:
            return Side(note=UNTOLD)
        bound = service.bindings.get(slot)
        if bound is None or not bound.files:
            return Side(note=NOTHING)
        return Side(files=tuple((name, _holds(seen, name)) for name in bound.files))

    def _after(self, step: Step, wanted: Binding, sent: datetime | None) -> Side:
        """Read the last screen that the server showed once something was sent, as the run has read it."""
        if sent is None:
            return Side(note="as before: nothing was sent")
        row = row_of(step.action, step.server, self.plan, SERVICES)
        screens = self._screens(step.server, row, sent) if row is not None else None
        if row is None or screens is None:
            return Side(note="not read back")
        texts, at = screens
        if any(text.startswith(KEPT_BACK) for text in texts):
            return self._kept_back(step, wanted, at)
        state = read_screen(row, *texts, tag=wanted.tag)
        if not isinstance(state, Known):
            return Side(note="read back, but the answer is unclear", at=at)
        bound = state.value.binding(wanted.slot)
        if not bound.files:
            return Side(note=NOTHING, at=at)
        return Side(files=tuple((name, self._put(step.server, name)) for name in bound.files), at=at)

    def _kept_back(self, step: Step, wanted: Binding, at: datetime) -> Side:
        files = tuple((name, self._put(step.server, name)) for name in wanted.files)
        return Side(files=files, note="as planned; the screen holds passwords, so the journal has not kept it", at=at)

    def _screens(self, server: str, row: Service, sent: datetime) -> tuple[tuple[str, ...], datetime] | None:
        asked = {
            event.typed: event
            for event in self.events
            if isinstance(event, Asked) and event.server == server and event.at >= sent
        }
        answers = [asked.get(command.typed) for command in statuses(row)]
        found = [each for each in answers if each is not None]
        if len(found) != len(answers):
            return None
        return tuple(each.shown for each in found), max(each.at for each in found)

    def _put(self, server: str, name: str) -> str:
        """Say what a file holds: what was put there in this run, or what it held before."""
        for step in self.plan.steps:
            action = step.action
            if isinstance(action, PutFile) and (step.server, action.file) == (server, name):
                return self._proof(server, name, action.content)
        seen = (self.before or {}).get(server)
        return _holds(seen, name) if seen is not None else ""

    def _proof(self, server: str, name: str, content: str) -> str:
        """Say what was put under a name, and whether the very same was read from there again."""
        kind, _, digest = content.partition(":")
        if kind == "spki":
            return f"put in this run, key {digest[:SHORT]}…"
        got = f"sftp get {name}"
        back = any(
            isinstance(event, Asked) and (event.server, event.typed) == (server, got) and digest in event.shown
            for event in self.events
        )
        return f"put in this run{' and read back' if back else ''}, SHA-256 {digest[:SHORT]}…"


def _holds(seen: ServerBefore, name: str) -> str:
    held = seen.certificates.get(name, ())
    if not held:
        return ""
    more = f" and {len(held) - 1} more" if len(held) > 1 else ""
    return f"{held[0].subject}, until {_day(held[0].not_after)}, {held[0].sha256[:8]}{more}"


def _day(text: str) -> str:
    try:
        return day(datetime.fromisoformat(text))
    except ValueError:
        return text
