"""Database clusters through the command line, on simulated servers whose rows can be lost."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from cmscert.apply.journal import read_journal
from cmscert.lab.backups import rows_in
from cmscert.lab.database import LiveCluster
from cmscert.lab.spec import DatabaseSpec, Faults, NodeSpec
from cmscert.lab.standing import ROWS

Cli = Callable[..., Any]
MakeBench = Callable[..., Any]
ONLY = ("--select", "service=database")
ALLOW = ("--allow", "database-rebuild")
NODES = ("core1", "core2", "core3")
CLIENT = "core4"
REMOVE = "database cluster remove"
JOIN = "database cluster join 10.0.0.11"
CONNECT = "database cluster connect 10.0.0.11"


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look again after a moment, as simulated servers work for a moment only."""
    monkeypatch.setattr("cmscert.apply.database.WAITS", (0.05, 0.1))


def live(made: Any) -> list[LiveCluster]:  # noqa: ANN401 - the bench of conftest
    """Return the clusters that are alive, as the lab knows."""

    async def look() -> list[LiveCluster]:
        return list(made.fleet.database.clusters())

    found: list[LiveCluster] = made.do(look())
    return found


def rows(made: Any, server: str) -> tuple[str, ...]:  # noqa: ANN401 - the bench of conftest
    """Return what a node holds."""
    return tuple(made.node(server).database.rows)


def hold_whole(made: Any, *, primary: str = "core1", clients: tuple[str, ...] = (CLIENT,)) -> None:  # noqa: ANN401 - the bench of conftest
    """Hold that there is one cluster of all members, in sync, with every row."""
    (cluster,) = live(made)
    assert {cluster.primary, *cluster.replicas} == set(NODES)
    assert cluster.primary == primary
    assert cluster.replicas == cluster.in_sync
    assert cluster.clients == clients
    for name in NODES:
        assert rows(made, name) == ROWS


def commands(made: Any, marks: dict[str, int]) -> dict[str, list[str]]:  # noqa: ANN401 - the bench of conftest
    """Return the database commands that change something, by server."""
    told = {name: [line for line in lines if line.startswith("database ")] for name, lines in made.since(marks).items()}
    return {name: lines for name, lines in told.items() if lines}


def runs(made: Any) -> list[Path]:  # noqa: ANN401 - the bench of conftest
    """Return the folders of the runs, oldest first."""
    return sorted((made.folder / ".cmscert" / "runs").iterdir(), key=lambda path: path.stat().st_mtime_ns)


def hold_done(made: Any, cli: Cli) -> None:  # noqa: ANN401 - the bench of conftest
    """Hold that nothing is left to do, and no note about a rebuild."""
    assert cli("plan", made.inventory, "--detailed-exitcode", *ONLY).code == 0
    assert cli("drift", made.inventory, *ONLY).code == 0
    assert list((made.folder / ".cmscert" / "databases").glob("*")) == []


@pytest.mark.parametrize("scenario", ["faults", "aged"])
def test_a_rebuild_has_to_be_allowed(bench: MakeBench, cli: Cli, scenario: str) -> None:
    """The plan is shown and refused with 7, nothing is sent; with --allow all rows are kept, and nothing is left."""
    made = bench("cluster.yaml", scenario, databases=True)
    marks = made.marks()

    refused = cli("apply", made.inventory, "--yes")
    assert refused.code == 7
    assert "leave the database cluster" in refused.out
    assert "database-rebuild" in refused.err
    assert "--allow database-rebuild" in refused.err
    assert made.since(marks) == {}

    applied = cli("apply", made.inventory, "--yes", *ALLOW)
    assert applied.code == 0, applied
    made.settled()
    hold_whole(made)
    hold_done(made, cli)
    assert cli("plan", made.inventory, "--detailed-exitcode").code == 0
    wanted = (made.folder / "pki" / "dbclient.crt").read_bytes()
    assert {made.node(name).database.copies.client_certificate for name in (*NODES, CLIENT)} == {wanted}
    hold_backups(runs(made)[-1])


