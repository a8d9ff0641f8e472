"""Status shows what is there whatever state the journal is in, what differs, and who else is at work."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cmscert.model.marker import Marker, marker_content, marker_name

Cli = Callable[..., Any]
MakeBench = Callable[..., Any]
FORMS = ("text", "json", "markdown", "html", "prometheus")
RUN = "20261123T215900Z-ffffff"


@pytest.fixture(scope="module")
def made(shared_bench: MakeBench) -> Any:  # noqa: ANN401 - the bench of conftest
    """One server with old certificates; nothing is changed on it."""
    return shared_bench("single.yaml", "aged")


@pytest.mark.parametrize("form", FORMS)
def test_a_damaged_state_directory_stops_nothing(made: Any, cli: Cli, form: str) -> None:  # noqa: ANN401 - same
    """Where the journal cannot be read, status is drawn without it and says so; drift and plans refuse."""
    state = made.folder / f"state-{form}"
    state.mkdir()
    (state / "runs").write_text("")
    ran = cli("status", made.inventory, "--format", form, "--state-dir", state)
    drift = cli("drift", made.inventory, "--state-dir", state)

    assert ran.code == 0, ran
    assert "the runs cannot be read" in " ".join((ran.out + ran.err).split())
    assert "webbridge3" in ran.out
    assert drift.code == 3


def test_a_planted_state_directory_stops_nothing(made: Any, cli: Cli) -> None:  # noqa: ANN401 - same
    """A link where the state directory is to be is told, and not followed."""
    (made.folder / "elsewhere").mkdir()
    (made.folder / ".cmscert").symlink_to(made.folder / "elsewhere")
    try:
        ran = cli("status", made.inventory, "--format", "json")
    finally:
        (made.folder / ".cmscert").unlink()

    assert ran.code == 0, ran
    assert ran.document("status")["journal"].startswith(".cmscert: ")


def test_what_differs_stands_at_its_slot(made: Any, cli: Cli) -> None:  # noqa: ANN401 - same
    """A slot that is not as wanted says so, with what drift says of it, and the end is still that of a look."""
    text = cli("status", made.inventory)
    document = cli("status", made.inventory, "--format", "json").document("status")
    page = cli("status", made.inventory, "--format", "markdown")
    drift = cli("drift", made.inventory, "--format", "json").document("drift")

    assert text.code == 0
    assert "differs   leaf-differs" in text.out
    assert "cannot be told" in " ".join(text.out.split())
    assert document["findings"] == drift["findings"]
    assert document["journal"] is None
    assert f"### What differs: {len(drift['findings'])}" in page.out


@pytest.mark.parametrize("left", [10, -10])
def test_lock_files_of_other_machines_are_shown(made: Any, cli: Cli, left: int) -> None:  # noqa: ANN401 - same
    """Who is changing the fleet, or died while doing it, stands in status as it stands in a plan."""
    now = datetime.now(UTC)
    until = now + timedelta(minutes=left)
    marker = Marker(
        file=marker_name(RUN), fleet="single", owner="bob", machine="desk3", run=RUN, since=now, until=until
    )
    files = made.node("cms").files
    files[marker.file] = marker_content(marker)
    try:
        text = cli("status", made.inventory)
        found = cli("status", made.inventory, "--format", "json").document("status")["notices"]
        plan = cli("plan", made.inventory, "--format", "json").document("plan")["notices"]
    finally:
        del files[marker.file]

    assert "bob on desk3" in text.out
    assert [each["reason"] for each in found] == ["foreign-lock" if left > 0 else "expired-lock"]
    assert found[0] in plan
