from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import date, timedelta
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator

from cmscert.errors import Fault, InputError, StalePlan, Unreachable
from cmscert.mmp.services import SERVICES
from cmscert.model.desired import Awaited, Bundle, Material, Unhandled, WantedIdentity, WantedTrust
from cmscert.model.events import RunResult, StepResult
from cmscert.model.names import Release
from cmscert.model.observed import Binding
from cmscert.model.plan import Action, Plan
from cmscert.model.readings import ABSENT, Known, Unread
from cmscert.model.results import DriftReport, FleetStatus, ServerStatus, SlotStatus
from cmscert.model.validation import Validation
from cmscert.pki.certificate import Certificate
from cmscert.reports.documents import (
    drift_document,
    error_document,
    plain_error_document,
    run_document,
    status_document,
    validate_document,
)
from cmscert.reports.error_text import error_text
from cmscert.reports.fleet_text import drift_text, status_text
from cmscert.reports.plan_document import dump, plan_document
from cmscert.reports.plan_schema import ACTIONS
from cmscert.reports.result_text import run_text
from cmscert.reports.schemas import report_schemas
from cmscert.reports.validate_text import validate_text
from cmscert.testing.plans import MOMENT, SHA, database_plan, empty_plan, sample_plan

Golden = Callable[[str, str], None]
Make = Callable[..., Certificate]


def check(name: str, document: object) -> None:
    """Hold a document, as it comes back from its text, against its schema."""
    assert isinstance(document, dict)
    Draft202012Validator(report_schemas()[name]).validate(json.loads(dump(document)))


@pytest.mark.parametrize("name", sorted(report_schemas()))
def test_schemas_are_schemas(name: str) -> None:
    """Every schema is valid JSON Schema."""
    Draft202012Validator.check_schema(report_schemas()[name])


@pytest.mark.parametrize("plan", [sample_plan(), database_plan(), empty_plan()], ids=["sample", "database", "empty"])
def test_plan_document_fits_its_schema(plan: Plan) -> None:
    """A plan's document holds every key of the contract and no other."""
    check("plan", plan_document(plan, SERVICES))


def test_plan_document_reads_as_written(golden: Golden) -> None:
    """The plan file's bytes are the same every time."""
    golden("plan.json", dump(plan_document(sample_plan(), SERVICES)))


def test_schema_knows_every_action() -> None:
    """Each kind of action stands in the schema with exactly its fields."""
    in_schema = {str(each["properties"]["kind"]["const"]): set(each["properties"]) for each in ACTIONS}  # type: ignore[index]  # a dict of dicts
    in_model = {
        str(next(field.default for field in fields(kind) if field.name == "kind")): {f.name for f in fields(kind)}
        for kind in get_args(Action)
    }

    assert in_model == in_schema


def result(ending: Any = "applied") -> RunResult:  # noqa: ANN401 - a literal
    """Make the result of a run of the sample plan."""
    good = ending == "applied"
    outcomes: dict[str, Any] = {
        "s07": "done",
        "s08": "done" if good else "undone",
        "s09": "done" if good else "failed",
        "s10": "done" if good else "skipped",
    }
    return RunResult(
        run="20261123T203000Z-7f3a",
        result=ending,
        steps=tuple(
            StepResult(
                step=step.id,
                server=step.server,
                outcome=outcomes.get(step.id, "done"),
                why={"s09": "turn does not answer on port 443", "s10": "s09 failed"}.get(step.id) if not good else None,
            )
            for step in sample_plan().steps
        ),
        by_hand=(("edge1", ("turn disable", "turn enable")),) if ending == "neither" else (),
        why=None if good else "turn of edge1 does not come up",
    )


@pytest.mark.parametrize("ending", ["applied", "rolled-back", "neither", "interrupted"])
def test_run_reads_as_written(golden: Golden, ending: str) -> None:
    """Each ending of a run is told with what was done, undone, failed and left, in text and as a document."""
    golden(f"run-{ending}.txt", run_text(result(ending), sample_plan()))
    check("run", run_document(result(ending), sample_plan()))


def test_what_is_typed_by_hand_is_never_broken() -> None:
    """A command that is longer than the terminal stays one line: pasted in two, its first half would be carried out."""
    command = f"webbridge3 c2w certs {'k' * 60}.key {'c' * 60}.crt"
    text = run_text(replace(result("neither"), by_hand=(("edge1", (command,)),)), sample_plan(), width=80)

    assert f"\n  {command}\n" in text