def hold_backups(run: Path) -> None:
    """Hold that the backups of all nodes are here, with all rows, and that the journal has their sizes and hashes."""
    kept = sorted((run / "backups").glob("*/*"))
    assert [path.parent.name for path in kept] == [name for name in NODES for _ in range(2)]
    told = "\n".join(
        event.shown for event in read_journal(run / "journal.jsonl").events if event.kind == "reply-received"
    )
    for path in kept:
        content = path.read_bytes()
        assert f"{len(content)} bytes, sha256 {sha256(content).hexdigest()}" in told
        assert path.stat().st_mode & 0o777 == 0o600
        if path.suffix == ".bak":
            assert rows_in(content) == set(ROWS)


def test_a_saved_plan_is_applied(bench: MakeBench, cli: Cli, tmp_path: Path) -> None:
    """What was planned and reviewed is what is carried out: clients, replicas, the primary last, and back again."""
    made = bench("cluster.yaml", "aged", databases=True)
    saved = tmp_path / "p.json"
    assert cli("plan", made.inventory, *ONLY, "--save", saved).code == 0
    marks = made.marks()

    assert cli("apply", made.inventory, "--plan", saved, "--yes", *ALLOW).code == 0
    hold_whole(made)
    told = commands(made, marks)
    certs, localnode = told["core1"][1:3]
    assert certs.startswith("database cluster certs dbserver-")
    assert (told["core1"][0], localnode, told["core1"][3]) == (
        REMOVE,
        "database cluster localnode a",
        "database cluster initialize",
    )
    assert (told["core2"][0], told["core2"][-1], told[CLIENT][-1]) == (REMOVE, JOIN, CONNECT)


def test_documents_of_a_rebuild(bench: MakeBench, cli: Cli) -> None:
    """Plan, run, drift and status hold the cluster in documents that fit their schemas."""
    made = bench("cluster.yaml", "aged", databases=True)

    plan = cli("plan", made.inventory, *ONLY, "--format", "json").document("plan")
    typed = [line for step in plan["steps"] for line in step.get("commands", [])]
    assert [line for line in typed if "initialize" in line] == ["database cluster initialize"]
    assert cli("drift", made.inventory, *ONLY, "--format", "json").document("drift")["findings"]
    run = cli("apply", made.inventory, "--yes", *ALLOW, *ONLY, "--format", "json")
    assert run.document("run")["result"] == "applied"
    hold_whole(made)

    told = cli("status", made.inventory, "--format", "json").document("status")["servers"]
    clusters = {server["server"]: server["database"] for server in told}
    assert {name: each and (each["database"], each["role"]) for name, each in clusters.items()} == {
        "core1": ("main", "primary"),
        "core2": ("main", "replica"),
        "core3": ("main", "replica"),
        CLIENT: ("main", "client"),
        "edge1": None,
        "edge2": None,
    }
    shown = cli("status", made.inventory).out
    assert re.findall(r"role +(primary|replica|client)", shown) == ["primary", "replica", "replica", "client"]


def test_a_first_build(bench: MakeBench, cli: Cli) -> None:
    """Where no cluster is, none is taken down: the inventory's primary begins, without any --allow."""
    made = bench("cluster.yaml", "fresh", databases=True)

    applied = cli("apply", made.inventory, "--yes")
    assert applied.code == 0, applied
    hold_whole(made)
    hold_done(made, cli)


def test_one_node_more(bench: MakeBench, cli: Cli) -> None:
    """A node that joins a healthy cluster on the wanted certificates is the only one that is touched."""

    def alone(specs: dict[str, NodeSpec]) -> None:
        specs["core3"].database = DatabaseSpec(rows=("core3-001",))

    made = bench("cluster.yaml", "wanted", databases=True, change=alone)
    marks = made.marks()

    assert cli("apply", made.inventory, "--yes").code == 0
    hold_whole(made)
    hold_done(made, cli)
    assert set(made.since(marks)) == {"core3"}


@pytest.fixture
def ended() -> Iterator[list[subprocess.Popen[str]]]:
    """Hold processes, and end those that are still there."""
    held: list[subprocess.Popen[str]] = []
    yield held
    for process in held:
        process.kill()
        process.communicate()


