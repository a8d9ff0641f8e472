"""Every inventory in every starting state: plan, apply, verify, find nothing; watched from inside the fleet."""

from __future__ import annotations

import gc
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from cmscert.lab.node import LabNode

Document = dict[str, Any]
SCENARIOS = ("wanted", "aged", "new-ca", "fresh", "faults")
WAYS = [
    *(("single.yaml", scenario) for scenario in SCENARIOS),
    *(("cluster.yaml", scenario) for scenario in SCENARIOS),
    *(("legacy-2.9.yaml", scenario) for scenario in SCENARIOS),
    ("issued.yaml", "aged"),
]
WATCHED = {
    ("single.yaml", "wanted"),
    ("single.yaml", "fresh"),
    ("cluster.yaml", "aged"),
    ("cluster.yaml", "faults"),
    ("legacy-2.9.yaml", "new-ca"),
}
"""What coverage watches, with the issued fleet: each inventory and each state."""
REASONS = {
    "expires-soon": {"leaf-differs", "expires-soon"},
    "names-missing": {"leaf-differs", "names-missing"},
    "key-mismatch": {"key-mismatch"},
    "not-loaded": {"not-loaded"},
    "bundle-order": {"bundle-order"},
    "trust-lacks-ca": {"trust-lacks", "trust-exceeds"},
    "older-ca": {"leaf-differs"},
}
UNPROBED = ("xmpp",)  # its port does not begin with TLS


@dataclass
class Way:
    """One fleet that went the whole way, and what was said and seen on it."""

    name: str
    scenario: str
    bench: Any
    links_before: dict[tuple[str, str], str | None]
    plan: Document
    run: Document
    code: int
    watch: Any
    again: Any
    drift: Any
    status: Document


def _params() -> list[Any]:
    return [
        pytest.param(
            way,
            id=f"{way[0].removesuffix('.yaml')}-{way[1]}",
            marks=[] if way in WATCHED or way[0] == "issued.yaml" else [pytest.mark.unwatched],
        )
        for way in WAYS
    ]


@pytest.fixture(scope="module", params=_params())
def way(
    request: pytest.FixtureRequest,
    shared_bench: Callable[..., Any],
    cli: Callable[..., Any],
    by_one_issuer: Callable[[Path], None],
) -> Iterator[Way]:
    """Go the whole way once; the tests look at it from several sides."""
    name, scenario = request.param
    bench = shared_bench(name, scenario)
    if name == "issued.yaml":
        by_one_issuer(bench.inventory)
        assert cli("renew", bench.inventory).code == 0
    links = bench.do(bench.fleet.c2w_links())
    plan = cli("plan", bench.inventory, "--format", "json").document("plan")
    with bench.watched() as watch:
        applied = cli("apply", bench.inventory, "--yes", "--format", "json")
    assert applied.code == 0, applied
    yield Way(
        name=name,
        scenario=scenario,
        bench=bench,
        links_before=links,
        plan=plan,
        run=applied.document("run"),
        code=applied.code,
        watch=watch,
        again=cli("plan", bench.inventory, "--detailed-exitcode", "--format", "json"),
        drift=cli("drift", bench.inventory, "--format", "json"),
        status=cli("status", bench.inventory, "--format", "json").document("status"),
    )
    bench.stop()
    gc.collect()  # what a stop leaves behind shows here, and not in another module


def test_plan_names_what_the_scenario_made(way: Way) -> None:
    """The plan finds nothing where all is wanted, exactly the planted faults, and something everywhere else."""
    found = {(item["server"], item["slot"], item["reason"]) for item in way.plan["drift"]}
    planted = way.bench.lab.scene.faults

    if way.scenario == "wanted":
        assert (found, way.plan["steps"]) == (set(), [])
    elif way.scenario == "faults":
        assert len(planted) >= 5
        assert found == {(fault.server, fault.slot, reason) for fault in planted for reason in REASONS[fault.kind]}
    else:
        slots = {(server["server"], slot["slot"]) for server in way.status["servers"] for slot in server["slots"]}
        wanted = {(server, slot) for server, slot in slots if _is_handled(way, server, slot)}
        assert {(server, slot) for server, slot, _ in found} <= slots
        if way.scenario == "fresh":
            assert {(server, slot) for server, slot, _ in found} == wanted
    assert way.plan["refusals"] == []
    assert way.plan["complete"] is True


def _is_handled(way: Way, server: str, slot: str) -> bool:
    shown = next(each for each in way.status["servers"] if each["server"] == server)
    return next(each for each in shown["slots"] if each["slot"] == slot)["wanted"] is not None


def test_every_step_is_done(way: Way) -> None:
    """The run applies every step of the plan, or says that there was nothing to do."""
    typed = [step["id"] for step in way.plan["steps"] if step["kind"] != "gate"]

    assert way.run["result"] == ("applied" if typed else "nothing-to-do")
    assert {step["id"] for step in way.run["steps"] if step["outcome"] == "done"} >= set(typed)
    assert way.run["by_hand"] == []


def test_second_plan_finds_nothing(way: Way) -> None:
    """Once applied, plan has no step, and drift exits with 0."""
    assert way.again.code == 0, way.again.out
    assert way.again.document("plan")["steps"] == []
    assert way.drift.code == 0, way.drift.out
    assert way.drift.document("drift")["findings"] == []


