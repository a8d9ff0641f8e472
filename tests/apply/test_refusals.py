"""Plans that do not fit, and servers that changed: nothing is sent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cmscert.errors import InputError, Unreachable
from cmscert.model.observed import Binding
from cmscert.model.plan import PutFile, Rebind, Restart
from cmscert.model.readings import Unread
from cmscert.testing.toy_run import ToyRun, plain

CHANGES = {
    "rebound": "turn is bound to new.key, new.crt now, and was to old.key, old.crt",
    "stopped": "turn is stopped now",
    "unread": "turn could not be read again: the answer to turn shows no row that is known",
    "gone": "turn is not known to the server any more",
    "unread before": "turn was not read when the plan was made",
    "new pair removed": "new.crt, new.key are not in the store any more",
    "way back removed": "old.crt is not in the store any more",
    "store closed": "the list of files could not be read again: no TCP connection",
    "several": "webadmin is stopped now, turn is stopped now, old.key is not in the store any more",
}


@pytest.mark.parametrize("how", CHANGES)
async def test_a_server_that_changed_since_the_plan_is_not_disturbed(toy: ToyRun, how: str) -> None:
    """Screens and the list of files are read again before the first change; what differs is named, nothing is sent."""
    node = toy.add("core1", "webadmin", "turn")
    await toy.look()
    match how:
        case "rebound":
            node.holds("turn", key="new.key", certificate="new.crt")
        case "stopped":
            node.services["turn"].enabled = False
        case "unread":
            node.answers["turn"] = "%%%"
        case "gone":
            node.answers["turn"] = "Unknown command"
        case "new pair removed":
            del node.store["new.crt"], node.store["new.key"]
        case "way back removed":
            del node.store["old.crt"]
        case "store closed":
            node.session.listing = Unreachable("core1", "no TCP connection")
        case "several":
            node.services["turn"].enabled = node.services["webadmin"].enabled = False
            del node.store["old.key"]
        case _:
            seen = toy.observed["core1"]
            toy.observed["core1"] = replace(seen, screens={**seen.screens, "turn": Unread("no answer")})
    result = await toy.run(toy.bind("s1", "core1", "webadmin"), toy.bind("s2", "core1", "turn"))
    assert toy.outcomes(result) == {"s1": "failed", "s2": "skipped"}
    assert node.carried_out == []
    assert result.result == "rolled-back"
    assert result.steps[0].why == f"changed since the plan was made: {CHANGES[how]}"


async def test_a_plan_that_does_not_fit_is_refused_before_anything_is_sent(toy: ToyRun) -> None:
    """All faults at once: links, servers, contents, keys, names that cannot be typed, services that are not there."""
    node = toy.add("core1", "turn")
    bad = toy.put("s1", "core1", b"x", "x.crt", ("nowhere",))
    with pytest.raises(InputError) as told:
        await toy.run(bad, toy.bind("s2", "core9", "turn"), toy.bind("s2", "core1", "turn"))
    assert {fault.message for fault in told.value.faults} == {
        "step s2 stands in the plan more than once",
        "step s1 comes after nowhere, which is not in the plan",
        "the plan changes core9, and there is no session to it",
    }
    with pytest.raises(InputError, match="steps wait for each other"):
        await toy.run(toy.bind("s1", "core1", "turn", ("s2",)), toy.bind("s2", "core1", "turn", ("s1",)))
    with pytest.raises(InputError) as told:
        await toy.run(
            plain("s1", "core1", PutFile(file="a.crt", content="sha256:00", role="certificate")),
            plain("s2", "core1", PutFile(file="a.key", content="spki:00", role="key")),
            plain("s3", "core1", PutFile(file='a".key', content="spki:00", role="key")),
            plain("s4", "core1", Restart(service="xmpp")),
            replace(toy.bind("s5", "core1", "turn"), undo=Rebind(service="turn", bindings=(Binding(slot="no"),))),
        )
    messages = "\n".join(fault.message for fault in told.value.faults)
    for part in ("content of a.crt", "key for a.key", "step s3", "service xmpp", "no slot no"):
        assert part in messages
    assert node.session.heard == []


async def test_contents_are_held_against_their_names(toy: ToyRun) -> None:
    """Bytes that are not what the plan names are never uploaded."""
    toy.add("core1")
    step = toy.put("s1", "core1", b"x", "x.crt")
    toy.contents = dict.fromkeys(toy.contents, b"y")
    with pytest.raises(InputError, match=r"the content of x\.crt is not at hand as the plan names it"):
        await toy.run(step)


async def test_the_release_of_the_plan_counts_where_the_node_does_not_tell(toy: ToyRun) -> None:
    """Rows come from the node's own release, else from the plan's; without both no service can be changed."""
    toy.add("core1", "turn")
    await toy.look()
    toy.observed["core1"] = replace(toy.observed["core1"], release=Unread("odd"))
    with pytest.raises(InputError, match="the row of service turn is needed"):
        await toy.run(toy.bind("s1", "core1", "turn"))
    toy.releases["core1"] = "3.9"
    assert (await toy.run(toy.bind("s1", "core1", "turn"))).result == "applied"
