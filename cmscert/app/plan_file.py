"""Reads a saved plan (``cmscert.plan/1``). ``cmscert.reports.plan_document`` writes it.

A plan file is a border: every key is known, every type fits, or the file is refused with all its faults.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, Field, ValidationError

from cmscert import __version__
from cmscert.app.plan_actions import ActionForm, Many, Strict, UndoForm
from cmscert.errors import Fault, InputError
from cmscert.files import Unreadable, count_values, read_regular
from cmscert.mmp.services import SERVICES
from cmscert.mmp.typed import typed
from cmscert.model import plan as model

LARGEST, MOST_VALUES = model.MOST_BYTES, model.MOST_VALUES

MOST_KEYS = 20_000
"""Of one object; the most have one for each server."""

TOLD = 100
HINT = "make the plan again with cmscert plan --save"


class _Undo(Strict):
    commands: Many[str]
    action: UndoForm


class _Impact(Strict):
    service: str
    notices: str
    seconds: int = Field(ge=0)


class _Step(Strict):
    id: str
    server: str
    slot: str | None
    kind: str
    commands: Many[str]
    because: Many[str]
    after: Many[str]
    impact: _Impact | None
    undo: _Undo | None
    action: ActionForm

    def value(self) -> model.Step:
        return model.Step(
            id=self.id,
            server=self.server,
            slot=self.slot,
            action=self.action.value(),
            because=self.because,
            after=self.after,
            impact=None if self.impact is None else model.Impact(**self.impact.model_dump()),
            undo=None if self.undo is None else self.undo.action.value(),
        )


class _Drift(Strict):
    server: str
    slot: str | None
    reason: str
    wanted: str
    found: str
    severity: model.Severity
    plannable: bool
    ignored: str | None
    ignored_until: str | None = None
    ignore_ended: str | None = None


class _Refusal(Strict):
    guard: str
    message: str
    server: str | None
    liftable: bool


class _Notice(Strict):
    message: str
    server: str | None
    slot: str | None
    reason: str


class _Unread(Strict):
    server: str
    why: str


class _PlanFile(Strict):
    format: Literal["cmscert.plan/1"]
    made_at: AwareDatetime
    tool_version: str
    fleet: str
    inventory_sha256: str
    select: Many[str]
    rolls_back: str | None = None
    basis: dict[str, str]
    basis_parts: dict[str, dict[str, str]] = Field(default_factory=dict)
    releases: dict[str, str]
    complete: bool
    unread: Many[_Unread]
    drift: Many[_Drift]
    steps: Many[_Step]
    refusals: Many[_Refusal]
    notices: Many[_Notice]
    summary: dict[str, int]

    def value(self) -> model.Plan:
        return model.Plan(
            made_at=datetime.fromisoformat(self.made_at.isoformat()),
            tool_version=self.tool_version,
            fleet=self.fleet,
            inventory_sha256=self.inventory_sha256,
            select=self.select,
            rolls_back=self.rolls_back,
            basis=self.basis,
            basis_parts=self.basis_parts,
            releases=self.releases,
            unread=tuple((each.server, each.why) for each in self.unread),
            drift=tuple(model.Drift(**each.model_dump()) for each in self.drift),
            steps=tuple(step.value() for step in self.steps),
            refusals=tuple(model.Refusal(**each.model_dump()) for each in self.refusals),
            notices=tuple(model.Notice(**each.model_dump()) for each in self.notices),
        )


def load_plan(path: Path) -> model.Plan:
    """Read a plan file. Raises InputError with every fault."""
    name = str(path)
    try:
        content = read_regular(path, limit=LARGEST)
    except Unreadable as error:
        raise InputError([Fault(file=name, message=str(error), reason="unreadable")], hint=HINT) from None
    return read_plan(content, file=name)


def read_plan(content: bytes, *, file: str = "plan") -> model.Plan:
    """Rebuild the plan that a document holds. Raises InputError with every fault."""
    wrong = _wrong_format(_parsed(content, file))
    if wrong:
        raise InputError([Fault(file=file, message=wrong, reason="format")], hint=HINT)
    try:
        document = _PlanFile.model_validate_json(content)
    except ValidationError as error:
        told = error.errors(include_url=False, include_input=False, include_context=False)[:TOLD]
        faults = [
            Fault(file=file, path=_drawn(each["loc"]), message=each["msg"].lower(), reason=each["type"])
            for each in told
        ]
        raise InputError(faults, hint=HINT) from error
    plan = document.value()
    loose = tuple(_loose_ends(plan, file)) or tuple(_false_commands(document, plan, file))
    if loose:
        raise InputError(loose, hint=HINT)
    return plan


def _parsed(content: bytes, file: str) -> object:
    if len(content) > LARGEST:
        raise InputError(
            [Fault(file=file, message="larger than 40 MB: this is no plan", reason="too-large")], hint=HINT
        )
    try:
        parsed: object = json.loads(_bounded(content).decode("utf-8"), object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        raise InputError([Fault(file=file, message="not UTF-8 text", reason="encoding")], hint=HINT) from error
    except json.JSONDecodeError as error:
        fault = Fault(
            file=file, line=error.lineno, column=error.colno, message=f"not JSON: {error.msg.lower()}", reason="syntax"
        )
        raise InputError([fault], hint=HINT) from error
    except _BentError as error:
        raise InputError([Fault(file=file, message=str(error), reason="syntax")], hint=HINT) from error
    except (RecursionError, ValueError) as error:  # ValueError: a number of thousands of digits
        fault = Fault(file=file, message="nested too deeply, or a number too long", reason="syntax")
        raise InputError([fault], hint=HINT) from error
    return parsed


def _bounded(content: bytes) -> bytes:
    if count_values(content) > MOST_VALUES:
        raise _BentError("more values than any plan holds")
    return content


def _drawn(location: tuple[int | str, ...]) -> str:
    """Name a place; a key that should not be there may be of any length."""
    return ".".join(str(part)[:80] for part in location)


class _BentError(Exception):
    """JSON that could be read in two ways, or that no plan has."""


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuse a key that stands twice: a person who reviews the file may see the one, and we would take the other."""
    made = dict(pairs)
    if len(made) < len(pairs):
        raise _BentError("a key stands twice in one object")
    if len(made) > MOST_KEYS:
        raise _BentError("an object has more keys than any plan's")
    return made


