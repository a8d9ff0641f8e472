"""Whatever state a database cluster is in and whatever breaks, as often as the tool is started: no row is lost.

Clusters of 1 to 5 nodes and 0 to 3 clients in memory, in all states, with any step failing, hanging or cut, and the
process killed anywhere. At every moment: no row is lost that the primary held in the beginning or got since, one
cluster is alive at most, nobody leaves without a backup, and who held the rows is on disk before it leaves. In the end
the cluster is as the inventory wants it, or a run refused by a named guard, or it says what is to be done by hand.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from typing import Any, Literal

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from cmscert.lab.spec import DatabaseSpec, Faults, NodeSpec, Switches
from cmscert.testing.campaign import DATABASE, REMOVE, WANTED_DAYS, Campaign, Start
from cmscert.testing.databases import FIVE, ROWS, THREE, database_files, database_node
from cmscert.testing.lab_session import Trouble, Wire
from cmscert.testing.memory_session import Killed
from cmscert.testing.timeless import TimelessLoop, run_timeless

State = Literal["in sync", "behind", "none", "left"]
LEFT = (REMOVE, "Success")
AGES = {"right": WANTED_DAYS, "due": 20, "expired": -1}
VERBS = ("initialize", "join", "connect", "remove", "certs", "localnode")
LINES = (
    *(f"database cluster {verb}" for verb in (*VERBS, "status")),
    *(
        "backup snapshot",
        "put",
        "get",
        "read",
        "ls",
        "pki match",
        "pki verify",
        "pki csr",
        "pki selfsigned",
        "pki sign",
    ),
)
KINDS = ("cut-before", "cut-after", "silent", "failure", "lie", "garbage", "kill-before", "kill-after")
REBUILD = ("database-rebuild",)
BEHIND = (*REBUILD, "database-replica-behind")
UNCLEAR = (*BEHIND, "primary-unclear")
STARTS = 6
"""How often the tool is started after everything was mended, at most."""


@dataclass(frozen=True, kw_only=True)
class Act:
    """What happens during one start: troubles of the line, and at an event: the process ends, a stop, an outage."""

    troubles: tuple[Trouble, ...] = ()
    killed_at: int | None = None
    stopped_at: int | None = None
    hard: bool = False
    down_at: int | None = None
    down: int = 0


@dataclass(frozen=True, kw_only=True)
class Story:
    """A cluster and what happens to it. Members are counted from 0, clients last; ``live`` is None where none stands.

    ``broken``: work that fails or hangs, by member and verb. ``lasting``: nothing is ever mended.
    """

    states: tuple[State, ...]
    clients: tuple[State, ...]
    live: int | None
    wanted: int
    ca: str | None
    age: str
    older: int | None
    down: tuple[int, ...]
    behind: bool
    broken: tuple[tuple[int, str, str], ...]
    switches: dict[str, Any]
    seconds: float
    acts: tuple[Act, ...]
    lasting: bool
    allow: tuple[str, ...] = REBUILD

    @property
    def names(self) -> tuple[str, ...]:
        """The servers."""
        return tuple(f"core{number}" for number in range(1, len(self.states) + len(self.clients) + 1))


SWITCHES: dict[str, tuple[Any, ...]] = {
    "words": ("primary", "master"),
    "set_replies": (False, True),
    "match_wording": ("default", "terse"),
    "extra_rows": (False, True),
    "confirm_wording": ("remembered", "short", "odd"),
    "refusal_wording": ("plain", "failure", "silent"),
    "progress_wording": ("remembered", "plain", "quiet"),
    "unconfigured_wording": ("short", "long"),
    "expired_wording": ("row", "error", "none"),
    "sync_wording": ("Sync'ing", "Not in sync", "Synchronizing"),
    "lost_wording": ("Not Connected", "Unreachable", "Disconnected"),
    "member_names": ("address", "fqdn"),
    "client_row": (False, True),
    "certs_copied_at": ("certs", "start"),
    "remove_unbinds": (False, True),
    "promotes": (False, False, True),
    "date_command": (True, False),
}


@st.composite
def acts(draw: st.DrawFn) -> Act:
    """Draw what happens during one start; mostly one thing."""
    at = st.integers(1, 200)
    what = draw(st.sampled_from(("line", "line", "kill", "kill", "kill", "stop", "outage", "everything", "nothing")))
    trouble = st.builds(Trouble, line=st.sampled_from(LINES), nth=st.integers(1, 6), kind=st.sampled_from(KINDS))
    every = what == "everything"
    return Act(
        troubles=tuple(draw(st.lists(trouble, min_size=1, max_size=3))) if every or what == "line" else (),
        killed_at=draw(at) if every or what == "kill" else None,
        stopped_at=draw(at) if every or what == "stop" else None,
        hard=draw(st.booleans()),
        down_at=draw(at) if every or what == "outage" else None,
        down=draw(st.integers(0, 7)),
    )


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Draw a cluster that stands, stood, or never did, and what happens to it; half of them are well at first."""
    how = draw(st.sampled_from(("well", "well", "well", "never", "any", "any")))
    state: st.SearchStrategy[State] = st.just("none" if how == "never" else "in sync")
    if how == "any":
        state = st.sampled_from(("in sync", "in sync", "in sync", "in sync", "behind", "none", "left"))
    states = draw(st.lists(state, min_size=1, max_size=5))
    clients = draw(st.lists(state, max_size=3))
    standing = [at for at, each in enumerate(states) if each == "in sync"]
    live = draw(st.sampled_from(standing)) if standing else None
    if live is None:
        states = ["none" if each == "behind" else each for each in states]
        clients = ["none" if each in ("in sync", "behind") else each for each in clients]
    members = st.integers(0, len(states) + len(clients) - 1)
    some = st.sets(members, max_size=2) if how == "any" and draw(st.booleans()) else st.just(frozenset())
    works = st.tuples(members, st.sampled_from(VERBS[:4]), st.sampled_from(("db_fail", "db_hang")))
    changed = draw(st.lists(st.sampled_from(tuple(SWITCHES)), max_size=4, unique=True))
    switches = {name: draw(st.sampled_from(SWITCHES[name])) for name in sorted(changed)}
    moves = switches.get("promotes", False)  # whether a primary-unclear may mean that rows were written to two
    return Story(
        states=tuple(states),
        clients=tuple(clients),
        live=live,
        wanted=draw(st.integers(0, len(states) - 1)),
        ca=draw(st.sampled_from(("dbca", "dbca", "other", None, None))),
        age=draw(st.sampled_from(("due",) if how == "well" else ("due", "due", "right", "expired"))),
        older=draw(members) if how == "any" and draw(st.booleans()) else None,
        down=tuple(sorted(draw(some))),
        behind=draw(st.booleans()),
        broken=tuple(draw(st.lists(works, max_size=2))),
        switches=switches,
        seconds=draw(st.sampled_from((1.0, 3.0, 25.0))),
        acts=tuple(draw(st.lists(acts(), min_size=1, max_size=3))),
        lasting=draw(st.sampled_from((False, False, False, True))),
        allow=draw(
            st.sampled_from((REBUILD, REBUILD, BEHIND, UNCLEAR if live is not None and not moves else BEHIND, ()))
        ),
    )


