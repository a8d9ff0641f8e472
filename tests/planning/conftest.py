"""A cluster in memory: two cores and two edges, and certificates of an old and a new generation."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from cmscert.mmp.services import SERVICES
from cmscert.model.desired import Bundle, Material
from cmscert.model.observed import ObservedServer
from cmscert.model.plan import Plan, Step
from cmscert.planning.make import Planned, make_plan
from cmscert.planning.predict import predict
from cmscert.testing.ca import Issued, ThrowAwayCa
from cmscert.testing.fleets import MOMENT, ToyFleet, identity, material, trusting

GOLDEN = Path(__file__).parent / "golden"
REWRITE = "CMSCERT_REWRITE_GOLDEN"
CORES = ("core1", "core2")
EDGES = ("edge1", "edge2")


@dataclass(frozen=True, kw_only=True)
class Generation:
    """The certificates of a fleet, issued together by one CA."""

    ca: ThrowAwayCa
    nodes: dict[str, Issued]
    cluster: Issued
    join: Issued

    def material(self, name: str, **more: object) -> Material:
        """Return a certificate of the inventory by its name, ``node:<server>`` for the per-server ones."""
        kind, _, server = name.partition(":")
        issued = self.nodes[server] if server else {"cluster": self.cluster, "join": self.join}[kind]
        return material(kind, issued.certificate, self.ca.bundle, **more)  # type: ignore[arg-type]  # passed through

    @property
    def corp(self) -> Bundle:
        """The CA bundle."""
        return Bundle(name="corp", certificates=self.ca.bundle)


def generation(ca: ThrowAwayCa, *, issued_days_ago: int = 1, days_left: int = 199) -> Generation:
    """Issue everything that the toy cluster needs."""

    def issue(common_name: str, *more: str) -> Issued:
        return ca.issue(
            common_name,
            sans=(common_name, *more),
            not_before=MOMENT - timedelta(days=issued_days_ago),
            not_after=MOMENT + timedelta(days=days_left),
        )

    return Generation(
        ca=ca,
        nodes={name: issue(f"{name}.example.com") for name in (*CORES, *EDGES)},
        cluster=issue("cms.example.com", *(f"{name}.example.com" for name in CORES)),
        join=issue("join.example.com"),
    )


def cluster(wanted: Generation, held: Generation | None = None, *, release: str = "3.9") -> ToyFleet:
    """Make the fleet: it wants one generation and holds another, under hand-made names (the same when not given)."""
    held = held or wanted
    fleet = ToyFleet()
    for name in (*CORES, *EDGES):
        server = fleet.server(name, release)
        slots = (
            [("webadmin", f"node:{name}"), ("callbridge", "cluster")]
            if name in CORES
            else [
                ("webadmin", f"node:{name}"),
                ("webbridge3/https", "join"),
                ("webbridge3/c2w", f"node:{name}"),
                ("turn", "join"),
            ]
        )
        for slot, certificate in slots:
            full = slot.startswith("webbridge3/")
            server.wanted[slot] = identity(slot, wanted.material(certificate), None if full else wanted.corp)
            old = held.material(certificate)
            server.hold(slot, old.full_chain if full else (old.leaf,), bundle=() if full else held.ca.bundle)
        for slot in (
            ("callbridge/trust-c2w", "callbridge/trust-cluster") if name in CORES else ("webbridge3/trust-c2w",)
        ):
            server.wanted[slot] = trusting(slot, wanted.corp)
            server.trust(slot, held.ca.bundle)
    return fleet


def plan_of(fleet: ToyFleet) -> Planned:
    """Plan a toy fleet at its moment."""
    return make_plan(fleet.desired(), fleet.observed(), table=SERVICES, moment=MOMENT, tool_version="0")


def after(observed: dict[str, ObservedServer], planned: Planned) -> dict[str, ObservedServer]:
    """Return the fleet as predicted once every step is done."""
    observed = dict(observed)
    for step in planned.plan.steps:
        if step.server in observed:
            observed[step.server] = predict(observed[step.server], step, planned.contents)
    return observed


def drawn(plan: Plan) -> str:
    """Draw a plan for a golden file: one line a thing, hashes masked because keys are new at every run."""
    lines = [f"{d.severity:7} {d.server} {d.slot or '-'}: {d.reason}" for d in plan.drift]
    lines += [f"unread  {server}: {why}" for server, why in plan.unread]
    lines += [_step(step) for step in plan.steps]
    lines += [f"refused {r.server or '-'}: {r.guard}: {r.message}" for r in plan.refusals]
    lines += [f"notice  {n.server or '-'} {n.slot or '-'}: {n.reason}" for n in plan.notices]
    return re.sub(r"[0-9a-f]{8}(?=[.)])|(?<=-)[0-9a-f]{6}(?=[.-])", "########", "\n".join(lines)) + "\n"


def _step(step: Step) -> str:
    action = step.action
    what = {
        "put": lambda: f"put {action.file}",  # type: ignore[union-attr]  # by kind
        "save": lambda: f"save {action.file} as {action.saved_as}",  # type: ignore[union-attr]
        "restore": lambda: f"restore {action.file} from {action.saved_as}",  # type: ignore[union-attr]
        "check": lambda: f"check {action.key} {action.certificate}",  # type: ignore[union-attr]
        "bind": lambda: f"bind {step.slot}",
        "restart": lambda: f"restart {step.slot}",
        "remove": lambda: f"remove {' '.join(action.files)}",  # type: ignore[union-attr]
        "gate": lambda: f"gate {action.opens}",  # type: ignore[union-attr]
    }[action.kind]()
    undo = "" if step.undo is None else f", way back: {step.undo.kind}"
    seconds = "" if step.impact is None else f", {step.impact.seconds} s"
    return f"step {step.id:>3} {step.server}: {what}{seconds}{undo}, after {' '.join(step.after) or 'nothing'}"


@pytest.fixture(scope="session")
def new_ca() -> ThrowAwayCa:
    """The CA that the inventory wants."""
    return ThrowAwayCa.root("New Root").intermediate("New Issuing CA")


@pytest.fixture(scope="session")
def old_ca() -> ThrowAwayCa:
    """A CA that is to go."""
    return ThrowAwayCa.root("Old Root").intermediate("Old Issuing CA")


@pytest.fixture(scope="session")
def new(new_ca: ThrowAwayCa) -> Generation:
    """What the inventory wants."""
    return generation(new_ca)


@pytest.fixture(scope="session")
def aged(new_ca: ThrowAwayCa) -> Generation:
    """An older generation of the same CA, due in eight days."""
    return generation(new_ca, issued_days_ago=190, days_left=8)


@pytest.fixture(scope="session")
def old(old_ca: ThrowAwayCa) -> Generation:
    """An older generation of another CA."""
    return generation(old_ca, issued_days_ago=100, days_left=100)


@pytest.fixture
def golden() -> Callable[[str, Plan], None]:
    """Compare a plan with the file of that name; the variable rewrites the files instead."""

    def compare(name: str, plan: Plan) -> None:
        file = GOLDEN / f"{name}.txt"
        text = drawn(plan)
        if os.environ.get(REWRITE):
            file.write_text(text, encoding="utf-8")
        assert text == file.read_text(encoding="utf-8"), f"{REWRITE}=1 pytest tests/planning rewrites {file.name}"

    return compare
