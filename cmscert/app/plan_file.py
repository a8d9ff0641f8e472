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
from cmscert.app.plan_actions import ActionForm, Strict, UndoForm
from cmscert.errors import Fault, InputError
from cmscert.mmp.services import SERVICES
from cmscert.mmp.typed import typed
from cmscert.model import plan as model

LARGEST = 20 * 1024 * 1024
HINT = "make the plan again with cmscert plan --save"


class _Undo(Strict):
    commands: tuple[str, ...]
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
    commands: tuple[str, ...]
    because: tuple[str, ...]
    after: tuple[str, ...]
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
    select: tuple[str, ...]
    rolls_back: str | None = None
    basis: dict[str, str]
    basis_parts: dict[str, dict[str, str]] = Field(default_factory=dict)
    releases: dict[str, str]
    complete: bool
    unread: tuple[_Unread, ...]
    drift: tuple[_Drift, ...]
    steps: tuple[_Step, ...]
    refusals: tuple[_Refusal, ...]
    notices: tuple[_Notice, ...]
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
        with path.open("rb") as stream:
            content = stream.read(LARGEST + 1)
    except OSError as error:
        reason = error.strerror or "cannot be read"
        raise InputError([Fault(file=name, message=reason.lower(), reason="unreadable")], hint=HINT) from error
    return read_plan(content, file=name)


def read_plan(content: bytes, *, file: str = "plan") -> model.Plan:
    """Rebuild the plan that a document holds. Raises InputError with every fault."""
    wrong = _wrong_format(_parsed(content, file))
    if wrong:
        raise InputError([Fault(file=file, message=wrong, reason="format")], hint=HINT)
    try:
        document = _PlanFile.model_validate_json(content)
    except ValidationError as error:
        faults = [
            Fault(file=file, path=".".join(map(str, each["loc"])), message=each["msg"].lower(), reason=each["type"])
            for each in error.errors(include_url=False, include_input=False, include_context=False)
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
            [Fault(file=file, message="larger than 20 MB: this is no plan", reason="too-large")], hint=HINT
        )
    try:
        parsed: object = json.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InputError([Fault(file=file, message="not UTF-8 text", reason="encoding")], hint=HINT) from error
    except json.JSONDecodeError as error:
        fault = Fault(
            file=file, line=error.lineno, column=error.colno, message=f"not JSON: {error.msg.lower()}", reason="syntax"
        )
        raise InputError([fault], hint=HINT) from error
    except (RecursionError, ValueError) as error:  # ValueError: a number of thousands of digits
        fault = Fault(file=file, message="nested too deeply, or a number too long", reason="syntax")
        raise InputError([fault], hint=HINT) from error
    return parsed


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
