"""The JSON Schema of a plan, and of what it shares with other documents."""

from __future__ import annotations

from typing import get_args

from cmscert.model.origin import OriginKind
from cmscert.model.plan import PLAN_FORMAT, Action
from cmscert.reports.plan_document import Document
from cmscert.reports.shapes import (
    COUNT,
    FLAG,
    MAYBE,
    MOMENT,
    NOTICES,
    SEVERITY,
    TEXT,
    TEXTS,
    UNREAD,
    by_name,
    either,
    kind_of,
    one_of,
    record,
    several,
)

_DIFFERENCE: dict[str, Document] = {
    "server": TEXT,
    "slot": MAYBE,
    "reason": TEXT,
    "wanted": TEXT,
    "found": TEXT,
    "severity": SEVERITY,
    "plannable": FLAG,
    "ignored": MAYBE,
    "ignored_until": MAYBE,
    "ignore_ended": MAYBE,
}
DRIFT = record(**_DIFFERENCE)
FINDING = record(
    **_DIFFERENCE,
    origin=one_of(*get_args(OriginKind)),
    origin_since=either(MOMENT),
    origin_run=MAYBE,
    origin_why=MAYBE,
)
FAULT = record(
    message=TEXT,
    file=MAYBE,
    line=either(COUNT),
    column=either(COUNT),
    path=MAYBE,
    reason=TEXT,
    severity=one_of("error", "warning"),
)

BINDING = record(slot=TEXT, key=MAYBE, certificate=MAYBE, bundle=MAYBE, tag=MAYBE)
RESTORE = kind_of("restore", file=TEXT, saved_as=TEXT)
REBIND = kind_of("bind", service=TEXT, bindings=several(BINDING), stopped=FLAG, restores=several(RESTORE))
RESTART = kind_of("restart", service=TEXT, restores=several(RESTORE), tags=TEXTS)
DATABASE_FILES = record(
    server_key=MAYBE, server_certificate=MAYBE, client_key=MAYBE, client_certificate=MAYBE, ca=MAYBE
)
ACTIONS: tuple[Document, ...] = (
    kind_of("put", file=TEXT, content=TEXT, role=one_of("certificate", "key", "bundle"), overwrites=FLAG),
    kind_of("save", file=TEXT, saved_as=TEXT),
    RESTORE,
    kind_of("check", key=TEXT, certificate=TEXT, bundle=MAYBE),
    REBIND,
    RESTART,
    kind_of("remove", files=TEXTS),
    kind_of("gate", opens=one_of("services", "removal")),
    kind_of(
        "db-mint",
        ca=TEXT,
        ca_common_name=TEXT,
        server=TEXT,
        server_common_name=TEXT,
        server_sans=TEXTS,
        client=TEXT,
        client_common_name=TEXT,
    ),
    kind_of("copy", file=TEXT, source=TEXT),
    kind_of("db-backup", name=TEXT),
    kind_of("db-primary", database=TEXT, server=TEXT),
    kind_of("db-remove"),
    kind_of("db-certs", files=DATABASE_FILES, interface=TEXT),
    kind_of("db-initialize"),
    kind_of("db-join", primary=TEXT),
    kind_of("db-connect", primary=TEXT),
    kind_of("db-clear-error"),
    kind_of("db-upgrade-schema"),
    kind_of("db-prove", database=TEXT, members=TEXTS),
)
KINDS = [action.__dataclass_fields__["kind"].default for action in get_args(Action)]
STEP = record(
    id=TEXT,
    server=TEXT,
    slot=MAYBE,
    kind=one_of(*KINDS),
    commands=TEXTS,
    because=TEXTS,
    after=TEXTS,
    impact=either(record(service=TEXT, notices=TEXT, seconds=COUNT)),
    undo=either(record(commands=TEXTS, action={"oneOf": [REBIND, RESTART, RESTORE]})),
    action={"oneOf": list(ACTIONS)},
)
PLAN = record(
    format={"const": PLAN_FORMAT},
    made_at=MOMENT,
    tool_version=TEXT,
    fleet=TEXT,
    inventory_sha256=TEXT,
    select=TEXTS,
    rolls_back=MAYBE,
    basis=by_name(TEXT),
    basis_parts=by_name(by_name(TEXT)),
    releases=by_name(TEXT),
    complete=FLAG,
    unread=UNREAD,
    drift=several(DRIFT),
    steps=several(STEP),
    refusals=several(record(guard=TEXT, message=TEXT, server=MAYBE, liftable=FLAG)),
    notices=NOTICES,
    summary=record(
        differences=COUNT,
        ignored=COUNT,
        servers=COUNT,
        steps=COUNT,
        disturbing=COUNT,
        seconds=COUNT,
        refusals=COUNT,
        unread=COUNT,
    ),
)
