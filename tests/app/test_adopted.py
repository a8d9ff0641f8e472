"""Whatever a fleet holds: what is drafted of it, written down and read back plans to nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cmscert.app.adopted import AdoptedLogin, inventory_text
from cmscert.inventory.load import Loaded, load
from cmscert.mmp.services import SERVICES
from cmscert.model.login import SecretRef
from cmscert.model.names import Release
from cmscert.model.observed import ObservedServer
from cmscert.model.services import IdentitySlot, rows_for
from cmscert.pki.certificate import Certificate
from cmscert.pki.pem import to_pem
from cmscert.planning.adopting.draft import draft
from cmscert.planning.adopting.found import Node
from cmscert.planning.make import make_plan
from cmscert.testing.ca import ThrowAwayCa, self_signed
from cmscert.testing.fleets import MOMENT, ToyServer

LOGIN = AdoptedLogin(password=SecretRef(kind="env", value=("CMS_PASSWORD",)))
RELEASES = ("2.9", "3.0", "3.9", "3.12")
NAMES = ("core1", "core2", "edge1")
LIFE = timedelta(days=300)
TEXTS = ("join.example.com", "{fqdn}", 'a"b: [c', "x\ny: z", "../../p", "-", "\u202e\x1b[31m", "NO")


@cache
def cas() -> tuple[ThrowAwayCa, ...]:
    """Two CAs, one of them with an issuing CA, whose names are of no help."""
    return ThrowAwayCa.root("Corp").intermediate("../Issuing: [x]"), ThrowAwayCa.root("\x07Other\n- y")


@cache
def leaves() -> tuple[tuple[Certificate, tuple[Certificate, ...]], ...]:
    """Certificates with the chain of their CA: of servers, of several, of hostile names, signed by themselves."""
    made = []
    for ca in cas():
        for name in (*(f"{server}.example.com" for server in NAMES), *TEXTS):
            sans = (name,) if name.endswith(".com") else ("b.example.com",)
            issued = ca.issue(name, sans=sans, not_before=MOMENT, not_after=MOMENT + LIFE)
            made.append((issued.certificate, ca.bundle))
    own = self_signed("self.example.com")
    return (*made, (own.certificate, ()))


@st.composite
def servers(draw: st.DrawFn) -> tuple[ToyServer, ...]:
    """Draw up to three servers that hold anything in any slot of their release."""
    found = []
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1)):
        server = ToyServer(name=name, release=draw(st.sampled_from(RELEASES)))
        release = Release.parse(server.release)
        assert release is not None
        slots = [slot for row in rows_for(SERVICES, release).values() for slot in row.slots]
        for slot in draw(st.lists(st.sampled_from(slots), unique_by=lambda slot: slot.name, max_size=6)):
            _hold(server, slot, draw)
        found.append(server)
    return tuple(found)


def _hold(server: ToyServer, slot: Any, draw: st.DrawFn) -> None:  # noqa: ANN401 - a row of the table
    trust = draw(st.sampled_from(_trusts(server)))
    if not isinstance(slot, IdentitySlot):
        server.trust(slot.name, trust)
        return
    leaf, chain = draw(st.sampled_from(leaves()))
    kind = draw(st.sampled_from(["bundle", "full", "rootless", "alone"]))
    if slot.third == "trust" or slot.full_chain:
        kind = "full"
    file = {"full": (leaf, *chain), "rootless": (leaf, *chain[:-1])}.get(kind, (leaf,))
    third = trust if slot.third == "trust" else chain if kind == "bundle" and slot.third == "bundle" else ()
    server.hold(slot.name, file, bundle=third)
    if slot.tagged:
        server.bound[slot.name] = replace(server.bound[slot.name], tag="edge")


def _trusts(server: ToyServer) -> list[tuple[Certificate, ...]]:
    one, other = (ca.bundle for ca in cas())
    pinned = tuple(leaf for leaf, _ in leaves()[:2])
    mine = tuple(
        {
            held[0]: None
            for slot, binding in server.bound.items()
            if (held := server.files.get(binding.certificate or ""))
        }
    )
    return [
        one,
        other,
        (*one, *other),
        one[:1],
        pinned,
        (*one, pinned[0]),
        (*other, pinned[0]),
        *([mine] if mine else []),
    ]


def adopted(
    seen: tuple[tuple[ObservedServer, str], ...], look: Callable[[Loaded, dict[str, ObservedServer]], None]
) -> None:
    """Draft, write, read back, and hand on what was read under the names of the inventory."""
    nodes = tuple(Node(address=address, port=22, user="admin", observed=each) for each, address in seen)
    made = draft(nodes, fleet="toy", table=SERVICES, moment=MOMENT)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for path, certificate in made.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(to_pem([certificate]))
        (folder / "toy.yaml").write_text(inventory_text(made, nodes, LOGIN, {}))
        assert {str(path.relative_to(folder)) for path in folder.rglob("*.crt")} == set(made.files)
        loaded = load(folder / "toy.yaml", now=MOMENT + timedelta(hours=1))
    look(loaded, {name: replace(each, name=name) for name, (each, _) in zip(made.names, seen, strict=True)})


@settings(max_examples=200, deadline=None)
@given(found=servers(), numbers=st.booleans())
def test_any_fleet_plans_to_nothing(found: tuple[ToyServer, ...], *, numbers: bool) -> None:
    """No step, no refusal, and no drift but what is wrong with the order of a trust list by itself."""

    def look(loaded: Loaded, observed: dict[str, ObservedServer]) -> None:
        plan = make_plan(
            loaded.desired, observed, table=SERVICES, moment=MOMENT + timedelta(hours=1), tool_version="0"
        ).plan
        assert {drift.reason for drift in plan.drift} <= {"bundle-order"}
        assert plan.refusals == ()
        assert plan.steps == () or plan.drift
        assert sum(len(server.slots) for server in loaded.desired.servers) == sum(len(one.bound) for one in found)

    adopted(
        tuple(
            (server.observe(), f"10.0.0.{at}" if numbers else f"{server.name}.example.com")
            for at, server in enumerate(found, start=1)
        ),
        look,
    )
