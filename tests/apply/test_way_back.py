"""What a failure takes back, what it keeps, and what it leaves for a person."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cmscert.apply.turn import LOGIN_WAITS
from cmscert.errors import StoreRefused, Unreachable
from cmscert.model.events import StepEnded
from cmscert.model.plan import FLEET, Gate, Impact, RemoveFiles, Restart, RestoreFile, SaveFile, Step
from cmscert.testing.toy_run import ToyRun, plain


@pytest.mark.parametrize(
    ("typed", "fault", "why"),
    [
        ("webadmin disable", "failure", "'webadmin disable' was answered with FAILURE: it is refused"),
        ("webadmin disable", "cut", "the connection ended"),
        ("webadmin certs new.key new.crt", "failure", "FAILURE"),
        ("webadmin certs new.key new.crt", "lie", "webadmin is bound to old.key, old.crt, not to new.key, new.crt"),
        ("webadmin certs new.key new.crt", "cut", "the connection ended"),
        ("webadmin certs new.key new.crt", "lost", "the connection ended"),
        ("webadmin enable", "failure", "FAILURE"),
        ("webadmin enable", "lie", "webadmin is not running"),
        ("webadmin enable", "cut", "the connection ended; webadmin is not running"),
        ("webadmin enable", "garbage", "webadmin is not running"),
    ],
)
async def test_a_failed_change_is_taken_back(toy: ToyRun, typed: str, fault: str, why: str) -> None:
    """Whatever goes wrong with one line, the service is as before, proven, and the step that leans on it is skipped."""
    node = toy.add("core1", "webadmin")
    node.faults[typed] = [fault]
    result = await toy.run(
        toy.bind("s1", "core1", "webadmin"), plain("s2", "core1", RemoveFiles(files=("old.crt",)), ("s1",))
    )
    assert toy.outcomes(result) == {"s1": "undone", "s2": "skipped"}
    assert result.result == "rolled-back"
    assert why in (result.steps[0].why or "")
    assert result.steps[1].why == "s1 on core1 failed"
    assert node.binding("webadmin").certificate == "old.crt"
    assert node.services["webadmin"].loaded["webadmin"] == (toy.old.certificate,)
    assert node.services["webadmin"].enabled
    assert result.by_hand == ()
    assert result.why is not None
    assert result.why.startswith("core1: s1 failed: ")


async def test_a_service_that_does_not_come_up_is_left_and_named(toy: ToyRun) -> None:
    """When neither the new nor the old pair lets the service start, a person gets the lines of the way back."""
    node = toy.add("core1", "webadmin")
    node.no_start.add("webadmin")
    result = await toy.run(toy.bind("s1", "core1", "webadmin"))
    assert toy.outcomes(result) == {"s1": "left"}
    assert result.result == "neither"
    assert "the way back failed" in (result.steps[0].why or "")
    assert result.by_hand == (("core1", ("webadmin disable", "webadmin certs old.key old.crt", "webadmin enable")),)
    assert toy.waited >= 40


async def test_without_rollback_a_failed_change_is_left_for_inspection(toy: ToyRun) -> None:
    """Nothing is taken back, and the way back is told."""
    node = toy.add("core1", "webadmin", "turn")
    node.faults["webadmin enable"] = ["failure"]
    toy.rollback = False
    result = await toy.run(toy.bind("s1", "core1", "turn"), toy.bind("s2", "core1", "webadmin", ("s1",)))
    assert toy.outcomes(result) == {"s1": "done", "s2": "left"}
    assert result.result == "neither"
    assert result.by_hand[0][1][0] == "webadmin disable"


async def test_earlier_steps_of_the_failed_server_are_taken_back_newest_first(toy: ToyRun) -> None:
    """All services that the run changed on the failed server go back; the other server finishes."""
    node = toy.add("core1", "callbridge", "turn", "webadmin")
    toy.add("edge1", "turn")
    node.faults["webadmin enable"] = ["failure"]
    result = await toy.run(
        toy.bind("s1", "core1", "callbridge"),
        toy.bind("s2", "core1", "turn"),
        toy.bind("s3", "core1", "webadmin", ("s1", "s2")),
        toy.bind("s4", "edge1", "turn"),
    )
    assert toy.outcomes(result) == {"s1": "undone", "s2": "undone", "s3": "undone", "s4": "done"}
    ended = [event.step for event in toy.events if isinstance(event, StepEnded) and event.outcome == "undone"]
    assert ended == ["s3", "s2", "s1"]
    assert result.steps[0].why == "taken back because s3 failed"
    assert result.result == "rolled-back"


async def test_what_another_server_leans_on_stays(toy: ToyRun) -> None:
    """Trust that a done step elsewhere needs is kept when its server fails later."""
    node = toy.add("core1", "callbridge/trust-c2w", "webadmin")
    toy.add("edge1", "webbridge3/c2w")
    node.faults["webadmin enable"] = ["failure"]
    result = await toy.run(
        toy.bind("s1", "core1", "callbridge/trust-c2w"),
        toy.bind("s2", "edge1", "webbridge3/c2w", ("s1",)),
        toy.bind("s3", "core1", "webadmin", ("s2",)),
    )
    assert toy.outcomes(result) == {"s1": "done", "s2": "done", "s3": "undone"}
    assert node.binding("callbridge/trust-c2w").bundle == "ca2.crt"


async def test_trust_stays_when_the_identity_on_it_cannot_be_taken_back(toy: ToyRun) -> None:
    """The way back of a newer step failed, so the older one that it leans on is kept."""
    node = toy.add("core1", "callbridge/trust-c2w", "webadmin")
    await toy.look()
    node.no_start.add("webadmin")
    result = await toy.run(
        toy.bind("s1", "core1", "callbridge/trust-c2w"), toy.bind("s2", "core1", "webadmin", ("s1",))
    )
    assert toy.outcomes(result) == {"s1": "done", "s2": "left"}
    assert (result.steps[0].why or "").startswith("kept")


async def test_dependants_on_other_servers_of_what_is_taken_back_do_not_start(toy: ToyRun) -> None:
    """A step elsewhere that waits for two things is skipped when one of them is taken back."""
    node = toy.add("core1", "turn", "webadmin")
    toy.add("edge1", "turn")
    node.faults["webadmin enable"] = ["failure"]
    result = await toy.run(
        toy.bind("s1", "core1", "turn"),
        toy.bind("s2", "core1", "webadmin", ("s1",)),
        toy.bind("s3", "edge1", "turn", ("s1", "s2")),
        plain("s4", "edge1", RemoveFiles(files=("old.crt",)), ("s3",)),
    )
    assert toy.outcomes(result) == {"s1": "undone", "s2": "undone", "s3": "skipped", "s4": "skipped"}


async def test_a_failed_upload_needs_no_way_back(toy: ToyRun) -> None:
    """A file that reads back otherwise fails the step; nothing was disturbed; no server's services are touched."""
    node = toy.add("core1", "webadmin")
    toy.add("edge1", "turn")
    node.faults["more.crt"] = ["lie"]
    result = await toy.run(
        toy.put("s1", "core1", toy.new.certificate_pem, "more.crt"),
        plain("s2", FLEET, Gate(opens="services"), ("s1",)),
        toy.bind("s3", "edge1", "turn", ("s2",)),
        toy.bind("s4", "core1", "webadmin", ("s2",)),
    )
    assert toy.outcomes(result) == {"s1": "failed", "s2": "skipped", "s3": "skipped", "s4": "skipped"}
    assert result.steps[0].why == "more.crt holds other bytes than were uploaded"
    assert result.result == "rolled-back"