def test_killed_after_the_second_remove(
    bench: MakeBench, cli: Cli, program: Callable[..., subprocess.Popen[str]], ended: list[subprocess.Popen[str]]
) -> None:
    """SIGKILL in the middle: the next apply knows who held the rows, whatever the nodes say, and loses none."""
    made = bench("cluster.yaml", "aged", databases=True)

    def kill() -> None:
        ended[0].kill()

    made.on("core3", REMOVE, kill)
    ended.append(program("apply", made.inventory, "--yes", *ALLOW, *ONLY))
    assert ended[0].wait(60) == -9
    note = made.folder / ".cmscert" / "databases" / "example-main.json"
    assert json.loads(note.read_bytes())["server"] == "core1"
    assert [made.node(name).database.role for name in ("core2", CLIENT)] == ["none", "none"]

    planned = cli("plan", made.inventory, *ONLY)
    assert "a rebuild was begun" in planned.out
    assert cli("apply", made.inventory, "--yes", *ALLOW, *ONLY).code == 0
    hold_whole(made)
    hold_done(made, cli)


def failed(made: Any, cli: Cli) -> dict[str, Any]:  # noqa: ANN401 - the bench of conftest
    """Apply while the last node cannot join; return the run."""
    made.node("core3").faults = Faults(db_fail=("database cluster join",))
    ran = cli("apply", made.inventory, "--yes", *ALLOW, *ONLY, "--format", "json")
    assert ran.code == 9, ran
    run: dict[str, Any] = ran.document("run")
    assert run["result"] == "neither"
    assert f"{JOIN} has failed" in run["why"]
    made.node("core3").faults = Faults()
    return run


def test_a_join_that_fails_is_finished_by_the_next_apply(bench: MakeBench, cli: Cli) -> None:
    """9, with the exact commands; the next apply goes on where this one ended, and touches nobody who is done."""
    made = bench("cluster.yaml", "aged", databases=True)
    run = failed(made, cli)
    assert [entry["commands"] for entry in run["by_hand"]][:2] == [[JOIN], [CONNECT]]
    marks = made.marks()

    applied = cli("apply", made.inventory, "--yes", *ONLY)
    assert applied.code == 0, applied
    hold_whole(made)
    hold_done(made, cli)
    assert set(commands(made, marks)) == {"core3", CLIENT}


def test_a_join_that_fails_is_finished_by_hand(bench: MakeBench, cli: Cli) -> None:
    """Typed in the order in which they are told, the commands build the cluster up; an apply proves it and forgets."""
    made = bench("cluster.yaml", "aged", databases=True)
    for entry in failed(made, cli)["by_hand"]:
        for line in entry["commands"]:
            made.typed(entry["server"], line)
            wait_for_work(made, entry["server"])
    hold_whole(made)

    assert cli("apply", made.inventory, "--yes", *ONLY).code == 0
    hold_done(made, cli)


def wait_for_work(made: Any, server: str) -> None:  # noqa: ANN401 - the bench of conftest
    """Wait as a person does: until the status tells of the end."""
    for _ in range(2000):
        if "In progress" not in made.typed(server, "database cluster status"):
            return
    raise AssertionError("the command works and works")


def test_the_ca_built_into_cms(bench: MakeBench, cli: Cli) -> None:
    """One node makes the material, the others get copies, the cluster is rebuilt on it; no key comes to rest here."""
    made = bench("issued.yaml", "aged", databases=True)
    planned = cli("plan", made.inventory)
    assert "issuer lab has not been asked for it: run cmscert renew" in " ".join(planned.out.split())
    assert cli("apply", made.inventory, "--yes").code == 7

    applied = cli("apply", made.inventory, "--yes", *ALLOW)
    assert applied.code == 0, applied
    hold_whole(made, clients=())
    hold_done(made, cli)
    copies = [made.node(name).database.copies for name in NODES]
    assert copies[0] == copies[1] == copies[2]
    assert all(
        re.fullmatch(r"db(server|client|ca)-\d{8}\.(key|crt)", name) for name in made.node("core2").database.names
    )
    assert copies[0].client_key.startswith(b"-----BEGIN")
    for path in (made.folder / ".cmscert").rglob("*"):
        if path.is_file() and "backups" not in path.parts:
            assert b"PRIVATE KEY" not in path.read_bytes(), path
    assert "PRIVATE KEY" not in applied.out + applied.err
