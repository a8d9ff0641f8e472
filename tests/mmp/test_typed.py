"""A plan's actions as text, by the release of their server."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cmscert.mmp.services import SERVICES
from cmscert.mmp.typed import row_of, typed
from cmscert.model.plan import Plan, PutFile, Restart

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
