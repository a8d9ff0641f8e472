from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from cmscert.model.desired import (
    Bundle,
    Desired,
    Material,
    Policy,
    WantedDatabase,
    WantedIdentity,
    WantedServer,
    WantedSlot,
    WantedTrust,
)
from cmscert.pki.certificate import Certificate
from cmscert.planning.select import apply_selection, around, parse_selector

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
LEAF = Certificate(
    der=b"",
    sha256="",
    spki_sha256="",
    subject="",
    issuer="",
    common_name=None,
    issuer_common_name=None,
    serial=1,
    not_before=NOON,
    not_after=NOON,
)


def identity(slot: str, certificate: str) -> WantedSlot:
    """Make a slot that holds a certificate."""
    material = Material(certificate=certificate, leaf=LEAF, chain=(), spki="")
    return WantedIdentity(slot=slot, material=material, file_certificates=(LEAF,))


def server(name: str, roles: tuple[str, ...], labels: Mapping[str, str], *slots: WantedSlot) -> WantedServer:
    """Make a server."""
    return WantedServer(name=name, address="", fqdn="", roles=roles, labels=labels, slots=slots)


CORP = Bundle(name="corp", certificates=())
FLEET = Desired(
    fleet="example",
    policy=Policy(),
    inventory_sha256="",
    servers=(
        server("core1", ("core",), {"site": "oslo"}, identity("webadmin", "node"), identity("callbridge", "cluster")),
        server("core2", ("core",), {"site": "bern"}, WantedTrust(slot="callbridge/trust-c2w", bundle=CORP)),
        server("edge1", ("edge", "outer"), {}, identity("webbridge3/https", "join"), identity("turn", "join")),
    ),
)
ALL = {
    "core1": ["webadmin", "callbridge"],
    "core2": ["callbridge/trust-c2w"],
    "edge1": ["webbridge3/https", "turn"],
}


@pytest.mark.parametrize(
    ("selectors", "left"),
    [
        ([], ALL),
        (["server=core1"], {"core1": ALL["core1"]}),
        (["server=core*"], {"core1": ALL["core1"], "core2": ALL["core2"]}),
        (["server=core1", "server=edge?"], {"core1": ALL["core1"], "edge1": ALL["edge1"]}),
        (["role=outer"], {"edge1": ALL["edge1"]}),
        (["label.site=o*"], {"core1": ALL["core1"]}),
        (["label.site=*"], {"core1": ALL["core1"], "core2": ALL["core2"]}),
        (["role=core", "label.site=bern"], {"core2": ALL["core2"]}),
        (["service=callbridge"], {"core1": ["callbridge"], "core2": ["callbridge/trust-c2w"]}),
        (["service=web*"], {"core1": ["webadmin"], "edge1": ["webbridge3/https"]}),
        (["certificate=join"], {"edge1": ALL["edge1"]}),
        (["certificate=join", "service=turn"], {"edge1": ["turn"]}),
        (["certificate=join", "role=core"], {}),
        (["server=CORE1"], {}),
    ],
)
def test_selection(selectors: list[str], left: dict[str, list[str]]) -> None:
    """The same key widens, another key narrows, and servers with nothing left are left out."""
    chosen = apply_selection(FLEET, tuple(map(parse_selector, selectors)))

    assert {each.name: [slot.slot for slot in each.slots] for each in chosen.servers} == left


@pytest.mark.parametrize("text", ["server", "server=", "=x", "host=core1", "label.=x", "label=x"])
def test_bad_selectors(text: str) -> None:
    """What is no selector is refused with a sentence."""
    with pytest.raises(ValueError, match=r"selector|nothing to select by"):
        parse_selector(text)


def test_selectors_show_as_typed() -> None:
    """A selector is shown as it was typed."""
    assert str(parse_selector("label.a=b=c")) == "label.a=b=c"


def test_servers_around_a_selection_stay_with_nothing_wanted() -> None:
    """What was not selected keeps its place, with no slot left."""
    selected = apply_selection(FLEET, (parse_selector("service=turn"),))

    fleet = around(FLEET, selected)

    assert {each.name: [slot.slot for slot in each.slots] for each in fleet.servers} == {
        "core1": [],
        "core2": [],
        "edge1": ["turn"],
    }


DATABASE = WantedDatabase(name="main", nodes=("core1",), clients=("core2",), primary="core1", ca=CORP)
CLUSTERED = replace(FLEET, databases=(DATABASE,))


@pytest.mark.parametrize(
    ("selectors", "kept"),
    [
        ([], True),
        (["service=database"], True),
        (["service=database/*"], True),
        (["service=database/main"], True),
        (["service=webadmin", "service=data*"], True),
        (["service=database/other"], False),
        (["service=webadmin"], False),
        (["server=core*"], False),
        (["service=database", "server=*"], False),
        (["service=*", "label.site=oslo"], False),
        (["certificate=*"], False),
    ],
)
def test_a_database_is_selected_as_a_whole(selectors: list[str], kept: bool) -> None:  # noqa: FBT001 - a column
    """A cluster stays for its service's name alone; a choice of servers or certificates leaves it out."""
    chosen = apply_selection(CLUSTERED, tuple(map(parse_selector, selectors)))

    assert chosen.databases == ((DATABASE,) if kept else ())
    assert around(CLUSTERED, chosen).databases == chosen.databases


def test_members_of_a_selected_database_stay() -> None:
    """Servers of a selected cluster stay with the slots that are selected besides, or with none."""
    selectors = (parse_selector("service=database"), parse_selector("service=webadmin"))

    chosen = apply_selection(CLUSTERED, selectors)

    assert {each.name: [slot.slot for slot in each.slots] for each in chosen.servers} == {
        "core1": ["webadmin"],
        "core2": [],
    }