def specs_of(story: Story) -> list[NodeSpec]:
    """Build the nodes of a story."""
    specs = []
    for at, (name, state) in enumerate(zip(story.names, (*story.states, *story.clients), strict=True)):
        client = at >= len(story.states)
        age = "expired" if story.older == at else story.age
        files = database_files(ca="dbca", days_left=AGES[age])
        names = THREE if client else FIVE
        role = "client" if client else "primary" if at == story.live else "replica"
        whole = at == story.live or (story.live is None and at == story.wanted)
        rows = ROWS if whole or state == "in sync" else ROWS[:2] if state in ("behind", "left") else (f"own-{name}",)
        stands = state in ("in sync", "behind")
        specs.append(
            database_node(
                at + 1,
                files=files,
                start_delay=story.seconds,
                switches=Switches(**story.switches),
                faults=Faults(
                    down=at in story.down,
                    db_behind=state == "behind" and story.behind,
                    db_fail=broken(story, at, "db_fail"),
                    db_hang=broken(story, at, "db_hang"),
                ),
                database=DatabaseSpec(
                    role=role if stands else "none",
                    rows=() if client else rows,
                    files=() if state == "none" else names,
                    interface=None if state == "none" else "a",
                    primary=None if not stands or role == "primary" else story.names[story.live or 0],
                    in_sync=state != "behind",
                    last=LEFT if state == "left" else None,
                ),
            )
        )
    return specs


def broken(story: Story, at: int, kind: str) -> tuple[str, ...]:
    """Return the commands of a member whose work fails or hangs."""
    return tuple(f"database cluster {verb}" for member, verb, how in story.broken if (member, how) == (at, kind))


async def play(story: Story, folder: Path, loop: TimelessLoop, *, held: tuple[str, ...] = ROWS) -> Campaign:
    """Play a story to its end, and hold that the end is one of those that are good."""
    campaign = Campaign(
        folder=folder,
        loop=loop,
        specs=specs_of(story),
        nodes=story.names[: len(story.states)],
        clients=story.names[len(story.states) :],
        primary=story.names[story.wanted],
        wanted_ca=story.ca,
        held=set(held),
    )
    starts: list[Start] = []
    for number, act in enumerate(story.acts):
        starts += await started(campaign, story, act, f"while-{number}")
    if not story.lasting:
        mend(campaign)
        for number in range(STARTS):
            starts += await started(campaign, story, Act(), f"after-{number}")
            if starts[-1].ending in ("nothing to do", "refused"):
                break
    check_end(campaign, story, starts)
    return campaign


