"""JSON Schemas of the documents, written by ``cmscert schema``. A test checks every document against them."""

from __future__ import annotations

from typing import get_args

from cmscert.model.database import CommandState, MemberRole
from cmscert.model.events import Outcome
from cmscert.model.plan import PLAN_FORMAT, Action
from cmscert.model.results import RenewState
from cmscert.reports.adopt_text import ADOPT_FORMAT
from cmscert.reports.documents import DRIFT_FORMAT, ERROR_FORMAT, RUN_FORMAT, STATUS_FORMAT, VALIDATE_FORMAT
from cmscert.reports.locks import LOCKS_FORMAT
from cmscert.reports.plan_document import Document
from cmscert.reports.renewal import RENEW_FORMAT
from cmscert.reports.runs_document import RUNS_FORMAT
from cmscert.reports.store_text import STORE_FORMAT
from cmscert.reports.story import State

TEXT: Document = {"type": "string"}
COUNT: Document = {"type": "integer", "minimum": 0}
NUMBER: Document = {"type": "integer"}
FLAG: Document = {"type": "boolean"}
MOMENT: Document = {"type": "string", "format": "date-time", "description": "ISO 8601 in UTC, ends in Z"}
DIGEST: Document = {"type": "string", "pattern": "^[0-9a-f]{64}$"}


def _either(schema: Document) -> Document:
    """Let null stand for what is not there."""
    return {"anyOf": [schema, {"type": "null"}]}


def _several(schema: Document) -> Document:
    return {"type": "array", "items": schema}


def _one_of(*values: str) -> Document:
    return {"enum": list(values)}


def _by_name(schema: Document) -> Document:
    return {"type": "object", "additionalProperties": schema}


def _record(**fields: Document) -> Document:
    """Make an object that has all these keys and no other."""
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


def _kind(kind: str, /, **fields: Document) -> Document:
    return _record(**fields, kind={"const": kind})


TEXTS = _several(TEXT)
MAYBE = _either(TEXT)
UNREAD = _several(_record(server=TEXT, why=TEXT))
NOTICES = _several(_record(message=TEXT, server=MAYBE, slot=MAYBE, reason=TEXT))
SEVERITY = _one_of("error", "warning", "notice")
DRIFT = _record(
    server=TEXT,
    slot=MAYBE,
    reason=TEXT,
    wanted=TEXT,
    found=TEXT,
    severity=SEVERITY,
    plannable=FLAG,
    ignored=MAYBE,
)
FAULT = _record(
    message=TEXT,
    file=MAYBE,
    line=_either(COUNT),
    column=_either(COUNT),
    path=MAYBE,
    reason=TEXT,
    severity=_one_of("error", "warning"),
)

