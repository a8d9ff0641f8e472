"""What runs left, put together with the journals: where a run is not known to have ended, nothing is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cmscert.app.proofs import keep_proofs, proofs_of
from cmscert.apply.journal import Journal
from cmscert.apply.proofs import write_proofs
from cmscert.mmp.services import SERVICES
from cmscert.model.origin import Proofs, ServerProofs
from cmscert.planning.make import make_plan
from cmscert.planning.proving import Ran
from cmscert.reports.plan_document import plan_document
from cmscert.testing.fleets import MOMENT, ToyFleet
from cmscert.testing.plans import sample_plan

AT = datetime(2026, 11, 23, 20, 30, tzinfo=UTC)
RUN = "20261123T203000Z-abcdef"
LATER = "20261123T203001Z-abcdef"
KNOWN = Proofs(servers={"core1": ServerProofs(), "edge1": ServerProofs(), "edge7": ServerProofs()})


def begin(state_dir: Path, run: str, *, fleet: str = "example") -> Path:
    """Write the journal of a run that never ended."""
    journal = Journal.create(state_dir, run, plan_document(sample_plan(), SERVICES), {"fleet": fleet})
    journal.close()
    return journal.folder


def opened(state_dir: Path, *, own: str | None = None) -> dict[str, str | None]:
    """Return the runs that are open, by server."""
    return {name: each.open for name, each in proofs_of(state_dir, "example", own=own).servers.items()}


def test_a_run_that_is_not_known_opens_its_servers(tmp_path: Path) -> None:
    """A run that died, or goes on, makes the servers of its plan untold, but for the run that asks."""
    begin(tmp_path, RUN)
    write_proofs(tmp_path, "example", KNOWN)
    calm = opened(tmp_path)
    begin(tmp_path, LATER)

    assert set(calm.values()) == {None}
    assert opened(tmp_path, own=LATER) == calm
    assert opened(tmp_path) == {"core1": LATER, "edge1": LATER, "edge7": None}


def test_a_plan_that_cannot_be_read_opens_every_server(tmp_path: Path) -> None:
    """Nobody knows what such a run was to change."""
    write_proofs(tmp_path, "example", KNOWN)
    (begin(tmp_path, LATER) / "plan.json").write_text("{")

    assert set(opened(tmp_path).values()) == {LATER}


def test_without_proofs_no_run_is_read(tmp_path: Path) -> None:
    """Where nothing was kept there is nothing to tell, whatever runs there are."""
    begin(tmp_path, RUN)

    assert proofs_of(tmp_path, "example") == Proofs()


def test_runs_that_cannot_be_listed_are_a_fault(tmp_path: Path) -> None:
    """Where the runs cannot be read nothing is told, and why."""
    write_proofs(tmp_path, "example", KNOWN)
    (tmp_path / "runs").write_text("")

    assert str(proofs_of(tmp_path, "example").fault).startswith("the runs cannot be read")


def test_proofs_that_cannot_be_kept_are_remarked(tmp_path: Path) -> None:
    """A run that went well stays so when its proofs cannot be written."""
    fleet = ToyFleet()
    fleet.server("core1")
    desired, observed = fleet.desired(), dict(fleet.observed())
    plan = make_plan(desired, observed, table=SERVICES, moment=MOMENT, tool_version="0").plan
    ran = Ran(plan=plan, outcomes={}, desired=desired, observed=observed, contents={}, run=None, at=AT)
    remarks: list[tuple[str, object]] = []
    (tmp_path / "proofs").write_text("")

    keep_proofs(tmp_path, ran, lambda text, **facts: remarks.append((text, facts["why"])), own=RUN)
    assert [text for text, _ in remarks] == ["what was left is not kept"]

    keep_proofs(tmp_path / "other", replace(ran, run=RUN), lambda text, **_: pytest.fail(text), own=RUN)
    assert proofs_of(tmp_path / "other", "toy").servers["core1"].named == frozenset({"server"})