async def test_a_key_that_cannot_be_read_back_is_believed_when_it_is_listed(toy: ToyRun) -> None:
    """Some nodes may not give keys out; pki match proves the key in the next step."""
    node = toy.add("core1")

    async def refuse(_name: str) -> bytes | None:
        raise StoreRefused("core1", "no permission")

    await toy.look()
    node.session.read_file = refuse
    result = await toy.run(toy.put("s1", "core1", toy.new, "more.key"))
    assert toy.outcomes(result) == {"s1": "done"}
    assert result.steps[0].why == "more.key cannot be read back"
    result = await toy.run(toy.put("s1", "core1", toy.new.certificate_pem, "more.crt"))
    assert toy.outcomes(result) == {"s1": "failed"}


def _fixed(toy: ToyRun) -> tuple[Step, ...]:
    """Same-name mode: save, overwrite, restart, with the ways back that a plan holds."""
    restore = RestoreFile(file="old.crt", saved_as="old-saved.crt")
    put = replace(toy.put("s2", "core1", toy.new.certificate_pem, "old.crt", ("s1",)), undo=restore)
    return (
        plain("s1", "core1", SaveFile(file="old.crt", saved_as="old-saved.crt")),
        replace(put, action=replace(put.action, overwrites=True)),
        plain(
            "s3",
            "core1",
            Restart(service="webadmin"),
            ("s2",),
            impact=Impact(service="webadmin", notices="a test", seconds=1),
            undo=Restart(service="webadmin", restores=(restore,)),
        ),
    )


async def test_same_names_are_saved_overwritten_and_loaded(toy: ToyRun) -> None:
    """The old bytes are kept under a second name, and the port shows the new leaf after the restart."""
    node = toy.add("core1", "webadmin")
    result = await toy.run(*_fixed(toy))
    assert result.result == "applied"
    assert node.store["old-saved.crt"] == toy.old.certificate_pem
    assert node.services["webadmin"].loaded["webadmin"] == (toy.new.certificate,)


