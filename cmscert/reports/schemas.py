"""JSON Schemas of the documents, written by ``cmscert schema``. A test checks every document against them."""

from __future__ import annotations

from typing import get_args

from cmscert.model.database import CommandState, MemberRole
from cmscert.model.events import Outcome
from cmscert.model.results import RenewState
from cmscert.reports.adopt_text import ADOPT_FORMAT
from cmscert.reports.documents import DRIFT_FORMAT, ERROR_FORMAT, RUN_FORMAT, STATUS_FORMAT, VALIDATE_FORMAT
from cmscert.reports.locks import LOCKS_FORMAT
from cmscert.reports.plan_document import Document
from cmscert.reports.plan_schema import DRIFT, FAULT, FINDING, PLAN
from cmscert.reports.renewal import RENEW_FORMAT
from cmscert.reports.runs_document import RUNS_FORMAT
from cmscert.reports.shapes import (
    COUNT,
    DIGEST,
    FLAG,
    MAYBE,
    MOMENT,
    NOTICES,
    NUMBER,
    TEXT,
    TEXTS,
    UNREAD,
    either,
    kind_of,
    one_of,
    record,
    several,
)
from cmscert.reports.store_text import STORE_FORMAT
from cmscert.reports.story import State

SUMMARY = record(**dict.fromkeys(get_args(Outcome), COUNT))
ENDINGS = ("applied", "rolled-back", "neither", "interrupted", "refused", "running", "unfinished")
WHO: dict[str, Document] = {
    "state": one_of(*get_args(State)),
    "command": MAYBE,
    "rolls_back": MAYBE,
    "settled": MAYBE,
    "started": either(MOMENT),
    "ended": either(MOMENT),
    "user": MAYBE,
    "machine": MAYBE,
    "pid": either(NUMBER),
    "tool_version": MAYBE,
    "inventory": MAYBE,
    "inventory_path": MAYBE,
    "revision": either(record(commit=TEXT, dirty=FLAG)),
    "select": TEXTS,
    "allow": TEXTS,
    "torn": FLAG,
    "fault": either(FAULT),
}
BY_HAND = several(record(server=TEXT, commands=TEXTS))
HANDS = several({"type": "array", "prefixItems": [TEXT, TEXTS], "items": False, "minItems": 2})
SECONDS: Document = {"type": "number", "minimum": 0}
EVENTS = several(
    {
        "oneOf": [
            kind_of("run-started", at=MOMENT, run=TEXT, fleet=TEXT, steps=COUNT),
            kind_of("step-started", at=MOMENT, step=TEXT, server=TEXT, what=TEXT, undoing=FLAG),
            kind_of("command-sent", at=MOMENT, step=TEXT, server=TEXT, typed=TEXT),
            kind_of("reply-received", at=MOMENT, step=TEXT, server=TEXT, typed=TEXT, shown=TEXT, seconds=SECONDS),
            kind_of("asked", at=MOMENT, server=TEXT, typed=TEXT, shown=TEXT, seconds=SECONDS),
            kind_of("step-ended", at=MOMENT, step=TEXT, server=TEXT, outcome=one_of(*get_args(Outcome)), why=MAYBE),
            kind_of("run-ended", at=MOMENT, run=TEXT, result=one_of(*ENDINGS[:5]), why=MAYBE, by_hand=HANDS),
        ]
    }
)
RUN = record(
    format={"const": RUN_FORMAT},
    run=MAYBE,
    fleet=TEXT,
    result=one_of(*ENDINGS, "nothing-to-do"),
    why=MAYBE,
    unread=UNREAD,
    steps=several(record(id=TEXT, server=TEXT, slot=MAYBE, kind=MAYBE, outcome=one_of(*get_args(Outcome)), why=MAYBE)),
    by_hand=BY_HAND,
    summary=SUMMARY,
    record=either(record(**WHO, files=TEXTS, events=EVENTS)),
)
RUNS = record(
    format={"const": RUNS_FORMAT},
    fleet=MAYBE,
    more=COUNT,
    runs=several(
        record(run=TEXT, fleet=MAYBE, result=one_of(*ENDINGS), why=MAYBE, **WHO, summary=SUMMARY),
    ),
)
PLACE = record(line=COUNT, column=COUNT, path=TEXT)
DRIFT_REPORT = record(
    format={"const": DRIFT_FORMAT},
    made_at=MOMENT,
    fleet=TEXT,
    inventory_sha256=TEXT,
    select=TEXTS,
    complete=FLAG,
    unread=UNREAD,
    findings=several(FINDING),
    notices=NOTICES,
    inventory=MAYBE,
    asked=several(record(server=TEXT, slot=MAYBE, place=PLACE, by=either(PLACE))),
    outside=several(record(server=TEXT, slot=MAYBE)),
    summary=record(servers=COUNT, slots=COUNT, findings=COUNT, ignored=COUNT),
)
VALIDATE = record(
    format={"const": VALIDATE_FORMAT},
    fleet=TEXT,
    inventory_sha256=TEXT,
    valid={"const": True},
    warnings=several(FAULT),
    unhandled=several(record(path=TEXT, message=TEXT)),
    awaited=several(record(server=TEXT, slot=TEXT, certificate=TEXT, why=TEXT)),
    summary=record(servers=COUNT, slots=COUNT, certificates=COUNT, databases=COUNT),
)
RENEW = record(
    format={"const": RENEW_FORMAT},
    made_at=MOMENT,
    fleet=TEXT,
    select=TEXTS,
    rehearsed=FLAG,
    certificates=several(
        record(
            certificate=TEXT,
            server=MAYBE,
            issuer=TEXT,
            state=one_of(*get_args(RenewState)),
            why=MAYBE,
            due_at=either(MOMENT),
            not_after=either(MOMENT),
            at_risk=FLAG,
            notes=TEXTS,
        )
    ),
    summary=record(**dict.fromkeys(get_args(RenewState), COUNT)),
)
CERTIFICATE = record(
    common_name=MAYBE,
    subject=TEXT,
    names=TEXTS,
    issuer=TEXT,
    serial=TEXT,
    not_before=MOMENT,
    not_after=MOMENT,
    days_left=NUMBER,
    key=TEXT,
    eku=either(TEXTS),
    ca=FLAG,
    sha256=DIGEST,
)
STORE = record(
    format={"const": STORE_FORMAT},
    made_at=MOMENT,
    fleet=TEXT,
    folder=TEXT,
    certificates=several(
        record(
            certificate=TEXT,
            server=MAYBE,
            issuer=TEXT,
            asked_at=either(MOMENT),
            failures=COUNT,
            failed=MAYBE,
            next_try=either(MOMENT),
            revisions=several(
                record(at=MOMENT, issuer=TEXT, device_key=MAYBE, due_at=MOMENT, ends=MOMENT, chain=several(CERTIFICATE))
            ),
        )
    ),
)