@pytest.mark.parametrize(("unread", "part"), [((), ""), ((("edge1", "no answer"),), " as far as it could be read")])
def test_a_rollback_says_how_far_it_went(unread: tuple[tuple[str, str], ...], part: str) -> None:
    """A run of which a server had to be left out is not called taken back as a whole."""
    plan = replace(sample_plan(), rolls_back="R", unread=unread)

    assert f"run R is taken back{part}, and that was verified" in run_text(result(), plan, width=200)


def test_run_verbose_lists_what_was_done() -> None:
    """With -v the steps that were done are listed too."""
    assert "s01 core1" in run_text(result(), sample_plan(), verbose=True)


def test_run_without_steps() -> None:
    """Nothing to do is a result as well."""
    assert run_text(None, empty_plan()) == "Nothing to do on example.\n"
    check("run", run_document(None, empty_plan()))


def test_run_of_unknown_steps_is_still_written_down() -> None:
    """A result that names a step which the plan does not know stays readable."""
    odd = replace(result(), steps=(StepResult(step="x", server="core1", outcome="done"),))

    check("run", run_document(odd, empty_plan()))


def drift_report(**changes: Any) -> DriftReport:  # noqa: ANN401 - fields of many types
    """Make a drift report of the sample plan."""
    plan = sample_plan()
    report = DriftReport(
        made_at=MOMENT,
        fleet="example",
        inventory_sha256=SHA,
        servers=3,
        slots=9,
        unread=plan.unread,
        findings=plan.drift,
        notices=plan.notices,
    )
    return replace(report, **changes)


def test_drift_reads_as_written(golden: Golden) -> None:
    """A drift report tells findings by server and slot, and what was not read."""
    golden("drift.txt", drift_text(drift_report()))
    check("drift", drift_document(drift_report()))


def test_no_drift_is_said_of_what_was_read() -> None:
    """No drift is claimed for the whole fleet only when the whole fleet was read."""
    whole = drift_report(findings=(), unread=(), notices=(), select=("role=core",))
    part = drift_report(findings=(), notices=())

    assert "No drift: 9 slots on 3 servers, all as wanted." in drift_text(whole)
    assert "Only role=core" in drift_text(whole)
    assert "in what could be read" in drift_text(part)


def status(make: Make) -> FleetStatus:
    """Make a status with readings of every kind."""
    issuing, root = make("Example Issuing CA", days=2000, ca=True), make("Example Root CA", days=4000, ca=True)
    leaf, old = make("join.example.com", days=200), make("join.example.com", days=8)
    material = Material(certificate="join", leaf=leaf, chain=(issuing, root), spki=SHA)
    corp = Bundle(name="corp", certificates=(issuing, root))
    https = WantedIdentity(slot="webbridge3/https", material=material, file_certificates=material.full_chain)
    turn = replace(https, slot="turn", bundle=corp)
    names = Binding(slot="webbridge3/https", key="join.key", certificate="join.crt")
    trust = Binding(slot="webbridge3/trust-c2w", bundle="corp.crt")
    edge1 = ServerStatus(
        server="edge1",
        unread=None,
        release=Known(Release(3, 9)),
        clock_skew=Known(-2.4),
        password_expires=Known(date(2027, 3, 31)),
        slots=(
            SlotStatus(
                slot="webbridge3/https",
                wanted=https,
                bound=Known(names),
                on_disk=Known((leaf, issuing, root)),
                served=Known((old, issuing)),
                due_at=MOMENT + timedelta(days=40),
                ahead=("47 days at most from 2029-03-15 on",),
            ),
            SlotStatus(
                slot="webbridge3/trust-c2w",
                wanted=WantedTrust(slot="webbridge3/trust-c2w", bundle=corp),
                bound=Known(trust),
                on_disk=Known((issuing, root)),
                served=ABSENT,
            ),
            SlotStatus(
                slot="turn",
                wanted=turn,
                bound=Known(Binding(slot="turn", key="t.key", certificate="t.crt", tag="t1")),
                on_disk=Known((make("gone.example.com", days=-3),)),
                served=Known((make("gone.example.com", days=-3),)),
                due_at=MOMENT - timedelta(days=60),
            ),
            SlotStatus(
                slot="webadmin", wanted=None, bound=Known(Binding(slot="webadmin")), on_disk=ABSENT, served=ABSENT
            ),
            SlotStatus(
                slot="recorder",
                wanted=None,
                bound=Unread("no answer within 60 s"),
                on_disk=Unread("not asked"),
                served=Unread("no answer"),
            ),
            SlotStatus(slot="streamer", wanted=None, bound=ABSENT, on_disk=Known(()), served=ABSENT),
        ),
    )
    blank = Unread("not asked")
    bare = ServerStatus(server="edge3", unread=None, release=blank, clock_skew=blank, password_expires=blank)
    gone = replace(bare, server="edge2", unread="no TCP connection to 10.0.0.22 port 22 within 10 s")
    return FleetStatus(
        made_at=MOMENT, fleet="example", inventory_sha256=SHA, select=("role=edge",), servers=(edge1, gone, bare)
    )


