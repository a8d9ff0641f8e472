"""A lock file that a dead run of this machine left half written: nobody has to wait for its owner."""

from __future__ import annotations

import pytest

from cmscert.mmp.services import SERVICES
from cmscert.model.marker import marker_name
from cmscert.model.readings import Unread
from cmscert.planning.make import make_plan
from cmscert.testing.fleets import MOMENT

from .conftest import Generation, cluster

RUN = "20260301T120000Z-abc123"


@pytest.mark.parametrize(("dead", "refused"), [(frozenset({RUN}), False), (frozenset({"another"}), True)])
def test_half_a_lock_file_of_a_dead_run_holds_nobody_up(
    new: Generation, dead: frozenset[str], *, refused: bool
) -> None:
    """Half a lock file of a run that died here refuses nothing; half of one of nobody knows whom does."""
    fleet = cluster(new)
    torn = Unread(f"{marker_name(RUN)} is no lock file that can be read: it is not whole")
    fleet.server("core1").overrides.update(markers=(torn,))

    plan = make_plan(fleet.desired(), fleet.observed(), table=SERVICES, moment=MOMENT, tool_version="0", dead=dead).plan
    assert ("foreign-lock" in {refusal.guard for refusal in plan.refusals}) is refused
    assert ("foreign-lock" in {notice.reason for notice in plan.notices}) is refused