def test_running_services_serve_what_is_bound(way: Way) -> None:
    """Status shows the wanted leaf on disk everywhere, and on the wire wherever the service runs."""
    served = 0
    for server in way.status["servers"]:
        for slot in server["slots"]:
            if slot["wanted"] is None or slot["wanted"].get("certificate") is None:
                continue
            disk = slot["on_disk"]["value"][0]["sha256"]
            assert disk == slot["wanted"]["sha256"], (server["server"], slot["slot"])
            if slot["served"]["reading"] == "known":
                served += 1
                assert slot["served"]["value"][0]["sha256"] == disk, (server["server"], slot["slot"])
            node = way.bench.node(server["server"])
            service = slot["slot"].partition("/")[0]
            if node.up(service) and node.port(slot["slot"]) is not None and service not in UNPROBED:
                assert slot["served"]["reading"] == "known", (server["server"], slot["slot"])
    assert served or way.scenario == "fresh" or way.name == "issued.yaml"


def test_links_never_break(way: Way) -> None:
    """C2W links that worked work all the time, except while one of their services restarts; in the end all do."""
    assert way.watch.samples > (0 if way.scenario == "wanted" else 3)
    assert way.watch.broken == []
    links = way.bench.do(way.bench.fleet.c2w_links())
    if way.scenario != "fresh":
        assert {pair: why for pair, why in links.items() if why is not None} == {}
        assert links.keys() >= {pair for pair, why in way.links_before.items() if why is None}


def test_never_two_at_once(way: Way) -> None:
    """Servers that stand in for each other are never down together."""
    assert way.watch.together == []


def test_outages_are_those_of_the_plan(way: Way) -> None:
    """Each service goes down at most as often as the plan says, and what the plan does not touch never does."""
    planned = Counter(
        (step["server"], step["impact"]["service"]) for step in way.plan["steps"] if step["impact"] is not None
    )

    assert way.watch.outages <= planned
    if way.scenario == "wanted":
        assert not planned


def test_no_service_is_stopped_needlessly(way: Way) -> None:
    """A service is stopped once; more often only where trust has to come first, or old trust has to leave last."""
    planned = Counter(
        (step["server"], step["impact"]["service"]) for step in way.plan["steps"] if step["impact"] is not None
    )

    most = 3 if way.scenario == "new-ca" or way.name == "legacy-2.9.yaml" else 1
    assert all(times <= most for times in planned.values()), planned


def test_services_are_as_they_were(way: Way) -> None:
    """What ran runs, and what was stopped is not started."""
    running = way.scenario != "fresh"
    for node in way.bench.fleet.nodes.values():
        for name, spec in node.spec.services.items():
            if name != "tls" and node.machine.services[name].row.via != "parameters" and running:
                assert node.up(name) is spec.enabled, (node.name, name)


def _openssl(*words: str | Path, typed: bytes = b"") -> str:
    done = subprocess.run(
        ["openssl", *map(str, words)],
        input=typed,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=20,
    )
    return done.stdout.decode(errors="replace")


def _fingerprint(pem: bytes) -> str:
    return _openssl("x509", "-noout", "-fingerprint", "-sha256", typed=pem).partition("=")[2].strip()


def _identities(way: Way) -> Iterator[tuple[LabNode, str]]:
    for server in way.status["servers"]:
        for slot in server["slots"]:
            if slot["wanted"] is not None and slot["wanted"].get("certificate") is not None:
                yield way.bench.node(server["server"]), slot["slot"]


@pytest.mark.judge("openssl")
def test_openssl_verifies_what_is_bound_and_served(way: Way, tmp_path: Path) -> None:
    """OpenSSL verifies every bound file with its chain, finds its key, and sees the bound leaf on the wire."""
    if way.scenario in ("wanted", "aged") or (way.name, way.scenario) == ("legacy-2.9.yaml", "new-ca"):
        return  # the same files as after another scenario; each call of openssl takes its time
    roots = [path for path in (way.bench.folder / "pki").iterdir() if path.name in ("root-ca.crt", "public-root.crt")]
    (tmp_path / "roots.crt").write_bytes(b"".join(path.read_bytes() for path in roots))
    for node, slot in _identities(way):
        bound = node.bound(slot)
        assert bound.certificate is not None
        assert bound.key is not None
        pem = node.files[bound.certificate]
        (tmp_path / "leaf.crt").write_bytes(pem)
        behind = pem + (node.files[bound.bundle] if bound.bundle else b"")
        (tmp_path / "behind.crt").write_bytes(behind)
        told = _openssl(
            *("verify", "-CAfile", tmp_path / "roots.crt", "-untrusted", tmp_path / "behind.crt", tmp_path / "leaf.crt")
        )
        assert told.endswith(": OK\n"), (node.name, slot, told)
        public = _openssl("x509", "-noout", "-pubkey", typed=pem)
        assert public == _openssl("pkey", "-pubout", typed=node.files[bound.key]), (node.name, slot)
        if not node.up(slot.partition("/")[0]) or node.port(slot) is None:
            continue
        place = f"127.0.0.1:{node.port(slot)}"
        said = _openssl(
            "s_client", "-connect", place, "-CAfile", tmp_path / "roots.crt", "-servername", "x.example.com"
        )
        assert "-----BEGIN CERTIFICATE-----" in said, (node.name, slot, said)
        shown = said[said.index("-----BEGIN CERTIFICATE-----") : said.index("-----END CERTIFICATE-----") + 26]
        leaf = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.PEM)
        assert _fingerprint(shown.encode()) == _fingerprint(leaf), (node.name, slot)
        if slot != "webbridge3/c2w":  # that one wants to see our certificate first
            assert "Verify return code: 0 (ok)" in said, (node.name, slot, said)
