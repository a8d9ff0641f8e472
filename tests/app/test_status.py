from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from cmscert.app.inventory import narrow
from cmscert.app.status import Judge, server_status
from cmscert.errors import InputError
from cmscert.model.database import DatabaseFiles, DatabaseState
from cmscert.model.desired import Bundle, Due, Material, Minting, WantedDatabase, WantedServer, WantedTrust
from cmscert.model.observed import Binding, ObservedServer, ServiceState, StoredFile
from cmscert.model.readings import ABSENT, Known, Unread
from cmscert.pki.certificate import Certificate
from cmscert.testing.ca import ThrowAwayCa

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ROOT = Certificate(
    der=b"",
    sha256="ab",
    spki_sha256="",
    subject="",
    issuer="",
    common_name="Root",
    issuer_common_name=None,
    serial=1,
    not_before=NOON,
    not_after=NOON,
)
CORP = Bundle(name="corp", certificates=(ROOT,))


def trust(*slots: str) -> WantedServer:
    """Make a server whose slots want a bundle."""
    return WantedServer(
        name="core1", address="", fqdn="", slots=tuple(WantedTrust(slot=slot, bundle=CORP) for slot in slots)
    )


def screen(service: str, **files: str) -> Known[ServiceState]:
    """Make a screen that shows one bundle bound in each slot."""
    bindings = {f"{service}/{slot}": Binding(slot=f"{service}/{slot}", bundle=file) for slot, file in files.items()}
    return Known(ServiceState(service=service, bindings=bindings))


def test_slots_stand_with_their_service() -> None:
    """What a screen shows besides what is wanted stands with its service, and is wanted by nobody."""
    observed = ObservedServer(
        name="core1",
        reached=Known(value=True),
        screens={"callbridge": screen("callbridge", a="a.crt", b="b.crt"), "turn": screen("turn")},
        contents={
            "a.crt": Known(StoredFile(name="a.crt", sha256="", certificates=(ROOT,))),
            "b.crt": Unread("no permission"),
        },
        served={"turn": Known((ROOT,))},
    )
    slots = server_status(trust("callbridge/a", "turn"), observed).slots

    assert [slot.slot for slot in slots] == ["callbridge/a", "callbridge/b", "turn"]
    assert slots[0].on_disk == Known((ROOT,))
    assert (slots[1].on_disk, slots[1].wanted) == (Unread("no permission"), None)
    assert (slots[2].on_disk, slots[2].served) == (ABSENT, Known((ROOT,)))


def test_unread_and_absent_screens_are_told_apart() -> None:
    """What could not be read stays unread all through, what is not there is absent."""
    observed = ObservedServer(
        name="core1",
        reached=Known(value=True),
        screens={"callbridge": Unread("silence"), "turn": ABSENT},
    )
    callbridge, turn = server_status(trust("callbridge/a", "turn"), observed).slots

    assert (callbridge.bound, callbridge.on_disk) == (Unread("silence"), Unread("silence"))
    assert (turn.bound, turn.on_disk) == (ABSENT, ABSENT)


def test_a_member_of_a_database() -> None:
    """A member shows its state and the certificates that are bound, as far as they could be read; others show none."""
    material = Material(certificate="db", leaf=ROOT, chain=(), spki="")
    database = WantedDatabase(
        name="main",
        nodes=("core1",),
        clients=("core2",),
        primary="core1",
        server={"core1": material},
        client={"core1": material, "core2": material},
        ca=CORP,
    )
    files = DatabaseFiles(server_key="s.key", server_certificate="s.crt", client_key="c.key", ca="ca.crt")
    observed = ObservedServer(
        name="core1",
        reached=Known(value=True),
        database=Known(DatabaseState(standing=True, files=files)),
        contents={"s.crt": Known(StoredFile(name="s.crt", sha256="", certificates=(ROOT,)))},
    )
    node = server_status(trust(), observed, (database,)).database
    client = server_status(replace(trust(), name="core2"), replace(observed, database=ABSENT), (database,)).database

    assert node is not None
    assert client is not None
    assert [(file.use, file.certificate, file.key, file.on_disk) for file in node.files] == [
        ("server", "s.crt", "s.key", Known((ROOT,))),
        ("ca", "ca.crt", None, Unread("not asked")),
    ]
    assert (node.wanted, client.wanted, client.state, client.files) == ("node", "client", ABSENT, ())
    assert server_status(replace(trust(), name="core3"), observed, (database,)).database is None
    assert [file.named for file in node.files] == ["db", None]
    minting = Minting(
        server="core1", ca="ca", ca_common_name="ca", server_certificate="dbs", server_common_name="core1.example.com"
    )
    minted = server_status(trust(), observed, (replace(database, minting=minting),)).database
    assert minted is not None
    assert [file.named for file in minted.files] == ["dbs", None]


def test_unreached_server_says_why() -> None:
    """A server that was not reached has its reason."""
    status = server_status(trust("turn"), ObservedServer(name="core1", reached=Unread("no answer")))

    assert status.unread == "no answer"


def test_selectors_of_the_api_are_checked() -> None:
    """A selector that is none is an input error for whoever calls from Python."""
    with pytest.raises(InputError, match="nothing to select by"):
        narrow(cast("Any", None), Path("a.yaml"), ("host=x",))


def test_a_bound_certificate_says_when_it_is_due() -> None:
    """The chain in the bundle counts, and what a public CA will do to the successors is told with it."""
    root = ThrowAwayCa.root("Public Root")
    made = root.issue("a.example.com", not_before=NOON, not_after=NOON + timedelta(days=190)).certificate
    binding = Binding(slot="turn", key="a.key", certificate="a.crt", bundle="ca.crt")
    observed = ObservedServer(
        name="core1",
        reached=Known(value=True),
        screens={"turn": Known(ServiceState(service="turn", bindings={"turn": binding}))},
        contents={
            "a.crt": Known(StoredFile(name="a.crt", sha256="", certificates=(made,))),
            "ca.crt": Known(StoredFile(name="ca.crt", sha256="", certificates=root.bundle)),
        },
    )
    wanted = WantedServer(name="core1", address="", fqdn="", slots=(WantedTrust(slot="turn", bundle=CORP),))
    judge = Judge(
        renew_when=Due(life_left=None, time_left=timedelta(days=30)), roots=frozenset({root.bundle[0].subject})
    )
    (slot,) = server_status(wanted, observed, (), judge).slots
    (private,) = server_status(wanted, observed).slots

    assert slot.due_at == NOON + timedelta(days=160)
    assert [rule.split()[0] for rule in slot.ahead] == ["renewed", "47", "the"]
    assert (private.ahead, private.due_at) == ((), made.not_after - (made.not_after - NOON) / 3)
