from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmscert.app.plan_file import LARGEST, load_plan, read_plan
from cmscert.errors import InputError
from cmscert.mmp.services import SERVICES
from cmscert.model.database import DatabaseFiles
from cmscert.model.observed import Binding
from cmscert.model.plan import (
    FLEET,
    BackupDatabase,
    CheckFiles,
    ClearDatabaseError,
    ConfigureDatabase,
    ConfirmPrimary,
    ConnectCluster,
    CopyFile,
    Drift,
    Gate,
    Impact,
    InitializeCluster,
    JoinCluster,
    LeaveCluster,
    MintDatabase,
    Notice,
    Plan,
    ProveCluster,
    PutFile,
    Rebind,
    Refusal,
    RemoveFiles,
    Restart,
    RestoreFile,
    SaveFile,
    Step,
    UpgradeSchema,
)
from cmscert.reports.plan_document import dump, plan_document
from cmscert.testing.plans import database_plan, empty_plan, sample_plan

Document = dict[str, Any]
FILE = st.from_regex(r"[a-z0-9_-]{1,20}\.(crt|key)", fullmatch=True)
WORDS = st.text(max_size=30)
MAYBE = st.none() | WORDS


def built(kind: Any, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:  # noqa: ANN401 - any value's class
    """Build values; fields that are not named take their default, so each is named."""
    return st.builds(kind, **fields)


def several(each: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    """Make a tuple of a few."""
    return st.lists(each, max_size=3).map(tuple)


RESTORE = built(RestoreFile, file=FILE, saved_as=FILE)
BINDING = built(Binding, slot=st.just("turn"), key=FILE, certificate=FILE, bundle=st.none() | FILE, tag=st.none())
REBIND = built(
    Rebind, service=st.just("turn"), bindings=several(BINDING), stopped=st.booleans(), restores=several(RESTORE)
)
RESTART = built(Restart, service=st.just("turn"), restores=several(RESTORE), tags=several(FILE))
NAME = st.from_regex(r"[a-z0-9_-]{1,20}", fullmatch=True)
ADDRESS = st.ip_addresses().map(str)
CLUSTER = st.one_of(
    built(BackupDatabase, name=NAME),
    built(CopyFile, file=FILE, source=NAME),
    built(
        MintDatabase,
        ca=NAME,
        ca_common_name=st.just("example.com"),
        server=NAME,
        server_common_name=st.just("core1.example.com"),
        server_sans=several(st.just("core2.example.com")),
        client=NAME,
        client_common_name=st.just("postgres"),
    ),
    built(ConfirmPrimary, database=WORDS, server=WORDS),
    built(ProveCluster, database=WORDS, members=several(ADDRESS)),
    built(JoinCluster, primary=ADDRESS),
    built(ConnectCluster, primary=ADDRESS),
    built(
        ConfigureDatabase,
        files=st.one_of(
            built(DatabaseFiles, client_key=FILE, client_certificate=FILE, ca=FILE),
            built(
                DatabaseFiles,
                server_key=FILE,
                server_certificate=FILE,
                client_key=FILE,
                client_certificate=FILE,
                ca=FILE,
            ),
        ),
        interface=NAME,
    ),
    st.sampled_from([LeaveCluster(), InitializeCluster(), ClearDatabaseError(), UpgradeSchema()]),
)
ACTION = st.one_of(
    CLUSTER,
    built(
        PutFile,
        file=FILE,
        content=WORDS,
        role=st.sampled_from(["certificate", "key", "bundle"]),
        overwrites=st.booleans(),
    ),
    built(SaveFile, file=FILE, saved_as=FILE),
    RESTORE,
    built(CheckFiles, key=FILE, certificate=FILE, bundle=st.none() | FILE),
    REBIND,
    RESTART,
    built(RemoveFiles, files=several(FILE)),
    built(Gate, opens=st.sampled_from(["services", "removal"])),
)
STEP = built(
    Step,
    id=WORDS,
    server=st.just("core1"),
    slot=MAYBE,
    action=ACTION,
    because=several(WORDS),
    after=st.just(()),
    impact=st.none() | built(Impact, service=WORDS, notices=WORDS, seconds=st.integers(0, 10**6)),
    undo=st.none() | REBIND | RESTART | RESTORE,
)
PLAN = built(
    Plan,
    made_at=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - bounds are naive
    tool_version=WORDS,
    fleet=WORDS,
    inventory_sha256=WORDS,
    basis=st.dictionaries(WORDS, WORDS, max_size=3),
    basis_parts=st.dictionaries(WORDS, st.dictionaries(WORDS, WORDS, max_size=3), max_size=2),
    select=several(WORDS),
    unread=several(st.tuples(WORDS, WORDS)),
    drift=several(
        built(
            Drift,
            server=WORDS,
            slot=MAYBE,
            reason=WORDS,
            wanted=WORDS,
            found=WORDS,
            severity=st.sampled_from(["error", "warning", "notice"]),
            plannable=st.booleans(),
            ignored=MAYBE,
        )
    ),
    steps=st.lists(STEP, max_size=4, unique_by=lambda step: step.id).map(tuple),
    refusals=several(built(Refusal, guard=WORDS, message=WORDS, server=MAYBE, liftable=st.booleans())),
    notices=several(built(Notice, message=WORDS, server=MAYBE, slot=MAYBE, reason=WORDS)),
    releases=st.just({"core1": "3.9"}),
)


def written(plan: Plan) -> bytes:
    """Write a plan as its file's bytes."""
    return dump(plan_document(plan, SERVICES)).encode()


@settings(deadline=None)
@given(PLAN)
def test_reading_gives_back_what_was_written(plan: Plan) -> None:
    """Whatever a plan holds, writing and reading it gives the same value, and writing that the same bytes."""
    content = written(plan)
    again = read_plan(content)

    assert again == plan
    assert written(again) == content


@pytest.mark.parametrize("plan", [sample_plan(), database_plan(), empty_plan()], ids=["sample", "database", "empty"])
def test_saved_plans_come_back(plan: Plan, tmp_path: Path) -> None:
    """A plan that was saved comes back from its file."""
    (tmp_path / "p.json").write_bytes(written(plan))

    assert load_plan(tmp_path / "p.json") == plan


def edited(change: Callable[[Document], object]) -> bytes:
    """Change the sample plan's document."""
    document = json.loads(written(sample_plan()))
    change(document)
    return json.dumps(document).encode()


DEEP = b'{"format": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
LONG = b'{"format": ' + b"1" * 10_000 + b"}"

BAD: list[tuple[str, bytes, str]] = [
    ("not UTF-8", b"\xff\xfe", "not utf-8"),
    ("not JSON", b"{", "not json"),
    ("nested too deeply", DEEP, "nested too deeply"),
    ("a number too long", LONG, "too long"),
    ("too large", b" " * (LARGEST + 1), "more than the 40 mb that are read"),
    ("no object", b"[]", "not a plan"),
    ("no format", b"{}", "not a plan"),
    ("another document", b'{"format": "cmscert.run/1"}', "not a plan"),
    ("a later format", b'{"format": "cmscert.plan/2"}', "does not know"),
    ("an unknown key", edited(lambda d: d.update(extra=1)), "extra"),
    ("an unknown key of a step", edited(lambda d: d["steps"][0].update(extra=1)), "steps.0.extra"),
    ("a key missing", edited(lambda d: d.pop("basis")), "basis"),
    ("parts that are no texts", edited(lambda d: d.update(basis_parts={"core1": {"release": 3}})), "basis_parts.core1"),
    ("a wrong type", edited(lambda d: d.update(fleet=3)), "fleet"),
    ("an unknown action", edited(lambda d: d["steps"][0]["action"].update(kind="format-disk")), "steps.0.action"),
    ("an undo that is no way back", edited(lambda d: d["steps"][6]["undo"]["action"].update(kind="put")), "undo"),
    ("a moment without zone", edited(lambda d: d.update(made_at="2026-11-23T20:30:00")), "made_at"),
    ("negative seconds", edited(lambda d: d["steps"][6]["impact"].update(seconds=-1)), "seconds"),
    ("an id twice", edited(lambda d: d["steps"][1].update(id="s01")), "s01 stands twice"),
    ("a link to nowhere", edited(lambda d: d["steps"][0].update(after=["s99"])), "s99 is no step in front"),
    ("a link forward", edited(lambda d: d["steps"][0].update(after=["s02"])), "s02 is no step in front"),
    ("commands that are not the action's", edited(lambda d: d["steps"][6]["commands"].pop()), "steps.6.commands"),
    ("a way back that is another", edited(lambda d: d["steps"][6]["undo"]["commands"].pop()), "steps.6.undo.commands"),
    ("a name that cannot be typed", edited(lambda d: d["steps"][0]["action"].update(file="a\nb")), "steps.0.action"),
    ("a service that nobody knows", edited(lambda d: d["steps"][8]["action"].update(service="x")), "steps.8.action"),
    ("a server without release", edited(lambda d: d["releases"].pop("edge1")), "edge1 has no release"),
]


@pytest.mark.parametrize(("content", "said"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_plan_files_are_refused(content: bytes, said: str, tmp_path: Path) -> None:
    """Each fault of a plan file is an InputError that names it, and says how to get a good one."""
    file = tmp_path / "p.json"
    file.write_bytes(content)

    with pytest.raises(InputError) as caught:
        load_plan(file)
    assert said in str(caught.value).lower()
    assert "cmscert plan --save" in str(caught.value.hint)


def test_all_faults_come_at_once() -> None:
    """A file with two faults names both."""
    with pytest.raises(InputError) as caught:
        read_plan(edited(lambda d: (d.update(fleet=3), d.pop("basis"))))

    assert {fault.path for fault in caught.value.faults} == {"fleet", "basis"}


@pytest.mark.parametrize("name", ["missing.json", "."])
def test_unreadable_files_are_refused(name: str, tmp_path: Path) -> None:
    """A file that is missing, or is a folder, is an InputError."""
    with pytest.raises(InputError):
        load_plan(tmp_path / name)


def test_commands_of_another_release_are_not_judged() -> None:
    """What another release of cmscert types is not known here; such a plan is refused as stale when it is applied."""
    content = edited(lambda d: (d.update(tool_version="0.0.1"), d["steps"][6]["commands"].pop()))

    assert read_plan(content).tool_version == "0.0.1"


def test_gates_need_no_release() -> None:
    """A gate belongs to no server, so it needs none in the plan."""
    assert [step.server for step in read_plan(written(sample_plan())).steps].count(FLEET) == 1


def test_plans_without_parts_are_read() -> None:
    """A file that an earlier build wrote has no parts of its basis: it can be read, and tells less when it is stale."""
    assert read_plan(edited(lambda d: d.pop("basis_parts"))).basis_parts == {}
