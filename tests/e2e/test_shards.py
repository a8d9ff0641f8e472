"""A fleet in shards: each reads its own servers, and what they found is put together."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cmscert.lab.spec import NodeSpec
from cmscert.model.marker import is_marker

Cli = Callable[..., Any]
MakeBench = Callable[..., Any]
Program = Callable[..., subprocess.Popen[str]]
PATIENCE = 90.0


@pytest.fixture(scope="module")
def fleet(shared_bench: MakeBench) -> Any:  # noqa: ANN401 - the bench of conftest
    """A cluster whose certificates are old; nobody changes it."""
    return shared_bench("cluster.yaml", "aged", databases=True)


def report(cli: Cli, fleet: Any, *select: str) -> dict[str, Any]:  # noqa: ANN401 - the bench of conftest
    """Look for drift in a part of the fleet."""
    chosen = [word for each in select for word in ("--select", each)]
    ran = cli("drift", fleet.inventory, "--format", "json", *chosen)
    read: dict[str, Any] = ran.document("drift")
    return read


def test_a_shard_reads_its_own_servers(cli: Cli, fleet: Any) -> None:  # noqa: ANN401 - the bench of conftest
    """Drift of a selection connects to no other server, and finds what a look at the whole fleet finds there."""
    whole = report(cli, fleet)
    marks = {name: len(node.commands) for name, node in fleet.fleet.nodes.items()}
    shard = report(cli, fleet, "server=edge*")
    read = {name for name, node in fleet.fleet.nodes.items() if len(node.commands) > marks[name]}

    assert read == {name for name in fleet.fleet.nodes if name.startswith("edge")}
    assert shard["findings"] == [each for each in whole["findings"] if each["server"] in read]
    assert shard["findings"]
    assert {each["server"] for each in shard["asked"]} == read
    assert {each["server"] for each in shard["outside"] if each["slot"] is None} == fleet.fleet.nodes.keys() - read
    services = report(cli, fleet, "service=callbridge")["outside"]
    assert {each["slot"] for each in services if each["server"] == "core1"} == {"webadmin", "database/main"}
    assert whole["outside"] == []
    assert json.dumps(whole["asked"]).count('"slot": null') == len(fleet.fleet.nodes)


@pytest.fixture(scope="module")
def shards(cli: Cli, fleet: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:  # noqa: ANN401 - the bench of conftest
    """The reports of three processes that read the whole fleet between them."""
    folder = tmp_path_factory.mktemp("shards")
    for name, select in (("core", "server=core*"), ("rest", "server=[!c]*"), ("database", "service=database")):
        ran = cli("drift", fleet.inventory, "--format", "json", "--select", select, "--output", folder / f"{name}.json")
        assert ran.code == 6, ran
    return sorted(folder.iterdir())


def test_shards_say_together_what_one_process_says(cli: Cli, fleet: Any, shards: list[Path]) -> None:  # noqa: ANN401 - the bench of conftest
    """The report of three processes is that of one, with its code; nobody is connected to."""
    whole = report(cli, fleet)
    marks = {name: len(node.history) for name, node in fleet.fleet.nodes.items()}
    ran = cli("drift", "--merge", *shards, "--format", "json")
    merged = ran.document("drift")

    assert (ran.code, ran.err) == (6, "")
    assert whole["findings"] == merged["findings"]
    assert whole["summary"] == merged["summary"]
    for key in ("fleet", "inventory_sha256", "select", "complete", "unread", "inventory", "asked", "outside"):
        assert whole[key] == merged[key], key
    assert {name: len(node.history) for name, node in fleet.fleet.nodes.items()} == marks


@pytest.mark.parametrize("form", ["text", "markdown", "junit", "sarif"])
def test_every_form_is_that_of_one_process(cli: Cli, fleet: Any, shards: list[Path], form: str) -> None:  # noqa: ANN401 - the bench of conftest
    """What is drawn of merged reports differs in its moment and in notices about pairs of servers alone."""
    whole = cli("drift", fleet.inventory, "--format", form)
    merged = cli("drift", "--merge", *shards, "--format", form)
    drawn = [re.sub(r"20\d\d-\d\d-\d\d[T ][0-9:.]+(?: UTC|Z)?", "…", each.out) for each in (whole, merged)]

    assert (whole.code, merged.code) == (6, 6)
    assert set(drawn[1].splitlines()) <= set(drawn[0].splitlines())
    assert len(drawn[1].splitlines()) > 0.8 * len(drawn[0].splitlines())


def test_metrics_of_merged_reports(cli: Cli, shards: list[Path]) -> None:
    """Prometheus gets drift and which servers were read; certificates are not in drift reports."""
    ran = cli("drift", "--merge", *shards, "--format", "prometheus")

    assert ran.code == 6
    assert 'cmscert_drift{fleet="example"}' in ran.out
    assert 'cmscert_server_read{fleet="example",server="edge1"} 1.0' in ran.out
    assert "not_after" not in ran.out


def test_page_of_merged_reports(cli: Cli, shards: list[Path]) -> None:
    """The page has findings and which servers were read, and says nothing of certificates that nobody told of."""
    ran = cli("drift", "--merge", *shards[1:], "--format", "html")

    assert ran.code == 4
    assert "What is not as wanted" in ran.out
    assert "no report holds it" in ran.out
    assert "Next expiry" not in ran.out


def test_a_lost_shard_is_told(cli: Cli, shards: list[Path]) -> None:
    """Without one report the code is 4, and what it held is named in the report and on stderr."""
    for name, said in (
        ("rest", "edge1: no report holds it"),
        ("core", "core4: webadmin, callbridge, callbridge/trust-c2w, callbridge/trust-cluster: no report holds it"),
        ("database", "core1: database/main: no report holds it"),
    ):
        ran = cli("drift", "--merge", *(path for path in shards if path.stem != name), "--format", "json")
        merged = ran.document("drift")
        assert (ran.code, merged["complete"]) == (4, False)
        assert all(each["why"].endswith("no report holds it") for each in merged["unread"])
        assert said in " ".join(ran.err.split())


def test_what_does_not_go_with_merge(cli: Cli, shards: list[Path], tmp_path: Path) -> None:
    """Wrong usage is 2; a report that is none is 3, with its file and key, and stdout stays empty."""
    for words in (("--select", "server=a"), ("--state-dir", tmp_path)):
        assert cli("drift", "--merge", *shards, *words).code == 2
    assert cli("drift", *shards).code == 2
    assert cli("drift", "--merge").code == 2
    other = tmp_path / "other.json"
    other.write_text(shards[0].read_text().replace('"fleet": "example"', '"fleet": "other"'))
    ran = cli("drift", "--merge", *shards, other)

    assert (ran.code, ran.out) == (3, "")
    assert "other.json: fleet: other, where another report says example" in " ".join(ran.err.split())
    other.write_text(shards[0].read_text().replace('"fleet": "example"', '"\\u001b[2J": 1, "fleet": "example"'))
    spoilt = cli("drift", "--merge", other)
    assert spoilt.code == 3
    assert "\x1b" not in spoilt.err


@pytest.fixture
def made(bench: MakeBench) -> Any:  # noqa: ANN401 - the bench of conftest
    """A cluster with old certificates whose services take half a second to start."""

    def quick(specs: dict[str, NodeSpec]) -> None:
        for each in specs.values():
            each.start_delay = 0.5

    return bench("cluster.yaml", "aged", change=quick)


def applied(program: Program, made: Any, folder: Path, *select: str) -> subprocess.Popen[str]:  # noqa: ANN401 - the bench of conftest
    """Start to apply a part of the fleet, with a state directory of its own."""
    chosen = [word for each in select for word in ("--select", each)]
    return program("apply", made.inventory, "--yes", "--state-dir", folder, *chosen)


def test_two_shards_are_applied_at_once(made: Any, cli: Cli, program: Program, tmp_path: Path) -> None:  # noqa: ANN401 - the bench of conftest
    """Two runs that lean on no server in common go on side by side, each with a lock of its own."""
    made.node("core1").faults.late = {"webadmin disable": 15}
    shards = [(name, f"server={name}", "service=webadmin") for name in ("core1", "edge1")]
    first = applied(program, made, tmp_path / "core1", *shards[0][1:])
    end = time.monotonic() + PATIENCE
    while not together(made):
        assert time.monotonic() < end
        assert first.poll() is None, first.communicate()
        time.sleep(0.05)
    second = applied(program, made, tmp_path / "edge1", *shards[1][1:])
    told = second.communicate(timeout=PATIENCE)

    assert second.returncode == 0, told
    assert first.poll() is None
    listed = cli("lock", "list", made.inventory, "--nodes", "--format", "json", "--state-dir", tmp_path / "core1")
    assert {each["server"] for each in listed.document("locks")["servers"]} == {"core1"}
    assert "foreign-lock" not in told[1]
    told = first.communicate(timeout=PATIENCE)
    assert first.returncode == 0, told
    assert together(made) == set()
    assert report(cli, made, "server=core1", "server=edge1", "service=webadmin")["findings"] == []


def together(made: Any) -> set[str]:  # noqa: ANN401 - the bench of conftest
    """Return the lock files that the fleet carries now."""
    return {file for node in made.fleet.nodes.values() for file in node.files if is_marker(file)}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("server=core1",), ("server=core[12]", "service=webadmin")),
        (("server=edge1", "service=turn"), ("server=edge2", "service=turn")),
        (("server=core1", "service=callbridge"), ("server=core2", "service=callbridge")),
    ],
    ids=["the same server", "who stands in", "who stands in and must accept"],
)
def test_shards_that_meet_exclude_each_other(
    made: Any,  # noqa: ANN401 - the bench of conftest
    program: Program,
    tmp_path: Path,
    one: tuple[str, ...],
    other: tuple[str, ...],
) -> None:
    """Of two runs that lean on one server exactly one is carried out, and the other changes nothing."""
    runs = [applied(program, made, tmp_path / str(number), *each) for number, each in enumerate((one, other))]
    told = [each.communicate(timeout=PATIENCE) for each in runs]

    assert sorted(each.returncode for each in runs) == [0, 7], told
    assert "nothing was changed" in "".join(err for _, err in told)
    assert together(made) == set()


def test_a_saved_plan_of_a_shard_outlives_the_others(made: Any, cli: Cli, tmp_path: Path) -> None:  # noqa: ANN401 - the bench of conftest
    """What another shard changed meanwhile does not make a reviewed plan stale."""
    saved = tmp_path / "core1.json"
    assert (
        cli("plan", made.inventory, "--select", "server=core1", "--select", "service=webadmin", "--save", saved).code
        == 0
    )
    elsewhere = ("--yes", "--select", "server=edge1", "--select", "service=webadmin", "--state-dir", tmp_path / "edge1")
    assert cli("apply", made.inventory, *elsewhere).code == 0
    ran = cli("apply", made.inventory, "--plan", saved, "--yes")

    assert ran.code == 0, ran