def _wrong_format(document: object) -> str | None:
    found = document.get("format") if isinstance(document, dict) else None
    if found == model.PLAN_FORMAT:
        return None
    if isinstance(found, str) and found.startswith("cmscert.plan/"):
        return f"{found[:40]!r} is a plan format that this release does not know: it reads {model.PLAN_FORMAT}"
    return f"not a plan: no key format that says {model.PLAN_FORMAT}"


def _false_commands(document: _PlanFile, plan: model.Plan, file: str) -> Iterator[Fault]:
    """Find steps whose ``commands``, which people review, are not what their ``action`` types.

    A plan of another release of this tool is refused as stale later on, whatever its commands.
    """
    if plan.tool_version != __version__:
        return
    for number, (shown, step) in enumerate(zip(document.steps, plan.steps, strict=True)):
        undo = () if shown.undo is None else shown.undo.commands
        for path, commands, action in (("commands", shown.commands, step.action), ("undo.commands", undo, step.undo)):
            try:
                right = () if action is None else typed(action, step.server, plan, SERVICES)
            except ValueError as error:
                yield Fault(file=file, path=f"steps.{number}.action", message=str(error))
                continue
            if commands != right:
                message = "not what the step's action types"
                yield Fault(file=file, path=f"steps.{number}.{path}", message=message)


def _loose_ends(plan: model.Plan, file: str) -> list[Fault]:
    """Find ids that stand twice or nowhere, and steps of servers that the plan knows nothing about."""
    faults: list[Fault] = []
    seen: set[str] = set()
    for number, step in enumerate(plan.steps):
        path = f"steps.{number}"
        if step.id in seen:
            faults.append(Fault(file=file, path=f"{path}.id", message=f"{step.id} stands twice"))
        faults.extend(
            Fault(file=file, path=f"{path}.after", message=f"{link} is no step in front of this one")
            for link in step.after
            if link not in seen
        )
        if step.server != model.FLEET and step.server not in plan.releases:
            faults.append(Fault(file=file, path=f"{path}.server", message=f"{step.server} has no release in this plan"))
        seen.add(step.id)
    return faults