BINDING = _record(slot=TEXT, key=MAYBE, certificate=MAYBE, bundle=MAYBE, tag=MAYBE)
RESTORE = _kind("restore", file=TEXT, saved_as=TEXT)
REBIND = _kind("bind", service=TEXT, bindings=_several(BINDING), stopped=FLAG, restores=_several(RESTORE))
RESTART = _kind("restart", service=TEXT, restores=_several(RESTORE), tags=TEXTS)
DATABASE_FILES = _record(
    server_key=MAYBE, server_certificate=MAYBE, client_key=MAYBE, client_certificate=MAYBE, ca=MAYBE
)
ACTIONS: tuple[Document, ...] = (
    _kind("put", file=TEXT, content=TEXT, role=_one_of("certificate", "key", "bundle"), overwrites=FLAG),
    _kind("save", file=TEXT, saved_as=TEXT),
    RESTORE,
    _kind("check", key=TEXT, certificate=TEXT, bundle=MAYBE),
    REBIND,
    RESTART,
    _kind("remove", files=TEXTS),
    _kind("gate", opens=_one_of("services", "removal")),
    _kind(
        "db-mint",
        ca=TEXT,
        ca_common_name=TEXT,
        server=TEXT,
        server_common_name=TEXT,
        server_sans=TEXTS,
        client=TEXT,
        client_common_name=TEXT,
    ),
    _kind("copy", file=TEXT, source=TEXT),
    _kind("db-backup", name=TEXT),
    _kind("db-primary", database=TEXT, server=TEXT),
    _kind("db-remove"),
    _kind("db-certs", files=DATABASE_FILES, interface=TEXT),
    _kind("db-initialize"),
    _kind("db-join", primary=TEXT),
    _kind("db-connect", primary=TEXT),
    _kind("db-clear-error"),
    _kind("db-upgrade-schema"),
    _kind("db-prove", database=TEXT, members=TEXTS),
)
KINDS = [action.__dataclass_fields__["kind"].default for action in get_args(Action)]
STEP = _record(
    id=TEXT,
    server=TEXT,
    slot=MAYBE,
    kind=_one_of(*KINDS),
    commands=TEXTS,
    because=TEXTS,
    after=TEXTS,
    impact=_either(_record(service=TEXT, notices=TEXT, seconds=COUNT)),
    undo=_either(_record(commands=TEXTS, action={"oneOf": [REBIND, RESTART, RESTORE]})),
    action={"oneOf": list(ACTIONS)},
)
PLAN = _record(
    format={"const": PLAN_FORMAT},
    made_at=MOMENT,
    tool_version=TEXT,
    fleet=TEXT,
    inventory_sha256=TEXT,
    select=TEXTS,
    rolls_back=MAYBE,
    basis=_by_name(TEXT),
    basis_parts=_by_name(_by_name(TEXT)),
    releases=_by_name(TEXT),
    complete=FLAG,
    unread=UNREAD,
    drift=_several(DRIFT),
    steps=_several(STEP),
    refusals=_several(_record(guard=TEXT, message=TEXT, server=MAYBE, liftable=FLAG)),
    notices=NOTICES,
    summary=_record(
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
SUMMARY = _record(**dict.fromkeys(get_args(Outcome), COUNT))
ENDINGS = ("applied", "rolled-back", "neither", "interrupted", "refused", "running", "unfinished")
WHO: dict[str, Document] = {
    "state": _one_of(*get_args(State)),
    "command": MAYBE,
    "rolls_back": MAYBE,
    "settled": MAYBE,
    "started": _either(MOMENT),
    "ended": _either(MOMENT),
    "user": MAYBE,
    "machine": MAYBE,
    "pid": _either(NUMBER),
    "tool_version": MAYBE,
    "inventory": MAYBE,
    "inventory_path": MAYBE,
    "revision": _either(_record(commit=TEXT, dirty=FLAG)),
    "select": TEXTS,
    "allow": TEXTS,
    "torn": FLAG,
    "fault": _either(FAULT),
}
BY_HAND = _several(_record(server=TEXT, commands=TEXTS))
HANDS = _several({"type": "array", "prefixItems": [TEXT, TEXTS], "items": False, "minItems": 2})
SECONDS: Document = {"type": "number", "minimum": 0}
EVENTS = _several(
    {
        "oneOf": [
            _kind("run-started", at=MOMENT, run=TEXT, fleet=TEXT, steps=COUNT),
            _kind("step-started", at=MOMENT, step=TEXT, server=TEXT, what=TEXT, undoing=FLAG),
            _kind("command-sent", at=MOMENT, step=TEXT, server=TEXT, typed=TEXT),
            _kind("reply-received", at=MOMENT, step=TEXT, server=TEXT, typed=TEXT, shown=TEXT, seconds=SECONDS),
            _kind("asked", at=MOMENT, server=TEXT, typed=TEXT, shown=TEXT, seconds=SECONDS),
            _kind("step-ended", at=MOMENT, step=TEXT, server=TEXT, outcome=_one_of(*get_args(Outcome)), why=MAYBE),
            _kind("run-ended", at=MOMENT, run=TEXT, result=_one_of(*ENDINGS[:5]), why=MAYBE, by_hand=HANDS),
        ]
    }
)
RUN = _record(
    format={"const": RUN_FORMAT},
    run=MAYBE,
    fleet=TEXT,
    result=_one_of(*ENDINGS, "nothing-to-do"),
    why=MAYBE,
    unread=UNREAD,
    steps=_several(
        _record(id=TEXT, server=TEXT, slot=MAYBE, kind=MAYBE, outcome=_one_of(*get_args(Outcome)), why=MAYBE)
    ),
    by_hand=BY_HAND,
    summary=SUMMARY,
    record=_either(_record(**WHO, files=TEXTS, events=EVENTS)),
)
RUNS = _record(
    format={"const": RUNS_FORMAT},
    fleet=MAYBE,
    more=COUNT,
    runs=_several(
        _record(run=TEXT, fleet=MAYBE, result=_one_of(*ENDINGS), why=MAYBE, **WHO, summary=SUMMARY),
    ),
)
DRIFT_REPORT = _record(
    format={"const": DRIFT_FORMAT},
    made_at=MOMENT,
    fleet=TEXT,
    inventory_sha256=TEXT,
    select=TEXTS,
    complete=FLAG,
    unread=UNREAD,
    findings=_several(DRIFT),
    notices=NOTICES,
    summary=_record(servers=COUNT, slots=COUNT, findings=COUNT, ignored=COUNT),
)
VALIDATE = _record(
    format={"const": VALIDATE_FORMAT},
    fleet=TEXT,
    inventory_sha256=TEXT,
    valid={"const": True},
    warnings=_several(FAULT),
    unhandled=_several(_record(path=TEXT, message=TEXT)),
    awaited=_several(_record(server=TEXT, slot=TEXT, certificate=TEXT, why=TEXT)),
    summary=_record(servers=COUNT, slots=COUNT, certificates=COUNT, databases=COUNT),
)
RENEW = _record(
    format={"const": RENEW_FORMAT},
    made_at=MOMENT,
    fleet=TEXT,
    select=TEXTS,
    rehearsed=FLAG,
    certificates=_several(
        _record(
            certificate=TEXT,
            server=MAYBE,
            issuer=TEXT,
            state=_one_of(*get_args(RenewState)),
            why=MAYBE,
            due_at=_either(MOMENT),
            not_after=_either(MOMENT),
            at_risk=FLAG,
            notes=TEXTS,
        )
    ),
    summary=_record(**dict.fromkeys(get_args(RenewState), COUNT)),
)
CERTIFICATE = _record(
    common_name=MAYBE,
    subject=TEXT,
    names=TEXTS,
    issuer=TEXT,
    serial=TEXT,
    not_before=MOMENT,
    not_after=MOMENT,
    days_left=NUMBER,
    key=TEXT,
    eku=_either(TEXTS),
    ca=FLAG,
    sha256=DIGEST,
)
STORE = _record(
    format={"const": STORE_FORMAT},
    made_at=MOMENT,
    fleet=TEXT,
    folder=TEXT,
    certificates=_several(
        _record(
            certificate=TEXT,
            server=MAYBE,
            issuer=TEXT,
            asked_at=_either(MOMENT),
            failures=COUNT,
            failed=MAYBE,
            next_try=_either(MOMENT),
            revisions=_several(
                _record(
                    at=MOMENT, issuer=TEXT, device_key=MAYBE, due_at=MOMENT, ends=MOMENT, chain=_several(CERTIFICATE)
                )
            ),
        )
    ),
)


def _reading(schema: Document) -> Document:
    return _record(reading=_one_of("known", "absent", "unread"), why=MAYBE, value=_either(schema))


DATABASE = _record(
    database=TEXT,
    wanted=_one_of("node", "client"),
    role=_one_of("primary", "replica", "client", "none", "unclear"),
    state=_reading(
        _record(
            status=TEXT,
            error=MAYBE,
            standing=FLAG,
            busy=FLAG,
            expired=FLAG,
            members=_several(
                _record(
                    address=TEXT,
                    me=FLAG,
                    connected=FLAG,
                    role=_one_of(*get_args(MemberRole)),
                    in_sync=_either(FLAG),
                )
            ),
            node_in_use=MAYBE,
            interface=MAYBE,
            last_command=MAYBE,
            last_state=_one_of(*get_args(CommandState)),
        )
    ),
    files=_several(
        _record(
            use=_one_of("server", "client", "ca"),
            certificate=TEXT,
            key=MAYBE,
            on_disk=_reading(_several(CERTIFICATE)),
        )
    ),
)
STATUS = _record(
    format={"const": STATUS_FORMAT},
    made_at=MOMENT,
    fleet=TEXT,
    inventory_sha256=TEXT,
    select=TEXTS,
    complete=FLAG,
    unread=UNREAD,
    servers=_several(
        _record(
            server=TEXT,
            reached=FLAG,
            release=MAYBE,
            clock_skew=_either({"type": "number"}),
            password_expires=MAYBE,
            slots=_several(
                _record(
                    slot=TEXT,
                    wanted=_either(_record(certificate=MAYBE, bundle=MAYBE, sha256=_either(DIGEST))),
                    bound=_reading(_record(key=MAYBE, certificate=MAYBE, bundle=MAYBE, tag=MAYBE)),
                    on_disk=_reading(_several(CERTIFICATE)),
                    served=_reading(_several(CERTIFICATE)),
                    due_at=_either(MOMENT),
                    ahead=TEXTS,
                )
            ),
            database=_either(DATABASE),
        )
    ),
)
HOLDER = {"fleet": TEXT, "owner": MAYBE, "machine": MAYBE, "run": MAYBE, "command": MAYBE, "since": _either(MOMENT)}
NODE_LOCK = _record(
    server=TEXT,
    file=TEXT,
    state=_one_of("held", "expired", "unreadable"),
    why=MAYBE,
    **{**HOLDER, "fleet": MAYBE},
    until=_either(MOMENT),
)
LOCKS = _record(
    format={"const": LOCKS_FORMAT},
    locks=_several(_record(**HOLDER, state=_one_of("held", "dead", "left"), pid=_either(COUNT))),
    servers=_either(_several(NODE_LOCK)),
    unread=UNREAD,
    released=TEXTS,
    removed=_several(NODE_LOCK),
)
ADOPT = _record(
    format={"const": ADOPT_FORMAT},
    fleet=MAYBE,
    inventory=MAYBE,
    servers=_several(
        _record(server=TEXT, address=TEXT, fqdn=TEXT, release=MAYBE, slots=COUNT, remarks=TEXTS),
    ),
    remarks=TEXTS,
    drift=_several(DRIFT),
    unread=UNREAD,
    summary=_record(certificates=COUNT, bundles=COUNT, databases=COUNT, files=COUNT, steps=COUNT),
)
ERROR = _record(
    format={"const": ERROR_FORMAT},
    code=COUNT,
    reason=TEXT,
    server=MAYBE,
    message=TEXT,
    hint=MAYBE,
    faults=_several(FAULT),
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