async def started(campaign: Campaign, story: Story, act: Act, row: str) -> list[Start]:
    """Let rows be written, and start the tool once; nothing comes back when it was killed."""
    if campaign.held:
        campaign.write(row)
    wire = Wire(troubles=list(act.troubles))

    def on_event(number: int, stop: Any) -> None:  # noqa: ANN401 - a Stop
        if number == act.killed_at:
            wire.dead = True
        if number == act.stopped_at:
            (stop.hard if act.hard else stop.soft)()
        if number == act.down_at:
            campaign.lab.node(story.names[act.down % len(story.names)]).faults.down = True

    try:
        start = await campaign.start(wire, story.allow, on_event=on_event)
    except Killed:
        event("killed")
        return []
    check_start(campaign, story, act, start)
    return [start]


def mend(campaign: Campaign) -> None:
    """Bring everything back, and let everything work from now on."""
    for node in campaign.lab.nodes.values():
        node.faults = Faults()
        node.switches.confirm_wording = "remembered"  # a question that nobody knows is never answered


def check_start(campaign: Campaign, story: Story, act: Act, start: Start) -> None:
    """Hold what is true of every start, whatever happened."""
    event(f"a start is {start.ending}")
    result = start.result
    if start.ending == "refused":
        assert start.guards
        assert start.sent == ()
    if start.ending == "applied":
        assert act.down_at is not None or campaign.is_whole()  # one may be gone since it was proven
        assert campaign.memory.noted([DATABASE]) == {}
    if start.ending == "rolled-back":
        assert not start.removed
    if result is not None and start.ending == "neither":
        assert result.by_hand
        in_pieces = story.live is not None and not campaign.network.clusters()
        assert campaign.memory.noted([DATABASE]) or not in_pieces


def check_end(campaign: Campaign, story: Story, starts: list[Start]) -> None:
    """Hold that it ended well: as the inventory wants it, where all was mended and nothing is unclear."""
    campaign.watch()
    if story.lasting:
        return
    last = starts[-1]
    event(f"in the end {last.ending} {', '.join(sorted(last.guards))}")
    if last.ending == "refused":
        unexcused = last.guards - excuses(story)
        assert not unexcused, f"refused by {', '.join(sorted(unexcused))}"
        return
    assert last.ending == "nothing to do", last.result
    assert campaign.is_whole()
    assert campaign.memory.noted([DATABASE]) == {}


def excuses(story: Story) -> set[str]:
    """Return the guards that a person has to look at, and that may stay."""
    found = set()
    if story.allow == ():
        found.add("database-rebuild")
    if story.live is None and "left" in (*story.states, *story.clients):
        found.add("primary-unclear")  # nobody knows who held the rows
    if story.age == "expired" or story.older is not None:
        found |= {"primary-unclear", "database-replica-behind"}  # nobody talks to anybody
    return found - {*story.allow}


@pytest.fixture(scope="module", autouse=True)
def _few_keys() -> Iterator[None]:
    """Let the CA built into CMS take keys that were made before: they take long."""
    keys: list[tuple[RSAPrivateKey, bytes]] = []
    for _ in range(7):
        key = generate_private_key(65537, 2048)
        keys.append((key, key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())))
    turns = cycle(keys)

    async def new_key() -> tuple[RSAPrivateKey, bytes]:
        await asyncio.sleep(0.5)
        return next(turns)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cmscert.lab.pki_commands._new_key", new_key)
        yield


@pytest.mark.unwatched
@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(story=stories())
def test_no_row_is_lost_and_every_end_is_a_good_one(story: Story) -> None:
    """A cluster in any state, whatever breaks: rows stay, one cluster lives, it converges or a guard says why not."""
    loop = TimelessLoop()
    with tempfile.TemporaryDirectory() as folder:
        run_timeless(loop, play(story, Path(folder), loop))


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(story=stories())
def test_what_a_remove_destroys_is_in_the_backups(story: Story) -> None:
    """Were the rows of a node gone with its remove, as the dialog says ([MEM] 5.3), they would be in the backups."""
    destroying = replace(story, switches={**story.switches, "remove_destroys": True})
    loop = TimelessLoop()
    with tempfile.TemporaryDirectory() as folder:
        campaign = run_timeless(loop, play(destroying, Path(folder), loop, held=()))
    assert campaign.network.lost(ROWS) <= campaign.backed_up()
