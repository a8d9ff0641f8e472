"""Each reason on its own, what cannot be read, and what is ignored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from cmscert.mmp.services import SERVICES
from cmscert.model.desired import Due, Ignore, Policy
from cmscert.model.names import Release
from cmscert.model.observed import Binding, StoredFile
from cmscert.model.plan import Drift
from cmscert.model.readings import ABSENT, Absent, Known, Unread
from cmscert.planning.drift import find_drift, find_unread
from cmscert.planning.due import due_at, is_due
from cmscert.planning.sight import see
from cmscert.planning.words import name_of, names, summary, time_left
from cmscert.testing.ca import ThrowAwayCa
from cmscert.testing.fleets import MOMENT, ToyFleet, ToyServer, identity, material, trusting

from .conftest import Generation

Change = Callable[[ToyServer, Generation, Generation], object]


def one(new: Generation) -> ToyFleet:
    """A server with one identity and one trust, both as wanted."""
    fleet = ToyFleet()
    core = fleet.server("core1")
    core.wanted["callbridge"] = identity("callbridge", new.material("cluster"), new.corp)
    core.hold("callbridge", (new.cluster.certificate,), bundle=new.ca.bundle)
    core.wanted["callbridge/trust-c2w"] = trusting("callbridge/trust-c2w", new.corp)
    core.trust("callbridge/trust-c2w", new.ca.bundle)
    return fleet


def drift_of(fleet: ToyFleet, policy: Policy | None = None, days: int = 0) -> tuple[Drift, ...]:
    """Return all drift of the one server."""
    desired, observed = fleet.desired(), fleet.observed()
    sight = see(desired.servers[0], observed["core1"], SERVICES)
    return find_drift(sight, policy or Policy(), MOMENT + timedelta(days=days))


def unbind(core: ToyServer) -> None:
    """Take the pair away, leave the bundle."""
    core.bound["callbridge"] = replace(core.bound["callbridge"], key=None, certificate=None)


def chain(core: ToyServer, new: Generation, *, turned: bool) -> None:
    """Want the full chain and hold it turned round, or without its root."""
    core.wanted["callbridge"] = identity("callbridge", new.material("cluster"))
    full = new.material("cluster").full_chain
    held = (full[0], *reversed(full[1:])) if turned else full[:-1]
    core.hold("callbridge", held)


CASES: dict[str, tuple[Change, list[tuple[str, str]]]] = {
    "as wanted": (lambda *_: None, []),
    "nothing bound": (lambda core, *_: unbind(core), [("callbridge", "not-bound")]),
    "nothing bound at all": (
        lambda core, *_: core.bound.pop("callbridge"),
        [("callbridge", "not-bound"), ("callbridge", "bundle-missing")],
    ),
    "file gone": (
        lambda core, *_: core.files.pop(core.bound["callbridge"].bundle or ""),
        [("callbridge", "file-missing")],
    ),
    "no certificate in the file": (
        lambda core, *_: core.files.update({core.bound["callbridge"].certificate or "": ()}),
        [("callbridge", "not-a-certificate")],
    ),
    "another certificate": (
        lambda core, new, old: core.hold("callbridge", (old.cluster.certificate,), bundle=new.ca.bundle),
        [("callbridge", "leaf-differs")],
    ),
    "a certificate with fewer names": (
        lambda core, new, _: core.hold("callbridge", (new.join.certificate,), bundle=new.ca.bundle),
        [("callbridge", "leaf-differs"), ("callbridge", "names-missing")],
    ),
    "chain without root": (lambda core, new, _: chain(core, new, turned=False), [("callbridge", "chain-differs")]),
    "chain turned round": (lambda core, new, _: chain(core, new, turned=True), [("callbridge", "chain-order")]),
    "another key": (
        lambda core, *_: core.keys.update({core.bound["callbridge"].key or "": "0" * 64}),
        [("callbridge", "key-mismatch")],
    ),
    "no bundle": (
        lambda core, new, _: core.hold("callbridge", (new.cluster.certificate,)),
        [("callbridge", "bundle-missing")],
    ),
    "another bundle": (
        lambda core, new, old: core.hold("callbridge", (new.cluster.certificate,), bundle=old.ca.bundle),
        [("callbridge", "bundle-differs")],
    ),
    "bundle turned round": (
        lambda core, new, _: core.hold("callbridge", (new.cluster.certificate,), bundle=reversed(new.ca.bundle)),
        [("callbridge", "bundle-order")],
    ),
    "the old one still served": (
        lambda core, _, old: core.served.update({"callbridge": Known((old.cluster.certificate,))}),
        [("callbridge", "not-loaded")],
    ),
    "port closed": (
        lambda core, *_: core.served.update({"callbridge": Absent()}),
        [("callbridge", "not-answering")],
    ),
    "port not readable": (lambda core, *_: core.served.update({"callbridge": Unread("no answer")}), []),
    "stopped": (
        lambda core, *_: (core.served.update({"callbridge": Absent()}), core.enabled.update(callbridge=False)),
        [],
    ),
    "no trust": (
        lambda core, *_: core.bound.pop("callbridge/trust-c2w"),
        [("callbridge/trust-c2w", "trust-missing")],
    ),
    "trust file gone": (
        lambda core, *_: core.bound.update(
            {"callbridge/trust-c2w": Binding(slot="callbridge/trust-c2w", bundle="x.crt")}
        ),
        [("callbridge/trust-c2w", "file-missing")],
    ),
    "trust lacks one": (
        lambda core, new, _: core.trust("callbridge/trust-c2w", new.ca.bundle[:1]),
        [("callbridge/trust-c2w", "trust-lacks")],
    ),
    "trust holds more": (
        lambda core, new, old: core.trust("callbridge/trust-c2w", (*new.ca.bundle, *old.ca.bundle)),
        [("callbridge/trust-c2w", "trust-exceeds")],
    ),
    "trust turned round": (
        lambda core, new, _: core.trust("callbridge/trust-c2w", reversed(new.ca.bundle)),
        [("callbridge/trust-c2w", "bundle-order")],
    ),
    "another release": (
        lambda core, *_: core.overrides.update(release=Known(Release(3, 12))),
        [(None, "release-differs")],
    ),
    "service unknown to the node": (
        lambda core, *_: core.overrides.update(screens={"callbridge": ABSENT}),
        [("callbridge", "no-such-service"), ("callbridge/trust-c2w", "no-such-service")],
    ),
    "screen unread": (lambda core, *_: core.overrides.update(screens={}), []),
    "unreachable": (lambda core, *_: setattr(core, "unreachable", "no answer"), []),
    "files unread": (lambda core, *_: core.overrides.update(files=Unread("no SFTP")), []),
}


@pytest.mark.parametrize("name", CASES)
def test_reasons(name: str, new: Generation, old: Generation) -> None:
    """Each thing that can differ has its own reason, and nothing else is reported with it."""
    fleet = one(new)
    change, wanted = CASES[name]
    change(fleet.server("core1"), new, old)

    assert [(drift.slot, drift.reason) for drift in drift_of(fleet)] == wanted


def test_release_unknown(new: Generation) -> None:
    """Without a release from either side nothing is decided, and the reading is asked for."""
    fleet = one(new)
    core = fleet.server("core1")
    for reading, why in ((Unread("no answer"), "release: no answer"), (ABSENT, "release: the server does not tell it")):
        core.overrides["release"] = reading
        wanted = replace(fleet.desired().servers[0], release=None)
        sight = see(wanted, core.observe(), SERVICES)

        assert find_drift(sight, Policy(), MOMENT) == ()
        assert find_unread(sight)[0] == why


UNREAD: dict[str, tuple[Callable[[ToyServer], object], tuple[str, ...]]] = {
    "nothing": (lambda _: None, ()),
    "server": (lambda core: setattr(core, "unreachable", "no answer"), ("no answer",)),
    "list of files": (lambda core: core.overrides.update(files=Unread("no SFTP")), ("list of files: no SFTP",)),
    "screen": (
        lambda core: core.overrides.update(screens={"callbridge": Unread("garbage")}),
        ("callbridge: garbage",),
    ),
}


@pytest.mark.parametrize("name", UNREAD)
def test_unread(name: str, new: Generation) -> None:
    """What is needed and could not be read is named; what is not needed is not missed."""
    fleet = one(new)
    change, wanted = UNREAD[name]
    change(fleet.server("core1"))
    sight = see(fleet.desired().servers[0], fleet.observed()["core1"], SERVICES)

    assert find_unread(sight) == wanted


def test_unread_content(new: Generation) -> None:
    """A bound file that could not be read leaves its slot undecided and is named."""
    fleet = one(new)
    core = fleet.server("core1")
    bundle = core.bound["callbridge"].bundle or ""
    core.overrides["contents"] = {**core.observe().contents, bundle: Unread("cut off")}
    sight = see(fleet.desired().servers[0], core.observe(), SERVICES)

    assert find_unread(sight) == (f"{bundle}: cut off",)
    assert find_drift(sight, Policy(), MOMENT) == ()


def test_absent_without_a_list(new: Generation) -> None:
    """A file is not called absent when the list of files is not known."""
    fleet = one(new)
    core = fleet.server("core1")
    core.overrides.update(files=Unread("no SFTP"), contents={"x.crt": ABSENT})
    sight = see(fleet.desired().servers[0], core.observe(), SERVICES)

    assert sight.file("x.crt") == Unread("the list of files could not be read")


IGNORES: dict[str, tuple[Ignore, bool]] = {
    "everything": (Ignore(reason="known"), True),
    "this slot": (Ignore(reason="known", server="core*", slot="callbridge", drift="leaf-differs"), True),
    "another server": (Ignore(reason="known", server="edge*"), False),
    "another slot": (Ignore(reason="known", slot="turn"), False),
    "another reason": (Ignore(reason="known", drift="expired"), False),
    "until later": (Ignore(reason="known", until="2026-11-23"), True),
    "until yesterday": (Ignore(reason="known", until="2026-11-22"), False),
}


@pytest.mark.parametrize("name", IGNORES)
def test_ignored(name: str, new: Generation, old: Generation) -> None:
    """Ignored drift keeps its place with the reason, and is not planned."""
    fleet = one(new)
    fleet.server("core1").hold("callbridge", (old.cluster.certificate,), bundle=new.ca.bundle)
    rule, holds = IGNORES[name]

    (drift,) = drift_of(fleet, Policy(ignore=(rule,)))

    assert (drift.ignored, drift.plannable) == (("known", False) if holds else (None, True))
    assert drift.ignored_until == (rule.until if holds else None)


def test_an_ignore_that_has_ended_is_told(new: Generation, old: Generation) -> None:
    """Drift comes back after the last day and names the rule that ended last; one that holds wins."""
    fleet = one(new)
    fleet.server("core1").hold("callbridge", (old.cluster.certificate,), bundle=new.ca.bundle)
    over = (Ignore(reason="first", until="2026-10-01"), Ignore(reason="second", until="2026-11-22"))
    other = Ignore(reason="elsewhere", slot="turn", until="2026-11-22")

    (back,) = drift_of(fleet, Policy(ignore=(over[1], other, over[0])))
    (still,) = drift_of(fleet, Policy(ignore=(*over, Ignore(reason="third"))))

    assert (back.ignored, back.plannable, back.ignore_ended) == (None, True, "second (until 2026-11-22)")
    assert (still.ignored, still.ignored_until, still.ignore_ended) == ("third", None, None)


def test_due_edges(new_ca: ThrowAwayCa) -> None:
    """A third of the life left, counted to the end of the chain, is due to the second."""
    issued = new_ca.issue("x", not_before=MOMENT, not_after=MOMENT + timedelta(days=90))
    certificates = (issued.certificate, *new_ca.bundle)
    edge = MOMENT + timedelta(days=60)

    assert due_at(certificates, Due()) == edge
    assert is_due(certificates, Due(), edge)
    assert not is_due(certificates, Due(), edge - timedelta(seconds=1))
    assert due_at(certificates, Due(life_left=None, time_left=timedelta(days=10))) == MOMENT + timedelta(days=80)
    assert due_at(certificates, Due(life_left=None)) == MOMENT + timedelta(days=90)


def test_expired(new: Generation) -> None:
    """After its end a certificate is expired, an error, and says for how long."""
    (drift,) = [drift for drift in drift_of(one(new), days=200) if drift.reason.startswith("exp")]

    assert (drift.reason, drift.severity) == ("expired", "error")
    assert drift.found.startswith("expired 1 day ago")


def test_words(new_ca: ThrowAwayCa) -> None:
    """Certificates are put by name, issuer and end; a root is issued by itself."""
    root = new_ca.chain[0]

    assert summary(root) == f"New Root, issued by itself, until 2053-12-24 ({root.sha256[:8]})"
    assert name_of(replace(root, common_name=None, subject="O=Example")) == "O=Example"
    assert name_of(replace(root, common_name=None, subject="")) == "(no subject)"
    assert names(()) == "nothing"
    assert time_left(MOMENT + timedelta(hours=5), MOMENT) == "expires in 5 h"
    assert time_left(MOMENT + timedelta(days=8), MOMENT) == "expires in 8 days"


def test_stored_file_is_a_value() -> None:
    """Two readings of the same file are equal."""
    assert StoredFile(name="a", sha256="b") == StoredFile(name="a", sha256="b")


def test_unnamed_material_declares_its_own_names(new: Generation) -> None:
    """The kit declares what the leaf has when a test does not say otherwise."""
    assert material("x", new.join.certificate, ()).declared == ("join.example.com",)