def _reading(schema: Document) -> Document:
    return record(reading=one_of("known", "absent", "unread"), why=MAYBE, value=either(schema))


DATABASE = record(
    database=TEXT,
    wanted=one_of("node", "client"),
    role=one_of("primary", "replica", "client", "none", "unclear"),
    state=_reading(
        record(
            status=TEXT,
            error=MAYBE,
            standing=FLAG,
            busy=FLAG,
            expired=FLAG,
            members=several(
                record(
                    address=TEXT,
                    me=FLAG,
                    connected=FLAG,
                    role=one_of(*get_args(MemberRole)),
                    in_sync=either(FLAG),
                )
            ),
            node_in_use=MAYBE,
            interface=MAYBE,
            last_command=MAYBE,
            last_state=one_of(*get_args(CommandState)),
        )
    ),
    files=several(
        record(
            use=one_of("server", "client", "ca"),
            certificate=TEXT,
            key=MAYBE,
            on_disk=_reading(several(CERTIFICATE)),
        )
    ),
)
STATUS = record(
    format={"const": STATUS_FORMAT},
    made_at=MOMENT,
    fleet=TEXT,
    inventory_sha256=TEXT,
    select=TEXTS,
    complete=FLAG,
    unread=UNREAD,
    servers=several(
        record(
            server=TEXT,
            reached=FLAG,
            release=MAYBE,
            clock_skew=either({"type": "number"}),
            password_expires=MAYBE,
            slots=several(
                record(
                    slot=TEXT,
                    wanted=either(record(certificate=MAYBE, bundle=MAYBE, sha256=either(DIGEST))),
                    bound=_reading(record(key=MAYBE, certificate=MAYBE, bundle=MAYBE, tag=MAYBE)),
                    on_disk=_reading(several(CERTIFICATE)),
                    served=_reading(several(CERTIFICATE)),
                    due_at=either(MOMENT),
                    ahead=TEXTS,
                )
            ),
            database=either(DATABASE),
        )
    ),
    findings=several(FINDING),
    notices=NOTICES,
    journal=MAYBE,
)
HOLDER = {"fleet": TEXT, "owner": MAYBE, "machine": MAYBE, "run": MAYBE, "command": MAYBE, "since": either(MOMENT)}
NODE_LOCK = record(
    server=TEXT,
    file=TEXT,
    state=one_of("held", "expired", "unreadable"),
    why=MAYBE,
    **{**HOLDER, "fleet": MAYBE},
    until=either(MOMENT),
)
LOCKS = record(
    format={"const": LOCKS_FORMAT},
    locks=several(record(**HOLDER, state=one_of("held", "dead", "left"), pid=either(COUNT))),
    servers=either(several(NODE_LOCK)),
    unread=UNREAD,
    released=TEXTS,
    removed=several(NODE_LOCK),
)
ADOPT = record(
    format={"const": ADOPT_FORMAT},
    fleet=MAYBE,
    inventory=MAYBE,
    servers=several(
        record(server=TEXT, address=TEXT, fqdn=TEXT, release=MAYBE, slots=COUNT, remarks=TEXTS),
    ),
    remarks=TEXTS,
    drift=several(DRIFT),
    unread=UNREAD,
    summary=record(certificates=COUNT, bundles=COUNT, databases=COUNT, files=COUNT, steps=COUNT),
)
ERROR = record(
    format={"const": ERROR_FORMAT},
    code=COUNT,
    reason=TEXT,
    server=MAYBE,
    message=TEXT,
    hint=MAYBE,
    faults=several(FAULT),
)

TITLES = {
    "plan": ("A plan of cmscert", PLAN),
    "run": ("The result of cmscert apply, and what cmscert runs show tells", RUN),
    "runs": ("The result of cmscert runs", RUNS),
    "drift": ("The result of cmscert drift", DRIFT_REPORT),
    "status": ("The result of cmscert status", STATUS),
    "validate": ("The result of cmscert validate", VALIDATE),
    "renew": ("The result of cmscert renew", RENEW),
    "store": ("The result of cmscert status --store", STORE),
    "adopt": ("The result of cmscert adopt", ADOPT),
    "locks": ("The result of cmscert lock", LOCKS),
    "error": ("Why there is no result", ERROR),
}


def report_schemas() -> dict[str, Document]:
    """Return every report's JSON Schema by name."""
    return {
        name: {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **schema}
        for name, (title, schema) in TITLES.items()
    }
