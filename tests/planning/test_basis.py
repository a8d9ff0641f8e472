"""What has moved since a plan was made is named, part by part, and nothing else is."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmscert.model.names import Release
from cmscert.model.observed import Binding, Listen, ObservedServer, ServiceState, StoredFile
from cmscert.model.plan import Plan, Rebind, Step
from cmscert.model.readings import ABSENT, Known, Reading, Unread
from cmscert.planning.basis import basis_parts, moved, service_moved
from cmscert.planning.words import summary
from cmscert.testing.ca import ThrowAwayCa
from cmscert.testing.databases import NOW

CA = ThrowAwayCa.root("Basis Root")
LEAF = CA.issue("core1.example.com", sans=["core1.example.com"]).certificate
OTHER = CA.issue("other.example.com", sans=["other.example.com"]).certificate
BOUND = Binding(slot="webadmin", key="a.key", certificate="a.crt")
STATE = ServiceState(
    service="webadmin",
    enabled=True,
    bindings={"webadmin": BOUND},
    listens={"webadmin": (Listen(interface="a", port=445),)},
)
THEN = ObservedServer(
    name="core1",
    reached=Known(value=True),
    release=Known(Release(3, 9)),
    clock_skew=Known(0.5),
    files=Known(("a.crt", "a.key", "ca.crt", "log")),
    contents={name: Known(StoredFile(name=name, sha256="0" * 64)) for name in ("a.crt", "ca.crt")},
    screens={"webadmin": Known(STATE), "turn": ABSENT},
    matches={("a.key", "a.crt"): Known(value=True)},
    served={"webadmin": Known((LEAF,))},
    database=ABSENT,
)
UNDO = Step(
    id="1",
    server="core1",
    slot="webadmin",
    action=Rebind(service="webadmin", bindings=(replace(BOUND, certificate="n.crt"),)),
    because=(),
    undo=Rebind(service="webadmin", bindings=(BOUND,)),
)
PLAN = Plan(
    made_at=NOW,
    tool_version="0",
    fleet="x",
    inventory_sha256="0",
    basis={"core1": THEN.digest()},
    basis_parts={"core1": basis_parts(THEN)},
    steps=(replace(UNDO, id="0", server="core2"), replace(UNDO, id="1", undo=None), UNDO),
)


def screen(**changes: object) -> ObservedServer:
    """Change the screen of webadmin."""
    return replace(THEN, screens={**THEN.screens, "webadmin": Known(replace(STATE, **changes))})


def files(*names: str) -> ObservedServer:
    """Change the list of files."""
    return replace(THEN, files=Known(names))


NEW = replace(BOUND, key="b.key", certificate="b.crt", bundle="ca.crt")
MOVED = {
    "reached": (replace(THEN, reached=Unread("no answer")), ["it cannot be read now"]),
    "release": (replace(THEN, release=Known(Release(3, 10))), ["its release is 3.10 now"]),
    "no release": (replace(THEN, release=Unread("odd")), ["its release is unread now"]),
    "rebound": (
        screen(bindings={"webadmin": NEW}),
        ["webadmin is bound to b.key, b.crt, ca.crt now, and was to a.key, a.crt"],
    ),
    "unbound": (screen(bindings={}), ["webadmin is bound to nothing now, and was to a.key, a.crt"]),
    "stopped": (screen(enabled=False), ["webadmin is stopped now"]),
    "untold": (screen(enabled=None), ["webadmin does not tell now whether it runs"]),
    "ports": (screen(listens={}), ["webadmin listens at other ports"]),
    "known": (
        replace(THEN, screens={**THEN.screens, "turn": Known(ServiceState(service="turn", enabled=True))}),
        ["turn runs now"],
    ),
    "unread screen": (
        replace(THEN, screens={**THEN.screens, "turn": Unread("no answer")}),
        ["turn could not be read again: no answer"],
    ),
    "added": (files("a.crt", "a.key", "b.crt", "b.key", "ca.crt"), ["files in the store were added: b.crt, b.key"]),
    "removed": (files("a.crt", "ca.crt"), ["files in the store were removed: a.key"]),
    "many": (
        files("a.crt", "a.key", "ca.crt", *(f"n{n}.crt" for n in range(7))),
        ["files in the store were added: n0.crt, n1.crt, n2.crt, n3.crt, n4.crt and 2 more"],
    ),
    "no list": (
        replace(THEN, files=Unread("no answer")),
        ["files in the store were removed: a.crt, a.key, ca.crt", "the list of its files could be read only once"],
    ),
    "content": (
        replace(THEN, contents={**THEN.contents, "ca.crt": Known(StoredFile(name="ca.crt", sha256="1" * 64))}),
        ["ca.crt holds other bytes"],
    ),
    "content unread": (
        replace(THEN, contents={**THEN.contents, "ca.crt": Unread("no permission")}),
        ["ca.crt cannot be read now (no permission)"],
    ),
    "served": (
        replace(THEN, served={"webadmin": Known((OTHER,))}),
        [
            f"the port of webadmin shows {summary(OTHER)}",
        ],
    ),
    "port closed": (replace(THEN, served={"webadmin": ABSENT}), ["the port of webadmin does not answer now"]),
    "port unread": (replace(THEN, served={}), ["the port of webadmin does not answer now"]),
    "port odd": (
        replace(THEN, served={"webadmin": Unread("an alert")}),
        ["the port of webadmin could not be read now"],
    ),
    "match": (
        replace(THEN, matches={("a.key", "a.crt"): Known(value=False)}),
        ["whether a.key and a.crt belong together reads otherwise"],
    ),
    "database": (replace(THEN, database=Unread("no answer")), ["the status of its database differs"]),
}


@pytest.mark.parametrize("what", MOVED)
def test_what_moved_is_named(what: str) -> None:
    """One change gives one sentence that names it, and another digest."""
    now, said = MOVED[what]
    assert list(moved(PLAN, "core1", now)) == said
    assert now.digest() != THEN.digest()


def test_what_follows_from_a_change_is_not_told_twice() -> None:
    """Another file bound brings its content and its match with it: told are the slot and the files."""
    now = replace(
        screen(bindings={"webadmin": NEW}),
        files=Known(("b.crt", "b.key", "ca.crt")),
        contents={"b.crt": THEN.contents["a.crt"], "ca.crt": THEN.contents["ca.crt"]},
        matches={("b.key", "b.crt"): Known(value=True)},
    )
    assert moved(PLAN, "core1", now) == (
        "webadmin is bound to b.key, b.crt, ca.crt now, and was to a.key, a.crt",
        "files in the store were added: b.crt, b.key",
        "files in the store were removed: a.crt, a.key",
    )


def test_a_screen_that_was_read_only_once_did_not_move() -> None:
    """More screens are asked when files of ours are in the store: they are no difference of the server."""
    tls = ServiceState(service="tls", enabled=None, bindings={"tls": BOUND}, listens=STATE.listens)
    more = replace(files("a.crt", "a.key", "b.crt", "ca.crt"), screens={**THEN.screens, "tls": Known(tls)})
    back = replace(PLAN, basis_parts={"core1": basis_parts(more)})

    assert moved(PLAN, "core1", more) == ("files in the store were added: b.crt",)
    assert moved(back, "core1", THEN) == ("files in the store were removed: b.crt",)


def test_a_server_that_comes_back_is_told_in_one_sentence() -> None:
    """What could not be read then differs in every part; that it can be read is all there is to say."""
    away = replace(ObservedServer(name="core1", reached=Unread("no answer")))
    plan = replace(PLAN, basis_parts={"core1": basis_parts(away)})
    assert moved(plan, "core1", THEN) == ("it can be read now, and could not then",)


def test_a_binding_that_no_way_back_knows_is_told_without_it() -> None:
    """The plan keeps digests, so what a slot was bound to is told only where a step knows it."""
    assert moved(replace(PLAN, steps=()), "core1", screen(bindings={"webadmin": NEW})) == (
        "webadmin is bound to b.key, b.crt, ca.crt now, unlike then",
    )


@pytest.mark.parametrize(
    "same",
    [
        lambda seen: replace(seen, clock_skew=Known(9.0)),
        lambda seen: replace(seen, files=Known((*seen.files.value, "cmscert-lock-20261123T203000Z-000000.crt"))),
        lambda seen: replace(
            seen, contents={**seen.contents, "cmscert-lock-20261123T203000Z-000000.crt": Unread("no certificate")}
        ),
        lambda seen: replace(seen, files=Known(("log", "x.bak", *seen.files.value[::-1]))),
    ],
    ids=["clock", "marker listed", "marker read", "other files"],
)
def test_what_a_plan_does_not_lean_on_is_no_difference(same: Callable[[ObservedServer], ObservedServer]) -> None:
    """Clocks, markers of runs, and files that are no certificate material move without making a plan stale."""
    assert same(THEN).digest() == THEN.digest()
    assert moved(PLAN, "core1", same(THEN)) == ()


def test_a_plan_without_parts_names_nothing() -> None:
    """The digest of the server decides; a file without parts just cannot say what."""
    assert moved(replace(PLAN, basis_parts={}), "core1", files()) == ()


@given(st.sampled_from(sorted(MOVED)), st.sampled_from(sorted(MOVED)))
def test_parts_tell_two_readings_apart_exactly_when_digests_do(one: str, other: str) -> None:
    """Two readings of a server have the same parts if and only if they have the same digest."""
    left, right = MOVED[one][0], MOVED[other][0]
    assert (left.parts() == right.parts()) is (left.digest() == right.digest())


def test_parts_hold_names_and_digests_only() -> None:
    """A part is a word and a name; its digest is 16 hex digits and says nothing."""
    for part, digest in basis_parts(THEN).items():
        assert part.split()[0] in {
            "reached",
            "release",
            "files",
            "database",
            "file",
            "content",
            "service",
            "slot",
            "ports",
            "match",
            "served",
        }
        assert re.fullmatch(r"[0-9a-f]{16}", digest)


@pytest.mark.parametrize(
    ("planned", "found", "said"),
    [
        (Unread("no answer"), Known(STATE), ("webadmin was not read when the plan was made",)),
        (Known(STATE), Unread("no answer"), ("webadmin could not be read again: no answer",)),
        (Known(STATE), ABSENT, ("webadmin is not known to the server any more",)),
        (
            Known(STATE),
            Known(ServiceState(service="webadmin", enabled=False)),
            ("webadmin is stopped now", "webadmin is bound to nothing now, and was to a.key, a.crt"),
        ),
        (Known(STATE), Known(STATE), ()),
    ],
)
def test_what_moved_of_a_service_is_named(
    planned: Reading[ServiceState], found: Reading[ServiceState], said: tuple[str, ...]
) -> None:
    """Right before a service is touched the same words name what differs, with both bindings at hand."""
    assert service_moved("webadmin", planned, found) == said


def test_a_tag_that_is_not_shown_is_no_change_of_a_service() -> None:
    """Screens do not always tell a tag, so it alone does not stop a run."""
    tagged = replace(STATE, bindings={"webadmin": replace(BOUND, tag="x")})
    assert service_moved("webadmin", Known(STATE), Known(tagged)) == ()
