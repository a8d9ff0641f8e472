"""A plan's actions as text, by the release of their server."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cmscert.mmp.services import SERVICES
from cmscert.mmp.typed import row_of, shown, typed
from cmscert.model.observed import Binding
from cmscert.model.plan import Plan, PutFile, Rebind, RemoveFiles, Restart

PLAN = Plan(
    made_at=datetime(2026, 11, 23, tzinfo=UTC),
    tool_version="0",
    fleet="example",
    inventory_sha256="0" * 64,
    basis={},
    releases={"old": "2.9", "new": "3.9"},
)
PUT = PutFile(file="a.crt", content="sha256:00", role="certificate")


def test_an_upload_needs_no_release() -> None:
    """What touches no service is typed without looking at the table."""
    assert row_of(PUT, "elsewhere", PLAN, SERVICES) is None
    assert typed(PUT, "elsewhere", PLAN, SERVICES) == ("sftp put a.crt",)


def test_a_restart_is_typed_by_the_release_of_its_server() -> None:
    """A service that a release does not have, or a server without a release, cannot be typed."""
    assert typed(Restart(service="webbridge"), "old", PLAN, SERVICES) == ("webbridge disable", "webbridge enable")
    for server in ("new", "elsewhere"):
        with pytest.raises(ValueError, match="row of service webbridge"):
            typed(Restart(service="webbridge"), server, PLAN, SERVICES)


def test_what_nobody_can_type_is_shown_all_the_same() -> None:
    """A page names what cannot be typed; what can be is shown as it is typed."""
    action = Rebind(service="webadmin", bindings=(Binding(slot="webadmin", key="a.key", certificate="a\n.crt"),))
    [told] = shown(action, "new", PLAN, SERVICES)
    [long] = shown(RemoveFiles(files=("x\x1b",)), "new", PLAN, SERVICES)

    assert told.startswith("(cannot be typed: ")
    assert told.endswith(": a.key, a\n.crt)")
    assert long.startswith("(cannot be typed: ")
    assert shown(PUT, "elsewhere", PLAN, SERVICES) == typed(PUT, "elsewhere", PLAN, SERVICES)