async def test_same_names_go_back_with_their_service(toy: ToyRun) -> None:
    """When the restart fails, the saved bytes are back under the old name and the old leaf is served."""
    node = toy.add("core1", "webadmin")
    node.faults["webadmin enable"] = ["failure"]
    result = await toy.run(*_fixed(toy))
    assert toy.outcomes(result) == {"s1": "done", "s2": "undone", "s3": "undone"}
    assert node.store["old.crt"] == toy.old.certificate_pem
    assert node.services["webadmin"].loaded["webadmin"] == (toy.old.certificate,)
    assert node.session.typed("put").count("old.crt") == 2  # the overwriting, and one way back for both steps


async def test_an_overwriting_upload_that_fails_is_taken_back(toy: ToyRun) -> None:
    """A cut upload over a file in use is undone from the saved copy, though no service was disturbed yet."""
    node = toy.add("core1", "webadmin")
    node.faults["old.crt"] = ["lie"]
    result = await toy.run(*_fixed(toy))
    assert toy.outcomes(result) == {"s1": "done", "s2": "undone", "s3": "skipped"}
    assert node.store["old.crt"] == toy.old.certificate_pem


async def test_a_disturbing_step_without_a_way_back_is_left(toy: ToyRun) -> None:
    """The plan said there is none; the result says so again."""
    node = toy.add("core1", "webadmin")
    node.faults["webadmin enable"] = ["failure"]
    result = await toy.run(replace(toy.bind("s1", "core1", "webadmin"), undo=None))
    assert result.steps[0].outcome == "left"
    assert "the plan holds no way back for it" in (result.steps[0].why or "")
    assert result.by_hand == ()


async def test_a_way_back_survives_a_second_cut(toy: ToyRun) -> None:
    """A way back whose connection is lost is sent once more, whole, after the server can be read again."""
    node = toy.add("core1", "webadmin")
    node.faults["webadmin enable"] = ["failure"]
    node.faults["webadmin certs old.key old.crt"] = ["cut"]
    result = await toy.run(toy.bind("s1", "core1", "webadmin"))
    assert toy.outcomes(result) == {"s1": "undone"}


async def test_a_way_back_that_is_cut_twice_is_left(toy: ToyRun) -> None:
    """Two cuts in the way back: the lines are told."""
    node = toy.add("core1", "webadmin")
    node.faults["webadmin enable"] = ["failure"]
    node.faults["webadmin certs old.key old.crt"] = ["cut", "cut"]
    result = await toy.run(toy.bind("s1", "core1", "webadmin"))
    assert toy.outcomes(result) == {"s1": "left"}


async def test_the_way_back_waits_until_the_server_can_be_read(toy: ToyRun) -> None:
    """A server that reboots is waited for before its way back is sent."""
    node = toy.add("core1", "webadmin")
    node.faults["webadmin enable"] = ["failure"]
    listed = node.session.list_files
    tries = iter(range(10))
    await toy.look()

    async def rebooting() -> tuple[str, ...]:
        if "webadmin enable" not in node.carried_out and node.carried_out and next(tries) < 3:
            raise Unreachable("core1", "no TCP connection")
        return await listed()

    node.session.list_files = rebooting
    result = await toy.run(toy.bind("s1", "core1", "webadmin"))
    assert toy.outcomes(result) == {"s1": "undone"}
    assert toy.waited == pytest.approx(3 * LOGIN_WAITS[0])


async def test_a_removal_that_cannot_be_proven_is_left(toy: ToyRun) -> None:
    """The list of files could not be read, so nobody knows whether they are gone."""
    node = toy.add("core1")
    await toy.look()
    node.session.on_remove = lambda _name: None
    node.session.listing = Unreachable("core1", "no TCP connection")
    result = await toy.run(plain("s1", "core1", RemoveFiles(files=("old.crt",))))
    assert (result.steps[0].outcome, result.steps[0].why) == ("left", "no TCP connection")


async def test_a_saved_copy_that_cannot_be_compared_is_put_back_anyway(toy: ToyRun) -> None:
    """When the store does not tell what an overwritten file holds, the way back is sent."""
    node = toy.add("core1", "webadmin")
    node.faults["old.crt"] = ["lie"]
    read = node.session.read_file
    times = iter(range(10))

    async def refuse(name: str) -> bytes | None:
        if name == "old.crt" and next(times) == 2:  # after the saving and the look at the upload
            raise StoreRefused("core1", "busy")
        return await read(name)

    await toy.look()
    node.session.read_file = refuse
    result = await toy.run(*_fixed(toy)[:2])
    assert toy.outcomes(result) == {"s1": "done", "s2": "undone"}


