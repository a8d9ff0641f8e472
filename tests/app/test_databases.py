"""Database clusters through the use cases: which servers are asked, where notes are, what makes a saved plan stale."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cmscert.app.apply import check_saved
from cmscert.app.inventory import Chosen, choose
from cmscert.app.plan import drift, members_of, memory_of, plan, recall, state_dir_of
from cmscert.app.ports import Ports
from cmscert.cli.laboratory import make_pki
from cmscert.errors import InputError, StalePlan, Unreachable
from cmscert.model.database import FormerPrimary
from cmscert.model.login import Login
from cmscert.model.readings import ABSENT, Reading
from cmscert.pki.certificate import Certificate
from cmscert.testing.toy_databases import CLIENT, NODES, ToyDatabases
from cmscert.transport.session import ReadSession

NOW = datetime.now(UTC)
FORMER = FormerPrimary(database="main", server="core2", at=NOW, status="10.0.0.12: Connected Primary")


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The inventory with a database, and material beside it."""
    place = tmp_path_factory.mktemp("inventory") / "cluster.yaml"
    shutil.copy(Path(__file__).parents[2] / "inventories" / "cluster.yaml", place)
    make_pki(place, fresh=True)
    (place.parent / "known_hosts").touch()
    return place


@pytest.fixture
def chosen(inventory: Path) -> Chosen:
    """All of it."""
    return choose(inventory, now=NOW)


@asynccontextmanager
async def nobody(login: Login, *_: object) -> AsyncIterator[ReadSession]:
    """Reach no server."""
    raise Unreachable(login.server, "no TCP connection")
    yield


async def probe(*_: object) -> Reading[tuple[Certificate, ...]]:
    """See no port."""
    return ABSENT


PORTS = Ports(reader=nobody, writer=nobody, probe=probe)


def test_members_are_asked_whatever_is_selected(inventory: Path) -> None:
    """What a database uses must not be removed, so its members are asked although only a service is selected."""
    narrow = choose(inventory, now=NOW, select=("service=webadmin",))

    assert narrow.fleet.databases == ()
    assert members_of(narrow) == {"core1", "core2", "core3", "core4"}
    assert recall(narrow, state_dir_of(narrow, None)).primaries == {}


def test_notes_are_beside_the_inventory_or_in_the_state_folder(chosen: Chosen, tmp_path: Path) -> None:
    """Plan and apply look at the same place for the same fleet."""
    beside = memory_of(chosen, state_dir_of(chosen, None)).path("main")

    assert beside == chosen.folder / ".cmscert" / "databases" / f"{chosen.fleet.fleet}-main.json"
    assert memory_of(chosen, tmp_path).path("main").parent == tmp_path / "databases"


async def test_a_note_is_planned_with(
    inventory: Path, chosen: Chosen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plan and drift say that a rebuild is continued, and with whose data."""
    monkeypatch.setenv("CMS_PASSWORD", "x")
    memory_of(chosen, tmp_path).remember(FORMER)
    made = await plan(inventory, PORTS, now=NOW, state_dir=tmp_path)
    told = await drift(inventory, PORTS, now=NOW, state_dir=tmp_path)

    for notices in (made.plan.notices, told.report.notices):
        notice = next(each for each in notices if each.reason == "database-continued")
        assert "the data is on core2" in notice.message


@pytest.mark.parametrize("use", [plan, drift])
async def test_a_damaged_note_ends_it_before_anything_is_asked(
    inventory: Path, chosen: Chosen, tmp_path: Path, use: object
) -> None:
    """A note that cannot be read is an error with its path, before any secret is resolved or server reached."""
    path = memory_of(chosen, tmp_path).path("main")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"{")

    with pytest.raises(InputError, match="not JSON"):
        await use(inventory, PORTS, now=NOW, state_dir=tmp_path)


async def test_a_changed_note_makes_a_saved_plan_stale(tmp_path: Path) -> None:
    """The servers show the same, and yet another one holds the data: other steps follow, so the plan is refused."""
    toy = ToyDatabases(folder=tmp_path, roles=dict.fromkeys((*NODES, CLIENT), "none"))
    saved = await toy.plan()
    toy.memory.remember(FORMER)
    now = await toy.plan()

    with pytest.raises(StalePlan, match=r"core1, core2.*: other steps follow than the plan's"):
        check_saved(saved.plan, now, now)
    toy.memory.forget("main")
    again = await toy.plan()
    assert check_saved(saved.plan, again, again).plan.steps == saved.plan.steps
