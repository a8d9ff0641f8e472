"""Copies of files that are to be overwritten: one is a way back only when it is known to be whole."""

from __future__ import annotations

import pytest

from cmscert.model.plan import SaveFile
from cmscert.testing.fleets import ToyFleet, identity

from .conftest import Generation, plan_of


@pytest.mark.parametrize("whole", [True, False])
def test_half_a_copy_is_made_again(new: Generation, aged: Generation, *, whole: bool) -> None:
    """A copy that an upload cut off left, whatever became of its run, is made again while the file itself is right."""
    fleet = ToyFleet()
    core = fleet.server("core1")
    core.wanted["webadmin"] = identity("webadmin", new.material("cluster", naming="fixed"), new.corp)
    core.hold("webadmin", (aged.cluster.certificate,), bundle=new.ca.bundle)
    saves = [step.action for step in plan_of(fleet).plan.steps if isinstance(step.action, SaveFile)]
    certificate, key = sorted(saves, key=lambda save: save.file)
    core.files[certificate.saved_as] = (aged.cluster.certificate,) if whole else ()
    core.keys[key.saved_as] = "nobody can tell"

    again = [step.action for step in plan_of(fleet).plan.steps if isinstance(step.action, SaveFile)]

    assert (certificate in again) is not whole
    assert key in again