async def test_a_file_that_cannot_be_saved_stops_the_server(toy: ToyRun) -> None:
    """There is nothing to save, so nothing is overwritten."""
    node = toy.add("core1", "webadmin")
    await toy.look()
    del node.store["old.crt"]
    result = await toy.run(*_fixed(toy))
    assert toy.outcomes(result) == {"s1": "failed", "s2": "skipped", "s3": "skipped"}
    assert result.steps[0].why == "there is no file old.crt to copy"


def _shared(toy: ToyRun) -> tuple[Step, ...]:
    """Same-name mode on core1, whose service waits for one on core2."""
    save, put, restart = _fixed(toy)
    return save, put, toy.bind("s0", "core2", "turn"), replace(restart, after=("s2", "s0"))


async def test_a_file_that_nobody_came_to_load_is_put_back(toy: ToyRun) -> None:
    """A failure elsewhere leaves no overwritten file beside a service that still runs on the old one."""
    node, other = toy.add("core1", "webadmin"), toy.add("core2", "turn")
    other.faults["turn enable"] = ["failure"]
    result = await toy.run(*_shared(toy))
    assert toy.outcomes(result) == {"s1": "done", "s2": "undone", "s0": "undone", "s3": "skipped"}
    assert result.result == "rolled-back"
    assert node.store["old.crt"] == toy.old.certificate_pem
    assert next(step.why for step in result.steps if step.step == "s2") == "no service came to load it"


def _went_down(toy: ToyRun, *, before: str = "s2") -> None:
    """Let webadmin of core1 go down by itself as soon as a step ended, as a reboot beside half a pair does."""
    services = toy.nodes["core1"].services

    def ended(event: object) -> None:
        if isinstance(event, StepEnded) and (event.step, event.outcome) == (before, "done"):
            services["webadmin"].loaded.clear()

    toy.emit = ended


async def test_a_service_that_went_down_by_itself_is_started_again(toy: ToyRun) -> None:
    """It came up before half a pair that was new: when the files are as before, it is started as its way back would."""
    node, other = toy.add("core1", "webadmin"), toy.add("core2", "turn")
    other.faults["turn enable"] = ["failure"]
    _went_down(toy)
    result = await toy.run(*_shared(toy))
    assert toy.outcomes(result) == {"s1": "done", "s2": "undone", "s0": "undone", "s3": "undone"}
    assert result.result == "rolled-back"
    assert node.services["webadmin"].loaded["webadmin"] == (toy.old.certificate,)
    assert node.carried_out == ["webadmin disable", "webadmin enable"]


async def test_a_service_that_stays_down_is_no_good_end(toy: ToyRun) -> None:
    """It was up before the run, so the end is 9, with what a person has to type."""
    node, other = toy.add("core1", "webadmin"), toy.add("core2", "turn")
    other.faults["turn enable"] = ["failure"]
    node.no_start.add("webadmin")
    _went_down(toy)
    result = await toy.run(*_shared(toy))
    assert toy.outcomes(result)["s3"] == "left"
    assert result.result == "neither"
    assert [line for line in dict(result.by_hand)["core1"] if line.startswith("webadmin")] == [
        "webadmin disable",
        "webadmin enable",
    ]


async def test_without_a_way_back_an_overwritten_file_stays(toy: ToyRun) -> None:
    """Who wants to look at what failed finds everything as it was left."""
    node, other = toy.add("core1", "webadmin"), toy.add("core2", "turn")
    other.faults["turn enable"] = ["failure"]
    toy.rollback = False
    result = await toy.run(*_shared(toy))
    assert toy.outcomes(result)["s2"] == "done"
    assert node.store["old.crt"] != toy.old.certificate_pem


async def test_a_soft_stop_puts_back_what_nobody_loaded(toy: ToyRun) -> None:
    """Ctrl-C after the uploads leaves the files as they were, and is still an interrupt."""
    node = toy.add("core1", "webadmin")
    toy.add("core2", "turn")
    toy.emit = lambda event: toy.stop.soft() if isinstance(event, StepEnded) and event.step == "s2" else None
    result = await toy.run(*_shared(toy))
    assert toy.outcomes(result)["s2"] == "undone"
    assert result.result == "interrupted"
    assert node.store["old.crt"] == toy.old.certificate_pem


async def test_files_that_services_share_go_back_together(toy: ToyRun) -> None:
    """A person who puts an old file back by hand is told of every service that was moved to the new one."""
    node = toy.add("core1", "webadmin", "turn")
    node.no_start.add("webadmin")
    save, put, restart = _fixed(toy)
    result = await toy.run(save, put, toy.bind("s4", "core1", "turn", ("s2",)), replace(restart, after=("s4",)))
    assert result.result == "neither"
    ((server, texts),) = result.by_hand
    assert server == "core1"
    assert "turn certs old.key old.crt" in texts
    assert texts.index("webadmin enable") < texts.index("turn certs old.key old.crt")