def test_status_reads_as_written(golden: Golden, certificate: Make) -> None:
    """Status tells for every slot what is bound, on disk and served, decoded."""
    golden("status.txt", status_text(status(certificate)))
    check("status", status_document(status(certificate)))


def test_status_of_all_servers_names_no_selection(certificate: Make) -> None:
    """Without a selection none is named."""
    assert "Only" not in status_text(replace(status(certificate), select=()))


def validation() -> Validation:
    """Make a valid inventory with something to say."""
    return Validation(
        fleet="example",
        inventory_sha256=SHA,
        servers=6,
        slots=20,
        certificates=9,
        warnings=(
            Fault(
                message="join.example.com has no clientAuth",
                file="cluster.yaml",
                line=30,
                column=5,
                path="certificates.join",
                reason="eku-missing",
                severity="warning",
            ),
        ),
        unhandled=(Unhandled(path="databases.main", message="a plan does not handle databases yet"),),
        awaited=tuple(
            Awaited(server=name, slot="webadmin", certificate="node", why="waits for a signature")
            for name in ("core1", "core2")
        ),
    )


def test_validation_reads_as_written(golden: Golden) -> None:
    """A valid inventory is counted, with its warnings and what is not handled yet."""
    golden("validate.txt", validate_text(validation()))
    check("validate", validate_document(validation()))


def test_calm_validation_is_one_line() -> None:
    """Without warnings there is one line."""
    calm = replace(validation(), warnings=(), unhandled=(), awaited=())

    assert validate_text(calm) == "Inventory of example is valid: 6 servers, 20 slots, 9 certificates\n"
    clustered = replace(calm, databases=1)
    assert validate_text(clustered) == (
        "Inventory of example is valid: 6 servers, 20 slots, 9 certificates, 1 database\n"
    )


ERRORS = [
    InputError([Fault(message="wrong", file="a.yaml", line=3)], hint="mend it"),
    InputError([Fault(message="one"), Fault(message="two\x1b[2J")]),
    Unreachable("core1", "no answer", hint="look at the network"),
    StalePlan("the plan is stale"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_error_documents_fit_their_schema(error: Any) -> None:  # noqa: ANN401 - any of the tree
    """Every error is one document with its code, and control characters do not pass."""
    document = error_document(error, 4)

    check("error", document)
    assert "\\u001b" not in dump(document)


def test_plain_errors_fit_their_schema() -> None:
    """Wrong usage has the same shape as other errors."""
    check("error", plain_error_document(code=2, reason="usage", message="no such option", hint="--help"))


def test_errors_read_well() -> None:
    """One fault stands in the first line, several are counted and listed, the hint comes last."""
    assert error_text(ERRORS[0]) == "error: a.yaml:3: wrong\nhint: mend it\n"
    assert error_text(ERRORS[1]) == "error: 2 faults\n  one\n  two\\x1b[2J\n"
    assert error_text(ERRORS[3], colour=True) == "\x1b[31merror:\x1b[0m the plan is stale\n"


@pytest.mark.parametrize("folder", ["", "/srv/pipelines/very/long/and/deep/" * 3, "/srv/two words/"])
@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_place_is_never_broken(folder: str, width: int) -> None:
    """A file with line and column stays in one piece, as it is clicked on and pasted; the rest is wrapped."""
    fault = Fault(
        message="outlives its issuer " * 8,
        file=f"{folder}inventories/cluster.yaml",
        line=12,
        column=7,
        path="certificates.join",
        severity="warning",
    )
    text = validate_text(replace(validation(), warnings=(fault, fault)), width=width)

    assert text.count(f"{fault.file}:12:7:") == 2
    longest = max((line for line in text.splitlines() if str(fault.file) not in line), key=len)
    assert len(longest) <= width
